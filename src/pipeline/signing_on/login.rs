//! Routes whose app has a login form: the gateway goes through it, as the user's browser would.
//!
//! The user's request waits for that and goes on; when the app's own session has run out, there is one more login, and a
//! request that can be repeated is. Redirects after the login are looked at and not followed. Called by `signing_on`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Response, Uri};

use super::errand::{Errand, Errands};
use super::{Served, Unsent, refused};
use crate::http::body::RequestBody;
use crate::observe::Answer;
use crate::pipeline::Exchange;
use crate::pipeline::body::Body;
use crate::pipeline::observing::operations;
use crate::reject::Reject;
use crate::session::{Change, CookieChanges, Session};
use crate::sign_on::{Flight, SignOn};

/// `Set-Cookie` lines of a login that are for the browser itself.
type Exposed = Vec<HeaderValue>;

impl Exchange<'_> {
    /// The app, after a login if there was none yet.
    pub(super) async fn forward_logged_in(
        &self,
        errands: &Errands<'_>,
        sign_on: &SignOn,
        session: &mut Session,
        parts: &mut Parts,
        body: RequestBody,
    ) -> Result<Served, Unsent> {
        let exposed = match session.signed_on(errands.vault) {
            Some(_) => Exposed::new(),
            None => self.log_in_once(errands, sign_on, session, None).await?,
        };
        Ok(self.ask_logged_in(errands, sign_on, session, parts, body, exposed).await)
    }

    /// Asks the app, which may have forgotten the user.
    async fn ask_logged_in(
        &self,
        errands: &Errands<'_>,
        sign_on: &SignOn,
        session: &mut Session,
        parts: &mut Parts,
        body: RequestBody,
        mut exposed: Exposed,
    ) -> Served {
        let times = session.signed_on(errands.vault);
        let asked_for = parts.uri.clone();
        let may_repeat = parts.method.is_idempotent() && body.is_empty() && self.settled.handshake.is_none();
        let again = may_repeat.then(|| parts.clone());
        // Whoever signs out at the app is not signed on again; what ends it here comes later.
        let leaves = sign_on.leaving().is_some_and(|leaving| leaving.watch(parts).is_some());
        let (mut answer, mut wanted) = self.forward_for(errands.route, session, parts, body).await?;
        if !leaves && self.has_expired(errands, session, &asked_for, &answer) {
            match (self.log_in_once(errands, sign_on, session, times).await, again) {
                (Ok(lines), Some(again)) => {
                    exposed.extend(lines);
                    (answer, wanted) = self.ask_once_more(errands, sign_on, session, again, &asked_for).await?;
                }
                (Ok(lines), None) => {
                    exposed.extend(lines);
                    // What it does to the cookies of the session that is over must not reach those of the new one.
                    answer.headers_mut().remove(header::SET_COOKIE);
                }
                (Err(Unsent::Rejected(Reject::Session(error))), _) => return Err(error.into()),
                // The app has said what there is to say.
                (Err(_), _) => {}
            }
        }
        hand_over(exposed, &mut answer);
        Ok((answer, wanted))
    }

    async fn ask_once_more(
        &self,
        errands: &Errands<'_>,
        sign_on: &SignOn,
        session: &Session,
        mut again: Parts,
        asked_for: &Uri,
    ) -> Served {
        let none = RequestBody::kept(Bytes::new(), &self.worker.timers);
        let (answer, wanted) = self.forward_for(errands.route, session, &mut again, none).await?;
        if let Some(flight) = self.flight(sign_on, session) {
            match self.has_expired(errands, session, asked_for, &answer) {
                // Another login would help as little: perhaps the page is not for this user.
                true => flight.failed(self.settled.now),
                false => flight.succeeded(),
            }
        }
        Ok((answer, wanted))
    }

    /// Whether the app has forgotten the user.
    fn has_expired(&self, errands: &Errands<'_>, session: &Session, asked_for: &Uri, answer: &Response<Body>) -> bool {
        let (status, headers) = (answer.status(), answer.headers());
        let cookies = self.with_kept(errands.route, session, asked_for.path(), |kept| operations(headers, kept));
        errands.login.has_expired(asked_for, &Answer { status, headers, cookies: &cookies, body: None })
    }

    fn flight(&self, sign_on: &SignOn, session: &Session) -> Option<Arc<Flight>> {
        Some(sign_on.flights().of(session.handle()?, self.settled.now))
    }

    /// One login for all requests of the session that need one; `times`: how often there was one when this was found out.
    async fn log_in_once(
        &self,
        errands: &Errands<'_>,
        sign_on: &SignOn,
        session: &mut Session,
        times: Option<u32>,
    ) -> Result<Exposed, Unsent> {
        let flight = self.flight(sign_on, session).ok_or(Unsent::SignIn)?;
        let _turn = flight.turn().await;
        if !self.gateway.sessions.refresh(session).await.map_err(Reject::from)? {
            return Err(Unsent::SignIn);
        }
        if session.signed_on(errands.vault) != times {
            // Another request has done it meanwhile.
            return Ok(Exposed::new());
        }
        if flight.pauses(self.settled.now) {
            return Err(refused(session).into());
        }
        let exposed = self.log_in_now(errands, sign_on, session, &flight).await?;
        if times.is_none() {
            flight.succeeded();
        }
        Ok(exposed)
    }

    /// Goes through the login, and keeps what the app has set.
    async fn log_in_now(
        &self,
        errands: &Errands<'_>,
        sign_on: &SignOn,
        session: &mut Session,
        flight: &Flight,
    ) -> Result<Exposed, Unsent> {
        let Errands { route, vault, .. } = errands;
        let identity = session.identity().cloned().ok_or(Unsent::SignIn)?;
        let credentials = self.credentials(sign_on, session)?;
        let errand = match self.log_in(errands, session, &credentials, &identity).await {
            Ok(errand) => errand,
            Err(failure) => {
                flight.failed(self.settled.now);
                self.report(route, session, &failure);
                return Err(refused(session).into());
            }
        };
        let Errand { operations, afresh, exposed, .. } = errand;
        let cookies = CookieChanges { vault: *vault, empties: afresh, operations };
        let times = session.signed_on(*vault).unwrap_or(0).wrapping_add(1);
        let changes = [Change::Cookies(Box::new(cookies)), Change::SignedOn(*vault, times)];
        if !self.gateway.sessions.apply_now(session, &changes).await.map_err(Reject::from)? {
            return Err(Unsent::SignIn);
        }
        tracing::info!(
            event = "signed_on",
            route = &*route.name,
            handle = session.handle().map(tracing::field::display),
            user = &*identity.user,
            "the user is signed on to an app"
        );
        Ok(exposed)
    }
}

/// Cookies for the browser itself that came up on the way; the answer's own word on the same name counts more.
fn hand_over(lines: Exposed, answer: &mut Response<Body>) {
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
