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
use crate::policy::Permit;
use crate::timers::Timers;

/// Sends `request`, which the policy has permitted, to `upstream` and returns the head of its response, checked and cleaned; the body follows.
///
/// The request is in origin form with its `Host` set; its framing is written here.
///
/// # Errors
/// [`Error`], and then nothing of a response has been passed on.
pub async fn forward<B>(
    _permit: Permit<'_>,
    pools: &Pools<B>,
    upstream: &Upstream,
    mut request: Request<B>,
) -> Result<Response<UpstreamBody<B>>, Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    request::frame(&mut request);
    let pool = pools.pool(upstream);
    // PERF: what a pooled hit does not need is boxed, so that every request's future is small: it is copied about.
    let (mut lease, spare) = match pool.checkout() {
        Some(lease) => (lease, spare_head(&request)),
        None => (pool.lease(Box::pin(connect::open(pools.timers(), upstream)).await?), None),
    };
    let wire = lease.wire();
    let request = request.map(|body| Upload::new(body, wire));
    let outcome = exchange(pools.timers(), upstream, &mut lease, request).await;
    let head = match repeatable(outcome, &mut lease, spare) {
        Ok(head) => head?,
        Err(request) => return Box::pin(forward_again(pools, upstream, request)).await,
    };
    deliver(pools.timers(), upstream, lease, head)
}

