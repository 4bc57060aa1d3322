//! What `server` knows of the other end of one client connection, for everything above the socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::HeaderValue;

/// The far end of a client connection, settled once when it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    address: SocketAddr,
    /// PERF: the address as header text, written once per connection, copied into each request.
    address_text: HeaderValue,
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
        let text = address.ip().to_canonical().to_string();
        // The text of an address is always a header value; from shared bytes, so that copies are cheap.
        let address_text = HeaderValue::from_maybe_shared(bytes::Bytes::copy_from_slice(text.as_bytes()))
            .unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, address_text, tls: false, server_name: None, redirect_to_https: false }
    }

    /// Address of the socket, or what a PROXY header said. A Unix socket counts as loopback.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The IP address as header text, an IPv4-mapped one as IPv4.
    #[must_use]
    pub fn address_text(&self) -> &HeaderValue {
        &self.address_text
    }

    /// A connection over a Unix socket.
    #[must_use]
    pub fn unix() -> Self {
        Self::clear(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }
}
