//! The operators' listener: is the process alive, and can it serve?
//!
//! Runs on the control runtime, never on a worker, so that it answers while the data path is busy.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;

use crate::gateway::Gateway;
use crate::http::respond::{self, Page};
use crate::server::ShutdownSignal;

/// Answers until the process ends. A refused connection is the client's to try again.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, shutdown: ShutdownSignal) {
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
        let (gateway, shutdown) = (Arc::clone(&gateway), shutdown.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &gateway, &shutdown));
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
) -> Result<Response<Full<Bytes>>, Infallible> {
    let page = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => respond::json(StatusCode::OK, &json!({ "status": "ok" })),
        (&Method::GET | &Method::HEAD, "/readyz") => readiness(gateway, shutdown).await,
        (_, "/healthz" | "/readyz") => {
            respond::json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method_not_allowed" }))
        }
        _ => respond::json(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
    };
    Ok(page.map(Full::new))
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
