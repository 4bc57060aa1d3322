//! When a session ends: pure functions of its times, the policy and `now`. One engine for every store.
//!
//! Decided by our clock alone, never by the cookie. A clock that jumps back makes sessions younger, not
//! older: nothing ends because of it, and what has ended was deleted.

use std::time::Duration;

use super::changes::Expiry;
use super::record::{Outline, Record};
use crate::clock::Timestamp;
use crate::config::schema;

const DAY: Duration = Duration::from_secs(86_400);

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    idle: Option<Duration>,
    absolute: Duration,
    remember_me: Option<Duration>,
    touch_interval: Duration,
    rotate_every: Option<Duration>,
    rotation_grace: Duration,
}

/// What decides about one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From here the absolute timeout counts.
    pub since: Timestamp,
    /// The last request that counted as activity.
    pub last_seen: Timestamp,
    /// The user asked to be remembered.
    pub remember: bool,
    /// What the app decided.
    pub expiry: Expiry,
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

impl Times {
    /// Those of a session whose id is not at hand.
    #[must_use]
    pub fn of_outline(outline: &Outline, last_seen: Timestamp) -> Self {
        let Outline { since, remember, expiry, .. } = *outline;
        Self { since, last_seen, remember, expiry }
    }

    /// Those of a record that was last used at `last_seen`.
    #[must_use]
    pub fn of(record: &Record, last_seen: Timestamp) -> Self {
        Self { since: record.since, last_seen, remember: record.remember, expiry: record.expiry }
    }
}

impl Policy {
    /// From the configuration.
    #[must_use]
    pub fn from_config(session: &schema::Session) -> Self {
        Self {
            idle: session.idle_timeout.map(schema::Duration::get),
            absolute: session.absolute_timeout.get(),
            remember_me: session.remember_me.map(schema::Duration::get),
            touch_interval: session.touch_interval.get(),
            rotate_every: session.rotate_every.map(schema::Duration::get),
            rotation_grace: session.rotation_grace.get(),
        }
    }

    /// What is left at `now`.
    ///
    /// # Errors
    /// [`Expired`] when nothing is.
    pub fn judge(&self, times: Times, now: Timestamp) -> Result<Remaining, Expired> {
        let left = |limit: Duration, from| limit.checked_sub(now.since(from)).filter(|left| !left.is_zero());
        let mut absolute = left(self.absolute(times), times.since).ok_or(Expired::Absolute)?;
        if let Expiry::At(end) = times.expiry {
            absolute = absolute.min(end.since(now));
            if absolute.is_zero() {
                return Err(Expired::Absolute);
            }
        }
        let idle = self.idle(times).map(|limit| left(limit, times.last_seen).ok_or(Expired::Idle)).transpose()?;
        Ok(Remaining { idle, absolute })
    }

    /// The moment after which a sweep may delete the session unread.
    #[must_use]
    pub fn deadline(&self, times: Times) -> Timestamp {
        let mut end = times.since.plus(self.absolute(times));
        if let Expiry::At(at) = times.expiry {
            end = end.min(at);
        }
        self.idle(times).map_or(end, |idle| end.min(times.last_seen.plus(idle)))
    }

    /// Whether "last seen" is old enough to be written again.
    #[must_use]
    pub fn touch_is_due(&self, times: Times, now: Timestamp) -> bool {
        // A touch that came later than the idle timeout would end sessions in use.
        let interval = self.idle(times).map_or(self.touch_interval, |idle| self.touch_interval.min(idle / 4));
        now > times.last_seen && now.since(times.last_seen) >= interval
    }

    /// Whether the id, given out at `issued`, is old enough to be replaced.
    #[must_use]
    pub fn rotation_is_due(&self, issued: Timestamp, now: Timestamp) -> bool {
        self.rotate_every.is_some_and(|every| now.since(issued) >= every)
    }

    /// Whether a replaced id still works when its successor was first used at `used`.
    #[must_use]
    pub fn is_in_grace(&self, used: Timestamp, now: Timestamp) -> bool {
        now.since(used) < self.rotation_grace
    }

    /// Until when the use of a replaced id is known as theft; later it is an id like any other that nobody has.
    ///
    /// So long that a thief who waits is outwaited, and short enough that a session in constant use has a handful
    /// of replaced ids, not hundreds.
    #[must_use]
    pub fn end_of_watch(&self, now: Timestamp) -> Timestamp {
        let watch = self.rotate_every.unwrap_or(DAY).saturating_mul(4).max(self.rotation_grace.saturating_mul(2));
        now.plus(watch.min(self.absolute))
    }

