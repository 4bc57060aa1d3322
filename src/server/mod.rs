//! The client's side of the data path: sockets, TLS, request framing, time limits, drain.
//!
//! `app` binds ([`listener`]) and runs one [`worker`] per thread with a handler, a closure from a peer
//! and a request to a response; nothing here knows what the handler does. `guard` reads the bytes
//! before hyper, `io` joins both, `deadlines` ends those who take too long.

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
