//! What faults do to a store that survives: `cargo test --test faults`.
//!
//! - `disk_kills`: `kill -9` at random moments, 50 of them, or as many as `CLOAKROOM_KILLS` says.
//! - `disk_failures`: a full disk and a failing one, made by `strace`.
//! - `small_disk`: the gateway on a small file system that is really full.
//!
//! A store dies in a process of its own: this program, which runs the "test" of that role from `child`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod child;
mod disk_failures;
mod disk_kills;
mod small_disk;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of `gateway` use the rest")]
mod support;
