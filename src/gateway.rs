//! One generation of the gateway: everything a request needs that follows from the configuration.
//!
//! Built by `app` from a checked configuration, immutable, shared by all workers. `reload` builds another one from
//! the new configuration and the parts of this one that outlive it, and puts it into [`Current`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Method;
use http::request::Parts;

use crate::auth::{self, Auth};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::config::schema::{self, Access, OnStoreError, SessionHeaders};
use crate::http::client_addr::TrustedProxies;
use crate::identity::headers::{Injector, InjectorError, Protected};
use crate::observe::{ObserveError, Observer};
use crate::pages::{self, Pages};
use crate::places::Places;
use crate::proxy::{self, Upstream};
use crate::routing::Router;
use crate::session::headers::TooLarge;
use crate::session::rules::{RuleError, Rules};
use crate::session::{Keyring, Manager};
use crate::sign_on::SignOn;
use crate::storage::Storage;
use crate::store::timed::Latency;
use crate::telemetry::traffic::Traffic;
use crate::vault::Cookies;

/// The generation in force; one for the process.
pub struct Current {
    gateway: ArcSwap<Gateway>,
    number: AtomicU64,
}

/// Everything a request needs.
pub struct Gateway {
    /// Counts the generations, from 1.
    pub number: u64,
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
    /// The route at whose app people sign in, where we have no form.
    signs_in: Option<usize>,
    /// Where they live.
    pub prefix: String,
    /// How long a request body may make no progress.
    pub body_timeout: Duration,
    /// How long the store takes.
    pub store_latency: Arc<Latency>,
    /// What went through, by route.
    pub traffic: Arc<Traffic>,
    /// Whether requests are logged.
    pub log_access: bool,
    /// What operators must present.
    pub admin: schema::Admin,
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
    /// What browser and app see of each other's cookies.
    pub cookies: Cookies,
    /// How its own sign-in looks, if users are learnt from that.
    pub observer: Option<Observer>,
    /// How its users are signed on to it, if the gateway does that.
    pub sign_on: Option<SignOn>,
    /// Whether it sees the session's data, and may change it.
    pub session_headers: SessionHeaders,
    /// Whether requests keep the session alive.
    pub activity: bool,
    /// Origins of other hosts whose pages may open WebSockets.
    pub websocket_origins: Box<[String]>,
    /// Which forms are kept when the session has ended, if any.
    pub park: Option<schema::Park>,
    /// What is done to the session when the app answers so and so.
    pub rules: Rules,
    origin_reported: AtomicBool,
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
    /// An observed login that cannot work.
    #[error("routes[{route}].observe: {source}")]
    Observe {
        /// Its place.
        route: usize,
        /// What is wrong.
        source: ObserveError,
    },
    /// A sign-on that cannot work.
    #[error("routes[{route}].sign_on: {source}")]
    SignOn {
        /// Its place.
        route: usize,
        /// What is wrong.
        source: ObserveError,
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

impl Current {
    /// Begins with this one.
    #[must_use]
    pub fn new(first: Gateway) -> Self {
        Self { number: AtomicU64::new(first.number), gateway: ArcSwap::from_pointee(first) }
    }

    /// The generation in force.
    #[must_use]
    pub fn load(&self) -> Arc<Gateway> {
        self.gateway.load_full()
    }

    /// Its number.
    ///
    /// PERF: a read of a word that is written at a reload only, so that every core keeps a copy of its line.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Puts `next` in force; requests that have begun end on the one they began with.
    pub fn replace(&self, next: Gateway) {
        let number = next.number;
        self.gateway.store(Arc::new(next));
        // After the swap: who sees the number finds the generation.
        self.number.store(number, Ordering::Release);
    }
}

/// What a generation takes over from the one before, or from the start.
struct Inherited {
    number: u64,
    sessions: Manager,
    auth: Auth,
    store_latency: Arc<Latency>,
    traffic: Arc<Traffic>,
}

impl Gateway {
    /// Compiles `config`: the first generation.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(config: &Config, keyring: Keyring, storage: Storage) -> Result<Self, BuildError> {
        let Storage { store, at_rest, latency } = storage;
        let inherited = Inherited {
            number: 1,
            sessions: Manager::new(&config.session, config.limits.unknown_ids_per_minute, keyring, store, at_rest),
            auth: Auth::from_config(&config.login, hosts(config))?,
            store_latency: latency,
            traffic: Arc::default(),
        };
        Self::assemble(config, inherited)
    }

    /// Compiles `config` to the generation after this one, which goes on with the same sessions and numbers, and with
    /// the same keys if there are no others. Nothing of this one has changed, whatever comes of it.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn renewed(&self, config: &Config, keyring: Option<Keyring>) -> Result<Self, BuildError> {
        let inherited = Inherited {
            number: self.number + 1,
            sessions: self.sessions.renewed(&config.session, config.limits.unknown_ids_per_minute, keyring),
            auth: self.auth.renewed(&config.login, hosts(config))?,
            store_latency: Arc::clone(&self.store_latency),
            traffic: Arc::clone(&self.traffic),
        };
        Self::assemble(config, inherited)
    }

