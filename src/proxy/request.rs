//! The head of a request as the app gets it, with its framing written anew.
//!
//! `exchange` uses it. Headers about the user, the host or the client are not its business.

use std::io::Write as _;

use http::Method;
use http::header::HeaderName;
use http::request::Parts;
use http_body::Body;

use crate::http::lines::HeaderLines;

/// Room for most heads; a longer one moves once or twice. The allocator's fast path ends here.
const ROOM: usize = 1024;

/// How the request body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Known(u64),
    /// Sent in chunks.
    Unknown,
}

impl Length {
    /// What `body` really is, whatever the client's headers said.
    pub(super) fn of(body: &impl Body) -> Self {
        if body.is_end_stream() {
            return Self::Known(0);
        }
        body.size_hint().exact().map_or(Self::Unknown, Self::Known)
    }
}

/// Writes the head for HTTP/1.1: the request's own headers, `lines`, and the framing for a body of `length`.
// SECURITY: no byte here can end a line early: `http` takes no CR, LF or NUL in methods, targets, names
// and values.
pub(super) fn write_head(request: &Parts, lines: &HeaderLines, length: Length) -> Vec<u8> {
    let mut text = Vec::with_capacity(ROOM);
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &request.headers {
        if !stays_behind(name) {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend_from_slice(lines.as_bytes());
    write_framing(&mut text, &request.method, length);
    text.extend_from_slice(b"\r\n");
    text
}

/// Host, cookies and framing are ours to write; an expectation was decided before us; and request trailers are never sent.
fn stays_behind(name: &HeaderName) -> bool {
    matches!(name.as_str(), "host" | "cookie" | "transfer-encoding" | "content-length" | "expect" | "trailer")
}

/// Some apps refuse chunked bodies, so a known length is always told, in plain decimal.
fn write_framing(text: &mut Vec<u8>, method: &Method, length: Length) {
    let wants_length = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    match length {
        Length::Known(0) if !wants_length => {}
        Length::Known(size) => {
            // Writing to a `Vec` does not fail.
            let _ = write!(text, "content-length: {size}\r\n");
        }
        // SECURITY: for every method; a body without framing would be the next request.
        Length::Unknown => text.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

/// Whether doing it twice is the same as doing it once (RFC 9110 §9.2.2; WebDAV from the IANA registry).
pub(super) fn is_idempotent(method: &Method) -> bool {
    // PERF: most by far.
    *method == Method::GET
        || matches!(method.as_str(), "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE")
        || matches!(method.as_str(), "PROPFIND" | "REPORT" | "SEARCH" | "QUERY")
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::HeaderValue;
    use proptest::prelude::*;

    use super::super::scripted::TestBody;
    use super::*;

    /// The header lines that are written.
    fn framed(method: Method, headers: &[(&'static str, &'static str)], body: TestBody) -> Vec<String> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let (head, body) = request.into_parts();
        let text = String::from_utf8(write_head(&head, &HeaderLines::default(), Length::of(&body))).unwrap();
        let lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        lines.skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn the_request_line_is_in_origin_form() {
        let request = Request::get("http://app.example/a%2Fb?x=1").header("X-A", "b").body(()).unwrap();
        let request = request.into_parts().0;
        let text = write_head(&request, &HeaderLines::default(), Length::Known(0));
        assert_eq!(text, b"GET /a%2Fb?x=1 HTTP/1.1\r\nx-a: b\r\n\r\n");
    }

    #[test]
    fn a_known_length_is_told_in_plain_decimal() {
        for told in [
            &[("content-length", "010")][..],
            &[("content-length", "10")],
            &[("content-length", "10"), ("content-length", "10")],
            &[("transfer-encoding", "chunked")],
        ] {
            let lines = framed(Method::GET, told, TestBody::sized("0123456789"));
            assert_eq!(lines, ["content-length: 10"]);
        }
    }

    #[test]
    fn an_unknown_length_goes_chunked_for_every_method() {
        for method in [Method::GET, Method::HEAD, Method::DELETE, Method::POST] {
            let lines = framed(method, &[("content-length", "7")], TestBody::chunked(&["x"]));
            assert_eq!(lines, ["transfer-encoding: chunked"]);
        }
    }

    #[test]
    fn an_empty_body_has_a_length_only_where_one_is_expected() {
        assert_eq!(framed(Method::POST, &[], TestBody::empty()), ["content-length: 0"]);
        assert!(framed(Method::GET, &[("content-length", "0")], TestBody::empty()).is_empty());
    }

    #[test]
    fn expectations_and_trailer_announcements_stay_behind() {
        let told = [("expect", "100-continue"), ("trailer", "x-sum")];
        assert!(framed(Method::GET, &told, TestBody::empty()).is_empty());
    }

    #[test]
    fn only_methods_that_may_be_repeated_are_idempotent() {
        assert!(["GET", "PUT", "DELETE", "PROPFIND"].map(|name| name.parse().unwrap()).iter().all(is_idempotent));
        assert!(!["POST", "PATCH", "LOCK", "get"].map(|name| name.parse().unwrap()).iter().any(is_idempotent));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_as_it_was(
            lines in prop::collection::vec(("x-[a-z]{1,8}", "[!-~]([ -~]{0,10}[!-~])?"), 0..20),
            target in "/[a-z0-9/%?=&]{0,20}",
        ) {
            let mut request = Request::get(&target);
            for (name, value) in &lines {
                request = request.header(name, value);
            }
            let (request, ()) = request.body(()).unwrap().into_parts();
            let text = write_head(&request, &HeaderLines::default(), Length::Known(0));
            let mut parsed_lines = [httparse::EMPTY_HEADER; 20];
            let mut parsed = httparse::Request::new(&mut parsed_lines);
            prop_assert_eq!(parsed.parse(&text), Ok(httparse::Status::Complete(text.len())));
            prop_assert_eq!(parsed.path, Some(&*target));
            let read: http::HeaderMap = parsed.headers.iter().map(|line| {
                (HeaderName::from_bytes(line.name.as_bytes()).unwrap(), HeaderValue::from_bytes(line.value).unwrap())
            }).collect();
            prop_assert_eq!(read.keys_len(), request.headers.keys_len());
            let stood_there = |line: &httparse::Header<'_>| {
                request.headers.get_all(line.name).iter().any(|value| value.as_bytes() == line.value)
            };
            prop_assert!(parsed.headers.iter().all(stood_there));
            prop_assert_eq!(parsed.headers.len(), request.headers.len());
        }
    }
}
