//! The upstream half of the data path: HTTP/1.1 in clear, with our own codec and pools of connections.
//!
//! `pipeline` calls [`forward()`] or [`forward_upgrade`] with a request that is already cleaned: hop-by-hop
//! headers gone, identity injected, origin-form target, `Host` set. Nothing here knows of sessions,
//! routes or users, and nothing here writes a page: every failure is an [`Error`] that says whose it is.

mod body;
mod chunked;
mod connect;
mod connection;
mod error;
mod exchange;
mod forward;
mod frames;
mod framing;
mod outgoing;
mod pool;
mod request;
mod response;
mod scan;
#[cfg(test)]
mod scripted;
mod tether;
mod trailers;
mod tunnel;
mod upgrade;
mod upstream;

pub use body::{Interrupted, UpstreamBody};
pub use error::Error;
pub use forward::forward;
pub use pool::{Pool, Pools};
pub use tether::{Cutter, Tether};
pub use upgrade::{BadHandshake, Handshake, Opening, forward_upgrade};
pub use upstream::{ConfigError, Upstream};
