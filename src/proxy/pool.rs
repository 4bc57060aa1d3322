//! Idle upstream connections of one worker: last in, first out, one pool per upstream.
//!
//! `forward` takes a connection out as a [`Lease`]; `body` gives it back at the very end of a response.
//! Whatever is not given back is closed at once, with everything still on its way.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::Upstream;
use super::connection::{Connection, ReadMemory};
use crate::timers::Timers;

/// Idle connections kept per upstream and worker.
const MAX_IDLE: usize = 64;
const SWEEP: Duration = Duration::from_secs(1);

/// All pools of one worker, for one generation of the upstreams. Cheap to clone; stays on its thread.
#[derive(Debug, Clone)]
pub struct Pools(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    timers: Timers,
    memory: ReadMemory,
    pools: RefCell<Vec<Option<Rc<Pool>>>>,
    upkeep: Rc<Upkeep>,
}

/// What outlives a generation.
#[derive(Debug, Default)]
struct Upkeep {
    /// Sweeps so far: a clock of whole seconds that costs nothing to read.
    now: Rc<Cell<u32>>,
    /// The pools of all generations.
    all: RefCell<Vec<Weak<Pool>>>,
}

impl Pools {
    /// No connections yet. Spawn [`run`](Self::run) once per worker.
    #[must_use]
    pub fn new(timers: Timers) -> Self {
        let (memory, pools, upkeep) = Default::default();
        Self(Rc::new(Inner { timers, memory, pools, upkeep }))
    }

    /// Those of the next generation, in which `upstreams` have the places 0, 1, 2 …: idle connections to where an
    /// upstream was before go on waiting, whatever its place. All others are closed, and none comes back.
    #[must_use]
    pub fn renewed<'a>(&self, upstreams: impl IntoIterator<Item = &'a Upstream>) -> Self {
        // Requests that are under way still look for theirs there.
        let mut before: Vec<_> = self.0.pools.borrow().iter().flatten().cloned().collect();
        // SECURITY: by where it leads, never by its place: that may be another app's by now.
        let next = |upstream: &Upstream| match before.iter().position(|pool| pool.leads_to(upstream)) {
            Some(place) => before.swap_remove(place),
            None => self.0.upkeep.pool(upstream),
        };
        let pools = upstreams.into_iter().map(next).map(Some).collect();
        before.iter().for_each(|pool| pool.retire());
        let Inner { timers, memory, upkeep, .. } = &*self.0;
        let (timers, memory, upkeep) = (timers.clone(), memory.clone(), Rc::clone(upkeep));
        Self(Rc::new(Inner { timers, memory, pools: RefCell::new(pools), upkeep }))
    }

    /// Runs for ever: once a second, closes connections that have been idle for too long.
    pub async fn run(self) {
        // A generation that nobody uses any more must not be kept by this.
        let upkeep = Rc::clone(&self.0.upkeep);
        drop(self);
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            upkeep.sweep();
        }
    }

    /// The pool of `upstream`, made at its first use.
    #[must_use]
    pub fn pool(&self, upstream: &Upstream) -> Rc<Pool> {
        let mut pools = self.0.pools.borrow_mut();
        if pools.len() <= upstream.id {
            pools.resize(upstream.id + 1, None);
        }
        Rc::clone(pools[upstream.id].get_or_insert_with(|| self.0.upkeep.pool(upstream)))
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.0.timers
    }

    pub(super) fn read_memory(&self) -> ReadMemory {
        self.0.memory.clone()
    }

    #[cfg(test)]
    pub(super) fn sweep(&self) {
        self.0.upkeep.sweep();
    }
}

impl Upkeep {
    fn pool(&self, upstream: &Upstream) -> Rc<Pool> {
        let target = upstream.target();
        let pool =
            Rc::new(Pool { target, idle: RefCell::default(), retired: Cell::default(), now: Rc::clone(&self.now) });
        self.all.borrow_mut().push(Rc::downgrade(&pool));
        pool
    }

    fn sweep(&self) {
        self.now.set(self.now.get().wrapping_add(1));
        self.all.borrow_mut().retain(|pool| pool.upgrade().inspect(|pool| pool.sweep()).is_some());
    }
}

/// The idle connections to one upstream.
#[derive(Debug)]
pub struct Pool {
    /// Host and port.
    target: (Box<str>, u16),
    idle: RefCell<Vec<Idle>>,
    /// Its upstream has left the configuration.
    retired: Cell<bool>,
    now: Rc<Cell<u32>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: u32,
    keep_seconds: u32,
}

