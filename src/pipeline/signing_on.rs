//! Sign-on: the gateway goes through the app's own login for the user, as the user's browser would.
//!
//! Steps of `pipeline` for routes with `sign_on`. The user's request waits for the login and goes on; when the app's own
//! session has run out, there is one more login, and a request that can be repeated is. SECURITY: only the route's own
//! upstream is ever asked; redirects after the login are looked at and not followed.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::response::Parts as Head;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Collected, Full, Limited};

use super::body::Body;
use super::{Exchange, Kept};
use crate::gateway::Route;
use crate::http::body::{BodyError, RequestBody};
use crate::http::lines::HeaderLines;
use crate::identity::Identity;
use crate::jar::{self, Jar};
use crate::observe::Answer;
use crate::places::{Places, Wanted};
use crate::policy::{self, Decision};
use crate::proxy;
use crate::reject::Reject;
use crate::session::{Change, CookieChanges, Session, Typed, VaultId};
use crate::sign_on::{self, Flight, Found, Login, NoLogin, SignOn, Way};

/// How much is read of each page on the way.
const LONGEST_PAGE: usize = 256 * 1024;
/// A login page may lead on to another, a few times.
const MOST_REDIRECTS: usize = 5;

/// The app's answer, or ours in its place.
type Served = Result<(Response<Body>, Wanted), Reject>;

/// Why the app has not let the user in.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NoLogin(#[from] NoLogin),
    #[error("the app has refused the credentials, or answers as if it had (sign_on.success)")]
    Refused,
    #[error("the app's answer cannot be read: compressed, or more than 256 KiB")]
    Unreadable,
    #[error("the app's login page leads to another host, or nowhere")]
    Astray,
    #[error("the app has not answered within sign_on.timeout")]
    Late,
    #[error(transparent)]
    Upstream(#[from] proxy::Error),
    #[error("the request cannot be written")]
    Request,
}

/// How a login ended.
enum Outcome {
    /// The app knows the user. Cookies for the browser itself may have come of it.
    SignedOn(Vec<HeaderValue>),
    /// Nobody has entered credentials for this user.
    NoCredentials,
    /// The user must sign in here once more.
    SignInAgain,
    /// It has failed, now or a moment ago.
    Failed,
}

/// What a browser would have in hand on the way through a login.
#[derive(Default)]
struct Errand {
    jar: Jar,
    /// What has become of the jar since it was empty, or since it was the session's.
    operations: Vec<jar::Operation>,
    /// Whether it began with an empty jar.
    afresh: bool,
    /// `Set-Cookie` lines that are for the browser itself.
    exposed: Vec<HeaderValue>,
}

/// What came of one request on the way.
struct Told {
    head: Head,
    body: Option<Bytes>,
    cookies: Vec<jar::Operation>,
}

/// One request of our own.
struct Errands<'r> {
    route: &'r Route,
    login: &'r Login,
    vault: VaultId,
    /// The user's request: apps bind their sessions to what browsers say of themselves.
    asked_with: &'r HeaderMap,
}

