//! Which sessions may be a user's: hints into the table, made exact by `super::MemoryStore`.
//!
//! A hint says "look there", never "it is so": two users' or two sessions' hints may be the same, and a writer
//! may be about to change them. What counts is what the entry says.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sign-ins and sign-outs at once rarely meet in one of so many, and the rows of one are quickly moved.
const SHARDS: usize = 1024;

/// From here on (four million sessions, or thousands of one user) moving rows would take longer than a tree.
const FEW: usize = 4096;

/// PERF: eight bytes for each session of a user: the upper half is the user's hash, the lower one the hint. In their
/// order a user's hints stand together, however many they are. A set for each user would cost ten times as much, and
/// an `Arc` would keep replaced entries alive.
pub(super) struct Users {
    hasher: RandomState,
    shards: Box<[Mutex<Rows>]>,
}

/// In order, each once.
enum Rows {
    Few(Vec<u64>),
    /// PERF: robust, but 18 bytes for each.
    Many(BTreeSet<u64>),
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
            false => rows.remove(row),
        }
    }

    /// Where the user's sessions are, and perhaps others' too; each hint once.
    pub fn hints(&self, user: &str) -> Vec<u32> {
        let user = self.hash(user);
        self.shard(user).between(row(user, 0), row(user, u32::MAX)).into_iter().map(|row| row as u32).collect()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|rows| rows.lock().unwrap().between(0, u64::MAX).len()).sum()
    }

    fn hash(&self, user: &str) -> u32 {
        self.hasher.hash_one(user) as u32
    }

    fn shard(&self, user: u32) -> MutexGuard<'_, Rows> {
        self.shards[user as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn insert(&mut self, row: u64) {
        match self {
            Self::Few(rows) => {
                let Err(at) = rows.binary_search(&row) else { return };
                if rows.len() == rows.capacity() {
                    rows.reserve_exact(rows.len() / 8 + 2);
                }
                rows.insert(at, row);
                if rows.len() > FEW {
                    *self = Self::Many(std::mem::take(rows).into_iter().collect());
                }
            }
            Self::Many(rows) => drop(rows.insert(row)),
        }
    }

    fn remove(&mut self, row: u64) {
        match self {
            Self::Few(rows) => {
                if let Ok(at) = rows.binary_search(&row) {
                    rows.remove(at);
                }
            }
            Self::Many(rows) => drop(rows.remove(&row)),
        }
    }

    fn between(&self, first: u64, last: u64) -> Vec<u64> {
        match self {
            Self::Few(rows) => {
                let start = rows.partition_point(|row| *row < first);
                rows[start..].iter().copied().take_while(|row| *row <= last).collect()
            }
            Self::Many(rows) => rows.range(first..=last).copied().collect(),
        }
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

fn row(user: u32, hint: u32) -> u64 {
    u64::from(user) << 32 | u64::from(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_and_many_answer_alike() {
        let mut rows = Rows::default();
        // Each number below 8191 once, in disorder, and some twice.
        for n in 1..=10_000u64 {
            rows.insert(n * 5119 % 8191);
            assert_eq!(matches!(rows, Rows::Few(_)), n <= FEW as u64);
        }
        assert_eq!(rows.between(100, 110), (100..=110).collect::<Vec<_>>());
        for n in 0..=8191 {
            rows.remove(n);
            rows.remove(n);
        }
        assert!(rows.between(0, u64::MAX).is_empty());
    }

    #[test]
    fn a_row_is_there_once_and_goes_once() {
        let mut rows = Rows::default();
        [5, 3, 5, 9].into_iter().for_each(|row| rows.insert(row));
        assert_eq!(rows.between(4, 9), [5, 9]);
        rows.remove(5);
        rows.remove(4);
        assert_eq!(rows.between(0, u64::MAX), [3, 9]);
    }
}
