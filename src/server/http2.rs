//! HTTP/2 on one client connection: hyper's settings, its streams as local tasks, and stalled streams.
//!
//! `connection` calls it when the TLS handshake chose `h2`. hyper bounds resets, header lists and empty
//! frames; a client that keeps a stream's window shut is ours to end.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{AnswerBody, Progress};
use super::connection::{Connection, drive};
use super::io::GuardedIo;
use super::limit::Permit;
use super::state::OpenRequest;
use crate::timers::Deadline;
use crate::timers::Timers;

/// Serves `stream` until it ends.
pub(super) async fn serve<S, H, F, B>(stream: S, connection: Connection, permit: Permit, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let state = connection.state();
    let streams = Streams::new(connection.timers(), connection.timeouts().write);
    let builder = builder(connection.max_head_size(), streams.clone());
    let io = GuardedIo::new(stream, None, Arc::clone(&state), permit);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = OpenRequest::begin(&state);
        let progress = streams.begin();
        let answer = handler(request);
        async move {
            let response = answer.await;
            Ok::<_, Infallible>(response.map(|body| AnswerBody::new(body, open, Some(progress))))
        }
    });
    let hyper = builder.serve_connection(TokioIo::new(io), service);
    drive(hyper, connection, |hyper| hyper.graceful_shutdown()).await;
}

fn builder(max_head: usize, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        // Counted with 32 bytes for each field, so it stops a flood of indexed cookie crumbs as well.
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        // CVE-2023-44487 and RUSTSEC-2024-0003: how many resets a client may cause before it is sent away.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(128)
        // One upload must not own the connection's window.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// Runs the streams of one connection on this worker and ends those whose client stalls.
#[derive(Clone)]
struct Streams {
    timers: Timers,
    patience: Duration,
    /// From the call of the service to the spawn of its stream: hyper does one right after the other.
    begun: Rc<Cell<Option<Rc<Progress>>>>,
}

impl Streams {
    fn new(timers: &Timers, patience: Duration) -> Self {
        Self { timers: timers.clone(), patience, begun: Rc::default() }
    }

    fn begin(&self) -> Rc<Progress> {
        let progress = Rc::new(Progress::default());
        self.begun.set(Some(Rc::clone(&progress)));
        progress
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        match self.begun.take() {
            Some(progress) => {
                let deadline = self.timers.deadline();
                tokio::task::spawn_local(until_stalled(stream, progress, deadline, self.patience));
            }
            None => {
                tokio::task::spawn_local(stream);
            }
        }
    }
}

/// Runs `stream` to its end; drops it, which resets it, when its client takes nothing for `patience`.
///
/// What h2 itself still holds of a last piece that fitted a window only in part is out of reach here; the
/// connection's idle time ends it.
async fn until_stalled(
    stream: impl Future<Output = ()>,
    progress: Rc<Progress>,
    deadline: Deadline,
    patience: Duration,
) {
    let mut stream = pin!(stream);
    let mut waiting_since = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let waits = progress.waits_for_client();
        if waits != waiting_since {
            waiting_since = waits;
            match waits {
                Some(_) => deadline.arm(patience),
                None => deadline.disarm(),
            }
        }
        if waits.is_none() {
            return Poll::Pending;
        }
        ready!(deadline.poll_elapsed(cx));
        tracing::debug!("stream reset: the client does not take the answer");
        Poll::Ready(())
    })
    .await;
}
