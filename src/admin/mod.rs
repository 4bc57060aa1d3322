//! The operators' listener: is the process alive, can it serve, what has it done; and what may be asked of it.
//!
//! Runs on the control runtime, never on a worker, so that it answers while the data path is busy.

mod metrics;

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;

use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::http::respond::{self, Page};
use crate::server::ShutdownSignal;

/// Where expired sessions are deleted at once.
pub const CLEAR_EXPIRED: &str = "/api/v1/sessions/clear-expired";

/// Answers until the process ends. A refused connection is the client's to try again.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, clock: Arc<dyn Clock>, shutdown: ShutdownSignal) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin listener could not start"),
    };
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin listener could not accept");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (gateway, clock, shutdown) = (Arc::clone(&gateway), Arc::clone(&clock), shutdown.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &gateway, &shutdown, &*clock));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).max_header_size(8 * 1024);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "an admin connection ended badly");
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    gateway: &Gateway,
    shutdown: &ShutdownSignal,
    clock: &dyn Clock,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    let page = match (request.uri().path(), read) {
        ("/healthz", true) => respond::json(StatusCode::OK, &json!({ "status": "ok" })),
        ("/readyz", true) => readiness(gateway, shutdown).await,
        ("/metrics", true) => numbers(gateway).await,
        (CLEAR_EXPIRED, false) if request.method() == Method::POST => match comes_from_a_page(request.headers()) {
            true => respond::json(StatusCode::FORBIDDEN, &json!({ "error": "cross_site" })),
            false => clear_expired(gateway, clock).await,
        },
        ("/healthz" | "/readyz" | "/metrics" | CLEAR_EXPIRED, _) => {
            respond::json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method_not_allowed" }))
        }
        _ => respond::json(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
    };
    Ok(page.map(Full::new))
}

/// SECURITY: a page in a browser on this machine can post here too; browsers then say so (`Origin`).
fn comes_from_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

async fn numbers(gateway: &Gateway) -> Page {
    let mut page = Response::new(metrics::text(&gateway.sessions).await.into());
    page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    page
}

/// Deletes what has expired now, and not at the next sweep.
async fn clear_expired(gateway: &Gateway, clock: &dyn Clock) -> Page {
    match gateway.sessions.clear_expired(clock.now()).await {
        Ok(deleted) => respond::json(StatusCode::OK, &json!({ "deleted": deleted })),
        Err(error) => {
            tracing::warn!(%error, "expired sessions could not be deleted");
            respond::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "store_unavailable" }))
        }
    }
}

/// Ready when the store answers and the process is not about to end.
async fn readiness(gateway: &Gateway, shutdown: &ShutdownSignal) -> Page {
    if shutdown.is_triggered() {
        return respond::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "draining" }));
    }
    match gateway.sessions.ping().await {
        Ok(()) => respond::json(StatusCode::OK, &json!({ "status": "ready" })),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            respond::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unavailable", "reason": "store" }))
        }
    }
}
