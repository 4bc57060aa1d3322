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

#[cfg(test)]
mod tests {
    use super::super::scripted::{App, Step, anybody, get, run, send, text};
    use super::super::{Pools, forward};
    use super::*;

    /// Reads a whole body from an app that follows `script` after the request.
    fn read(script: &[Step], check: impl FnOnce(Result<String, Interrupted>) + 'static) {
        let script = [&[Step::Request], script].concat();
        run(|pools: Pools<_>| async move {
            let app = App::start([script]).await;
            let response = forward(anybody(), &pools, &app.upstream(["5s", "5s", "150ms"]), get()).await.unwrap();
            check(text(response).await);
            assert_eq!(pools.pool(&app.patient()).idle_count(), 0);
        });
    }

    #[test]
    fn a_body_cut_short_is_an_error_whatever_its_framing() {
        for start in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n",
        ] {
            read(&[send(start)], |body| assert!(matches!(body, Err(Interrupted::Broken(_))), "{body:?}"));
        }
    }

    #[test]
    fn a_reset_is_not_the_end_of_a_body_without_length() {
        let start = "HTTP/1.1 200 OK\r\n\r\nshort";
        read(&[send(start)], |body| assert_eq!(body.unwrap(), "short"));
        read(&[send(start), Step::Reset], |body| assert!(matches!(body, Err(Interrupted::Broken(_))), "{body:?}"));
    }

    #[test]
    fn broken_chunks_are_an_error() {
        for chunk in ["0x1\r\na\r\n", "+1\r\na\r\n", "\r\n", "1\na\r\n", "1\r\naXX0\r\n\r\n", "1ffffffffffffffff\r\na"]
        {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
            let script = [send(text), Step::Closed];
            read(&script, move |body| assert!(matches!(body, Err(Interrupted::Broken(_))), "{chunk:?}: {body:?}"));
        }
    }

    #[test]
    fn silence_in_the_middle_is_an_error_and_closes_the_connection() {
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
        read(&[send(start), Step::Closed], |body| assert!(matches!(body, Err(Interrupted::Silent)), "{body:?}"));
    }

    #[test]
    fn announced_trailers_follow_the_body_and_never_become_headers() {
        run(|pools: Pools<_>| async move {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n\
                           2\r\nhi\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a=b\r\nX-Other: 1\r\n\r\n";
            let app = App::start([vec![Step::Request, send(chunked), Step::Closed]]).await;
            let upstream = app.patient();
            let response = forward(anybody(), &pools, &upstream, get()).await.unwrap();
            assert_eq!(response.headers().len(), 1);
            assert_eq!(response.headers()["trailer"], "x-sum");
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            let trailers = body.trailers().unwrap();
            assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &"7".parse().unwrap()));
            assert_eq!(pools.pool(&upstream).idle_count(), 1);
        });
    }
}
