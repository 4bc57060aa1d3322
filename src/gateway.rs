//! One generation of the gateway: everything a request needs that follows from the configuration.
//!
//! Built by `app` from a checked configuration, immutable, shared by all workers. A reload will build
//! another one from the new configuration and the parts of this one that outlive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::auth::{self, Auth};
use crate::config::Config;
use crate::config::schema::{self, Access};
use crate::http::client_addr::TrustedProxies;
use crate::identity::headers::{Injector, InjectorError, Protected};
use crate::pages::{self, Pages};
use crate::proxy::{self, Upstream};
use crate::routing::Router;
use crate::session::{Keyring, Manager};
use crate::store::{MemoryStore, Store};

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
}

/// One app, or one part of an app.
pub struct Route {
    /// Its name in logs.
    pub name: Arc<str>,
    /// Who may pass.
    pub access: Access,
    /// Where it goes.
    pub upstream: Upstream,
    /// What the app is told of the user.
    pub identity: Injector,
    clash_reported: AtomicBool,
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
    pub fn build(config: &Config, keyring: Keyring) -> Result<Self, BuildError> {
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
            protected: Protected::new(routes.iter().map(|route| &route.identity)),
            routes,
            trusted_proxies: TrustedProxies::from_config(&config.trusted_proxies),
            sessions: Manager::new(
                &config.session,
                config.limits.unknown_ids_per_minute,
                keyring,
                store(&config.store),
            ),
            auth: Auth::from_config(&config.login, hosts())?,
            pages: Pages::from_config(&config.login, hosts())?,
            prefix: config.prefix.clone(),
            body_timeout: config.limits.body_timeout.get(),
        })
    }
}

impl Route {
    fn from_config(id: usize, route: &schema::Route) -> Result<Self, BuildError> {
        let default_name =
            || format!("{}{}", route.host.as_deref().unwrap_or("*"), route.path.as_deref().unwrap_or("/"));
        let upstream = Upstream::from_config(id, &route.upstream);
        let identity = Injector::from_config(&route.identity.headers);
        Ok(Self {
            name: route.name.clone().unwrap_or_else(default_name).into(),
            access: route.access.clone(),
            upstream: upstream.map_err(|source| BuildError::Upstream { route: id, source })?,
            identity: identity.map_err(|source| BuildError::Identity { route: id, source })?,
            clash_reported: AtomicBool::new(false),
        })
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
}

fn store(config: &schema::Store) -> Arc<dyn Store> {
    match config.kind {
        schema::StoreType::Memory => Arc::new(MemoryStore::new(config.max_sessions as usize)),
    }
}
