//! Sessions in this process's memory: a sharded map, bounded, gone with the process.
//!
//! No tombstones are kept: a key is drawn from 165 random bits and never created twice, and an update
//! cannot insert, so nothing can bring a deleted session back.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;

use super::{Entry, Error, Key, Reply, Store, Updated};
use crate::clock::Timestamp;

/// Holds up to `max_sessions`; anonymous sessions make room, signed-in ones never.
#[derive(Debug)]
pub struct MemoryStore {
    sessions: DashMap<Key, Arc<Entry>, KeyHash>,
    users: DashMap<Box<str>, HashSet<Key, KeyHash>>,
    /// Keys in the order their anonymous sessions began; some may have signed in or ended since.
    anonymous: Mutex<VecDeque<Key>>,
    max_sessions: usize,
}

/// Small shards keep the pause of a writer behind a sweep below a millisecond at a million sessions.
const SHARDS: usize = 1024;

/// PERF: a key is a digest already; its first bytes are as good a hash as any.
#[derive(Debug, Clone, Default)]
struct KeyHash;

#[derive(Debug, Default)]
struct FirstBytes(u64);

impl BuildHasher for KeyHash {
    type Hasher = FirstBytes;

    fn build_hasher(&self) -> FirstBytes {
        FirstBytes::default()
    }
}

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        // `[u8; 32]` writes its length first and then itself; only the latter is long enough.
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(max_sessions: usize) -> Self {
        Self {
            sessions: DashMap::with_hasher_and_shard_amount(KeyHash, SHARDS),
            users: DashMap::new(),
            anonymous: Mutex::default(),
            max_sessions,
        }
    }

    fn insert(&self, key: Key, entry: Entry) -> Result<bool, Error> {
        self.make_room(entry.meta.user.is_some())?;
        let entry = Arc::new(entry);
        match self.sessions.entry(key) {
            Slot::Occupied(_) => return Ok(false),
            Slot::Vacant(slot) => drop(slot.insert(Arc::clone(&entry))),
        }
        match &entry.meta.user {
            Some(user) => drop(self.users.entry(user.clone()).or_default().insert(key)),
            None => self.remember_anonymous(key),
        }
        Ok(true)
    }

    /// Evicts anonymous sessions, oldest first. A sign-in is let in even when none is left to evict.
    fn make_room(&self, signed_in: bool) -> Result<(), Error> {
        while self.sessions.len() >= self.max_sessions {
            let oldest = self.anonymous.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match oldest {
                Some(key) => drop(self.sessions.remove_if(&key, |_, entry| entry.meta.user.is_none())),
                None if signed_in => return Ok(()),
                None => return Err(Error::Full),
            }
        }
        Ok(())
    }

    fn remember_anonymous(&self, key: Key) {
        let mut queue = self.anonymous.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys of ended sessions pile up at the front; drop a few each time so that the queue stays bounded.
        for _ in 0..2 {
            match queue.front() {
                Some(front) if !self.sessions.contains_key(front) => drop(queue.pop_front()),
                _ => break,
            }
        }
        queue.push_back(key);
    }

    fn replace(&self, key: Key, seen: u64, mut entry: Entry) -> Updated {
        let Some(mut current) = self.sessions.get_mut(&key) else { return Updated::Absent };
        if current.version() != seen {
            return Updated::Conflict;
        }
        entry.succeed(&current);
        let (before, after) = (current.meta.user.clone(), entry.meta.user.clone());
        *current = Arc::new(entry);
        drop(current);
        if before != after {
            self.unindex(before.as_deref(), key);
            if let Some(user) = after {
                self.users.entry(user).or_default().insert(key);
            }
        }
        Updated::Done
    }

    fn remove(&self, key: Key) -> Option<Arc<Entry>> {
        let (_, entry) = self.sessions.remove(&key)?;
        self.unindex(entry.meta.user.as_deref(), key);
        Some(entry)
    }

    fn unindex(&self, user: Option<&str>, key: Key) {
        let Some(user) = user else { return };
        if let Some(mut keys) = self.users.get_mut(user) {
            keys.remove(&key);
        }
        self.users.remove_if(user, |_, keys| keys.is_empty());
    }

    fn of_user(&self, user: &str) -> Vec<(Key, Arc<Entry>)> {
        // The index is copied first: two maps are never locked at once.
        let keys: Vec<Key> = self.users.get(user).map(|keys| keys.iter().copied().collect()).unwrap_or_default();
        keys.into_iter().filter_map(|key| Some((key, Arc::clone(self.sessions.get(&key)?.value())))).collect()
    }

    /// Collects first and deletes after: a reader waits for the look at one shard, never for the whole.
    fn sweep_expired(&self, now: Timestamp, limit: usize) -> Vec<Arc<Entry>> {
        let expired: Vec<Key> = self
            .sessions
            .iter()
            .filter(|entry| entry.deadline() <= now)
            .take(limit)
            .map(|entry| *entry.key())
            .collect();
        expired.into_iter().filter_map(|key| self.remove(key)).collect()
    }
}

impl Store for MemoryStore {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        Reply::Now(self.insert(key, entry))
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.sessions.get(&key).map(|entry| Arc::clone(entry.value())).into()
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        self.replace(key, seen, entry).into()
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        if let Some(entry) = self.sessions.get(&key) {
            entry.touch(last_seen, deadline);
        }
        ().into()
    }

    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.remove(key).into()
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        self.of_user(user).into()
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        self.sweep_expired(now, limit).into()
    }

    fn ping(&self) -> Reply<'_, ()> {
        ().into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[test]
    fn it_keeps_the_contract_of_every_store() {
        conformance::suite(|| MemoryStore::new(1000));
    }

    #[test]
    fn anonymous_sessions_make_room_oldest_first() {
        let store = MemoryStore::new(3);
        for n in 1..=4 {
            assert!(store.insert(conformance::key(n), conformance::entry(None)).unwrap());
        }
        assert_eq!(store.sessions.len(), 3);
        assert!(!store.sessions.contains_key(&conformance::key(1)));
    }

    #[test]
    fn a_signed_in_session_is_never_evicted() {
        let store = MemoryStore::new(2);
        for n in 1..=3 {
            assert!(store.insert(conformance::key(n), conformance::entry(Some("ann"))).unwrap());
        }
        assert!(matches!(store.insert(conformance::key(4), conformance::entry(None)), Err(Error::Full)));
        assert_eq!(store.of_user("ann").len(), 3);
    }

    #[test]
    fn the_queue_of_anonymous_sessions_stays_bounded() {
        let store = MemoryStore::new(10);
        for n in 0..1000 {
            store.insert(conformance::key(n), conformance::entry(None)).unwrap();
            store.remove(conformance::key(n));
        }
        assert!(store.anonymous.lock().unwrap().len() < 10);
    }
}
