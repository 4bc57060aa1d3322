//! The app's own sign-in, as it goes by: a watched request, its answer, and the page that says who is signed in.
//!
//! Steps of `pipeline` for routes with `observe`; what they find is recorded on the session like any other change.
//! Nothing of request or answer is changed but `Accept-Encoding`, where the answer must be readable.

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::response::Parts as Head;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Collected, Empty, Limited};

use super::Exchange;
use super::body::Body;
use super::forgotten::Underway;
use crate::auth::csrf;
use crate::auth::watched::Try;
use crate::gateway::Route;
use crate::http::body::{BodyError, RequestBody};
use crate::http::cookies;
use crate::http::lines::HeaderLines;
use crate::identity::Identity;
use crate::jar::{self, Jar};
use crate::observe::{Answer, Attempt, Observer, Probe, Verdict, Watch};
use crate::policy;
use crate::proxy;
use crate::reject::Reject;
use crate::session::{Change, Claims, Session};
use crate::vault::Kept;

/// How much is read of an answer before its head goes on; no longer page is a sign-in's answer.
const LONGEST_ANSWER: usize = 256 * 1024;

/// Who is signed in after an answer: the page to ask, and what a browser would bring along.
struct Question<'q> {
    route: &'q Route,
    probe: &'q Probe,
    session: &'q Session,
    /// The request that was answered.
    asked_with: &'q HeaderMap,
    /// What its answer does to cookies.
    operations: &'q [jar::Operation],
}

