//! What tests share: the real gateway on a free port, an app that misbehaves on demand, a browser's cookie jar.
//!
//! Everything speaks over loopback sockets, blocking, with deadlines: a test that would hang fails.

mod app;
mod browser;
mod client;
pub mod frames;
mod gateway;
pub mod process;
pub mod socket;
mod tls;

pub use app::{App, PAGE, Seen, obey, ok};
pub use browser::{Browser, field, forgets, issued};
pub use client::{Client, Response};
pub use gateway::{PASSWORD, TestGateway, hash, user};
pub use tls::{HOST, TlsGateway};

/// Runs `act` so many times at once, each on a thread of its own; the answers in their order.
pub fn at_once<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let run = |number| {
            let (start, act) = (&start, &act);
            scope.spawn(move || {
                start.wait();
                act(number)
            })
        };
        let threads: Vec<_> = (0..count).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Asks again and again, for what another thread does in its own time.
pub fn until(mut reached: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !reached() {
        assert!(start.elapsed() < std::time::Duration::from_secs(15), "it did not happen");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}
