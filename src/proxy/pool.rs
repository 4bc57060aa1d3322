//! Idle upstream connections of one worker: last in, first out, one pool per upstream.
//!
//! `forward` takes a connection out as a [`Lease`]; `body` gives it back at the very end of a response.
//! Whatever is not given back is closed at once, with everything still on its way.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::Upstream;
use super::connect::Connection;
use super::wire::Wire;
use crate::http::body::RequestBody;
use crate::timers::Timers;

/// Idle connections kept per upstream and worker.
const MAX_IDLE: usize = 64;
const SWEEP: Duration = Duration::from_secs(1);

/// All pools of one worker. Cheap to clone; stays on its thread.
#[derive(Debug)]
pub struct Pools<B = RequestBody>(Rc<Inner<B>>);

#[derive(Debug)]
struct Inner<B> {
    timers: Timers,
    pools: RefCell<Vec<Rc<Pool<B>>>>,
    /// Sweeps so far: a clock of whole seconds that costs nothing to read.
    now: Rc<Cell<u32>>,
}

impl<B> Clone for Pools<B> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<B> Pools<B> {
    /// No connections yet. Spawn [`run`](Self::run) once per worker.
    #[must_use]
    pub fn new(timers: Timers) -> Self {
        Self(Rc::new(Inner { timers, pools: RefCell::default(), now: Rc::default() }))
    }

    /// Runs for ever: once a second, closes connections that have been idle for too long.
    pub async fn run(self) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.sweep();
        }
    }

    /// The pool of `upstream`, made at its first use.
    #[must_use]
    pub fn pool(&self, upstream: &Upstream) -> Rc<Pool<B>> {
        let mut pools = self.0.pools.borrow_mut();
        while pools.len() <= upstream.id {
            pools.push(Rc::new(Pool { idle: RefCell::default(), now: Rc::clone(&self.0.now) }));
        }
        Rc::clone(&pools[upstream.id])
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.0.timers
    }

    pub(super) fn sweep(&self) {
        self.0.now.set(self.0.now.get().wrapping_add(1));
        self.0.pools.borrow().iter().for_each(|pool| pool.sweep());
    }
}

/// The idle connections to one upstream.
#[derive(Debug)]
pub struct Pool<B = RequestBody> {
    idle: RefCell<Vec<Idle<B>>>,
    now: Rc<Cell<u32>>,
}

#[derive(Debug)]
struct Idle<B> {
    connection: Connection<B>,
    since: u32,
    keep_seconds: u32,
}

impl<B> Pool<B> {
    /// How many connections wait here.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.idle.borrow().len()
    }

    /// The connection used last, if one is alive.
    pub(super) fn checkout(self: &Rc<Self>) -> Option<Lease<B>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            if !connection.sender.is_closed() {
                let mut lease = Lease::new(connection, Some(self));
                lease.reused = true;
                return Some(lease);
            }
        }
        None
    }

    /// A new connection that may come back here.
    pub(super) fn lease(self: &Rc<Self>, connection: Connection<B>) -> Lease<B> {
        Lease::new(connection, Some(self))
    }

    fn put(&self, connection: Connection<B>, keep_seconds: u32) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(Idle { connection, since: self.now.get(), keep_seconds });
        }
    }

    fn sweep(&self) {
        let now = self.now.get();
        // The age in sweeps is rounded up, so nothing outlives its time by waiting for the next one.
        self.idle
            .borrow_mut()
            .retain(|idle| !idle.connection.sender.is_closed() && now.wrapping_sub(idle.since) < idle.keep_seconds);
    }
}

/// One connection in use. Dropping it closes the connection: a client that goes away, a response that
/// is not read to its end, an error.
#[derive(Debug)]
pub(super) struct Lease<B> {
    /// Some until the lease is given up.
    connection: Option<Connection<B>>,
    pool: Option<Rc<Pool<B>>>,
    keep_seconds: u32,
    reused: bool,
}

impl<B> Lease<B> {
    fn new(connection: Connection<B>, pool: Option<&Rc<Pool<B>>>) -> Self {
        Self { connection: Some(connection), pool: pool.cloned(), keep_seconds: 0, reused: false }
    }

    /// A connection that serves one request and never goes to a pool.
    pub(super) fn single(connection: Connection<B>) -> Self {
        Self::new(connection, None)
    }

