//! The configuration as its user wrote it: one struct per YAML mapping, one file per domain.
//!
//! Nothing here is checked beyond its type; `config::check` reads the whole and reports what cannot
//! work, and each module's `from_config` compiles its own part. Every field has a default, so that a
//! broken value can be reported and left out while the rest is still read.

mod listener;
mod login;
mod observe;
mod route;
mod rule;
mod session;
mod shapes;
mod sign_on;
mod store;
mod values;

pub use listener::{Admin, Limits, Listener, ListenerAddress, Log, LogLevel, Tls, Workers};
pub use login::{Form, Login, Regulation, User};
pub use observe::{Expired, Observe, ObservedLogin, ObservedLogout, Probe, UserSource};
pub use route::{
    Access, CookieHandling, HeaderPreset, HostHeader, IdentityConfig, IdentityHeaders, OnStoreError, Park, Rewrite,
    Route, SessionHeaders, Upstream,
};
pub use rule::{Expiry, HeaderTemplate, Piece, Rule, StatusPattern, Then, When, moment};
pub use session::{Cookie, Create, OnLimit, SameSite, Secure, Session};
pub use sign_on::{AppAccount, Credentials, KeptCredentials, SignOn, SignOnProbe, SignOnSuccess};
pub use store::{Cache, Store, StoreType};
pub use values::{Duration, Size};

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole configuration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the gateway accepts connections.
    pub listeners: Vec<Listener>,
    /// Worker threads: `auto` is one per core.
    pub workers: Workers,
    /// Networks whose `X-Forwarded-*` and `Forwarded` headers are believed.
    #[serde(deserialize_with = "values::networks")]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Path under which the gateway's own pages live.
    pub prefix: String,
    /// Directory for what the gateway generates itself: keys.
    pub data_dir: PathBuf,
    /// The browser's session and its cookie.
    pub session: Session,
    /// Where sessions are kept.
    pub store: Store,
    /// How people sign in.
    pub login: Login,
    /// The apps behind: most specific host first, then longest path prefix.
    pub routes: Vec<Route>,
    /// Bounds on what a client may send and how long it may take.
    pub limits: Limits,
    /// The listener for operators.
    pub admin: Admin,
    /// What is logged.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: vec![Listener::default()],
            workers: Workers::default(),
            trusted_proxies: Vec::new(),
            prefix: "/.session".into(),
            data_dir: "cloakroom-data".into(),
            session: Session::default(),
            store: Store::default(),
            login: Login::default(),
            routes: Vec::new(),
            limits: Limits::default(),
            admin: Admin::default(),
            log: Log::default(),
        }
    }
}
