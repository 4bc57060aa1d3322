//! When a session ends: pure functions of its times, the policy and `now`. One engine for every store.
//!
//! Decided by our clock alone, never by the cookie. A clock that jumps back makes sessions younger, not
//! older: nothing ends because of it, and what has ended was deleted.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::schema;

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    idle: Option<Duration>,
    absolute: Duration,
    touch_interval: Duration,
}

/// The times of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From here the absolute timeout counts.
    pub since: Timestamp,
    /// The last request that counted as activity.
    pub last_seen: Timestamp,
}

/// What is left of a session that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// Until the idle timeout; `None` when there is none.
    pub idle: Option<Duration>,
    /// Until the absolute timeout.
    pub absolute: Duration,
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Nobody used it for `idle_timeout`.
    Idle,
    /// It lived for `absolute_timeout`.
    Absolute,
}

impl Policy {
    /// From the configuration.
    #[must_use]
    pub fn from_config(session: &schema::Session) -> Self {
        let idle = session.idle_timeout.map(schema::Duration::get);
        // A touch that came later than the idle timeout would end sessions in use.
        let longest_touch = idle.map_or(Duration::MAX, |idle| idle / 4);
        Self {
            idle,
            absolute: session.absolute_timeout.get(),
            touch_interval: session.touch_interval.get().min(longest_touch),
        }
    }

    /// What is left at `now`.
    ///
    /// # Errors
    /// [`Expired`] when nothing is.
    pub fn judge(&self, times: Times, now: Timestamp) -> Result<Remaining, Expired> {
        let left = |limit: Duration, from: Timestamp| limit.checked_sub(now.since(from)).filter(|left| !left.is_zero());
        Ok(Remaining {
            absolute: left(self.absolute, times.since).ok_or(Expired::Absolute)?,
            idle: self.idle.map(|limit| left(limit, times.last_seen).ok_or(Expired::Idle)).transpose()?,
        })
    }

    /// The moment after which a sweep may delete the session unread.
    #[must_use]
    pub fn deadline(&self, times: Times) -> Timestamp {
        let absolute = times.since.plus(self.absolute);
        self.idle.map_or(absolute, |idle| absolute.min(times.last_seen.plus(idle)))
    }

    /// Whether "last seen" is old enough to be written again.
    #[must_use]
    pub fn touch_is_due(&self, last_seen: Timestamp, now: Timestamp) -> bool {
        now.since(last_seen) >= self.touch_interval && now > last_seen
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;

    fn policy(idle: Option<u64>, absolute: u64) -> Policy {
        let idle = idle.map(Duration::from_millis);
        Policy { idle, absolute: Duration::from_millis(absolute), touch_interval: Duration::from_secs(60) }
    }

    fn judge(policy: Policy, since: u64, last_seen: u64, now: u64) -> Result<Remaining, Expired> {
        policy.judge(Times { since: Timestamp(since), last_seen: Timestamp(last_seen) }, Timestamp(now))
    }

    #[test]
    fn a_session_ends_at_the_millisecond_of_its_idle_timeout() {
        let policy = policy(Some(HOUR), 10 * HOUR);
        assert!(judge(policy, 0, HOUR, 2 * HOUR - 1).is_ok());
        assert_eq!(judge(policy, 0, HOUR, 2 * HOUR), Err(Expired::Idle));
    }

    #[test]
    fn activity_cannot_outlive_the_absolute_timeout() {
        let policy = policy(Some(HOUR), 10 * HOUR);
        assert!(judge(policy, 0, 10 * HOUR - 1, 10 * HOUR - 1).is_ok());
        assert_eq!(judge(policy, 0, 10 * HOUR - 1, 10 * HOUR), Err(Expired::Absolute));
    }

    #[test]
    fn without_an_idle_timeout_only_the_absolute_one_counts() {
        assert_eq!(judge(policy(None, 10 * HOUR), 0, 0, 9 * HOUR).unwrap().idle, None);
    }

    #[test]
    fn a_clock_set_back_ends_nothing() {
        assert!(judge(policy(Some(HOUR), 10 * HOUR), 5 * HOUR, 5 * HOUR, 0).is_ok());
    }

    #[test]
    fn touches_keep_up_with_a_short_idle_timeout() {
        let session =
            schema::Session { idle_timeout: Some(schema::Duration::seconds(8)), ..schema::Session::default() };
        let policy = Policy::from_config(&session);
        assert!(policy.touch_is_due(Timestamp(0), Timestamp(2000)));
        assert!(!policy.touch_is_due(Timestamp(0), Timestamp(1999)));
    }

    proptest! {
        #[test]
        fn a_session_that_lives_has_not_reached_its_deadline(idle in 1..HOUR, absolute in 1..HOUR, since in 0..HOUR, seen in 0..HOUR, now in 0..3 * HOUR) {
            let policy = policy(Some(idle), absolute);
            let times = Times { since: Timestamp(since), last_seen: Timestamp(since + seen) };
            let now = Timestamp(since + seen + now);
            prop_assert_eq!(policy.judge(times, now).is_ok(), now < policy.deadline(times));
        }
    }
}
