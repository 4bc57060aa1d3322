//! What was found out about an app: the sections of its route, and the reason of each.
//!
//! `analysis` makes it, `yaml` prints it; `--json` shows it as it is.

use serde::Serialize;

use super::signing_on::Line;
use crate::config::schema::{Expired, ObservedLogin, ObservedLogout, Probe};

/// A conclusion and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reasoned<T> {
    /// What was concluded.
    pub value: T,
    /// Why, for people.
    pub why: String,
}

impl<T> Reasoned<T> {
    pub(super) fn new(value: T, why: String) -> Self {
        Self { value, why }
    }
}

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Findings {
    /// Where the app is.
    pub url: String,
    /// The app was told its own host and port instead of what the browser asked.
    pub host_upstream: bool,
    /// Its pages link to its own address, whatever it is called.
    pub rewrite_links: bool,
    /// What was seen, in a few lines.
    pub saw: Vec<String>,
    /// Cookies that scripts of the app need.
    pub expose_cookies: Vec<Reasoned<String>>,
    /// The requests that sign in: one, but for Basic.
    pub login: Vec<ObservedLogin>,
    /// What tells a right password from a wrong one.
    pub success_why: Vec<String>,
    /// What says who it is.
    pub user_why: String,
    /// Where people sign in, if that is not where the form goes.
    pub login_page: Option<Reasoned<String>>,
    /// What the sign-in page needs.
    pub public_paths: Vec<String>,
    /// The request that signs out.
    pub logout: Option<Reasoned<ObservedLogout>>,
    /// How it shows that the app has forgotten somebody, where that is not what the gateway looks for anyway.
    pub expired: Option<Reasoned<Expired>>,
    /// The page that says who is signed in.
    pub probe: Option<Reasoned<Probe>>,
    /// The other way, `sign_on`.
    pub sign_on: Vec<Line>,
    /// Why there is no such way.
    pub no_sign_on: Option<String>,
    /// What the deployer should look at again.
    pub doubts: Vec<String>,
    /// Every request and its answer in one line, without values.
    pub requests: Vec<String>,
}
