//! Security events: one structured line for each turn in a session's life.
//!
//! Called by `manager`, counted for `admin`. SECURITY: a session is named by its handle; no id, password or token is ever at hand here.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::{Handle, Meta};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An anonymous session began.
    Created,
    /// Somebody signed in.
    SignedIn,
    /// The browser was given a new id.
    Rotated,
    /// A replaced id was used after its grace: two parties hold the session.
    TheftSuspected,
    /// The user, or the app, ended it.
    SignedOut,
    /// It was ended for its user: account gone, limit reached, password changed.
    Revoked,
    /// Its time was over.
    Expired,
    /// Something was not granted.
    Refused,
}

/// How often each of them happened, and how often data was too large to be kept.
#[derive(Debug, Default)]
pub struct Counters {
    events: [AtomicU64; Event::ALL.len()],
    data_too_large: AtomicU64,
    grace_hits: AtomicU64,
}

impl Counters {
    /// Each event with its number.
    pub fn events(&self) -> impl Iterator<Item = (Event, u64)> {
        Event::ALL.into_iter().zip(&self.events).map(|(event, count)| (event, count.load(Ordering::Relaxed)))
    }

    /// How often `session.max_data_size` was in the way of an app.
    #[must_use]
    pub fn too_large(&self) -> u64 {
        self.data_too_large.load(Ordering::Relaxed)
    }

    /// How often a replaced id was followed to its session.
    #[must_use]
    pub fn grace_hits(&self) -> u64 {
        self.grace_hits.load(Ordering::Relaxed)
    }

    pub(super) fn grace_hit(&self) {
        self.grace_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, event: Event) {
        // `ALL` lists the events in the order of their declaration.
        self.events[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn data_too_large(&self) {
        self.data_too_large.fetch_add(1, Ordering::Relaxed);
    }
}

impl Event {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::SignedIn,
        Self::Rotated,
        Self::TheftSuspected,
        Self::SignedOut,
        Self::Revoked,
        Self::Expired,
        Self::Refused,
    ];

    /// Its name in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::SignedIn => "signed_in",
            Self::Rotated => "rotated",
            Self::TheftSuspected => "theft_suspected",
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }

    /// Whether ending a session for this ends the one, too, into which a sign-in has turned it.
    ///
    /// SECURITY: who holds the id before a sign-in has no say in the session after it, except that they, too, may
    /// have asked for its end before they could know.
    pub(super) const fn reaches_beyond_a_sign_in(self) -> bool {
        !matches!(self, Self::TheftSuspected | Self::Expired)
    }

    /// Writes the line. `address`: who caused it; otherwise where the session came from.
    pub(super) fn log(self, meta: &Meta, address: Option<IpAddr>, reason: &'static str) {
        self.log_for(Some(meta.handle), meta.user.as_deref(), address.or(meta.address), reason);
    }

    /// The same without a session.
    pub(super) fn log_for(self, handle: Option<Handle>, user: Option<&str>, address: Option<IpAddr>, reason: &str) {
        let (event, address, handle) =
            (self.name(), address.map(tracing::field::display), handle.map(tracing::field::display));
        match self {
            Self::TheftSuspected | Self::Refused => {
                tracing::warn!(event, user, address, handle, reason, "session {event}");
            }
            _ => tracing::info!(event, user, address, handle, reason, "session {event}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_its_own_counter() {
        let counters = Counters::default();
        for (times, event) in Event::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counters.count(event));
        }
        let counted: Vec<_> = counters.events().collect();
        assert!(counted.iter().enumerate().all(|(times, (_, count))| *count == times as u64), "{counted:?}");
    }
}
