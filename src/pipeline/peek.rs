//! The body of an app's answer, into which somebody may have looked before it goes on.
//!
//! Used by `body`. What was read goes to the browser first, then the rest, and how it breaks off if it does.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::proxy::{Interrupted, UpstreamBody};

/// What an app sends.
#[derive(Debug)]
pub(super) struct AppBody {
    rest: UpstreamBody,
    // PERF: boxed, since hardly any answer is looked into.
    read: Option<Box<Read>>,
}

#[derive(Debug, Default)]
struct Read {
    pieces: Vec<Bytes>,
    /// Those before it have gone on.
    next: usize,
    /// How reading ended, if badly.
    broken: Option<Interrupted>,
}

impl From<UpstreamBody> for AppBody {
    fn from(rest: UpstreamBody) -> Self {
        Self { rest, read: None }
    }
}

impl AppBody {
    /// Whether all of it has come from the app.
    pub fn is_whole(&self) -> bool {
        self.rest.is_whole()
    }

    /// Reads the whole body, if it is at most `limit` bytes long.
    pub async fn peek(&mut self, limit: usize) -> Option<Bytes> {
        let read = self.read.get_or_insert_default();
        let mut size = 0;
        loop {
            let data = match self.rest.frame().await {
                None => return Some(read.pieces.concat().into()),
                // Trailers of such a page are nobody's business.
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(reason)) => {
                    read.broken = Some(reason);
                    return None;
                }
            };
            size += data.len();
            read.pieces.push(data);
            if size > limit {
                return None;
            }
        }
    }
}

impl Read {
    fn is_over(&self) -> bool {
        self.next == self.pieces.len() && self.broken.is_none()
    }

    fn next(&mut self) -> Option<Result<Bytes, Interrupted>> {
        if let Some(piece) = self.pieces.get_mut(self.next) {
            self.next += 1;
            return Some(Ok(std::mem::take(piece)));
        }
        self.broken.take().map(Err)
    }

    fn left(&self) -> u64 {
        self.pieces[self.next..].iter().map(|piece| piece.len() as u64).sum()
    }
}

impl HttpBody for AppBody {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        match self.read.as_mut().and_then(|read| read.next()) {
            Some(piece) => Poll::Ready(Some(piece.map(Frame::data))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.as_ref().is_none_or(|read| read.is_over()) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.read {
            None => self.rest.size_hint(),
            Some(read) => match self.rest.size_hint().exact() {
                Some(rest) if read.broken.is_none() => SizeHint::with_exact(read.left() + rest),
                _ => SizeHint::default(),
            },
        }
    }
}