    pub(super) fn connection(&mut self) -> &mut Connection<B> {
        #[expect(clippy::expect_used, reason = "only `release` and `detach` take it, and both consume the lease")]
        self.connection.as_mut().expect("a lease holds its connection")
    }

    pub(super) fn wire(&mut self) -> Rc<Wire> {
        Rc::clone(&self.connection().wire)
    }

    /// Whether it has served before, and so may have died meanwhile.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// How long the connection may idle afterwards; 0 = close it.
    pub(super) fn keep_for(&mut self, seconds: u32) {
        self.keep_seconds = seconds;
    }

    /// The response is at its end: back into the pool, if nothing is left over on the connection.
    pub(super) fn release(mut self) {
        let Some(connection) = &self.connection else { return };
        // SECURITY: a request body not read to its end, or bytes after the response, would be taken
        // for the next request or response. hyper is ready only once both sides are at rest.
        let reusable = self.keep_seconds > 0 && connection.wire.is_clean() && connection.sender.is_ready();
        if let Some(pool) = self.pool.take().filter(|_| reusable)
            && let Some(connection) = self.connection.take()
        {
            pool.put(connection, self.keep_seconds);
        }
    }

    /// The connection has become a tunnel and is no longer ours to close.
    pub(super) fn detach(mut self) {
        self.connection = None;
    }
}

impl<B> Drop for Lease<B> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Not left to hyper: it would first wait until the app has taken all that is written.
            connection.driver.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forward;
    use super::super::scripted::{App, Step, TestBody, anybody, get, ok, run, send, text};
    use super::*;

    /// Fetches through the gateway's side and leaves the connection as the response left it.
    async fn fetch(pools: &Pools<TestBody>, upstream: &Upstream) -> String {
        text(forward(anybody(), pools, upstream, get()).await.unwrap()).await.unwrap()
    }

    #[test]
    fn an_idle_connection_is_closed_a_second_before_the_app_would_do_it() {
        run(|pools| async move {
            let answer = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nhi";
            let app = App::start([vec![Step::Request, send(answer), Step::Closed]]).await;
            let upstream = app.patient();
            fetch(&pools, &upstream).await;
            (0..3).for_each(|_| pools.sweep());
            assert_eq!(pools.pool(&upstream).idle_count(), 1);
            pools.sweep();
            assert_eq!(pools.pool(&upstream).idle_count(), 0);
            assert_eq!(app.saw(2).await[1], "1: closed");
        });
    }

    #[test]
    fn a_connection_the_app_closed_is_swept_and_not_used_again() {
        run(|pools| async move {
            let first = vec![Step::Request, ok("1"), Step::Bytes(0)];
            let app = App::start([first, vec![Step::Request, ok("2"), Step::Closed]]).await;
            let upstream = app.patient();
            fetch(&pools, &upstream).await;
            app.saw(2).await;
            assert_eq!(fetch(&pools, &upstream).await, "2");
            pools.sweep();
            assert_eq!(pools.pool(&upstream).idle_count(), 1);
        });
    }

    #[test]
    fn the_connection_used_last_is_used_next() {
        run(|pools| async move {
            let held = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
            let first = vec![Step::Request, send(held), send("1"), Step::Closed];
            let second = vec![Step::Request, send(held), send("2"), Step::Request, ok("again on 2"), Step::Closed];
            let app = App::start([first, second]).await;
            let upstream = app.patient();
            let one = forward(anybody(), &pools, &upstream, get()).await.unwrap();
            let two = forward(anybody(), &pools, &upstream, get()).await.unwrap();
            assert_eq!((text(one).await.unwrap(), text(two).await.unwrap()), ("1".into(), "2".into()));
            assert_eq!(pools.pool(&upstream).idle_count(), 2);
            assert_eq!(fetch(&pools, &upstream).await, "again on 2");
        });
    }

    #[test]
    fn no_more_than_the_cap_are_kept() {
        run(|pools| async move {
            let app = App::start(vec![vec![Step::Request, ok("x"), Step::Closed]; MAX_IDLE + 1]).await;
            let upstream = app.patient();
            let mut open = Vec::new();
            for _ in 0..=MAX_IDLE {
                open.push(forward(anybody(), &pools, &upstream, get()).await.unwrap());
            }
            for response in open {
                text(response).await.unwrap();
            }
            assert_eq!(pools.pool(&upstream).idle_count(), MAX_IDLE);
        });
    }
}
