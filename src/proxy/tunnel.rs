//! Two sockets joined after a 101: bytes both ways until both have ended, one breaks, or silence is too long.
//!
//! `upgrade` spawns one task per tunnel. It does not read what passes.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use crate::timers::Timers;

const BUFFER: usize = 8 * 1024;
/// How long the other direction may be silent once one has ended.
const LINGER: Duration = Duration::from_secs(10);

/// Waits until the client's side has switched, then joins both. They are closed when this ends.
pub(super) async fn run(client: OnUpgrade, upstream: Connection, idle_timeout: Duration, timers: Timers) {
    // Until the 101 is written to the client, the app's early bytes wait.
    let Ok(client) = client.await else { return };
    join(TokioIo::new(client), upstream.stream, &upstream.unread, idle_timeout, &timers).await;
}

async fn join<C, U>(mut client: C, mut upstream: U, early: &[u8], idle_timeout: Duration, timers: &Timers)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Pump::new(&[]);
    let mut down = Pump::new(early);
    let deadline = timers.deadline();
    std::future::poll_fn(|cx| {
        let mut moved = !deadline.is_armed();
        let up_done = up.poll(cx, &mut client, &mut upstream, &mut moved);
        let down_done = down.poll(cx, &mut upstream, &mut client, &mut moved);
        match (up_done, down_done) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(()),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
            _ => {}
        }
        if moved {
            deadline.arm(if up.ended || down.ended { idle_timeout.min(LINGER) } else { idle_timeout });
        }
        deadline.poll_elapsed(cx)
    })
    .await;
}

/// One direction.
struct Pump {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    unflushed: bool,
    /// The source said it sends no more.
    ended: bool,
    closed: bool,
}

impl Pump {
    /// Starts with bytes that were read already.
    fn new(early: &[u8]) -> Self {
        let mut buffer = vec![0; BUFFER.max(early.len())].into_boxed_slice();
        buffer[..early.len()].copy_from_slice(early);
        Self { buffer, start: 0, end: early.len(), unflushed: false, ended: false, closed: false }
    }

    /// Moves what can be moved. Ready once the source has ended and the other side knows.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W, moved: &mut bool) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            ready!(self.poll_write(cx, to, moved))?;
            if self.ended {
                return self.poll_close(cx, to);
            }
            let mut read = ReadBuf::new(&mut self.buffer);
            if Pin::new(&mut *from).poll_read(cx, &mut read)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            (self.start, self.end) = (0, read.filled().len());
            self.ended = self.end == 0;
            *moved = true;
        }
    }

    fn poll_write<W>(&mut self, cx: &mut Context<'_>, to: &mut W, moved: &mut bool) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while self.start < self.end {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer[self.start..self.end]))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.start += written;
            self.unflushed = true;
            *moved = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(Pin::new(to).poll_shutdown(cx))?;
            self.closed = true;
        }
        Poll::Ready(Ok(()))
    }
}