impl Exchange<'_> {
    /// Whether this request may sign in or out, and then what to look at.
    ///
    /// # Errors
    /// SECURITY: another site must not sign anybody in, as whomever it likes (login CSRF).
    pub(super) fn watch<'r>(
        &self,
        route: &'r Route,
        parts: &mut Parts,
        body: &mut RequestBody,
    ) -> Result<Option<Box<Watch<'r>>>, Reject> {
        let Some(watch) = route.watcher().and_then(|observer| observer.watch(parts)) else { return Ok(None) };
        let host = self.settled.host.to_str().unwrap_or_default();
        if watch.may_sign_in() && !csrf::same_origin(&parts.headers, host) {
            return Err(Reject::CrossSite);
        }
        if watch.reads_answers() {
            parts.headers.remove(header::ACCEPT_ENCODING);
        }
        body.capture(watch.capture());
        // PERF: boxed, so that the future of a request that is not watched need not be large enough for it.
        Ok(Some(Box::new(watch)))
    }

    /// Whether a stranger's request is the sign-in that it was let through for; its body is read where that tells.
    ///
    /// # Errors
    /// The client does not send it.
    pub(super) async fn is_sign_in(&self, watch: Option<&Watch<'_>>, body: &mut RequestBody) -> Result<bool, Reject> {
        let Some((watch, limit)) = watch.and_then(|watch| Some((watch, watch.needs_form()?))) else { return Ok(true) };
        body.hold(limit).await.map_err(proxy::Error::Client)?;
        Ok(watch.is_sign_in())
    }

    /// What the answer says of who is signed in.
    ///
    /// # Errors
    /// After too many failed sign-ins: nobody is told then how this one ended.
    pub(super) async fn observe(
        &self,
        route: &Route,
        session: &Session,
        watch: Option<&Watch<'_>>,
        underway: Option<Box<Underway>>,
        path: &PathAndQuery,
        answer: &mut Response<Body>,
    ) -> Result<Vec<Change>, Reject> {
        let Some(observer) = route.watcher() else { return Ok(Vec::new()) };
        let operations = self.with_kept(route, session, path.path(), |kept| operations(answer.headers(), kept));
        if let Some(watch) = watch {
            return self.judge(route, observer, session, watch, &operations, answer).await;
        }
        let knew = vouched_for_by(observer, session).is_some();
        if !knew || !observer.has_expired(path, &head(answer, &operations)) {
            return Ok(Vec::new());
        }
        let mut changes = vec![Change::Flush];
        if let Some(form) = underway {
            changes.extend(self.park_forgotten(route, *form).await);
        }
        Ok(changes)
    }

    /// What the answer to a watched request means.
    async fn judge(
        &self,
        route: &Route,
        observer: &Observer,
        session: &Session,
        watch: &Watch<'_>,
        operations: &[jar::Operation],
        answer: &mut Response<Body>,
    ) -> Result<Vec<Change>, Reject> {
        let body = match watch.must_read(&head(answer, operations)) {
            true => answer.body_mut().peek(LONGEST_ANSWER).await,
            false => None,
        };
        let readable = !answer.headers().contains_key(header::CONTENT_ENCODING);
        let verdict = watch.judge(&Answer { body: body.as_deref().filter(|_| readable), ..head(answer, operations) });
        let (claims, repeats) = match verdict {
            Verdict::SignedOut => return Ok(vec![Change::Flush]),
            Verdict::Unnamed => return Ok(Vec::new()),
            Verdict::Nothing => (None, false),
            Verdict::SignedIn { claims, repeats } => match observer.probe() {
                Some(probe) => {
                    let question = Question { route, probe, session, asked_with: watch.headers(), operations };
                    (self.ask(&question, claims).await, repeats)
                }
                None => (claims, repeats),
            },
        };
        self.count_attempt(observer, watch, session, answer.status(), claims.is_some())?;
        Ok(claims.and_then(|claims| self.sign_in_by(observer, route, claims, repeats)).into_iter().collect())
    }

    /// Whether somebody who tries to sign in to an app may; what was typed is read before the app sees any of it.
    ///
    /// # Errors
    /// After too many failures, or when the client does not send it.
    pub(super) async fn check_attempt(
        &self,
        route: &Route,
        watch: &Watch<'_>,
        session: &Session,
        body: &mut RequestBody,
    ) -> Result<(), Reject> {
        if let Some(limit) = watch.names_user_in() {
            body.hold(limit).await.map_err(proxy::Error::Client)?;
        }
        let Some(observer) = &route.observer else { return Ok(()) };
        match watch.attempt().filter(|attempt| !is_repeated(attempt, observer, session)) {
            Some(attempt) => Ok(self.gateway.auth.check_try(&self.tried(observer, attempt))?),
            None => Ok(()),
        }
    }

    fn count_attempt(
        &self,
        observer: &Observer,
        watch: &Watch<'_>,
        session: &Session,
        status: StatusCode,
        has_succeeded: bool,
    ) -> Result<(), Reject> {
        // An app that fails, or asks to wait, has judged nobody.
        let has_judged = has_succeeded || !(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS);
        let counts = |attempt: &Attempt| has_judged && !(has_succeeded && is_repeated(attempt, observer, session));
        match watch.attempt().filter(counts) {
            Some(attempt) => Ok(self.gateway.auth.count_try(&self.tried(observer, attempt), has_succeeded)?),
            None => Ok(()),
        }
    }

    fn tried(&self, observer: &Observer, attempt: Attempt) -> Try {
        Try::new(observer.voucher(), attempt.user, self.settled.client.address, self.settled.now)
    }

    fn sign_in_by(&self, observer: &Observer, route: &Route, claims: Claims, repeats: bool) -> Option<Change> {
        let judged = claims.judged().inspect_err(|reason| {
            tracing::warn!(event = "observed_login_ignored", route = &*route.name, %reason, "an app's user cannot be named");
        });
        let mut identity = judged.ok()?.identity(self.settled.now);
        identity.proof = *observer.voucher().as_bytes();
        let vault = route.cookies.vault();
        Some(match repeats {
            true => Change::AppSignIn { identity, vault },
            false => Change::SignIn { identity, remember: false, vault },
        })
    }

    /// Asks the app who is signed in, with the cookies that this answer leaves the browser.
    async fn ask(&self, question: &Question<'_>, typed: Option<Claims>) -> Option<Claims> {
        let (lines, request) = self.write_question(question)?;
        let Question { route, probe, .. } = question;
        let upstream = &route.upstream;
        let (parts, body) = request.into_parts();
        let asked = proxy::forward(policy::to_the_sign_in(), &lines, &self.generation.pools, upstream, &parts, body);
        let answered = tokio::time::timeout(probe.timeout(), async {
            let (head, body) = asked.await?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await;
            Ok::<_, proxy::Error>((head, body.ok().map(Collected::to_bytes)))
        });
        let warn = |reason: &dyn std::fmt::Display| {
            tracing::warn!(
                event = "observed_login_ignored", route = &*route.name, path = probe.path(), %reason,
                "the app does not say who has signed in"
            );
        };
        match answered.await {
            Ok(Ok((Head { status, headers, .. }, body))) => {
                let answer = Answer { status, headers: &headers, cookies: &[], body: body.as_deref() };
                let said = probe.read(&answer, typed);
                if said.is_none() {
                    tracing::debug!(route = &*route.name, %status, "the app says that nobody is signed in");
                }
                said
            }
            Ok(Err(error)) => {
                warn(&error);
                None
            }
            Err(elapsed) => {
                warn(&elapsed);
                None
            }
        }
    }

    fn write_question(&self, question: &Question<'_>) -> Option<(HeaderLines, Request<NoBody>)> {
        let Question { route, probe, session, asked_with, operations } = question;
        // The browser's path, as the whole configuration has it.
        let mut uri: Uri = probe.path().parse().ok()?;
        let path = uri.path().to_owned();
        route.places.strip(&mut uri).ok()?;
        let mut request = Request::new(Empty::new().map_err(never as fn(_) -> _));
        *request.method_mut() = Method::GET;
        // Apps bind their sessions to these.
        for name in [header::USER_AGENT, header::ACCEPT_LANGUAGE, header::AUTHORIZATION] {
            if let Some(value) = asked_with.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static("application/json, */*;q=0.5"));
        let mut lines = HeaderLines::with_capacity(512);
        let settled = &self.settled;
        lines.push(&header::HOST, &route.upstream.host_header(&settled.host));
        settled.client.write(&mut lines, self.peer, &settled.host, settled.port);
        route.places.write(&mut lines);
        self.with_kept(route, session, &path, |kept| {
            let mut jar = kept.jar.cloned().unwrap_or_default();
            operations.iter().for_each(|operation| jar.apply(operation, kept.now));
            self.write_cookies_after(route, asked_with, &jar, operations, kept, &mut lines);
        });
        *request.uri_mut() = uri;
        Some((lines, request))
    }

    /// The `Cookie` line that a browser would send after this answer.
    fn write_cookies_after(
        &self,
        route: &Route,
        asked_with: &HeaderMap,
        jar: &Jar,
        operations: &[jar::Operation],
        kept: &Kept<'_>,
        lines: &mut HeaderLines,
    ) {
        let after = Kept { jar: Some(jar), ..*kept };
        let ours = self.gateway.sessions.cookie_names();
        if route.cookies.vault().is_some() {
            return route.cookies.write(asked_with, ours, &after, lines);
        }
        let replaced = |name: &[u8]| operations.iter().any(|operation| operation.name() == name);
        let fresh = jar.matching(&kept.place, kept.now).map(jar::Cookie::pair);
        cookies::write_merged(fresh, asked_with, ours, &replaced, lines);
    }
}

