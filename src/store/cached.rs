//! A near cache: copies of the entries of a slower store, in this process's memory.
//!
//! Reads are answered from it, writes go through. Whether a copy may still be used is the business of the
//! store beneath: it tells [`Copies`] of every write, whoever made it, and when it can no longer tell. Then the
//! cache is dropped, not trusted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;

use super::{Copies, Cursor, Entry, Key, Page, Reply, Store, Updated};
use crate::clock::Timestamp;

/// Loads under way are told apart by so many counters: a write disturbs only what shares its own.
const STRIPES: usize = 256;

/// A store with copies of what was read last.
pub struct CachedStore {
    store: Arc<dyn Store>,
    near: Arc<Near>,
}

/// The copies.
struct Near {
    entries: Cache<Key, Arc<Entry>>,
    /// Counts the writes that were told of, by stripe of keys. A copy read from the store is kept only if its count
    /// stands where it stood before the reading, or a write in between would go unnoticed.
    writes: [Mutex<u64>; STRIPES],
    is_trusted: AtomicBool,
}

impl CachedStore {
    /// Keeps up to `max_entries` copies of what `store` holds.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, max_entries: usize) -> Self {
        let near = Arc::new(Near {
            entries: Cache::new(max_entries),
            writes: std::array::from_fn(|_| Mutex::default()),
            is_trusted: AtomicBool::new(false),
        });
        store.attach(Arc::clone(&near) as Arc<dyn Copies>);
        Self { store, near }
    }

    async fn fetch(&self, key: Key) -> Result<Option<Arc<Entry>>, super::Error> {
        let before = *self.near.stripe(&key);
        let entry = self.store.load(key).await?;
        if let Some(entry) = &entry {
            self.near.keep(key, entry, before);
        }
        Ok(entry)
    }
}

impl Near {
    /// PERF: no lock but the cache's own, which readers share.
    fn find(&self, key: &Key) -> Option<Arc<Entry>> {
        self.is_trusted.load(Ordering::Acquire).then(|| self.entries.get(key)).flatten()
    }

    /// Keeps what was read while `before` writes had been told of.
    fn keep(&self, key: Key, entry: &Arc<Entry>, before: u64) {
        let writes = self.stripe(&key);
        if *writes == before && self.is_trusted.load(Ordering::Acquire) {
            self.entries.insert(key, Arc::clone(entry));
        }
    }

    fn stripe(&self, key: &Key) -> MutexGuard<'_, u64> {
        // A digest is evenly spread. Nothing that panics runs under the lock.
        self.writes[usize::from(key.0[8])].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copies for Near {
    fn forget(&self, key: Key) {
        let mut writes = self.stripe(&key);
        *writes = writes.wrapping_add(1);
        self.entries.remove(&key);
    }

    fn trust(&self, told: bool) {
        self.is_trusted.store(told, Ordering::Release);
        // Whichever way it turned: what was read before is worth nothing now.
        for stripe in &self.writes {
            let mut writes = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            *writes = writes.wrapping_add(1);
        }
        self.entries.clear();
    }
}

impl Store for CachedStore {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        self.store.create(key, entry)
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        match self.near.find(&key) {
            Some(entry) => Some(entry).into(),
            None => Reply::Later(Box::pin(self.fetch(key))),
        }
    }

