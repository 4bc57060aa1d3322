//! One request to an app that keeps the rules, or breaks them: what is sent, what comes back, what is tried again.

use std::time::Duration;

use http::Request;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::scripted::{App, Step, TestBody, anybody, forward, get, ok, request, run, send, text};
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
            let response = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
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
        let mut response = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
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
            _ = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()) => panic!("nothing was answered"),
            _ = app.saw(1) => {}
        }
        assert_eq!(app.saw(2).await[1], "1: closed");
    });
}

/// One good exchange, after which the app closes at the next request; then `second` is sent.
async fn on_a_dying_connection(
    pools: &Pools,
    script: &[Step],
    second: Request<TestBody>,
) -> (App, Result<Response<UpstreamBody<TestBody>>, Error>) {
    let first = [&[Step::Request, ok("1"), Step::Request], script].concat();
    let app = App::start([first, vec![Step::Request, ok("retried")]]).await;
    let upstream = app.patient();
    text(forward(anybody(), &HeaderLines::default(), pools, &upstream, get()).await.unwrap()).await.unwrap();
    let answer = forward(anybody(), &HeaderLines::default(), pools, &upstream, second).await;
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
        text(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap()).await.unwrap();
        let answer = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.map(drop);
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
        let answer = forward(anybody(), &HeaderLines::default(), &pools, &app.patient(), get()).await.map(drop);
        assert!(matches!(answer, Err(Error::Broken(_))), "{answer:?}");
    });
}

#[test]
fn a_post_is_sent_on_a_new_connection_when_the_pooled_one_was_closed_meanwhile() {
    run(|pools| async move {
        let app = App::start([vec![Step::Request, ok("1")], vec![Step::Request, ok("2")]]).await;
        let upstream = app.patient();
        text(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap()).await.unwrap();
        let answer =
            forward(anybody(), &HeaderLines::default(), &pools, &upstream, request("POST", TestBody::sized("a=b")))
                .await
                .unwrap();
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
        let (first, mut stream) =
            tokio::join!(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()), async {
                let mut stream = app.accept().await.unwrap().0;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                stream
            });
        assert_eq!(first.unwrap().status(), 204);
        // Closed in the same turn of the event loop in which the next client speaks: the pool still has
        // the connection, and has to look before it hands it out.
        let mut client = TcpStream::connect(app.local_addr().unwrap()).await.unwrap();
        let mut speaker = app.accept().await.unwrap().0;
        stream.read_buf(&mut Vec::with_capacity(1000)).await.unwrap();
        drop(stream);
        speaker.write_all(b"x").await.unwrap();
        client.read_u8().await.unwrap();
        let post =
            forward(anybody(), &HeaderLines::default(), &pools, &upstream, request("POST", TestBody::sized("a=b")));
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
            let answer = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.map(drop);
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
        let response = forward(anybody(), &HeaderLines::default(), &pools, &app.patient(), get()).await.unwrap();
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
            let response = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
            assert_eq!(text(response).await.unwrap(), body);
        }
    });
}

#[test]
fn a_get_body_of_unknown_length_is_sent() {
    run(|pools| async move {
        let app = App::start([vec![Step::Request, ok("")]]).await;
        forward(
            anybody(),
            &HeaderLines::default(),
            &pools,
            &app.patient(),
            request("GET", TestBody::chunked(&["abc", "de"])),
        )
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
        forward(anybody(), &HeaderLines::default(), &pools, &app.patient(), request).await.unwrap();
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
        let response =
            forward(anybody(), &HeaderLines::default(), &pools, &upstream, request("POST", body)).await.unwrap();
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
        let response =
            forward(anybody(), &HeaderLines::default(), &pools, &app.patient(), request("POST", body)).await.unwrap();
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
        let answer =
            forward(anybody(), &HeaderLines::default(), &pools, &app.patient(), request("POST", body)).await.map(drop);
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
        let (answer, ()) = tokio::join!(
            forward(anybody(), &HeaderLines::default(), &pools, &upstream, request("POST", body)),
            slow_client
        );
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
        let answer =
            forward(anybody(), &HeaderLines::default(), &pools, &upstream, request("POST", body)).await.map(drop);
        assert!(matches!(answer, Err(Error::FirstByteTimeout)), "{answer:?}");
        drop(sender);
    });
}

#[test]
fn a_refused_connection_names_the_address() {
    run(|pools: Pools| async move {
        let app = App::start([]).await;
        tokio::task::yield_now().await;
        let message = forward(anybody(), &HeaderLines::default(), &pools, &app.patient(), get())
            .await
            .map(drop)
            .unwrap_err()
            .to_string();
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
        let answer = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.map(drop);
        assert!(matches!(answer, Err(Error::ConnectTimeout { .. })), "{answer:?}");
    });
}

