//! Tests of the whole gateway over real sockets: `support` starts production code on port 0.
//!
//! One binary, so that it links once. Each module says in its first lines what belongs in it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "layers.rs"]
mod layers;

mod support;

/// Who may pass a route, and what its app is told of the user.
mod access;
/// What apps were seen to do: cookies, framing, sockets and sign-outs as nobody would invent them.
mod apps;
/// What lies in stores that outlive the gateway.
mod at_rest;
/// Sessions that lie in the browser's cookies.
mod cookie_store;
/// The user is signed on to apps that ask for Digest.
mod digest;
/// Sessions of a real Django, taken over.
mod django_import;
/// What Django's own tests assert of its sessions.
mod django_semantics;
/// HTTP/2 requests on their way down to HTTP/1.1, and the answers back up.
mod downgrade;
/// The end of the process: what is open may finish, what is new is refused.
mod drain;
/// Headers about the client and the connection: forwarding, hop-by-hop, expectations.
mod forwarding;
/// How requests are delimited on HTTP/1.1: what is refused before any app hears of it.
mod framing;
/// HTTP/2 in front: malformed fields and floods, frame by frame.
mod http2;
/// Headers that say who the user is: no client can send one, in any spelling.
mod identity_headers;
/// Who a session belongs to, and how that changes: by the form, by the app, by the users file.
mod identity_switches;
/// What stays open, and ends with the session.
mod lasting;
/// From one store to another.
mod moving;
/// An app's own sign-in, from which the gateway learns who somebody is.
mod observe;
/// Ways of signing people in that were seen to differ.
mod odd_sign_ins;
/// What operators ask of the running gateway.
mod operators;
/// The session store does not answer.
mod outage;
/// The gateway's own pages: what they say, their headers, and that nothing under the prefix is forwarded.
mod own_pages;
/// Forms that meet the end of the session.
mod park;
/// Host, target and path: one reading for routing, policy and the app.
mod paths;
/// What apps say of their own name and place, and paths as a mounted app knows them.
mod places;
/// The program as an operator runs it: commands, exit codes, messages.
mod process;
/// Guessing passwords is slowed down, per account and per address.
mod regulation;
/// The configuration changes while the gateway runs.
mod reload;
/// What apps answer, hostile and broken ones too, and what of it a client gets to see.
mod responses;
/// Where the browser goes after sign-in and sign-out.
mod return_to;
/// A new id for a living session: parallel requests, lost responses, grace and theft.
mod rotation;
/// What no log may hold.
mod secrecy;
/// One line in the log for each turn in a session's life.
mod security_events;
/// The session cookie: its attributes, its names, and how often it is set.
mod session_cookie;
/// When sessions end: the policy's times, the app's, and the clock's jumps.
mod session_expiry;
/// What an app is told of a session by header, and what it may do to it.
mod session_headers;
/// How many sessions there may be, and what a flood of ids does.
mod session_limits;
/// Rules: what is done to the session of an app that knows nothing of it.
mod session_rules;
/// Session cookies and session life as a browser sees them.
mod sessions;
/// The configurations under `config/` are what they say they are.
mod shipped_files;
/// The sign-in page, what it accepts and what it gives away.
mod sign_in;
/// The user is signed on to apps that have a login of their own.
mod sign_on;
/// Signing out.
mod sign_out;
/// Bodies on their way: streaming, back-pressure, limits, trailers, aborts.
mod streaming;
/// Somebody signs in to an app, looked on, and what is printed makes a gateway.
mod survey;
/// Clients and apps that take too long.
mod timeouts;
/// The gateway's own TLS.
mod tls;
/// Several gateways on one store.
mod two_gateways;
/// The users file: what its changes do to those who are signed in.
mod users_file;
/// An app's cookies stay with the session, and the browser holds ours alone.
mod vault;
/// WebSockets: the handshake, what passes before and after it, and other upgrades.
mod websockets;
