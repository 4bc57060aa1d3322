//! The client's side of the data path: sockets, TLS, request framing, time limits, drain.
//!
//! `app` binds ([`listener`]) and runs one [`worker`] per thread with a closure that makes, from a peer, the
//! handler of one connection, a closure from a request to a response; nothing here knows what it does. `guard`
//! reads the bytes before hyper, `io` joins both, `deadlines` ends those who take too long.

mod answer;
mod connection;
mod deadlines;
pub mod guard;
mod http1;
mod http2;
mod io;
mod limit;
pub mod listener;
pub mod proxy_protocol;
pub mod shutdown;
mod state;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod worker;

pub use limit::{Connections, Permit};
pub use listener::{BindError, Bound, WorkerListener, bind};
pub use shutdown::{Shutdown, ShutdownSignal};
pub use tls::{Tls, TlsError};
pub use worker::{Worker, run};
