//! What ties an open WebSocket, or a response on its way, to somebody who may end it.
//!
//! `pipeline` makes both ends and knows for whom; the tunnel or the body holds a [`Tether`] as long as it is open. Both
//! stay on one thread.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use crate::telemetry::lasting::Kind;

/// The end that is held by what is open.
#[derive(Debug)]
pub struct Tether(Rc<Line>);

/// The other end.
#[derive(Debug)]
pub struct Cutter(Weak<Line>);

#[derive(Debug)]
struct Line {
    kind: Kind,
    is_cut: Cell<bool>,
    has_moved: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Tether {
    /// Both ends.
    #[must_use]
    pub fn new(kind: Kind) -> (Self, Cutter) {
        let (is_cut, has_moved, waker) = (Cell::new(false), Cell::new(false), RefCell::new(None));
        let line = Rc::new(Line { kind, is_cut, has_moved, waker });
        let cutter = Cutter(Rc::downgrade(&line));
        (Self(line), cutter)
    }

    /// What is open.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Bytes have passed.
    pub fn moved(&self) {
        self.0.has_moved.set(true);
    }

    /// Ready once it is cut.
    pub fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
        if self.0.is_cut.get() {
            return Poll::Ready(());
        }
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Cutter {
    /// Whether what it was tied to is still open.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Whether bytes have passed since this was asked last.
    #[must_use]
    pub fn take_moved(&self) -> bool {
        self.0.upgrade().is_some_and(|line| line.has_moved.take())
    }

    /// Ends it; tells what it was, unless it had ended by itself.
    pub fn cut(self) -> Option<Kind> {
        let line = self.0.upgrade()?;
        line.is_cut.set(true);
        // Woken outside the borrow: a waker may run code that asks again.
        let waker = line.waker.borrow_mut().take();
        waker.into_iter().for_each(Waker::wake);
        Some(line.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_seen_and_what_has_ended_before_is_not_counted() {
        let cx = Context::from_waker(Waker::noop());
        let (tether, cutter) = Tether::new(Kind::WebSocket);
        assert!(tether.poll_cut(&cx).is_pending() && cutter.is_held());
        assert_eq!(cutter.cut(), Some(Kind::WebSocket));
        assert!(tether.poll_cut(&cx).is_ready());
        let (tether, cutter) = Tether::new(Kind::Download);
        drop(tether);
        assert!(!cutter.is_held());
        assert_eq!(cutter.cut(), None);
    }

    #[test]
    fn movement_is_told_once() {
        let (tether, cutter) = Tether::new(Kind::EventStream);
        assert!(!cutter.take_moved());
        tether.moved();
        assert!(cutter.take_moved() && !cutter.take_moved());
    }
}
