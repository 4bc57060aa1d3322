//! What `server` knows of the other end of one client connection, for everything above the socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::client_addr::{X_FORWARDED_FOR, X_REAL_IP};
use super::lines::HeaderLines;

/// The far end of a client connection, settled once when it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    address: SocketAddr,
    /// PERF: written once per connection, copied into each request.
    address_lines: HeaderLines,
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
        let mut address_lines = HeaderLines::default();
        let text = address.ip().to_canonical().to_string();
        address_lines.push_text(&X_FORWARDED_FOR, &text);
        address_lines.push_text(&X_REAL_IP, &text);
        Self { address, address_lines, tls: false, server_name: None, redirect_to_https: false }
    }

    /// Address of the socket, or what a PROXY header said. A Unix socket counts as loopback.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `X-Forwarded-For` and `X-Real-IP` for a request that came straight from here; an IPv4-mapped address as IPv4.
    #[must_use]
    pub fn address_lines(&self) -> &HeaderLines {
        &self.address_lines
    }

    /// A connection over a Unix socket.
    #[must_use]
    pub fn unix() -> Self {
        Self::clear(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }
}
