//! Regulation: how often a sign-in may be tried before the account, or the address, has to wait.
//!
//! The sign-in form asks [`Regulation::check`] before it spends time on a password, and reports the outcome after; so
//! does `watched` for sign-ins to apps.
//! Nothing here knows whether an account exists: made-up names are counted like real ones, so a ban reveals nothing.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;

use crate::clock::Timestamp;
use crate::config::schema;

/// Many people can share one address (an office, a mobile carrier), so it may fail this many times as often.
const ADDRESS_FACTOR: u32 = 10;
/// Failures are remembered one by one, so their number per entry is bounded, whatever the configuration says.
const MAX_THRESHOLD: u32 = 1000;
/// Accounts, and addresses, remembered at most.
const CAPACITY: usize = 100_000;

/// Sign-in is refused for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed sign-ins; try again in {} s", retry_after.as_secs())]
pub struct Banned {
    /// How long, for `Retry-After`; at least a second.
    pub retry_after: Duration,
}

/// Counts failed sign-ins by canonical account and by address; shared by all workers.
#[derive(Debug)]
pub struct Regulation {
    /// None where there is no regulation.
    bounds: Option<Bounds>,
    counters: Arc<Counters>,
}

/// How many failures are how bad.
#[derive(Debug)]
struct Bounds {
    of_account: Bound,
    of_address: Bound,
}

#[derive(Debug, Clone, Copy)]
struct Bound {
    threshold: usize,
    find_time: Duration,
    ban_time: Duration,
}

#[derive(Debug)]
struct Counters {
    accounts: Mutex<Counter<AccountKey>>,
    addresses: Mutex<Counter<IpAddr>>,
}

impl Regulation {
    /// Compiles the configuration; `max_retries: 0` turns regulation off.
    #[must_use]
    pub fn from_config(config: &schema::Regulation) -> Self {
        let (accounts, addresses) = (Mutex::new(Counter::new()), Mutex::new(Counter::new()));
        Self { bounds: Bounds::from_config(config), counters: Arc::new(Counters { accounts, addresses }) }
    }

    /// Under other bounds: failures that were counted count on, and whoever waits goes on waiting.
    #[must_use]
    pub fn renewed(&self, config: &schema::Regulation) -> Self {
        Self { bounds: Bounds::from_config(config), counters: Arc::clone(&self.counters) }
    }

    /// Whether `account` (its canonical name; `None` if it is not known which) may be tried from `address` now.
    ///
    /// # Errors
    /// [`Banned`] while either waits; the longer wait counts.
    pub fn check<'a>(
        &self,
        account: impl Into<Option<&'a str>>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Banned> {
        if self.bounds.is_none() {
            return Ok(());
        }
        let counters = &self.counters;
        let account_wait = account.into().and_then(|account| counters.accounts().wait(&account_key(account), now));
        let address_wait = counters.addresses().wait(&address_key(address), now);
        match account_wait.max(address_wait) {
            Some(wait) => Err(Banned { retry_after: wait.max(Duration::from_secs(1)) }),
            None => Ok(()),
        }
    }

    /// Records a wrong password.
    ///
    /// # Errors
    /// [`Banned`] when a ban began while the password was being checked. The answer must then be the ban's:
    ///
    /// SECURITY: else many guesses sent at once would all be answered, before the first failure is counted.
    pub fn failed<'a>(
        &self,
        account: impl Into<Option<&'a str>>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Banned> {
        let account = account.into();
        let outcome = self.check(account, address, now);
        if let Some(Bounds { of_account, of_address }) = &self.bounds {
            if let Some(account) = account {
                self.counters.accounts().fail(account_key(account), now, of_account);
            }
            self.counters.addresses().fail(address_key(address), now, of_address);
        }
        outcome
    }

    /// Records a right password: the account's failures are forgotten, those of the address are not, since an
    /// attacker with one account of his own could otherwise reset it at will.
    ///
    /// # Errors
    /// [`Banned`], as for [`Self::failed`]: the sign-in must then be refused although the password was right.
    pub fn succeeded<'a>(
        &self,
        account: impl Into<Option<&'a str>>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Banned> {
        let account = account.into();
        self.check(account, address, now)?;
        if let (Some(account), Some(_)) = (account, &self.bounds) {
            self.counters.accounts().entries.remove(&account_key(account));
        }
        Ok(())
    }
}

impl Bounds {
    fn from_config(config: &schema::Regulation) -> Option<Self> {
        let bound = |threshold: u32| Bound {
            threshold: threshold.min(MAX_THRESHOLD) as usize,
            find_time: config.find_time.get(),
            ban_time: config.ban_time.get(),
        };
        let of_address = config.max_retries.saturating_mul(ADDRESS_FACTOR);
        (config.max_retries > 0).then(|| Self { of_account: bound(config.max_retries), of_address: bound(of_address) })
    }
}

