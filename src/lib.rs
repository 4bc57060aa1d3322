//! Cloakroom: a session gateway for web apps nobody can change.

pub mod clock;
pub mod config;
pub mod http;
pub mod proxy;
pub mod timers;
