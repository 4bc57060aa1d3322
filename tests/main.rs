//! Tests of the whole gateway over real sockets: `support` starts production code on port 0.
//!
//! One binary, so that it links once. Each module says in its first lines what belongs in it.

#[path = "layers.rs"]
mod layers;

mod support;

/// Sign-in, sign-out, cookies and session life as a browser sees them.
mod sessions;
