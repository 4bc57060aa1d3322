//! THE request path: [`handle`] settles what a request is, [`serve`] decides what becomes of it.
//!
//! Read top to bottom, this is the product. Each step is one call into one module; a step that ends the
//! request early returns a [`Reject`]. `server` calls `handle` for each request of a connection.

mod body;
mod settle;

use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use crate::auth::{self, endpoints};
use crate::clock::Clock;
use crate::config::schema::Access;
use crate::gateway::{Gateway, Route};
use crate::http::body::RequestBody;
use crate::http::peer::Peer;
use crate::http::{cookies, headers, respond};
use crate::policy::{self, Decision, Permit};
use crate::proxy::{self, Pools, UpstreamBody};
use crate::reject::{Reader, Reject};
use crate::session::{Committed, Session, Visit};
use crate::telemetry::access::AccessLog;
use crate::timers::Timers;

pub use body::Body;
use settle::{Place, Settled};

/// What one worker thread has for all its requests.
pub struct Worker {
    /// The present generation.
    pub gateway: Arc<Gateway>,
    /// Connections to the apps.
    pub pools: Pools,
    /// Deadlines.
    pub timers: Timers,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The access log.
    pub access: AccessLog,
}

/// Answers one request.
pub async fn handle(worker: Rc<Worker>, peer: Rc<Peer>, request: Request<Incoming>) -> Response<Body> {
    let gateway = &*worker.gateway;
    let now = worker.clock.now();
    let (mut parts, incoming) = request.into_parts();
    let mut record = worker.access.begin(now, &parts.method, settle::host_for_log(&parts), parts.uri.path());
    let reader = settle::reader(&parts.headers);

    let outcome = match settle::settle(gateway, &peer, &mut parts, &incoming, now) {
        Err(reject) => Err(reject),
        Ok(settled) => {
            if let Some(record) = &mut record {
                record.client = Some(settled.client.address);
                record.route = settled.route(gateway).map(|route| Arc::clone(&route.name));
            }
            match peer.redirect_to_https {
                true => redirect_to_https(&parts, &settled),
                false => {
                    let note = |session: &Session| {
                        if let Some(record) = &mut record {
                            record.user = session.identity().map(|identity| identity.user.clone());
                            record.handle = session.handle();
                        }
                    };
                    serve(&worker, &peer, parts, incoming, &settled, reader, note).await
                }
            }
        }
    };

    let response = outcome.unwrap_or_else(|reject| refuse(gateway, &reject, reader, None));
    let status = response.status();
    response.map(|body| body.recorded(record, status))
}

/// Opens the session, lets our own page or the app answer, and commits before the head leaves.
async fn serve(
    worker: &Worker,
    peer: &Peer,
    parts: Parts,
    incoming: Incoming,
    settled: &Settled,
    reader: Reader,
    note: impl FnOnce(&Session),
) -> Result<Response<Body>, Reject> {
    let gateway = &*worker.gateway;
    let mut session = gateway.sessions.open(&parts.headers, settled.now).await?;
    gateway.auth.check_account(&mut session);
    note(&session);
    let agent = session.will_change().then(|| parts.headers.get(header::USER_AGENT).cloned()).flatten();

    let answer = match settled.route(gateway) {
        None => own_page(worker, &parts, incoming, settled, &mut session).await,
        Some(route) => match policy::decide(&route.access, session.identity()) {
            Decision::Allow(permit) => {
                let personal = permit.identity().is_some() || route.access != Access::Public;
                let request = for_the_app(worker, peer, route, &permit, parts, incoming, settled);
                let answer = send(worker, route, permit, request, settled).await;
                answer.map(|answer| from_the_app(gateway, route, personal, answer))
            }
            Decision::Login => Ok(challenge(gateway, &parts, reader)),
            Decision::Deny => Err(Reject::forbidden(session.identity())),
        },
    };

    let route = settled.route(gateway).map(|route| &*route.name);
    let mut response = answer.unwrap_or_else(|reject| refuse(gateway, &reject, reader, route));
    let visit =
        Visit { now: settled.now, address: settled.client.address, agent: agent.as_ref(), https: settled.client.https };
    let committed = gateway.sessions.commit(session, visit).await?;
    announce(&mut response, committed);
    Ok(response)
}

/// One of the gateway's own pages.
async fn own_page(
    worker: &Worker,
    parts: &Parts,
    incoming: Incoming,
    settled: &Settled,
    session: &mut Session,
) -> Result<Response<Body>, Reject> {
    let gateway = &*worker.gateway;
    let Place::Own(place) = &settled.place else { return Err(Reject::NoPath) };
    let limit = Some(endpoints::MAX_FORM_SIZE);
    let call = endpoints::Call {
        place,
        prefix: &gateway.prefix,
        method: &parts.method,
        headers: &parts.headers,
        query: parts.uri.query(),
        host: settled.host.to_str().unwrap_or_default(),
        address: settled.client.address,
        https: settled.client.https,
        now: settled.now,
        session,
        sessions: &gateway.sessions,
        pages: &gateway.pages,
        body: Some(RequestBody::new(incoming, limit, gateway.body_timeout, &worker.timers)),
    };
    Ok(endpoints::answer(&gateway.auth, call).await?.map(Body::from))
}

