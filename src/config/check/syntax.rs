//! The small grammars that several checks share: tokens, host names, paths.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A token of RFC 9110 §5.6.2: header and cookie names.
pub(super) fn is_token(text: &str) -> bool {
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// A DNS name or IPv4 address; `_` is allowed, since Compose service names have it.
pub(super) fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(valid) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether the text is an IPv4 address.
pub(super) fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// `HOST` or `HOST:PORT`, where an IPv6 address stands in brackets.
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_host_name(host), port)
        }
    };
    host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// An IPv6 address as it stands in a `Host` header, without a port.
pub(super) fn is_bracketed_ipv6(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|number| number > 0)
}

/// Whether a path is its own normal form: no empty, `.` or `..` segment, nothing encoded, no query.
/// One `/` at the end is allowed.
pub(super) fn is_normal_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !"%?#\\;\"<>".contains(c);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
    path.chars().all(is_plain) && (path == "/" || rest.split('/').all(is_segment))
}

/// Whether `path` is `prefix` or below it, at a segment boundary.
pub(super) fn covers(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn authorities_have_a_host_and_perhaps_a_port() {
        for good in ["wiki", "wiki:8080", "10.0.0.1:1", "[::1]", "[::1]:80", "my_app:65535"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in
            ["", ":80", "wiki:", "wiki:0", "wiki:65536", "wiki:+1", "a b", "u@wiki", "[::1", "[::1]80", "::1", "a/b"]
        {
            assert!(!is_authority(bad), "{bad}");
        }
    }

    #[test]
    fn normal_paths_have_no_second_spelling() {
        for good in ["/", "/a", "/a/b.c/", "/.session", "/ä"] {
            assert!(is_normal_path(good), "{good}");
        }
        for bad in ["", "a", "//", "/a//b", "/a//", "/./a", "/a/..", "/%61", "/a?b", "/a#b", "/a\\b", "/a;b", "/a b"] {
            assert!(!is_normal_path(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = (is_authority(&text), is_normal_path(&text), is_host_name(&text), is_token(&text));
        }
    }
}
