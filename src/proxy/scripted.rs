//! Only for tests of this module: an app that does on each connection exactly what its script says.
//!
//! It listens on a loopback port of its own, records what it saw, and closes a connection at the end of
//! its script. When all scripts are used up it no longer listens.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;

use super::{Error, Interrupted, Pools, Upstream, UpstreamBody};
use crate::config::schema;
use crate::http::body::BodyError;
use crate::http::lines::HeaderLines;
use crate::policy::{self, Decision, Permit};
use crate::timers::Timers;

/// What the app does next on a connection.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Reads one whole request and records it.
    Request,
    /// Reads a head only, and records it.
    Head,
    /// Reads exactly so many bytes and records them.
    Bytes(usize),
    /// Writes.
    Send(String),
    /// Reads until the other side closes, and records `closed`.
    Closed,
    /// Closes with RST.
    Reset,
}

pub(super) fn send(text: impl Into<String>) -> Step {
    Step::Send(text.into())
}

/// A whole response with a body.
pub(super) fn ok(body: &str) -> Step {
    send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// The app: its address and its record.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) address: SocketAddr,
    record: Rc<Record>,
}

#[derive(Debug, Default)]
struct Record {
    seen: RefCell<Vec<String>>,
    changed: Notify,
}

impl Record {
    fn add(&self, text: String) {
        self.seen.borrow_mut().push(text);
        self.changed.notify_waiters();
    }
}

impl App {
    /// Listens, one script per connection.
    pub(super) async fn start(scripts: impl Into<Vec<Vec<Step>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = Self { address: listener.local_addr().unwrap(), record: Rc::default() };
        let (record, scripts) = (Rc::clone(&app.record), scripts.into());
        spawn_local(async move {
            for (number, script) in scripts.into_iter().enumerate() {
                let (stream, _) = listener.accept().await.unwrap();
                spawn_local(play(stream, script, number + 1, Rc::clone(&record)));
            }
        });
        app
    }

    /// The first `count` things seen, as soon as they are there: `CONNECTION: TEXT`.
    pub(super) async fn saw(&self, count: usize) -> Vec<String> {
        loop {
            let changed = self.record.changed.notified();
            if self.record.seen.borrow().len() >= count {
                return self.record.seen.borrow().clone();
            }
            changed.await;
        }
    }

    /// This app as an upstream with the given timeouts (connect, first byte, idle).
    pub(super) fn upstream(&self, timeouts: [&str; 3]) -> Upstream {
        let [connect_timeout, first_byte_timeout, idle_timeout] =
            timeouts.map(|text| schema::Duration::try_from(text).unwrap());
        let url = Some(format!("http://{}", self.address));
        let config = schema::Upstream { url, connect_timeout, first_byte_timeout, idle_timeout, ..Default::default() };
        Upstream::from_config(0, &config).unwrap()
    }

    pub(super) fn patient(&self) -> Upstream {
        self.upstream(["5s", "5s", "5s"])
    }
}

async fn play(mut stream: TcpStream, script: Vec<Step>, number: usize, record: Rc<Record>) {
    let mut buffer = Vec::new();
    for step in script {
        let seen = match step {
            Step::Request => read_request(&mut stream, &mut buffer).await,
            Step::Head => read_head(&mut stream, &mut buffer).await,
            Step::Bytes(count) => read_bytes(&mut stream, &mut buffer, count).await,
            Step::Closed => {
                while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {}
                Some("closed".into())
            }
            Step::Send(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                continue;
            }
            Step::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        };
        record.add(format!("{number}: {}", seen.as_deref().unwrap_or("eof")));
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    let head = read_head(stream, buffer).await?;
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
    if head.contains("transfer-encoding: chunked") {
        let body = read_until(stream, buffer, b"0\r\n\r\n").await?;
        return Some(head + &body);
    }
    let body = read_bytes(stream, buffer, length.map_or(0, |text| text.parse().unwrap())).await?;
    Some(head + &body)
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    read_until(stream, buffer, b"\r\n\r\n").await
}

async fn read_until(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<String> {
    loop {
        if let Some(start) = buffer.windows(end.len()).position(|window| window == end) {
            return read_bytes(stream, buffer, start + end.len()).await;
        }
        stream.read_buf(buffer).await.ok().filter(|read| *read > 0)?;
    }
}

async fn read_bytes(stream: &mut TcpStream, buffer: &mut Vec<u8>, count: usize) -> Option<String> {
    while buffer.len() < count {
        stream.read_buf(buffer).await.ok().filter(|read| *read > 0)?;
    }
    Some(String::from_utf8(buffer.drain(..count).collect()).unwrap())
}

/// Runs a test on a worker's kind of runtime; nothing may hang.
pub(super) fn run<F: Future<Output = ()> + 'static>(test: impl FnOnce(Pools) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    let timers = Timers::default();
    let test = test(Pools::new(timers.clone()));
    runtime.block_on(async {
        spawn_local(timers.run());
        tokio::time::timeout(Duration::from_secs(10), test).await.expect("the test hangs");
    });
}

pub(super) fn request(method: &str, body: TestBody) -> Request<TestBody> {
    Request::builder().method(method).uri("/page?x=1").header("host", "app.example").body(body).unwrap()
}

/// A permit as a public route gives it.
pub(super) fn anybody() -> Permit<'static> {
    match policy::decide(&schema::Access::Public, None) {
        Decision::Allow(permit) => permit,
        other => panic!("a public route is open to all: {other:?}"),
    }
}

pub(super) fn get() -> Request<TestBody> {
    request("GET", TestBody::empty())
}

/// Sends a request in one piece.
pub(super) fn forward<'a, B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static>(
    permit: Permit<'a>,
    lines: &HeaderLines,
    pools: &'a Pools,
    upstream: &'a Upstream,
    request: Request<B>,
) -> impl Future<Output = Result<Response<UpstreamBody<B>>, Error>> + use<'a, B> {
    let (request, body) = request.into_parts();
    super::forward(permit, lines, pools, upstream, &request, body)
}

/// The whole body as text, or why it broke off.
pub(super) async fn text(response: Response<UpstreamBody<TestBody>>) -> Result<String, Interrupted> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// A request body under the test's control.
#[derive(Debug)]
pub(super) struct TestBody {
    frames: mpsc::UnboundedReceiver<Result<Frame<Bytes>, BodyError>>,
    left: Option<u64>,
}

pub(super) type TestSender = mpsc::UnboundedSender<Result<Frame<Bytes>, BodyError>>;

impl TestBody {
    pub(super) fn empty() -> Self {
        Self::open(Some(0)).1
    }

    pub(super) fn sized(text: &'static str) -> Self {
        let (sender, body) = Self::open(Some(text.len() as u64));
        sender.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).unwrap();
        body
    }

    pub(super) fn chunked(chunks: &[&'static str]) -> Self {
        let (sender, body) = Self::open(None);
        for chunk in chunks {
            sender.send(Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))).unwrap();
        }
        body
    }

    /// A body that is sent while the test goes on; `length` as the client announced it.
    pub(super) fn open(length: Option<u64>) -> (TestSender, Self) {
        let (sender, frames) = mpsc::unbounded_channel();
        (sender, Self { frames, left: length })
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.frames.poll_recv(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(left)) = (&polled, &mut self.left) {
            *left -= frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
