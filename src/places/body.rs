//! A page on its way to the browser, with its links put right as it passes.
//!
//! Holds no more than the tag in hand, and passes on every piece as soon as it has come.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};

use super::html::Links;

/// The body of a page.
#[derive(Debug)]
pub struct Rewritten<B> {
    page: B,
    links: Links,
    /// To follow the last of the data.
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl<B> Rewritten<B> {
    /// Puts `links` right in `page`.
    pub fn new(page: B, links: Links) -> Self {
        Self { page, links, trailers: None, ended: false }
    }

    /// The page as it comes.
    pub fn page(&self) -> &B {
        &self.page
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Rewritten<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            if self.ended {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let out = match ready!(Pin::new(&mut self.page).poll_frame(cx)).transpose() {
                // What was held stays behind: the client sees a page that broke off where the app's did.
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Ok(None) => self.end(None),
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) => self.links.push(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().ok();
                        self.end(trailers)
                    }
                },
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.trailers.is_none()
    }
}

impl<B> Rewritten<B> {
    fn end(&mut self, trailers: Option<HeaderMap>) -> Vec<u8> {
        (self.ended, self.trailers) = (true, trailers);
        self.links.finish()
    }
}
