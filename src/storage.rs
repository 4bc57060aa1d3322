//! Which store the configuration asks for, opened.
//!
//! Called by `app` for a running gateway and by `cli` for work on the store itself. Everything that needs I/O
//! of its own runs on the runtime that it is given, never on a worker.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::config::Config;
use crate::config::schema::{self, StoreType};
use crate::session::AtRest;
use crate::store::{CachedStore, DiskStore, MemoryStore, Store, disk};

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
    /// The directory of the disk store.
    #[error("store.path: {0}")]
    Disk(#[from] disk::OpenError),
}

/// Opens what `store` asks for, with copies kept near where that is faster.
///
/// # Errors
/// When the store cannot be opened. A server that does not answer yet is no error: it is asked again.
pub fn open(config: &Config, runtime: &Handle) -> Result<Storage, StorageError> {
    let store = bare(config, runtime)?;
    let at_rest = match config.store.kind {
        StoreType::Memory => return Ok(Storage { store, at_rest: AtRest::Open }),
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
        StoreType::Memory => Arc::new(MemoryStore::new(store.max_sessions as usize)),
        StoreType::Disk => {
            let options = disk::Options { timeout: store.timeout.get(), ..disk::Options::new(directory(config)) };
            Arc::new(DiskStore::open(&options)?)
        }
        StoreType::Redis | StoreType::Postgres => Arc::new(MemoryStore::new(store.max_sessions as usize)),
    })
}

/// Where the disk store lies.
#[must_use]
pub fn directory(config: &Config) -> PathBuf {
    config.store.path.clone().unwrap_or_else(|| config.data_dir.join("sessions"))
}
