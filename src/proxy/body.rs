//! The body of a response on its way to the client; the connection goes back to the pool at its end.
//!
//! `exchange` makes it. A body that breaks off is an error, so that the client's connection breaks too: what
//! was cut short never looks complete.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use super::exchange::cut_short;
use super::framing::{Framing, Piece};
use super::outgoing::Outgoing;
use super::pool::Lease;
use super::response::Head;
use super::trailers::{self, Announced};
use crate::http::body::{BodyError, RequestBody};
use crate::timers::{Deadline, Timers};

/// Why a response body ended early.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// Nothing came for `idle_timeout`.
    #[error("the upstream was silent for longer than idle_timeout in the middle of a response")]
    Silent,
    /// Somebody was signed out, and what they were being sent ends.
    #[error("the session has ended in which it was asked for")]
    SessionEnded,
    /// The connection broke, or the framing is wrong.
    #[error("the upstream broke off its response: {0}")]
    Broken(#[from] io::Error),
}

/// A response body. Dropped before its end, it closes the upstream connection.
#[derive(Debug)]
pub struct UpstreamBody<B = RequestBody> {
    /// All of a body that came with its head.
    whole: Bytes,
    /// None once the response is at its end. PERF: boxed, because most small responses never need it.
    rest: Option<Box<Rest<B>>>,
    /// Why it ends early, not told yet.
    broken: Option<Interrupted>,
}

/// What is needed to read on.
#[derive(Debug)]
struct Rest<B> {
    lease: Lease,
    framing: Framing,
    announced: Announced,
    /// The request, if the app answered before it had read all of it.
    outgoing: Outgoing<B>,
    idle_timeout: Duration,
    deadline: Deadline,
}

impl<B> UpstreamBody<B> {
    /// No body at all.
    pub(super) fn empty() -> Self {
        Self { whole: Bytes::new(), rest: None, broken: None }
    }

    /// The response with its body. When all of it is there, the connection is free at once.
    pub(super) fn attach(
        mut head: Head,
        mut lease: Lease,
        outgoing: Outgoing<B>,
        idle_timeout: Duration,
        timers: &Timers,
    ) -> Response<Self> {
        let framing = std::mem::replace(&mut head.framing, Framing::Length(0));
        lease.keep_for(if framing.ends_at_close() { 0 } else { head.keep_seconds });
        let unread = &mut lease.connection.unread;
        let announced = head.announced.take();
        if let Some(size) =
            framing.left().and_then(|left| usize::try_from(left).ok()).filter(|size| *size <= unread.len())
        {
            let whole = unread.split_to(size).freeze();
            finish(lease, &outgoing);
            return head.with_body(Self { whole, rest: None, broken: None });
        }
        let rest = Rest { lease, framing, announced, outgoing, idle_timeout, deadline: timers.deadline() };
        head.with_body(Self { whole: Bytes::new(), rest: Some(Box::new(rest)), broken: None })
    }

    /// Whether all of it has come from the app.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.rest.is_none() && self.broken.is_none()
    }

    /// The response is at its end.
    fn finish(&mut self) {
        if let Some(rest) = self.rest.take() {
            finish(rest.lease, &rest.outgoing);
        }
    }
}

// SECURITY: a request that was not sent to its end would go on as the next one, so its connection is closed.
fn finish<B>(lease: Lease, outgoing: &Outgoing<B>) {
    if outgoing.is_sent() {
        lease.release();
    }
}

// Nothing here is pinned in place.
impl<B> Unpin for UpstreamBody<B> {}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for UpstreamBody<B> {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        if let Some(reason) = self.broken.take() {
            return Poll::Ready(Some(Err(reason)));
        }
        let Some(rest) = &mut self.rest else {
            let whole = std::mem::take(&mut self.whole);
            return Poll::Ready((!whole.is_empty()).then(|| Ok(Frame::data(whole))));
        };
        let frame = match ready!(rest.poll_piece(cx)) {
            Ok(Piece::Data(data)) => Some(Frame::data(data)),
            Ok(Piece::Trailers(found)) => trailers::filter(found, rest.announced.as_deref()).map(Frame::trailers),
            Ok(Piece::End) => None,
            Err(reason) => {
                // Closed now, not when the body is dropped.
                self.rest = None;
                // Told at the next poll: hyper writes out what it holds, the head at least, before it asks again. An
                // error at once would drop that, and the client would see no answer where it should see half of one.
                self.broken = Some(reason);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        // A body of known length is not polled again after its last byte.
        if rest.framing.is_done() || frame.is_none() {
            self.finish();
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.is_whole() && self.whole.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            None if self.broken.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(self.whole.len() as u64),
            Some(rest) => rest.framing.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Rest<B> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Interrupted>> {
        loop {
            let decoded = self.framing.decode(&mut self.lease.connection.unread);
            if let Some(piece) = decoded.map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))? {
                self.end_silence();
                return Poll::Ready(Ok(piece));
            }
            if let Poll::Ready(Err(_)) = self.outgoing.poll_send(&mut self.lease.connection.stream, cx) {
                return Poll::Ready(Err(io::Error::other("the request broke off").into()));
            }
            match self.lease.connection.poll_read_body(cx) {
                Poll::Ready(Ok(0)) if self.framing.ends_at_close() => return Poll::Ready(Ok(Piece::End)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(cut_short().into())),
                Poll::Ready(read) => drop(read?),
                Poll::Pending => {
                    ready!(self.poll_silence(cx));
                    return Poll::Ready(Err(Interrupted::Silent));
                }
            }
        }
    }

    /// PERF: armed only while the client waits for the app.
    fn poll_silence(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.deadline.is_armed() {
            self.deadline.arm(self.idle_timeout);
        }
        self.deadline.poll_elapsed(cx)
    }

    fn end_silence(&self) {
        if self.deadline.is_armed() {
            self.deadline.disarm();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pools;
    use super::super::scripted::{App, Step, anybody, forward, get, run, send, text};
    use super::*;
    use crate::http::lines::HeaderLines;

    /// Reads a whole body from an app that follows `script` after the request.
    fn read(script: &[Step], check: impl FnOnce(Result<String, Interrupted>) + 'static) {
        let script = [&[Step::Request], script].concat();
        run(|pools: Pools| async move {
            let app = App::start([script]).await;
            let response =
                forward(anybody(), &HeaderLines::default(), &pools, &app.upstream(["5s", "5s", "150ms"]), get())
                    .await
                    .unwrap();
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
        run(|pools: Pools| async move {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n\
                           2\r\nhi\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a=b\r\nX-Other: 1\r\n\r\n";
            let app = App::start([vec![Step::Request, send(chunked), Step::Closed]]).await;
            let upstream = app.patient();
            let response = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
            assert_eq!(response.headers().len(), 1);
            assert_eq!(response.headers()["trailer"], "x-sum");
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            let trailers = body.trailers().unwrap();
            assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &"7".parse().unwrap()));
            assert_eq!(pools.pool(&upstream).idle_count(), 1);
        });
    }
}
