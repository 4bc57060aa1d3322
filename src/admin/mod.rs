//! The operators' listener: is the process alive, can it serve, what has it done; and what may be asked of it.
//!
//! Runs on the control runtime, never on a worker, so that it answers while the data path is busy. `guard` decides who
//! may ask, `api` answers what concerns sessions, `answer` says how it reads.

mod answer;
mod api;
mod guard;
mod metrics;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;

use crate::clock::Clock;
use crate::gateway::{Current, Gateway};
use crate::http::respond::{self, Page};
use crate::reload::Reload;
use crate::server::ShutdownSignal;

pub use api::ROOT as API;
use api::Resource;
use guard::{Denied, Guard, Refusals};

/// What all requests of operators share.
struct Desk {
    current: Arc<Current>,
    reload: Arc<Reload>,
    refusals: Refusals,
    clock: Arc<dyn Clock>,
    shutdown: ShutdownSignal,
}

/// What a path names.
enum Place {
    Health,
    Readiness,
    Metrics,
    Api(Resource),
}

/// Answers until the process ends. A refused connection is the client's to try again.
pub async fn serve(
    listener: TcpListener,
    current: Arc<Current>,
    reload: Arc<Reload>,
    clock: Arc<dyn Clock>,
    shutdown: ShutdownSignal,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin listener could not start"),
    };
    let desk = Arc::new(Desk { current, reload, refusals: Refusals::default(), clock, shutdown });
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin listener could not accept");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let service = service_fn(|request| desk.answer(request, peer));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).max_header_size(8 * 1024);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "an admin connection ended badly");
            }
        });
    }
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let (place, gateway) = (Place::parse(parts.uri.path()), self.current.load());
        let page = match check(&gateway, &parts, place.as_ref()) {
            Ok(()) => self.serve(&gateway, place, &parts, body).await,
            Err(denied) => {
                self.refusals.log(denied, peer, self.clock.now());
                denied.page()
            }
        };
        Ok(page.map(Full::new))
    }

    async fn serve(&self, gateway: &Gateway, place: Option<Place>, parts: &Parts, body: Incoming) -> Page {
        let (sessions, now) = (&gateway.sessions, self.clock.now());
        let Some(place) = place else {
            return answer::error(StatusCode::NOT_FOUND, "not_found", "there is nothing under this path");
        };
        let methods = place.methods();
        if !methods.split(", ").any(|method| method == parts.method.as_str()) {
            return answer::method_not_allowed(methods);
        }
        match place {
            Place::Health => respond::json(StatusCode::OK, &json!({ "status": "ok" })),
            Place::Readiness => self.readiness(gateway).await,
            Place::Metrics => self.metrics(gateway).await,
            Place::Api(Resource::Sessions) => api::list(sessions, parts.uri.query(), now).await,
            Place::Api(Resource::Session(handle)) if parts.method == Method::DELETE => {
                api::revoke(sessions, handle, now).await
            }
            Place::Api(Resource::Session(handle)) => api::show(sessions, handle, now).await,
            Place::Api(Resource::Lookup) => api::look_up(sessions, body, now).await,
            Place::Api(Resource::ClearExpired) => api::clear_expired(sessions, now).await,
            Place::Api(Resource::SessionsOf(user)) => api::revoke_all_of(sessions, &user).await,
            Place::Api(Resource::Reload) => api::reload(Arc::clone(&self.reload)).await,
        }
    }

    async fn metrics(&self, gateway: &Gateway) -> Page {
        let text = metrics::text(gateway, self.reload.last(), self.clock.now()).await;
        let mut page = Response::new(text.into());
        page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
        page
    }

    /// Ready when the store answers and the process is not about to end.
    async fn readiness(&self, gateway: &Gateway) -> Page {
        if self.shutdown.is_triggered() {
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
}

/// Who asks comes before what: nobody learns from outside what there is.
fn check(gateway: &Gateway, parts: &Parts, place: Option<&Place>) -> Result<(), Denied> {
    if !place.is_some_and(Place::is_for_everybody) {
        Guard::from_config(&gateway.admin).check(&parts.headers)?;
    }
    match parts.method.is_safe() {
        true => Ok(()),
        false => guard::check_sender(&parts.headers),
    }
}

impl Place {
    fn parse(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Readiness),
            "/metrics" => Some(Self::Metrics),
            _ => Resource::parse(path).map(Self::Api),
        }
    }

    /// Health and readiness say one word, and whoever checks them has no secrets to keep.
    fn is_for_everybody(&self) -> bool {
        matches!(self, Self::Health | Self::Readiness)
    }

    /// As it stands in `Allow`.
    fn methods(&self) -> &'static str {
        match self {
            Self::Health | Self::Readiness | Self::Metrics => "GET, HEAD",
            Self::Api(resource) => resource.methods(),
        }
    }
}
