//! One request to one app: a pooled connection or a new one, the head of the response, at most one retry.
//!
//! `pipeline` calls [`forward`]; dropping its future, as a vanished client does, closes the connection.

use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use super::pool::Lease;
use super::request::{self, Head, Upload};
use super::wire::Wire;
use super::{Error, Pools, Upstream, UpstreamBody, connect, response, trailers};
use crate::http::body::BodyError;
use crate::timers::Timers;

/// Sends `request` to `upstream` and returns the head of its response, checked and cleaned; the body follows.
///
/// The request is in origin form with its `Host` set; its framing is written here.
///
/// # Errors
/// [`Error`], and then nothing of a response has been passed on.
// The permit of `policy` becomes the first argument once it exists.
pub async fn forward<B>(
    pools: &Pools<B>,
    upstream: &Upstream,
    mut request: Request<B>,
) -> Result<Response<UpstreamBody<B>>, Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    request::frame(&mut request);
    let pool = pools.pool(upstream);
    let (mut lease, spare) = match pool.checkout() {
        Some(lease) => (lease, spare_head(&request)),
        None => (pool.lease(connect::open(pools.timers(), upstream).await?), None),
    };
    let wire = lease.wire();
    let request = request.map(|body| Upload::new(body, wire));
    let outcome = exchange(pools.timers(), upstream, &mut lease, request).await;
    let head = match repeatable(outcome, &mut lease, spare) {
        Ok(head) => head?,
        Err(request) => {
            lease = pool.lease(connect::open(pools.timers(), upstream).await?);
            let wire = lease.wire();
            let request = request.map(|body| body.rewire(wire));
            exchange(pools.timers(), upstream, &mut lease, request).await.into_result()?
        }
    };
    deliver(pools.timers(), upstream, lease, head)
}

/// Checks and cleans the head, and ties the connection to the body.
pub(super) fn deliver<B>(
    timers: &Timers,
    upstream: &Upstream,
    mut lease: Lease<B>,
    response: Response<Incoming>,
) -> Result<Response<UpstreamBody<B>>, Error> {
    let (mut head, body) = response.into_parts();
    response::check(&head, false).map_err(Error::BadResponse)?;
    lease.keep_for(response::keep_seconds(&head));
    response::clean(&mut head);
    let announced = trailers::announce(&mut head.headers);
    let body = UpstreamBody::new(body, Some(lease), announced, upstream.idle_timeout, timers);
    Ok(Response::from_parts(head, body))
}

/// How one try went.
pub(super) enum Outcome<B> {
    Head(Response<Incoming>),
    /// Not a byte of the request was written, and here it is again.
    Unsent(Request<Upload<B>>, hyper::Error),
    Failed(Error),
}

impl<B> Outcome<B> {
    pub(super) fn into_result(self) -> Result<Response<Incoming>, Error> {
        match self {
            Self::Head(head) => Ok(head),
            Self::Unsent(_, error) => Err(Error::Broken(error)),
            Self::Failed(error) => Err(error),
        }
    }
}

/// Sends on this connection and waits for the head.
pub(super) async fn exchange<B>(
    timers: &Timers,
    upstream: &Upstream,
    lease: &mut Lease<B>,
    request: Request<Upload<B>>,
) -> Outcome<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let connection = lease.connection();
    connection.wire.begin(request.body().is_end_stream());
    let sending = connection.sender.try_send_request(request);
    match in_time(timers, upstream.first_byte_timeout, &connection.wire, sending).await {
        None => Outcome::Failed(Error::FirstByteTimeout),
        Some(Ok(head)) => Outcome::Head(head),
        Some(Err(mut failed)) => match failed.take_message() {
            Some(request) => Outcome::Unsent(request, failed.into_error()),
            None => Outcome::Failed(Error::from_exchange(failed.into_error(), &connection.wire)),
        },
    }
}

/// Runs `sending` until the app has owed us something for longer than `limit`; the client's pace is not its debt.
async fn in_time<F: Future>(timers: &Timers, limit: Duration, wire: &Wire, sending: F) -> Option<F::Output> {
    let deadline = timers.deadline();
    let mut sending = pin!(sending);
    std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(output) = sending.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if !deadline.is_armed() {
                deadline.arm(limit);
            }
            ready!(deadline.poll_elapsed(cx));
            match wire.patience_left(limit) {
                Some(left) => deadline.arm(left),
                None => return Poll::Ready(None),
            }
        }
    })
    .await
}

/// What a retry would need besides a connection, if this request may have one (RFC 9110 §9.2.2).
fn spare_head<B: Body>(request: &Request<B>) -> Option<Head> {
    let repeatable = request::is_idempotent(request.method()) && request.body().is_end_stream();
    // PERF: one copy of the header map, only for requests on a connection that may be stale.
    repeatable.then(|| Head::copy_of(request))
}

/// `Err` holds the request to send once more, on a new connection.
///
/// Only a connection that had served before is suspected of having died by its age; a new one is not.
#[expect(clippy::result_large_err, reason = "the request is moved on, not reported")]
fn repeatable<B>(
    outcome: Outcome<B>,
    lease: &mut Lease<B>,
    spare: Option<Head>,
) -> Result<Result<Response<Incoming>, Error>, Request<Upload<B>>> {
    match (outcome, spare) {
        (Outcome::Unsent(request, _), _) if lease.is_reused() => Err(request),
        (Outcome::Failed(Error::Broken(_)), Some(head))
            if lease.is_reused() && !lease.connection().wire.is_answered() =>
        {
            Err(head.with_body(Upload::empty(lease.wire())))
        }
        (outcome, _) => Ok(outcome.into_result()),
    }
}
