//! Sign-on: the gateway goes through the app's own login for the user, as the user's browser would.
//!
//! Steps of `pipeline` for routes with `sign_on`. The user's request waits for the login and goes on; when the app's own
//! session has run out, there is one more login, and a request that can be repeated is. SECURITY: only the route's own
//! upstream is ever asked; redirects after the login are looked at and not followed.

mod errand;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Uri};

use self::errand::{Errand, Errands, Failure};
use super::Exchange;
use super::body::Body;
use super::observing::operations;
use crate::gateway::Route;
use crate::http::body::RequestBody;
use crate::observe::Answer;
use crate::places::Wanted;
use crate::policy::{self, Decision};
use crate::reject::Reject;
use crate::session::{Change, CookieChanges, Session};
use crate::sign_on::{self, Flight, Found, SignOn, Way};

/// The app's answer, or ours in its place.
type Served = Result<(Response<Body>, Wanted), Reject>;

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
            Decision::Allow(permit) => self.forward(route, permit, session, parts, body).await,
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
        let Errands { route, vault, .. } = errands;
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
        let asked_for = parts.uri.clone();
        let may_repeat = parts.method.is_idempotent() && body.is_empty() && self.settled.handshake.is_none();
        let again = may_repeat.then(|| copy_of(&parts));
        // Whoever signs out at the app is not signed on again; what ends it here comes later.
        let leaves = sign_on.leaving().is_some_and(|leaving| leaving.watch(&parts).is_some());
        let (mut answer, mut wanted) = self.forward_for(route, session, parts, body).await?;
        if !leaves && self.has_expired(errands, session, &asked_for, &answer) {
            match (self.log_in_once(errands, sign_on, session, times).await?, again) {
                (Outcome::SignedOn(lines), Some(again)) => {
                    exposed.extend(lines);
                    let none = RequestBody::kept(Bytes::new(), &self.worker.timers);
                    (answer, wanted) = self.forward_for(route, session, again, none).await?;
                    let flight = self.flight(sign_on, session);
                    match self.has_expired(errands, session, &asked_for, &answer) {
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

    /// Whether the app has forgotten the user.
    fn has_expired(&self, errands: &Errands<'_>, session: &Session, asked_for: &Uri, answer: &Response<Body>) -> bool {
        let (status, headers) = (answer.status(), answer.headers());
        let cookies = self.with_kept(errands.route, session, asked_for.path(), |kept| operations(headers, kept));
        errands.login.has_expired(asked_for, &Answer { status, headers, cookies: &cookies, body: None })
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
}

fn refused(session: &Session) -> Reject {
    Reject::SignOn { user: session.identity().map(|identity| identity.user.clone()).unwrap_or_default() }
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
