//! Two sockets joined after a 101: bytes both ways until both have ended, one breaks, silence is too long, or the
//! session ends in which it was opened.
//!
//! `upgrade` spawns one task per tunnel. It does not read what passes, but for where frames begin.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Tether;
use super::connection::Connection;
use super::frames::Frames;
use crate::timers::Timers;

const BUFFER: usize = 8 * 1024;
/// How long the other direction may be silent once one has ended.
const LINGER: Duration = Duration::from_secs(10);
/// How long a browser may take to answer our farewell.
const FAREWELL: Duration = Duration::from_secs(2);

/// A whole frame (RFC 6455 §5.5.1): final, Close, 15 bytes, 1008 (policy violation), and why.
const SESSION_ENDED: &[u8; 17] = b"\x88\x0f\x03\xf0session ended";

/// Waits until the client's side has switched, then joins both. They are closed when this ends.
pub(super) async fn run(
    client: OnUpgrade,
    upstream: Connection,
    idle_timeout: Duration,
    timers: Timers,
    tether: Option<Tether>,
) {
    // Until the 101 is written to the client, the app's early bytes wait.
    let Ok(client) = client.await else { return };
    let mut client = TokioIo::new(client);
    let Connection { stream, unread, .. } = upstream;
    match join(&mut client, stream, &unread, idle_timeout, &timers, tether.as_ref()).await {
        End::Over => {}
        End::Cut { may_speak } => take_leave(&mut client, may_speak, &timers).await,
    }
}

/// How a tunnel has ended.
enum End {
    /// By one of its sides, or by silence.
    Over,
    /// With the session. `may_speak`: the browser has had whole frames, and more may follow.
    Cut { may_speak: bool },
}

/// The app's side is closed when this returns.
async fn join<C, U>(
    client: &mut C,
    mut upstream: U,
    early: &[u8],
    idle_timeout: Duration,
    timers: &Timers,
    tether: Option<&Tether>,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Pump::new(&[]);
    let mut down = Pump::new(early);
    // PERF: what nobody may end is not looked at.
    down.frames = tether.map(|_| Frames::default());
    let deadline = timers.deadline();
    std::future::poll_fn(|cx| {
        if tether.is_some_and(|tether| tether.poll_cut(cx).is_ready()) {
            let may_speak = down.frames.as_ref().is_some_and(Frames::may_insert) && !down.ended;
            return Poll::Ready(End::Cut { may_speak });
        }
        let mut moved = false;
        let up_done = up.poll(cx, client, &mut upstream, &mut moved);
        let down_done = down.poll(cx, &mut upstream, client, &mut moved);
        match (up_done, down_done) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(End::Over),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Over),
            _ => {}
        }
        if let (true, Some(tether)) = (moved, tether) {
            tether.moved();
        }
        if moved || !deadline.is_armed() {
            deadline.arm(if up.ended || down.ended { idle_timeout.min(LINGER) } else { idle_timeout });
        }
        deadline.poll_elapsed(cx).map(|()| End::Over)
    })
    .await
}

/// Tells the browser why, if there is room for a frame, and closes.
async fn take_leave<C: AsyncRead + AsyncWrite + Unpin>(client: &mut C, may_speak: bool, timers: &Timers) {
    let farewell = async {
        if may_speak {
            client.write_all(SESSION_ENDED).await?;
        }
        client.shutdown().await?;
        // A socket that is closed with unread bytes in it is reset, and the frame lost on its way.
        let mut unheard = [0; 1024];
        while client.read(&mut unheard).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the browser hears it makes no difference.
    let _ = timers.timeout(FAREWELL, farewell).await;
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
    /// What has been written, if somebody may have to write a frame of their own.
    frames: Option<Frames>,
}

impl Pump {
    /// Starts with bytes that were read already.
    fn new(early: &[u8]) -> Self {
        let mut buffer = vec![0; BUFFER.max(early.len())].into_boxed_slice();
        buffer[..early.len()].copy_from_slice(early);
        Self { buffer, start: 0, end: early.len(), unflushed: false, ended: false, closed: false, frames: None }
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
            if let Some(frames) = &mut self.frames {
                frames.pass(&self.buffer[self.start..self.start + written]);
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
