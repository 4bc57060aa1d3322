//! An answer's body on its way to the browser, of which a copy is kept.
//!
//! `passage` makes it. The copy is handed over before the browser can see the end of the body, so that whatever the
//! browser asks next finds it known.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::places::Links;
use crate::proxy::{Interrupted, UpstreamBody};

/// Longer bodies are not kept.
const LONGEST: usize = 2 * 1024 * 1024;

/// A body, and who wants to see it.
pub struct Tee {
    source: Source,
    kept: Option<Vec<u8>>,
    report: Option<Report>,
    /// What is to be put right in a page; the copy is as the app wrote it.
    links: Option<Links>,
}

/// Takes all of a body, or nothing if it was too long or broke off.
pub type Report = Box<dyn FnOnce(Option<Bytes>)>;

enum Step {
    Pass(Option<Frame<Bytes>>),
    More,
}

enum Source {
    App(UpstreamBody),
    Page(Option<Bytes>),
}

impl Tee {
    /// What the app sends; `report` gets a copy.
    pub fn of(body: UpstreamBody, links: Option<Links>, report: Report) -> Self {
        let mut tee = Self { source: Source::App(body), kept: Some(Vec::new()), report: Some(report), links };
        if tee.has_ended() {
            tee.hand_over();
        }
        tee
    }

    /// A page of our own.
    pub fn page(page: Bytes) -> Self {
        Self { source: Source::Page(Some(page).filter(|page| !page.is_empty())), kept: None, report: None, links: None }
    }

    fn has_ended(&self) -> bool {
        match &self.source {
            Source::App(app) => app.is_end_stream(),
            Source::Page(page) => page.is_none(),
        }
    }

    /// What of a frame goes on by now.
    fn put_right(&mut self, frame: Option<Frame<Bytes>>) -> Step {
        let Some(links) = &mut self.links else { return Step::Pass(frame) };
        let out = match frame.map(Frame::into_data) {
            Some(Ok(data)) => links.push(&data),
            // Trailers of a page say nothing that is needed here.
            Some(Err(_)) | None => self.links.take().map(|mut links| links.finish()).unwrap_or_default(),
        };
        match (out.is_empty(), self.links.is_some()) {
            (false, _) => Step::Pass(Some(Frame::data(out.into()))),
            (true, true) => Step::More,
            (true, false) => Step::Pass(None),
        }
    }

    fn keep(&mut self, data: &Bytes) {
        let fits = self.kept.as_ref().is_some_and(|kept| kept.len() + data.len() <= LONGEST);
        match &mut self.kept {
            Some(kept) if fits => kept.extend_from_slice(data),
            kept => *kept = None,
        }
    }

    fn hand_over(&mut self) {
        if let Some(report) = self.report.take() {
            report(self.kept.take().map(Bytes::from));
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.kept = None;
        self.hand_over();
    }
}

impl Body for Tee {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        loop {
            let polled = match &mut self.source {
                Source::App(app) => ready!(Pin::new(app).poll_frame(cx)),
                Source::Page(page) => page.take().map(|page| Ok(Frame::data(page))),
            };
            match &polled {
                Some(Ok(frame)) => frame.data_ref().into_iter().for_each(|data| self.keep(data)),
                Some(Err(_)) => self.kept = None,
                None => self.hand_over(),
            }
            if self.has_ended() {
                self.hand_over();
            }
            match polled.transpose() {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(frame) => match self.put_right(frame) {
                    Step::Pass(frame) => return Poll::Ready(frame.map(Ok)),
                    Step::More => {}
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.links.is_none() && self.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::App(_) if self.links.is_some() => SizeHint::default(),
            Source::App(app) => app.size_hint(),
            Source::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, |page| page.len() as u64)),
        }
    }
}
