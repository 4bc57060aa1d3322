//! What is measured: something that creates and loads, and how it is opened, here for our own stores.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cloakroom::clock::{Clock, SteadyClock};
use cloakroom::store::disk::Options as DiskOptions;
use cloakroom::store::postgres::Options as PostgresOptions;
use cloakroom::store::redis::Options as RedisOptions;
use cloakroom::store::{DiskStore, Entry, Key, MemoryStore, PostgresStore, RedisStore, Store};
use tokio::runtime::Handle;

use crate::server::{Postgres, Redis};

/// A bench is patient: it shows how long a store takes, where the gateway would have given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// As the gateway has.
pub const CONNECTIONS: usize = 8;

/// Whether something was created, or found.
pub type Answer = Pin<Box<dyn Future<Output = anyhow::Result<bool>> + Send>>;

/// Makes a subject in a directory; what it needs in the background runs on the handle.
pub type Open = fn(&Path, Handle) -> anyhow::Result<Subject>;

/// Creates and loads.
pub trait Ask: Send + Sync {
    fn create(&self, key: Key, entry: Entry) -> Answer;
    fn load(&self, key: Key) -> Answer;
}

/// With what is known of it beyond that.
pub struct Subject {
    pub ask: Arc<dyn Ask>,
    /// A store of ours, which does more.
    pub store: Option<Ours>,
}

/// One of our stores.
pub struct Ours {
    pub store: Arc<dyn Store>,
    /// Opens it anew, once the first is dropped.
    pub again: Box<dyn Fn() -> anyhow::Result<Arc<dyn Store>>>,
    /// How many touches were accepted and are not written yet.
    pub unwritten: Box<dyn Fn() -> usize>,
    /// What it takes on the disk; `None` when it keeps nothing there.
    pub bytes: Box<dyn Fn() -> Option<u64>>,
}

struct Asked(Arc<dyn Store>);

impl Ask for Asked {
    fn create(&self, key: Key, entry: Entry) -> Answer {
        let store = Arc::clone(&self.0);
        Box::pin(async move { Ok(store.create(key, entry).await?) })
    }

    fn load(&self, key: Key) -> Answer {
        let store = Arc::clone(&self.0);
        Box::pin(async move { Ok(store.load(key).await?.is_some()) })
    }
}

impl Subject {
    fn of(ours: Ours) -> Self {
        Self { ask: Arc::new(Asked(Arc::clone(&ours.store))), store: Some(ours) }
    }
}

pub fn memory(_: &Path, _: Handle) -> anyhow::Result<Subject> {
    let open = || -> anyhow::Result<Arc<dyn Store>> { Ok(Arc::new(MemoryStore::new(10_000_000))) };
    Ok(Subject::of(Ours { store: open()?, again: Box::new(open), unwritten: Box::new(|| 0), bytes: Box::new(|| None) }))
}

pub fn disk(directory: &Path, _: Handle) -> anyhow::Result<Subject> {
    let options = DiskOptions { timeout: PATIENCE, ..DiskOptions::new(directory) };
    let store = Arc::new(DiskStore::open(&options)?);
    let directory = directory.to_owned();
    // Weak: the store ends when whoever measures drops it.
    let watched = Arc::downgrade(&store);
    Ok(Subject::of(Ours {
        store,
        again: Box::new(move || Ok(Arc::new(DiskStore::open(&options)?))),
        unwritten: Box::new(move || watched.upgrade().map_or(0, |store| store.unwritten())),
        bytes: Box::new(move || Some(bytes_in(&directory))),
    }))
}

pub fn redis(directory: &Path, control: Handle) -> anyhow::Result<Subject> {
    let server = Redis::start(directory)?;
    let options = RedisOptions { timeout: PATIENCE, ..RedisOptions::new(&server.url()) };
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::start());
    let open = move || -> anyhow::Result<Arc<dyn Store>> {
        Ok(Arc::new(RedisStore::connect(&options, Arc::clone(&clock), control.clone())?))
    };
    let directory = directory.to_owned();
    Ok(Subject::of(Ours {
        store: open()?,
        again: Box::new(open),
        unwritten: Box::new(|| 0),
        bytes: Box::new(move || {
            let _running = &server;
            Some(bytes_in(&directory))
        }),
    }))
}

pub fn postgres(directory: &Path, control: Handle) -> anyhow::Result<Subject> {
    let server = Postgres::start(directory)?;
    let options = PostgresOptions {
        url: server.url(),
        listen_url: None,
        prefix: "bench_".to_owned(),
        timeout: PATIENCE,
        max_connections: CONNECTIONS,
    };
    let again = control.clone();
    let open =
        move || -> anyhow::Result<Arc<dyn Store>> { Ok(Arc::new(PostgresStore::connect(&options, again.clone())?)) };
    Ok(Subject::of(Ours {
        store: open()?,
        again: Box::new(open),
        unwritten: Box::new(|| 0),
        bytes: Box::new(move || server.table_bytes("bench_sessions").context("size of the table").ok()),
    }))
}

/// All files, those of directories in it too.
fn bytes_in(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |file: std::fs::DirEntry| match file.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&file.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    files.map(size).sum()
}
