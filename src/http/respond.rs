//! Small responses of our own: pages, redirects, JSON. Never cached, never framed, never sniffed.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// A response whose body is here already.
pub type Page = Response<Bytes>;

/// An HTML page under `policy` (a `Content-Security-Policy`).
#[must_use]
pub fn html(status: StatusCode, body: String, policy: &HeaderValue) -> Page {
    let mut page = own(status, body, "text/html; charset=utf-8");
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    page.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    page
}

/// A JSON document.
#[must_use]
pub fn json(status: StatusCode, body: &serde_json::Value) -> Page {
    own(status, body.to_string(), "application/json")
}

/// A redirect to `location`, which must be a valid header value.
#[must_use]
pub fn redirect(status: StatusCode, location: &str) -> Page {
    let mut page = own(status, String::new(), "text/plain; charset=utf-8");
    match HeaderValue::from_str(location) {
        Ok(location) => drop(page.headers_mut().insert(header::LOCATION, location)),
        Err(_) => *page.status_mut() = StatusCode::BAD_REQUEST,
    }
    page
}

fn own(status: StatusCode, body: String, content_type: &'static str) -> Page {
    let mut page = Response::new(Bytes::from(body));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    page
}
