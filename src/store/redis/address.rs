//! Where Redis is: one server, the master that sentinels name, or a Cluster, from one URL. Called by the store when
//! it is made; [`Address`]'s text is for logs and never holds a password.
//!
//! | form | |
//! |---|---|
//! | `redis://[USER][:PASSWORD@]HOST[:6379][/DB]` | one server; `valkey://` means the same |
//! | `rediss://…` | the same over TLS, checked against the machine's roots or the given CA |
//! | `unix:///PATH[?db=N&user=USER&pass=PASSWORD]` | a Unix socket |
//! | `redis+sentinel://[USER][:PASSWORD@]HOST[:26379],HOST…/MASTER[/DB]` | the master that these sentinels name; `?sentinel_user=…&sentinel_password=…` when they ask for one too |
//! | `redis+cluster://[USER][:PASSWORD@]HOST[:6379],HOST…` | a Cluster, found through any of these nodes |
//!
//! `rediss+sentinel://` and `rediss+cluster://` use TLS to everybody. User and password are percent-encoded.

use std::fmt;

use percent_encoding::percent_decode_str;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError,
    TlsCertificates, TlsMode,
};

use super::Options;

/// Why a URL names no Redis. The texts quote nothing of it: there may be a password in any part.
#[derive(Debug, thiserror::Error)]
pub enum BadUrl {
    /// The scheme is none of the above.
    #[error("the URL must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")]
    Scheme,
    /// A list of hosts is missing or has a part that is no `HOST` or `HOST:PORT`.
    #[error("the URL must name hosts as HOST or HOST:PORT, with commas between them")]
    Hosts,
    /// `redis+sentinel://` without a master.
    #[error("a Sentinel URL must name the master after the hosts: redis+sentinel://HOST/MASTER")]
    Master,
    /// The number of the database is none, or given to a Cluster, which has only one.
    #[error("the database must be a number, and a Cluster has only one")]
    Database,
    /// A part is not UTF-8 once decoded, or a query key is unknown.
    #[error("the URL has a part that cannot be read: {0}")]
    Part(&'static str),
    /// The certificate authority is no PEM.
    #[error("the CA for Redis cannot be used: {0}")]
    Ca(RedisError),
}

/// One of the three ways to find a server.
pub(super) enum Address {
    /// One server.
    Single { client: Client, text: String },
    /// Asked for the master at every connection. Its methods need `&mut`: made anew each time.
    Sentinel { parts: Parts, master: String, ca: Option<Vec<u8>> },
    /// Many servers.
    Cluster { client: Box<ClusterClient>, text: String },
}

/// A URL with several hosts, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<(String, u16)>,
    path: Vec<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
    db: i64,
}

impl Address {
    pub(super) fn parse(options: &Options) -> Result<Self, BadUrl> {
        let (scheme, rest) = options.url.split_once("://").ok_or(BadUrl::Scheme)?;
        let ca = options.ca.clone();
        match scheme {
            "redis+sentinel" => Self::sentinel(Parts::parse(rest, false, 26379)?, ca),
            "rediss+sentinel" => Self::sentinel(Parts::parse(rest, true, 26379)?, ca),
            "redis+cluster" => Self::cluster(&Parts::parse(rest, false, 6379)?, ca),
            "rediss+cluster" => Self::cluster(&Parts::parse(rest, true, 6379)?, ca),
            "redis" | "rediss" | "valkey" | "valkeys" | "unix" => Self::single(&options.url, ca),
            _ => Err(BadUrl::Scheme),
        }
    }