/// The one retry, on a connection that nobody has used before.
async fn forward_again<B>(
    pools: &Pools<B>,
    upstream: &Upstream,
    request: Request<Upload<B>>,
) -> Result<Response<UpstreamBody<B>>, Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let mut lease = pools.pool(upstream).lease(connect::open(pools.timers(), upstream).await?);
    let wire = lease.wire();
    let request = request.map(|body| body.rewire(wire));
    let head = exchange(pools.timers(), upstream, &mut lease, request).await.into_result()?;
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

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::scripted::{App, Step, TestBody, anybody, get, ok, request, run, send, text};
    use super::*;
    use crate::config::schema;

    #[test]
    fn a_connection_is_reused_once_the_response_is_at_its_end() {
        run(|pools| async move {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
            let empty = "HTTP/1.1 204 No Content\r\n\r\n";
            let script = [Step::Request, ok("one"), Step::Request, send(chunked), Step::Request, send(empty)];
            let app = App::start([[&script[..], &[Step::Request, ok("four"), Step::Closed]].concat()]).await;
            let upstream = app.patient();
            for body in ["one", "two", "", "four"] {
                let response = forward(anybody(), &pools, &upstream, get()).await.unwrap();
                assert_eq!(text(response).await.unwrap(), body);
            }
            assert!(app.saw(4).await.iter().all(|seen| seen.starts_with("1: GET /page?x=1 HTTP/1.1\r\n")));
            assert_eq!(pools.pool(&upstream).idle_count(), 1);
        });
    }

    #[test]
    fn a_body_that_is_not_read_to_its_end_closes_the_connection() {
        run(|pools| async move {
            let long = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
            let app = App::start([vec![Step::Request, send(long), Step::Closed]]).await;
            let upstream = app.patient();
            let mut response = forward(anybody(), &pools, &upstream, get()).await.unwrap();
            assert!(response.body_mut().frame().await.unwrap().is_ok());
            drop(response);
            assert_eq!(app.saw(2).await[1], "1: closed");
            assert_eq!(pools.pool(&upstream).idle_count(), 0);
        });
    }

    #[test]
    fn a_client_that_goes_away_before_the_head_closes_the_connection() {
        run(|pools| async move {
            let app = App::start([vec![Step::Request, Step::Closed]]).await;
            let upstream = app.patient();
            tokio::select! {
                biased;
                _ = forward(anybody(), &pools, &upstream, get()) => panic!("nothing was answered"),
                _ = app.saw(1) => {}
            }
            assert_eq!(app.saw(2).await[1], "1: closed");
        });
    }

    /// One good exchange, after which the app closes at the next request; then `second` is sent.
    async fn on_a_dying_connection(
        pools: &Pools<TestBody>,
        script: &[Step],
        second: Request<TestBody>,
    ) -> (App, Result<Response<UpstreamBody<TestBody>>, Error>) {
        let first = [&[Step::Request, ok("1"), Step::Request], script].concat();
        let app = App::start([first, vec![Step::Request, ok("retried")]]).await;
        let upstream = app.patient();
        text(forward(anybody(), pools, &upstream, get()).await.unwrap()).await.unwrap();
        let answer = forward(anybody(), pools, &upstream, second).await;
        (app, answer)
    }

    #[test]
    fn a_get_on_a_connection_that_died_is_sent_once_more_on_a_new_one() {
        for death in [&[][..], &[Step::Reset]] {
            run(|pools| async move {
                let (app, answer) = on_a_dying_connection(&pools, death, get()).await;
                assert_eq!(text(answer.unwrap()).await.unwrap(), "retried");
                let seen = app.saw(3).await;
                assert_eq!(seen[1].replacen("1: ", "2: ", 1), seen[2]);
            });
        }
    }

    #[test]
    fn a_retry_is_not_repeated() {
        run(|pools| async move {
            let scripts = [vec![Step::Request, ok("1"), Step::Request], vec![Step::Request], vec![Step::Request]];
            let app = App::start(scripts).await;
            let upstream = app.patient();
            text(forward(anybody(), &pools, &upstream, get()).await.unwrap()).await.unwrap();
            let answer = forward(anybody(), &pools, &upstream, get()).await.map(drop);
            assert!(matches!(answer, Err(Error::Broken(_))), "{answer:?}");
            assert_eq!(app.saw(3).await.len(), 3);
        });
    }

    #[test]
    fn what_may_have_had_an_effect_is_never_sent_twice() {
        for body in [TestBody::empty(), TestBody::sized("a=b")] {
            run(|pools| async move {
                let (_, answer) = on_a_dying_connection(&pools, &[], request("POST", body)).await;
                assert!(matches!(answer.map(drop), Err(Error::Broken(_))));
            });
        }
        run(|pools| async move {
            let (_, answer) = on_a_dying_connection(&pools, &[], request("PUT", TestBody::sized("x"))).await;
            assert!(matches!(answer.map(drop), Err(Error::Broken(_))));
        });
    }

    #[test]
    fn after_a_byte_of_the_response_nothing_is_sent_again() {
        run(|pools| async move {
            let (_, answer) = on_a_dying_connection(&pools, &[send("HTTP/1.1 2")], get()).await;
            assert!(matches!(answer.map(drop), Err(Error::Broken(_))));
        });
    }

    #[test]
    fn a_new_connection_that_breaks_is_not_retried() {
        run(|pools| async move {
            let app = App::start([vec![Step::Request], vec![Step::Request, ok("no")]]).await;
            let answer = forward(anybody(), &pools, &app.patient(), get()).await.map(drop);
            assert!(matches!(answer, Err(Error::Broken(_))), "{answer:?}");
        });
    }

    #[test]
    fn a_post_is_sent_on_a_new_connection_when_the_pooled_one_was_closed_meanwhile() {
        run(|pools| async move {
            let app = App::start([vec![Step::Request, ok("1")], vec![Step::Request, ok("2")]]).await;
            let upstream = app.patient();
            text(forward(anybody(), &pools, &upstream, get()).await.unwrap()).await.unwrap();
            let answer = forward(anybody(), &pools, &upstream, request("POST", TestBody::sized("a=b"))).await.unwrap();
            assert_eq!(text(answer).await.unwrap(), "2");
            assert!(app.saw(2).await[1].ends_with("a=b"));
        });
    }

    #[test]
    fn a_post_that_was_not_written_at_all_is_sent_on_a_new_connection() {
        run(|pools| async move {
            let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = Some(format!("http://{}", app.local_addr().unwrap()));
            let upstream = Upstream::from_config(0, &schema::Upstream { url, ..Default::default() }).unwrap();
            let (first, mut stream) = tokio::join!(forward(anybody(), &pools, &upstream, get()), async {
                let mut stream = app.accept().await.unwrap().0;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                stream
            });
            assert_eq!(first.unwrap().status(), 204);
            // Closed in the same turn of the event loop in which the next client speaks: hyper has not
            // looked yet, the pool hands the connection out, and gets the request back.
            let mut client = TcpStream::connect(app.local_addr().unwrap()).await.unwrap();
            let mut speaker = app.accept().await.unwrap().0;
            stream.read_buf(&mut Vec::with_capacity(1000)).await.unwrap();
            drop(stream);
            speaker.write_all(b"x").await.unwrap();
            client.read_u8().await.unwrap();
            let post = forward(anybody(), &pools, &upstream, request("POST", TestBody::sized("a=b")));
            let (second, _stream) = tokio::join!(post, async {
                let mut stream = app.accept().await.unwrap().0;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                stream
            });
            assert_eq!(second.unwrap().status(), 204);
        });
    }

    #[test]
    fn hostile_heads_are_refused_and_the_connection_is_closed() {
        let interim = "HTTP/1.1 103 Early Hints\r\nSet-Cookie: a=b\r\n\r\n";
        for head in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc".into(),
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".into(),
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nSet-Cookie: a\x01b\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nSet-Cookie: a\rb\r\n\r\n".into(),
            "HTTP/1.1 099 What\r\n\r\n".into(),
            "nonsense\r\n\r\n".into(),
            format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(70_000)),
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101)),
            interim.repeat(17),
        ] {
            run(|pools| async move {
                let app = App::start([vec![Step::Request, send(&*head), Step::Closed]]).await;
                let upstream = app.patient();
                let answer = forward(anybody(), &pools, &upstream, get()).await.map(drop);
                assert!(matches!(answer, Err(Error::BadResponse(_))), "{head:.60?}: {answer:?}");
                assert_eq!(app.saw(2).await[1], "1: closed");
                assert_eq!(pools.pool(&upstream).idle_count(), 0);
            });
        }
    }

    #[test]
    fn a_few_informational_heads_are_swallowed() {
        run(|pools| async move {
            let hints = "HTTP/1.1 103 Early Hints\r\nSet-Cookie: a=b\r\n\r\n".repeat(16);
            let app = App::start([vec![Step::Request, send(hints), ok("body")]]).await;
            let response = forward(anybody(), &pools, &app.patient(), get()).await.unwrap();
            assert!(!response.headers().contains_key("set-cookie"));
            assert_eq!(text(response).await.unwrap(), "body");
        });
    }

    #[test]
    fn bytes_after_a_response_close_its_connection() {
        run(|pools| async move {
            let extra = "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            let first = vec![Step::Request, send(extra), Step::Closed];
            let app = App::start([first, vec![Step::Request, ok("good")]]).await;
            let upstream = app.patient();
            for body in ["", "good"] {
                let response = forward(anybody(), &pools, &upstream, get()).await.unwrap();
                assert_eq!(text(response).await.unwrap(), body);
            }
        });
    }

    #[test]
    fn a_get_body_of_unknown_length_is_sent() {
        run(|pools| async move {
            let app = App::start([vec![Step::Request, ok("")]]).await;
            forward(anybody(), &pools, &app.patient(), request("GET", TestBody::chunked(&["abc", "de"])))
                .await
                .unwrap();
            let seen = &app.saw(1).await[0];
            assert!(seen.contains("transfer-encoding: chunked\r\n"), "{seen}");
            assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "{seen}");
        });
    }

    #[test]
    fn request_trailers_are_not_sent() {
        run(|pools| async move {
            let (sender, body) = TestBody::open(None);
            sender.send(Ok(Frame::data(Bytes::from_static(b"abc")))).unwrap();
            let trailers = [("x-remote-user".parse().unwrap(), "eve".parse().unwrap())].into_iter().collect();
            sender.send(Ok(Frame::trailers(trailers))).unwrap();
            drop(sender);
            let app = App::start([vec![Step::Request, ok("")]]).await;
            let mut request = request("POST", body);
            request.headers_mut().insert("trailer", "x-remote-user".parse().unwrap());
            forward(anybody(), &pools, &app.patient(), request).await.unwrap();
            assert!(!app.saw(1).await[0].contains("remote"));
        });
    }

    #[test]
    fn an_early_answer_is_relayed_and_its_connection_closed() {
        run(|pools| async move {
            let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig";
            let app = App::start([vec![Step::Head, send(refusal), Step::Closed]]).await;
            let upstream = app.patient();
            let (_sender, body) = TestBody::open(Some(1000));
            let response = forward(anybody(), &pools, &upstream, request("POST", body)).await.unwrap();
            assert_eq!(response.status(), 413);
            assert_eq!(text(response).await.unwrap(), "big");
            assert_eq!(app.saw(2).await[1], "1: closed");
            assert_eq!(pools.pool(&upstream).idle_count(), 0);
        });
    }

    #[test]
    fn an_answer_survives_that_the_app_closes_on_the_unread_body() {
        run(|pools| async move {
            let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
            // Unread bytes at the close make the kernel answer what still comes with RST.
            let app = App::start([vec![Step::Head, Step::Bytes(1000), send(refusal)]]).await;
            let (sender, body) = TestBody::open(None);
            for _ in 0..2000 {
                sender.send(Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])))).unwrap();
            }
            let response = forward(anybody(), &pools, &app.patient(), request("POST", body)).await.unwrap();
            assert_eq!(response.status(), 413);
            assert_eq!(text(response).await.unwrap(), "big");
        });
    }

    #[test]
    fn a_request_body_that_fails_is_the_clients_fault_and_never_looks_complete() {
        run(|pools| async move {
            let app = App::start([vec![Step::Head, Step::Closed]]).await;
            let (sender, body) = TestBody::open(None);
            sender.send(Ok(Frame::data(Bytes::from_static(b"abc")))).unwrap();
            sender.send(Err(BodyError::TooLarge { limit: 2 })).unwrap();
            let answer = forward(anybody(), &pools, &app.patient(), request("POST", body)).await.map(drop);
            assert!(matches!(answer, Err(Error::Client(BodyError::TooLarge { limit: 2 }))), "{answer:?}");
        });
    }

    #[test]
    fn the_first_byte_timeout_starts_at_the_end_of_the_request_body() {
        run(|pools| async move {
            let app = App::start([vec![Step::Request, Step::Closed]]).await;
            let upstream = app.upstream(["5s", "200ms", "5s"]);
            let (sender, body) = TestBody::open(Some(3));
            let start = std::time::Instant::now();
            let slow_client = async {
                tokio::time::sleep(Duration::from_millis(450)).await;
                sender.send(Ok(Frame::data(Bytes::from_static(b"abc")))).unwrap();
            };
            let (answer, ()) = tokio::join!(forward(anybody(), &pools, &upstream, request("POST", body)), slow_client);
            assert!(matches!(answer.map(drop), Err(Error::FirstByteTimeout)));
            assert!(start.elapsed() >= Duration::from_millis(650));
            assert_eq!(app.saw(2).await[1], "1: closed");
        });
    }

    #[test]
    fn an_app_that_does_not_take_the_request_body_times_out() {
        run(|pools| async move {
            // The kernel accepts and buffers some of it; nobody reads.
            let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let config = schema::Upstream {
                url: Some(format!("http://{}", silent.local_addr().unwrap())),
                first_byte_timeout: schema::Duration::try_from("200ms").unwrap(),
                ..Default::default()
            };
            let (sender, body) = TestBody::open(None);
            for _ in 0..5000 {
                sender.send(Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])))).unwrap();
            }
            let upstream = Upstream::from_config(0, &config).unwrap();
            let answer = forward(anybody(), &pools, &upstream, request("POST", body)).await.map(drop);
            assert!(matches!(answer, Err(Error::FirstByteTimeout)), "{answer:?}");
            drop(sender);
        });
    }

    #[test]
    fn a_refused_connection_names_the_address() {
        run(|pools: Pools<TestBody>| async move {
            let app = App::start([]).await;
            tokio::task::yield_now().await;
            let message = forward(anybody(), &pools, &app.patient(), get()).await.map(drop).unwrap_err().to_string();
            assert!(message.starts_with(&format!("cannot connect to the upstream at {}", app.address)), "{message}");
        });
    }

    #[test]
    fn a_connection_that_does_not_come_about_times_out() {
        run(|pools| async move {
            // With its queue of one full and nobody accepting, the kernel lets further attempts wait.
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            socket.listen(0).unwrap();
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            let _waiting = tokio::net::TcpStream::connect(address).await.unwrap();
            let config = schema::Upstream {
                url: Some(format!("http://{address}")),
                connect_timeout: schema::Duration::try_from("150ms").unwrap(),
                ..Default::default()
            };
            let upstream = Upstream::from_config(0, &config).unwrap();
            let answer = forward(anybody(), &pools, &upstream, get()).await.map(drop);
            assert!(matches!(answer, Err(Error::ConnectTimeout { .. })), "{answer:?}");
        });
    }

    #[test]
    fn a_name_without_address_names_the_host() {
        run(|pools| async move {
            let url = Some("http://no-such-app.invalid".into());
            let upstream = Upstream::from_config(0, &schema::Upstream { url, ..Default::default() }).unwrap();
            let answer = forward(anybody(), &pools, &upstream, get()).await.map(drop);
            assert!(matches!(&answer, Err(Error::Resolve { host, .. }) if &**host == "no-such-app.invalid"));
        });
    }

    #[test]
    fn an_http_1_0_app_is_served_but_its_connection_is_not_kept() {
        run(|pools| async move {
            let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold";
            let app = App::start([vec![Step::Request, send(old), Step::Closed]]).await;
            let upstream = app.patient();
            let response = forward(anybody(), &pools, &upstream, get()).await.unwrap();
            assert_eq!(response.version(), http::Version::HTTP_11);
            assert_eq!(text(response).await.unwrap(), "old");
            assert_eq!(app.saw(2).await[1], "1: closed");
        });
    }

    #[test]
    fn the_length_of_a_head_response_is_kept() {
        run(|pools| async move {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n";
            let app = App::start([vec![Step::Request, send(head), Step::Request, ok("x")]]).await;
            let upstream = app.patient();
            let response = forward(anybody(), &pools, &upstream, request("HEAD", TestBody::empty())).await.unwrap();
            assert_eq!(response.headers()["content-length"], "1234");
            assert_eq!(text(response).await.unwrap(), "");
            assert_eq!(text(forward(anybody(), &pools, &upstream, get()).await.unwrap()).await.unwrap(), "x");
        });
    }
}
