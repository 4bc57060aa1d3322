//! THE request path: [`handle`] settles what a request is, `Exchange::serve` decides what becomes of it.
//!
//! Read top to bottom, this is the product. Each step is one call into one module; a step that ends the
//! request early returns a [`Reject`]. `server` calls `handle` for each request of a connection.

mod body;
mod forgotten;
mod forwarding;
mod lasting;
mod observing;
mod parking;
mod peek;
mod places;
mod settle;
mod signing_on;
mod ties;
mod worker;

use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use crate::auth::endpoints;
use crate::config::schema::SessionHeaders;
use crate::gateway::{Gateway, Route};
use crate::http::body::RequestBody;
use crate::http::peer::Peer;
use crate::http::{headers, respond};
use crate::policy::{self, Decision};
use crate::reject::{Reader, Reject};
use crate::session::{self, Committed, Recall, Session, Visit};
use crate::telemetry::access::Record;

pub use body::Body;
use parking::Next;
use settle::{Place, Settled};
pub use ties::watch_over;
use worker::Generation;
pub use worker::Worker;

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
    // A reload from here on is for the next request.
    let generation = worker.generation();
    let gateway = &*generation.gateway;
    let now = worker.clock.now();
    let (mut parts, incoming) = request.into_parts();
    let mut record = generation.access.begin(now, &parts.method, settle::host_for_log(&parts), parts.uri.path());
    let reader = settle::reader(&parts.headers);
    let (route, response) = match settle::settle(gateway, peer, &mut parts, &incoming, now) {
        Ok(settled) => {
            let route = settled.route_number();
            let exchange =
                Exchange { worker, generation: &generation, gateway, peer, recall, settled: &settled, reader };
            (route, exchange.answer(&mut parts, incoming, record.as_deref_mut()).await)
        }
        Err(reject) => (None, refuse(gateway, &reject, reader, None)),
    };
    let status = response.status();
    generation.tally.answered(route, status);
    response.map(|body| body.recorded(record, status))
}

/// A settled request and its surroundings: what every step from here on needs to know.
struct Exchange<'a> {
    worker: &'a Worker,
    generation: &'a Generation,
    gateway: &'a Gateway,
    peer: &'a Peer,
    recall: &'a Recall,
    settled: &'a Settled,
    reader: Reader,
}

