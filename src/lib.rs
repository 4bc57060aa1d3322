//! Cloakroom: a session gateway for web apps nobody can change.

pub mod auth;
pub mod clock;
pub mod config;
pub mod http;
pub mod pages;
pub mod timers;
