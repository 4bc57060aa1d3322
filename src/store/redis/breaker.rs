//! Answers at once while Redis hangs, so that a hanging server holds up a few requests and not all of them.
//! Asked before and told after every operation. While it is open no request waits, not even one now and then: the
//! link tries in their place, and an answer closes it.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// So many operations in a row must have failed.
const FAILURES: u32 = 5;

/// Closed: everybody may try. Open: nobody but the link.
#[derive(Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    /// It has just been opened.
    opened: Notify,
}

impl Breaker {
    /// Whether an operation must not be tried.
    pub(super) fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES
    }

    /// Redis answered, whatever it said.
    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// It did not, in time.
    pub(super) fn failed(&self) {
        let counted = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
        if counted == Ok(FAILURES - 1) {
            self.opened.notify_one();
        }
    }

    /// Waits until it is open; for the link alone.
    pub(super) async fn opened(&self) {
        while !self.is_open() {
            self.opened.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn hanging() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(!breaker.is_open());
            breaker.failed();
        }
        breaker
    }

    #[test]
    fn after_some_failures_in_a_row_nobody_tries_until_there_is_an_answer() {
        let breaker = hanging();
        assert!((0..100).all(|_| breaker.is_open()));
        breaker.answered();
        assert!(!breaker.is_open());
    }

    #[test]
    fn failures_between_answers_do_not_add_up() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed();
            breaker.answered();
        }
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn the_link_hears_of_each_opening() {
        let breaker = hanging();
        for _ in 0..3 {
            breaker.opened().await;
            breaker.answered();
            assert!(timeout(Duration::from_secs(9), breaker.opened()).await.is_err());
            (0..FAILURES).for_each(|_| breaker.failed());
        }
    }
}