    /// Whether users may ask to be remembered.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.remember_me.is_some()
    }

    /// The absolute timeout; an app may shorten it, not lengthen it.
    fn absolute(&self, times: Times) -> Duration {
        self.remember_me.filter(|_| times.remember).unwrap_or(self.absolute)
    }

    /// The idle timeout. None for those who asked to be remembered, and where the app has named the moment.
    fn idle(&self, times: Times) -> Option<Duration> {
        match times.expiry {
            Expiry::Sliding(idle) => Some(idle),
            Expiry::At(_) => None,
            Expiry::Policy | Expiry::Browser if times.remember => None,
            Expiry::Policy | Expiry::Browser => self.idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;

    fn policy(idle: Option<u64>, absolute: u64) -> Policy {
        let mut policy = Policy::from_config(&schema::Session::default());
        policy.idle = idle.map(Duration::from_millis);
        policy.absolute = Duration::from_millis(absolute);
        policy
    }

    fn times(since: u64, last_seen: u64) -> Times {
        Times { since: Timestamp(since), last_seen: Timestamp(last_seen), remember: false, expiry: Expiry::Policy }
    }

    fn judge(policy: Policy, since: u64, last_seen: u64, now: u64) -> Result<Remaining, Expired> {
        policy.judge(times(since, last_seen), Timestamp(now))
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
        assert!(policy.touch_is_due(times(0, 0), Timestamp(2000)));
        assert!(!policy.touch_is_due(times(0, 0), Timestamp(1999)));
    }

    #[test]
    fn an_app_may_shorten_a_session_and_not_lengthen_it() {
        let policy = policy(Some(HOUR), 10 * HOUR);
        let own = |expiry, seen, now| policy.judge(Times { expiry, ..times(0, seen) }, Timestamp(now));
        let sliding = |seconds| Expiry::Sliding(Duration::from_secs(seconds));
        assert_eq!(own(sliding(10), 5000, 15_000), Err(Expired::Idle));
        assert!(own(sliding(10), 5000, 14_999).is_ok());
        assert!(own(sliding(7200), 0, 2 * HOUR - 1).is_ok(), "a longer idle time within the absolute one");
        assert_eq!(own(sliding(1_000_000), 9 * HOUR, 10 * HOUR), Err(Expired::Absolute));
        assert!(own(Expiry::At(Timestamp(5 * HOUR)), 0, 5 * HOUR - 1).is_ok(), "used or not");
        assert_eq!(own(Expiry::At(Timestamp(5 * HOUR)), 5 * HOUR, 5 * HOUR), Err(Expired::Absolute));
        assert_eq!(own(Expiry::At(Timestamp(50 * HOUR)), 0, 10 * HOUR), Err(Expired::Absolute));
        assert_eq!(own(Expiry::Browser, 0, HOUR), Err(Expired::Idle), "the row lives by the policy");
    }

    #[test]
    fn who_is_remembered_may_stay_away_until_the_longer_absolute_timeout() {
        let mut policy = policy(Some(HOUR), 10 * HOUR);
        policy.remember_me = Some(Duration::from_millis(100 * HOUR));
        let remembered = Times { remember: true, ..times(0, 0) };
        assert!(policy.judge(remembered, Timestamp(100 * HOUR - 1)).is_ok());
        assert_eq!(policy.judge(remembered, Timestamp(100 * HOUR)), Err(Expired::Absolute));
    }

    fn expiries() -> impl Strategy<Value = Expiry> {
        prop_oneof![
            Just(Expiry::Policy),
            Just(Expiry::Browser),
            (1..HOUR).prop_map(|ms| Expiry::Sliding(Duration::from_millis(ms))),
            (0..4 * HOUR).prop_map(|ms| Expiry::At(Timestamp(ms))),
        ]
    }

    proptest! {
        #[test]
        fn a_session_that_lives_has_not_reached_its_deadline(
            idle in 1..HOUR, absolute in 1..HOUR, since in 0..HOUR, seen in 0..HOUR, now in 0..3 * HOUR,
            remember: bool, own in expiries(),
        ) {
            let mut policy = policy(Some(idle), absolute);
            policy.remember_me = Some(Duration::from_millis(2 * absolute));
            let times = Times { remember, expiry: own, ..times(since, since + seen) };
            let now = Timestamp(since + seen + now);
            prop_assert_eq!(policy.judge(times, now).is_ok(), now < policy.deadline(times));
        }
    }
}
