//! What a PostgreSQL store is told, checked: addresses, names, bounds.
//!
//! Called once by `PostgresStore::connect`, and by `cloakroom import django`. No message of this file may repeat a part of a URL that could hold a
//! password.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Mode};

/// A firewall may forget a connection that rests for a minute; the system's own default is two hours.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The longest name made from a prefix, `{prefix}sessions listener {16 digits}`, must fit PostgreSQL's 63 bytes.
const LONGEST_PREFIX: usize = 24;

/// Where the server is and how it is used.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host:5432/database?sslmode=verify-full&sslrootcert=/path`. May lead to pgbouncer,
    /// also in transaction mode.
    pub url: String,
    /// A way around pgbouncer, for LISTEN; the same as `url` when there is none.
    pub listen_url: Option<String>,
    /// What the names of tables begin with; `cloakroom:` becomes `cloakroom_`.
    pub prefix: String,
    /// How long an operation may take, and how long a write waits for other gateways beyond that.
    pub timeout: Duration,
    /// How many connections are open at most, besides the one that listens.
    pub max_connections: usize,
}

impl fmt::Debug for Options {
    // SECURITY: both URLs may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, timeout, max_connections, .. } = self;
        let mut debug = f.debug_struct("Options");
        debug.field("prefix", prefix).field("timeout", timeout).field("max_connections", max_connections);
        debug.finish_non_exhaustive()
    }
}

/// What is wrong with [`Options`].
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Not a URL, or not one that can be told apart from its password.
    #[error(
        "{0} is no PostgreSQL URL such as postgres://user:password@host:5432/database: write @ / ? # & % in a password \
         as %40 %2F %3F %23 %26 %25"
    )]
    Url(&'static str),
    /// `sslmode` or `sslrootcert` cannot be followed.
    #[error("{0}: {1}")]
    Tls(&'static str, tls::TlsError),
    /// Table names cannot be made from it.
    #[error(
        "store.prefix begins the names of tables: lower-case letters, digits, `_` and `:` (which becomes `_`), no digit \
         first, at most {LONGEST_PREFIX} characters; `cloakroom:` is the usual one"
    )]
    Prefix,
}

/// A server to connect to: the store's own, or one that `cloakroom import django` reads.
pub(crate) struct Target {
    pub config: Config,
    /// With libpq's meanings of `sslmode` and `sslrootcert`.
    pub tls: MakeRustlsConnect,
    /// For messages: `host:port`.
    pub place: String,
}

impl Target {
    /// `option` is the name that a message gives the URL.
    pub fn parse(option: &'static str, url: &str) -> Result<Self, OptionsError> {
        let wrong = || OptionsError::Url(option);
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong());
        }
        let (url, mode, roots) = take_tls(url).map_err(|error| OptionsError::Tls(option, error))?;
        // SECURITY: the parser's own message may quote a password that holds a `?`.
        let mut config: Config = url.parse().map_err(|_| wrong())?;
        let place = place(&config).ok_or_else(wrong)?;
        config.ssl_mode(mode.negotiated());
        if config.get_keepalives_idle() > KEEPALIVE {
            config.keepalives_idle(KEEPALIVE);
        }
        if config.get_application_name().is_none() {
            config.application_name("cloakroom");
        }
        let tls = tls::connector(mode, roots.as_deref()).map_err(|error| OptionsError::Tls(option, error))?;
        Ok(Self { config, tls, place })
    }
}

/// `cloakroom:` → `cloakroom_`.
pub(super) fn table_prefix(prefix: &str) -> Result<String, OptionsError> {
    let name = prefix.replace(':', "_");
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins_well = !name.starts_with(|c: char| c.is_ascii_digit());
    if name.len() <= LONGEST_PREFIX && begins_well && name.chars().all(fits) {
        Ok(name)
    } else {
        Err(OptionsError::Prefix)
    }
}

