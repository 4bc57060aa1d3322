//! THE request path: [`handle`] settles what a request is, `Exchange::serve` decides what becomes of it.
//!
//! Read top to bottom, this is the product. Each step is one call into one module; a step that ends the
//! request early returns a [`Reject`]. `server` calls `handle` for each request of a connection.

mod body;
mod places;
mod settle;

use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::auth::{self, endpoints};
use crate::clock::Clock;
use crate::config::schema::{Access, SessionHeaders};
use crate::gateway::{Gateway, Route};
use crate::http::body::RequestBody;
use crate::http::lines::HeaderLines;
use crate::http::peer::Peer;
use crate::http::{cookies, headers, respond};
use crate::identity::Identity;
use crate::identity::headers::Facts;
use crate::policy::{self, Decision, Permit};
use crate::proxy::{self, Pools};
use crate::reject::{Reader, Reject};
use crate::session::rules::Asked;
use crate::session::{self, Change, Committed, Recall, Session, Visit};
use crate::telemetry::access::{AccessLog, Record};
use crate::telemetry::traffic::{Fault, Tally};
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
    /// Counts what goes through.
    pub tally: Tally,
}

/// What all requests of one client connection share.
pub struct Connection {
    worker: Rc<Worker>,
    peer: Peer,
    recall: Recall,
}

impl Connection {
    /// A connection that has asked for nothing yet.
    #[must_use]
    pub fn new(worker: Rc<Worker>, peer: Peer) -> Self {
        Self { worker, peer, recall: Recall::default() }
    }
}

/// Answers one request.
pub async fn handle(connection: Rc<Connection>, request: Request<Incoming>) -> Response<Body> {
    let Connection { worker, peer, recall } = &*connection;
    let gateway = &*worker.gateway;
    let now = worker.clock.now();
    let (mut parts, incoming) = request.into_parts();
    let mut record = worker.access.begin(now, &parts.method, settle::host_for_log(&parts), parts.uri.path());
    let reader = settle::reader(&parts.headers);
    let (route, response) = match settle::settle(gateway, peer, &mut parts, &incoming, now) {
        Ok(settled) => {
            let route = settled.route_number();
            let exchange = Exchange { worker, gateway, peer, recall, settled, reader };
            (route, exchange.answer(parts, incoming, record.as_deref_mut()).await)
        }
        Err(reject) => (None, refuse(gateway, &reject, reader, None)),
    };
    let status = response.status();
    worker.tally.answered(route, status);
    response.map(|body| body.recorded(record, status))
}

/// A settled request and its surroundings: what every step from here on needs to know.
struct Exchange<'a> {
    worker: &'a Worker,
    gateway: &'a Gateway,
    peer: &'a Peer,
    recall: &'a Recall,
    settled: Settled,
    reader: Reader,
}

