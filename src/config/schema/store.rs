//! Where sessions are kept.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Duration;
use crate::config::Secret;

/// Where sessions are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The engine.
    #[serde(rename = "type")]
    pub kind: StoreType,
    /// disk: a directory; null = `sessions` in `data_dir`.
    pub path: Option<PathBuf>,
    /// redis, postgres: the server, with its password.
    pub url: Option<Secret>,
    /// A file that holds `url`.
    pub url_file: Option<PathBuf>,
    /// postgres behind a pooler: the server itself, for news of other gateways' writes; null = `url`.
    pub listen_url: Option<Secret>,
    /// A file that holds `listen_url`.
    pub listen_url_file: Option<PathBuf>,
    /// redis, postgres: what all names begin with, so that several gateways may share a server.
    pub prefix: String,
    /// disk, redis, postgres: copies kept in this process; null = none.
    pub cache: Option<Cache>,
    /// redis, postgres, disk, and cookie for what ends: how long an operation may take before it counts as failed,
    /// 10 ms to 30 s.
    pub timeout: Duration,
    /// Memory, cookie: sessions held in memory at once; anonymous ones are evicted first, signed-in ones never.
    pub max_sessions: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreType::Disk,
            path: None,
            url: None,
            url_file: None,
            listen_url: None,
            listen_url_file: None,
            prefix: "cloakroom:".to_owned(),
            cache: Some(Cache::default()),
            timeout: Duration::millis(250),
            max_sessions: 1_000_000,
        }
    }
}

/// The engine that keeps sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreType {
    /// This process's memory: a restart signs everybody out.
    Memory,
    /// A file of this machine.
    Disk,
    /// A Redis or Valkey server, which several gateways may share.
    Redis,
    /// A table of PostgreSQL, which several gateways may share.
    Postgres,
    /// The browser's cookie, sealed: nothing is kept but what has ended before its time.
    Cookie,
}

/// Copies of entries near the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Sessions of which a copy is kept, 1 or more.
    pub max_entries: u32,
}

impl Default for Cache {
    fn default() -> Self {
        Self { max_entries: 100_000 }
    }
}
