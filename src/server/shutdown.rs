//! The end of the process, told once and heard everywhere.
//!
//! `app` holds the [`Shutdown`]; every worker and long-lived task holds a [`ShutdownSignal`]. Within a
//! worker a `Drain` passes it on to each connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use slab::Slab;
use tokio::sync::watch;

/// Starts the shutdown of everything that holds a signal of it; so does dropping it.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// A listener for this shutdown.
    #[must_use]
    pub fn signal(&self) -> ShutdownSignal {
        ShutdownSignal(self.0.subscribe())
    }

    /// Begins the shutdown. More than once is harmless.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }
}

/// Hears of a shutdown. Cheap to clone, may cross threads.
#[derive(Debug, Clone)]
pub struct ShutdownSignal(watch::Receiver<bool>);

impl ShutdownSignal {
    /// Returns once the shutdown has begun.
    pub async fn wait(&mut self) {
        // An error means that the `Shutdown` is gone: then nobody is left who could ask for more.
        let _ = self.0.wait_for(|begun| *begun).await;
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }
}

/// Tells the connections of one worker to finish.
///
/// PERF: a connection asks at every poll, so asking is a read of a cell, not of a shared channel.
#[derive(Debug, Clone, Default)]
pub(super) struct Drain(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: Cell<bool>,
    waiting: RefCell<Slab<Waker>>,
}

impl Drain {
    /// Wakes every member; they find that the drain has begun.
    pub(super) fn begin(&self) {
        self.0.begun.set(true);
        let waiting = std::mem::take(&mut *self.0.waiting.borrow_mut());
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn member(&self) -> DrainMember {
        DrainMember { drain: self.clone(), slot: None }
    }
}

/// One connection's ear.
#[derive(Debug)]
pub(super) struct DrainMember {
    drain: Drain,
    slot: Option<usize>,
}

impl DrainMember {
    /// Whether the drain has begun; if not, the task of `cx` is woken when it does. A member must stay in
    /// one task.
    pub(super) fn has_begun(&mut self, cx: &Context<'_>) -> bool {
        if !self.drain.0.begun.get() && self.slot.is_none() {
            self.slot = Some(self.drain.0.waiting.borrow_mut().insert(cx.waker().clone()));
        }
        self.drain.0.begun.get()
    }
}

impl Drop for DrainMember {
    fn drop(&mut self) {
        let waker = self.slot.and_then(|slot| self.drain.0.waiting.borrow_mut().try_remove(slot));
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_hears_of_a_shutdown_before_and_after_it_listens() {
        let shutdown = Shutdown::default();
        let mut early = shutdown.signal();
        assert!(!early.is_triggered());
        shutdown.trigger();
        early.wait().await;
        shutdown.signal().wait().await;
    }

    #[test]
    fn a_drain_is_seen_by_each_member() {
        let drain = Drain::default();
        let (mut one, mut two) = (drain.member(), drain.member());
        let cx = Context::from_waker(Waker::noop());
        assert!(!one.has_begun(&cx) && !two.has_begun(&cx));
        drop(two);
        drain.begin();
        assert!(one.has_begun(&cx) && drain.member().has_begun(&cx));
    }
}
