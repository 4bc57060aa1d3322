//! The end of a worker, of a connection by panic, and of HTTP by an upgrade.

use super::*;

#[test]
fn a_drain_lets_an_open_request_finish_and_accepts_no_more() {
    with_server(listener(), limits(), |server| async move {
        let mut idle = server.connect().await;
        idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_until(&mut idle, "<>").await;
        let mut open = server.connect().await;
        open.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        while server.app.seen.borrow().len() < 2 {
            tokio::task::yield_now().await;
        }
        server.shutdown.trigger();
        assert_eq!(read_all(&mut idle).await, "");
        assert!(TcpStream::connect(server.address).await.is_err());
        assert!(!server.worker.is_finished());
        server.app.gate.notify_one();
        let response = read_all(&mut open).await;
        assert_eq!(statuses(&response), [200]);
        assert!(response.contains("connection: close"), "{response}");
        server.worker.await.unwrap().unwrap();
    });
}

#[test]
fn a_drain_cuts_what_does_not_end_in_time() {
    let limits = Limits { drain_timeout: millis(100), ..limits() };
    with_server(listener(), limits, |server| async move {
        let mut open = server.connect().await;
        open.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        while server.app.seen.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        server.shutdown.trigger();
        server.worker.await.unwrap().unwrap();
        assert_eq!(read_all(&mut open).await, "");
    });
}

#[test]
fn a_panic_costs_one_connection() {
    with_server(listener(), limits(), |server| async move {
        assert_eq!(server.exchange("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await, "");
        assert_eq!(statuses(&server.exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await), [200]);
        assert_eq!(server.connections.open(), 0);
    });
}

#[test]
fn an_upgraded_connection_carries_any_bytes_and_is_still_counted() {
    let quick = millis(100);
    let limits = Limits { head_timeout: quick, keep_alive_timeout: quick, ..limits() };
    with_server(listener(), limits, |server| async move {
        let mut stream = server.connect().await;
        let head = "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(&[head.as_bytes(), b"\n\0"].concat()).await.unwrap();
        assert_eq!(statuses(&read_until(&mut stream, "\r\n\r\n\n\0").await), [101]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(b"GET /#\n").await.unwrap();
        read_until(&mut stream, "GET /#\n").await;
        assert_eq!(server.connections.open(), 1);
        drop(stream);
        while server.connections.open() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_unix_socket_serves_as_loopback() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.sock");
    let listener = Listener { address: ListenerAddress::Unix(path.clone()), ..listener() };
    with_server(listener, limits(), |server| async move {
        let mut stream = server.connect_unix(&path).await;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        assert_eq!(statuses(&read_all(&mut stream).await), [200]);
        assert_eq!(server.app.peers.take(), [Peer::unix()]);
    });
}
