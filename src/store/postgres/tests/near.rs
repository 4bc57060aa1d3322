//! A gateway's near cache as small as can be: what is told is what counts.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::watch;

use super::*;

/// Copies of entries, with the rules of [`Copies`].
pub(super) struct Near {
    state: Mutex<State>,
    pub told: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Arc<Entry>>,
    /// Calls so far: a load that began before the last one may not be kept.
    calls: u64,
}

impl Near {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), told: watch::Sender::new(false) })
    }

    pub fn holds(&self, key: Key) -> bool {
        self.state.lock().unwrap().entries.contains_key(&key)
    }

    pub async fn until(&self, told: bool) {
        self.told.subscribe().wait_for(|now| *now == told).await.unwrap();
    }
}

impl Copies for Near {
    fn forget(&self, key: Key) {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        state.entries.remove(&key);
    }

    fn trust(&self, told: bool) {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        state.entries.clear();
        self.told.send_replace(told);
    }
}

/// A store behind such a cache.
pub(super) struct Gateway {
    pub store: PostgresStore,
    pub near: Arc<Near>,
}

impl Gateway {
    /// One that trusts its copies.
    pub async fn open(options: &Options) -> Self {
        let (store, near) = (store(options), Near::new());
        store.attach(Arc::clone(&near) as Arc<dyn Copies>);
        near.until(true).await;
        Self { store, near }
    }

    /// One that cannot hear anything.
    pub fn deaf(options: &Options) -> Self {
        let (store, near) = (store(options), Near::new());
        store.attach(Arc::clone(&near) as Arc<dyn Copies>);
        Self { store, near }
    }

    pub async fn load(&self, key: Key) -> Option<Arc<Entry>> {
        let calls = {
            let state = self.near.state.lock().unwrap();
            if let Some(entry) = state.entries.get(&key) {
                return Some(Arc::clone(entry));
            }
            state.calls
        };
        let entry = self.store.load(key).await.unwrap()?;
        let mut state = self.near.state.lock().unwrap();
        if *self.near.told.borrow() && state.calls == calls {
            state.entries.insert(key, Arc::clone(&entry));
        }
        Some(entry)
    }

    pub async fn update(&self, key: Key, seen: u64, entry: Entry) -> Updated {
        let updated = self.store.update(key, seen, entry).await.unwrap();
        self.near.forget(key);
        updated
    }

    pub async fn delete(&self, key: Key) -> Option<Arc<Entry>> {
        let gone = self.store.delete(key).await.unwrap();
        self.near.forget(key);
        gone
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn after_a_delete_no_gateway_holds_a_copy() {
    let options = options(&url(), &prefix());
    let (here, there) = (Gateway::open(&options).await, Gateway::open(&options).await);
    for n in 0..200 {
        let key = conformance::key(n);
        here.store.create(key, conformance::entry(Some("ann"))).await.unwrap();
        for gateway in [&here, &there] {
            gateway.load(key).await.unwrap();
        }
        assert!(there.near.holds(key));
        assert_eq!(here.update(key, 1, conformance::entry(None)).await, Updated::Done);
        assert!(!there.near.holds(key), "updated");
        there.load(key).await.unwrap();
        assert!(here.delete(key).await.is_some());
        assert!(!there.near.holds(key) && there.load(key).await.is_none(), "deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn a_touch_is_told_too() {
    let options = options(&url(), &prefix());
    let (here, there) = (Gateway::open(&options).await, Gateway::open(&options).await);
    let key = conformance::key(1);
    here.store.create(key, conformance::entry(None)).await.unwrap();
    there.load(key).await.unwrap();
    here.store.touch(key, Timestamp(50), Timestamp(2000)).await.unwrap();
    while there.load(key).await.unwrap().last_seen() != Timestamp(50) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn a_write_waits_for_a_gateway_that_is_silent_but_not_for_ever() {
    let options = Options { timeout: Duration::from_millis(400), ..options(&url(), &prefix()) };
    let here = Gateway::open(&options).await;
    let key = conformance::key(1);
    here.store.create(key, conformance::entry(None)).await.unwrap();
    let silent = client(&url()).await;
    let name = format!("SET application_name = '{}00000000000000aa'", here.store.shared.names.all_listeners());
    silent.batch_execute(&name).await.unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(here.update(key, 1, conformance::entry(Some("ann"))).await, Updated::Done);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_millis(900), "{took:?}");
    assert_eq!(here.load(key).await.unwrap().version(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn copies_are_not_trusted_while_the_listening_connection_is_gone() {
    let options = options(&url(), &prefix());
    let (here, there) = (Gateway::open(&options).await, Gateway::open(&options).await);
    let key = conformance::key(1);
    here.store.create(key, conformance::entry(None)).await.unwrap();
    there.load(key).await.unwrap();
    let name = there.store.shared.names.listener();
    let killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    let lost = there.near.until(false);
    client(&url()).await.query(killed, &[&name]).await.unwrap();
    lost.await;
    assert!(!there.near.holds(key));
    here.delete(key).await.unwrap();
    assert!(there.load(key).await.is_none());
    there.near.until(true).await;
}
