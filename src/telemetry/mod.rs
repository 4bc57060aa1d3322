//! What operators see: the log and the access log.

pub mod access;
pub mod lasting;
pub mod log;
pub mod traffic;
