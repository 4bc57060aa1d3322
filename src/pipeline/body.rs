//! The body of a response to the browser: our own page, or what the app sends.
//!
//! It carries the request's access log line, which is written when the body ends or is dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::proxy::{Interrupted, UpstreamBody};
use crate::telemetry::access::Record;

/// A response body.
#[derive(Debug)]
pub struct Body {
    source: Source,
    record: Option<Box<Record>>,
}

#[derive(Debug)]
enum Source {
    Page(Option<Bytes>),
    App(UpstreamBody),
    /// What follows was looked into before it goes on.
    Begun(Box<Begun>),
}

#[derive(Debug)]
struct Begun {
    read: Vec<Bytes>,
    /// Those that were read come first.
    next: usize,
    /// How reading ended, if badly.
    broken: Option<Interrupted>,
    rest: UpstreamBody,
}

impl From<Bytes> for Body {
    fn from(page: Bytes) -> Self {
        Self { source: Source::Page(Some(page).filter(|page| !page.is_empty())), record: None }
    }
}

impl From<UpstreamBody> for Body {
    fn from(app: UpstreamBody) -> Self {
        Self { source: Source::App(app), record: None }
    }
}

impl Body {
    /// Reads the whole body, if it is at most `limit` bytes long; what was read goes on to the browser all the same.
    pub(super) async fn peek(&mut self, limit: usize) -> Option<Bytes> {
        let mut begun = match std::mem::replace(&mut self.source, Source::Page(None)) {
            Source::App(rest) => Box::new(Begun { read: Vec::new(), next: 0, broken: None, rest }),
            other => {
                self.source = other;
                return None;
            }
        };
        let whole = begun.read_all(limit).await;
        self.source = Source::Begun(begun);
        whole
    }

    /// Ties the access log line to the body.
    pub(super) fn recorded(mut self, record: Option<Box<Record>>, status: StatusCode) -> Self {
        self.record = record;
        if let Some(record) = &mut self.record {
            record.status = status;
            // A body that is empty from the start is never polled.
            record.complete = self.source.is_end();
        }
        self
    }

    fn note(&mut self, frame: Option<&Bytes>) {
        if let Some(record) = &mut self.record {
            record.sent += frame.map_or(0, |data| data.len() as u64);
            record.complete = self.source.is_end();
        }
    }
}

impl Source {
    fn is_end(&self) -> bool {
        match self {
            Self::Page(page) => page.is_none(),
            Self::App(app) => app.is_end_stream(),
            Self::Begun(begun) => begun.is_end(),
        }
    }
}

impl Begun {
    async fn read_all(&mut self, limit: usize) -> Option<Bytes> {
        let mut size = 0;
        loop {
            let data = match self.rest.frame().await {
                None => return Some(self.read.concat().into()),
                // Trailers of such a page are nobody's business.
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(reason)) => {
                    self.broken = Some(reason);
                    return None;
                }
            };
            size += data.len();
            self.read.push(data);
            if size > limit {
                return None;
            }
        }
    }

    fn is_end(&self) -> bool {
        self.next == self.read.len() && self.broken.is_none() && self.rest.is_end_stream()
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        if let Some(data) = self.read.get_mut(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
        }
        match self.broken.take() {
            Some(reason) => Poll::Ready(Some(Err(reason))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 = self.read[self.next..].iter().map(|data| data.len() as u64).sum();
        match self.rest.size_hint().exact() {
            Some(rest) if self.broken.is_none() => SizeHint::with_exact(read + rest),
            _ => SizeHint::default(),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let polled = match &mut self.source {
            Source::Page(page) => Poll::Ready(page.take().map(|page| Ok(Frame::data(page)))),
            Source::App(app) => Pin::new(app).poll_frame(cx),
            Source::Begun(begun) => begun.poll_frame(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref().cloned();
                self.note(data.as_ref());
            }
            Poll::Ready(Some(Err(error))) => tracing::warn!(%error, "a response broke off"),
            Poll::Ready(None) => {
                if let Some(record) = &mut self.record {
                    record.complete = true;
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, |page| page.len() as u64)),
            Source::App(app) => app.size_hint(),
            Source::Begun(begun) => begun.size_hint(),
        }
    }
}
