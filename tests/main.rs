//! Tests of the whole gateway over real sockets: `support` starts production code on port 0.
//!
//! One binary, so that it links once. Each module says in its first lines what belongs in it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "layers.rs"]
mod layers;

mod support;

/// How requests are delimited on HTTP/1.1: what is refused before any app hears of it.
mod framing;

/// What apps answer, hostile and broken ones too, and what of it a client gets to see.
mod responses;

/// HTTP/2 in front: malformed fields and floods, frame by frame.
mod http2;

/// HTTP/2 requests on their way down to HTTP/1.1, and the answers back up.
mod downgrade;

/// Host, target and path: one reading for routing, policy and the app.
mod paths;

/// Headers that say who the user is: no client can send one, in any spelling.
mod identity_headers;

/// Headers about the client and the connection: forwarding, hop-by-hop, expectations.
mod forwarding;

/// Bodies on their way: streaming, back-pressure, limits, trailers, aborts.
mod streaming;

/// WebSockets: the handshake, what passes before and after it, and other upgrades.
mod websockets;

/// Sign-in, sign-out, cookies and session life as a browser sees them.
mod sessions;
