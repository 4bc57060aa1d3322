//! The gateway as production starts it, on free ports, with a clock that the test moves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::app::{self, Running};
use cloakroom::clock::{ManualClock, Timestamp};
use cloakroom::config;
use cloakroom::config::schema::ListenerAddress;

use super::{App, Browser, Client};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse";

/// A running gateway; it ends with the test.
pub struct TestGateway {
    running: Option<Running>,
    pub clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

impl TestGateway {
    /// One route, `access: user`, to `app`; users `ann` (staff, wiki) and `bob` (wiki).
    pub fn before(app: &App) -> Self {
        Self::with_routes(&format!("  - {{ access: user, upstream: 'http://{}' }}", app.address))
    }

    /// One route, `access: public`, to `app`: for what concerns messages and not people.
    pub fn open_before(app: &App) -> Self {
        Self::with_routes(&format!("  - {{ access: public, upstream: 'http://{}' }}", app.address))
    }

    /// The routes as a YAML list, indented by two.
    pub fn with_routes(routes: &str) -> Self {
        Self::with_config(&format!("routes:\n{routes}"))
    }

    /// Any configuration; listeners, users, data directory and log are added where it has none.
    pub fn with_config(yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Self::parse(&Self::complete(yaml, &dir), &dir);
        // 2026-01-01T00:00:00Z
        let clock = Arc::new(ManualClock::at(Timestamp(1_767_225_600_000)));
        let running = app::start(&config, clock.clone()).unwrap_or_else(|error| panic!("{error}"));
        Self { running: Some(running), clock, _dir: dir }
    }

    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        let tcp = |address: &ListenerAddress| match address {
            ListenerAddress::Tcp(address) => *address,
            ListenerAddress::Unix(path) => panic!("a Unix socket: {}", path.display()),
        };
        self.running.as_ref().unwrap().addresses().iter().map(tcp).collect()
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().admin_address().expect("admin.address")
    }

    /// A raw connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// A browser with an empty cookie jar.
    pub fn browser(&self) -> Browser {
        Browser::at(self.address())
    }

    /// A browser in which `user` has signed in.
    pub fn signed_in(&self, user: &str) -> Browser {
        let mut browser = self.browser();
        let response = browser.sign_in(user, PASSWORD);
        assert_eq!(response.status, 303, "{}", response.text());
        browser
    }

    /// Moves the gateway's clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Stops it as SIGTERM would; returns when it has drained.
    pub fn stop(mut self) {
        self.running.take().unwrap().stop();
    }

    fn complete(yaml: &str, dir: &tempfile::TempDir) -> String {
        let mut text = yaml.to_owned();
        let has = |key: &str| text.lines().any(|line| line.starts_with(&format!("{key}:")));
        let mut added = String::new();
        for (key, value) in [
            ("listeners", "[{ address: '127.0.0.1:0' }]".to_owned()),
            ("workers", "1".to_owned()),
            ("data_dir", format!("'{}'", dir.path().display())),
            ("store", store()),
            ("admin", "{ address: null }".to_owned()),
            ("log", "{ level: error, access: false }".to_owned()),
            ("login", format!("{{ form: {{ users: [{}, {}] }} }}", user("ann", "staff, wiki"), user("bob", "wiki"))),
        ] {
            if !has(key) {
                added.push_str(&format!("{key}: {value}\n"));
            }
        }
        if !text.contains("secure:") && !has("session") {
            added.push_str("session: { cookie: { secure: auto } }\n");
        }
        text.push('\n');
        text + &added
    }

    fn parse(text: &str, dir: &tempfile::TempDir) -> cloakroom::config::Config {
        let file = dir.path().join("cloakroom.yaml");
        let loaded = config::parse(text, &file.display().to_string(), &|_| None);
        loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}")).config
    }
}

/// The store of gateways whose test asks for none: any can be named, to run all tests on it. Gateways of different
/// tests that share a server differ in the word `UNIQUE` of its prefix.
fn store() -> String {
    let store = std::env::var("CLOAKROOM_TEST_STORE").unwrap_or_else(|_| "{ type: memory }".to_owned());
    store.replace("UNIQUE", &format!("test{:016x}", rand::random::<u64>()))
}

/// A user of the YAML above. bcrypt at its lowest cost: tests sign in often.
pub fn user(name: &str, groups: &str) -> String {
    let hash = hash();
    format!(
        "{{ name: {name}, password: '{hash}', display_name: '{name} Example', email: {name}@example.com, groups: [{groups}] }}"
    )
}

/// The hash of [`PASSWORD`].
pub fn hash() -> String {
    static HASH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    HASH.get_or_init(|| bcrypt::hash(PASSWORD, 4).unwrap()).clone()
}
