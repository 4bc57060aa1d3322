//! Cloakroom: a session gateway for web apps nobody can change.

pub mod app;
pub mod auth;
pub mod clock;
pub mod config;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod pages;
pub mod pipeline;
pub mod policy;
pub mod proxy;
pub mod reject;
pub mod routing;
pub mod server;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod timers;
