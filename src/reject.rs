//! Every reason why a request ends early, and the one table that turns it into a response.
//!
//! Made anywhere on the request path, answered by `pipeline`. What a client reads never names hosts,
//! versions or other internals; what an operator needs goes to the log, once, here.

use http::{HeaderValue, StatusCode, header};

use crate::auth::endpoints;
use crate::auth::origin::ForeignOrigin;
use crate::auth::regulation::Banned;
use crate::http::body::BodyError;
use crate::http::respond::{self, Page};
use crate::http::target::TargetError;
use crate::identity::Identity;
use crate::identity::headers::Alias;
use crate::pages::{ErrorPage, Pages};
use crate::places::BadDestination;
use crate::{proxy, session};

/// Why there is no response from the app.
#[derive(Debug, thiserror::Error)]
pub enum Reject {
    /// The request target cannot be read in one way only.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// More or less than one `Host`, or one that contradicts the request target.
    #[error("the request names its host twice, differently, or not at all")]
    Host,
    /// A header that spells a framing or credential field differently.
    #[error(transparent)]
    Alias(#[from] Alias),
    /// An HTTP/2 field value with white space around it (RFC 9113 §8.2.1).
    #[error("a field value begins or ends with white space")]
    Blank,
    /// `CONNECT` and `TRACE`.
    #[error("the method is not supported")]
    Method,
    /// An `Expect` other than `100-continue`.
    #[error("the expectation is not supported")]
    Expectation,
    /// No route is for this host.
    #[error("no route is for this host")]
    NoHost,
    /// No route takes this path.
    #[error("no route takes this path")]
    NoPath,
    /// Apps read this path in ways that fall on different routes.
    #[error("the path can be read in ways that fall on different routes")]
    Ambiguous,
    /// The user is known and not entitled.
    #[error("not entitled")]
    Forbidden {
        /// Who is signed in.
        user: Box<str>,
    },
    /// A form that signs in to an app, sent by a page of another site.
    #[error("the sign-in form was sent by another site")]
    CrossSite,
    /// Too many failed sign-ins to an app.
    #[error(transparent)]
    Banned(#[from] Banned),
    /// The app does not let the user in with the credentials that it was given.
    #[error("the app does not accept the user's sign-on")]
    SignOn {
        /// Who is signed in here.
        user: Box<str>,
    },
    /// The app wants to know the user anew, and what was sent with the request is gone.
    #[error("the app has not taken the request, whose body cannot be sent twice")]
    SendAgain,
    /// A clear-text request that must come over TLS and cannot be redirected.
    #[error("this address is served over https only")]
    HttpsOnly,
    /// The body is announced larger than the route takes.
    #[error("the request body is too large")]
    TooLarge,
    /// A COPY or MOVE to where it cannot go.
    #[error(transparent)]
    Destination(#[from] BadDestination),
    /// A WebSocket handshake that is none.
    #[error("bad WebSocket handshake: {0}")]
    Handshake(#[from] proxy::BadHandshake),
    /// A WebSocket that the page may not open.
    #[error(transparent)]
    Origin(#[from] ForeignOrigin),
    /// One of our own pages refused.
    #[error(transparent)]
    Own(#[from] endpoints::Error),
    /// The app did not answer.
    #[error(transparent)]
    Upstream(#[from] proxy::Error),
    /// The session could not be opened or written.
    #[error(transparent)]
    Session(#[from] session::Error),
}

/// Who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A browser window.
    Person,
    /// A script, an app, a probe.
    Program,
}

impl Reject {
    /// The user may not pass.
    #[must_use]
    pub fn forbidden(identity: Option<&Identity>) -> Self {
        Self::Forbidden { user: identity.map(|identity| identity.user.clone()).unwrap_or_default() }
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Target(_) | Self::Host | Self::Alias(_) | Self::Blank | Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::NoHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NoPath | Self::Own(endpoints::Error::NotFound) => StatusCode::NOT_FOUND,
            Self::Forbidden { .. } | Self::HttpsOnly | Self::CrossSite | Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Destination(BadDestination::Elsewhere) => StatusCode::BAD_GATEWAY,
            Self::Destination(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Handshake(proxy::BadHandshake::Version) => StatusCode::UPGRADE_REQUIRED,
            Self::Handshake(_) => StatusCode::BAD_REQUEST,
            Self::Own(endpoints::Error::Method(_)) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Own(endpoints::Error::MediaType) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Own(endpoints::Error::Body(error)) | Self::Upstream(proxy::Error::Client(error)) => of_body(error),
            Self::Own(endpoints::Error::Random(_)) | Self::Session(session::Error::Random(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Session(session::Error::Store(_) | session::Error::Outrun) | Self::SendAgain => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Banned(_) | Self::Session(session::Error::Guessing) => StatusCode::TOO_MANY_REQUESTS,
            Self::Session(session::Error::TooManySessions) => StatusCode::CONFLICT,
            Self::Session(session::Error::TooLargeForCookies) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Upstream(proxy::Error::ConnectTimeout { .. } | proxy::Error::FirstByteTimeout) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Upstream(_) | Self::SignOn { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// Tells the operator, when it is the operator's business.
    pub fn log(&self, route: Option<&str>) {
        match self.status().as_u16() {
            // The login itself was logged, and what waits for another one need not be.
            _ if matches!(self, Self::SignOn { .. } | Self::SendAgain) => {
                tracing::debug!(route, reason = %self, "request refused")
            }
            500.. => tracing::error!(route, error = %self, "request failed"),
            _ => tracing::debug!(route, reason = %self, "request refused"),
        }
    }

    /// The response.
    #[must_use]
    pub fn respond(&self, reader: Reader, pages: &Pages, logout: &str) -> Page {
        let status = self.status();
        let mut page = match reader {
            Reader::Person => {
                let user = match self {
                    Self::Forbidden { user } | Self::SignOn { user } => Some(&**user),
                    _ => None,
                };
                let body = pages.error(&ErrorPage {
                    status: status.as_u16(),
                    detail: None,
                    request_id: None,
                    user,
                    logout: user.is_some().then_some(logout),
                });
                respond::html(status, body, pages.content_security_policy())
            }
            Reader::Program => {
                let reason = status.canonical_reason().unwrap_or("Error").to_ascii_lowercase().replace(' ', "_");
                respond::json(status, &serde_json::json!({ "error": reason }))
            }
        };
        for (name, value) in self.headers() {
            page.headers_mut().insert(name, value);
        }
        page
    }

    fn headers(&self) -> Vec<(header::HeaderName, HeaderValue)> {
        let close = (header::CONNECTION, HeaderValue::from_static("close"));
        match self {
            Self::Method => {
                vec![(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")), close]
            }
            Self::Own(endpoints::Error::Method(allow)) => vec![(header::ALLOW, HeaderValue::from_static(allow))],
            Self::Handshake(proxy::BadHandshake::Version) => {
                vec![(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))]
            }
            Self::Banned(banned) => vec![(header::RETRY_AFTER, HeaderValue::from(banned.retry_after.as_secs()))],
            Self::Session(session::Error::Guessing) => vec![(header::RETRY_AFTER, HeaderValue::from_static("60"))],
            Self::Session(session::Error::Store(_) | session::Error::Outrun) => {
                vec![(header::RETRY_AFTER, HeaderValue::from_static("5"))]
            }
            Self::SendAgain => vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))],
            // A client whose framing or naming is in doubt is not listened to any further.
            Self::Host | Self::Alias(_) | Self::Target(_) => vec![close],
            // Of this body more may come, which nobody will read.
            Self::TooLarge | Self::Own(endpoints::Error::Body(_)) | Self::Upstream(proxy::Error::Client(_)) => {
                vec![close]
            }
            _ => Vec::new(),
        }
    }
}

fn of_body(error: &BodyError) -> StatusCode {
    match error {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    }
}
