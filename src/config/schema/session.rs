//! The session, its cookie and the store.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Size};
use crate::config::Secret;

/// The browser's session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// The one cookie the browser holds.
    pub cookie: Cookie,
    /// Time since the last request after which a session ends; null = never.
    pub idle_timeout: Option<Duration>,
    /// Time since sign-in (or creation) after which a session ends, however active it is.
    pub absolute_timeout: Duration,
    /// The absolute timeout of those who tick "remember me"; null = the form has no such box.
    pub remember_me: Option<Duration>,
    /// How often a session in use gets a new id; null = at sign-in and on demand only.
    pub rotate_every: Option<Duration>,
    /// How long the old id still works once the new one has been used.
    pub rotation_grace: Duration,
    /// How often "last seen" is written.
    pub touch_interval: Duration,
    /// Renew cookie and expiry at every request (Django's `SESSION_SAVE_EVERY_REQUEST`).
    pub save_every_request: bool,
    /// When a session begins.
    pub create: Create,
    /// Sessions of one user at a time; null = no bound.
    pub max_per_user: Option<u32>,
    /// What happens to a sign-in beyond `max_per_user`.
    pub on_limit: OnLimit,
    /// Largest data of one session, as JSON, 1 KiB to 1 MiB; what would exceed it is not written.
    pub max_data_size: Size,
    /// Secrets for what the gateway signs, 32 characters or more each: the first signs, all verify.
    /// Empty: one is generated and kept in `data_dir`.
    pub keys: Vec<Secret>,
    /// A file with one key per line, instead of `keys`.
    pub keys_file: Option<PathBuf>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            cookie: Cookie::default(),
            idle_timeout: Some(Duration::days(1)),
            absolute_timeout: Duration::days(14),
            remember_me: None,
            rotate_every: Some(Duration::minutes(60)),
            rotation_grace: Duration::seconds(30),
            touch_interval: Duration::seconds(60),
            save_every_request: false,
            create: Create::Lazy,
            max_per_user: None,
            on_limit: OnLimit::EvictOldest,
            max_data_size: Size::kib(64),
            keys: Vec::new(),
            keys_file: None,
        }
    }
}

/// Attributes of the session cookie (RFC 6265bis §4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cookie {
    /// Its name; `__Host-` and `__Secure-` prefixes are checked against the other attributes.
    pub name: String,
    /// Names that are still read while browsers move to `name`, at most 4.
    pub previous_names: Vec<String>,
    /// `Domain`; null = this host only.
    pub domain: Option<String>,
    /// `Path`.
    pub path: String,
    /// `Secure`: true, false, or auto = when the request came over TLS.
    pub secure: Secure,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Partitioned` (CHIPS).
    pub partitioned: bool,
    /// Whether the cookie outlives the browser (`Max-Age`).
    pub persistent: bool,
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            name: "sessionid".into(),
            previous_names: Vec::new(),
            domain: None,
            path: "/".into(),
            secure: Secure::Always,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
            persistent: true,
        }
    }
}

/// When the cookie carries `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// `true`.
    Always,
    /// `false`.
    Never,
    /// `auto`: when the browser's request came over TLS, as far as trusted proxies tell.
    Auto,
}

/// `SameSite` of the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// When a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Create {
    /// When there is something to keep.
    Lazy,
    /// At a browser's first request.
    Always,
}

/// What happens to a sign-in beyond `max_per_user`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// The user's oldest session ends.
    EvictOldest,
    /// The sign-in is refused.
    Deny,
}
