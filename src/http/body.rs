//! The body of a request on its way to the app: bounded, paced, without trailers.
//!
//! `pipeline` wraps what hyper hands it; `proxy` sends it on. Nothing is buffered here unless it is to be read before it
//! goes on, and what goes by is kept only where a [`Capture`] was asked for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use zeroize::Zeroizing;

use crate::timers::{Deadline, Timers};

/// Why a request body could not be read to its end. All of it is the client's doing.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the route takes.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The route's `max_body_size`.
        limit: u64,
    },
    /// Less than 500 bytes a second beyond the allowance.
    #[error("the request body came too slowly")]
    TooSlow,
    /// The connection broke, or the framing is wrong.
    #[error("the request body broke off: {0}")]
    Broken(#[from] hyper::Error),
}

/// A client may keep us waiting for `body_timeout`; each 500 bytes buy one more second (mod_reqtimeout's rule).
const BYTES_PER_SECOND: u64 = 500;

/// A request body with its bounds; `None`: there is nothing to send.
// PERF: boxed, because most requests have none, and what carries one is copied about.
#[derive(Debug)]
pub struct RequestBody(Option<Box<Flow>>);

#[derive(Debug)]
struct Flow {
    inner: Source,
    limit: Option<u64>,
    received: u64,
    pace: Pace,
    capture: Option<Capture>,
    /// What was read before any of it goes on.
    held: VecDeque<Bytes>,
}

#[derive(Debug)]
enum Source {
    Client(Incoming),
    /// It came before, all of it.
    Kept(Option<Bytes>),
}

/// A copy of a body that goes by, as long as it is short; wiped when it is dropped.
#[derive(Debug, Clone)]
pub struct Capture(Rc<RefCell<Captured>>);

// SECURITY: forms hold passwords, so no `Debug` shows the bytes.
struct Captured {
    bytes: Zeroizing<Vec<u8>>,
    limit: usize,
    is_whole: bool,
}

/// How long the client has kept us waiting, against what it may.
#[derive(Debug)]
struct Pace {
    patience: Duration,
    waited: Duration,
    /// Since when we wait now.
    waiting: Option<Instant>,
    deadline: Deadline,
}

impl Pace {
    fn new(patience: Duration, timers: &Timers) -> Self {
        Self { patience, waited: Duration::ZERO, waiting: None, deadline: timers.deadline() }
    }

    /// Ready when the client has been too slow. The clock runs only while we wait for the client, never
    /// while the app is slow to take what came.
    fn poll_exceeded(&mut self, received: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_none() {
            let earned = Duration::from_secs(received / BYTES_PER_SECOND);
            self.waiting = Some(Instant::now());
            self.deadline.arm((self.patience + earned).saturating_sub(self.waited));
        }
        self.deadline.poll_elapsed(cx)
    }

    fn arrived(&mut self) {
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
            self.deadline.disarm();
        }
    }
}

impl RequestBody {
    /// A body that is here already.
    #[must_use]
    pub fn kept(body: Bytes, timers: &Timers) -> Self {
        let pace = Pace::new(Duration::ZERO, timers);
        Self((!body.is_empty()).then(|| Flow::boxed(Source::Kept(Some(body)), None, pace)))
    }

    /// Wraps `inner`: at most `limit` bytes, and never more than `patience` behind the slowest pace.
    #[must_use]
    pub fn new(inner: Incoming, limit: Option<u64>, patience: Duration, timers: &Timers) -> Self {
        if inner.is_end_stream() {
            return Self(None);
        }
        Self(Some(Flow::boxed(Source::Client(inner), limit, Pace::new(patience, timers))))
    }

    /// The same, and no more than `limit` bytes of it.
    #[must_use]
    pub fn at_most(mut self, limit: u64) -> Self {
        if let Some(flow) = &mut self.0 {
            flow.limit = Some(flow.limit.map_or(limit, |own| own.min(limit)));
        }
        self
    }

    /// Keeps a copy of what goes by.
    pub fn capture(&mut self, capture: Capture) {
        match &mut self.0 {
            None => capture.note(None, true),
            Some(flow) => {
                flow.capture = Some(capture);
                let is_end = flow.inner.is_end_stream();
                flow.note(None, is_end);
            }
        }
    }

