//! Sign-on: the gateway signs the user on to an app that has a login of its own, by the way that the app knows.
//!
//! A step of `pipeline` for routes with `sign_on`: through the app's own form (`login`), or by HTTP authentication
//! (`authorization`). SECURITY: only the route's own upstream is ever asked, and the policy is asked anew each time.

mod authorization;
mod errand;
mod login;

use http::Response;
use http::header;
use http::request::Parts;

use self::authorization::Shown;
use self::errand::{Errands, Failure};
use super::Exchange;
use super::body::Body;
use crate::gateway::Route;
use crate::http::body::RequestBody;
use crate::places::Wanted;
use crate::policy::{self, Decision};
use crate::reject::Reject;
use crate::session::{Session, Typed};
use crate::sign_on::{Found, SignOn, Way};

/// The app's answer, or ours in its place.
type Served = Result<(Response<Body>, Wanted), Reject>;

/// Why the request itself has not gone to the app: nothing of it was sent.
pub(super) enum Unsent {
    /// The user must sign in here once more.
    SignIn,
    /// This is said instead.
    Rejected(Reject),
}

impl From<Reject> for Unsent {
    fn from(reject: Reject) -> Self {
        Self::Rejected(reject)
    }
}

impl Exchange<'_> {
    /// The app, with the user signed on to it.
    pub(super) async fn forward_signed_on(
        &self,
        route: &Route,
        sign_on: &SignOn,
        session: &mut Session,
        parts: &mut Parts,
        body: RequestBody,
    ) -> Result<Served, Unsent> {
        let Some(identity) = session.identity().cloned() else {
            return Ok(self.forward_for(route, session, parts, body).await);
        };
        match (sign_on.way(), route.cookies.vault()) {
            (Way::Login(login), Some(vault)) => {
                let headers = parts.headers.clone();
                let errands = Errands { route, login, vault, asked_with: &headers };
                self.forward_logged_in(&errands, sign_on, session, parts, body).await
            }
            // `config::check` does not pass a login without a vault.
            (Way::Login(_), None) => Ok(self.forward_for(route, session, parts, body).await),
            (way @ (Way::Basic | Way::Digest(_)), _) => {
                // SECURITY: the client's own goes in any case.
                parts.headers.remove(header::AUTHORIZATION);
                let credentials = &self.credentials(sign_on, session)?;
                let shown = Shown { route, session, identity: &identity, credentials };
                match way {
                    Way::Digest(digest) => self.forward_with_digest(&shown, digest, parts, body).await,
                    Way::Basic | Way::Login(_) => self.forward_with_basic(&shown, parts, body).await,
                }
            }
        }
    }

    /// The app as it is; the policy is asked anew, since the session may be another by now.
    async fn forward_for(&self, route: &Route, session: &Session, parts: &mut Parts, body: RequestBody) -> Served {
        match policy::decide(&route.access, session.identity()) {
            Decision::Allow(permit) => self.forward(route, permit, session, parts, body).await,
            Decision::Login => Ok((self.challenge(route, &parts.uri), Wanted::default())),
            Decision::Deny => Err(Reject::forbidden(session.identity())),
        }
    }

    /// What the app is given for the user.
    fn credentials(&self, sign_on: &SignOn, session: &Session) -> Result<Typed, Unsent> {
        let identity = session.identity().ok_or(Unsent::SignIn)?;
        match sign_on.credentials(identity, || self.gateway.sessions.typed(session)) {
            Found::Credentials(credentials) => Ok(credentials),
            Found::NotTyped => Err(Unsent::SignIn),
            Found::None => Err(Reject::forbidden(Some(identity)).into()),
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
