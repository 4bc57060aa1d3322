//! What goes through the gateway, in numbers: requests by route and status, and how apps answer.
//!
//! Each worker counts in a [`Tally`] of its own, which `pipeline` writes; `admin` adds them up when it is asked. The
//! numbers belong to a route's *name*: a reload that moves a route goes on counting.
//! PERF: one writer for each number, so that counting is a plain load and store: no locked instruction, no cache line
//! that goes from core to core, no allocation.

use std::cell::Cell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;

use super::lasting::Lasting;
use crate::clock::Timestamp;

/// The upper bounds of the buckets for the time an app takes, in seconds.
pub const BOUNDS: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

const LOWEST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// The numbers of all workers, of all generations.
#[derive(Debug, Default)]
pub struct Traffic {
    /// What stays open.
    pub lasting: Lasting,
    workers: Mutex<Vec<ByName>>,
}

/// One worker's numbers, by the name of the route; `None` for what falls on no route.
type ByName = HashMap<Option<Arc<str>>, Arc<Counters>>;

/// A worker's place among the others.
#[derive(Debug, Clone, Copy)]
pub struct Seat(usize);

/// One worker's numbers, which no other thread writes.
#[derive(Debug)]
pub struct Tally {
    /// One for each route, and one for what falls on none: our own pages, and requests that are turned away before.
    routes: Box<[Arc<Counters>]>,
    /// A second thread would lose counts: no `Sync`.
    _one_thread: PhantomData<Cell<()>>,
}

/// Why an app gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or no address.
    Connect,
    /// No connection, or no answer, in time.
    Timeout,
    /// The connection ended before the answer.
    Broken,
    /// The answer could not be passed on.
    BadResponse,
}

/// The numbers of a route, of one worker or of all.
#[derive(Debug)]
struct Counters {
    statuses: Box<[AtomicU64]>,
    faults: [AtomicU64; Fault::ALL.len()],
    /// One more than there are bounds.
    times: [AtomicU64; BOUNDS.len() + 1],
    time_us: AtomicU64,
    /// When the app was last timed.
    timed: AtomicU64,
}

/// What became of the requests of one route.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Each status that was answered, and how often.
    pub statuses: Vec<(u16, u64)>,
    /// How often the app gave no answer.
    pub faults: [(Fault, u64); Fault::ALL.len()],
    /// How many answers were timed in each bucket, not cumulated; see [`BOUNDS`].
    pub times: [u64; BOUNDS.len() + 1],
    /// The time of all of these together.
    pub time: Duration,
}

impl Traffic {
    /// One more worker.
    #[must_use]
    pub fn join(&self) -> Seat {
        let mut workers = self.workers();
        workers.push(ByName::default());
        Seat(workers.len() - 1)
    }

    /// What the worker of this seat counts in from now on, for routes of these names. Routes may share a name, and
    /// then their numbers. What it has counted under a name goes on; names that are gone are forgotten.
    #[must_use]
    pub fn tally<'a>(&self, seat: Seat, routes: impl IntoIterator<Item = &'a Arc<str>>) -> Tally {
        let mut workers = self.workers();
        let (mut before, mut now) = (ByName::default(), ByName::default());
        let known = workers.get_mut(seat.0).unwrap_or(&mut before);
        let names = routes.into_iter().map(|name| Some(Arc::clone(name))).chain([None]);
        let mut counters = |name: Option<Arc<str>>| {
            let goes_on = || known.get(&name).cloned().unwrap_or_else(|| Arc::new(Counters::new()));
            let counters = now.get(&name).cloned().unwrap_or_else(goes_on);
            now.insert(name, Arc::clone(&counters));
            counters
        };
        let routes = names.map(&mut counters).collect();
        *known = now;
        Tally { routes, _one_thread: PhantomData }
    }

    /// What became of the requests of the routes of a name; `None`: of those that fell on none.
    #[must_use]
    pub fn summary(&self, route: Option<&Arc<str>>) -> Summary {
        let (workers, name) = (self.workers(), route.cloned());
        let counters: Vec<_> = workers.iter().filter_map(|names| names.get(&name)).collect();
        let sum = |number: &dyn Fn(&Counters) -> &AtomicU64| -> u64 {
            counters.iter().map(|counters| number(counters).load(Ordering::Relaxed)).sum()
        };
        let status = |n: usize| (LOWEST_STATUS + n as u16, sum(&|counters| &counters.statuses[n]));
        Summary {
            statuses: (0..STATUSES).map(status).filter(|(_, count)| *count > 0).collect(),
            faults: Fault::ALL.map(|fault| (fault, sum(&|counters| &counters.faults[fault as usize]))),
            times: std::array::from_fn(|n| sum(&|counters| &counters.times[n])),
            time: Duration::from_micros(sum(&|counters| &counters.time_us)),
        }
    }

    fn workers(&self) -> MutexGuard<'_, Vec<ByName>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// Counts an answer to a client. The route by its place in the configuration.
    pub fn answered(&self, route: Option<usize>, status: StatusCode) {
        let counters = route.and_then(|route| self.routes.get(route)).or(self.routes.last());
        let number = usize::from(status.as_u16().saturating_sub(LOWEST_STATUS));
        if let Some(count) = counters.and_then(|counters| counters.statuses.get(number)) {
            add(count, 1);
        }
    }

    /// Starts the watch, if this request is to be timed.
    ///
    /// PERF: looking at the time twice costs more than all the counting. So it is done once in each tick of the
    /// worker's clock (1 to 10 ms) and route: on a quiet gateway for every request, on a busy one for a sample.
    #[must_use]
    pub fn watch(&self, route: Option<usize>, now: Timestamp) -> Option<Instant> {
        let counters = self.routes.get(route?)?;
        let is_due = counters.timed.load(Ordering::Relaxed) != now.0;
        counters.timed.store(now.0, Ordering::Relaxed);
        is_due.then(Instant::now)
    }

    /// The head of the app's answer is there.
    pub fn served(&self, route: Option<usize>, watch: Option<Instant>) {
        let (Some(watch), Some(counters)) = (watch, route.and_then(|route| self.routes.get(route))) else { return };
        let time = watch.elapsed();
        let bucket = BOUNDS.iter().position(|bound| time.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        add(&counters.times[bucket], 1);
        add(&counters.time_us, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// The app gave no answer.
    pub fn failed(&self, route: Option<usize>, fault: Fault) {
        if let Some(counters) = route.and_then(|route| self.routes.get(route)) {
            add(&counters.faults[fault as usize], 1);
        }
    }
}

impl Counters {
    fn new() -> Self {
        Self {
            statuses: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            faults: Default::default(),
            times: Default::default(),
            time_us: AtomicU64::new(0),
            timed: AtomicU64::new(u64::MAX),
        }
    }
}

impl Fault {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Timeout, Self::Broken, Self::BadResponse];

    /// Its name in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::BadResponse => "bad_response",
        }
    }
}

