//! The browser's session, from its cookie to its end.
//!
//! A request [`Manager::open`]s its session (perhaps an empty one), records changes on it, and
//! [`Manager::commit`]s them before the response head leaves. Ids live in cookies only; everything else
//! names a session by its handle. The store is asked by the manager alone.

mod alias;
mod changes;
mod chunks;
mod claims;
mod cookie;
mod credentials;
mod custody;
mod data;
mod denials;
pub mod django;
mod events;
mod expiry;
mod guesses;
pub mod headers;
mod id;
mod keyring;
mod manager;
mod parked;
mod recall;
mod record;
mod room;
pub mod rules;
mod seal;
#[allow(clippy::module_inception, reason = "the module is named for the domain, the file for the type")]
mod session;
mod severed;
mod traveling;

pub use changes::{Change, CookieChanges, Expiry, Step};
pub use claims::{Claims, Flaw};
pub use credentials::{SealedCredentials, Typed};
pub use custody::VaultId;
pub use denials::Denials;
pub use events::Counters;
pub use id::{NoRandomness, random_bytes};
pub use keyring::{Keyring, KeyringError};
pub use manager::{
    AdoptError, Adoption, AtRest, Committed, Error, Foreign, Held, Listed, Listing, LookedUp, Manager, Parking, Visit,
};
pub use parked::{Errand, Form, MOST_TICKETS, State, Ticket, TicketChange};
pub use recall::Recall;
pub use session::Session;