impl Exchange<'_> {
    /// The app, with the user signed on to it.
    pub(super) async fn forward_signed_on(
        &self,
        route: &Route,
        sign_on: &SignOn,
        session: &mut Session,
        mut parts: Parts,
        body: RequestBody,
    ) -> Served {
        let Some(identity) = session.identity().cloned() else {
            return self.forward_for(route, session, parts, body).await;
        };
        match (sign_on.way(), route.cookies.vault()) {
            (Way::Login(login), Some(vault)) => {
                let headers = parts.headers.clone();
                let errands = Errands { route, login, vault, asked_with: &headers };
                self.forward_logged_in(&errands, sign_on, session, parts, body).await
            }
            // `config::check` does not pass a login without a vault.
            (Way::Login(_), None) => self.forward_for(route, session, parts, body).await,
            (Way::Basic, _) => {
                let credentials = match sign_on.credentials(&identity, || self.gateway.sessions.typed(session)) {
                    Found::Credentials(credentials) => credentials,
                    Found::NotTyped => return Ok((self.challenge(route, &parts), Wanted::default())),
                    Found::None => return Err(Reject::forbidden(Some(&identity))),
                };
                let refused = || Reject::SignOn { user: identity.user.clone() };
                // SECURITY: the client's own goes in any case.
                parts.headers.remove(header::AUTHORIZATION);
                let authorization = sign_on::basic(&credentials).ok_or_else(refused)?;
                parts.headers.insert(header::AUTHORIZATION, authorization);
                let (answer, wanted) = self.forward_for(route, session, parts, body).await?;
                if answer.status() == http::StatusCode::UNAUTHORIZED {
                    self.report(route, session, &Failure::Refused);
                    return Err(refused());
                }
                Ok((answer, wanted))
            }
        }
    }

    /// The app as it is; the policy is asked anew, since the session may be another by now.
    async fn forward_for(&self, route: &Route, session: &Session, parts: Parts, body: RequestBody) -> Served {
        match policy::decide(&route.access, session.identity()) {
            Decision::Allow(permit) => self.forward(route, permit, session, parts, body, None).await,
            Decision::Login => Ok((self.challenge(route, &parts), Wanted::default())),
            Decision::Deny => Err(Reject::forbidden(session.identity())),
        }
    }

    async fn forward_logged_in(
        &self,
        errands: &Errands<'_>,
        sign_on: &SignOn,
        session: &mut Session,
        parts: Parts,
        body: RequestBody,
    ) -> Served {
        let Errands { route, login, vault, .. } = errands;
        let mut exposed = Vec::new();
        if session.signed_on(*vault).is_none() {
            match self.log_in_once(errands, sign_on, session, None).await? {
                Outcome::SignedOn(lines) => exposed = lines,
                Outcome::SignInAgain => return Ok((self.challenge(route, &parts), Wanted::default())),
                Outcome::NoCredentials => return Err(Reject::forbidden(session.identity())),
                Outcome::Failed => return Err(refused(session)),
            }
        }
        let times = session.signed_on(*vault);
        let path = parts.uri.path().to_owned();
        let may_repeat = parts.method.is_idempotent() && body.is_empty() && self.settled.handshake.is_none();
        let again = may_repeat.then(|| copy_of(&parts));
        let (mut answer, mut wanted) = self.forward_for(route, session, parts, body).await?;
        if login.has_expired(&path, &head(&answer)) {
            match (self.log_in_once(errands, sign_on, session, times).await?, again) {
                (Outcome::SignedOn(lines), Some(again)) => {
                    exposed.extend(lines);
                    let none = RequestBody::none(&self.worker.timers);
                    (answer, wanted) = self.forward_for(route, session, again, none).await?;
                    let flight = self.flight(sign_on, session);
                    match login.has_expired(&path, &head(&answer)) {
                        // Another login would help as little: perhaps the page is not for this user.
                        true => flight.iter().for_each(|flight| flight.failed(self.settled.now)),
                        false => flight.iter().for_each(|flight| flight.succeeded()),
                    }
                }
                (Outcome::SignedOn(lines), None) => {
                    // What it does to the cookies of the session that is over must not reach those of the new one.
                    answer.headers_mut().remove(header::SET_COOKIE);
                    exposed.extend(lines);
                }
                // The app has said what there is to say.
                (Outcome::Failed | Outcome::NoCredentials | Outcome::SignInAgain, _) => {}
            }
        }
        hand_over(exposed, &mut answer);
        Ok((answer, wanted))
    }

    fn flight(&self, sign_on: &SignOn, session: &Session) -> Option<std::sync::Arc<Flight>> {
        Some(sign_on.flights().of(session.handle()?, self.settled.now))
    }

    /// One login for all requests of the session that need one; `times`: how often there was one when this was found out.
    async fn log_in_once(
        &self,
        errands: &Errands<'_>,
        sign_on: &SignOn,
        session: &mut Session,
        times: Option<u32>,
    ) -> Result<Outcome, Reject> {
        let Some(flight) = self.flight(sign_on, session) else { return Ok(Outcome::SignInAgain) };
        let _turn = flight.turn().await;
        if !self.gateway.sessions.refresh(session).await? {
            return Ok(Outcome::SignInAgain);
        }
        let Errands { route, vault, .. } = errands;
        let Some(identity) = session.identity().cloned() else { return Ok(Outcome::SignInAgain) };
        match session.signed_on(*vault) {
            // Another request has done it meanwhile.
            done if done != times => return Ok(Outcome::SignedOn(Vec::new())),
            _ if flight.pauses(self.settled.now) => return Ok(Outcome::Failed),
            _ => {}
        }
        let credentials = match sign_on.credentials(&identity, || self.gateway.sessions.typed(session)) {
            Found::Credentials(credentials) => credentials,
            Found::NotTyped => return Ok(Outcome::SignInAgain),
            Found::None => return Ok(Outcome::NoCredentials),
        };
        match self.log_in(errands, session, &credentials, &identity).await {
            Ok(errand) => {
                let Errand { operations, afresh, exposed, .. } = errand;
                let cookies = CookieChanges { vault: *vault, empties: afresh, operations };
                let number = times.unwrap_or(0).wrapping_add(1);
                let changes = [Change::Cookies(Box::new(cookies)), Change::SignedOn(*vault, number)];
                if !self.gateway.sessions.apply_now(session, &changes).await? {
                    return Ok(Outcome::SignInAgain);
                }
                tracing::info!(
                    event = "signed_on",
                    route = &*route.name,
                    handle = session.handle().map(tracing::field::display),
                    user = &*identity.user,
                    "the user is signed on to an app"
                );
                if times.is_none() {
                    flight.succeeded();
                }
                Ok(Outcome::SignedOn(exposed))
            }
            Err(failure) => {
                flight.failed(self.settled.now);
                self.report(route, session, &failure);
                Ok(Outcome::Failed)
            }
        }
    }

    fn report(&self, route: &Route, session: &Session, failure: &Failure) {
        tracing::warn!(
            event = "sign_on_failed", route = &*route.name, handle = session.handle().map(tracing::field::display),
            user = session.identity().map(|identity| &*identity.user), reason = %failure,
            "the user could not be signed on to an app"
        );
    }

    /// Through the app's login, with the cookies that it knows; or without them, where somebody else is signed in by
    /// them, so that the page shows no form.
    async fn log_in(
        &self,
        errands: &Errands<'_>,
        session: &Session,
        credentials: &Typed,
        identity: &Identity,
    ) -> Result<Errand, Failure> {
        let jar = session.jar(errands.vault).cloned().unwrap_or_default();
        let had_cookies = !jar.is_empty();
        let first = self.try_to_log_in(errands, Errand { jar, ..Errand::default() }, credentials, identity).await;
        match first {
            Err(Failure::NoLogin(NoLogin::Form)) if had_cookies => {
                let errand = Errand { afresh: true, ..Errand::default() };
                self.try_to_log_in(errands, errand, credentials, identity).await
            }
            other => other,
        }
    }

    async fn try_to_log_in(
        &self,
        errands: &Errands<'_>,
        mut errand: Errand,
        credentials: &Typed,
        identity: &Identity,
    ) -> Result<Errand, Failure> {
        let login = errands.login;
        let page = match login.page() {
            Some(page) => Some(self.fetch_page(errands, &mut errand, page).await?),
            None => None,
        };
        let page = page.as_ref().map(|(at, html)| (at.as_str(), html.as_str()));
        let posted = login.post(page, credentials, identity, |url| self.path_of_own(errands.route, url))?;
        let referer = page.map_or(posted.target.as_str(), |(at, _)| at);
        let sent = Some((posted.content_type.clone(), posted.body.clone(), referer));
        let told = self.ask_for(errands, &mut errand, &posted.target, sent).await?;
        let path = posted.target.split('?').next().unwrap_or_default();
        let Head { status, headers, .. } = &told.head;
        let answer = Answer { status: *status, headers, cookies: &told.cookies, body: told.body.as_deref() };
        if login.reads_answer() && told.body.is_none() {
            return Err(Failure::Unreadable);
        }
        if !login.has_succeeded(path, &answer) {
            return Err(Failure::Refused);
        }
        if let Some(probe) = login.probe() {
            let told = self.ask_for(errands, &mut errand, probe.path(), None).await?;
            let Head { status, headers, .. } = &told.head;
            let answer = Answer { status: *status, headers, cookies: &[], body: told.body.as_deref() };
            if !Login::probe_agrees(probe, &answer, &credentials.user) {
                return Err(Failure::Refused);
            }
        }
        Ok(errand)
    }

    /// The login page, and where it was found in the end.
    async fn fetch_page(
        &self,
        errands: &Errands<'_>,
        errand: &mut Errand,
        page: &str,
    ) -> Result<(String, String), Failure> {
        let mut at = page.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let told = self.ask_for(errands, errand, &at, None).await?;
            if !told.head.status.is_redirection() {
                let body = told.body.ok_or(Failure::Unreadable)?;
                return Ok((at, String::from_utf8_lossy(&body).into_owned()));
            }
            let mut lines = told.head.headers.get_all(header::LOCATION).iter();
            let location = lines.next().and_then(|line| line.to_str().ok()).filter(|_| lines.next().is_none());
            let own = |url: &[u8]| self.path_of_own(errands.route, url);
            at = location.and_then(|location| errands.login.follow(location, &at, own)).ok_or(Failure::Astray)?;
        }
        Err(Failure::Astray)
    }

    fn path_of_own(&self, route: &Route, url: &[u8]) -> Option<Vec<u8>> {
        self.mapping(route, &route.upstream.host_header(&self.settled.host)).path_of_own(url)
    }

    /// Asks the app as the browser would: `target` is path and query as the browser has them; `sent` is posted.
    async fn ask_for(
        &self,
        errands: &Errands<'_>,
        errand: &mut Errand,
        target: &str,
        sent: Option<(HeaderValue, Bytes, &str)>,
    ) -> Result<Told, Failure> {
        let Errands { route, login, .. } = errands;
        let outside: Uri = target.parse().map_err(|_| Failure::Request)?;
        let (lines, request) = self.write(errands, errand, &outside, sent).ok_or(Failure::Request)?;
        let pools = &self.generation.pools;
        let asked = proxy::forward(policy::to_the_sign_in(), &lines, pools, &route.upstream, request);
        let answered = tokio::time::timeout(login.timeout(), async {
            let (head, body) = asked.await?.into_parts();
            let body = Limited::new(body, LONGEST_PAGE).collect().await;
            Ok::<_, proxy::Error>((head, body.ok().map(Collected::to_bytes)))
        });
        let (mut head, body) = answered.await.map_err(|_| Failure::Late)??;
        let mapping = self.mapping(route, &route.upstream.host_header(&self.settled.host));
        let wanted = route.places.wanted(head.status, &head.headers);
        Places::put_head_right(wanted, &mapping, head.status, &mut head.headers);
        let cookies = self.take_cookies(route, errand, outside.path(), &head.headers);
        let readable = !head.headers.contains_key(header::CONTENT_ENCODING);
        Ok(Told { head, body: body.filter(|_| readable), cookies })
    }

    fn write(
        &self,
        errands: &Errands<'_>,
        errand: &Errand,
        outside: &Uri,
        sent: Option<(HeaderValue, Bytes, &str)>,
    ) -> Option<(HeaderLines, Request<OwnBody>)> {
        let (route, settled) = (errands.route, &self.settled);
        let mut uri = outside.clone();
        route.places.strip(&mut uri).ok()?;
        let mut headers = HeaderMap::new();
        for name in [header::USER_AGENT, header::ACCEPT_LANGUAGE] {
            headers.extend(errands.asked_with.get(&name).map(|value| (name, value.clone())));
        }
        let accept = HeaderValue::from_static("text/html, application/json;q=0.9, */*;q=0.5");
        headers.insert(header::ACCEPT, accept);
        let mut method = Method::GET;
        let mut body = Bytes::new();
        if let Some((kind, content, referer)) = sent {
            let scheme = if settled.client.https { "https" } else { "http" };
            let origin = format!("{scheme}://{}", settled.host.to_str().ok()?);
            // As a browser would: apps compare them with their own name (Django does over TLS).
            headers.insert(header::REFERER, HeaderValue::try_from(format!("{origin}{referer}")).ok()?);
            headers.insert(header::ORIGIN, HeaderValue::try_from(origin).ok()?);
            headers.insert(header::CONTENT_TYPE, kind);
            (method, body) = (Method::POST, content);
        }
        let mut lines = HeaderLines::with_capacity(512);
        lines.push(&header::HOST, &route.upstream.host_header(&settled.host));
        settled.client.write(&mut lines, self.peer, &settled.host, settled.port);
        route.places.write(&mut lines);
        self.with_place(route, outside.path(), |place| {
            let kept = Kept { jar: Some(&errand.jar), place, now: settled.now };
            // Not the browser's own: an exposed cookie on the way is the one that this very login has set.
            route.cookies.write(&HeaderMap::new(), self.gateway.sessions.cookie_names(), &kept, &mut lines);
        });
        let mut request = Request::new(Full::new(body).map_err(never as fn(_) -> _));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        Some((lines, request))
    }

    /// Keeps what an answer on the way sets.
    fn take_cookies(&self, route: &Route, errand: &mut Errand, path: &str, headers: &HeaderMap) -> Vec<jar::Operation> {
        let now = self.settled.now;
        let mut all = Vec::new();
        for line in headers.get_all(header::SET_COOKIE) {
            let read = self.with_place(route, path, |place| jar::read(line.as_bytes(), &place, now));
            let Ok(operation) = read else { continue };
            errand.jar.apply(&operation, now);
            match route.cookies.exposes(line) {
                true => errand.exposed.push(line.clone()),
                false => errand.operations.push(operation.clone()),
            }
            all.push(operation);
        }
        all
    }
}

