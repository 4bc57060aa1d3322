//! Tests of the whole gateway over real sockets: `support` starts production code on port 0.
//!
//! One binary, so that it links once. Each module says in its first lines what belongs in it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "layers.rs"]
mod layers;

mod support;

/// Who may pass a route, and what its app is told of the user.
mod access;
/// The end of the process: what is open may finish, what is new is refused.
mod drain;
/// The gateway's own pages: what they say, their headers, and that nothing under the prefix is forwarded.
mod own_pages;
/// The program as an operator runs it: commands, exit codes, messages.
mod process;
/// Guessing passwords is slowed down, per account and per address.
mod regulation;
/// Where the browser goes after sign-in and sign-out.
mod return_to;
/// What no log may hold.
mod secrecy;
/// Session cookies and session life as a browser sees them.
mod sessions;
/// The configurations under `config/` are what they say they are.
mod shipped_files;
/// The sign-in page, what it accepts and what it gives away.
mod sign_in;
/// Signing out.
mod sign_out;
/// Clients and apps that take too long.
mod timeouts;
/// The gateway's own TLS.
mod tls;
/// The users file: what its changes do to those who are signed in.
mod users_file;
