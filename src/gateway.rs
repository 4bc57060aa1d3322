//! One generation of the gateway: everything a request needs that follows from the configuration.
//!
//! Built by `app` from a checked configuration, immutable, shared by all workers. A reload will build
//! another one from the new configuration and the parts of this one that outlive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use http::request::Parts;

use crate::auth::{self, Auth};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::config::schema::{self, Access, OnStoreError, SessionHeaders};
use crate::http::client_addr::TrustedProxies;
use crate::identity::headers::{Injector, InjectorError, Protected};
use crate::pages::{self, Pages};
use crate::places::Places;
use crate::proxy::{self, Upstream};
use crate::routing::Router;
use crate::session::headers::TooLarge;
use crate::session::rules::{RuleError, Rules};
use crate::session::{Keyring, Manager};
use crate::storage::Storage;
use crate::store::timed::Latency;
use crate::telemetry::traffic::Traffic;

/// Everything a request needs.
pub struct Gateway {
    /// Host and path → place in `routes`.
    pub router: Router,
    /// The routes, in the order of the configuration.
    pub routes: Vec<Route>,
    /// Header names no client may send.
    pub protected: Protected,
    /// Proxies whose word is taken.
    pub trusted_proxies: TrustedProxies,
    /// All sessions.
    pub sessions: Manager,
    /// Sign-in.
    pub auth: Auth,
    /// Our own pages.
    pub pages: Pages,
    /// Where they live.
    pub prefix: String,
    /// How long a request body may make no progress.
    pub body_timeout: Duration,
    /// How long the store takes.
    pub store_latency: Arc<Latency>,
    /// What went through, by route.
    pub traffic: Traffic,
}

/// One app, or one part of an app.
pub struct Route {
    /// Its name in logs.
    pub name: Arc<str>,
    /// Who may pass.
    pub access: Access,
    /// Where it goes.
    pub upstream: Upstream,
    /// What is done about its app's own name and place.
    pub places: Places,
    /// What happens while the store does not answer, if it is not to follow from the rest.
    pub on_store_error: Option<OnStoreError>,
    /// What the app is told of the user.
    pub identity: Injector,
    /// Whether it sees the session's data, and may change it.
    pub session_headers: SessionHeaders,
    /// Whether requests keep the session alive.
    pub activity: bool,
    /// What is done to the session when the app answers so and so.
    pub rules: Rules,
    clash_reported: AtomicBool,
    /// When it was last said that data was too large, in milliseconds since the Unix epoch.
    too_large_reported: AtomicU64,
}

/// Why a generation cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An upstream that cannot work.
    #[error("routes[{route}].upstream: {source}")]
    Upstream {
        /// Its place.
        route: usize,
        /// What is wrong.
        source: proxy::ConfigError,
    },
    /// Identity headers that cannot work.
    #[error("routes[{route}].identity.headers: {source}")]
    Identity {
        /// Its place.
        route: usize,
        /// What is wrong.
        source: InjectorError,
    },
    /// Rules that cannot work.
    #[error("routes[{route}].rules: {source}")]
    Rules {
        /// Its place.
        route: usize,
        /// What is wrong.
        source: RuleError,
    },
    /// The users.
    #[error("login.form: {0}")]
    Users(#[from] auth::users::Error),
    /// The pages.
    #[error("login.templates_dir: {0}")]
    Pages(#[from] pages::Error),
}

impl Gateway {
    /// Compiles `config`.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(config: &Config, keyring: Keyring, storage: Storage) -> Result<Self, BuildError> {
        let routes: Vec<Route> = config
            .routes
            .iter()
            .enumerate()
            .map(|(id, route)| Route::from_config(id, route))
            .collect::<Result<_, _>>()?;
        let hosts = || config.routes.iter().filter_map(|route| route.host.as_deref());
        let places = config.routes.iter().map(|route| (route.host.as_deref(), route.path.as_deref().unwrap_or("/")));
        Ok(Self {
            router: Router::new(places),
            traffic: Traffic::new(routes.len()),
            protected: Protected::new(routes.iter().map(|route| &route.identity)),
            routes,
            trusted_proxies: TrustedProxies::from_config(&config.trusted_proxies),
            sessions: Manager::new(
                &config.session,
                config.limits.unknown_ids_per_minute,
                keyring,
                storage.store,
                storage.at_rest,
            ),
            auth: Auth::from_config(&config.login, hosts())?,
            pages: Pages::from_config(&config.login, hosts())?,
            prefix: config.prefix.clone(),
            body_timeout: config.limits.body_timeout.get(),
            store_latency: storage.latency,
        })
    }
}