/// See the module: there is one writer.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_all_workers_are_added_up() {
        let (traffic, [a, b]) = (Traffic::default(), ["a", "b"].map(Arc::from));
        let [one, two] = [(); 2].map(|()| traffic.tally(traffic.join(), [&a, &b]));
        one.answered(Some(0), StatusCode::OK);
        two.answered(Some(0), StatusCode::OK);
        two.answered(Some(1), StatusCode::NOT_FOUND);
        two.answered(None, StatusCode::SEE_OTHER);
        one.failed(Some(1), Fault::Broken);
        assert_eq!(traffic.summary(Some(&a)).statuses, [(200, 2)]);
        assert_eq!(traffic.summary(Some(&b)).statuses, [(404, 1)]);
        assert_eq!(traffic.summary(Some(&b)).faults[Fault::Broken as usize], (Fault::Broken, 1));
        assert_eq!(traffic.summary(None).statuses, [(303, 1)]);
    }

    #[test]
    fn a_route_that_moves_goes_on_counting_and_one_that_is_gone_is_forgotten() {
        let (traffic, [a, b]) = (Traffic::default(), ["a", "b"].map(Arc::from));
        let seat = traffic.join();
        let before = traffic.tally(seat, [&a, &b, &b]);
        (0..3).for_each(|route| before.answered(Some(route), StatusCode::OK));
        let after = traffic.tally(seat, [&b]);
        after.answered(Some(0), StatusCode::OK);
        before.answered(Some(1), StatusCode::OK);
        assert_eq!(traffic.summary(Some(&b)).statuses, [(200, 4)]);
        assert_eq!(traffic.summary(Some(&a)).statuses, []);
    }

    #[test]
    fn an_app_is_timed_once_in_each_tick() {
        let (traffic, a) = (Traffic::default(), Arc::from("a"));
        let tally = traffic.tally(traffic.join(), [&a]);
        for now in [1, 1, 1, 2, 3, 3] {
            tally.served(Some(0), tally.watch(Some(0), Timestamp(now)));
        }
        assert_eq!(traffic.summary(Some(&a)).times.iter().sum::<u64>(), 3);
        assert!(tally.watch(None, Timestamp(9)).is_none());
    }

    #[test]
    fn every_status_has_a_place() {
        let traffic = Traffic::default();
        let tally = traffic.tally(traffic.join(), []);
        for status in [100, 599, 999] {
            tally.answered(None, StatusCode::from_u16(status).unwrap());
        }
        assert_eq!(traffic.summary(None).statuses, [(100, 1), (599, 1)]);
    }

    #[test]
    fn faults_are_listed_in_the_order_of_their_numbers() {
        assert!(Fault::ALL.iter().enumerate().all(|(n, fault)| *fault as usize == n));
    }
}