impl Pool {
    /// How many connections wait here.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.idle.borrow().len()
    }

    /// The connection used last, if one is alive.
    pub(super) fn checkout(self: &Rc<Self>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            if connection.is_quiet() {
                return Some(Lease { connection, pool: Some(Rc::clone(self)), keep_seconds: 0, reused: true });
            }
        }
        None
    }

    /// A new connection that may come back here.
    pub(super) fn lease(self: &Rc<Self>, connection: Connection) -> Lease {
        Lease { connection, pool: Some(Rc::clone(self)), keep_seconds: 0, reused: false }
    }

    fn put(&self, connection: Connection, keep_seconds: u32) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE && !self.retired.get() {
            idle.push(Idle { connection, since: self.now.get(), keep_seconds });
        }
    }

    fn leads_to(&self, upstream: &Upstream) -> bool {
        self.target == upstream.target()
    }

    fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
    }

    fn sweep(&self) {
        let now = self.now.get();
        // The age in sweeps is rounded up, so nothing outlives its time by waiting for the next one.
        self.idle
            .borrow_mut()
            .retain(|idle| idle.connection.is_quiet() && now.wrapping_sub(idle.since) < idle.keep_seconds);
    }
}

/// One connection in use. Dropping it closes the connection: a client that goes away, a response that
/// is not read to its end, an error.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    pool: Option<Rc<Pool>>,
    keep_seconds: u32,
    reused: bool,
}

impl Lease {
    /// A connection that serves one request and never goes to a pool.
    pub(super) fn single(connection: Connection) -> Self {
        Self { connection, pool: None, keep_seconds: 0, reused: false }
    }

    /// Whether it has served before, and so may have died meanwhile.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// How long the connection may idle afterwards; 0 = close it.
    pub(super) fn keep_for(&mut self, seconds: u32) {
        self.keep_seconds = seconds;
    }

    /// The request is sent and the response is at its end: back into the pool, if nothing is left over.
    pub(super) fn release(self) {
        // SECURITY: bytes after the response would be taken for the next one.
        let reusable = self.keep_seconds > 0 && self.connection.unread.is_empty();
        if let Some(pool) = self.pool.filter(|_| reusable) {
            pool.put(self.connection, self.keep_seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{App, Step, anybody, forward, get, ok, run, send, text};
    use super::*;
    use crate::http::lines::HeaderLines;

    /// Fetches through the gateway's side and leaves the connection as the response left it.
    async fn fetch(pools: &Pools, upstream: &Upstream) -> String {
        text(forward(anybody(), &HeaderLines::default(), pools, upstream, get()).await.unwrap()).await.unwrap()
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
    fn connections_wait_for_the_next_generation_by_where_they_lead_and_others_are_closed() {
        run(|pools| async move {
            let stays = App::start([vec![Step::Request, ok("1"), Step::Request, ok("2"), Step::Closed]]).await;
            let goes = App::start([vec![Step::Request, ok("3"), Step::Closed]]).await;
            let place = |id, app: &App| {
                let mut upstream = app.patient();
                upstream.id = id;
                upstream
            };
            let (first, second) = (place(0, &goes), place(1, &stays));
            let before = pools.renewed([&first, &second]);
            assert_eq!((fetch(&before, &first).await, fetch(&before, &second).await), ("3".into(), "1".into()));
            let moved = place(0, &stays);
            let after = before.renewed([&moved]);
            assert_eq!(goes.saw(2).await[1], "1: closed");
            assert_eq!((after.pool(&moved).idle_count(), fetch(&after, &moved).await), (1, "2".into()));
            assert!(stays.saw(2).await.iter().all(|event| event.starts_with("1: ")));
        });
    }

    #[test]
    fn a_connection_in_use_does_not_come_back_to_an_upstream_that_has_gone() {
        run(|pools| async move {
            let held = send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
            let app = App::start([vec![Step::Request, held, Step::Closed]]).await;
            let upstream = app.patient();
            let under_way = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
            let after = pools.renewed([]);
            assert_eq!(text(under_way).await.unwrap(), "x");
            assert_eq!(app.saw(2).await[1], "1: closed");
            drop(after);
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
            // Chunked, so that the connection is held until the body is read.
            let held =
                |text| send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{text}\r\n0\r\n\r\n"));
            let first = vec![Step::Request, held("1"), Step::Closed];
            let second = vec![Step::Request, held("2"), Step::Request, ok("again on 2"), Step::Closed];
            let app = App::start([first, second]).await;
            let upstream = app.patient();
            let one = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
            let two = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
            assert_eq!((text(one).await.unwrap(), text(two).await.unwrap()), ("1".into(), "2".into()));
            assert_eq!(pools.pool(&upstream).idle_count(), 2);
            assert_eq!(fetch(&pools, &upstream).await, "again on 2");
        });
    }

    #[test]
    fn no_more_than_the_cap_are_kept() {
        run(|pools| async move {
            let held = send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
            let app = App::start(vec![vec![Step::Request, held, Step::Closed]; MAX_IDLE + 1]).await;
            let upstream = app.patient();
            let mut open = Vec::new();
            for _ in 0..=MAX_IDLE {
                open.push(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap());
            }
            for response in open {
                text(response).await.unwrap();
            }
            assert_eq!(pools.pool(&upstream).idle_count(), MAX_IDLE);
        });
    }
}
