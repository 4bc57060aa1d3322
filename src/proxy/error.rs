//! Why a request got no response from the app, and whose fault that is.
//!
//! `reject` turns these into a status: 502 for an app that cannot be reached or talks nonsense, 504 for one
//! that takes too long, 4xx for a client that did not deliver its body. Nothing here is shown to a client.

use std::io;
use std::net::SocketAddr;

use crate::http::body::BodyError;

/// The request ended without a response head from the app.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host name of the upstream has no address. The deployer's or the resolver's fault.
    #[error("cannot resolve the upstream host `{host}`: {source}; check the name in routes[].upstream")]
    Resolve {
        /// As written in `upstream`.
        host: Box<str>,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the upstream takes connections; the app is probably down.
    #[error("cannot connect to the upstream at {address}: {source}; is the app running, and listening there?")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// `connect_timeout` ran out, name resolution included.
    #[error("no connection to the upstream `{authority}` within connect_timeout; is a firewall between us?")]
    ConnectTimeout {
        /// Host and port as written in `upstream`.
        authority: Box<str>,
    },
    /// The request was sent (or could not be written for as long) and `first_byte_timeout` ran out.
    #[error("no response from the upstream within first_byte_timeout; raise it if the app is that slow")]
    FirstByteTimeout,
    /// The app's response cannot be passed on safely; its connection is closed.
    #[error("bad response from the upstream: {0}")]
    BadResponse(&'static str),
    /// The connection ended before a whole response head was there.
    #[error("the upstream broke the connection before its response: {0}")]
    Broken(#[source] io::Error),
    /// The request body could not be read to its end. The client's fault.
    #[error(transparent)]
    Client(BodyError),
}
