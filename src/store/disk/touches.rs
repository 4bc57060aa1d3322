//! Touches that are not on the disk yet: seen by every read at once, written in batches by the storage thread.
//!
//! A crash loses what is here, no more. What the storage thread has claimed for a transaction stays visible until
//! that transaction is on the disk, and comes back when it fails.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::{Entry, Key};
use crate::clock::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch {
    pub last_seen: Timestamp,
    pub deadline: Timestamp,
}

#[derive(Default)]
pub(super) struct Touches(Mutex<Maps>);

#[derive(Default)]
struct Maps {
    pending: HashMap<Key, Touch>,
    /// In the transaction that runs.
    claimed: HashMap<Key, Touch>,
}

impl Touches {
    pub fn add(&self, key: Key, touch: Touch) {
        add(&mut self.maps().pending, key, touch);
    }

    pub fn pending(&self) -> usize {
        self.maps().pending.len()
    }

    /// What a read must add to the row. Ask *before* reading it: what is no longer here is then in the row.
    pub fn of(&self, key: &Key) -> Option<Touch> {
        let maps = self.maps();
        let (pending, claimed) = (maps.pending.get(key).copied(), maps.claimed.get(key).copied());
        pending.into_iter().chain(claimed).reduce(Touch::later)
    }

    /// The storage thread takes the touch of one entry into its transaction.
    pub fn claim(&self, key: &Key) -> Option<Touch> {
        let mut maps = self.maps();
        let touch = maps.pending.remove(key)?;
        add(&mut maps.claimed, *key, touch);
        Some(touch)
    }

    /// The storage thread takes some.
    pub fn claim_some(&self, most: usize) -> Vec<(Key, Touch)> {
        let mut maps = self.maps();
        let some: Vec<_> = maps.pending.extract_if(|_, _| true).take(most).collect();
        some.iter().for_each(|(key, touch)| add(&mut maps.claimed, *key, *touch));
        some
    }

    /// The transaction is on the disk.
    pub fn landed(&self) {
        self.maps().claimed.clear();
    }

    /// The transaction came to nothing.
    pub fn give_back(&self) {
        let mut maps = self.maps();
        for (key, touch) in std::mem::take(&mut maps.claimed) {
            add(&mut maps.pending, key, touch);
        }
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}
