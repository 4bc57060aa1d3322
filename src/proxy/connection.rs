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
pub(super) const HEAD_ROOM: usize = 8 * 1024;
/// Room for a read in the middle of a body.
pub(super) const BODY_ROOM: usize = 64 * 1024;

/// What all connections of a worker read into.
///
/// PERF: a piece is cut off for each read, so an idle or waiting connection holds no memory, and once the
/// pieces of a buffer are dropped `BytesMut` takes it again from its start: usually nothing is allocated.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadMemory(Rc<RefCell<BytesMut>>);

/// A live connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Came in and was not used yet.
    pub(super) unread: BytesMut,
    memory: ReadMemory,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, memory: ReadMemory) -> Self {
        Self { stream, unread: BytesMut::new(), memory }
    }

    /// Adds what has arrived to `unread`: how many bytes; 0 is the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        let mut memory = self.memory.0.borrow_mut();
        if memory.capacity() < room / 4 {
            memory.reserve(room);
        }
        let read = ready!(pin!(self.stream.read_buf(&mut *memory)).poll(cx))?;
        let arrived = memory.split();
        if self.unread.is_empty() {
            self.unread = arrived;
        } else {
            self.unread.unsplit(arrived);
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
        poll_fn(|cx| connection.poll_read(cx, HEAD_ROOM)).await.unwrap()
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
