//! Against real servers: `tests/run` starts one and names it in `CLOAKROOM_TEST_REDIS`; tests that stop, kill or
//! promote servers start their own.

mod apart;
mod cluster;
mod faults;
mod load;
mod sentinel;
mod server;
mod together;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::Value;
use tokio::runtime::Handle;

use self::faults::{back_after, impatient_at};
use self::load::Load;
use self::server::Server;
use super::operations::{DELETED, LONGEST};
use super::scripts::Program;
use super::*;
use crate::clock::SteadyClock;
use crate::store::conformance::{self, entry, key, meta};

/// The server of `tests/run`, and a prefix of one's own.
fn options() -> Options {
    let url = std::env::var("CLOAKROOM_TEST_REDIS").expect("CLOAKROOM_TEST_REDIS names a Redis server");
    with_own_prefix(&url)
}

/// Patient: the machine that runs the tests may be busy. Tests of the deadline set their own.
fn with_own_prefix(url: &str) -> Options {
    let prefix = format!("test-{:08x}:", rand::random::<u32>());
    Options { prefix, timeout: Duration::from_secs(5), ..Options::new(url) }
}

fn connect(options: &Options) -> RedisStore {
    RedisStore::connect(options, Arc::new(SteadyClock::start()), Handle::current()).unwrap()
}

fn lasting(user: Option<&str>, bytes: &[u8]) -> Entry {
    Entry::new(meta(user), bytes.into(), Timestamp(0), Timestamp(u64::MAX))
}

/// What a gateway keeps near: as little of it as shows whether it is told everything.
#[derive(Default)]
struct Cache {
    held: Mutex<HashMap<Key, Arc<Entry>>>,
    /// Moves whenever something is forgotten; 0 while nothing may be kept.
    generation: AtomicU64,
    trusted: Mutex<bool>,
}

impl Copies for Cache {
    fn forget(&self, key: Key) {
        let mut held = self.held.lock().unwrap();
        self.generation.fetch_add(1, Ordering::SeqCst);
        held.remove(&key);
    }

    fn trust(&self, told: bool) {
        let mut held = self.held.lock().unwrap();
        self.generation.fetch_add(1, Ordering::SeqCst);
        held.clear();
        *self.trusted.lock().unwrap() = told;
    }
}

/// A store with copies before it.
struct Gateway {
    store: RedisStore,
    cache: Arc<Cache>,
}

impl Gateway {
    async fn start(options: &Options) -> Self {
        let gateway = Self { store: connect(options), cache: Arc::default() };
        gateway.store.attach(gateway.cache.clone());
        gateway.trusts(true).await;
        gateway
    }

    /// Waits until copies may be used, or no longer.
    async fn trusts(&self, wanted: bool) {
        eventually("trust changes", async || *self.cache.trusted.lock().unwrap() == wanted).await;
    }

    fn holds(&self, key: Key) -> bool {
        self.cache.held.lock().unwrap().contains_key(&key)
    }

    async fn load(&self, key: Key) -> Result<Option<Arc<Entry>>, Error> {
        if let Some(held) = self.cache.held.lock().unwrap().get(&key) {
            return Ok(Some(held.clone()));
        }
        let generation = self.cache.generation.load(Ordering::SeqCst);
        let loaded = self.store.load(key).await?;
        let mut held = self.cache.held.lock().unwrap();
        let is_current = generation == self.cache.generation.load(Ordering::SeqCst);
        if let (Some(entry), true, true) = (&loaded, is_current, *self.cache.trusted.lock().unwrap()) {
            held.insert(key, entry.clone());
        }
        Ok(loaded)
    }

    async fn update(&self, key: Key, seen: u64, entry: Entry) -> Result<Updated, Error> {
        let outcome = self.store.update(key, seen, entry).await;
        self.cache.forget(key);
        outcome
    }

    async fn delete(&self, key: Key) -> Result<Option<Arc<Entry>>, Error> {
        let outcome = self.store.delete(key).await;
        self.cache.forget(key);
        outcome
    }
}

/// For what happens somewhere else: asks again until it has, at most ten seconds.
async fn eventually(what: &str, happened: impl AsyncFn() -> bool) {
    for _ in 0..2000 {
        if happened().await {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: not within ten seconds");
}

/// Asks Redis itself; again when the connection is cut, as Sentinel does at a promotion.
async fn by_hand<T: redis::FromRedisValue>(url: &str, command: &mut redis::Cmd) -> T {
    let client = redis::Client::open(url).unwrap();
    loop {
        let mut connection = match client.get_multiplexed_async_connection().await {
            Err(error) if error.is_io_error() && !error.is_connection_refusal() => continue,
            made => made.unwrap(),
        };
        match command.query_async(&mut connection).await {
            Err(error) if error.is_io_error() => {}
            answer => return answer.unwrap(),
        }
    }
}
