//! Between the gateway and one app: the request as the app is told it, and what of its answer concerns the session.
//!
//! Steps of `pipeline`, after the policy has permitted the request. SECURITY: what the client may not say of itself is
//! written here and nowhere else, and what is the gateway's own is taken out of what the app says.

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response};

use super::{Body, Exchange};
use crate::config::schema::{Access, SessionHeaders};
use crate::gateway::{Gateway, Route};
use crate::http::body::RequestBody;
use crate::http::lines::HeaderLines;
use crate::http::target::without_port;
use crate::http::{cookies, headers};
use crate::identity::Identity;
use crate::identity::headers::Facts;
use crate::jar;
use crate::places::Wanted;
use crate::policy::Permit;
use crate::proxy;
use crate::reject::Reject;
use crate::session::rules::Asked;
use crate::session::{self, Change, Session};
use crate::telemetry::traffic::Fault;
use crate::vault::Kept;

impl Exchange<'_> {
    /// The app: our cookie out, the identity in, and back with what it answers.
    pub(super) async fn forward(
        &self,
        route: &Route,
        permit: Permit<'_>,
        session: &Session,
        parts: &mut Parts,
        body: RequestBody,
    ) -> Result<(Response<Body>, Wanted), Reject> {
        let personal = permit.identity().is_some() || route.access != Access::Public || route.reads_sessions();
        let sent = route.upstream.host_header(&self.settled.host);
        let lines = self.lines_for_the_app(route, &sent, &permit, session, parts);
        self.put_request_right(route, &sent, permit.identity(), parts)?;
        let (pools, upstream) = (&self.generation.pools, &route.upstream);
        let (tally, number) = (&self.generation.tally, self.settled.route_number());
        let watch = tally.watch(number, self.settled.now);
        let answer = match &self.settled.handshake {
            None => proxy::forward(permit, &lines, pools, upstream, parts, body).await,
            // PERF: boxed for the same reason as above.
            Some(handshake) => {
                let opening = self.opening(handshake, route, session);
                let parts = std::mem::replace(parts, Request::new(()).into_parts().0);
                Box::pin(proxy::forward_upgrade(permit, &lines, pools, upstream, opening, parts, body)).await
            }
        };
        match &answer {
            Ok(_) => tally.served(number, watch),
            Err(error) => fault(error).into_iter().for_each(|fault| tally.failed(number, fault)),
        }
        let mut answer = answer?.map(Body::from);
        let wanted = self.put_head_right(route, &sent, &mut answer);
        if personal {
            headers::add_vary_cookie(answer.headers_mut());
        }
        Ok((answer, wanted))
    }

    /// What is to be done to the session after this answer: by the route's rules, and by the app's own word.
    pub(super) fn wanted_of_the_session(
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
        changes.into_iter().map(|change| change.vouched_for_in(route.cookies.vault())).collect()
    }

    /// The request in the app's own terms.
    fn put_request_right(
        &self,
        route: &Route,
        sent: &HeaderValue,
        identity: Option<&Identity>,
        parts: &mut Parts,
    ) -> Result<(), Reject> {
        if self.settled.content_length > route.upstream.max_body_size().unwrap_or(u64::MAX) {
            return Err(Reject::TooLarge);
        }
        self.move_inside(route, sent, identity, parts)
    }

    /// What the gateway writes for the app: under which name, for whom, who asks, and the cookies without ours.
    fn lines_for_the_app(
        &self,
        route: &Route,
        sent: &HeaderValue,
        permit: &Permit<'_>,
        session: &Session,
        parts: &Parts,
    ) -> HeaderLines {
        let settled = self.settled;
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
        let ours = self.gateway.sessions.cookie_names();
        self.with_kept(route, session, parts.uri.path(), |kept| {
            route.cookies.write(&parts.headers, ours, kept, &mut lines);
        });
        lines
    }

    /// The app's cookies: off to the vault, hardened, or as they are.
    pub(super) fn absorb_cookies(
        &self,
        route: &Route,
        session: &Session,
        path: Option<&PathAndQuery>,
        changes: &[Change],
        answer: &mut HeaderMap,
    ) -> Option<Change> {
        let stays = !changes.iter().any(Change::may_end_custody);
        let absorbed = self.with_kept(route, session, path.map_or("/", PathAndQuery::path), |kept| {
            let kept = Kept { jar: kept.jar.filter(|_| stays), ..*kept };
            route.cookies.absorb(answer, self.settled.client.https, &kept)
        });
        keep_our_cookie_ours(self.gateway, route, answer);
        absorbed.map(|changes| Change::Cookies(Box::new(changes)))
    }

    pub(super) fn with_kept<R>(
        &self,
        route: &Route,
        session: &Session,
        path: &str,
        ask: impl FnOnce(&Kept<'_>) -> R,
    ) -> R {
        let now = self.settled.now;
        if !route.remembers_path() {
            return ask(&Kept { jar: None, place: jar::Place { hosts: &[], paths: &[] }, now });
        }
        let jar = route.cookies.vault().and_then(|vault| session.jar(vault));
        self.with_place(route, path, |place| ask(&Kept { jar, place, now }))
    }

    /// The names under which the app is asked for `path`.
    pub(super) fn with_place<R>(&self, route: &Route, path: &str, ask: impl FnOnce(jar::Place<'_>) -> R) -> R {
        let told = route.upstream.host_header(&self.settled.host);
        let hosts = [without_port(told.to_str().unwrap_or_default()), self.settled.host_name()];
        let paths = [route.places.inside(path), path];
        ask(jar::Place { hosts: &hosts, paths: &paths })
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
fn keep_our_cookie_ours(gateway: &Gateway, route: &Route, headers: &mut HeaderMap) {
    // PERF: most answers set none; this costs less than to look the name up.
    if !headers.keys().any(|name| *name == header::SET_COOKIE) {
        return;
    }
    let names = gateway.sessions.cookie_names();
    let is_ours = |line: &HeaderValue| names.iter().any(|name| cookies::sets(line, name));
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
