//! How many ids that no session has a client address may present: a flood of forged cookies ends here.
//!
//! Asked by `open` before the store is. A fixed table of counters: an attacker with many addresses can
//! neither fill the memory nor slow down anybody else, save for the one in sixteen thousand who shares a counter.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;

const COUNTERS: usize = 16_384;
const MINUTE: u64 = 60_000;

/// Unknown ids of the present minute, by address.
#[derive(Debug)]
pub struct Guesses {
    /// The minute in the upper half, the count in the lower one.
    counters: Arc<[AtomicU64]>,
    hasher: RandomState,
    per_minute: u32,
}

impl Guesses {
    /// Allows `per_minute` of them; `None` allows any number.
    #[must_use]
    pub fn new(per_minute: Option<u32>) -> Option<Self> {
        let counters = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        per_minute.map(|per_minute| Self { counters, hasher: RandomState::new(), per_minute })
    }

    /// The same counters under another bound, as [`new`](Self::new) takes it: what was counted counts on.
    #[must_use]
    pub fn renewed(before: Option<&Self>, per_minute: Option<u32>) -> Option<Self> {
        let Some(Self { counters, hasher, .. }) = before else { return Self::new(per_minute) };
        per_minute.map(|per_minute| Self { counters: Arc::clone(counters), hasher: hasher.clone(), per_minute })
    }

    /// Counts an id that no session has; whether it was the last one allowed for this minute.
    pub fn count(&self, address: IpAddr, now: Timestamp) -> bool {
        let counter = self.counter(address);
        let minute = minute(now);
        let counted = |seen: u64| if seen >> 32 == minute { seen & u64::from(u32::MAX) } else { 0 };
        let next = |seen| minute << 32 | (counted(seen) + 1).min(u64::from(u32::MAX));
        // A lost update among clients who guess in the same instant would be a guess for free: so no plain store.
        let before = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| Some(next(seen)));
        before.is_ok_and(|seen| counted(seen) + 1 == u64::from(self.per_minute))
    }

    /// Whether this address has presented too many of them.
    #[must_use]
    pub fn is_exhausted(&self, address: IpAddr, now: Timestamp) -> bool {
        let seen = self.counter(address).load(Ordering::Relaxed);
        seen >> 32 == minute(now) && seen & u64::from(u32::MAX) >= u64::from(self.per_minute)
    }

    fn counter(&self, address: IpAddr) -> &AtomicU64 {
        let hash = self.hasher.hash_one(network(address));
        &self.counters[hash as usize % COUNTERS]
    }
}

/// Whoever has one IPv6 address commonly has 2^64 of them.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

fn minute(now: Timestamp) -> u64 {
    (now.0 / MINUTE) & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn exhausted(guesses: &Guesses, address: &str, now: Timestamp) -> bool {
        guesses.is_exhausted(address.parse().unwrap(), now)
    }

    #[test]
    fn an_address_may_guess_so_often_a_minute() {
        let guesses = Guesses::new(Some(3)).unwrap();
        let mut last = false;
        for _ in 0..3 {
            assert!(!last && !exhausted(&guesses, "192.0.2.1", NOW));
            last = guesses.count("::ffff:192.0.2.1".parse().unwrap(), NOW);
        }
        assert!(last && exhausted(&guesses, "192.0.2.1", NOW));
        assert!(!exhausted(&guesses, "192.0.2.2", NOW));
        assert!(!exhausted(&guesses, "192.0.2.1", Timestamp(NOW.0 + MINUTE)));
    }

    #[test]
    fn a_network_of_64_bits_is_one_guesser() {
        let guesses = Guesses::new(Some(1)).unwrap();
        guesses.count("2001:db8:1:2::1".parse().unwrap(), NOW);
        assert!(exhausted(&guesses, "2001:db8:1:2:ffff::9", NOW));
        assert!(!exhausted(&guesses, "2001:db8:1:3::1", NOW));
    }

    #[test]
    fn under_another_bound_what_was_counted_counts_on() {
        let before = Guesses::new(Some(9)).unwrap();
        (0..2).for_each(|_| assert!(!before.count("192.0.2.1".parse().unwrap(), NOW)));
        let after = Guesses::renewed(Some(&before), Some(2)).unwrap();
        assert!(exhausted(&after, "192.0.2.1", NOW) && !exhausted(&before, "192.0.2.1", NOW));
        assert!(Guesses::renewed(Some(&before), None).is_none());
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        assert!(Guesses::new(None).is_none());
    }
}