impl Route {
    fn from_config(id: usize, route: &schema::Route) -> Result<Self, BuildError> {
        let default_name =
            || format!("{}{}", route.host.as_deref().unwrap_or("*"), route.path.as_deref().unwrap_or("/"));
        let upstream = Upstream::from_config(id, &route.upstream);
        let upstream = upstream.map_err(|source| BuildError::Upstream { route: id, source })?;
        let identity = Injector::from_config(&route.identity.headers);
        Ok(Self {
            name: route.name.clone().unwrap_or_else(default_name).into(),
            access: route.access.clone(),
            places: Places::from_config(route, upstream.authority()),
            upstream,
            identity: identity.map_err(|source| BuildError::Identity { route: id, source })?,
            session_headers: route.session_headers,
            on_store_error: route.on_store_error,
            activity: route.activity,
            rules: Rules::from_config(&route.rules).map_err(|source| BuildError::Rules { route: id, source })?,
            clash_reported: AtomicBool::new(false),
            too_large_reported: AtomicU64::new(0),
        })
    }

    /// Whether it is served to everybody as a stranger while the store does not answer.
    #[must_use]
    pub fn does_without_sessions(&self) -> bool {
        match self.on_store_error {
            Some(policy) => policy == OnStoreError::Anonymous,
            None => self.access == Access::Public && !self.reads_sessions() && !self.may_change_sessions(),
        }
    }

    /// Whether its app may change a session, or a rule may.
    #[must_use]
    pub fn may_change_sessions(&self) -> bool {
        self.session_headers == SessionHeaders::ReadWrite || !self.rules.is_empty()
    }

    /// Whether its app is told of sessions, signed in or not.
    #[must_use]
    pub fn reads_sessions(&self) -> bool {
        self.session_headers != SessionHeaders::None || self.identity.reads_session()
    }

    /// What its rules will want to know of a request.
    #[must_use]
    pub fn asked(&self, parts: &Parts) -> Option<(Method, String)> {
        (!self.rules.is_empty()).then(|| (parts.method.clone(), parts.uri.path().to_owned()))
    }

    /// Tells the operator, once, that the app's own cookie bears the name of ours and is kept from the browser.
    pub fn report_cookie_clash(&self, cookie: &str) {
        if !self.clash_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                route = &*self.name,
                cookie,
                "the app sets a cookie of the same name as the gateway's session cookie; it is not passed on: set session.cookie.name to another name"
            );
        }
    }

    /// Tells the operator, once a minute, that an app does not see the session's data any more.
    pub fn report_too_large(&self, error: TooLarge, now: Timestamp) {
        const INTERVAL_MS: u64 = 60_000;
        let last = self.too_large_reported.load(Ordering::Relaxed);
        let due = now.0.abs_diff(last) >= INTERVAL_MS;
        // Of several workers, one gets to say it.
        let first = || self.too_large_reported.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed);
        if due && first().is_ok() {
            tracing::warn!(
                event = "session_data_omitted",
                route = &*self.name,
                data_bytes = error.bytes,
                "the session's data is too large for a header, and the app does not see it: let the app keep less, or keep it elsewhere"
            );
        }
    }
}
