//! How sign-ins by the form ended, counted for `admin`.

use std::sync::atomic::{AtomicU64, Ordering};

/// How one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody is signed in.
    Succeeded,
    /// Name and password do not fit.
    Failed,
    /// There were too many failures before: see `regulation`.
    Banned,
    /// Too many passwords were being checked.
    Busy,
}

/// How often each happened since the start.
#[derive(Debug, Default)]
pub struct Logins([AtomicU64; Outcome::ALL.len()]);

impl Logins {
    /// Each outcome with its number.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().zip(&self.0).map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Banned, Self::Busy];

    /// Its name in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Banned => "banned",
            Self::Busy => "busy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_own_counter() {
        let logins = Logins::default();
        for (times, outcome) in Outcome::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| logins.count(outcome));
        }
        assert!(logins.outcomes().enumerate().all(|(times, (_, count))| count == times as u64));
    }
}
