//! Touches that are not on the disk yet: seen by every read at once, written in batches by the storage thread.
//!
//! A crash loses what is here, no more. What the storage thread has claimed for a transaction stays visible until
//! that transaction is on the disk, and comes back when it fails.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::{Entry, Key};
use crate::clock::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch {
    pub last_seen: Timestamp,
    pub deadline: Timestamp,
}

/// Shards, by a byte of the key. PERF: with all in one, a million touches that wait for a slow disk are moved under one
/// lock whenever the table grows, and every reader and worker waits for that.
const SHARDS: usize = 64;

pub(super) struct Touches {
    shards: [Mutex<Shard>; SHARDS],
    /// Where the storage thread takes the next ones.
    next: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    pending: HashMap<Key, Touch>,
    /// In the transaction that runs.
    claimed: HashMap<Key, Touch>,
}

impl Default for Touches {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), next: AtomicUsize::new(0) }
    }
}

impl Touches {
    pub fn add(&self, key: Key, touch: Touch) {
        add(&mut self.shard(&key).pending, key, touch);
    }

    /// How many are neither on the disk nor in the transaction that runs.
    pub fn pending(&self) -> usize {
        self.all().map(|shard| shard.pending.len()).sum()
    }

    /// How many are not on the disk.
    pub fn unwritten(&self) -> usize {
        self.all().map(|shard| shard.pending.len() + shard.claimed.len()).sum()
    }

    /// What a read must add to the row. Ask *before* reading it: what is no longer here is then in the row.
    pub fn of(&self, key: &Key) -> Option<Touch> {
        let shard = self.shard(key);
        let (pending, claimed) = (shard.pending.get(key).copied(), shard.claimed.get(key).copied());
        pending.into_iter().chain(claimed).reduce(Touch::later)
    }

    /// The storage thread takes the touch of one entry into its transaction.
    pub fn claim(&self, key: &Key) -> Option<Touch> {
        let mut shard = self.shard(key);
        let touch = shard.pending.remove(key)?;
        add(&mut shard.claimed, *key, touch);
        Some(touch)
    }

    /// The storage thread takes some, of each shard in its turn.
    pub fn claim_some(&self, most: usize) -> Vec<(Key, Touch)> {
        let (mut some, first) = (Vec::new(), self.next.load(Ordering::Relaxed));
        for number in first..first + SHARDS {
            let Shard { pending, claimed } = &mut *lock(&self.shards[number % SHARDS]);
            let taken = some.len();
            some.extend(pending.extract_if(|_, _| true).take(most - taken));
            some[taken..].iter().for_each(|(key, touch)| add(claimed, *key, *touch));
            self.next.store(number % SHARDS, Ordering::Relaxed);
            if some.len() == most {
                break;
            }
        }
        some
    }

    /// The transaction is on the disk.
    pub fn landed(&self) {
        self.all().for_each(|mut shard| shard.claimed.clear());
    }

    /// The transaction came to nothing.
    pub fn give_back(&self) {
        for mut shard in self.all() {
            let Shard { pending, claimed } = &mut *shard;
            claimed.drain().for_each(|(key, touch)| add(pending, key, touch));
        }
    }

    /// One after the other.
    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(lock)
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        // A digest is evenly spread.
        lock(&self.shards[usize::from(key.0[8]) % SHARDS])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Touch {
    pub fn apply(self, entry: &Entry) {
        entry.touch(self.last_seen, self.deadline);
    }

    fn later(self, other: Self) -> Self {
        let (last_seen, deadline) = (self.last_seen.max(other.last_seen), self.deadline.max(other.deadline));
        Self { last_seen, deadline }
    }
}

fn add(map: &mut HashMap<Key, Touch>, key: Key, touch: Touch) {
    map.entry(key).and_modify(|known| *known = known.later(touch)).or_insert(touch);
}

#[cfg(test)]
mod tests {
    use super::super::super::conformance::key;
    use super::*;

    fn touch(last_seen: u64, deadline: u64) -> Touch {
        Touch { last_seen: Timestamp(last_seen), deadline: Timestamp(deadline) }
    }

    #[test]
    fn a_claimed_touch_is_seen_until_it_has_landed_and_comes_back_when_it_has_not() {
        let touches = Touches::default();
        touches.add(key(1), touch(5, 50));
        assert_eq!(touches.claim(&key(1)), Some(touch(5, 50)));
        touches.add(key(1), touch(7, 40));
        assert_eq!(touches.of(&key(1)), Some(touch(7, 50)));
        touches.give_back();
        assert_eq!((touches.of(&key(1)), touches.pending()), (Some(touch(7, 50)), 1));
        assert_eq!(touches.claim_some(10), [(key(1), touch(7, 50))]);
        assert_eq!(touches.of(&key(1)), Some(touch(7, 50)));
        touches.landed();
        assert_eq!(touches.of(&key(1)), None);
    }

    #[test]
    fn some_are_no_more_than_asked_for() {
        let touches = Touches::default();
        (0..10).for_each(|n| touches.add(key(n), touch(n, n)));
        assert_eq!(touches.claim_some(4).len(), 4);
        assert_eq!(touches.pending(), 6);
    }

    #[test]
    fn taken_in_any_portions_each_is_taken_once_and_counts_until_it_has_landed() {
        let touches = Touches::default();
        (0..1000).for_each(|n| touches.add(key(n), touch(n, n)));
        let mut taken = std::collections::HashSet::new();
        for most in [1, 70, 0, 400, 900] {
            taken.extend(touches.claim_some(most).into_iter().map(|(key, _)| key));
        }
        assert_eq!((taken.len(), touches.pending(), touches.unwritten()), (1000, 0, 1000));
        touches.landed();
        assert_eq!(touches.unwritten(), 0);
    }
}