impl Exchange<'_> {
    /// Opens the session, serves, and commits before the head leaves.
    async fn answer(&self, parts: Parts, incoming: Incoming, mut record: Option<&mut Record>) -> Response<Body> {
        if let Some(record) = &mut record {
            record.client = Some(self.settled.client.address);
            record.route = self.settled.route(self.gateway).map(|route| Arc::clone(&route.name));
        }
        if self.peer.redirect_to_https {
            return self.redirect_to_https(&parts).unwrap_or_else(|reject| self.refuse(&reject));
        }
        let mut session = match self
            .gateway
            .sessions
            .open(&parts.headers, self.recall, self.settled.client.address, self.settled.now)
            .await
        {
            Ok(session) => session,
            Err(session::Error::Store(error)) if self.does_without_sessions() => {
                tracing::debug!(%error, "served as to a stranger");
                Session::cut_off()
            }
            Err(error) => return self.refuse(&error.into()),
        };
        self.gateway.auth.check_account(&mut session);
        if let Some(record) = record {
            record.user = session.identity().map(|identity| identity.user.clone());
            record.handle = session.handle();
        }
        let route = self.settled.route(self.gateway);
        let may_change = session.will_change() || route.is_some_and(Route::may_change_sessions);
        let agent = may_change.then(|| parts.headers.get(header::USER_AGENT).cloned()).flatten();

        let served = self.serve(parts, incoming, &mut session).await;
        let mut response = served.unwrap_or_else(|reject| {
            session.was_told_in_vain();
            self.refuse(&reject)
        });

        match self.gateway.sessions.commit(session, self.visit(agent.as_ref()), response.status()).await {
            Ok(committed) => announce(&mut response, committed),
            Err(error) => response = self.refuse(&error.into()),
        }
        response
    }

    /// One of our own pages answers, or the app, if the policy permits.
    async fn serve(&self, parts: Parts, incoming: Incoming, session: &mut Session) -> Result<Response<Body>, Reject> {
        let Some(route) = self.settled.route(self.gateway) else {
            // PERF: boxed, so that the future of a request for an app need not be large enough for it.
            return Box::pin(self.own_page(&parts, incoming, session)).await;
        };
        if !route.activity {
            session.not_an_activity();
        }
        let may_pass =
            |session: &Session| matches!(policy::decide(&route.access, session.identity()), Decision::Allow(_));
        if route.session_headers != SessionHeaders::None && may_pass(session) {
            // PERF: boxed like the pages.
            Box::pin(self.gateway.sessions.take_flash(session)).await?;
        }
        match policy::decide(&route.access, session.identity()) {
            Decision::Allow(permit) => {
                let asked = route.asked(&parts);
                let mut answer = self.forward(route, permit, session, parts, incoming).await?;
                session.record_changes(self.wanted_of_the_session(route, asked, &mut answer));
                Ok(answer)
            }
            Decision::Login => Ok(self.challenge(&parts)),
            Decision::Deny => Err(Reject::forbidden(session.identity())),
        }
    }

    /// One of the gateway's own pages.
    async fn own_page(
        &self,
        parts: &Parts,
        incoming: Incoming,
        session: &mut Session,
    ) -> Result<Response<Body>, Reject> {
        let Place::Own(place) = &self.settled.place else { return Err(Reject::NoPath) };
        let call = endpoints::Call {
            place,
            prefix: &self.gateway.prefix,
            method: &parts.method,
            headers: &parts.headers,
            query: parts.uri.query(),
            host: self.settled.host.to_str().unwrap_or_default(),
            address: self.settled.client.address,
            https: self.settled.client.https,
            now: self.settled.now,
            session,
            sessions: &self.gateway.sessions,
            pages: &self.gateway.pages,
            body: Some(self.request_body(incoming, Some(endpoints::MAX_FORM_SIZE))),
        };
        Ok(endpoints::answer(&self.gateway.auth, call).await?.map(Body::from))
    }

    /// The app: our cookie out, the identity in, and back with what it answers.
    async fn forward(
        &self,
        route: &Route,
        permit: Permit<'_>,
        session: &Session,
        parts: Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Reject> {
        let personal = permit.identity().is_some() || route.access != Access::Public || route.reads_sessions();
        let sent = route.upstream.host_header(&self.settled.host);
        let lines = self.lines_for_the_app(route, &sent, &permit, session, &parts.headers);
        let request = self.for_the_app(route, &sent, permit.identity(), parts, incoming)?;
        let (pools, upstream) = (&self.worker.pools, &route.upstream);
        let (tally, number) = (&self.worker.tally, self.settled.route_number());
        let watch = tally.watch(number, self.settled.now);
        let answer = match &self.settled.handshake {
            None => proxy::forward(permit, &lines, pools, upstream, request).await,
            // PERF: boxed for the same reason as above.
            Some(handshake) => {
                Box::pin(proxy::forward_upgrade(permit, &lines, pools, upstream, handshake.clone(), request)).await
            }
        };
        match &answer {
            Ok(_) => tally.served(number, watch),
            Err(error) => fault(error).into_iter().for_each(|fault| tally.failed(number, fault)),
        }
        let mut answer = answer?.map(Body::from);
        keep_our_cookie_ours(self.gateway, route, &mut answer);
        let mut answer = self.put_places_right(route, answer);
        if personal {
            headers::add_vary_cookie(answer.headers_mut());
        }
        Ok(answer)
    }

    /// What is to be done to the session after this answer: by the route's rules, and by the app's own word.
    fn wanted_of_the_session(
        &self,
        route: &Route,
        asked: Option<(Method, String)>,
        answer: &mut Response<Body>,
    ) -> Vec<Change> {
        let (status, now) = (answer.status(), self.settled.now);
        let mut changes = Vec::new();
        if let Some((method, path)) = asked {
            changes = route.rules.changes(&Asked { method: &method, path: &path }, status, answer.headers(), now);
        }
        let allowed = route.session_headers == SessionHeaders::ReadWrite;
        changes.extend(session::headers::take(answer.headers_mut(), allowed, now));
        changes
    }

    /// The request in the app's own terms.
    fn for_the_app(
        &self,
        route: &Route,
        sent: &HeaderValue,
        identity: Option<&Identity>,
        mut parts: Parts,
        incoming: Incoming,
    ) -> Result<Request<RequestBody>, Reject> {
        let limit = route.upstream.max_body_size();
        if self.settled.content_length > limit.unwrap_or(u64::MAX) {
            return Err(Reject::TooLarge);
        }
        self.move_inside(route, sent, identity, &mut parts)?;
        Ok(Request::from_parts(parts, self.request_body(incoming, limit)))
    }

    /// What the gateway writes for the app: under which name, for whom, who asks, and the cookies without ours.
    fn lines_for_the_app(
        &self,
        route: &Route,
        sent: &HeaderValue,
        permit: &Permit<'_>,
        session: &Session,
        headers: &HeaderMap,
    ) -> HeaderLines {
        let settled = &self.settled;
        let mut lines = HeaderLines::with_capacity(512);
        lines.push(&header::HOST, sent);
        settled.client.write(&mut lines, self.peer, &settled.host, settled.port);
        route.places.write(&mut lines);
        let facts = Facts { handle: session.handle(), data: session.data() };
        route.identity.inject(permit.identity(), &facts, &mut lines);
        if route.session_headers != SessionHeaders::None
            && let Err(error) = session::headers::write(&session.into(), &mut lines)
        {
            route.report_too_large(error, settled.now);
        }
        cookies::write_others(headers, self.gateway.sessions.cookie_names(), &mut lines);
        lines
    }

    /// Nobody is signed in and somebody must be: a person is sent to the sign-in page, a program is told.
    fn challenge(&self, parts: &Parts) -> Response<Body> {
        let prefix = &self.gateway.prefix;
        let here = parts.uri.path_and_query().map(|here| here.as_str());
        let page = match self.reader {
            Reader::Person => respond::redirect(StatusCode::FOUND, &auth::login_url(prefix, here)),
            Reader::Program => {
                let login_url = auth::login_url(prefix, None);
                let body = serde_json::json!({ "error": "login_required", "login_url": login_url });
                respond::json(StatusCode::UNAUTHORIZED, &body)
            }
        };
        let mut response = page.map(Body::from);
        headers::add_vary_cookie(response.headers_mut());
        response
    }

    /// A clear listener that only leads to the secure one; the session is not touched.
    fn redirect_to_https(&self, parts: &Parts) -> Result<Response<Body>, Reject> {
        if !parts.method.is_safe() {
            return Err(Reject::HttpsOnly);
        }
        let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
        let url = format!("https://{}{here}", self.settled.host_name());
        Ok(respond::redirect(StatusCode::PERMANENT_REDIRECT, &url).map(Body::from))
    }

    fn does_without_sessions(&self) -> bool {
        self.settled.route(self.gateway).is_some_and(Route::does_without_sessions)
    }

    fn request_body(&self, incoming: Incoming, limit: Option<u64>) -> RequestBody {
        RequestBody::new(incoming, limit, self.gateway.body_timeout, &self.worker.timers)
    }

    fn visit<'v>(&self, agent: Option<&'v HeaderValue>) -> Visit<'v> {
        let settled = &self.settled;
        Visit { now: settled.now, address: settled.client.address, agent, https: settled.client.https }
    }

    fn refuse(&self, reject: &Reject) -> Response<Body> {
        let route = self.settled.route(self.gateway).map(|route| &*route.name);
        refuse(self.gateway, reject, self.reader, route)
    }
}