/// The URL without what its parser does not know: `sslmode=verify-…` and `sslrootcert`.
fn take_tls(url: &str) -> Result<(String, Mode, Option<PathBuf>), tls::TlsError> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots, mut rest) = (Mode::Prefer, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value.parse()?,
            Some(("sslrootcert", path)) => {
                roots = Some(PathBuf::from(percent_decode_str(path).decode_utf8_lossy().as_ref()));
            }
            _ => rest.push(pair),
        }
    }
    if mode == Mode::Require && roots.is_some() {
        // As libpq does: who names authorities wants them asked.
        mode = Mode::VerifyCa;
    }
    Ok((format!("{address}?{}", rest.join("&")), mode, roots))
}

/// The first address; `None` when there is none, or when it seems to hold the end of a password.
fn place(config: &Config) -> Option<String> {
    let port = config.get_ports().first().unwrap_or(&5432);
    let hosts = config.get_hosts();
    let is_plain = |name: &str| !name.is_empty() && !name.contains(['@', '%', '?', '#', '/']);
    if hosts.iter().any(|host| matches!(host, Host::Tcp(name) if !is_plain(name))) {
        return None;
    }
    match (hosts.first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), _) => Some(format!("{name}:{port}")),
        #[cfg(unix)]
        (Some(Host::Unix(path)), _) => Some(format!("{}:{port}", path.display())),
        (None, Some(address)) => Some(format!("{address}:{port}")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(url: &str) -> String {
        Target::parse("store.url", url).err().unwrap().to_string()
    }

    #[test]
    fn a_url_gives_a_place_for_messages() {
        for (url, place) in [
            ("postgres://ann:secret@db.example/app", "db.example:5432"),
            ("postgresql://ann@127.0.0.1:6432/app?sslmode=disable", "127.0.0.1:6432"),
            ("postgres://ann@%2Frun%2Fpostgresql/app", "/run/postgresql:5432"),
            ("postgres://ann:p%40ss%3F@db/app?connect_timeout=3&sslmode=require", "db:5432"),
        ] {
            assert_eq!(Target::parse("store.url", url).unwrap().place, place);
        }
    }

    #[test]
    fn no_message_repeats_a_password_that_was_not_escaped() {
        for url in [
            "postgres://ann:hunter@2secret@db/app",
            "postgres://ann:hunter?2secret@db/app",
            "postgres://ann:hunter?2secret=1@db/app",
            "postgres://ann:hunter/2secret@db/app",
            "postgres://ann:hunter#2secret@db/app?port=x",
            "host=db password=2secret",
            "",
        ] {
            if let Err(error) = Target::parse("store.url", url) {
                let text = format!("{error} {error:?}");
                assert!(!text.contains("2secret") && text.contains("store.url"), "{text}");
            } else {
                let place = Target::parse("store.url", url).unwrap().place;
                assert!(!place.contains("2secret"), "{place}");
            }
        }
    }

    #[test]
    fn options_show_no_url() {
        let url = "postgres://ann:2secret@db/app".to_owned();
        let options = Options {
            listen_url: Some(url.clone()),
            url,
            prefix: "cloakroom:".into(),
            timeout: Duration::from_millis(250),
            max_connections: 8,
        };
        assert!(!format!("{options:?}").contains("2secret"));
    }

    #[test]
    fn verification_without_authorities_names_the_remedy() {
        let text = refused("postgres://ann@db/app?sslmode=verify-full");
        assert!(text.contains("sslrootcert="), "{text}");
        assert!(refused("postgres://ann@db/app?sslmode=maybe").contains("verify-full"));
        let text = refused("postgres://ann@db/app?sslmode=verify-full&sslrootcert=/no/such%20file");
        assert!(text.contains("/no/such file"), "{text}");
    }

    #[test]
    fn a_prefix_becomes_the_beginning_of_a_name() {
        assert_eq!(table_prefix("cloakroom:").unwrap(), "cloakroom_");
        assert_eq!(table_prefix("").unwrap(), "");
        for wrong in ["Cloak", "1app", "a b", "a\"b", "a;drop", "ä", "a-b", &"x".repeat(25)] {
            assert!(table_prefix(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_url_makes_it_panic(rest in ".{0,60}") {
            let _ = Target::parse("store.url", &format!("postgres://{rest}"));
        }

        #[test]
        fn every_name_made_from_a_prefix_needs_no_quotes(prefix in ".{0,30}") {
            if let Ok(name) = table_prefix(&prefix) {
                prop_assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
            }
        }
    }
}
