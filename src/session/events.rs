//! Security events: one structured line for each turn in a session's life.
//!
//! Called by `manager`. SECURITY: a session is named by its handle; no id, password or token is ever at hand here.

use std::net::IpAddr;

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

impl Event {
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
