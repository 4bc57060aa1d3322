//! Where a request goes, and which cookies belong there: hosts, paths, public suffixes (RFC 6265bis §5.1).
//!
//! [`Jar`](super::Jar) and [`read`](super::read) ask it. It normalises nothing: hosts come canonical, paths as sent.

use std::net::IpAddr;

use psl::Psl as _;

use super::cookie::Cookie;

/// Under which names and paths an app was asked: what the app was told, and what the browser asked for (they differ when
/// the app gets another host, or a prefix of the path is taken off). A cookie is accepted, and sent, for either.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Lower-case, no port, no trailing dot; perhaps IP addresses. The first is what the app saw.
    pub hosts: &'a [&'a str],
    /// Without query. The first is what the app saw.
    pub paths: &'a [&'a str],
}

impl Place<'_> {
    /// Whether a request here carries the cookie.
    // PERF: asked for each cookie of each request: bytes are compared, and mostly those of one host and of `/`.
    pub(super) fn sees(&self, cookie: &Cookie) -> bool {
        let domain = cookie.domain_bytes();
        let host = match cookie.host_only() {
            true => self.hosts.iter().any(|host| host.as_bytes() == domain),
            false => self.is_below(domain),
        };
        host && self.paths.iter().any(|path| path_matches(path.as_bytes(), cookie.path()))
    }

    /// Whether one of the hosts domain-matches `domain`.
    pub(super) fn is_below(&self, domain: &[u8]) -> bool {
        self.hosts.iter().any(|host| domain_matches(host, domain))
    }

    /// The path of a cookie that does not say one.
    pub(super) fn default_path(&self) -> &str {
        let path = self.paths.first().copied().unwrap_or_default();
        match path.rfind('/') {
            Some(at) if at > 0 && path.starts_with('/') => &path[..at],
            _ => "/",
        }
    }
}

fn domain_matches(host: &str, domain: &[u8]) -> bool {
    match host.as_bytes().strip_suffix(domain) {
        Some(b"") => true,
        Some(before) => before.ends_with(b".") && !is_address(host),
        None => false,
    }
}

fn path_matches(path: &[u8], cookie_path: &[u8]) -> bool {
    match path.strip_prefix(cookie_path) {
        Some(rest) => rest.is_empty() || rest[0] == b'/' || cookie_path.ends_with(b"/"),
        // The path of `OPTIONS *` and the like: as the root.
        None => cookie_path == b"/" && !path.starts_with(b"/"),
    }
}

fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// Whether strangers may register names directly below `domain`, so that a cookie for all of it would be shared with
/// them. A name of one label is such a suffix, also where the list does not know it (publicsuffix.org's rule `*`).
pub(super) fn is_public_suffix(domain: &str) -> bool {
    if domain.is_empty() || is_address(domain) {
        return false;
    }
    // The list has names of other scripts as they are read, `Set-Cookie` has them as the DNS does.
    if domain.split('.').any(|label| label.starts_with("xn--")) {
        let (readable, _) = idna::domain_to_unicode(domain);
        return is_whole_suffix(&readable);
    }
    is_whole_suffix(domain)
}

fn is_whole_suffix(domain: &str) -> bool {
    psl::List.suffix(domain.as_bytes()).is_some_and(|suffix| suffix.as_bytes().len() == domain.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_matches_itself_and_the_domains_above_it() {
        for (host, domain, matches) in [
            ("app.example.com", "app.example.com", true),
            ("app.example.com", "example.com", true),
            ("app.example.com", "ample.com", false),
            ("app.example.com", ".example.com", false),
            ("app.example.com", "b.app.example.com", false),
            ("app.example.com", "example.com.", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "0.0.1", false),
            ("::1", "::1", true),
            ("[::ffff:1.2.3.4]", "4]", false),
            ("[::ffff:1.2.3.4]", "2.3.4]", false),
        ] {
            assert_eq!(domain_matches(host, domain.as_bytes()), matches, "{host} {domain}");
        }
    }

    #[test]
    fn a_path_matches_itself_and_what_lies_below() {
        for (path, cookie, matches) in [
            ("/", "/", true),
            ("/a", "/", true),
            ("/a", "/a", true),
            ("/a/", "/a", true),
            ("/a/b", "/a", true),
            ("/a/b", "/a/", true),
            ("/ab", "/a", false),
            ("/a", "/a/", false),
            ("/A", "/a", false),
            ("/x.php", "/x.php", true),
            ("/%61", "/a", false),
            ("*", "/", true),
            ("*", "/a", false),
        ] {
            assert_eq!(path_matches(path.as_bytes(), cookie.as_bytes()), matches, "{path} {cookie}");
        }
    }

    #[test]
    fn the_default_path_ends_before_the_last_slash() {
        for (path, default) in
            [("/", "/"), ("", "/"), ("*", "/"), ("a/b", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a"), ("//", "/")]
        {
            assert_eq!(Place { hosts: &["h"], paths: &[path] }.default_path(), default, "{path}");
        }
        assert_eq!(Place { hosts: &[], paths: &[] }.default_path(), "/");
    }

    #[test]
    fn names_below_which_strangers_register_are_public_suffixes() {
        for public in
            ["com", "co.uk", "github.io", "xn--55qx5d.cn", "xn--p1ai", "anything.ck", "localhost", "wiki", "internal"]
        {
            assert!(is_public_suffix(public), "{public}");
        }
        for private in
            ["example.com", "example.co.uk", "x.github.io", "www.ck", "wiki.internal", "127.0.0.1", "::1", "[::1]", ""]
        {
            assert!(!is_public_suffix(private), "{private}");
        }
    }
}
