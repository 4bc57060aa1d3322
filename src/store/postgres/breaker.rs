//! A circuit breaker: a server that hangs must not make every request wait for its deadline.
//!
//! `pool` asks before each operation and tells how it went. Takes `now`; does no I/O and no logging.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many operations in a row must fail.
const FAILURES: u32 = 5;

/// Then everybody is answered at once for so long, until one operation may try. Short: "back within a second".
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Refuses until then; `None` while all is well.
    until: Option<Instant>,
    /// One operation is trying.
    is_probing: bool,
}

/// What an operation's end meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Opened,
    Closed,
    None,
}

/// Leave to try; dropped without a word, it meant nothing.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Breaker {
    /// `None`: answer at once that the server does not.
    pub fn admit(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state();
        let is_probe = match state.until {
            None => false,
            Some(until) if now < until || state.is_probing => return None,
            Some(_) => true,
        };
        state.is_probing |= is_probe;
        Some(Pass { breaker: self, is_probe })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    pub fn succeeded(self) -> Turn {
        let mut state = self.breaker.state();
        state.failures = 0;
        if state.until.take().is_some() { Turn::Closed } else { Turn::None }
    }

    pub fn failed(self, now: Instant) -> Turn {
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return Turn::None;
        }
        if state.until.replace(now + PAUSE).is_none() { Turn::Opened } else { Turn::None }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.state().is_probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, now: Instant) -> Turn {
        breaker.admit(now).unwrap().failed(now)
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for n in 0..100 {
            assert_eq!(fail(&breaker, now), Turn::None);
            if n % 3 == 0 {
                assert_eq!(breaker.admit(now).unwrap().succeeded(), Turn::None);
            }
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_closes_it() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES {
            assert_eq!(fail(&breaker, now), Turn::None);
        }
        assert_eq!(fail(&breaker, now), Turn::Opened);
        assert!(breaker.admit(now).is_none());
        let later = now + PAUSE;
        let probe = breaker.admit(later).unwrap();
        assert!(breaker.admit(later).is_none(), "one at a time");
        assert_eq!(probe.failed(later), Turn::None);
        assert!(breaker.admit(later).is_none());
        assert_eq!(breaker.admit(later + PAUSE).unwrap().succeeded(), Turn::Closed);
        assert!(breaker.admit(later + PAUSE).is_some());
    }

    #[test]
    fn a_probe_that_vanishes_lets_the_next_one_try() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        while fail(&breaker, now) != Turn::Opened {}
        drop(breaker.admit(now + PAUSE).unwrap());
        assert!(breaker.admit(now + PAUSE).is_some());
    }
}