    fn single(url: &str, ca: Option<Vec<u8>>) -> Result<Self, BadUrl> {
        // Its errors may quote the URL: left out.
        let info = url.into_connection_info().map_err(|_| BadUrl::Part("host, port or database"))?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let text = info.addr().to_string();
        let client = match ca {
            Some(ca) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) => {
                Client::build_with_tls(info, certificates(ca))
            }
            _ => Client::open(info),
        };
        Ok(Self::Single { client: client.map_err(BadUrl::Ca)?, text })
    }

    fn sentinel(mut parts: Parts, ca: Option<Vec<u8>>) -> Result<Self, BadUrl> {
        let mut path = std::mem::take(&mut parts.path).into_iter();
        let master = path.next().filter(|name| !name.is_empty()).ok_or(BadUrl::Master)?;
        parts.db = match path.next() {
            Some(db) => db.parse().map_err(|_| BadUrl::Database)?,
            None => 0,
        };
        let address = Self::Sentinel { parts, master, ca };
        // A CA that cannot be used is told now, not at every connection.
        address.ask_sentinels().map_err(BadUrl::Ca)?;
        Ok(address)
    }

    fn cluster(parts: &Parts, ca: Option<Vec<u8>>) -> Result<Self, BadUrl> {
        if parts.path.iter().any(|part| !part.is_empty()) {
            return Err(BadUrl::Database);
        }
        let nodes = parts.addresses().into_iter().map(|addr| -> Result<ConnectionInfo, RedisError> {
            Ok(addr.into_connection_info()?.set_redis_settings(parts.login()))
        });
        let nodes: Vec<ConnectionInfo> = nodes.collect::<Result<_, _>>().map_err(|_| BadUrl::Hosts)?;
        // Whoever is redirected or meets a restart asks again, as long as the deadline of the operation allows.
        let mut builder = ClusterClientBuilder::new(nodes)
            .retries(16)
            .min_retry_wait(10)
            .max_retry_wait(100)
            .connection_timeout(super::link::CONNECT)
            .use_protocol(ProtocolVersion::RESP3);
        if let Some(ca) = ca.filter(|_| parts.tls) {
            builder = builder.certs(certificates(ca));
        }
        let client = Box::new(builder.build().map_err(BadUrl::Ca)?);
        Ok(Self::Cluster { client, text: parts.to_string() })
    }

    /// Somebody who knows how to ask the sentinels for the master.
    pub(super) fn ask_sentinels(&self) -> Result<SentinelClient, RedisError> {
        let Self::Sentinel { parts, master, ca } = self else {
            return Err(RedisError::from(std::io::Error::other("no sentinels")));
        };
        let mut builder = SentinelClientBuilder::new(parts.addresses(), master, SentinelServerType::Master)?
            .set_client_to_redis_db(parts.db)
            .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if parts.tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(ca) = ca.as_ref().filter(|_| parts.tls) {
            builder = builder
                .set_client_to_redis_certificates(certificates(ca.clone()))
                .set_client_to_sentinel_certificates(certificates(ca.clone()));
        }
        if let Some(user) = &parts.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &parts.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(user) = &parts.sentinel_user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = &parts.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder.build()
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster { .. })
    }
}

/// No user, no password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single { text, .. } | Self::Cluster { text, .. } => f.write_str(text),
            Self::Sentinel { parts, master, .. } => write!(f, "{master} of the sentinels {parts}"),
        }
    }
}

