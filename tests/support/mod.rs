//! What tests share: the real gateway on a free port, an app that misbehaves on demand, a browser's cookie jar.
//!
//! Everything speaks over loopback sockets, blocking, with deadlines: a test that would hang fails.

mod app;
mod browser;
mod client;
pub mod frames;
mod gateway;
pub mod process;
mod tls;

pub use app::{App, Seen, ok};
pub use browser::{Browser, field};
pub use client::{Client, Response};
pub use gateway::{PASSWORD, TestGateway, hash, user};
pub use tls::{HOST, TlsGateway};
