//! The socket as hyper's client sees it: a TCP stream whose response heads are scanned on the way.
//!
//! `connect` makes one per connection. Between the heads it is opaque: no look, no copy. It never
//! changes a byte; what it does not like it answers with an error, and the connection is over.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::scan::Scanner;
use super::wire::Wire;

const SCRATCH: usize = 16 * 1024;

thread_local! {
    // PERF: a head is read here, scanned and copied on (a few hundred bytes), because hyper's cursor cannot
    // be looked into without unsafe code. One buffer per worker; bodies go straight to hyper's own.
    static HEAD: RefCell<Box<[u8; SCRATCH]>> = RefCell::new(Box::new([0; SCRATCH]));
}

/// One upstream socket.
#[derive(Debug)]
pub(super) struct Io {
    stream: TokioIo<TcpStream>,
    wire: Rc<Wire>,
    scanner: Scanner,
}

impl Io {
    pub(super) fn new(stream: TcpStream, wire: Rc<Wire>) -> Self {
        Self { stream: TokioIo::new(stream), wire, scanner: Scanner::default() }
    }

    /// The bare socket, after an upgrade.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    fn poll_read_head(&mut self, cx: &mut Context<'_>, mut cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        HEAD.with_borrow_mut(|scratch| {
            let room = cursor.remaining().min(SCRATCH);
            let mut read = ReadBuf::new(&mut scratch[..room]);
            ready!(Pin::new(self.stream.inner_mut()).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.wire.note_answer();
            match self.scanner.scan(read.filled()) {
                Ok(true) => self.wire.end_head(),
                Ok(false) => {}
                Err(violation) => {
                    self.wire.violate(violation);
                    return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, violation.reason())));
                }
            }
            cursor.put_slice(read.filled());
            Poll::Ready(Ok(()))
        })
    }

    /// Notes how a write of `offered` bytes went.
    ///
    /// An app may answer early, close, and reset what we still send. Its answer then waits in our receive
    /// buffer, but hyper gives up at the first failed write: so the rest is swallowed and reading decides.
    fn wrote(&self, polled: Poll<io::Result<usize>>, offered: usize) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => self.wire.write_stalled(),
            Poll::Ready(Ok(_)) => self.wire.write_advanced(),
            Poll::Ready(Err(error)) if is_peer_gone(error) => {
                self.wire.go_deaf();
                return Poll::Ready(Ok(offered));
            }
            Poll::Ready(Err(_)) => {}
        }
        polled
    }
}

fn is_peer_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl Read for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.wire.is_head_awaited() {
            return this.poll_read_head(cx, cursor);
        }
        Pin::new(&mut this.stream).poll_read(cx, cursor)
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.wire.is_deaf() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(polled, bytes.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let offered = slices.iter().map(|slice| slice.len()).sum();
        if this.wire.is_deaf() {
            return Poll::Ready(Ok(offered));
        }
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(polled, offered)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::ReadBuf as HyperReadBuf;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::super::Pools;
    use super::super::scripted::{TestBody, run};
    use super::*;

    /// Our socket, and the app's end of it.
    async fn pair() -> (Io, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Io::new(ours, Rc::default()), listener.accept().await.unwrap().0)
    }

    async fn read(io: &mut Io) -> io::Result<String> {
        let mut bytes = [0; 64];
        let mut buffer = HyperReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, buffer.unfilled())).await?;
        Ok(String::from_utf8(buffer.filled().to_vec()).unwrap())
    }

    async fn write(io: &mut Io, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, bytes)).await
    }

    #[test]
    fn an_answer_can_be_read_after_the_app_reset_what_we_send() {
        run(|_: Pools<TestBody>| async move {
            let (mut io, mut app) = pair().await;
            io.wire.begin(false);
            write(&mut io, b"POST / HTTP/1.1").await.unwrap();
            app.readable().await.unwrap();
            app.write_all(b"HTTP/1.1 413 No").await.unwrap();
            // With our bytes unread, closing sends RST.
            drop(app);
            while !io.wire.is_deaf() {
                assert_eq!(write(&mut io, b"more").await.unwrap(), 4);
            }
            let slices = [IoSlice::new(b"one"), IoSlice::new(b"more")];
            assert_eq!(poll_fn(|cx| Pin::new(&mut io).poll_write_vectored(cx, &slices)).await.unwrap(), 7);
            assert!(!io.wire.is_clean());
            assert_eq!(read(&mut io).await.unwrap(), "HTTP/1.1 413 No");
        });
    }

    #[test]
    fn only_the_head_is_scanned() {
        run(|_: Pools<TestBody>| async move {
            let (mut io, mut app) = pair().await;
            io.wire.begin(true);
            app.write_all(b"HTTP/1.1 200 OK\r\n\r\na\n").await.unwrap();
            assert_eq!(read(&mut io).await.unwrap(), "HTTP/1.1 200 OK\r\n\r\na\n");
            app.write_all(b"b\nc").await.unwrap();
            assert_eq!(read(&mut io).await.unwrap(), "b\nc");
            io.wire.begin(true);
            app.write_all(b"HTTP/1.1 200 OK\n").await.unwrap();
            assert_eq!(read(&mut io).await.unwrap_err().kind(), ErrorKind::InvalidData);
        });
    }
}
