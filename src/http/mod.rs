//! HTTP vocabulary without policy: what a request says, not what is done about it.

pub mod body;
pub mod peer;
