//! The request as the app gets it: framing written anew, the body watched to its end.
//!
//! `forward` and `upgrade` use it. Headers about the user, the host or the client are not its business.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Version};
use http_body::{Body, Frame, SizeHint};

use super::wire::Wire;
use crate::http::body::BodyError;

/// Writes the framing for what `body` really is, whatever the client's headers said.
pub(super) fn frame<B: Body>(request: &mut Request<B>) {
    *request.version_mut() = Version::HTTP_11;
    let size = if request.body().is_end_stream() { Some(0) } else { request.body().size_hint().exact() };
    let wants_length = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let headers = request.headers_mut();
    headers.remove(header::TRANSFER_ENCODING);
    // Decided before us; and request trailers are never sent.
    headers.remove(header::EXPECT);
    headers.remove(header::TRAILER);
    match size {
        Some(0) if !wants_length => drop(headers.remove(header::CONTENT_LENGTH)),
        Some(size) => set_length(headers, size),
        None => {
            headers.remove(header::CONTENT_LENGTH);
            // SECURITY: without this line hyper drops the body of a GET or HEAD silently.
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// Some apps refuse chunked bodies, so a known length is always told, in plain decimal.
fn set_length(headers: &mut HeaderMap, size: u64) {
    let mut told = headers.get_all(header::CONTENT_LENGTH).iter();
    // PERF: the client's text is nearly always the one we would write.
    let same = told.next().is_some_and(|text| is_decimal(text.as_bytes(), size)) && told.next().is_none();
    if !same {
        headers.insert(header::CONTENT_LENGTH, size.into());
    }
}

fn is_decimal(text: &[u8], size: u64) -> bool {
    let plain = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || !text.starts_with(b"0"));
    plain && std::str::from_utf8(text).is_ok_and(|text| text.parse() == Ok(size))
}

/// Whether doing it twice is the same as doing it once (RFC 9110 §9.2.2; WebDAV from the IANA registry).
pub(super) fn is_idempotent(method: &Method) -> bool {
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::TRACE];
    known.contains(method) || matches!(method.as_str(), "PROPFIND" | "REPORT" | "SEARCH" | "QUERY")
}

/// A copy of everything but the body, for the one retry of a request without a body.
#[derive(Debug)]
pub(super) struct Head {
    method: Method,
    uri: http::Uri,
    headers: HeaderMap,
}

impl Head {
    pub(super) fn copy_of<B>(request: &Request<B>) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), headers: request.headers().clone() }
    }

    pub(super) fn with_body<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// A request body on its way through hyper, that tells the [`Wire`] how far it got.
#[derive(Debug)]
pub(super) struct Upload<B> {
    /// None: nothing to send (a retry).
    body: Option<B>,
    wire: Rc<Wire>,
}

impl<B> Upload<B> {
    pub(super) fn new(body: B, wire: Rc<Wire>) -> Self {
        Self { body: Some(body), wire }
    }

    pub(super) fn empty(wire: Rc<Wire>) -> Self {
        Self { body: None, wire }
    }

    /// The same body for another connection; nothing of it was sent yet.
    pub(super) fn rewire(self, wire: Rc<Wire>) -> Self {
        Self { wire, ..self }
    }
}

/// Stands in for the [`BodyError`] that the [`Wire`] keeps: hyper needs some error to stop at.
#[derive(Debug)]
pub(super) struct UploadFailed;

impl fmt::Display for UploadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body broke off")
    }
}

impl std::error::Error for UploadFailed {}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = UploadFailed;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(failure)) => {
                    this.wire.upload_failed(failure);
                    return Poll::Ready(Some(Err(UploadFailed)));
                }
                None => {
                    this.wire.upload_ended();
                    return Poll::Ready(None);
                }
            };
            // SECURITY: trailers are dropped here too, whatever the body hands us.
            let Ok(data) = frame.into_data() else { continue };
            if body.is_end_stream() {
                this.wire.upload_ended();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scripted::TestBody;
    use super::*;

    fn framed(method: Method, headers: &[(&'static str, &'static str)], body: TestBody) -> HeaderMap {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        frame(&mut request);
        assert_eq!(request.version(), Version::HTTP_11);
        std::mem::take(request.headers_mut())
    }

    #[test]
    fn a_known_length_is_told_in_plain_decimal() {
        for told in [&[("content-length", "010")][..], &[("content-length", "10")], &[("transfer-encoding", "chunked")]]
        {
            let headers = framed(Method::GET, told, TestBody::sized("0123456789"));
            assert_eq!(headers["content-length"], "10");
            assert_eq!(headers.len(), 1);
        }
    }

    #[test]
    fn an_unknown_length_goes_chunked_for_every_method() {
        for method in [Method::GET, Method::HEAD, Method::DELETE, Method::POST] {
            let headers = framed(method, &[("content-length", "7")], TestBody::chunked(&["x"]));
            assert_eq!(headers["transfer-encoding"], "chunked");
            assert_eq!(headers.len(), 1);
        }
    }

    #[test]
    fn an_empty_body_has_a_length_only_where_one_is_expected() {
        assert_eq!(framed(Method::POST, &[], TestBody::empty())["content-length"], "0");
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
        fn only_the_plain_decimal_text_of_a_length_is_left_as_it_is(text in "[0-9+ ]{0,6}", size in 0_u64..2000) {
            prop_assert_eq!(is_decimal(text.as_bytes(), size), text == size.to_string());
        }
    }
}
