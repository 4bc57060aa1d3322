//! Listeners, limits, the admin address and the log: what concerns the process and its sockets.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Size, values};
use crate::config::Secret;

/// One address the gateway accepts connections on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// `IP:PORT`, or `unix:PATH`.
    pub address: ListenerAddress,
    /// Certificate and key; absent means plain HTTP.
    pub tls: Option<Tls>,
    /// Answer every request with a redirect to the same address under `https`.
    pub redirect_to_https: bool,
    /// Expect a PROXY protocol header (version 1 or 2) before each connection.
    pub proxy_protocol: bool,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: ListenerAddress::Tcp(SocketAddr::from(([0, 0, 0, 0], 8080))),
            tls: None,
            redirect_to_https: false,
            proxy_protocol: false,
        }
    }
}

/// A TCP address or a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ListenerAddress {
    /// `IP:PORT`; port 0 asks the system for a free one.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl TryFrom<String> for ListenerAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected a path after `unix:`".into()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("expected IP:PORT (such as 0.0.0.0:8080 or [::]:8080) or unix:PATH, found `{text}`")
            }),
        }
    }
}

impl From<ListenerAddress> for String {
    fn from(address: ListenerAddress) -> Self {
        address.to_string()
    }
}

impl std::fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A certificate chain and its private key, PEM; both files are watched and reloaded when they change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// How many worker threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Workers {
    /// One per core this process may use.
    #[default]
    Auto,
    /// Exactly so many, 1 to 1024.
    #[serde(untagged)]
    Count(u16),
}

/// Bounds on what one client may send and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open client connections, all listeners together; beyond it the newest is refused.
    pub max_connections: u32,
    /// A request's head: request line and header fields together. More is 431 (414 for the line alone).
    pub max_head_size: Size,
    /// From the first byte of a head to its last, and for the TLS handshake.
    pub head_timeout: Duration,
    /// How long an idle connection is kept for the next request.
    pub keep_alive_timeout: Duration,
    /// How long a request body may make no progress, beyond one second for each 500 bytes received.
    pub body_timeout: Duration,
    /// How long a client may refuse to take the bytes of a response.
    pub write_timeout: Duration,
    /// How long open requests may run on after SIGTERM.
    pub drain_timeout: Duration,
    /// Session ids nobody was given, per minute and client address (IPv6: per /64); more is 429. null = no bound.
    pub unknown_ids_per_minute: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_head_size: Size::kib(16),
            head_timeout: Duration::seconds(10),
            keep_alive_timeout: Duration::seconds(75),
            body_timeout: Duration::seconds(30),
            write_timeout: Duration::seconds(60),
            drain_timeout: Duration::seconds(30),
            unknown_ids_per_minute: Some(600),
        }
    }
}

/// The operators' listener: health, metrics, and the API over sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// `IP:PORT`; null = off.
    #[serde(deserialize_with = "values::socket_address")]
    #[schemars(with = "Option<String>")]
    pub address: Option<SocketAddr>,
    /// What operators must present, as `Authorization: Bearer TOKEN`, for anything but health and readiness. Any
    /// address other than loopback needs one.
    pub token: Option<Secret>,
    /// A file that holds the token, instead of `token`.
    pub token_file: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: Some(SocketAddr::from(([127, 0, 0, 1], 9600))), token: None, token_file: None }
    }
}

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// One line for each request.
    pub access: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, access: true }
    }
}

/// Severity of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
