//! The body of a response to the browser: our own page, or what the app sends.
//!
//! It carries the request's access log line, which is written when the body ends or is dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::peek::AppBody;
use crate::places::{Links, Rewritten};
use crate::proxy::{Interrupted, Tether, UpstreamBody};
use crate::telemetry::access::Record;
use crate::telemetry::lasting::Kind;

/// A response body.
#[derive(Debug)]
pub struct Body {
    source: Source,
    record: Option<Box<Record>>,
    /// By which it ends with its session.
    tether: Option<Tether>,
}

#[derive(Debug)]
enum Source {
    Page(Option<Bytes>),
    App(AppBody),
    /// A page whose links are put right. PERF: boxed, since few are.
    Links(Box<Rewritten<AppBody>>),
}

impl From<Bytes> for Body {
    fn from(page: Bytes) -> Self {
        Self { source: Source::Page(Some(page).filter(|page| !page.is_empty())), record: None, tether: None }
    }
}

impl From<UpstreamBody> for Body {
    fn from(app: UpstreamBody) -> Self {
        Self { source: Source::App(app.into()), record: None, tether: None }
    }
}

impl Body {
    /// Reads the whole body of an app's answer, if it is at most `limit` bytes long; the browser gets it all the same.
    pub(super) async fn peek(&mut self, limit: usize) -> Option<Bytes> {
        match &mut self.source {
            Source::App(app) => app.peek(limit).await,
            Source::Page(_) | Source::Links(_) => None,
        }
    }

    /// Puts `links` right in what the app sends; our own pages and empty ones stay.
    pub(super) fn with_links(mut self, links: Links) -> Self {
        self.source = match self.source {
            Source::App(app) if !app.is_end_stream() => Source::Links(Box::new(Rewritten::new(app, links))),
            other => other,
        };
        self
    }

    /// Whether more of it is to come from the app.
    pub(super) fn goes_on(&self) -> bool {
        match &self.source {
            Source::Page(_) => false,
            Source::App(app) => !app.is_whole(),
            Source::Links(page) => !page.page().is_whole(),
        }
    }

    /// From here on somebody else can end it.
    pub(super) fn end_with(&mut self, tie: Option<Tether>) {
        self.tether = tie;
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

    /// The session has ended: nothing more is read from the app, whose connection closes.
    fn end(&mut self, kind: Kind) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        self.tether = None;
        self.source = Source::Page(None);
        match kind {
            Kind::EventStream => {
                self.note(None);
                Poll::Ready(None)
            }
            // What was cut short must not look whole.
            Kind::Download | Kind::WebSocket => Poll::Ready(Some(Err(Interrupted::SessionEnded))),
        }
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
            Self::Links(page) => page.is_end_stream(),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        if let Some(tether) = &self.tether
            && tether.poll_cut(cx).is_ready()
        {
            let kind = tether.kind();
            return self.end(kind);
        }
        let polled = match &mut self.source {
            Source::Page(page) => Poll::Ready(page.take().map(|page| Ok(Frame::data(page)))),
            Source::App(app) => Pin::new(app).poll_frame(cx),
            Source::Links(page) => Pin::new(page).poll_frame(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(tether) = &self.tether {
                    tether.moved();
                }
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
            Source::Links(page) => page.size_hint(),
        }
    }
}