    /// Reads it to its end before any of it goes on, or a bit more than `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn hold(&mut self, limit: usize) -> Result<(), BodyError> {
        let (mut held, mut size) = (VecDeque::new(), 0);
        while size <= limit
            && let Some(frame) = self.frame().await.transpose()?
        {
            let data = frame.into_data().unwrap_or_default();
            size += data.len();
            held.push_back(data);
        }
        if let Some(flow) = &mut self.0 {
            flow.held = held;
        }
        Ok(())
    }

    /// Whether there is nothing to send: then a request may be tried twice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_end_stream()
    }
}

impl Flow {
    fn boxed(inner: Source, limit: Option<u64>, pace: Pace) -> Box<Self> {
        Box::new(Self { inner, limit, received: 0, pace, capture: None, held: VecDeque::new() })
    }

    fn note(&self, data: Option<&Bytes>, is_end: bool) {
        if let Some(capture) = &self.capture {
            capture.note(data, is_end);
        }
    }
}

impl Capture {
    /// Keeps at most `limit` bytes; a longer body is not kept at all.
    #[must_use]
    pub fn of(limit: usize) -> Self {
        Self(Rc::new(RefCell::new(Captured { bytes: Zeroizing::default(), limit, is_whole: false })))
    }

    /// Shows the body, if all of it has gone by and was kept.
    pub fn with<R>(&self, look: impl FnOnce(Option<&[u8]>) -> R) -> R {
        let captured = self.0.borrow();
        look(captured.is_whole.then_some(&captured.bytes))
    }

    /// As if this body had gone by.
    #[cfg(test)]
    pub(crate) fn fill(&self, body: &[u8]) {
        self.note(Some(&Bytes::copy_from_slice(body)), true);
    }

    fn note(&self, data: Option<&Bytes>, is_end: bool) {
        let captured = &mut *self.0.borrow_mut();
        if let Some(data) = data {
            if captured.bytes.len() + data.len() > captured.limit {
                captured.bytes = Zeroizing::default();
                captured.limit = 0;
                return;
            }
            grow(&mut captured.bytes, data);
        }
        captured.is_whole = is_end && captured.limit > 0;
    }
}

/// SECURITY: a `Vec` that grows leaves its old bytes behind, so they are wiped.
fn grow(bytes: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    if bytes.capacity() < bytes.len() + data.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity((bytes.len() + data.len()).next_power_of_two()));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(data);
}

impl std::fmt::Debug for Captured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Captured").field("is_whole", &self.is_whole).finish_non_exhaustive()
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self {
            Self::Client(incoming) => Pin::new(incoming).poll_frame(cx),
            Self::Kept(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(incoming) => incoming.is_end_stream(),
            Self::Kept(body) => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(incoming) => incoming.size_hint(),
            Self::Kept(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(flow) = &mut self.0 else { return Poll::Ready(None) };
        if let Some(data) = flow.held.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        loop {
            let Poll::Ready(polled) = flow.inner.poll_frame(cx) else {
                ready!(flow.pace.poll_exceeded(flow.received, cx));
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            };
            flow.pace.arrived();
            let Some(frame) = polled.transpose()? else {
                // Only here do chunks say that there are no more.
                flow.note(None, true);
                return Poll::Ready(None);
            };
            // SECURITY: request trailers are dropped; none of them may ever become a header (RFC 9110 §6.5.1).
            let Ok(data) = frame.into_data() else { continue };
            flow.received += data.len() as u64;
            if let Some(limit) = flow.limit.filter(|limit| flow.received > *limit) {
                return Poll::Ready(Some(Err(BodyError::TooLarge { limit })));
            }
            flow.note(Some(&data), flow.inner.is_end_stream());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|flow| flow.held.is_empty() && flow.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(flow) = &self.0 else { return SizeHint::with_exact(0) };
        let rest = flow.inner.size_hint();
        let held: u64 = flow.held.iter().map(|data| data.len() as u64).sum();
        match rest.exact() {
            Some(rest) => SizeHint::with_exact(held + rest),
            // Chunks, which say nothing of it.
            None => rest,
        }
    }
}