impl Parts {
    fn parse(rest: &str, tls: bool, port: u16) -> Result<Self, BadUrl> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => (text(user, "user")?, text(password, "password")?),
            None => (None, None),
        };
        let mut parts = Self {
            tls,
            user,
            password,
            hosts: hosts.split(',').map(|host| place(host, port)).collect::<Result<_, _>>()?,
            path: path.split('/').map(|part| Ok(text(part, "path")?.unwrap_or_default())).collect::<Result<_, _>>()?,
            sentinel_user: None,
            sentinel_password: None,
            db: 0,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "sentinel_user" => parts.sentinel_user = Some(value.into_owned()),
                "sentinel_password" => parts.sentinel_password = Some(value.into_owned()),
                _ => return Err(BadUrl::Part("query")),
            }
        }
        Ok(parts)
    }

    fn addresses(&self) -> Vec<ConnectionAddr> {
        let address = |(host, port): &(String, u16)| match self.tls {
            true => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host.clone(), *port),
        };
        self.hosts.iter().map(address).collect()
    }

    fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        login
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (host, port)) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}:{port}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`.
fn place(host: &str, port: u16) -> Result<(String, u16), BadUrl> {
    let (host, after) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(BadUrl::Hosts)?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = match after.strip_prefix(':') {
        Some(port) => port.parse().map_err(|_| BadUrl::Hosts)?,
        None if after.is_empty() => port,
        None => return Err(BadUrl::Hosts),
    };
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    is_host.then(|| (host.to_owned(), port)).ok_or(BadUrl::Hosts)
}

fn text(part: &str, name: &'static str) -> Result<Option<String>, BadUrl> {
    let text = percent_decode_str(part).decode_utf8().map_err(|_| BadUrl::Part(name))?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

fn certificates(ca: Vec<u8>) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(ca) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(url: &str) -> Result<Address, BadUrl> {
        Address::parse(&Options::new(url))
    }

    fn parts(rest: &str) -> Parts {
        Parts::parse(rest, false, 26379).unwrap()
    }

    #[test]
    fn every_form_of_the_table_is_understood() {
        for (url, text) in [
            ("redis://cache", "cache:6379"),
            ("redis://xavier:hush@cache:7000/2", "cache:7000"),
            ("redis://:hush@[::1]:7000", "::1:7000"),
            ("rediss://cache", "cache:6379"),
            ("valkey://cache", "cache:6379"),
            ("unix:///run/redis.sock?db=1&pass=hush", "/run/redis.sock"),
            ("redis+sentinel://a,b:7,[::2]:8/main", "main of the sentinels a:26379,b:7,::2:8"),
            ("redis+sentinel://ann:hush@a/main/3?sentinel_password=hush", "main of the sentinels a:26379"),
            ("rediss+sentinel://a/main", "main of the sentinels a:26379"),
            ("redis+cluster://:hush@a,b:7", "a:6379,b:7"),
            ("rediss+cluster://a", "a:6379"),
        ] {
            assert_eq!(address(url).map_err(|error| format!("{url}: {error}")).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_work_is_refused_without_telling_the_password() {
        for url in [
            "",
            "hush",
            "http://xavier:hush@a",
            "redis://",
            "redis://xavier:hush@a:port",
            "redis+sentinel://xavier:hush@a",
            "redis+sentinel://xavier:hush@/main",
            "redis+sentinel://xavier:hush@a,,b/main",
            "redis+sentinel://xavier:hush@a/main/x",
            "redis+sentinel://xavier:hush@a/main?hush=1",
            "redis+cluster://xavier:hush@a/1",
            "redis+cluster://xavier:hush@a:0x/",
            "redis+cluster://xavier:hush%ff@a",
            "redis+cluster://[::1",
            "unix+tls://hush",
        ] {
            let error = address(url).err().unwrap_or_else(|| panic!("{url} is accepted")).to_string();
            assert!(!error.contains("hush") && !error.contains("xavier"), "{url}: {error}");
        }
    }

    #[test]
    fn users_and_passwords_may_hold_any_character() {
        let parts = parts("a%40b:p%2f%3a%2C@h/m?sentinel_user=x%26y");
        assert_eq!((parts.user.as_deref(), parts.password.as_deref()), (Some("a@b"), Some("p/:,")));
        assert_eq!(parts.sentinel_user.as_deref(), Some("x&y"));
    }

    proptest! {
        #[test]
        fn whatever_is_configured_nothing_panics(rest in "\\PC{0,40}", scheme in 0usize..5) {
            let scheme = ["redis", "unix", "redis+sentinel", "redis+cluster", "valkey"][scheme];
            let _ = address(&format!("{scheme}://{rest}"));
        }
    }
}
