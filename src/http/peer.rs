//! What `server` knows of the other end of one client connection, for everything above the socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The far end of a client connection, settled once when it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Address of the socket, or what a PROXY header said. A Unix socket counts as loopback.
    pub address: SocketAddr,
    /// Whether this connection is TLS.
    pub tls: bool,
    /// The name in the TLS handshake (SNI), lower case.
    pub server_name: Option<Box<str>>,
    /// Whether the listener only redirects to `https`.
    pub redirect_to_https: bool,
}

impl Peer {
    /// A clear connection from `address`.
    #[must_use]
    pub fn clear(address: SocketAddr) -> Self {
        Self { address, tls: false, server_name: None, redirect_to_https: false }
    }

    /// A connection over a Unix socket.
    #[must_use]
    pub fn unix() -> Self {
        Self::clear(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }
}
