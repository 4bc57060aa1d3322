//! Which sessions may be a user's: hints into the table, made exact by `super::MemoryStore`.
//!
//! A hint says "look there", never "it is so": two users' or two sessions' hints may be the same, and a writer
//! may be about to change them. What counts is what the entry says.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sign-ins and sign-outs at once rarely meet in one of so many.
const SHARDS: usize = 256;

/// PERF: eight bytes for each session of a user: the upper half is the user's hash, the lower one the hint. In their
/// order a user's hints stand together, however many they are. A set for each user would cost ten times as much, and
/// an `Arc` would keep replaced entries alive.
pub(super) struct Users {
    hasher: RandomState,
    shards: Box<[Mutex<BTreeSet<u64>>]>,
}

impl Users {
    pub fn new() -> Self {
        Self { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Remembers or forgets that an entry with this hint belongs to `user`.
    pub fn set(&self, user: &str, hint: u32, belongs: bool) {
        let user = self.hash(user);
        let row = row(user, hint);
        let mut rows = self.shard(user);
        match belongs {
            true => rows.insert(row),
            false => rows.remove(&row),
        };
    }

    /// Where the user's sessions are, and perhaps others' too; each hint once.
    pub fn hints(&self, user: &str) -> Vec<u32> {
        let user = self.hash(user);
        self.shard(user).range(row(user, 0)..=row(user, u32::MAX)).map(|row| *row as u32).collect()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|rows| rows.lock().unwrap().len()).sum()
    }

    fn hash(&self, user: &str) -> u32 {
        self.hasher.hash_one(user) as u32
    }

    fn shard(&self, user: u32) -> MutexGuard<'_, BTreeSet<u64>> {
        self.shards[user as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(user: u32, hint: u32) -> u64 {
    u64::from(user) << 32 | u64::from(hint)
}
