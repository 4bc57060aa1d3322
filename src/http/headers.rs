//! Hop-by-hop fields and the folding of names: what every proxy must take out of a message.

use http::HeaderMap;
use http::header::{self, Entry, HeaderName, HeaderValue};

/// Fields that concern one connection only (RFC 9110 §7.6.1), beyond those `Connection` nominates.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "proxy-connection"
            | "keep-alive"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// What a `Connection` line may not take away: it would cut a field the message cannot be judged without.
const NEVER_NOMINATED: [HeaderName; 4] = [header::HOST, header::CONTENT_LENGTH, header::COOKIE, header::AUTHORIZATION];

/// Removes the hop-by-hop fields of a request. That trailers are welcome is said anew for the next hop
/// (RFC 9110 §10.1.4).
pub fn strip_request(headers: &mut HeaderMap) {
    let trailers = list_contains(headers, &header::TE, "trailers");
    strip_hop_by_hop(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Removes the hop-by-hop fields of a message, those named in every `Connection` line first.
// SECURITY: runs before we add our own headers, so that none of ours can be nominated away (CVE-2022-31813).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // PERF: most messages have none of them; one look at the names settles that.
    let mut doomed: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned().collect();
    if doomed.contains(&header::CONNECTION) {
        doomed.extend(nominated(headers).into_iter().filter(|name| !NEVER_NOMINATED.contains(name)));
    }
    for name in &doomed {
        headers.remove(name);
    }
}

/// The names that the `Connection` lines list, all of them.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let tokens = headers.get_all(header::CONNECTION).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok()).collect()
}

/// Whether a comma-separated list field contains `token`, compared without regard to case.
#[must_use]
pub fn list_contains(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let has = |line: &HeaderValue| {
        line.as_bytes().split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    headers.get_all(name).iter().any(has)
}

/// Whether a response is a stream of events, which has no end of its own (HTML, server-sent events).
#[must_use]
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let essence = |line: &HeaderValue| {
        let name = line.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    };
    headers.get(header::CONTENT_TYPE).is_some_and(essence)
}

/// The name as apps behind CGI, WSGI, PHP or a servlet container may see it: every separator is `-`,
/// and a leading `HTTP_` is gone.
#[must_use]
pub fn fold(name: &str) -> String {
    let folded: String = name
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b.to_ascii_lowercase()) } else { '-' })
        .collect();
    folded.strip_prefix("http-").map(str::to_owned).unwrap_or(folded)
}

/// Whether folding leaves the (lower-case) name as it is.
#[must_use]
pub fn is_folded(name: &str) -> bool {
    !name.starts_with("http-") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Adds `Cookie` to `Vary` unless it is there already, or `*` is.
pub fn add_vary_cookie(headers: &mut HeaderMap) {
    let covers = |item: &[u8]| item.eq_ignore_ascii_case(b"cookie") || item == b"*";
    let items = |line: &HeaderValue| line.as_bytes().split(|b| *b == b',').any(|item| covers(item.trim_ascii()));
    let cookie = HeaderValue::from_static("Cookie");
    // PERF: through the entry the name is looked up once.
    match headers.entry(header::VARY) {
        Entry::Vacant(vary) => drop(vary.insert(cookie)),
        Entry::Occupied(vary) if vary.iter().any(items) => {}
        Entry::Occupied(mut vary) => vary.append(cookie),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn fields_nominated_in_any_connection_line_are_removed() {
        let mut map = headers(&[
            ("connection", "close, X-One"),
            ("connection", "x-TWO,keep-alive"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
        ]);
        strip_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("x-three", "3")]));
    }

    #[test]
    fn that_trailers_are_welcome_is_said_anew() {
        let mut map = headers(&[("connection", "TE, close"), ("te", "gzip, Trailers")]);
        strip_request(&mut map);
        assert_eq!(map, headers(&[("te", "trailers"), ("connection", "te")]));
    }

    #[test]
    fn host_cookie_and_authorization_cannot_be_nominated_away() {
        let kept = [("host", "a"), ("cookie", "a=1"), ("authorization", "Basic x"), ("content-length", "1")];
        let mut map = headers(&kept);
        map.append(header::CONNECTION, HeaderValue::from_static("host, cookie, authorization, content-length"));
        strip_hop_by_hop(&mut map);
        assert_eq!(map, headers(&kept));
    }

    #[test]
    fn names_fold_as_the_strangest_app_would() {
        for name in ["X_Remote_User", "x.remote.user", "X-Remote_User", "HTTP_X_REMOTE_USER", "x~remote|user"] {
            assert_eq!(fold(name), "x-remote-user", "{name}");
        }
        assert!(is_folded("x-remote-user"));
        assert!(!is_folded("x_remote_user") && !is_folded("http-x-remote-user"));
    }

    #[test]
    fn vary_is_extended_once() {
        let mut map = headers(&[("vary", "Accept-Encoding, cookie")]);
        add_vary_cookie(&mut map);
        assert_eq!(map.get_all("vary").iter().count(), 1);
        let mut map = headers(&[("vary", "Accept")]);
        add_vary_cookie(&mut map);
        add_vary_cookie(&mut map);
        assert_eq!(map.get_all("vary").iter().count(), 2);
    }
}
