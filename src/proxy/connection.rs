//! One upstream socket with what was read from it and not yet used; and the memory that reads land in.
//!
//! `pool` keeps connections, `outgoing` writes to them, `exchange` and `body` read. Nothing here knows HTTP.
//! Dropping a connection closes it, with everything still on its way.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Room for the read that should bring a head, and often all of a small response.
const HEAD_ROOM: usize = 8 * 1024;
/// Least and most room for a read in the middle of a body.
///
/// PERF: a fast app fills any buffer; with large ones it is stopped and started less often.
const BODY_ROOM: std::ops::RangeInclusive<usize> = 32 * 1024..=416 * 1024;

/// What all connections of a worker read into.
///
/// PERF: a piece is cut off for each read, so an idle or waiting connection holds no memory, and once the
/// pieces of a buffer are dropped `BytesMut` takes it again from its start: usually nothing is allocated.
/// Heads and bodies are apart, so that the small buffer of the heads stays in the processor's cache.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadMemory(Rc<RefCell<Buffers>>);

#[derive(Debug, Default)]
struct Buffers {
    heads: BytesMut,
    bodies: BytesMut,
}

/// A live connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Came in and was not used yet.
    pub(super) unread: BytesMut,
    memory: ReadMemory,
    body_room: usize,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, memory: ReadMemory) -> Self {
        Self { stream, unread: BytesMut::new(), memory, body_room: *BODY_ROOM.start() }
    }

    /// Adds what has arrived to `unread`: how many bytes; 0 is the end of the stream.
    pub(super) fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        read_into(&mut self.unread, &mut self.memory.0.borrow_mut().heads, HEAD_ROOM, &mut self.stream, cx)
    }

    /// The same in the middle of a body, with as much room as the app has lately filled.
    pub(super) fn poll_read_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (room, bodies) = (self.body_room, &mut self.memory.0.borrow_mut().bodies);
        let read = ready!(read_into(&mut self.unread, bodies, room, &mut self.stream, cx))?;
        if read >= room / 2 {
            self.body_room = (room * 2).min(*BODY_ROOM.end());
        } else if read < room / 8 {
            self.body_room = (room / 2).max(*BODY_ROOM.start());
        }
        Poll::Ready(Ok(read))
    }

    /// Whether an idle connection is as it was left: neither closed by the app nor spoken on.
    // SECURITY: bytes that nobody asked for would be taken for the next response.
    // PERF: the runtime knows the socket to be unreadable, so this is no system call.
    pub(super) fn is_quiet(&self) -> bool {
        self.unread.is_empty()
            && matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

fn read_into(
    unread: &mut BytesMut,
    memory: &mut BytesMut,
    room: usize,
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // Many small reads share a buffer; one that has lately been filled is wanted whole.
    let wanted = if room > *BODY_ROOM.start() { room } else { room / 2 };
    if memory.capacity() < wanted {
        memory.reserve(room);
    }
    let read = ready!(pin!(stream.read_buf(memory)).poll(cx))?;
    let arrived = memory.split();
    if unread.is_empty() {
        *unread = arrived;
    } else {
        unread.unsplit(arrived);
    }
    Poll::Ready(Ok(read))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::super::Pools;
    use super::super::scripted::run;
    use super::*;

    /// Our connection, and the app's end of it.
    async fn pair(memory: &ReadMemory) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Connection::new(ours, memory.clone()), listener.accept().await.unwrap().0)
    }

    async fn read(connection: &mut Connection) -> usize {
        poll_fn(|cx| connection.poll_read_head(cx)).await.unwrap()
    }

    #[test]
    fn connections_that_share_memory_do_not_mix_their_bytes() {
        run(|_: Pools| async move {
            let memory = ReadMemory::default();
            let (mut one, mut app_of_one) = pair(&memory).await;
            let (mut two, mut app_of_two) = pair(&memory).await;
            for (text_of_one, text_of_two) in [("a1", "b1"), ("a2", "b2")] {
                app_of_one.write_all(text_of_one.as_bytes()).await.unwrap();
                read(&mut one).await;
                app_of_two.write_all(text_of_two.as_bytes()).await.unwrap();
                read(&mut two).await;
            }
            assert_eq!((&one.unread[..], &two.unread[..]), (&b"a1a2"[..], &b"b1b2"[..]));
        });
    }

    #[test]
    fn a_connection_is_quiet_until_the_app_speaks_or_closes() {
        run(|_: Pools| async move {
            let memory = ReadMemory::default();
            let (spoken_on, mut app) = pair(&memory).await;
            assert!(spoken_on.is_quiet());
            app.write_all(b"x").await.unwrap();
            spoken_on.stream.readable().await.unwrap();
            assert!(!spoken_on.is_quiet());
            let (closed, app) = pair(&memory).await;
            drop(app);
            closed.stream.readable().await.unwrap();
            assert!(!closed.is_quiet());
        });
    }
}
