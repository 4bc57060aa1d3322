//! A request on its way to the app: its head, and its body as the client delivers it.
//!
//! `exchange` drives it until the response begins, `body` beside the response if the app answered early.
//! Nothing is buffered beyond the piece in hand.

use std::io::{self, ErrorKind, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::request::Length;
use crate::http::body::BodyError;

/// What is still to be sent, and who keeps it from being sent.
#[derive(Debug)]
pub(super) struct Outgoing<B> {
    /// The head, then the size lines of chunks. Stands as it was sent while there is no body.
    text: Vec<u8>,
    /// So much of `text` is sent.
    sent: usize,
    /// Follows `text`.
    data: Bytes,
    /// Follows `data`.
    end: &'static [u8],
    /// None: no body, or all of it is in `data`. PERF: boxed, because most requests have none.
    upload: Option<Box<Upload<B>>>,
    /// Who is slow: the app since then, or (`None`) the client.
    app_owes_since: Option<Instant>,
    /// The app no longer reads; its response may still be there.
    deaf: bool,
}

#[derive(Debug)]
struct Upload<B> {
    body: B,
    /// What is left by the length that was told; `None` in chunks.
    left: Option<u64>,
}

/// Why sending stopped.
#[derive(Debug)]
pub(super) enum SendError {
    Client(BodyError),
    Socket(io::Error),
}

impl<B> Outgoing<B> {
    /// A head, and the body that belongs to it.
    pub(super) fn new(head: Vec<u8>, body: B, length: Length) -> Self {
        let upload = match length {
            Length::Known(0) => None,
            Length::Known(size) => Some(Box::new(Upload { body, left: Some(size) })),
            Length::Unknown => Some(Box::new(Upload { body, left: None })),
        };
        Self { text: head, sent: 0, data: Bytes::new(), end: b"", upload, app_owes_since: None, deaf: false }
    }

    /// From the start again; only for a request that never had a body.
    pub(super) fn rewind(&mut self) {
        (self.sent, self.app_owes_since, self.deaf) = (0, None, false);
    }

    /// Everything was handed to the socket: another request may follow.
    pub(super) fn is_sent(&self) -> bool {
        self.upload.is_none() && self.is_drained() && !self.deaf
    }

    /// After `limit` has passed: how much longer to wait for the app, or `None` when it has had its time.
    pub(super) fn patience_left(&self, limit: Duration) -> Option<Duration> {
        match self.app_owes_since {
            Some(since) => limit.checked_sub(since.elapsed()).filter(|left| !left.is_zero()),
            None if self.upload.is_none() => None,
            None => Some(limit),
        }
    }

    fn is_drained(&self) -> bool {
        self.sent == self.text.len() && self.data.is_empty() && self.end.is_empty()
    }

    fn advance(&mut self, mut written: usize) {
        let of_text = written.min(self.text.len() - self.sent);
        self.sent += of_text;
        written -= of_text;
        let of_data = written.min(self.data.len());
        self.data.advance(of_data);
        self.end = &self.end[written - of_data..];
        // While the body is not at its end, the client is the one to wait for.
        if self.upload.is_some() {
            self.app_owes_since = None;
        }
    }

    /// An app may answer early, close, and reset what we still send. Its answer then waits in our receive
    /// buffer, so the rest is given up and reading decides.
    fn go_deaf(&mut self) {
        self.deaf = true;
        self.upload = None;
        self.data = Bytes::new();
        (self.sent, self.end) = (self.text.len(), b"");
    }

    fn poll_write(&self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let text = &self.text[self.sent..];
        if self.data.is_empty() && self.end.is_empty() {
            return Pin::new(stream).poll_write(cx, text);
        }
        let slices = [IoSlice::new(text), IoSlice::new(&self.data), IoSlice::new(self.end)];
        Pin::new(stream).poll_write_vectored(cx, &slices)
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Outgoing<B> {
    /// Sends what can be sent now. Ready once everything is sent, or will never be.
    pub(super) fn poll_send(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            // PERF: before the first write, so that the head and a first piece of body are one system call.
            self.take_from_client(cx)?;
            if self.is_drained() {
                return if self.upload.is_none() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            match self.poll_write(stream, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(SendError::Socket(ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => self.advance(written),
                Poll::Ready(Err(error)) if is_peer_gone(&error) => self.go_deaf(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(SendError::Socket(error))),
                Poll::Pending => {
                    self.app_owes_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
        }
    }

    /// The next piece of the body, if there is room for it in our hand.
    fn take_from_client(&mut self, cx: &mut Context<'_>) -> Result<(), SendError> {
        while let Some(upload) = &mut self.upload
            && self.data.is_empty()
            && self.end.is_empty()
        {
            let Poll::Ready(polled) = Pin::new(&mut upload.body).poll_frame(cx) else { return Ok(()) };
            let Some(frame) = polled.transpose().map_err(SendError::Client)? else {
                self.end_upload()?;
                return Ok(());
            };
            // SECURITY: trailers are dropped here too, whatever the body hands us.
            let Ok(data) = frame.into_data() else { continue };
            let ended = upload.body.is_end_stream();
            self.put(data)?;
            if ended {
                self.end_upload()?;
            }
        }
        Ok(())
    }

    fn put(&mut self, data: Bytes) -> Result<(), SendError> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        // SECURITY: an empty chunk would be the end of the body.
        if data.is_empty() {
            return Ok(());
        }
        match &mut upload.left {
            // SECURITY: what exceeds the told length would be the next request.
            Some(left) => *left = left.checked_sub(data.len() as u64).ok_or_else(wrong_length)?,
            None => {
                if self.sent == self.text.len() {
                    self.text.clear();
                    self.sent = 0;
                }
                // Writing to a `Vec` does not fail.
                let _ = write!(self.text, "{:x}\r\n", data.len());
                self.end = b"\r\n";
            }
        }
        self.data = data;
        Ok(())
    }

    fn end_upload(&mut self) -> Result<(), SendError> {
        match self.upload.take().and_then(|upload| upload.left) {
            Some(0) => {}
            Some(_) => return Err(wrong_length()),
            None if self.data.is_empty() => self.end = b"0\r\n\r\n",
            None => self.end = b"\r\n0\r\n\r\n",
        }
        // From now on the app is the one to wait for.
        self.app_owes_since = Some(Instant::now());
        Ok(())
    }
}

fn is_peer_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// Not for clients to bring about: the body's length is what its own framing says.
fn wrong_length() -> SendError {
    SendError::Socket(io::Error::other("the request body is not as long as it said"))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body::Frame;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::Pools;
    use super::super::scripted::{TestBody, run};
    use super::*;

    /// Our socket, and the app's end of it.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours, listener.accept().await.unwrap().0)
    }

    async fn sent(body: TestBody) -> Result<String, SendError> {
        let (mut ours, mut app) = pair().await;
        let length = Length::of(&body);
        let mut outgoing = Outgoing::new(b"head;".to_vec(), body, length);
        poll_fn(|cx| outgoing.poll_send(&mut ours, cx)).await?;
        assert!(outgoing.is_sent());
        drop(ours);
        let mut seen = String::new();
        app.read_to_string(&mut seen).await.unwrap();
        Ok(seen)
    }

    #[test]
    fn a_body_is_framed_by_what_is_known_of_its_length() {
        run(|_: Pools| async move {
            assert_eq!(sent(TestBody::empty()).await.unwrap(), "head;");
            assert_eq!(sent(TestBody::sized("abc")).await.unwrap(), "head;abc");
            let chunks = ["abc", "", "0123456789abcdef"];
            assert_eq!(
                sent(TestBody::chunked(&chunks)).await.unwrap(),
                "head;3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
            );
        });
    }

    #[test]
    fn a_body_of_another_length_than_told_never_looks_complete() {
        for (text, told) in [("abc", 4), ("abc", 2)] {
            run(move |_: Pools| async move {
                let (mut ours, _app) = pair().await;
                let (sender, body) = TestBody::open(None);
                sender.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).unwrap();
                drop(sender);
                let mut outgoing = Outgoing::new(Vec::new(), body, Length::Known(told));
                assert!(poll_fn(|cx| outgoing.poll_send(&mut ours, cx)).await.is_err());
            });
        }
    }

    #[test]
    fn an_answer_can_be_read_after_the_app_reset_what_we_send() {
        run(|_: Pools| async move {
            let (mut ours, mut app) = pair().await;
            let (sender, body) = TestBody::open(None);
            let mut outgoing = Outgoing::new(b"POST / HTTP/1.1".to_vec(), body, Length::Unknown);
            poll_fn(|cx| Poll::Ready(outgoing.poll_send(&mut ours, cx).is_pending())).await;
            app.readable().await.unwrap();
            app.write_all(b"HTTP/1.1 413 No").await.unwrap();
            // With our bytes unread, closing sends RST.
            drop(app);
            while !outgoing.deaf {
                sender.send(Ok(Frame::data(Bytes::from_static(b"more")))).unwrap();
                poll_fn(|cx| Poll::Ready(outgoing.poll_send(&mut ours, cx).is_ready())).await;
            }
            assert!(!outgoing.is_sent());
            let mut answer = [0; 15];
            ours.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 413 No");
        });
    }
}