/// A request's body of our own.
type OwnBody = http_body_util::combinators::MapErr<Full<Bytes>, fn(std::convert::Infallible) -> BodyError>;

fn never(never: std::convert::Infallible) -> BodyError {
    match never {}
}

fn refused(session: &Session) -> Reject {
    Reject::SignOn { user: session.identity().map(|identity| identity.user.clone()).unwrap_or_default() }
}

fn head(answer: &Response<Body>) -> Answer<'_> {
    Answer { status: answer.status(), headers: answer.headers(), cookies: &[], body: None }
}

fn copy_of(parts: &Parts) -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.version_mut() = parts.version;
    *request.headers_mut() = parts.headers.clone();
    request.into_parts().0
}

/// Cookies for the browser itself that came up on the way; the answer's own word on the same name counts more.
fn hand_over(lines: Vec<HeaderValue>, answer: &mut Response<Body>) {
    let name = |line: &HeaderValue| {
        let pair = line.as_bytes().split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
        pair.trim_ascii().to_vec()
    };
    let mut said: Vec<Vec<u8>> = answer.headers().get_all(header::SET_COOKIE).iter().map(name).collect();
    for line in lines.into_iter().rev() {
        let name = name(&line);
        if !said.contains(&name) {
            said.push(name);
            answer.headers_mut().append(header::SET_COOKIE, line);
        }
    }
}
