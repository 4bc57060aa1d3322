//! Where a session went whose user has ended all others, for what is open in it.
//!
//! Its old id leads nowhere then, as after a sign-in: a thief may hold it. What the user's own browser has open is to
//! stay all the same, so the way is known here for a moment, in this process alone, and for the browser's address only:
//! what somebody has open with the same cookie elsewhere ends. `manager::rotation` writes it, `manager::holding` reads.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::id::Id;
use crate::clock::Timestamp;
use crate::store::Key;

/// What is open is looked at twice a second, unless the store is away.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Ways that are known for a moment.
#[derive(Default)]
pub(super) struct Severed(Mutex<HashMap<Key, Way>>);

struct Way {
    to: Id,
    address: IpAddr,
    since: Timestamp,
}

impl Severed {
    /// The session at `from` will be at `to`, by the word of its browser at `address`.
    pub fn lead(&self, from: Key, to: &Id, address: IpAddr, now: Timestamp) {
        let mut ways = self.ways();
        ways.retain(|_, way| now.since(way.since) < KNOWN_FOR);
        ways.insert(from, Way { to: to.clone(), address, since: now });
    }

    /// It was not to be.
    pub fn forget(&self, from: Key) {
        self.ways().remove(&from);
    }

    /// Where it went, for who has something open from `address`.
    pub fn way(&self, from: Key, address: IpAddr) -> Option<Id> {
        self.ways().get(&from).filter(|way| way.address == address).map(|way| way.to.clone())
    }

    fn ways(&self) -> MutexGuard<'_, HashMap<Key, Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_known_to_its_address_and_for_a_moment() {
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let (severed, old, new) = (Severed::default(), Key([1; 32]), Id::generate().unwrap());
        severed.lead(old, &new, here, Timestamp(0));
        assert!(severed.way(old, here).is_some_and(|id| id == new));
        assert!(severed.way(old, there).is_none() && severed.way(Key([2; 32]), here).is_none());
        severed.lead(Key([2; 32]), &new, here, Timestamp(60_000));
        assert!(severed.way(old, here).is_none());
        severed.forget(Key([2; 32]));
        assert!(severed.way(Key([2; 32]), here).is_none());
    }
}
