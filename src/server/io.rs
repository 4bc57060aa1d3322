//! The byte stream of one client connection as hyper sees it: guarded, watched, and closed gently.
//!
//! `server::connection` wraps each accepted stream in it. It holds no timer: it tells
//! `ConnectionState` what it sees, and `deadlines` decides when the waiting has been too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::{Guard, Phase, Violation};
use super::limit::Permit;
use super::state::{ConnectionState, Reading};

const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const URI_TOO_LONG: &[u8] = b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Up to here head and body are written as one piece.
const SMALL: usize = 1024;

/// What hyper is fed behind a poisoned byte: it looks at a head only once the head seems complete.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A client's stream between tokio and hyper (through `hyper_util::rt::TokioIo`).
#[derive(Debug)]
pub(super) struct GuardedIo<S> {
    stream: S,
    /// None for HTTP/2, whose frames the h2 crate checks.
    guard: Option<Guard>,
    state: Arc<ConnectionState>,
    /// What is left of [`HEAD_END`].
    tail: &'static [u8],
    /// What is left of an answer of our own; after it the connection closes.
    answer: Option<&'static [u8]>,
    closing: Closing,
    /// Counts this connection, an upgraded one too, until its socket is gone.
    _permit: Permit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    Lingering,
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedIo<S> {
    /// Wraps `stream`; with a `guard` it is read as HTTP/1.1.
    pub(super) fn new(stream: S, guard: Option<Guard>, state: Arc<ConnectionState>, permit: Permit) -> Self {
        Self { stream, guard, state, tail: &[], answer: None, closing: Closing::Open, _permit: permit }
    }

    /// Lets the guard look at what was read behind `before`.
    fn inspect(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, before: usize) -> Poll<io::Result<()>> {
        let fresh = buf.filled_mut().get_mut(before..).unwrap_or_default();
        let Some(guard) = &mut self.guard else {
            if !fresh.is_empty() {
                self.state.read_some();
            }
            return Poll::Ready(Ok(()));
        };
        if fresh.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let passed = guard.inspect(fresh);
        self.state.read(guard.phase(), guard.heads());
        match guard.verdict() {
            None => Poll::Ready(Ok(())),
            Some(why) => {
                buf.set_filled(before + passed);
                self.state.refuse(why);
                self.refuse(cx, buf, before, why)
            }
        }
    }

    fn refuse(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        before: usize,
        why: Violation,
    ) -> Poll<io::Result<()>> {
        if why == Violation::TargetTooLong && self.state.nothing_in_flight() {
            buf.set_filled(before);
            self.answer = Some(URI_TOO_LONG);
            return self.poll_answer(cx);
        }
        self.tail = if self.guard.as_ref().is_some_and(Guard::refused_in_head) { HEAD_END } else { &[] };
        self.feed_tail(buf);
        Poll::Ready(Ok(()))
    }

    fn feed_tail(&mut self, buf: &mut ReadBuf<'_>) {
        let (now, later) = self.tail.split_at(self.tail.len().min(buf.remaining()));
        buf.put_slice(now);
        self.tail = later;
    }

    /// Writes our own answer, closes, and ends hyper's reading with an error.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.answer.filter(|rest| !rest.is_empty()) {
            let n = ready!(self.poll_write_some(cx, |stream, cx| stream.poll_write(cx, rest)))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer = rest.get(n..);
        }
        ready!(self.poll_close(cx))?;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "refused")))
    }

    fn poll_write_some<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = write(Pin::new(&mut self.stream), cx);
        if polled.is_pending() {
            self.state.write_blocked();
        } else {
            self.state.write_progressed();
        }
        polled
    }

    /// PERF: a head and a small body in one piece: the copy costs less than what the kernel does for each vector.
    fn poll_write_joined(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
        total: usize,
    ) -> Poll<io::Result<usize>> {
        let mut joined = [0; SMALL];
        let mut at = 0;
        for slice in slices {
            joined[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        self.get_mut().poll_write_some(cx, |stream, cx| stream.poll_write(cx, &joined[..total]))
    }

    /// Closes our side, then reads away what the client still sends: closing a socket with unread bytes
    /// resets it, and the reset may overtake the answer. `deadlines` bounds the wait.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing == Closing::Open {
            ready!(self.poll_write_some(cx, |stream, cx| stream.poll_shutdown(cx)))?;
            self.closing = if self.is_mid_message() { Closing::Lingering } else { Closing::Done };
        }
        if self.closing == Closing::Lingering {
            self.state.linger();
            ready!(self.poll_read_away(cx));
            self.closing = Closing::Done;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    fn is_mid_message(&self) -> bool {
        matches!(self.state.reading(), Reading::In(Phase::Head | Phase::Body | Phase::Refused))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.answer.is_none() && this.state.is_head_expired() {
            this.answer = Some(REQUEST_TIMEOUT);
        }
        if this.answer.is_some() {
            return this.poll_answer(cx);
        }
        if !this.tail.is_empty() {
            this.feed_tail(buf);
            return Poll::Ready(Ok(()));
        }
        // SECURITY: behind a violation not one byte is read as HTTP any more.
        if let Some(why) = this.guard.as_ref().and_then(Guard::verdict) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.inspect(cx, buf, before)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_some(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total <= SMALL {
            return self.poll_write_joined(cx, slices, total);
        }
        self.get_mut().poll_write_some(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_some(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close(cx)
    }
}
