//! The request target, settled once: one host and one path for routing, policy *and* forwarding.
//!
//! `pipeline` calls [`Host::parse`] and [`normalise_path`] before anything else looks at a request.
//! What is decided about is byte for byte what the app gets; a target that could be read in two ways
//! is refused, never repaired (RFC 3986 §6.2.2, RFC 9110 §4.2.3).

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Why a target is refused. The client is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The `Host` (or `:authority`) is not a host name or address with an optional port.
    #[error("the Host header is missing or malformed")]
    Host,
    /// `%` without two hexadecimal digits.
    #[error("the path has a broken percent-encoding")]
    Encoding,
    /// An encoded separator, dot segment or control character: the app might decode it to another path.
    #[error("the path encodes a character that apps read in different ways")]
    Ambiguous,
    /// The path does not begin with `/`.
    #[error("the request target is not a path")]
    Form,
}

/// A host as the client named it, in the one spelling that is compared: lower case, no trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host<'a> {
    name: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `NAME`, `NAME:PORT`, `ADDRESS:PORT` or `[IPV6]:PORT`.
    ///
    /// # Errors
    /// [`TargetError::Host`] for user information, empty names, bad ports and anything beyond letters,
    /// digits, `-`, `_` and dots.
    pub fn parse(text: &'a str) -> Result<Self, TargetError> {
        let (name, port) = split_port(text)?;
        let name = name.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(name);
        if !is_ipv6_literal(name) && !is_reg_name(name) {
            return Err(TargetError::Host);
        }
        let name = match name.bytes().any(|b| b.is_ascii_uppercase()) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        };
        Ok(Self { name, port })
    }

    /// The name without port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `text` is exactly how this host prints.
    #[must_use]
    pub fn is_written_so(&self, text: &[u8]) -> bool {
        let rest = text.strip_prefix(self.name.as_bytes());
        match (rest, self.port) {
            (Some([]), None) => true,
            // Read from these digits (see `split_port`), so only leading zeros could differ.
            (Some([b':', digits @ ..]), Some(_)) => !digits.starts_with(b"0"),
            _ => false,
        }
    }

    /// The port, when the client wrote one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl std::fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

// PERF: plain loops over bytes: every request comes through here, and string searchers cost three times as much.
fn split_port(text: &str) -> Result<(&str, Option<u16>), TargetError> {
    let colon = match text.strip_prefix('[') {
        Some(rest) => rest.bytes().position(|b| b == b']').map(|end| end + 2).ok_or(TargetError::Host)?,
        None => text.bytes().position(|b| b == b':').unwrap_or(text.len()),
    };
    let (name, rest) = text.split_at_checked(colon).ok_or(TargetError::Host)?;
    match rest.as_bytes() {
        // RFC 3986 §3.2.3 allows an empty port; it means none.
        [] | [b':'] => Ok((name, None)),
        [b':', digits @ ..] => Ok((name, Some(port(digits)?))),
        _ => Err(TargetError::Host),
    }
}

fn port(digits: &[u8]) -> Result<u16, TargetError> {
    let mut port: u16 = 0;
    for digit in digits {
        let value = u16::from(digit.wrapping_sub(b'0'));
        let next = port.checked_mul(10).and_then(|port| port.checked_add(value)).filter(|_| value < 10);
        port = next.ok_or(TargetError::Host)?;
    }
    Some(port).filter(|port| *port > 0).ok_or(TargetError::Host)
}

fn is_ipv6_literal(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Underscores are not in RFC 952 but in many an internal name.
fn is_reg_name(name: &str) -> bool {
    let mut label = 0;
    for byte in name.bytes() {
        match byte {
            b'.' if label == 0 => return false,
            b'.' => label = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < 63 => label += 1,
            _ => return false,
        }
    }
    label > 0 && name.len() <= 253
}

/// The name or address in `HOST[:PORT]`; IPv6 in its brackets.
#[must_use]
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => authority,
    }
}

