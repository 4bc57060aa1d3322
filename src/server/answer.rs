//! The body of an answer on its way to the client: counted as open until its last byte is handed over.
//!
//! `http1` and `http2` wrap every answer of the handler in it; it changes nothing about the bytes.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::state::OpenRequest;

pin_project_lite::pin_project! {
    /// A body that keeps its request open.
    #[derive(Debug)]
    pub(super) struct AnswerBody<B> {
        #[pin]
        inner: B,
        progress: Option<Rc<Progress>>,
        _open: OpenRequest,
    }
}

impl<B> AnswerBody<B> {
    pub(super) fn new(inner: B, open: OpenRequest, progress: Option<Rc<Progress>>) -> Self {
        Self { inner, progress, _open: open }
    }
}

impl<B: Body<Data = Bytes>> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        if let Some(progress) = this.progress {
            progress.polled(polled.is_pending());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether an HTTP/2 stream waits for us or for its client.
///
/// hyper holds each piece of a body until the client's window opens, and only then asks for the next. So
/// while the last thing a body did was to give a piece, the client is waited for.
#[derive(Debug, Default)]
pub(super) struct Progress {
    waits_for_client: Cell<bool>,
    pieces: Cell<u64>,
}

impl Progress {
    fn polled(&self, pending: bool) {
        self.waits_for_client.set(!pending);
        self.pieces.set(self.pieces.get() + 1);
    }

    /// How many pieces the body gave, if it is the client who is waited for.
    pub(super) fn waits_for_client(&self) -> Option<u64> {
        self.waits_for_client.get().then(|| self.pieces.get())
    }
}
