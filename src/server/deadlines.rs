//! How long a client may take: one coarse deadline per connection, moved as the connection moves on.
//!
//! `connection::drive` asks after each poll of hyper. What an app may take is `proxy`'s business, how
//! fast a request body comes is `http::body`'s; nothing runs here while a request is being answered,
//! except when the client does not take the answer.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::guard::Phase;
use super::state::{ConnectionState, Reading};
use crate::config::schema::Limits;
use crate::timers::{Deadline, Timers};

/// How long what a refused client still sends is read away.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The limits of `schema::Limits` that concern a connection's time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) head: Duration,
    pub(super) keep_alive: Duration,
    pub(super) write: Duration,
}

impl From<&Limits> for Timeouts {
    fn from(limits: &Limits) -> Self {
        Self {
            head: limits.head_timeout.get(),
            keep_alive: limits.keep_alive_timeout.get(),
            write: limits.write_timeout.get(),
        }
    }
}

/// What the connection is waiting for the client to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Nothing: it is our turn.
    Nothing,
    FirstByte,
    /// The rest of a head; the number tells one head from the next.
    Head(u64),
    /// The next request; the number tells one pause from the next.
    Idle(u64),
    /// The rest of something that was answered already.
    Rest,
    /// Room for the answer; the number tells one stall from the next.
    Write(u64),
    Linger,
    /// An end we have announced.
    Closing,
}

/// What to do about a client that took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// Answer 408.
    Head,
    /// Close politely.
    Idle,
    /// Drop the connection.
    Dead(&'static str),
}

/// The deadline of one connection.
#[derive(Debug)]
pub(super) struct Deadlines {
    state: Arc<ConnectionState>,
    timeouts: Timeouts,
    deadline: Deadline,
    wait: Wait,
    closing: bool,
}

impl Deadlines {
    pub(super) fn new(state: Arc<ConnectionState>, timeouts: Timeouts, timers: &Timers) -> Self {
        Self { state, timeouts, deadline: timers.deadline(), wait: Wait::Nothing, closing: false }
    }

    /// Notes that the end was announced: now even an idle client has little time left.
    pub(super) fn close_soon(&mut self) {
        self.closing = true;
    }

    /// Ready when the client has taken too long over what the connection waits for now.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let wait = self.current();
        if wait != self.wait {
            self.wait = wait;
            match self.limit(wait) {
                Some(limit) => self.deadline.arm(limit),
                None => self.deadline.disarm(),
            }
        }
        if wait == Wait::Nothing {
            return Poll::Pending;
        }
        ready!(self.deadline.poll_elapsed(cx));
        Poll::Ready(match wait {
            Wait::Head(_) => Expired::Head,
            Wait::FirstByte | Wait::Idle(_) => Expired::Idle,
            Wait::Write(_) => Expired::Dead("the client does not take the answer"),
            _ => Expired::Dead("the client does not close the connection"),
        })
    }

    fn current(&self) -> Wait {
        let state = &*self.state;
        match state.reading() {
            _ if state.is_lingering() => Wait::Linger,
            _ if state.is_write_blocked() => Wait::Write(state.writes()),
            _ if state.open_requests() > 0 => Wait::Nothing,
            _ if self.closing => Wait::Closing,
            Reading::Silent => Wait::FirstByte,
            Reading::In(Phase::Head) => Wait::Head(state.heads()),
            Reading::In(Phase::Idle) => Wait::Idle(state.requests()),
            Reading::In(Phase::Body | Phase::Opaque | Phase::Refused) => Wait::Rest,
        }
    }

    fn limit(&self, wait: Wait) -> Option<Duration> {
        match wait {
            Wait::Nothing => None,
            Wait::FirstByte | Wait::Head(_) | Wait::Rest | Wait::Closing => Some(self.timeouts.head),
            Wait::Idle(_) => Some(self.timeouts.keep_alive),
            Wait::Write(_) => Some(self.timeouts.write),
            Wait::Linger => Some(LINGER),
        }
    }
}