/// The one form of `path`: unreserved characters decoded, `//` merged, literal dot segments resolved.
///
/// # Errors
/// See [`TargetError`]: encoded `/`, `\`, dots that make a segment, controls and overlong UTF-8, raw `\`,
/// and `..;` (which servlet containers read as `..`).
pub fn normalise_path(path: &str) -> Result<Cow<'_, str>, TargetError> {
    if !path.starts_with('/') {
        return Err(TargetError::Form);
    }
    // PERF: nearly every path is plain already; one scan settles that without copying.
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode_unreserved(path)?;
    check_segments(&decoded)?;
    // SECURITY: dot segments count only where the client wrote them literally; an encoded one is refused.
    if has_encoded_dot_segment(path) {
        return Err(TargetError::Ambiguous);
    }
    Ok(Cow::Owned(resolve_dots(&decoded)))
}

/// The laxest way an app may read `path`: case, path parameters and trailing dots or blanks ignored.
///
/// A request whose strict and lax readings fall on different routes is refused by `pipeline`.
/// `None` when both readings are the same.
#[must_use]
pub fn lax_reading(path: &str) -> Option<String> {
    let unusual = |b: u8| b.is_ascii_uppercase() || matches!(b, b';' | b'%' | b'.');
    if !path.bytes().any(unusual) {
        return None;
    }
    let lax: Vec<String> = path.split('/').map(lax_segment).collect();
    let lax = lax.join("/");
    (lax != path).then_some(lax)
}

fn lax_segment(segment: &str) -> String {
    let bare = segment.split(';').next().unwrap_or_default().to_ascii_lowercase();
    let mut bare = bare.as_str();
    while let Some(shorter) = bare.strip_suffix('.').or_else(|| bare.strip_suffix("%20")) {
        bare = shorter;
    }
    bare.to_owned()
}

fn is_plain(path: &[u8]) -> bool {
    let odd = |pair: &[u8]| pair[0] == b'/' && matches!(pair[1], b'/' | b'.');
    !path.iter().any(|b| matches!(b, b'%' | b'\\' | b';')) && !path.windows(2).any(odd)
}

fn decode_unreserved(path: &str) -> Result<String, TargetError> {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut previous = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            if byte == b'\\' || !byte.is_ascii_graphic() {
                return Err(TargetError::Ambiguous);
            }
            out.push(char::from(byte));
            previous = None;
            at += 1;
            continue;
        }
        let decoded = hex_pair(bytes.get(at + 1..at + 3)).ok_or(TargetError::Encoding)?;
        refuse_encoded(decoded, previous)?;
        match decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded) {
            true => out.push(char::from(decoded)),
            false => out.push_str(&path[at..at + 3]),
        }
        previous = Some(decoded);
        at += 3;
    }
    Ok(out)
}

fn hex_pair(digits: Option<&[u8]>) -> Option<u8> {
    let text = std::str::from_utf8(digits?).ok()?;
    // `from_str_radix` takes a sign; two hexadecimal digits do not.
    text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(text, 16).ok())?
}

fn refuse_encoded(byte: u8, previous: Option<u8>) -> Result<(), TargetError> {
    let continuation = (0x80..=0xbf).contains(&byte);
    let overlong = match previous {
        Some(0xc0 | 0xc1) => continuation,
        Some(0xe0) => (0x80..=0x9f).contains(&byte),
        Some(0xf0) => (0x80..=0x8f).contains(&byte),
        _ => false,
    };
    match byte {
        b'/' | b'\\' | 0x00..=0x1f | 0x7f => Err(TargetError::Ambiguous),
        _ if overlong => Err(TargetError::Ambiguous),
        _ => Ok(()),
    }
}

fn check_segments(decoded: &str) -> Result<(), TargetError> {
    let disguised = |segment: &str| {
        let bare = segment.split(';').next().unwrap_or_default();
        segment.contains(';') && matches!(bare, "" | "." | "..")
    };
    match decoded.split('/').any(disguised) {
        true => Err(TargetError::Ambiguous),
        false => Ok(()),
    }
}

fn has_encoded_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let lower = segment.to_ascii_lowercase();
        lower.contains("%2e") && matches!(lower.replace("%2e", ".").as_str(), "." | "..")
    })
}

