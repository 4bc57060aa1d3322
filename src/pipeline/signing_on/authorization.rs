//! Routes whose app knows HTTP authentication: Basic goes with each request, Digest answers what the app asks.
//!
//! Called by `signing_on`. A 401 says that the app has not applied the request (RFC 9110 §15.5.2), so one without a body is
//! sent again with the answer. A body that has gone by cannot be: there the app is asked first, with nothing but HEAD.
//! SECURITY: neither the app's 401, which browsers answer with a question for a password, nor its nonces pass.

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{Method, StatusCode};

use super::errand::Failure;
use super::{Served, Unsent, refused};
use crate::gateway::Route;
use crate::http::body::RequestBody;
use crate::identity::Identity;
use crate::pipeline::Exchange;
use crate::reject::Reject;
use crate::session::{NoRandomness, Session, Typed};
use crate::sign_on::{self, AUTHENTICATION_INFO, Asked, Challenge, Digest, Turn};

/// Who is shown to which app.
pub(super) struct Shown<'r> {
    pub route: &'r Route,
    pub session: &'r Session,
    pub identity: &'r Identity,
    pub credentials: &'r Typed,
}

impl Exchange<'_> {
    /// Name and password with the request.
    pub(super) async fn forward_with_basic(
        &self,
        shown: &Shown<'_>,
        parts: &mut Parts,
        body: RequestBody,
    ) -> Result<Served, Unsent> {
        let authorization = sign_on::basic(shown.credentials).ok_or_else(|| refused(shown.session))?;
        parts.headers.insert(header::AUTHORIZATION, authorization);
        let served = self.forward_for(shown.route, shown.session, parts, body).await;
        Ok(served.and_then(|(answer, wanted)| match answer.status() {
            StatusCode::UNAUTHORIZED => Err(self.refused_for(shown, &Failure::Unauthorised)),
            _ => Ok((answer, wanted)),
        }))
    }

    /// What the app has asked for with the request, or with it once more.
    pub(super) async fn forward_with_digest(
        &self,
        shown: &Shown<'_>,
        digest: &Digest,
        parts: &mut Parts,
        body: RequestBody,
    ) -> Result<Served, Unsent> {
        let has_body = !body.is_empty();
        let turn = match has_body {
            true => self.turn_for_a_body(shown, digest, parts).await?,
            false => digest.nonces.next(&shown.identity.user),
        };
        // With the WebSocket that a handshake may become: the same key is as good for the second try (RFC 6455 §4.1).
        let again = (!has_body).then(|| parts.clone());
        if let Some(turn) = &turn {
            self.authorize(shown, turn, parts, has_body)?;
        }
        let served = self.forward_for(shown.route, shown.session, parts, body).await;
        Ok(match served {
            Ok((answer, _)) if answer.status() == StatusCode::UNAUTHORIZED => {
                self.answer_challenge(shown, digest, turn, again, answer.headers()).await
            }
            served => self.taken(shown, digest, turn.as_ref(), served),
        })
    }

    /// One use of a nonce that will hardly be too old: of one that has just served, or that the app gives out for this.
    async fn turn_for_a_body(&self, shown: &Shown<'_>, digest: &Digest, parts: &Parts) -> Result<Option<Turn>, Unsent> {
        let (user, now) = (&shown.identity.user, self.settled.now);
        if let Some(turn) = digest.nonces.next_for_a_body(user, now) {
            return Ok(Some(turn));
        }
        let none = RequestBody::kept(Bytes::new(), &self.worker.timers);
        let mut question = without_body(parts);
        let asked = self.forward_for(shown.route, shown.session, &mut question, none);
        let Ok(served) = tokio::time::timeout(digest.timeout, asked).await else {
            return Err(self.refused_for(shown, &Failure::Late).into());
        };
        let (answer, _) = served?;
        let asks = answer.status() == StatusCode::UNAUTHORIZED;
        match Challenge::read(answer.headers()).filter(|_| asks) {
            Some(challenge) => Ok(Some(digest.nonces.begin(user, challenge, now).map_err(no_randomness)?)),
            // It does not ask, or not for HEAD.
            None => Ok(digest.nonces.next(user)),
        }
    }

    /// The app has not taken the request.
    async fn answer_challenge(
        &self,
        shown: &Shown<'_>,
        digest: &Digest,
        turn: Option<Turn>,
        again: Option<Parts>,
        asked: &HeaderMap,
    ) -> Served {
        let (user, now) = (&shown.identity.user, self.settled.now);
        if let Some(turn) = &turn {
            digest.nonces.forget(user, turn);
        }
        let Some(challenge) = Challenge::read(asked) else {
            return Err(self.refused_for(shown, &Failure::NoDigest));
        };
        if turn.is_some_and(|turn| !turn.was_too_old(&challenge, again.is_some())) {
            return Err(self.refused_for(shown, &Failure::Unauthorised));
        }
        let Some(mut again) = again else {
            digest.nonces.keep(user, challenge, now).map_err(no_randomness)?;
            return Err(Reject::SendAgain);
        };
        let turn = digest.nonces.begin(user, challenge, now).map_err(no_randomness)?;
        self.authorize(shown, &turn, &mut again, false)?;
        let none = RequestBody::kept(Bytes::new(), &self.worker.timers);
        let served = self.forward_for(shown.route, shown.session, &mut again, none).await;
        if let Ok((answer, _)) = &served
            && answer.status() == StatusCode::UNAUTHORIZED
        {
            digest.nonces.forget(user, &turn);
            return Err(self.refused_for(shown, &Failure::Unauthorised));
        }
        self.taken(shown, digest, Some(&turn), served)
    }

    /// The app has let the user in, or whoever comes.
    fn taken(&self, shown: &Shown<'_>, digest: &Digest, turn: Option<&Turn>, served: Served) -> Served {
        let (mut answer, wanted) = served?;
        if let Some(turn) = turn {
            let (user, now) = (&shown.identity.user, self.settled.now);
            digest.nonces.accepted(user, turn, answer.headers(), now).map_err(no_randomness)?;
        }
        answer.headers_mut().remove(AUTHENTICATION_INFO);
        Ok((answer, wanted))
    }

    /// Puts the answer for this turn into the request.
    fn authorize(&self, shown: &Shown<'_>, turn: &Turn, parts: &mut Parts, has_body: bool) -> Result<(), Reject> {
        // As the app gets it.
        let mut uri = parts.uri.clone();
        shown.route.places.strip(&mut uri)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let asked = Asked { method: &parts.method, target, has_body };
        match turn.answer(asked, shown.credentials) {
            Ok(authorization) => {
                parts.headers.insert(header::AUTHORIZATION, authorization);
                Ok(())
            }
            Err(reason) => Err(self.refused_for(shown, &reason.into())),
        }
    }

    fn refused_for(&self, shown: &Shown<'_>, failure: &Failure) -> Reject {
        self.report(shown.route, shown.session, failure);
        refused(shown.session)
    }
}

/// To the same place, and without effect.
fn without_body(parts: &Parts) -> Parts {
    let mut parts = parts.clone();
    parts.method = Method::HEAD;
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::EXPECT] {
        parts.headers.remove(name);
    }
    parts
}

fn no_randomness(error: NoRandomness) -> Reject {
    crate::session::Error::from(error).into()
}