    fn load_latest(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.near.forget(key);
        Reply::Later(Box::pin(self.fetch(key)))
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        Reply::Later(Box::pin(async move {
            let updated = self.store.update(key, seen, entry).await;
            // Also when somebody else was faster, or nobody knows: the copy is older than that.
            self.near.forget(key);
            updated
        }))
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        if let Some(entry) = self.near.find(&key) {
            entry.touch(last_seen, deadline);
        }
        self.store.touch(key, last_seen, deadline)
    }

    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        Reply::Later(Box::pin(async move {
            let deleted = self.store.delete(key).await;
            self.near.forget(key);
            deleted
        }))
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        self.store.list_by_user(user)
    }

    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page> {
        self.store.page(from, limit)
    }

    fn count(&self) -> Reply<'_, usize> {
        self.store.count()
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        self.store.sweep(now, limit)
    }

    fn attach(&self, copies: Arc<dyn Copies>) {
        self.store.attach(copies);
    }

    fn ping(&self) -> Reply<'_, ()> {
        self.store.ping()
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{self, entry, key};
    use super::super::{MemoryStore, Updated};
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn two_gateways() -> (Arc<MemoryStore>, CachedStore) {
        let beneath = Arc::new(MemoryStore::new(1000));
        let cached = CachedStore::new(Arc::clone(&beneath) as Arc<dyn Store>, 100);
        (beneath, cached)
    }

    #[test]
    fn it_keeps_the_contract_of_every_store() {
        block_on(conformance::suite(async || CachedStore::new(Arc::new(MemoryStore::new(1000)), 10)));
    }

    #[test]
    fn what_was_read_is_answered_without_the_store_until_it_is_forgotten() {
        let (beneath, cached) = two_gateways();
        block_on(async {
            beneath.create(key(1), entry(None)).await.unwrap();
            assert!(cached.load(key(1)).await.unwrap().is_some());
            beneath.delete(key(1)).await.unwrap();
            assert!(matches!(cached.load(key(1)), Reply::Now(Ok(Some(_)))));
            cached.near.forget(key(1));
            assert!(cached.load(key(1)).await.unwrap().is_none());
        });
    }

    #[test]
    fn a_write_that_is_told_of_during_a_read_leaves_no_copy() {
        let (beneath, cached) = two_gateways();
        block_on(async {
            beneath.create(key(1), entry(None)).await.unwrap();
            let before = *cached.near.stripe(&key(1));
            let read = beneath.load(key(1)).await.unwrap().unwrap();
            beneath.delete(key(1)).await.unwrap();
            cached.near.forget(key(1));
            cached.near.keep(key(1), &read, before);
            assert!(cached.load(key(1)).await.unwrap().is_none());
        });
    }

    #[test]
    fn nothing_is_kept_or_used_while_nobody_tells_of_writes() {
        let (beneath, cached) = two_gateways();
        block_on(async {
            beneath.create(key(1), entry(None)).await.unwrap();
            cached.load(key(1)).await.unwrap();
            cached.near.trust(false);
            assert!(matches!(cached.load(key(1)), Reply::Later(_)));
            cached.load(key(1)).await.unwrap();
            cached.near.trust(true);
            assert!(matches!(cached.load(key(1)), Reply::Later(_)), "what was read before is not trusted later");
        });
    }

    #[test]
    fn the_latest_version_is_the_stores_own() {
        let (beneath, cached) = two_gateways();
        block_on(async {
            beneath.create(key(1), entry(None)).await.unwrap();
            cached.load(key(1)).await.unwrap();
            assert_eq!(beneath.update(key(1), 1, entry(Some("ann"))).await.unwrap(), Updated::Done);
            assert_eq!(cached.load_latest(key(1)).await.unwrap().unwrap().version(), 2);
            assert_eq!(cached.load(key(1)).await.unwrap().unwrap().version(), 2);
        });
    }

    #[test]
    fn a_conflict_shows_that_the_copy_is_old() {
        let (beneath, cached) = two_gateways();
        block_on(async {
            beneath.create(key(1), entry(None)).await.unwrap();
            cached.load(key(1)).await.unwrap();
            beneath.update(key(1), 1, entry(None)).await.unwrap();
            assert_eq!(cached.update(key(1), 1, entry(None)).await.unwrap(), Updated::Conflict);
            assert_eq!(cached.load(key(1)).await.unwrap().unwrap().version(), 2);
        });
    }

    #[test]
    fn it_holds_no_more_than_it_may() {
        let (beneath, cached) = two_gateways();
        block_on(async {
            for n in 0..500 {
                beneath.create(key(n), entry(None)).await.unwrap();
                cached.load(key(n)).await.unwrap();
            }
        });
        assert!(cached.near.entries.len() <= 100, "{}", cached.near.entries.len());
    }
}
