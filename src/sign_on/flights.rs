//! One login at a time for each session, and none for a while after one that failed.
//!
//! Twenty requests of a page that comes up at once make one login: the first goes, the others wait and find it done. An
//! app that counts wrong passwords must not lock somebody out because we try again with every picture of a page.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::MutexGuard;

use crate::clock::Timestamp;
use crate::store::Handle;

/// After the first failure; twice as long after each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// From here on, those that nobody waits at are forgotten.
const MANY: usize = 1024;

/// The logins of one route.
#[derive(Debug, Default)]
pub struct Flights(Mutex<HashMap<Handle, Arc<Flight>>>);

/// The logins of one session at one route.
#[derive(Debug, Default)]
pub struct Flight {
    gate: tokio::sync::Mutex<()>,
    failures: AtomicU64,
    /// Milliseconds since the Unix epoch.
    until: AtomicU64,
}

impl Flights {
    /// That of this session.
    #[must_use]
    pub fn of(&self, session: Handle, now: Timestamp) -> Arc<Flight> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.len() >= MANY {
            flights.retain(|_, flight| Arc::strong_count(flight) > 1 || flight.pauses(now));
        }
        Arc::clone(flights.entry(session).or_default())
    }
}

impl Flight {
    /// Waits for its turn.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    /// Whether a login has failed a moment ago.
    #[must_use]
    pub fn pauses(&self, now: Timestamp) -> bool {
        now.0 < self.until.load(Ordering::Relaxed)
    }

    /// A login has failed, or has helped nothing.
    pub fn failed(&self, now: Timestamp) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        let doublings = u32::try_from(failures).unwrap_or(u32::MAX).min(10);
        let pause = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
        self.until.store(now.plus(pause).0, Ordering::Relaxed);
    }

    /// The app has served the user after a login.
    pub fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_each_failure_and_end() {
        let flights = Flights::default();
        let flight = || flights.of(Handle([1; 8]), Timestamp(0));
        let mut now = Timestamp(1_000_000);
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            flight().failed(now);
            assert!(flight().pauses(now.plus(Duration::from_millis(seconds * 1000 - 1))), "{seconds}");
            now = now.plus(Duration::from_secs(seconds));
            assert!(!flight().pauses(now), "{seconds}");
        }
        flight().succeeded();
        flight().failed(now);
        assert!(!flight().pauses(now.plus(FIRST_PAUSE)));
        assert!(!flights.of(Handle([2; 8]), now).pauses(now));
    }

    #[test]
    fn what_is_over_is_forgotten_and_a_pause_is_not() {
        let flights = Flights::default();
        flights.of(Handle([0xff; 8]), Timestamp(0)).failed(Timestamp(0));
        for number in 0..5000_u64 {
            drop(flights.of(Handle(number.to_be_bytes()), Timestamp(1)));
        }
        assert!(flights.0.lock().unwrap().len() <= MANY + 1);
        assert!(flights.of(Handle([0xff; 8]), Timestamp(1)).pauses(Timestamp(1)));
    }
}
