//! How long a store takes to answer, by operation, and how often it fails: a [`Store`] around another.
//!
//! `gateway` wraps the store that does I/O, `admin` reads the numbers. PERF: an answer that is there at once
//! ([`Reply::Now`]: memory, a near cache) is handed on untimed, at the cost of one branch; only answers that take
//! I/O are timed, every one of them. Failures are counted either way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Copies, Cursor, Entry, Error, Key, Page, Reply, Store, Updated};
use crate::clock::Timestamp;

/// A store that is watched.
pub struct Timed {
    inner: Arc<dyn Store>,
    latency: Arc<Latency>,
}

/// What is known of a store's answers.
#[derive(Debug, Default)]
pub struct Latency {
    operations: [Series; Operation::ALL.len()],
}

/// What a store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the trait's methods")]
pub enum Operation {
    Create,
    Load,
    Update,
    Touch,
    Delete,
    ListByUser,
    Page,
    Count,
    Sweep,
    Ping,
}

/// The upper bounds of the buckets, in seconds.
///
/// From a local disk's cache to far beyond the usual deadline of 250 ms: a sweep has none.
pub const BOUNDS: [f64; 12] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// The answers to one operation.
#[derive(Debug, Default)]
pub struct Series {
    /// One more than there are bounds: the last is for what took longer than all of them.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
    errors: AtomicU64,
}

impl Timed {
    /// Watches `inner`; the numbers go to `latency`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, latency: Arc<Latency>) -> Self {
        Self { inner, latency }
    }

    fn watch<'a, T: Send + 'a>(&'a self, operation: Operation, reply: Reply<'a, T>) -> Reply<'a, T> {
        let series = &self.latency.operations[operation as usize];
        match reply {
            Reply::Now(answer) => {
                series.note(&answer);
                Reply::Now(answer)
            }
            Reply::Later(answer) => {
                let asked = Instant::now();
                Reply::Later(Box::pin(async move {
                    let answer = answer.await;
                    series.took(asked.elapsed());
                    series.note(&answer);
                    answer
                }))
            }
        }
    }
}

impl Latency {
    /// Each operation with its numbers.
    pub fn operations(&self) -> impl Iterator<Item = (Operation, &Series)> {
        Operation::ALL.into_iter().zip(&self.operations)
    }
}

impl Series {
    /// How many answers fell into each bucket, not cumulated; see [`BOUNDS`].
    pub fn buckets(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed))
    }

    /// The time of all of them together, in seconds.
    #[must_use]
    pub fn sum(&self) -> f64 {
        Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// How often the store could not answer.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A full store has answered; one that cannot be reached has not.
    fn note<T>(&self, answer: &Result<T, Error>) {
        if matches!(answer, Err(Error::Unreachable(_))) {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Operation {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Load,
        Self::Update,
        Self::Touch,
        Self::Delete,
        Self::ListByUser,
        Self::Page,
        Self::Count,
        Self::Sweep,
        Self::Ping,
    ];

    /// Its name in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Load => "load",
            Self::Update => "update",
            Self::Touch => "touch",
            Self::Delete => "delete",
            Self::ListByUser => "list_by_user",
            Self::Page => "page",
            Self::Count => "count",
            Self::Sweep => "sweep",
            Self::Ping => "ping",
        }
    }
}

impl Store for Timed {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        self.watch(Operation::Create, self.inner.create(key, entry))
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.watch(Operation::Load, self.inner.load(key))
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        self.watch(Operation::Update, self.inner.update(key, seen, entry))
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        self.watch(Operation::Touch, self.inner.touch(key, last_seen, deadline))
    }

    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.watch(Operation::Delete, self.inner.delete(key))
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        self.watch(Operation::ListByUser, self.inner.list_by_user(user))
    }

    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page> {
        self.watch(Operation::Page, self.inner.page(from, limit))
    }

    fn count(&self) -> Reply<'_, usize> {
        self.watch(Operation::Count, self.inner.count())
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        self.watch(Operation::Sweep, self.inner.sweep(now, limit))
    }

    fn attach(&self, copies: Arc<dyn Copies>) {
        self.inner.attach(copies);
    }

    fn ping(&self) -> Reply<'_, ()> {
        self.watch(Operation::Ping, self.inner.ping())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryStore, conformance};
    use super::*;

    fn timed() -> (Timed, Arc<Latency>) {
        let latency = Arc::new(Latency::default());
        (Timed::new(Arc::new(MemoryStore::new(1000)), Arc::clone(&latency)), latency)
    }

    fn series(latency: &Latency, operation: Operation) -> &Series {
        &latency.operations[operation as usize]
    }

    #[tokio::test]
    async fn a_store_that_is_watched_keeps_the_contract() {
        conformance::suite(async || timed().0).await;
    }

    #[tokio::test]
    async fn what_takes_time_is_timed_and_what_is_there_at_once_is_not() {
        let (store, latency) = timed();
        store.load(conformance::key(1)).await.unwrap();
        store.sweep(Timestamp(0), 10).await.unwrap();
        assert_eq!(series(&latency, Operation::Load).buckets().sum::<u64>(), 0);
        assert_eq!(series(&latency, Operation::Sweep).buckets().sum::<u64>(), 1);
    }

    #[tokio::test]
    async fn failures_are_counted_when_the_store_could_not_be_reached() {
        let (store, latency) = timed();
        let unreachable = || Err(Error::Unreachable("down".into()));
        let _ = store.watch::<()>(Operation::Load, Reply::Now(unreachable())).await;
        let _ = store.watch::<()>(Operation::Load, Reply::Later(Box::pin(async move { unreachable() }))).await;
        let _ = store.watch::<()>(Operation::Load, Reply::Now(Err(Error::Full))).await;
        assert_eq!(series(&latency, Operation::Load).errors(), 2);
        assert_eq!(series(&latency, Operation::Create).errors(), 0);
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let series = Series::default();
        for micros in [100, 101, 250_000, 2_000_000] {
            series.took(Duration::from_micros(micros));
        }
        let buckets: Vec<u64> = series.buckets().collect();
        assert_eq!((buckets[0], buckets[1], buckets[10], buckets[12]), (1, 1, 1, 1));
        assert!((series.sum() - 2.250_201).abs() < 1e-9);
    }

    #[test]
    fn operations_are_listed_in_the_order_of_their_numbers() {
        assert!(Operation::ALL.iter().enumerate().all(|(n, operation)| *operation as usize == n));
    }
}
