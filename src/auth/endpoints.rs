//! The gateway's own pages: which of them a request means, and what all of them need to know.
//!
//! `pipeline` hands over whatever lies under `prefix`; nothing there is ever forwarded. Each page has a
//! file of its own; what it wants done to the session it records there, and the pipeline commits it.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt;

use super::return_to::ReturnTo;
use super::{Auth, cookie_check, form, logout, me, parked};
use crate::clock::Timestamp;
use crate::http::body::{BodyError, RequestBody};
use crate::http::respond::{self, Page};
use crate::pages::Pages;
use crate::session::{Manager, NoRandomness, Session};

/// Bodies of our own forms: a name, a password, a token and an address fit many times.
pub const MAX_FORM_SIZE: u64 = 64 * 1024;

/// A request for one of our own pages.
pub struct Call<'a> {
    /// The path below the prefix, such as `/login`.
    pub place: &'a str,
    /// The prefix itself.
    pub prefix: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The headers, cleaned.
    pub headers: &'a HeaderMap,
    /// The query, undecoded.
    pub query: Option<&'a str>,
    /// Host and port the browser asked for.
    pub host: &'a str,
    /// The browser's address.
    pub address: IpAddr,
    /// Whether the browser spoke TLS.
    pub https: bool,
    /// Now.
    pub now: Timestamp,
    /// The request's session.
    pub session: &'a mut Session,
    /// All sessions, for the cookie's name and attributes.
    pub sessions: &'a Manager,
    /// What pages look like.
    pub pages: &'a Pages,
    /// Whether an app will need what is typed.
    pub keeps_typed: bool,
    /// The body, for forms.
    pub body: Option<RequestBody>,
}

/// Why one of our own pages gives no answer of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such page.
    #[error("the gateway has no such page")]
    NotFound,
    /// The page exists, for other methods.
    #[error("this page takes {0} only")]
    Method(&'static str),
    /// A form in another format.
    #[error("the form must be sent as application/x-www-form-urlencoded")]
    MediaType,
    /// The form could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// No secret could be drawn.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// Answers `call`.
///
/// # Errors
/// See [`Error`].
pub async fn answer(auth: &Auth, mut call: Call<'_>) -> Result<Page, Error> {
    let read = matches!(*call.method, Method::GET | Method::HEAD);
    let post = call.method == Method::POST;
    match (call.place, read, post) {
        ("/login", true, _) => form::show(auth, &mut call),
        ("/login", _, true) => form::submit(auth, &mut call).await,
        ("/logout", true, _) => logout::show(auth, &mut call),
        ("/logout", _, true) => logout::submit(auth, &mut call).await,
        ("/me", true, _) => Ok(me::show(&mut call)),
        ("/cookie-check", true, _) => Ok(cookie_check::show(&call)),
        ("/parked", true, _) => parked::show(auth, &mut call),
        ("/parked", _, true) => parked::discard(auth, &mut call).await,
        ("/login" | "/logout" | "/parked", ..) => Err(Error::Method("GET, HEAD, POST")),
        ("/me" | "/cookie-check", ..) => Err(Error::Method("GET, HEAD")),
        _ => Err(Error::NotFound),
    }
}

impl Call<'_> {
    /// The address of another of our pages.
    pub(super) fn url(&self, place: &str) -> String {
        format!("{}{place}", self.prefix)
    }

    /// A value from the query; the first of several.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        value(self.query.unwrap_or_default().as_bytes(), name)
    }

    /// Where the browser wants to go afterwards, if that is a place we may send it to.
    pub(super) fn return_to(&self, auth: &Auth, raw: Option<String>) -> Option<ReturnTo> {
        ReturnTo::parse(&raw?, &auth.hosts)
    }

    /// Reads the form that was posted.
    pub(super) async fn form(&mut self) -> Result<Form, Error> {
        let content_type = self.headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let media_type = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        match self.body.take() {
            Some(body) if media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") => {
                Ok(Form(body.collect().await?.to_bytes()))
            }
            Some(_) if !media_type.is_empty() => Err(Error::MediaType),
            _ => Ok(Form(Bytes::new())),
        }
    }

    /// An HTML page under our content security policy.
    pub(super) fn html(&self, status: StatusCode, body: String) -> Page {
        respond::html(status, body, self.pages.content_security_policy())
    }
}

/// A form as it was posted.
pub(super) struct Form(Bytes);

impl Form {
    /// The first value of a field; empty when there is none.
    pub(super) fn field(&self, name: &str) -> String {
        value(&self.0, name).unwrap_or_default()
    }
}

fn value(encoded: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(encoded).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
