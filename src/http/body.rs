//! The body of a request on its way to the app: bounded, paced, without trailers.
//!
//! `pipeline` wraps what hyper hands it; `proxy` sends it on. Nothing is buffered here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::timers::{Deadline, Timers};

/// Why a request body could not be read to its end. All of it is the client's doing.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the route takes.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The route's `max_body_size`.
        limit: u64,
    },
    /// Less than 500 bytes a second beyond the allowance.
    #[error("the request body came too slowly")]
    TooSlow,
    /// The connection broke, or the framing is wrong.
    #[error("the request body broke off: {0}")]
    Broken(#[from] hyper::Error),
}

/// A client may fall behind by `body_timeout`; each 500 bytes buy one more second (mod_reqtimeout's rule).
const BYTES_PER_SECOND: u64 = 500;

/// A request body with its bounds.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    received: u64,
    limit: Option<u64>,
    patience: Duration,
    deadline: Deadline,
}

impl RequestBody {
    /// Wraps `inner`: at most `limit` bytes, and never more than `patience` behind the slowest pace.
    #[must_use]
    pub fn new(inner: Incoming, limit: Option<u64>, patience: Duration, timers: &Timers) -> Self {
        Self { inner, received: 0, limit, patience, deadline: timers.deadline() }
    }

    /// Whether there is nothing to send: then a request may be tried twice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_end_stream()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let polled = Pin::new(&mut self.inner).poll_frame(cx);
            if polled.is_pending() {
                // The clock runs only while we wait for the client, never while the app is slow to take bytes.
                if !self.deadline.is_armed() {
                    self.deadline.arm(self.patience);
                }
                ready!(self.deadline.poll_elapsed(cx));
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
            let frame = match ready!(polled) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            };
            // SECURITY: request trailers are dropped; none of them may ever become a header (RFC 9110 §6.5.1).
            let Ok(data) = frame.into_data() else { continue };
            self.received += data.len() as u64;
            self.pace(data.len() as u64);
            if let Some(limit) = self.limit.filter(|limit| self.received > *limit) {
                return Poll::Ready(Some(Err(BodyError::TooLarge { limit })));
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl RequestBody {
    /// Takes the deadline away once the client has made up for the time it took.
    fn pace(&mut self, arrived: u64) {
        if arrived >= BYTES_PER_SECOND.min(self.received) {
            self.deadline.disarm();
        }
    }
}
