//! How many client connections may be open, all workers and listeners together.
//!
//! `app` makes one [`Connections`] for the process; each accepted socket carries a [`Permit`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The count of open connections and its bound. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Of the whole process.
    open: Arc<AtomicUsize>,
    /// Of this worker alone.
    here: Arc<AtomicUsize>,
    max: Arc<AtomicUsize>,
}

impl Connections {
    /// At most `max` connections at a time.
    #[must_use]
    pub fn new(max: u32) -> Self {
        let connections = Self { open: Arc::default(), here: Arc::default(), max: Arc::default() };
        connections.limit(max);
        connections
    }

    /// From now on at most `max`, for everybody who shares the bound; those that are open stay.
    pub fn limit(&self, max: u32) {
        self.max.store(usize::try_from(max).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// The same bound with a worker's count of its own.
    #[must_use]
    pub fn for_worker(&self) -> Self {
        Self { here: Arc::default(), ..self.clone() }
    }

    /// Open connections of the whole process, upgraded ones included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Open connections of this worker.
    #[must_use]
    pub fn open_here(&self) -> usize {
        self.here.load(Ordering::Relaxed)
    }

    /// Counts one more connection; none when there are enough.
    #[must_use]
    pub fn admit(&self) -> Option<Permit> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        self.here.fetch_add(1, Ordering::Relaxed);
        // Made first, so that a refusal gives back what was counted.
        let permit = Permit { open: self.open.clone(), here: self.here.clone() };
        (before < self.max.load(Ordering::Relaxed)).then_some(permit)
    }
}

/// One counted connection; counted until it is dropped.
#[derive(Debug)]
pub struct Permit {
    open: Arc<AtomicUsize>,
    here: Arc<AtomicUsize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.here.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_over_all_workers_and_a_closed_connection_makes_room() {
        let (one, two) = (Connections::new(2), Connections::new(2));
        drop(two);
        let other = one.for_worker();
        let (a, b) = (one.admit(), other.admit());
        assert!(a.is_some() && b.is_some() && one.admit().is_none());
        assert_eq!((one.open(), one.open_here(), other.open_here()), (2, 1, 1));
        drop(a);
        assert!(other.admit().is_some());
        one.limit(3);
        assert!(other.admit().is_some());
    }
}
