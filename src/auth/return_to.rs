//! Where the browser goes after sign-in or sign-out (`rd`): a path of this origin, or a page of a configured host.
//!
//! Called by the forms both when the target is taken from the request and when it is used. Whatever fails here is
//! dropped, never repaired: open redirects come from repairing (CVE-2020-5233, CVE-2020-11053, CVE-2021-21291).

use std::collections::HashSet;
use std::fmt;

const MAX_BYTES: usize = 2048;

/// Hosts of the configured routes, to which an absolute target may lead.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    exact: HashSet<String>,
    /// `.example.com` for a configured `*.example.com`.
    suffixes: Vec<String>,
}

impl AllowedHosts {
    /// From the routes' hosts: `wiki.example.com` or `*.example.com`.
    pub fn from_hosts<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut allowed = Self::default();
        for host in hosts {
            let host = host.to_ascii_lowercase();
            match host.strip_prefix('*') {
                Some(suffix) if suffix.len() > 1 && suffix.starts_with('.') => allowed.suffixes.push(suffix.to_owned()),
                Some(_) => {}
                None if host.is_empty() => {}
                None => drop(allowed.exact.insert(host)),
            }
        }
        allowed
    }

    /// Whether `host` is a configured one.
    ///
    /// SECURITY: a suffix is compared at a label's boundary, and what stands before it must be plain labels:
    /// `https://evil.com@x.example.com` ends with `.example.com` too.
    fn contains(&self, host: &str) -> bool {
        let plain = host.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
        let below = |suffix: &String| host.strip_suffix(suffix.as_str()).is_some_and(|labels| !labels.is_empty());
        plain && (self.exact.contains(host) || self.suffixes.iter().any(below))
    }
}

/// A target that cannot lead a browser to a host nobody configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The start page, where a refused target leads.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Accepts `raw` as it stands, or not at all.
    ///
    /// A path starts with exactly one `/` and holds no dot segment: `/..//evil` resolves to `//evil`, which the
    /// next redirect would take for a host. A URL is `http` or `https`, its host a configured one, written plainly
    /// in lower case, without user or port. Both are at most 2048 visible ASCII characters, without backslash and
    /// without encoded control characters.
    #[must_use]
    pub fn parse(raw: &str, hosts: &AllowedHosts) -> Option<Self> {
        let plain = raw.len() <= MAX_BYTES && raw.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        if !plain || has_encoded_control(raw) {
            return None;
        }
        let local = match raw.strip_prefix("https://").or_else(|| raw.strip_prefix("http://")) {
            Some(rest) => {
                let (host, local) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                hosts.contains(host).then_some(local)?
            }
            None => raw.starts_with('/').then_some(raw)?,
        };
        is_safe_path(local).then(|| Self(raw.to_owned()))
    }

    /// For the `Location` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `%00`–`%1f` and `%7f`: a sloppy decoder further on would make line breaks and tabs of them.
fn has_encoded_control(text: &str) -> bool {
    text.as_bytes().windows(3).any(|w| {
        w[0] == b'%'
            && ((matches!(w[1], b'0' | b'1') && w[2].is_ascii_hexdigit()) || w[1..].eq_ignore_ascii_case(b"7f"))
    })
}

/// No second slash at the start, plain or encoded, no encoded backslash and no dot segment anywhere.
fn is_safe_path(local: &str) -> bool {
    let path = &local[..local.find(['?', '#']).unwrap_or(local.len())];
    // SECURITY: `//host`, and what a server that decodes once more would make of `/%2fhost`, is a host.
    let lower = path.to_ascii_lowercase();
    let leaves = lower.starts_with("//") || lower.starts_with("/%2f") || lower.contains("%5c");
    !leaves && !lower.replace("%2f", "/").split('/').any(is_dot_segment)
}