impl Counters {
    fn accounts(&self) -> MutexGuard<'_, Counter<AccountKey>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self) -> MutexGuard<'_, Counter<IpAddr>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SHA-256 of the canonical name: a name of any length costs the same memory, and none is kept.
type AccountKey = [u8; 32];

fn account_key(account: &str) -> AccountKey {
    let mut key = [0; 32];
    key.copy_from_slice(digest::digest(&digest::SHA256, account.as_bytes()).as_ref());
    key
}

/// IPv6 by its /64, the least that one subscriber gets; an IPv4 address in IPv6 clothes is the IPv4 address.
fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[derive(Debug)]
struct Counter<K> {
    capacity: usize,
    entries: HashMap<K, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// The latest failures, oldest first; never more than the largest threshold there was.
    failures: VecDeque<Timestamp>,
    banned_until: Option<Timestamp>,
}

impl Entry {
    fn wait(&self, now: Timestamp) -> Option<Duration> {
        self.banned_until.filter(|until| *until > now).map(|until| until.since(now))
    }

    fn latest(&self) -> Timestamp {
        self.failures.back().copied().unwrap_or_default()
    }
}

impl<K: Hash + Eq + Copy> Counter<K> {
    fn new() -> Self {
        Self { capacity: CAPACITY, entries: HashMap::new() }
    }

    fn wait(&self, key: &K, now: Timestamp) -> Option<Duration> {
        self.entries.get(key)?.wait(now)
    }

    /// A failure during a ban does not lengthen it: nobody can be kept out for good by one stubborn client.
    fn fail(&mut self, key: K, now: Timestamp, bound: &Bound) {
        if !self.entries.contains_key(&key) {
            self.make_room(now, bound.find_time);
        }
        let entry = self.entries.entry(key).or_default();
        if entry.wait(now).is_some() {
            return;
        }
        entry.failures.retain(|failure| now.since(*failure) < bound.find_time);
        entry.failures.push_back(now);
        entry.banned_until = None;
        if entry.failures.len() >= bound.threshold {
            entry.failures.clear();
            entry.banned_until = Some(now.plus(bound.ban_time));
        }
    }

    /// Drops what no longer counts and, when that is too little, the oldest failures.
    ///
    /// SECURITY: bans go last, and those that end soonest go first: a flood of made-up names pushes out other
    /// made-up names, and has to earn a ban for each before it reaches a real one.
    /// PERF: a tenth is freed at once, so the scan is paid by ten thousand insertions.
    fn make_room(&mut self, now: Timestamp, find_time: Duration) {
        if self.entries.len() < self.capacity {
            return;
        }
        self.entries.retain(|_, entry| entry.wait(now).is_some() || now.since(entry.latest()) < find_time);
        let keep = self.capacity - self.capacity.div_ceil(10);
        let Some(surplus) = self.entries.len().checked_sub(keep).filter(|surplus| *surplus > 0) else { return };
        let mut order: Vec<_> = self.entries.iter().map(|(key, e)| (e.wait(now), e.latest(), *key)).collect();
        order.sort_unstable_by_key(|(wait, latest, _)| (*wait, *latest));
        for (_, _, key) in order.into_iter().take(surplus) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000);

    fn regulation(max_retries: u32) -> Regulation {
        Regulation::from_config(&schema::Regulation { max_retries, ..schema::Regulation::default() })
    }

