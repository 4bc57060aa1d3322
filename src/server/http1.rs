//! HTTP/1.1 on one client connection: hyper's settings and the service it calls.
//!
//! `connection` calls it for clear streams and for TLS without `h2`. Request framing is the guard's and
//! hyper's business, what to answer is the handler's.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::answer::AnswerBody;
use super::connection::{Connection, drive};
use super::deadlines::LINGER;
use super::guard::Guard;
use super::io::GuardedIo;
use super::limit::Permit;
use super::state::OpenRequest;
use crate::timers::Timers;

/// Answers up to this size leave the upstream free early; larger ones go at the client's pace.
const BUFFER: usize = 64 * 1024;

/// Serves `stream` until it ends or is upgraded.
pub(super) async fn serve<S, H, F, B>(stream: S, connection: Connection, permit: Permit, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let max_head = connection.max_head_size();
    let state = connection.state();
    let timers = connection.timers().clone();
    let io = GuardedIo::new(stream, Some(Guard::new(max_head)), Arc::clone(&state), permit);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = OpenRequest::begin(&state);
        let asks = asks_for_a_tunnel(&request);
        // hyper's promise of the raw stream; an HTTP/1.0 upgrade gets none.
        let promise = if asks { request.extensions().get::<OnUpgrade>().cloned() } else { None };
        let (state, timers) = (Arc::clone(&state), timers.clone());
        let answer = handler(request);
        async move {
            let mut response = answer.await;
            if asks && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                // SECURITY: the guard has not looked behind such a head (see `guard`), and what follows a
                // CONNECT was meant for a tunnel (RFC 9931): neither may be read as a request.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                state.refuse_upgrade();
                if let Some(upgrade) = promise {
                    tokio::task::spawn_local(close_refused(upgrade, timers));
                }
            }
            Ok::<_, Infallible>(response.map(|body| AnswerBody::new(body, open, None)))
        }
    });
    let hyper = builder(max_head).serve_connection(TokioIo::new(io), service).with_upgrades();
    drive(hyper, connection, |hyper| hyper.graceful_shutdown()).await;
}

fn asks_for_a_tunnel(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}

/// Even after a refusal hyper gives the stream away instead of closing it: closes it as `io` would.
async fn close_refused(upgrade: OnUpgrade, timers: Timers) {
    if let Ok(stream) = upgrade.await {
        let _ = timers.timeout(LINGER, TokioIo::new(stream).shutdown()).await;
    }
}

fn builder(max_head: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Never `pipeline_flush`: it would buffer whole answers for slow readers. No timer: see `deadlines`.
    builder
        .header_read_timeout(None)
        .keep_alive(true)
        .half_close(false)
        .max_header_size(max_head)
        .max_buf_size(max_head.max(BUFFER));
    builder
}
