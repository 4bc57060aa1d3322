//! Sessions as Django keeps them (`contrib.sessions`): read, so that its users stay signed in behind the gateway.
//!
//! Called by `cloakroom import django` alone. `signing` is the outer layer, `json` what Python writes that JSON does
//! not know, `row` what a row means to us, `zone` when, `users` whom it signs in. Nothing here talks to a database or a store.
//! SECURITY: pickle is never read; nothing is believed or unpacked before its signature was checked.

mod json;
mod row;
mod signing;
mod users;
mod zone;

pub use row::{End, Login, Row, Settings, read};
pub use signing::{Keys, Signed};
pub use users::{Ended, User, Users};
pub use zone::{LocalTime, NoZone, Time, Zone};

/// Why a session of Django cannot be read. None of these texts holds anything of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Another key, another class of store, or somebody's forgery.
    #[error("signed with none of the keys, or by a session store of another class (--session-class)")]
    Signature,
    /// Neither of the two formats.
    #[error("not in a format of Django's")]
    Format,
    /// SECURITY: who reads a pickle runs what it says.
    #[error("written by PickleSerializer, which is never read as it can run anything: use JSONSerializer")]
    Pickle,
    /// More than a session can sensibly be.
    #[error("more than 8 MiB when unpacked")]
    Large,
    /// Signed, but something else.
    #[error("holds no JSON object")]
    Json,
    /// `_session_expiry` or `expire_date`.
    #[error("its expiry is no time")]
    Expiry,
    /// SECURITY: taken for UTC, it could live hours longer than in Django.
    #[error(
        "its end names no offset, and nothing shows that it is UTC: say --time-zone (TIME_ZONE of an app with USE_TZ = \
         False, else UTC), or --cookie-age if SESSION_COOKIE_AGE is set"
    )]
    Zone,
}
