//! One request to one app: a pooled connection or a new one, the head of the response, at most one retry.
//!
//! `pipeline` calls [`forward`]; dropping its future, as a vanished client does, closes the connection.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body;

use super::exchange::Exchange;
use super::{Error, Pools, Upstream, UpstreamBody, connect};
use crate::http::body::BodyError;
use crate::http::lines::HeaderLines;
use crate::policy::Permit;

/// Sends `request` with its `body`, which the policy has permitted, to `upstream`; the future is the head of its
/// response, checked and cleaned; the body follows.
///
/// The request is in origin form; `lines`, its `Host` and cookies among them, follow its own headers, and its framing is written
/// here.
///
/// # Errors
/// [`Error`], and then nothing of a response has been passed on.
// PERF: not an `async fn`, so that the request is never a part of the future: its head is bytes before that.
pub fn forward<'a, B>(
    _permit: Permit<'a>,
    lines: &HeaderLines,
    pools: &'a Pools,
    upstream: &'a Upstream,
    request: &Parts,
    body: B,
) -> impl Future<Output = Result<Response<UpstreamBody<B>>, Error>> + use<'a, B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    send(pools, upstream, Exchange::new(request, body, lines, false))
}

async fn send<B>(
    pools: &Pools,
    upstream: &Upstream,
    mut exchange: Exchange<B>,
) -> Result<Response<UpstreamBody<B>>, Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let pool = pools.pool(upstream);
    let mut lease = match pool.checkout() {
        Some(lease) => lease,
        // PERF: what a pooled hit does not need is boxed, so that every request's future is small: it is copied about.
        None => pool.lease(Box::pin(connect::open(pools, upstream)).await?),
    };
    let head = match exchange.run(pools, upstream.first_byte_timeout, &mut lease).await {
        Ok(head) => head,
        Err(error) if exchange.may_repeat(&lease, &error) => {
            return Box::pin(send_again(pools, upstream, exchange)).await;
        }
        Err(error) => return Err(error),
    };
    Ok(exchange.deliver(pools, upstream, lease, head))
}

/// The one retry, on a connection that nobody has used before.
async fn send_again<B>(
    pools: &Pools,
    upstream: &Upstream,
    mut exchange: Exchange<B>,
) -> Result<Response<UpstreamBody<B>>, Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    exchange.rewind();
    let mut lease = pools.pool(upstream).lease(connect::open(pools, upstream).await?);
    let head = exchange.run(pools, upstream.first_byte_timeout, &mut lease).await?;
    Ok(exchange.deliver(pools, upstream, lease, head))
}

#[cfg(test)]
mod tests;