/// The app's request: our cookie out, the identity in.
fn for_the_app(
    worker: &Worker,
    peer: &Peer,
    route: &Route,
    permit: &Permit<'_>,
    mut parts: Parts,
    incoming: Incoming,
    settled: &Settled,
) -> Result<Request<RequestBody>, Reject> {
    let gateway = &*worker.gateway;
    let limit = route.upstream.max_body_size();
    if settled.content_length > limit.unwrap_or(u64::MAX) {
        return Err(Reject::TooLarge);
    }
    let headers = &mut parts.headers;
    cookies::remove(headers, gateway.sessions.cookie_name());
    settled.client.write(headers, peer, &settled.host, settled.port);
    if let Some(identity) = permit.identity() {
        route.identity.inject(identity, headers);
    }
    headers.insert(header::HOST, route.upstream.host_header(&settled.host));
    parts.version = Version::HTTP_11;
    Ok(Request::from_parts(parts, RequestBody::new(incoming, limit, gateway.body_timeout, &worker.timers)))
}

async fn send(
    worker: &Worker,
    route: &Route,
    permit: Permit<'_>,
    request: Result<Request<RequestBody>, Reject>,
    settled: &Settled,
) -> Result<Response<UpstreamBody>, Reject> {
    let (pools, upstream, request) = (&worker.pools, &route.upstream, request?);
    match &settled.handshake {
        None => Ok(proxy::forward(permit, pools, upstream, request).await?),
        // PERF: boxed, so that every other request's future need not be large enough for it.
        Some(handshake) => {
            Ok(Box::pin(proxy::forward_upgrade(permit, pools, upstream, handshake.clone(), request)).await?)
        }
    }
}

/// The app's answer: its cookie of our name stays here, and caches learn that it depends on who asks.
fn from_the_app(gateway: &Gateway, route: &Route, personal: bool, answer: Response<UpstreamBody>) -> Response<Body> {
    let mut answer = answer.map(Body::from);
    keep_our_cookie_ours(gateway, route, &mut answer);
    if personal {
        headers::add_vary_cookie(answer.headers_mut());
    }
    answer
}

/// Nobody is signed in and somebody must be: a person is sent to the sign-in page, a program is told.
fn challenge(gateway: &Gateway, parts: &Parts, reader: Reader) -> Response<Body> {
    let here = parts.uri.path_and_query().map(|here| here.as_str());
    let page = match reader {
        Reader::Person => respond::redirect(StatusCode::FOUND, &auth::login_url(&gateway.prefix, here)),
        Reader::Program => {
            let body =
                serde_json::json!({ "error": "login_required", "login_url": auth::login_url(&gateway.prefix, None) });
            respond::json(StatusCode::UNAUTHORIZED, &body)
        }
    };
    let mut response = page.map(Body::from);
    headers::add_vary_cookie(response.headers_mut());
    response
}

/// A clear listener that only leads to the secure one; the session is not touched.
fn redirect_to_https(parts: &Parts, settled: &Settled) -> Result<Response<Body>, Reject> {
    if !parts.method.is_safe() {
        return Err(Reject::HttpsOnly);
    }
    let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
    let url = format!("https://{}{here}", settled.host_name());
    Ok(respond::redirect(StatusCode::PERMANENT_REDIRECT, &url).map(Body::from))
}

/// An app's cookie of our name would replace ours in the browser: it is kept back, and the operator is told.
fn keep_our_cookie_ours(gateway: &Gateway, route: &Route, answer: &mut Response<Body>) {
    let name = gateway.sessions.cookie_name();
    let headers = answer.headers_mut();
    if !headers.get_all(header::SET_COOKIE).iter().any(|line| cookies::sets(line, name)) {
        return;
    }
    route.report_cookie_clash(name);
    let lines: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for line in lines.into_iter().filter(|line| !cookies::sets(line, name)) {
        headers.append(header::SET_COOKIE, line);
    }
}

/// Adds to the head what the commit decided; a response with our cookie is nobody else's to keep.
fn announce(response: &mut Response<Body>, committed: Committed) {
    let headers = response.headers_mut();
    if let Some(line) = committed.set_cookie {
        headers.append(header::SET_COOKIE, line);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers::add_vary_cookie(headers);
    }
    if committed.clear_cookies {
        let name = header::HeaderName::from_static("clear-site-data");
        headers.insert(name, HeaderValue::from_static("\"cookies\""));
    }
}

fn refuse(gateway: &Gateway, reject: &Reject, reader: Reader, route: Option<&str>) -> Response<Body> {
    reject.log(route);
    reject.respond(reader, &gateway.pages, &format!("{}/logout", gateway.prefix)).map(Body::from)
}
