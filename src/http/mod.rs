//! HTTP vocabulary without policy: what a message says, not what is done about it.

pub mod body;
pub mod client_addr;
pub mod cookies;
pub mod headers;
pub mod lines;
pub mod path_pattern;
pub mod peer;
pub mod respond;
pub mod target;
