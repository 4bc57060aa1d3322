//! One request and the head of its response on one connection.
//!
//! `forward` and `upgrade` make one and poll it to its end. The app may answer before it has read the whole
//! request; `body` then goes on sending.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use http_body::Body;

use super::outgoing::{Outgoing, SendError};
use super::pool::Lease;
use super::request::{self, Length};
use super::response::{self, Asked, Head};
use super::scan::Scanner;
use super::{Error, Pools, Upstream, UpstreamBody};
use crate::http::body::BodyError;
use crate::http::lines::HeaderLines;
use crate::timers::Deadline;

/// Most 1xx heads before the final one.
const MAX_INTERIM: u8 = 16;
/// What a response starts with, whatever its version.
const PROTOCOL: &[u8] = b"HTTP/1.";

/// A request that waits for the head of its response.
#[derive(Debug)]
pub(super) struct Exchange<B> {
    outgoing: Outgoing<B>,
    asked: Asked,
    /// May be sent once more, as far as the request is concerned.
    repeatable: bool,
    /// A byte of the response has arrived.
    answered: bool,
    interim: u8,
    scanner: Scanner,
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Exchange<B> {
    /// Nothing is sent yet.
    ///
    /// PERF: the request is no part of it, only the bytes of its head. They are what a retry sends again, too.
    pub(super) fn new(request: &Parts, body: B, lines: &HeaderLines, upgrade: bool) -> Self {
        let length = Length::of(&body);
        let asked = Asked { head: request.method == Method::HEAD, upgrade };
        let repeatable = length == Length::Known(0) && request::is_idempotent(&request.method);
        let outgoing = Outgoing::new(request::write_head(request, lines, length), body, length);
        Self { outgoing, asked, repeatable, answered: false, interim: 0, scanner: Scanner::default() }
    }

    /// Sends on this connection and waits for the head.
    pub(super) async fn run(&mut self, pools: &Pools, limit: Duration, lease: &mut Lease) -> Result<Head, Error> {
        let deadline = pools.timers().deadline();
        std::future::poll_fn(|cx| self.poll(cx, limit, &deadline, lease)).await
    }

    /// Ready with an error once the app has owed us something for longer than `limit`; the client's pace is
    /// not its debt.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        limit: Duration,
        deadline: &Deadline,
        lease: &mut Lease,
    ) -> Poll<Result<Head, Error>> {
        loop {
            if let Poll::Ready(Err(error)) = self.outgoing.poll_send(&mut lease.connection.stream, cx) {
                return Poll::Ready(self.after_failure(cx, lease, error));
            }
            if let Poll::Ready(head) = self.poll_head(cx, lease) {
                return Poll::Ready(head);
            }
            if !deadline.is_armed() {
                deadline.arm(limit);
            }
            ready!(deadline.poll_elapsed(cx));
            match self.outgoing.patience_left(limit) {
                Some(left) => deadline.arm(left),
                None => return Poll::Ready(Err(Error::FirstByteTimeout)),
            }
        }
    }

    /// The request cannot be sent to its end; an answer that is there already is the better news.
    fn after_failure(&mut self, cx: &mut Context<'_>, lease: &mut Lease, error: SendError) -> Result<Head, Error> {
        if let Poll::Ready(Ok(mut head)) = self.poll_head(cx, lease) {
            head.keep_seconds = 0;
            return Ok(head);
        }
        Err(match error {
            SendError::Client(error) => Error::Client(error),
            SendError::Socket(error) => Error::Broken(error),
        })
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, lease: &mut Lease) -> Poll<Result<Head, Error>> {
        loop {
            let read = ready!(lease.connection.poll_read_head(cx)).map_err(Error::Broken)?;
            if read == 0 {
                return Poll::Ready(Err(Error::Broken(cut_short())));
            }
            self.answered = true;
            if let Some(head) = self.take_head(lease).map_err(Error::BadResponse)? {
                return Poll::Ready(Ok(head));
            }
        }
    }

    /// Passes over interim heads.
    fn take_head(&mut self, lease: &mut Lease) -> Result<Option<Head>, &'static str> {
        let unread = &mut lease.connection.unread;
        while let Some(end) = self.scanner.scan(unread).map_err(|violation| violation.reason())? {
            self.scanner = Scanner::default();
            if let Some(head) = response::parse(&unread.split_to(end).freeze(), self.asked)? {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err("more than 16 informational (1xx) responses");
            }
        }
        // What speaks another protocol may never send what ends a head.
        let start = &unread[..unread.len().min(PROTOCOL.len())];
        if PROTOCOL.starts_with(start) { Ok(None) } else { Err("the head is malformed") }
    }

    /// Whether a failure may be the age of the connection's fault, and the request may be sent once more:
    /// the connection had served before, and nothing has been answered.
    pub(super) fn may_repeat(&self, lease: &Lease, error: &Error) -> bool {
        self.repeatable && !self.answered && lease.is_reused() && matches!(error, Error::Broken(_))
    }

    /// To be run once more, from the start.
    pub(super) fn rewind(&mut self) {
        self.outgoing.rewind();
    }

    /// Ties the connection to the body of the response.
    pub(super) fn deliver(
        self,
        pools: &Pools,
        upstream: &Upstream,
        lease: Lease,
        head: Head,
    ) -> Response<UpstreamBody<B>> {
        UpstreamBody::attach(head, lease, self.outgoing, upstream.idle_timeout, pools.timers())
    }
}

/// A response that ended too early.
pub(super) fn cut_short() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the connection closed before the end")
}
