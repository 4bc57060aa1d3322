//! What the two ends of one upstream connection know of each other: the socket (`io`), the request body
//! (`request`) and the exchange that waits for the response (`forward`).
//!
//! One per connection, on one thread, made anew for no request: a pooled hit allocates nothing here.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::scan::Violation;
use crate::http::body::BodyError;

/// The state of the current exchange on one connection.
#[derive(Debug)]
pub(super) struct Wire {
    /// A response head is awaited: what arrives is scanned.
    head_awaited: Cell<bool>,
    /// A byte of the response to this request has arrived.
    answered: Cell<bool>,
    violation: Cell<Option<Violation>>,
    /// The whole request body was handed to the connection.
    sent: Cell<bool>,
    upload_failure: RefCell<Option<BodyError>>,
    /// Who is slow: the app since then, or (`None`) the client.
    app_owes_since: Cell<Option<Instant>>,
    /// The app no longer reads; its response may still be there.
    deaf: Cell<bool>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            head_awaited: Cell::new(false),
            answered: Cell::new(false),
            violation: Cell::new(None),
            sent: Cell::new(true),
            upload_failure: RefCell::new(None),
            app_owes_since: Cell::new(None),
            deaf: Cell::new(false),
        }
    }
}

impl Wire {
    /// A request is about to be sent.
    pub(super) fn begin(&self, empty_body: bool) {
        self.head_awaited.set(true);
        self.answered.set(false);
        self.sent.set(empty_body);
        self.app_owes_since.set(None);
    }

    pub(super) fn is_head_awaited(&self) -> bool {
        self.head_awaited.get()
    }

    /// Bytes came: the app has begun to answer, whether or not that is a good answer.
    pub(super) fn note_answer(&self) {
        self.answered.set(true);
    }

    pub(super) fn end_head(&self) {
        self.head_awaited.set(false);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered.get()
    }

    pub(super) fn violate(&self, violation: Violation) {
        self.violation.set(Some(violation));
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.get()
    }

    /// The request body has ended; from now on the app is the one to wait for.
    pub(super) fn upload_ended(&self) {
        self.sent.set(true);
        self.app_owes_since.set(Some(Instant::now()));
    }

    pub(super) fn upload_failed(&self, failure: BodyError) {
        self.upload_failure.replace(Some(failure));
    }

    pub(super) fn take_upload_failure(&self) -> Option<BodyError> {
        self.upload_failure.take()
    }

    /// The app does not take bytes just now.
    pub(super) fn write_stalled(&self) {
        if self.app_owes_since.get().is_none() {
            self.app_owes_since.set(Some(Instant::now()));
        }
    }

    /// The app took bytes: while the body is not at its end, the client is the one to wait for.
    pub(super) fn write_advanced(&self) {
        if !self.sent.get() {
            self.app_owes_since.set(None);
        }
    }

    pub(super) fn go_deaf(&self) {
        self.deaf.set(true);
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.get()
    }

    /// Whether another request may follow on this connection.
    pub(super) fn is_clean(&self) -> bool {
        self.sent.get() && !self.deaf.get() && !self.head_awaited.get()
    }

    /// After `limit` has passed: how much longer to wait for the app, or `None` when it has had its time.
    pub(super) fn patience_left(&self, limit: Duration) -> Option<Duration> {
        match self.app_owes_since.get() {
            Some(since) => limit.checked_sub(since.elapsed()).filter(|left| !left.is_zero()),
            None if self.sent.get() => None,
            None => Some(limit),
        }
    }
}
