//! The body of a response on its way to the client; the connection goes back to the pool at its end.
//!
//! `forward` wraps what hyper hands it. A body that breaks off is an error, so that the client's connection
//! breaks too: what was cut short never looks complete.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lease;
use super::trailers::{self, Announced};
use crate::http::body::RequestBody;
use crate::timers::{Deadline, Timers};

/// Why a response body ended early.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// Nothing came for `idle_timeout`.
    #[error("the upstream was silent for longer than idle_timeout in the middle of a response")]
    Silent,
    /// The connection broke, or the framing is wrong.
    #[error("the upstream broke off its response: {0}")]
    Broken(#[from] hyper::Error),
}

/// A response body. Dropped before its end, it closes the upstream connection.
#[derive(Debug)]
pub struct UpstreamBody<B = RequestBody> {
    inner: Incoming,
    /// None once the response is at its end.
    lease: Option<Lease<B>>,
    announced: Announced,
    idle_timeout: Duration,
    deadline: Deadline,
}

impl<B> UpstreamBody<B> {
    pub(super) fn new(
        inner: Incoming,
        lease: Option<Lease<B>>,
        announced: Announced,
        idle_timeout: Duration,
        timers: &Timers,
    ) -> Self {
        let mut body = Self { inner, lease, announced, idle_timeout, deadline: timers.deadline() };
        // An empty body is never polled.
        if body.inner.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release();
        }
    }

    /// Gives up: the connection is closed now, not when the body is dropped.
    fn interrupt(&mut self, reason: Interrupted) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        self.lease = None;
        Poll::Ready(Some(Err(reason)))
    }
}

// Nothing here is pinned in place: hyper's body and the lease may move.
impl<B> Unpin for UpstreamBody<B> {}

impl<B> Body for UpstreamBody<B> {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_pending() {
            // PERF: armed only while the client waits for the app.
            if !self.deadline.is_armed() {
                self.deadline.arm(self.idle_timeout);
            }
            ready!(self.deadline.poll_elapsed(cx));
            return self.interrupt(Interrupted::Silent);
        }
        if self.deadline.is_armed() {
            self.deadline.disarm();
        }
        let frame = match ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return self.interrupt(error.into()),
            None => {
                self.finish();
                return Poll::Ready(None);
            }
        };
        match frame.into_trailers() {
            Ok(trailers) => {
                self.finish();
                let trailers = trailers::filter(trailers, self.announced.as_deref());
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Err(frame) => {
                // A body of known length is not polled again after its last byte.
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
