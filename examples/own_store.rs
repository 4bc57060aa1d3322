//! A store of one's own: the gateway with sessions in an ordered map, to begin a real one from.
//!
//! `cargo run --example own_store -- cloakroom.yaml` runs it; `cargo test --example own_store` holds it to the
//! contract of every store.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom::clock::{SteadyClock, Timestamp};
use cloakroom::session::AtRest;
use cloakroom::storage::Storage;
use cloakroom::store::{Cursor, Entry, Key, Page, Reply, Store, Updated};
use cloakroom::{app, config};

/// Everything in one map behind one lock. A store that does I/O answers with `Reply::Later(Box::pin(async …))`.
#[derive(Default)]
struct MapStore(Mutex<BTreeMap<[u8; 32], Arc<Entry>>>);

impl MapStore {
    fn map(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `entry` at another time and version.
fn again(entry: &Entry, last_seen: Timestamp, deadline: Timestamp, version: u64) -> Arc<Entry> {
    Arc::new(Entry::restored(entry.meta.clone(), entry.bytes().into(), last_seen, deadline, version))
}

impl Store for MapStore {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        let mut map = self.map();
        let is_new = !map.contains_key(&key.0);
        if is_new {
            map.insert(key.0, Arc::new(entry));
        }
        is_new.into()
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.map().get(&key.0).cloned().into()
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        let mut map = self.map();
        let Some(before) = map.get_mut(&key.0) else { return Updated::Absent.into() };
        if before.version() != seen {
            return Updated::Conflict.into();
        }
        *before = again(&entry, entry.last_seen().max(before.last_seen()), entry.deadline(), seen + 1);
        Updated::Done.into()
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        if let Some(entry) = self.map().get_mut(&key.0) {
            let (last_seen, deadline) = (last_seen.max(entry.last_seen()), deadline.max(entry.deadline()));
            *entry = again(entry, last_seen, deadline, entry.version());
        }
        ().into()
    }

    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.map().remove(&key.0).into()
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        let is_theirs = |entry: &Entry| entry.meta.user.as_deref() == Some(user) && !entry.meta.alias;
        let map = self.map();
        map.iter().filter(|(_, entry)| is_theirs(entry)).map(pair).collect::<Vec<_>>().into()
    }

    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page> {
        // A cursor that is not ours leads to the end.
        let place = |Cursor(bytes): &Cursor| <[u8; 32]>::try_from(&**bytes).unwrap_or([0xff; 32]);
        let after = from.map_or(Unbounded, |cursor| Excluded(place(cursor)));
        let entries: Vec<_> = self.map().range((after, Unbounded)).take(limit.max(1)).map(pair).collect();
        let next = entries.last().filter(|_| entries.len() == limit.max(1)).map(|(key, _)| Cursor(key.0.into()));
        Page { entries, next }.into()
    }

    fn count(&self) -> Reply<'_, usize> {
        self.map().len().into()
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        let mut map = self.map();
        let expired = map.extract_if(.., |_, entry| entry.deadline() <= now).take(limit);
        expired.map(|(_, entry)| entry).collect::<Vec<_>>().into()
    }

    fn ping(&self) -> Reply<'_, ()> {
        ().into()
    }
}

fn pair((key, entry): (&[u8; 32], &Arc<Entry>)) -> (Key, Arc<Entry>) {
    (Key(*key), Arc::clone(entry))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "cloakroom.yaml".to_owned());
    let config = config::load(file.as_ref(), &|name| std::env::var(name).ok())?.config;
    // Sealed, as it should be wherever others may read what the store writes.
    let storage = Storage::new(Arc::new(MapStore::default()), AtRest::Sealed);
    let gateway = app::start_on(&config, Arc::new(SteadyClock::start()), |_| Ok(storage))?;
    println!("listening on {}; Enter ends it", gateway.addresses().first().ok_or("no listener")?);
    std::io::stdin().read_line(&mut String::new())?;
    gateway.stop();
    Ok(())
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn it_keeps_the_contract_of_every_store() {
        cloakroom::store::conformance::suite(async || super::MapStore::default()).await;
    }
}
