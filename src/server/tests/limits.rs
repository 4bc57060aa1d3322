//! Clients that are slow, silent, greedy or many.

use super::*;

#[test]
fn a_slow_head_is_answered_408() {
    let limits = Limits { head_timeout: millis(200), ..limits() };
    with_server(listener(), limits, |server| async move {
        let mut stream = server.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
        let response = read_all(&mut stream).await;
        assert_eq!(statuses(&response), [408]);
        assert!(response.contains("connection: close"), "{response}");
        assert_eq!(server.seen(), [""; 0]);
    });
}

#[test]
fn a_dribbled_head_is_not_given_more_time() {
    let limits = Limits { head_timeout: millis(200), ..limits() };
    with_server(listener(), limits, |server| async move {
        let (mut read, mut write) = server.connect().await.into_split();
        let dribble = tokio::task::spawn_local(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            write.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            while write.write_all(b"X: y\r\n").await.is_ok() {
                tick.tick().await;
            }
        });
        assert_eq!(statuses(&read_all(&mut read).await), [408]);
        dribble.await.unwrap();
    });
}

#[test]
fn a_second_head_has_its_own_time() {
    let limits = Limits { head_timeout: millis(200), ..limits() };
    with_server(listener(), limits, |server| async move {
        let mut stream = server.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT").await.unwrap();
        assert_eq!(statuses(&read_all(&mut stream).await), [200, 408]);
    });
}

#[test]
fn silent_and_idle_connections_are_closed_without_a_word() {
    let limits = Limits { head_timeout: millis(300), keep_alive_timeout: millis(100), ..limits() };
    with_server(listener(), limits, |server| async move {
        assert_eq!(server.exchange("").await, "");
        assert_eq!(server.exchange("\r\n").await, "");
        let response = server.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(statuses(&response), [200]);
        assert!(!response.contains("close"), "{response}");
    });
}

#[test]
fn no_deadline_of_the_client_runs_while_we_answer() {
    let quick = millis(100);
    let limits = Limits { head_timeout: quick, keep_alive_timeout: quick, write_timeout: quick, ..limits() };
    with_server(listener(), limits, |server| async move {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let app = server.app.clone();
        tokio::join!(read_all(&mut stream), async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            app.gate.notify_one();
        })
        .0
        .starts_with("HTTP/1.1 200")
        .then_some(())
        .expect("an answer");
    });
}

#[test]
fn a_client_that_does_not_take_its_answer_is_dropped() {
    let limits = Limits { write_timeout: millis(300), ..limits() };
    with_server(listener(), limits, |server| async move {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        until_closed(&server.connections).await;
        let text = read_all(&mut stream).await;
        assert!(!text.ends_with("0\r\n\r\n"), "a cut body never looks complete");
    });
}

/// Waits until the server holds no connection any more.
async fn until_closed(connections: &Connections) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut opened = false;
    while !opened || connections.open() > 0 {
        opened |= connections.open() > 0;
        tick.tick().await;
    }
}

#[test]
fn the_newest_connection_beyond_the_limit_is_closed_at_once() {
    let limits = Limits { max_connections: 1, ..limits() };
    with_server(listener(), limits, |server| async move {
        let mut first = server.connect().await;
        first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_until(&mut first, "<>").await;
        assert_eq!(read_all(&mut server.connect().await).await, "");
        drop(first);
        until_gone(&server.connections).await;
        assert_eq!(statuses(&server.exchange("GET / HTTP/1.0\r\n\r\n").await), [200]);
    });
}

async fn until_gone(connections: &Connections) {
    while connections.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_proxy_header_names_the_client_and_must_be_there() {
    let listener = Listener { proxy_protocol: true, ..listener() };
    let limits = Limits { head_timeout: millis(200), ..limits() };
    with_server(listener, limits, |server| async move {
        let response =
            server.exchange("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
        assert_eq!(statuses(&response), [200]);
        assert_eq!(server.app.peers.take(), [Peer::clear("192.0.2.7:4711".parse().unwrap())]);
        assert_eq!(server.exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await, "");
        assert_eq!(server.exchange("PROXY TCP4 192.0").await, "");
    });
}

#[test]
fn an_early_answer_arrives_although_the_rest_of_the_request_is_thrown_away() {
    with_server(listener(), limits(), |server| async move {
        for (line, status) in [
            ("POST /refuse HTTP/1.1\r\nContent-Length: 9000000", 413),
            ("CONNECT a:1 HTTP/1.1\r\nContent-Length: 9000000", 405),
            ("POST /refuse HTTP/1.1\r\nContent-Length: 9000000\r\nUpgrade: foo", 413),
        ] {
            let mut stream = server.connect().await;
            stream.write_all(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
            let (mut read, mut write) = stream.split();
            let body = vec![b'x'; 1_000_000];
            let (written, response) = tokio::join!(write.write_all(&body), read_until(&mut read, "\r\n\r\n"));
            assert_eq!(statuses(&response), [status], "{line}");
            // A reset could overtake the answer on a longer way than loopback.
            written.expect("no reset while we write");
            assert_eq!(stream.read(&mut [0]).await.expect("no reset while we read"), 0, "{line}");
        }
    });
}
