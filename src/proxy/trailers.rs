//! Which trailers of a response go on to the client: those announced, minus all that could be taken for more.
//!
//! `forward` settles the names at the head, `body` applies them. A trailer never becomes a header.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

/// The names the app announced and may send after the body. `None` is the usual case, and costs nothing.
pub(super) type Announced = Option<Box<[HeaderName]>>;

/// Reads the `Trailer` lines and leaves one with the names that will be forwarded, or none.
pub(super) fn announce(headers: &mut HeaderMap) -> Announced {
    let lines = headers.get_all(header::TRAILER).iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let names = tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
    let names: Box<[HeaderName]> = names.filter(may_trail).collect();
    headers.remove(header::TRAILER);
    let line = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    let line = HeaderValue::try_from(line).ok().filter(|line| !line.is_empty())?;
    headers.insert(header::TRAILER, line);
    Some(names)
}

/// The trailers that were announced; `None` when none is left.
pub(super) fn filter(mut trailers: HeaderMap, announced: Option<&[HeaderName]>) -> Option<HeaderMap> {
    let announced = announced?;
    let unwelcome: Vec<_> = trailers.keys().filter(|name| !announced.contains(name)).cloned().collect();
    for name in unwelcome {
        trailers.remove(name);
    }
    (!trailers.is_empty()).then_some(trailers)
}

/// RFC 9110 §6.5.1: nothing about framing, routing, authentication, cookies or the meaning of the content;
/// and none of the names that speak between gateway and app.
fn may_trail(name: &HeaderName) -> bool {
    const OURS: [&str; 6] = ["session-", "cloakroom-", "remote-", "x-forwarded-", "proxy-", "access-control-"];
    const FORBIDDEN: [HeaderName; 27] = [
        header::AGE,
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_LOCATION,
        header::CONTENT_RANGE,
        header::CONTENT_SECURITY_POLICY,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::DATE,
        header::EXPIRES,
        header::HOST,
        HeaderName::from_static("keep-alive"),
        header::LOCATION,
        header::RETRY_AFTER,
        header::SET_COOKIE,
        header::STRICT_TRANSPORT_SECURITY,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::VARY,
        header::VIA,
        header::WARNING,
        header::WWW_AUTHENTICATE,
    ];
    !FORBIDDEN.contains(name) && !OURS.iter().any(|prefix| name.as_str().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn only_announced_and_harmless_trailers_go_on() {
        let mut head = headers(&[("trailer", "X-Sum, Set-Cookie, session-user,, x y")]);
        let announced = announce(&mut head);
        assert_eq!(head["trailer"], "x-sum");
        let trailers = headers(&[("x-sum", "1"), ("set-cookie", "a=b"), ("session-user", "eve"), ("x-other", "2")]);
        assert_eq!(filter(trailers, announced.as_deref()), Some(headers(&[("x-sum", "1")])));
    }

    #[test]
    fn without_an_announcement_nothing_goes_on() {
        assert_eq!(filter(headers(&[("x-sum", "1")]), announce(&mut headers(&[])).as_deref()), None);
        let mut head = headers(&[("trailer", "set-cookie")]);
        assert_eq!(announce(&mut head), None);
        assert!(head.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_announced_may_trail(line in "[ -~]{0,40}") {
            let announced = announce(&mut headers(&[("trailer", &line)]));
            prop_assert!(announced.iter().flatten().all(may_trail));
        }
    }
}