    fn assemble(config: &Config, inherited: Inherited) -> Result<Self, BuildError> {
        let Inherited { number, sessions, auth, store_latency, traffic } = inherited;
        let routes: Vec<Route> = config
            .routes
            .iter()
            .enumerate()
            .map(|(id, route)| Route::from_config(id, route))
            .collect::<Result<_, _>>()?;
        let places = config.routes.iter().map(|route| (route.host.as_deref(), route.path.as_deref().unwrap_or("/")));
        Ok(Self {
            number,
            router: Router::new(places),
            protected: Protected::new(routes.iter().map(|route| &route.identity)),
            signs_in: routes.iter().position(|route| route.observer.is_some() && config.login.form.is_none()),
            routes,
            trusted_proxies: TrustedProxies::from_config(&config.trusted_proxies),
            sessions,
            auth,
            pages: Pages::from_config(&config.login, hosts(config))?,
            prefix: config.prefix.clone(),
            body_timeout: config.limits.body_timeout.get(),
            store_latency,
            traffic,
            log_access: config.log.access,
            admin: config.admin.clone(),
        })
    }
}

impl Gateway {
    /// Where people sign in who want to go to `here` on `route`: at its app, if it is watched there; else at our own
    /// page, or where there is none at the first app that is.
    #[must_use]
    pub fn login_page(&self, route: &Route, here: Option<&str>) -> String {
        match self.signs_in_at(route) {
            Some(observer) => observer.login_page(here.unwrap_or("/")),
            None => auth::login_url(&self.prefix, here),
        }
    }

    /// The same for somebody whose form was not delivered: our own page says so.
    #[must_use]
    pub fn login_page_after_a_loss(&self, route: &Route, here: Option<&str>) -> String {
        let page = self.login_page(route, here);
        match self.signs_in_at(route) {
            Some(_) => page,
            None => page + if here.is_some() { "&form=lost" } else { "?form=lost" },
        }
    }

    fn signs_in_at<'g>(&'g self, route: &'g Route) -> Option<&'g Observer> {
        let other = || self.routes.get(self.signs_in?)?.observer.as_ref();
        route.observer.as_ref().or_else(other)
    }
}

impl Gateway {
    /// Whether an app needs what people type at our form.
    #[must_use]
    pub fn keeps_typed(&self) -> bool {
        self.routes.iter().filter_map(|route| route.sign_on.as_ref()).any(SignOn::needs_typed)
    }
}

fn hosts(config: &Config) -> impl Iterator<Item = &str> {
    config.routes.iter().filter_map(|route| route.host.as_deref())
}

impl BuildError {
    /// The key at fault, as in a configuration problem.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Upstream { route, .. } => format!("routes[{route}].upstream"),
            Self::Identity { route, .. } => format!("routes[{route}].identity.headers"),
            Self::Rules { route, .. } => format!("routes[{route}].rules"),
            Self::Observe { route, .. } => format!("routes[{route}].observe"),
            Self::SignOn { route, .. } => format!("routes[{route}].sign_on"),
            Self::Users(_) => "login.form".into(),
            Self::Pages(_) => "login.templates_dir".into(),
        }
    }
}

impl Route {
    fn from_config(id: usize, route: &schema::Route) -> Result<Self, BuildError> {
        let default_name =
            || format!("{}{}", route.host.as_deref().unwrap_or("*"), route.path.as_deref().unwrap_or("/"));
        let upstream = Upstream::from_config(id, &route.upstream);
        let upstream = upstream.map_err(|source| BuildError::Upstream { route: id, source })?;
        let identity = Injector::from_config(&route.identity.headers);
        let observe = route.observe.as_ref();
        let observer = observe.map(|observe| Observer::from_config(observe, Cookies::name_of(route))).transpose();
        let sign_on = route.sign_on.as_ref().map(SignOn::from_config).transpose();
        Ok(Self {
            name: route.name.clone().unwrap_or_else(default_name).into(),
            access: route.access.clone(),
            places: Places::from_config(route, upstream.authority()),
            upstream,
            identity: identity.map_err(|source| BuildError::Identity { route: id, source })?,
            cookies: Cookies::from_config(route),
            observer: observer.map_err(|source| BuildError::Observe { route: id, source })?,
            sign_on: sign_on.map_err(|source| BuildError::SignOn { route: id, source })?,
            session_headers: route.session_headers,
            on_store_error: route.on_store_error,
            activity: route.activity,
            websocket_origins: route.websocket_origins.as_slice().into(),
            origin_reported: AtomicBool::new(false),
            park: route.park,
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
        let by_the_app = self.session_headers == SessionHeaders::ReadWrite || self.watcher().is_some();
        by_the_app || !self.rules.is_empty() || self.cookies.vault().is_some()
    }

    /// Whether its app is told of sessions, signed in or not.
    #[must_use]
    pub fn reads_sessions(&self) -> bool {
        self.session_headers != SessionHeaders::None || self.identity.reads_session() || self.cookies.vault().is_some()
    }

    /// Whether strangers must be able to ask for this, to sign in there.
    #[must_use]
    pub fn is_way_in(&self, parts: &Parts) -> bool {
        let (path, query) = (parts.uri.path(), parts.uri.query());
        self.observer.as_ref().is_some_and(|observer| observer.is_way_in(&parts.method, path, query))
    }

    /// Whether it matters to an answer what was asked for.
    #[must_use]
    pub fn remembers_path(&self) -> bool {
        self.watcher().is_some() || self.cookies.vault().is_some()
    }

    /// Who looks at what people do at the app itself: all of it, or with `sign_on` how they sign out.
    #[must_use]
    pub fn watcher(&self) -> Option<&Observer> {
        self.observer.as_ref().or_else(|| self.sign_on.as_ref()?.leaving())
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

    /// Tells the operator, once, that a page of another origin was kept from opening a WebSocket.
    pub fn report_foreign_origin(&self) {
        if !self.origin_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                route = &*self.name,
                "a WebSocket was refused: its page is of another origin, or a program sent our cookie without Origin; if the app's pages live elsewhere, name their origin in websocket_origins"
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
