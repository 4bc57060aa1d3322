//! What waits for a storage thread: pushed by any thread without blocking, taken in order, many at a time.
//!
//! Bounded: while the disk hangs, callers give up after their deadline, but what they left here would pile up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Some seconds of work for a good disk.
const LONGEST: usize = 32_768;

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), closed: false }), changed: Condvar::new() }
    }

    /// Whether there was room for it.
    pub fn push(&self, item: T) -> bool {
        let mut state = self.state();
        if state.closed || state.waiting.len() >= LONGEST {
            return false;
        }
        state.waiting.push_back(item);
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Waits for the next one; `None` when the queue is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let waits = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let mut state = self.changed.wait_while(self.state(), waits).unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    /// Up to `most` of them, none when nothing came `within` that time; `None` when the queue is closed and empty.
    pub fn take(&self, most: usize, within: Duration) -> Option<Vec<T>> {
        let waits = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let waited = self.changed.wait_timeout_while(self.state(), within, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() && state.closed {
            return None;
        }
        let most = most.min(state.waiting.len());
        Some(state.waiting.drain(..most).collect())
    }

    /// Lets in no more; what waits is still taken.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_taken_in_order_also_after_closing() {
        let queue = Queue::new();
        assert!((0..5).all(|n| queue.push(n)));
        assert_eq!(queue.take(2, Duration::ZERO), Some(vec![0, 1]));
        queue.close();
        assert!(!queue.push(5));
        assert_eq!(queue.take(9, Duration::ZERO), Some(vec![2, 3, 4]));
        assert_eq!((queue.take(9, Duration::MAX), queue.pop()), (None, None));
    }

    #[test]
    fn a_hanging_disk_does_not_fill_the_memory() {
        let queue = Queue::new();
        assert!((0..LONGEST).all(|n| queue.push(n)));
        assert!(!queue.push(0));
    }
}
