//! The head of a response: refused when its framing is ambiguous, else cleaned of what is hop-by-hop.
//!
//! `forward` and `upgrade` call it before anything of the response reaches the client. hyper's client
//! takes all that is refused here.

use http::header::{self, HeaderName, HeaderValue};
use http::response::Parts;
use http::{StatusCode, Version};

use crate::http::headers::strip_hop_by_hop;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Longest idle time of a pooled connection, unless the app says less: servers and firewalls commonly
/// close after 60 s.
const KEEP_SECONDS: u32 = 55;

/// Refuses a head that two readers could understand in two ways (RFC 9112 §6.3, §11.2).
pub(super) fn check(head: &Parts, upgrade_asked: bool) -> Result<(), &'static str> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS && !upgrade_asked {
        return Err("101 without having been asked to switch protocols");
    }
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Err("an informational status as the final one");
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let (coding, length) = (codings.next(), lengths.next());
    if codings.next().is_some() || coding.is_some_and(|value| !is_chunked(value)) {
        return Err("a Transfer-Encoding other than exactly `chunked`");
    }
    if coding.is_some() && length.is_some() {
        return Err("both Transfer-Encoding and Content-Length");
    }
    if coding.is_some() && head.version < Version::HTTP_11 {
        return Err("Transfer-Encoding in HTTP/1.0");
    }
    if lengths.next().is_some() {
        return Err("more than one Content-Length");
    }
    if length.is_some_and(|value| !is_number(value)) {
        return Err("a Content-Length that is not a number");
    }
    Ok(())
}

fn is_chunked(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"chunked")
}

fn is_number(value: &HeaderValue) -> bool {
    let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
    digits && value.to_str().is_ok_and(|text| text.parse::<u64>().is_ok())
}

/// Seconds this connection may idle after the response: one less than the app's own timeout. 0 = close.
pub(super) fn keep_seconds(head: &Parts) -> u32 {
    if head.version < Version::HTTP_11 {
        // hyper would speak HTTP/1.0 from now on, and drop a chunked request body without a word.
        return 0;
    }
    let told = head.headers.get(KEEP_ALIVE).and_then(|value| timeout(value.as_bytes()));
    told.map_or(KEEP_SECONDS, |seconds| seconds.saturating_sub(1).min(KEEP_SECONDS))
}

fn timeout(keep_alive: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(keep_alive).ok()?;
    let parameters = text.split(',').filter_map(|parameter| parameter.split_once('='));
    let mut timeouts = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"));
    timeouts.next().and_then(|(_, seconds)| seconds.trim().parse().ok())
}

/// Takes out all that concerns only the connection to the app (RFC 9110 §7.6.1); `Trailer` is left.
pub(super) fn clean(head: &mut Parts) {
    head.version = Version::HTTP_11;
    let headers = &mut head.headers;
    strip_hop_by_hop(headers);
    // Leading zeros are octal to some readers.
    let length = headers.get_mut(header::CONTENT_LENGTH).filter(|value| value.as_bytes().starts_with(b"0"));
    if let Some(value) = length {
        let number: u64 = value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        *value = number.into();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> Parts {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response
                .headers_mut()
                .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        response.into_parts().0
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for headers in [
            &[("transfer-encoding", "chunked"), ("content-length", "3")][..],
            &[("transfer-encoding", ",chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "gzip")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("content-length", "3"), ("content-length", "3")],
            &[("content-length", "3, 3")],
            &[("content-length", "+3")],
            &[("content-length", "")],
            &[("content-length", "99999999999999999999")],
        ] {
            assert!(check(&head(200, headers), false).is_err(), "{headers:?}");
        }
        assert!(check(&head(200, &[("transfer-encoding", "Chunked")]), false).is_ok());
        assert!(check(&head(200, &[("content-length", "3")]), false).is_ok());
    }

    #[test]
    fn a_switch_of_protocols_must_have_been_asked_for() {
        assert!(check(&head(101, &[]), false).is_err());
        assert!(check(&head(101, &[]), true).is_ok());
    }

    #[test]
    fn hop_by_hop_headers_go_with_all_that_every_connection_line_names() {
        let mut head = head(
            200,
            &[
                ("connection", "keep-alive, X-One"),
                ("connection", "x-two, content-length"),
                ("x-one", "1"),
                ("x-two", "2"),
                ("x-two", "again"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "close"),
                ("proxy-authenticate", "Basic"),
                ("te", "trailers"),
                ("upgrade", "h2c"),
                ("content-length", "007"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
            ],
        );
        head.version = Version::HTTP_10;
        clean(&mut head);
        let left: Vec<_> =
            head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(left, ["content-length: 7", "set-cookie: a=1", "set-cookie: b=2"]);
        assert_eq!(head.version, Version::HTTP_11);
    }

    #[test]
    fn a_connection_is_kept_for_less_than_the_app_keeps_it() {
        let kept = |text| keep_seconds(&head(200, &[("keep-alive", text)]));
        assert_eq!([kept("timeout=5, max=100"), kept("max=9, Timeout = 2"), kept("timeout=0")], [4, 1, 0]);
        assert_eq!([kept("timeout=600"), kept("nonsense"), keep_seconds(&head(200, &[]))], [55, 55, 55]);
        let mut old = head(200, &[("connection", "keep-alive")]);
        old.version = Version::HTTP_10;
        assert_eq!(keep_seconds(&old), 0);
    }

    proptest! {
        #[test]
        fn no_connection_line_stops_the_cleaning(line in "[ -~]{0,40}") {
            let mut head = head(200, &[("connection", &line), ("x", "y"), ("content-length", "1")]);
            clean(&mut head);
            prop_assert!(!head.headers.contains_key("connection"));
            prop_assert!(head.headers.contains_key("content-length"));
        }

        #[test]
        fn no_keep_alive_text_gives_more_than_the_longest_time(text in "(timeout|max|=|,|[0-9]{1,12}| ){0,8}") {
            prop_assert!(keep_seconds(&head(200, &[("keep-alive", &text)])) <= KEEP_SECONDS);
        }
    }
}
