//! How much may be parked at a time: by all of this gateway's visitors, and by one address.
//!
//! Asked by `manager::parking` before the first byte of a form is read, so that also what is on its way is counted.
//! Keeps numbers, no forms. What another gateway takes out of a shared store is counted here until its time is over.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::guesses::network;
use crate::clock::Timestamp;
use crate::store::Key;

/// Of all forms; the store may be this process's memory.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Of one address (IPv6: one network): a household or a small office, while nobody alone can fill the room.
const MOST_AT_ONE_ADDRESS: usize = 8;

/// What a form costs beside its bytes: the entry, the index, the ticket.
const COST: u64 = 4096;

/// What is parked.
#[derive(Debug, Default)]
pub struct Room(Mutex<HashMap<Key, Held>>);

#[derive(Debug)]
struct Held {
    network: IpAddr,
    bytes: u64,
    ends: Timestamp,
}

/// A place in the room; given back when it is dropped, unless a form was parked there.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    key: Key,
    is_taken: bool,
}

impl Room {
    /// A place for up to `bytes`; `None` when there is none.
    #[must_use]
    pub fn reserve(
        self: &Arc<Self>,
        key: Key,
        address: IpAddr,
        bytes: u64,
        now: Timestamp,
        ends: Timestamp,
    ) -> Option<Place> {
        let mut held = self.held();
        held.retain(|_, one| now < one.ends);
        let network = network(address);
        let taken: u64 = held.values().map(|one| one.bytes).sum();
        let here = held.values().filter(|one| one.network == network).count();
        let bytes = bytes.saturating_add(COST);
        if taken.saturating_add(bytes) > MOST_BYTES || here >= MOST_AT_ONE_ADDRESS {
            return None;
        }
        held.insert(key, Held { network, bytes, ends });
        Some(Place { room: Arc::clone(self), key, is_taken: false })
    }

    /// Nothing is parked under `key` any more.
    pub fn give_back(&self, key: Key) {
        self.held().remove(&key);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Key, Held>> {
        // Nothing that panics runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A form of so many bytes is parked here.
    pub fn take(mut self, bytes: u64) {
        self.is_taken = true;
        if let Some(held) = self.room.held().get_mut(&self.key) {
            held.bytes = bytes.saturating_add(COST);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_taken {
            self.room.give_back(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1000);
    const END: Timestamp = Timestamp(2000);

    fn key(number: u32) -> Key {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        Key(key)
    }

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number).into()
    }

    #[test]
    fn one_address_has_a_few_places_and_others_have_theirs() {
        let room = Arc::new(Room::default());
        let park = |number, at| room.reserve(key(number), address(at), 1, NOW, END).map(|place| place.take(1));
        assert!((0..8).all(|number| park(number, 1).is_some()));
        assert!(park(8, 1).is_none() && park(9, 2).is_some());
        room.give_back(key(0));
        assert!(park(10, 1).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let room = Arc::new(Room::default());
        let park = |number: u32| {
            let address = std::net::Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + u128::from(number));
            room.reserve(key(number), address.into(), 1, NOW, END).map(|place| place.take(1))
        };
        assert_eq!((0..20).filter(|number| park(*number).is_some()).count(), MOST_AT_ONE_ADDRESS);
    }

    #[test]
    fn all_together_have_a_bound_and_what_was_not_parked_is_given_back() {
        let room = Arc::new(Room::default());
        let mib = 1024 * 1024;
        let places: Vec<_> = (0..100).filter_map(|n| room.reserve(key(n), address(n), mib, NOW, END)).collect();
        assert_eq!(places.len(), 63);
        drop(places);
        assert!(room.reserve(key(0), address(0), mib, NOW, END).is_some());
    }

    #[test]
    fn a_form_counts_with_what_it_holds_and_until_its_end() {
        let room = Arc::new(Room::default());
        for number in 0..1000 {
            room.reserve(key(number), address(number), 1024 * 1024, NOW, END).unwrap().take(10);
        }
        let fill = |now| room.reserve(key(5000), address(5000), MOST_BYTES - COST, now, Timestamp(9000));
        assert!(fill(NOW).is_none());
        assert!(fill(END).is_some());
    }
}
