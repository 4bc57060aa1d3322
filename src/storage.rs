//! Which store the configuration asks for, opened.
//!
//! Called by `app` for a running gateway and by `cli` for work on the store itself. Everything that needs I/O
//! of its own runs on the runtime that it is given, never on a worker.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::config::schema::{self, StoreType};
use crate::config::{Config, Secret};
use crate::session::{AtRest, Denials};
use crate::store::redis::{self, BadUrl};
use crate::store::timed::{Latency, Timed};
use crate::store::{CachedStore, DiskStore, MemoryStore, PostgresStore, RedisStore, Store, disk, postgres};

/// Of each gateway, to PostgreSQL; an operation takes well below a millisecond.
const DATABASE_CONNECTIONS: usize = 8;

/// A store and how records lie in it.
pub struct Storage {
    /// As the session manager asks it.
    pub store: Arc<dyn Store>,
    /// Whether records are sealed.
    pub at_rest: AtRest,
    /// How long its answers take that are not at hand.
    pub latency: Arc<Latency>,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The directory of the disk store.
    #[error("store.path: {0}")]
    Disk(#[from] disk::OpenError),
    /// The address of Redis.
    #[error("store.url: {0}")]
    Redis(#[from] BadUrl),
    /// The address of PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] postgres::OptionsError),
    /// cookie: what has ended cannot be remembered.
    #[error("{path}: {source}")]
    Denials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

impl Storage {
    /// `store`, with an eye on how long it takes.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, at_rest: AtRest) -> Self {
        let latency = Arc::new(Latency::default());
        Self { store: Arc::new(Timed::new(store, Arc::clone(&latency))), at_rest, latency }
    }
}

/// Opens what `store` asks for, with copies kept near where that is faster.
///
/// # Errors
/// When the store cannot be opened. A server that does not answer yet is no error: it is asked again.
pub fn open(config: &Config, clock: &Arc<dyn Clock>, runtime: &Handle) -> Result<Storage, StorageError> {
    let store = bare(config, clock, runtime)?;
    let storage = match config.store.kind {
        // PERF: memory has everything at hand; there is nothing to time.
        StoreType::Memory => return Ok(Storage { store, at_rest: AtRest::Open, latency: Arc::default() }),
        StoreType::Cookie => {
            let at_rest = AtRest::InCookies(Arc::new(denials(config)?));
            return Ok(Storage { store, at_rest, latency: Arc::default() });
        }
        StoreType::Disk | StoreType::Redis | StoreType::Postgres => Storage::new(store, AtRest::Sealed),
    };
    Ok(match config.store.cache {
        Some(schema::Cache { max_entries }) => {
            Storage { store: Arc::new(CachedStore::new(storage.store, max_entries as usize)), ..storage }
        }
        None => storage,
    })
}

/// The store alone, for whoever reads or writes each entry once.
///
/// # Errors
/// As [`open`].
pub fn bare(config: &Config, clock: &Arc<dyn Clock>, runtime: &Handle) -> Result<Arc<dyn Store>, StorageError> {
    let store = &config.store;
    Ok(match store.kind {
        // cookie: what was presented to this process.
        StoreType::Memory | StoreType::Cookie => Arc::new(MemoryStore::new(store.max_sessions as usize)),
        StoreType::Disk => {
            let options = disk::Options { timeout: store.timeout.get(), ..disk::Options::new(directory(config)) };
            Arc::new(DiskStore::open(&options)?)
        }
        StoreType::Redis => {
            let url = store.url.as_ref().map(Secret::reveal).unwrap_or_default();
            let (prefix, timeout) = (store.prefix.clone(), store.timeout.get());
            let options = redis::Options { prefix, timeout, ..redis::Options::new(url) };
            Arc::new(RedisStore::connect(&options, Arc::clone(clock), runtime.clone())?)
        }
        StoreType::Postgres => {
            let url = |url: &Option<Secret>| url.as_ref().map(|url| url.reveal().to_owned());
            let options = postgres::Options {
                prefix: store.prefix.clone(),
                timeout: store.timeout.get(),
                listen_url: url(&store.listen_url),
                url: url(&store.url).unwrap_or_default(),
                max_connections: DATABASE_CONNECTIONS,
            };
            Arc::new(PostgresStore::connect(&options, runtime.clone())?)
        }
    })
}

fn denials(config: &Config) -> Result<Denials, StorageError> {
    let path = config.data_dir.join("denials");
    Denials::open(&path, config.store.timeout.get()).map_err(|source| StorageError::Denials { path, source })
}

/// Where the disk store lies.
#[must_use]
pub fn directory(config: &Config) -> PathBuf {
    config.store.path.clone().unwrap_or_else(|| config.data_dir.join("sessions"))
}