impl Exchange<'_> {
    /// Opens the session, serves, and commits before the head leaves.
    // PERF: `parts` stay where they are on their whole way; each step that took them by value would copy them twice.
    async fn answer(&self, parts: &mut Parts, incoming: Incoming, mut record: Option<&mut Record>) -> Response<Body> {
        if let Some(record) = &mut record {
            record.client = Some(self.settled.client.address);
            record.route = self.settled.route(self.gateway).map(|route| Arc::clone(&route.name));
        }
        if self.peer.redirect_to_https {
            return self.redirect_to_https(parts).unwrap_or_else(|reject| self.refuse(&reject));
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

        let tie = self.tie(route, &session, &response);
        match self.gateway.sessions.commit(session, self.visit(agent.as_ref()), response.status()).await {
            Ok(committed) => {
                announce(&mut response, committed);
                response.body_mut().end_with(tie);
            }
            Err(error) => response = self.refuse(&error.into()),
        }
        response
    }

    /// One of our own pages answers, or the app, if the policy permits.
    async fn serve(
        &self,
        parts: &mut Parts,
        incoming: Incoming,
        session: &mut Session,
    ) -> Result<Response<Body>, Reject> {
        let Some(route) = self.settled.route(self.gateway) else {
            // PERF: boxed, so that the future of a request for an app need not be large enough for it.
            return Box::pin(self.own_page(parts, incoming, session)).await;
        };
        if !route.activity {
            session.not_an_activity();
        }
        if self.settled.handshake.is_some() {
            self.check_origin(route, parts, session)?;
        }
        let may_pass =
            |session: &Session| matches!(policy::decide(&route.access, session.identity()), Decision::Allow(_));
        let mut body = self.request_body(incoming, route.upstream.max_body_size());
        let mut parked = None;
        // PERF: boxed like the pages.
        if self.concerns_tickets(parts, session) && may_pass(session) {
            match Box::pin(self.settle_tickets(route, parts, body, session)).await? {
                Next::Page(page) => return Ok(page),
                Next::Forward(other, form) => (body, parked) = (other, form),
            }
        }
        if route.session_headers != SessionHeaders::None && may_pass(session) {
            // PERF: boxed like the pages.
            Box::pin(self.gateway.sessions.take_flash(session)).await?;
        }
        let watch = self.watch(route, parts, &mut body)?;
        let permit = match policy::decide(&route.access, session.identity()) {
            Decision::Allow(permit) => permit,
            // PERF: boxed like the pages.
            Decision::Login
                if route.is_way_in(parts) && Box::pin(self.is_sign_in(watch.as_deref(), &mut body)).await? =>
            {
                policy::to_the_sign_in()
            }
            Decision::Login if self.is_a_persons_form(parts) => {
                return Ok(Box::pin(self.park(route, parts, body, session)).await);
            }
            Decision::Login => return Ok(self.challenge(route, &parts.uri)),
            Decision::Deny => return Err(Reject::forbidden(session.identity())),
        };
        if let Some(watch) = &watch {
            // PERF: boxed like the pages.
            Box::pin(self.check_attempt(route, watch, session, &mut body)).await?;
        }
        let asked = route.asked(parts);
        // PERF: shares the bytes of the request.
        let path = route.remembers_path().then(|| parts.uri.path_and_query().cloned()).flatten();
        let underway = self.form_underway(route, parts, session, watch.as_deref(), &mut body);
        let served = match &route.sign_on {
            None => self.forward(route, permit, session, parts, body).await,
            Some(sign_on) => {
                let asked = parts.uri.clone();
                // PERF: boxed like the pages.
                match Box::pin(self.forward_signed_on(route, sign_on, session, parts, body)).await {
                    Ok(served) => served,
                    Err(unsent) => return Box::pin(self.answer_unsent(route, unsent, &asked, parked, session)).await,
                }
            }
        };
        let (mut answer, wanted) = match served {
            Ok(served) => served,
            Err(reject) => return Box::pin(self.park_again(parked, reject, session)).await,
        };
        let mut changes = Vec::new();
        if let Some(path) = path.as_ref().filter(|_| route.watcher().is_some()) {
            // PERF: boxed like the pages.
            changes = Box::pin(self.observe(route, session, watch.as_deref(), underway, path, &mut answer)).await?;
        }
        changes.extend(self.wanted_of_the_session(route, asked, &mut answer));
        let absorbed = self.absorb_cookies(route, session, path.as_ref(), &changes, answer.headers_mut());
        changes.extend(absorbed);
        session.record_changes(changes);
        Ok(self.put_rest_right(route, wanted, answer))
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
            keeps_typed: self.gateway.keeps_typed(),
            body: Some(self.request_body(incoming, Some(endpoints::MAX_FORM_SIZE))),
        };
        Ok(endpoints::answer(&self.gateway.auth, call).await?.map(Body::from))
    }

    /// Nobody is signed in and somebody must be: a person is sent to the sign-in page, a program is told.
    fn challenge(&self, route: &Route, asked: &Uri) -> Response<Body> {
        let here = asked.path_and_query().map(|here| here.as_str());
        let page = match self.reader {
            Reader::Person => return self.send_to(&self.gateway.login_page(route, here)),
            Reader::Program => {
                let login_url = self.gateway.login_page(route, None);
                let body = serde_json::json!({ "error": "login_required", "login_url": login_url });
                respond::json(StatusCode::UNAUTHORIZED, &body)
            }
        };
        let mut response = page.map(Body::from);
        headers::add_vary_cookie(response.headers_mut());
        response
    }

    /// Off to a page where somebody signs in.
    fn send_to(&self, login_page: &str) -> Response<Body> {
        let mut response = respond::redirect(StatusCode::FOUND, login_page).map(Body::from);
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
        let settled = self.settled;
        Visit { now: settled.now, address: settled.client.address, agent, https: settled.client.https }
    }

    fn refuse(&self, reject: &Reject) -> Response<Body> {
        let route = self.settled.route(self.gateway).map(|route| &*route.name);
        refuse(self.gateway, reject, self.reader, route)
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