fn resolve_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.split('/').skip(1) {
        ends_in_directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    if ends_in_directory || segments.is_empty() {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Result<String, TargetError> {
        normalise_path(text).map(Cow::into_owned)
    }

    #[test]
    fn plain_paths_pass_without_a_copy() {
        for text in ["/", "/a/b", "/a.b/c.d", "/~tom/x-y_z", "/a+b,c=d"] {
            assert!(matches!(normalise_path(text), Ok(Cow::Borrowed(same)) if same == text), "{text}");
        }
    }

    #[test]
    fn every_spelling_of_a_path_becomes_one() {
        for (text, want) in [
            ("/a/../admin", "/admin"),
            ("/./admin", "/admin"),
            ("//admin", "/admin"),
            ("/x//y", "/x/y"),
            ("/%61dmin", "/admin"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/../../x", "/x"),
            ("/%7Etom", "/~tom"),
            ("/caf%c3%a9", "/caf%c3%a9"),
            ("/%252e", "/%252e"),
            ("/admin;x=1", "/admin;x=1"),
            ("/.session/", "/.session/"),
        ] {
            assert_eq!(path(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_apps_read_in_different_ways_is_refused() {
        for text in [
            "/%2e%2e/admin",
            "/.%2e/admin",
            "/%2E/admin",
            "/a%2f..%2fadmin",
            "/a%2Fb",
            "/\\admin",
            "/%5cadmin",
            "/%00",
            "/a%0d%0ab",
            "/%7f",
            "/a/..;/admin",
            "/.;x/admin",
            "/;/admin",
            "/%c0%ae%c0%ae/admin",
            "/%e0%80%af",
            "/%f0%80%80%af",
        ] {
            assert_eq!(path(text), Err(TargetError::Ambiguous), "{text}");
        }
        for text in ["/%", "/%2", "/%zz", "/%+1", "/a%"] {
            assert_eq!(path(text), Err(TargetError::Encoding), "{text}");
        }
        for text in ["", "*", "admin", "http://a/"] {
            assert_eq!(path(text), Err(TargetError::Form), "{text}");
        }
    }

    #[test]
    fn the_lax_reading_shows_what_a_lenient_app_may_see() {
        assert_eq!(lax_reading("/ADMIN").as_deref(), Some("/admin"));
        assert_eq!(lax_reading("/admin;x=1/y").as_deref(), Some("/admin/y"));
        assert_eq!(lax_reading("/admin%20").as_deref(), Some("/admin"));
        assert_eq!(lax_reading("/admin.").as_deref(), Some("/admin"));
        assert_eq!(lax_reading("/admin/a.txt"), None);
    }

    #[test]
    fn hosts_are_compared_in_one_spelling() {
        for (text, name, port) in [
            ("A.EXAMPLE.com.", "a.example.com", None),
            ("a.example.com:8080", "a.example.com", Some(8080)),
            ("[::1]:80", "[::1]", Some(80)),
            ("[::1]", "[::1]", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("my_app:", "my_app", None),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!((host.name(), host.port()), (name, port), "{text}");
        }
    }

    #[test]
    fn malformed_hosts_are_refused() {
        for text in [
            "",
            ".",
            "a@evil",
            "a:99999",
            "a:0",
            "a:8x",
            "a b",
            "a/..",
            "a#x",
            "[::1",
            "[]",
            "[zz]",
            "::1",
            "a..b",
            ":80",
            "a:80:80",
            "ä.example",
            "a%41",
        ] {
            assert_eq!(Host::parse(text), Err(TargetError::Host), "{text}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "/[a-zA-Z0-9%./;~\\\\-]{0,40}") {
            if let Ok(once) = path(&text) {
                prop_assert_eq!(path(&once), Ok(once.clone()));
                prop_assert!(!once.contains("//") && !once.split('/').any(|s| s == "." || s == ".."));
            }
        }

        #[test]
        fn a_host_prints_as_what_it_was_read_from(text in "\\PC{0,60}") {
            if let Ok(host) = Host::parse(&text) {
                let printed = host.to_string();
                prop_assert_eq!(Host::parse(&printed).unwrap().to_string(), printed);
            }
        }
    }
}