/// What an app has to answer for; a body that the client did not deliver is not its fault.
fn fault(error: &proxy::Error) -> Option<Fault> {
    match error {
        proxy::Error::Resolve { .. } | proxy::Error::Connect { .. } => Some(Fault::Connect),
        proxy::Error::ConnectTimeout { .. } | proxy::Error::FirstByteTimeout => Some(Fault::Timeout),
        proxy::Error::BadResponse(_) => Some(Fault::BadResponse),
        proxy::Error::Broken(_) => Some(Fault::Broken),
        proxy::Error::Client(_) => None,
    }
}

/// An app's cookie of our name would replace ours in the browser: it is kept back, and the operator is told.
fn keep_our_cookie_ours(gateway: &Gateway, route: &Route, answer: &mut Response<Body>) {
    let names = gateway.sessions.cookie_names();
    let is_ours = |line: &HeaderValue| names.iter().any(|name| cookies::sets(line, name));
    let headers = answer.headers_mut();
    if !headers.get_all(header::SET_COOKIE).iter().any(is_ours) {
        return;
    }
    route.report_cookie_clash(&names[0]);
    let lines: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for line in lines.into_iter().filter(|line| !is_ours(line)) {
        headers.append(header::SET_COOKIE, line);
    }
}

/// Adds to the head what the commit decided; a response with our cookie is nobody else's to keep.
fn announce(response: &mut Response<Body>, committed: Committed) {
    let headers = response.headers_mut();
    if !committed.set_cookie.is_empty() {
        for line in committed.set_cookie {
            headers.append(header::SET_COOKIE, line);
        }
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
