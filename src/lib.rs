//! Cloakroom: a session gateway for web apps nobody can change.

pub mod clock;
pub mod config;
pub mod http;
pub mod identity;
pub mod policy;
pub mod routing;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod timers;
