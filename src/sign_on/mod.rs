//! Sign-on: what it takes to sign a user on to an app that has a login of its own. Immutable but for [`Flights`] and
//! [`Nonces`].
//!
//! One [`SignOn`] for each route that asks for it. `pipeline` speaks to the app; here is known whose credentials it is
//! given, in which form, and what its answers mean. SECURITY: credentials are put into a request here and nowhere else.

mod destination;
mod digest;
mod fields;
mod flights;
mod form;
mod json;
mod login;
mod nonces;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::config::schema::{self, AppAccount};
use crate::identity::Identity;
use crate::observe::{ObserveError, Observer};
use crate::session::Typed;

pub use digest::{AUTHENTICATION_INFO, Asked, Challenge, NoAnswer};
pub use flights::{Flight, Flights};
pub use login::{Login, NoLogin, Posted};
pub use nonces::{Nonces, Turn};

/// How the users of one route are signed on.
#[derive(Debug)]
pub struct SignOn {
    way: Way,
    credentials: Source,
    leaving: Option<Observer>,
    flights: Flights,
}

/// By which way.
#[derive(Debug)]
pub enum Way {
    /// The app's own login, whose cookies are kept.
    Login(Box<Login>),
    /// `Authorization: Basic` with each request.
    Basic,
    /// `Authorization: Digest`, as the app asks for it.
    Digest(Digest),
}

/// The app asks, and is answered.
#[derive(Debug)]
pub struct Digest {
    /// What it has asked, by user.
    pub nonces: Nonces,
    /// How long it may take to ask.
    pub timeout: Duration,
}

#[derive(Debug)]
enum Source {
    Typed,
    One(AppAccount),
    Each(BTreeMap<String, AppAccount>),
}

/// Whose credentials there are for a user.
#[derive(Debug)]
pub enum Found {
    /// These.
    Credentials(Typed),
    /// Those that are typed at sign-in, and the session has none.
    NotTyped,
    /// None: nobody has entered any.
    None,
}

impl SignOn {
    /// Compiles `sign_on` of a route.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub fn from_config(sign_on: &schema::SignOn) -> Result<Self, ObserveError> {
        let credentials = match &sign_on.credentials {
            schema::Credentials::Typed => Source::Typed,
            schema::Credentials::Kept(kept) => match &kept.username {
                Some(username) => {
                    Source::One(AppAccount { username: username.clone(), password: kept.password.clone() })
                }
                None => Source::Each(kept.accounts.clone()),
            },
        };
        let way = match sign_on {
            schema::SignOn { basic: true, .. } => Way::Basic,
            schema::SignOn { digest: true, timeout, .. } => {
                Way::Digest(Digest { nonces: Nonces::default(), timeout: timeout.get() })
            }
            _ => Way::Login(Box::new(Login::compile(sign_on)?)),
        };
        let leaving = (!sign_on.logout.is_empty()).then(|| Observer::of_logouts(&sign_on.logout)).transpose()?;
        Ok(Self { way, credentials, leaving, flights: Flights::default() })
    }

    /// By which way.
    #[must_use]
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Sees people sign out of the app.
    #[must_use]
    pub fn leaving(&self) -> Option<&Observer> {
        self.leaving.as_ref()
    }

    /// Who is on their way.
    #[must_use]
    pub fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Whether it needs what is typed at the gateway's own form.
    #[must_use]
    pub fn needs_typed(&self) -> bool {
        matches!(self.credentials, Source::Typed)
    }

    /// What the app is given for `identity`; `typed` opens what the session keeps.
    #[must_use]
    pub fn credentials(&self, identity: &Identity, typed: impl FnOnce() -> Option<Typed>) -> Found {
        let account = match &self.credentials {
            Source::Typed => return typed().map_or(Found::NotTyped, Found::Credentials),
            Source::One(account) => Some(account),
            Source::Each(accounts) => accounts.get(&identity.user.trim().to_lowercase()),
        };
        let read = |account: &AppAccount| {
            let password = account.password.as_ref()?.reveal().to_owned();
            Some(Typed { user: account.username.clone().into(), password: password.into() })
        };
        account.and_then(read).map_or(Found::None, Found::Credentials)
    }
}

/// `Authorization: Basic` (RFC 7617 §2); `None` for a name with a colon, which it cannot say.
#[must_use]
pub fn basic(credentials: &Typed) -> Option<HeaderValue> {
    if credentials.user.contains(':') {
        return None;
    }
    let pair = Zeroizing::new(format!("{}:{}", *credentials.user, *credentials.password));
    let line = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&line).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