/// `.`, `..`, encoded or with parameters (`..;x`).
fn is_dot_segment(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default().replace("%2e", ".");
    name == "." || name == ".."
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn hosts() -> AllowedHosts {
        AllowedHosts::from_hosts(["good.com", "Wiki.Example.com", "*.apps.example", "*", "*.", "*evil.com"])
    }

    #[test]
    fn targets_on_this_origin_or_a_configured_host_are_accepted() {
        let accepted = [
            "/",
            "/wiki",
            "/wiki/Main%20Page?action=edit&next=/x//y#top",
            "/a//b",
            "/@alice",
            "/a%2fb",
            "/search?q=https://evil.example",
            "/search?q=..",
            "/files/..hidden/a.b",
            "/?x=%5c",
            "https://good.com",
            "https://good.com/",
            "https://good.com?x=1",
            "http://good.com/a//b",
            "https://wiki.example.com/x",
            "https://a.apps.example/",
            "https://a.b.apps.example/",
        ];
        for raw in accepted {
            assert_eq!(ReturnTo::parse(raw, &hosts()).as_ref().map(ReturnTo::as_str), Some(raw));
        }
    }

    #[test]
    fn targets_that_could_lead_elsewhere_are_refused() {
        let long = format!("/{}", "a".repeat(8192));
        let refused = [
            "",
            " ",
            " /a",
            "/a ",
            "a",
            "wiki/x",
            "?x",
            "#x",
            ".",
            "..",
            "../x",
            "//",
            "//evil.com",
            "///evil.com",
            "////evil.com",
            "/\\evil.com",
            "\\evil.com",
            "\\\\evil.com",
            "\\/evil.com",
            "/\\/evil.com",
            "/a\\b",
            "/%5cevil.com",
            "/%5Cevil.com",
            "/%2fevil.com",
            "/%2Fevil.com",
            "/\t/evil.com",
            "/\n/evil.com",
            "/\r\nSet-Cookie: a=b",
            "\t//evil.com",
            "\u{1}//evil.com",
            "/\u{0}/evil.com",
            "/\u{7f}/evil.com",
            "/%09/evil.com",
            "/%0a/evil.com",
            "/%0d%0aX: y",
            "/%0D%0Ax",
            "/%00",
            "/%1f",
            "/%7f",
            "/%7F",
            "/a?b=%0a",
            "/ /evil.com",
            "/..//evil.com",
            "/.//evil.com",
            "/a/../..//evil.com",
            "/%2e%2e//evil.com",
            "/.%2E//evil.com",
            "/..;//evil.com",
            "/..%2f/evil.com",
            "/a/..",
            "https:evil.com",
            "https:/evil.com",
            "https:///evil.com",
            "https:////evil.com",
            "https:good.com",
            "http:///good.com",
            "HTTPS://good.com",
            "https://GOOD.com",
            "https://evil.com",
            "https://evil.com/good.com",
            "https://evil.com?good.com",
            "https://evil.com#good.com",
            "https://evil.com/.good.com",
            "https://good.com.evil",
            "https://good.com.",
            "https://good.com@evil.com",
            "https://good.com:x@evil.com",
            "https://good.com%40evil.com",
            "https://user@good.com",
            "https://@good.com",
            "https://good.com:443",
            "https://good.com:8443/",
            "https://good.com:",
            "https://evilgood.com",
            "https://sub.good.com",
            "https://apps.example",
            "https://.apps.example",
            "https://evilapps.example",
            "https://a.apps.example.evil.com",
            "https://evil.com@a.apps.example",
            "https://evil.com:80.apps.example",
            "https://evil.com%2f.apps.example",
            "https://A.apps.example",
            "https://good.com\\@evil.com",
            "https://good.com/..//evil.com",
            "https://evil.com\\good.com",
            "https://[::1]/",
            "https://127.0.0.1/",
            "https://good.com\u{ff0f}evil.com",
            "/\u{ff0f}evil.com",
            "/\u{2028}evil.com",
            "/\u{ff3c}evil.com",
            "/\u{3002}evil.com",
            "/caf\u{e9}",
            "ftp://good.com",
            "ws://good.com",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\tscript:alert(1)",
            "javascript://good.com/%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "mailto:a@good.com",
            "//good.com",
            "///good.com",
            "@evil.com",
            ":80",
            "good.com",
            &long,
        ];
        for raw in refused {
            assert_eq!(ReturnTo::parse(raw, &hosts()), None, "{raw:?}");
        }
    }

    #[test]
    fn without_configured_hosts_only_paths_are_accepted() {
        let none = AllowedHosts::default();
        assert!(ReturnTo::parse("/a", &none).is_some());
        assert!(ReturnTo::parse("https://good.com/", &none).is_none());
        assert!(ReturnTo::parse("https:///", &AllowedHosts::from_hosts(["", "*"])).is_none());
    }

    /// Text made of the pieces that confuse URL parsers.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/"),
            Just("\\"),
            Just("//"),
            Just(".."),
            Just("."),
            Just("%2f"),
            Just("%5c"),
            Just("%2e"),
            Just("%09"),
            Just("@"),
            Just(":"),
            Just("?"),
            Just("#"),
            Just(";"),
            Just("\t"),
            Just("\n"),
            Just("evil.com"),
            Just("good.com"),
            Just(".apps.example"),
            Just("https://"),
            Just("https:"),
            Just("http://"),
            Just("a"),
            Just("["),
            Just("]"),
            Just("\u{ff0f}"),
            Just("%"),
        ];
        prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
    }

    fn keeps_origin(raw: &str) -> bool {
        let base = Url::parse("https://origin.example/login").unwrap();
        let joined = base.join(raw).unwrap();
        let target = joined.host_str().unwrap();
        let expected = if raw.starts_with('/') { target == "origin.example" } else { hosts().contains(target) };
        expected && !joined.path().starts_with("//") && joined.port().is_none() && joined.username().is_empty()
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_where_a_browser_would_resolve_it(raw in hostile()) {
            if ReturnTo::parse(&raw, &hosts()).is_some() {
                prop_assert!(keeps_origin(&raw), "{raw:?}");
            }
        }

        #[test]
        fn a_path_of_any_characters_keeps_the_origin(rest in ".{0,40}") {
            let raw = format!("/{rest}");
            if ReturnTo::parse(&raw, &hosts()).is_some() {
                prop_assert!(keeps_origin(&raw), "{raw:?}");
            }
        }

        #[test]
        fn what_is_accepted_is_a_valid_header_value(raw in hostile()) {
            if let Some(target) = ReturnTo::parse(&raw, &hosts()) {
                prop_assert!(http::HeaderValue::from_str(target.as_str()).is_ok());
            }
        }
    }
}
