//! A circuit breaker: a server that hangs must not make every request wait for its deadline, nor one now and then.
//!
//! `pool` asks before each operation and tells how it went; while it is open, `pool` tries in the requests' place. Does
//! no I/O and no logging.

use std::sync::atomic::{AtomicU32, Ordering};

/// So many operations in a row must fail. Then everybody is answered at once, until one has succeeded.
const FAILURES: u32 = 5;

#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
}

impl Breaker {
    /// Whether to answer at once that the server does not.
    pub fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES
    }

    /// Whether that has closed it.
    pub fn succeeded(&self) -> bool {
        self.failures.swap(0, Ordering::Relaxed) >= FAILURES
    }

    /// Whether that has opened it.
    pub fn failed(&self) -> bool {
        let counted = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
        counted == Ok(FAILURES - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let breaker = Breaker::default();
        for n in 0..100 {
            assert!(!breaker.failed() && !breaker.is_open());
            if n % 3 == 0 {
                assert!(!breaker.succeeded());
            }
        }
    }

    #[test]
    fn failures_in_a_row_open_it_once_and_one_success_closes_it() {
        let breaker = Breaker::default();
        for round in 0..3 {
            for _ in 1..FAILURES {
                assert!(!breaker.failed() && !breaker.is_open(), "round {round}");
            }
            assert!(breaker.failed() && breaker.is_open());
            // Of those that were under way.
            assert!(!breaker.failed() && breaker.is_open());
            assert!(breaker.succeeded() && !breaker.is_open());
        }
    }
}