#[test]
fn a_name_without_address_names_the_host() {
    run(|pools| async move {
        let url = Some("http://no-such-app.invalid".into());
        let upstream = Upstream::from_config(0, &schema::Upstream { url, ..Default::default() }).unwrap();
        let answer = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.map(drop);
        assert!(matches!(&answer, Err(Error::Resolve { host, .. }) if &**host == "no-such-app.invalid"));
    });
}

#[test]
fn an_http_1_0_app_is_served_but_its_connection_is_not_kept() {
    run(|pools| async move {
        let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold";
        let app = App::start([vec![Step::Request, send(old), Step::Closed]]).await;
        let upstream = app.patient();
        let response = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
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
        let response =
            forward(anybody(), &HeaderLines::default(), &pools, &upstream, request("HEAD", TestBody::empty()))
                .await
                .unwrap();
        assert_eq!(response.headers()["content-length"], "1234");
        assert_eq!(text(response).await.unwrap(), "");
        assert_eq!(
            text(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap()).await.unwrap(),
            "x"
        );
    });
}

#[test]
fn an_upload_goes_on_beside_an_early_response() {
    run(|pools| async move {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
        let first = [Step::Head, send(head), Step::Bytes(3), send("3\r\ntwo\r\n0\r\n\r\n")];
        let app = App::start([[&first[..], &[Step::Request, ok("next"), Step::Closed]].concat()]).await;
        let upstream = app.patient();
        let (sender, body) = TestBody::open(Some(3));
        let mut response =
            forward(anybody(), &HeaderLines::default(), &pools, &upstream, request("POST", body)).await.unwrap();
        assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        sender.send(Ok(Frame::data(Bytes::from_static(b"abc")))).unwrap();
        assert_eq!(text(response).await.unwrap(), "two");
        assert_eq!(app.saw(2).await[1], "1: abc");
        assert_eq!(
            text(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap()).await.unwrap(),
            "next"
        );
    });
}

#[test]
fn a_client_that_fails_beside_an_early_response_breaks_it_off() {
    run(|pools| async move {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
        let app = App::start([vec![Step::Head, send(head), Step::Closed]]).await;
        let (sender, body) = TestBody::open(Some(3));
        let response =
            forward(anybody(), &HeaderLines::default(), &pools, &app.patient(), request("POST", body)).await.unwrap();
        sender.send(Err(BodyError::TooSlow)).unwrap();
        assert!(text(response).await.is_err());
        assert_eq!(app.saw(2).await[1], "1: closed");
    });
}

#[test]
fn a_response_that_says_close_is_the_last_on_its_connection() {
    run(|pools| async move {
        let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
        let app = App::start([vec![Step::Request, send(last), Step::Closed]]).await;
        let upstream = app.patient();
        assert_eq!(
            text(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap()).await.unwrap(),
            "hi"
        );
        assert_eq!(app.saw(2).await[1], "1: closed");
    });
}

#[test]
fn a_body_that_came_with_its_head_frees_the_connection_at_once() {
    run(|pools| async move {
        let app = App::start([vec![Step::Request, ok("hi"), Step::Closed]]).await;
        let upstream = app.patient();
        let response = forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap();
        assert_eq!(pools.pool(&upstream).idle_count(), 1);
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(2));
        assert_eq!(text(response).await.unwrap(), "hi");
    });
}

#[test]
fn a_pooled_connection_that_was_spoken_on_is_not_used() {
    run(|pools| async move {
        let evil = send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        let first = vec![Step::Request, ok("one"), Step::Bytes(1), evil, Step::Closed];
        let app = App::start([first, vec![Step::Request, ok("good")]]).await;
        let upstream = app.patient();
        assert_eq!(
            text(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap()).await.unwrap(),
            "one"
        );
        // Nudges the app into speaking out of turn.
        let mut lease = pools.pool(&upstream).checkout().unwrap();
        lease.connection.stream.write_all(b"x").await.unwrap();
        lease.connection.stream.readable().await.unwrap();
        lease.keep_for(9);
        lease.release();
        assert_eq!(
            text(forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()).await.unwrap()).await.unwrap(),
            "good"
        );
    });
}

#[test]
fn the_future_of_a_request_is_small() {
    run(|pools| async move {
        let app = App::start([]).await;
        let upstream = app.patient();
        let size = size_of_val(&forward(anybody(), &HeaderLines::default(), &pools, &upstream, get()));
        assert!(size <= 1024, "{size}");
    });
}
