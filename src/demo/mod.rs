//! `cloakroom demo`: the gateway before a built-in old-fashioned app, in memory, with two users.
//!
//! The gateway is the real one, started through `app`; only its configuration is written here.

pub mod app;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;

use crate::app::{self as process, Running};
use crate::auth::hash;
use crate::clock::SteadyClock;
use crate::config::Config;
use crate::config::schema::{
    Access, Form, Listener, ListenerAddress, Log, LogLevel, Route, Secure, StoreType, Upstream, User,
};
use crate::session::random_bytes;
use crate::telemetry;

/// The people of the demo: name, password, display name, groups.
const PEOPLE: [(&str, &str, &str, &[&str]); 2] =
    [("ann", "ticket-7", "Ann Hanger", &["staff", "members"]), ("bob", "hat-and-coat", "Bob Scarf", &["members"])];

/// What the operator of the "legacy" app put into its footer: the gateway's own pages.
const FOOTER: &str = r#"<a href="/.session/me">Who am I?</a> · <a href="/.session/logout">Sign out</a>"#;

/// A demo at work. Dropping it stops it.
pub struct Demo {
    gateway: Running,
    _legacy: tokio::runtime::Runtime,
}

/// Starts the app on a free port and the gateway on `listen`.
///
/// # Errors
/// When an address cannot be listened on.
pub fn start(listen: SocketAddr) -> anyhow::Result<Demo> {
    let legacy =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("legacy-app").enable_all().build()?;
    let listener = legacy.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).context("the demo's app")?;
    let behind = listener.local_addr()?;
    legacy.spawn(app::run(listener, FOOTER.into()));
    let config = configuration(listen, behind)?;
    telemetry::log::init(&config.log);
    let gateway = process::start(&config, Arc::new(SteadyClock::start())).map_err(anyhow::Error::msg)?;
    Ok(Demo { gateway, _legacy: legacy })
}

impl Demo {
    /// Where to go, whom to be, what to try.
    #[must_use]
    pub fn welcome(&self) -> String {
        let address = self.gateway.addresses().first().map(ToString::to_string).unwrap_or_default();
        let people: String = PEOPLE
            .iter()
            .map(|(name, password, _, groups)| {
                format!("    {name:<6} password {password:<14} groups {}\n", groups.join(", "))
            })
            .collect();
        format!(
            "\n  Cloakroom is at http://{address}/ in front of an app that knows nothing of sessions.\n\n\
             \x20 People\n{people}\n\
             \x20 Try\n\
             \x20   1. Open http://{address}/ and look at the page: anybody may.\n\
             \x20   2. Open http://{address}/secret : you are asked to sign in, and land where you wanted to go.\n\
             \x20   3. Open http://{address}/headers : the app is told who you are, and never sees your sessionid.\n\
             \x20   4. Forge it:  curl -H 'Remote-User: root' http://{address}/headers\n\
             \x20   5. Sign out at the foot of the page; /secret is closed again.\n\
             \x20   6. As bob, open http://{address}/secret/staff : known, but not in the group.\n\n\
             \x20 Sessions are in memory. Stop with Ctrl-C.\n\n"
        )
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn addresses(&self) -> &[ListenerAddress] {
        self.gateway.addresses()
    }

    /// Stops both.
    pub fn stop(self) {
        self.gateway.stop();
    }
}

fn configuration(listen: SocketAddr, behind: SocketAddr) -> anyhow::Result<Config> {
    let upstream = Upstream { url: Some(format!("http://{behind}")), ..Upstream::default() };
    let route = |name: &str, path: &str, access| Route {
        name: Some(name.into()),
        path: Some(path.into()),
        access,
        upstream: upstream.clone(),
        ..Route::default()
    };
    let mut config = Config {
        listeners: vec![Listener { address: ListenerAddress::Tcp(listen), ..Listener::default() }],
        routes: vec![
            route("front", "/", Access::Public),
            route("secret", "/secret", Access::User),
            route("staff", "/secret/staff", Access::Groups(vec!["staff".into()])),
        ],
        log: Log { level: LogLevel::Warn, access: false },
        ..Config::default()
    };
    config.admin.address = None;
    config.store.kind = StoreType::Memory;
    // Plain HTTP on this machine: a Secure cookie would not come back in every browser.
    config.session.cookie.secure = Secure::Auto;
    let key: [u8; 32] = random_bytes()?;
    config.session.keys = vec![key.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()];
    config.login.form = Some(Form { users: PEOPLE.iter().map(person).collect(), ..Form::default() });
    config.login.title = "Cloakroom demo".into();
    Ok(config)
}

fn person((name, password, display_name, groups): &(&str, &str, &str, &[&str])) -> User {
    User {
        name: (*name).into(),
        password: Some(hash::hash(password).into()),
        display_name: Some((*display_name).into()),
        email: Some(format!("{name}@example.com")),
        groups: groups.iter().map(|group| (*group).into()).collect(),
        ..User::default()
    }
}