    fn usual() -> Bound {
        Bounds::from_config(&schema::Regulation::default()).unwrap().of_account
    }

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// An address that no other failure of the test shares.
    fn other_address(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    fn fail_times(regulation: &Regulation, account: &str, n: u32, now: Timestamp) {
        for i in 0..n {
            let _ = regulation.failed(account, other_address(i), now);
        }
    }

    #[test]
    fn an_account_waits_after_max_retries_whatever_the_address() {
        let regulation = regulation(3);
        fail_times(&regulation, "alice", 2, at(0));
        assert!(regulation.check("alice", address("192.0.2.1"), at(0)).is_ok());
        fail_times(&regulation, "alice", 1, at(10));
        let banned = regulation.check("alice", address("192.0.2.1"), at(20)).unwrap_err();
        assert_eq!(banned.retry_after, Duration::from_secs(290));
        assert!(regulation.check("bob", address("192.0.2.1"), at(20)).is_ok());
    }

    #[test]
    fn a_ban_ends_by_itself_and_the_count_starts_anew() {
        let regulation = regulation(3);
        fail_times(&regulation, "alice", 3, at(0));
        assert!(regulation.check("alice", other_address(9), at(299)).is_err());
        assert!(regulation.check("alice", other_address(9), at(300)).is_ok());
        fail_times(&regulation, "alice", 2, at(300));
        assert!(regulation.check("alice", other_address(9), at(300)).is_ok());
    }

    #[test]
    fn failures_during_a_ban_do_not_lengthen_it() {
        let regulation = regulation(3);
        fail_times(&regulation, "alice", 3, at(0));
        fail_times(&regulation, "alice", 50, at(200));
        assert!(regulation.check("alice", other_address(99), at(300)).is_ok());
    }

    #[test]
    fn failures_older_than_find_time_do_not_count() {
        let regulation = regulation(3);
        fail_times(&regulation, "alice", 2, at(0));
        fail_times(&regulation, "alice", 1, at(120));
        assert!(regulation.check("alice", other_address(9), at(120)).is_ok());
    }

    #[test]
    fn success_forgets_the_accounts_failures_but_not_the_addresss() {
        let regulation = regulation(1);
        let shared = address("192.0.2.1");
        for i in 0..10 {
            assert!(regulation.check("mallory", shared, at(0)).is_ok());
            assert!(regulation.succeeded("mallory", shared, at(0)).is_ok());
            regulation.failed(&*format!("victim{i}"), shared, at(0)).unwrap();
        }
        assert!(regulation.check("mallory", shared, at(0)).is_err());
    }

    #[test]
    fn success_resets_the_account() {
        let regulation = regulation(3);
        fail_times(&regulation, "alice", 2, at(0));
        regulation.succeeded("alice", other_address(9), at(1)).unwrap();
        fail_times(&regulation, "alice", 2, at(2));
        assert!(regulation.check("alice", other_address(9), at(2)).is_ok());
    }

    #[test]
    fn an_answer_that_comes_after_the_ban_began_is_the_bans_right_or_wrong() {
        let regulation = regulation(3);
        fail_times(&regulation, "alice", 3, at(0));
        let wrong = regulation.failed("alice", other_address(9), at(1)).unwrap_err();
        let right = regulation.succeeded("alice", other_address(9), at(1)).unwrap_err();
        assert_eq!(wrong, right);
    }

    #[test]
    fn an_address_waits_after_ten_times_as_many_failures() {
        let regulation = regulation(3);
        for i in 0..30 {
            assert!(regulation.check("x", address("192.0.2.1"), at(0)).is_ok());
            regulation.failed(&*format!("name{i}"), address("192.0.2.1"), at(0)).unwrap();
        }
        assert!(regulation.check("x", address("192.0.2.1"), at(0)).is_err());
        assert!(regulation.check("x", address("::ffff:192.0.2.1"), at(0)).is_err());
        assert!(regulation.check("x", address("192.0.2.2"), at(0)).is_ok());
    }

    #[test]
    fn rotating_within_an_ipv6_64_does_not_help() {
        let regulation = regulation(1);
        for i in 0..10u128 {
            let v6 = Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | i << 20);
            regulation.failed(&*format!("name{i}"), v6.into(), at(0)).unwrap();
        }
        assert!(regulation.check("x", address("2001:db8::ffff"), at(0)).is_err());
        assert!(regulation.check("x", address("2001:db8:0:1::1"), at(0)).is_ok());
    }

    #[test]
    fn under_other_bounds_failures_count_on_and_a_ban_stays() {
        let before = regulation(3);
        fail_times(&before, "alice", 3, at(0));
        fail_times(&before, "bob", 1, at(0));
        let after = before.renewed(&schema::Regulation { max_retries: 2, ..schema::Regulation::default() });
        assert!(after.check("alice", other_address(9), at(1)).is_err());
        assert!(after.check("bob", other_address(9), at(1)).is_ok());
        fail_times(&after, "bob", 1, at(1));
        assert!(after.check("bob", other_address(9), at(1)).is_err());
    }

    #[test]
    fn zero_turns_it_off() {
        let regulation = regulation(0);
        fail_times(&regulation, "alice", 1000, at(0));
        assert!(regulation.check("alice", other_address(0), at(0)).is_ok());
    }

    #[test]
    fn a_flood_of_made_up_names_is_bounded_and_does_not_lift_a_ban() {
        let (mut counter, bound) = (Counter::new(), usual());
        counter.capacity = 100;
        (0..3).for_each(|_| counter.fail(account_key("victim"), at(0), &bound));
        for i in 0..10_000 {
            counter.fail(account_key(&format!("made-up {i}")), at(1), &bound);
            assert!(counter.entries.len() <= 100);
        }
        assert!(counter.wait(&account_key("victim"), at(1)).is_some());
    }

    #[test]
    fn what_no_longer_counts_makes_room_first() {
        let (mut counter, bound) = (Counter::new(), usual());
        counter.capacity = 10;
        (0..10).for_each(|i| counter.fail(account_key(&i.to_string()), at(0), &bound));
        counter.fail(account_key("new"), at(500), &bound);
        assert_eq!(counter.entries.len(), 1);
    }

    #[test]
    fn a_clock_set_back_does_not_ban_for_longer_than_ban_time_from_the_old_now() {
        let regulation = regulation(3);
        fail_times(&regulation, "alice", 3, at(1000));
        let banned = regulation.check("alice", other_address(9), at(900)).unwrap_err();
        assert_eq!(banned.retry_after, Duration::from_secs(400));
    }
}
