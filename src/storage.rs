//! Which store the configuration asks for, opened.
//!
//! Called by `app` for a running gateway and by `cli` for work on the store itself. Everything that needs I/O
//! of its own runs on the runtime that it is given, never on a worker.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::config::Config;
use crate::config::schema::{self, StoreType};
use crate::session::{AtRest, Denials};
use crate::store::{CachedStore, MemoryStore, Store};

/// A store and how records lie in it.
pub struct Storage {
    /// As the session manager asks it.
    pub store: Arc<dyn Store>,
    /// Whether records are sealed.
    pub at_rest: AtRest,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// cookie: what has ended cannot be remembered.
    #[error("{path}: {source}")]
    Denials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

/// Opens what `store` asks for, with copies kept near where that is faster.
///
/// # Errors
/// When the store cannot be opened. A server that does not answer yet is no error: it is asked again.
pub fn open(config: &Config, runtime: &Handle) -> Result<Storage, StorageError> {
    let store = bare(config, runtime)?;
    let at_rest = match config.store.kind {
        StoreType::Memory => return Ok(Storage { store, at_rest: AtRest::Open }),
        StoreType::Cookie => return Ok(Storage { store, at_rest: AtRest::InCookies(Arc::new(denials(config)?)) }),
        StoreType::Disk | StoreType::Redis | StoreType::Postgres => AtRest::Sealed,
    };
    let store = match config.store.cache {
        Some(schema::Cache { max_entries }) => Arc::new(CachedStore::new(store, max_entries as usize)),
        None => store,
    };
    Ok(Storage { store, at_rest })
}

/// The store alone, for whoever reads or writes each entry once.
///
/// # Errors
/// As [`open`].
pub fn bare(config: &Config, _runtime: &Handle) -> Result<Arc<dyn Store>, StorageError> {
    let store = &config.store;
    Ok(match store.kind {
        // cookie: what was presented to this process.
        StoreType::Memory | StoreType::Cookie => Arc::new(MemoryStore::new(store.max_sessions as usize)),
        StoreType::Disk | StoreType::Redis | StoreType::Postgres => {
            Arc::new(MemoryStore::new(store.max_sessions as usize))
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
