//! Coarse timers for one worker: thousands of socket deadlines, none of them a runtime timer.
//!
//! A deadline is a slot in a slab that is swept a few times a second, so arming, moving and dropping
//! one costs a few nanoseconds. `server` and `proxy` use them; they are late by at most two [`TICK`]s.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

/// How often deadlines are looked at; one fires up to two ticks late, never early.
pub const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

/// All deadlines of one worker. Cheap to clone; stays on its thread.
#[derive(Debug, Clone)]
pub struct Timers(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    /// Milliseconds since `start` at the last tick.
    ///
    /// PERF: arming a deadline happens several times per request and must not ask the system for the time.
    now: Cell<u64>,
    slots: RefCell<Slab<Slot>>,
}

#[derive(Debug)]
struct Slot {
    /// Milliseconds since `start`; [`NEVER`] when unarmed.
    due: u64,
    waker: Option<Waker>,
}

impl Default for Timers {
    fn default() -> Self {
        Self(Rc::new(Inner { start: Instant::now(), now: Cell::new(0), slots: RefCell::default() }))
    }
}

impl Timers {
    /// Runs for ever: wakes whoever is due. Spawn it once per worker.
    pub async fn run(self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            self.wake_due();
        }
    }

    /// A deadline that is not armed yet.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline { timers: self.clone(), slot: Cell::new(None), due: Cell::new(NEVER) }
    }

    /// Runs `future` for at most `limit`.
    ///
    /// # Errors
    /// [`Elapsed`] when the time ran out first; the future is then dropped.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        let deadline = self.deadline();
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            // PERF: armed only once the future has to wait; a pooled hit never gets here.
            if !deadline.is_armed() {
                deadline.arm(limit);
            }
            deadline.poll_elapsed(cx).map(|()| Err(Elapsed))
        })
        .await
    }

    fn now(&self) -> u64 {
        self.0.now.get()
    }

    fn wake_due(&self) {
        let now = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.0.now.set(now);
        let mut due = Vec::new();
        for (_, slot) in &mut *self.0.slots.borrow_mut() {
            if slot.due <= now {
                due.extend(slot.waker.take());
            }
        }
        // Woken outside the borrow: a waker may run code that arms another deadline.
        due.into_iter().for_each(Waker::wake);
    }
}

/// The time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// A moment that can be moved as often as one likes.
#[derive(Debug)]
pub struct Deadline {
    timers: Timers,
    slot: Cell<Option<usize>>,
    due: Cell<u64>,
}

impl Deadline {
    /// Sets the deadline to `limit` from now.
    pub fn arm(&self, limit: Duration) {
        let limit = u64::try_from((limit + TICK).as_millis()).unwrap_or(NEVER);
        // The last tick may be one tick ago: a deadline is late rather than early.
        self.set(self.timers.now().saturating_add(limit).min(NEVER - 1));
    }

    /// Takes the deadline away.
    pub fn disarm(&self) {
        self.set(NEVER);
    }

    /// Whether a deadline is set.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.due.get() != NEVER
    }

    /// Ready once the deadline has passed; pending for ever while none is set (but woken when one is due).
    pub fn poll_elapsed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_armed() {
            self.register(cx);
            return Poll::Pending;
        }
        if self.timers.now() >= self.due.get() {
            return Poll::Ready(());
        }
        self.register(cx);
        Poll::Pending
    }

    fn set(&self, due: u64) {
        self.due.set(due);
        if let Some(slot) = self.slot.get()
            && let Some(slot) = self.timers.0.slots.borrow_mut().get_mut(slot)
        {
            slot.due = due;
        }
    }

    fn register(&self, cx: &mut Context<'_>) {
        let mut slots = self.timers.0.slots.borrow_mut();
        match self.slot.get().and_then(|key| slots.get_mut(key)) {
            Some(slot) => match &slot.waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => slot.waker = Some(cx.waker().clone()),
            },
            None => {
                let slot = Slot { due: self.due.get(), waker: Some(cx.waker().clone()) };
                self.slot.set(Some(slots.insert(slot)));
            }
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let slot = self.slot.take().and_then(|slot| self.timers.0.slots.borrow_mut().try_remove(slot));
        // Dropped outside the borrow: its waker may be the last to hold a task that owns deadlines.
        drop(slot);
    }
}

/// Resolves when the deadline passes.
impl Future for &Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_elapsed(cx)
    }
}
