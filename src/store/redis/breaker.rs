//! Answers at once while Redis hangs, so that a hanging server costs a few waiting requests and not all of them.
//! Asked before and told after every operation; the link closes it when there is a connection again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many operations in a row must have failed.
const FAILURES: u32 = 5;

/// While it is open, one operation is let through so often, to see.
const PROBE: Duration = Duration::from_millis(100);

/// Closed: everybody may try. Open: one now and then.
pub(super) struct Breaker {
    began: Instant,
    failures: AtomicU32,
    /// Milliseconds since `began`.
    next_probe: AtomicU64,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, failures: AtomicU32::new(0), next_probe: AtomicU64::new(0) }
    }

    /// Whether an operation may be tried.
    pub(super) fn admits(&self, now: Instant) -> bool {
        if self.failures.load(Ordering::Relaxed) < FAILURES {
            return true;
        }
        let now = self.millis(now);
        let due = self.next_probe.load(Ordering::Relaxed);
        let next = now + PROBE.as_millis() as u64;
        now >= due && self.next_probe.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Redis answered, whatever it said.
    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// It did not, in time.
    pub(super) fn failed(&self, now: Instant) {
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1)) == Ok(FAILURES - 1) {
            self.next_probe.store(self.millis(now) + PROBE.as_millis() as u64, Ordering::Relaxed);
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hanging() -> (Breaker, Instant) {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        for _ in 0..FAILURES {
            assert!(breaker.admits(now));
            breaker.failed(now);
        }
        (breaker, now)
    }

    #[test]
    fn after_some_failures_in_a_row_one_at_a_time_is_let_through() {
        let (breaker, now) = hanging();
        assert!(!breaker.admits(now) && !breaker.admits(now + PROBE / 2));
        assert!(breaker.admits(now + PROBE));
        assert!(!breaker.admits(now + PROBE));
        assert!(breaker.admits(now + PROBE * 2));
    }

    #[test]
    fn the_first_answer_closes_it() {
        let (breaker, now) = hanging();
        breaker.answered();
        assert!((0..100).all(|_| breaker.admits(now)));
    }

    #[test]
    fn failures_between_answers_do_not_add_up() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        for _ in 0..100 {
            breaker.failed(now);
            breaker.answered();
        }
        assert!(breaker.admits(now));
    }
}