/// Whoever is signed in by this app's word.
pub(super) fn vouched_for_by<'s>(observer: &Observer, session: &'s Session) -> Option<&'s Identity> {
    session.identity().filter(|identity| identity.proof == *observer.voucher().as_bytes())
}

/// Whether somebody who is signed in says so once more: they are not thrown out because others guess.
fn is_repeated(attempt: &Attempt, observer: &Observer, session: &Session) -> bool {
    let known = vouched_for_by(observer, session).map(|identity| &*identity.user);
    attempt.repeats && known.is_some() && known == attempt.user.as_deref()
}

/// A request without a body.
type NoBody = http_body_util::combinators::MapErr<Empty<Bytes>, fn(std::convert::Infallible) -> BodyError>;

fn never(never: std::convert::Infallible) -> BodyError {
    match never {}
}

fn head<'a>(answer: &'a Response<Body>, cookies: &'a [jar::Operation]) -> Answer<'a> {
    Answer { status: answer.status(), headers: answer.headers(), cookies, body: None }
}

pub(super) fn operations(headers: &HeaderMap, kept: &Kept<'_>) -> Vec<jar::Operation> {
    let lines = headers.get_all(header::SET_COOKIE).iter();
    lines.filter_map(|line| jar::read(line.as_bytes(), &kept.place, kept.now).ok()).collect()
}
