//! The WebSocket opening handshake (RFC 6455 §4), checked on both sides before a byte is tunnelled.
//!
//! `pipeline` asks [`Handshake::parse`] before it strips hop-by-hop headers, and then calls
//! [`forward_upgrade`]. Origin and session are its business; no other protocol is upgraded to.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use tokio::task::spawn_local;

use super::exchange::Exchange;
use super::pool::Lease;
use super::{Error, Pools, Tether, Upstream, UpstreamBody, connect, tunnel};
use crate::http::body::BodyError;
use crate::http::headers::strip_hop_by_hop;
use crate::http::lines::HeaderLines;
use crate::policy::Permit;
use crate::telemetry::lasting::OpenWebSocket;

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// A valid request to open a WebSocket, and the answer that proves the app understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    accept: String,
}

/// A WebSocket that is to be opened.
#[derive(Debug)]
pub struct Opening {
    /// What was asked for.
    pub handshake: Handshake,
    /// By which it can be ended.
    pub tether: Option<Tether>,
    /// Counts it as long as it is open.
    pub counted: OpenWebSocket,
}

/// Why a request that asks for a WebSocket is refused. The client's fault: 400, or 426 for the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHandshake {
    /// Answer 426 with `Sec-WebSocket-Version: 13`.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// Not exactly one key of 16 bytes in base64.
    #[error("Sec-WebSocket-Key is missing or malformed")]
    Key,
    /// A body would be read as WebSocket frames.
    #[error("a WebSocket handshake has no body")]
    Body,
}

impl Handshake {
    /// Reads a request before its hop-by-hop headers are stripped. `None`: it does not ask for a WebSocket,
    /// and any `Upgrade` it has is ignored.
    pub fn parse(
        method: &Method,
        version: Version,
        headers: &HeaderMap,
        body: &impl Body,
    ) -> Option<Result<Self, BadHandshake>> {
        let asked = *method == Method::GET
            && version == Version::HTTP_11
            && lists(headers, header::CONNECTION, b"upgrade")
            && lists(headers, header::UPGRADE, b"websocket");
        asked.then(|| Self::check(headers, body.is_end_stream()))
    }

    fn check(headers: &HeaderMap, empty_body: bool) -> Result<Self, BadHandshake> {
        if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
            return Err(BadHandshake::Version);
        }
        let key = only(headers, &header::SEC_WEBSOCKET_KEY).ok_or(BadHandshake::Key)?;
        if !STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
            return Err(BadHandshake::Key);
        }
        if !empty_body {
            return Err(BadHandshake::Body);
        }
        let mut hash = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(key);
        hash.update(GUID.as_bytes());
        Ok(Self { accept: STANDARD.encode(hash.finish()) })
    }

    /// Whether a 101 is the answer to this handshake and to no other.
    fn accepts(&self, headers: &HeaderMap) -> bool {
        lists(headers, header::CONNECTION, b"upgrade")
            && only(headers, &header::UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
            && only(headers, &header::SEC_WEBSOCKET_ACCEPT) == Some(self.accept.as_bytes())
    }
}

/// Whether one of the comma-separated tokens in all lines of `name` is `token`.
fn lists(headers: &HeaderMap, name: HeaderName, token: &[u8]) -> bool {
    let lines = headers.get_all(name).into_iter();
    let mut tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token))
}

/// The value of a header that stands there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none()).map(HeaderValue::as_bytes)
}

/// Sends a WebSocket handshake to `upstream` on a connection of its own.
///
/// When the app answers 101, the returned response is the 101 for the client, and a task on this worker
/// joins both sides once hyper has sent it. Any other answer is a response like any other. The request
/// still has hyper's extensions from the server side.
///
/// # Errors
/// [`Error`]; a 101 that does not fit the handshake is [`Error::BadResponse`].
pub async fn forward_upgrade<B>(
    _permit: Permit<'_>,
    lines: &HeaderLines,
    pools: &Pools,
    upstream: &Upstream,
    opening: Opening,
    request: Parts,
    body: B,
) -> Result<Response<UpstreamBody<B>>, Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let mut request = Request::from_parts(request, ());
    let client = hyper::upgrade::on(&mut request);
    request.headers_mut().insert(header::CONNECTION, UPGRADE);
    request.headers_mut().insert(header::UPGRADE, WEBSOCKET);

    let mut lease = Lease::single(connect::open(pools, upstream).await?);
    let mut exchange = Exchange::new(&request.into_parts().0, body, lines, true);
    let mut head = exchange.run(pools, upstream.first_byte_timeout, &mut lease).await?;
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(exchange.deliver(pools, upstream, lease, head));
    }

    // SECURITY: a cache or a confused app may say 101 to anything; only the hash shows it means us.
    if !opening.handshake.accepts(&head.headers) {
        return Err(Error::BadResponse("a 101 that does not answer the WebSocket handshake"));
    }
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::TRAILER);
    head.headers.insert(header::CONNECTION, UPGRADE);
    head.headers.insert(header::UPGRADE, WEBSOCKET);
    let Opening { tether, counted, .. } = opening;
    let tunnel = tunnel::run(client, lease.connection, upstream.idle_timeout, pools.timers().clone(), tether);
    spawn_local(async move {
        tunnel.await;
        drop(counted);
    });
    Ok(head.with_body(UpstreamBody::empty()))
}

#[cfg(test)]
mod tests;
