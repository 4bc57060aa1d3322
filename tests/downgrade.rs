//! HTTP/2 requests on their way down to HTTP/1.1, and the answers back up, with a well-behaved client.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};

use crate::support::{App, HOST, TlsGateway, ok};

fn before(app: &App) -> TlsGateway {
    TlsGateway::with_config(&format!("routes: [{{ access: public, upstream: 'http://{}' }}]", app.address))
}

/// Runs `test` with a well-behaved client of `server`.
fn with_client<F: Future<Output = ()>>(server: &TlsGateway, test: impl FnOnce(h2::client::SendRequest<Bytes>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = h2::client::handshake(server.connect("h2").await).await.unwrap();
        let connection = tokio::spawn(connection);
        let test = async { test(client.ready().await.unwrap()).await };
        tokio::time::timeout(Duration::from_secs(20), test).await.expect("nothing hangs");
        connection.abort();
    });
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://{HOST}{path}")).version(Version::HTTP_2)
}

/// A response read to its end.
struct Answer {
    head: Response<()>,
    body: Vec<u8>,
    trailers: Option<http::HeaderMap>,
}

async fn all(response: Response<h2::RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        incoming.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    let trailers = incoming.trailers().await?;
    Ok(Answer { head: Response::from_parts(head, ()), body, trailers })
}

/// H2-12: the request is written anew from its parts.
#[test]
fn a_request_goes_down_to_http_1_1_whole_and_clean() {
    let app = App::answering(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 7\r\nRemote-User: eve\r\n\r\n",
    );
    let server = before(&app);
    with_client(&server, async |mut client| {
        let post =
            request("POST", "/a/../b?c=d").header("cookie", "a=1").header("cookie", "b=2").header("te", "trailers");
        let (response, mut upload) = client.send_request(post.body(()).unwrap(), false).unwrap();
        upload.send_data(Bytes::from_static(b"first "), false).unwrap();
        upload.send_data(Bytes::from_static(b"last"), false).unwrap();
        upload.send_trailers([("remote-user".parse().unwrap(), "eve".parse().unwrap())].into_iter().collect()).unwrap();
        let Answer { head, body, trailers } = all(response.await.unwrap()).await.unwrap();
        assert_eq!((head.status().as_u16(), &body[..]), (200, &b"body"[..]));
        for gone in ["connection", "keep-alive", "transfer-encoding", "x-hop"] {
            assert!(!head.headers().contains_key(gone), "{gone}");
        }
        let cookies: Vec<_> = head.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        let trailers = trailers.unwrap();
        assert_eq!((trailers.len(), trailers["x-sum"].as_bytes()), (1, &b"7"[..]));
    });
    let seen = app.last();
    assert_eq!((seen.line(), &seen.body[..]), ("POST /b?c=d HTTP/1.1", &b"first last"[..]));
    assert_eq!((seen.header("host"), seen.header("cookie")), (Some(HOST), Some("a=1; b=2")));
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (Some("chunked"), None));
    assert_eq!((seen.header("te"), seen.header("connection")), (Some("trailers"), Some("te")));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert!(!seen.head.contains("eve"));
}

/// H2-12: a POST without a body says so, which HTTP/1.1 apps expect.
#[test]
fn an_empty_post_has_a_length_of_zero_and_an_empty_get_none() {
    let app = App::answering(ok(""));
    let server = before(&app);
    with_client(&server, async |mut client| {
        for method in ["POST", "GET"] {
            let (response, _) = client.send_request(request(method, "/x").body(()).unwrap(), true).unwrap();
            assert_eq!(response.await.unwrap().status(), 200);
        }
    });
    assert_eq!(app.seen()[0].header("content-length"), Some("0"));
    assert_eq!((app.seen()[1].header("content-length"), app.seen()[1].header("transfer-encoding")), (None, None));
}

/// Our own refusals say `Connection: close` on HTTP/1.1, which HTTP/2 forbids; the connection lives on.
#[test]
fn a_refusal_has_no_connection_header_and_leaves_the_other_streams_alone() {
    let app = App::answering(ok("x"));
    let server = before(&app);
    with_client(&server, async |mut client| {
        for (path, status) in [("/%2fx", 400), ("/.session/none", 404), ("/x", 200), ("/%00", 400), ("/x", 200)] {
            let (response, _) = client.send_request(request("GET", path).body(()).unwrap(), true).unwrap();
            let Answer { head, .. } = all(response.await.unwrap()).await.unwrap();
            assert_eq!(head.status().as_u16(), status, "{path}");
            assert!(!head.headers().contains_key("connection"), "{path}");
        }
    });
}

/// FR-27 on HTTP/2: what is cut short is a reset, never an end.
#[test]
fn a_response_that_is_cut_short_is_a_reset_stream() {
    let app = App::with(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n");
        false
    });
    let server = before(&app);
    with_client(&server, async |mut client| {
        let (response, _) = client.send_request(request("GET", "/x").body(()).unwrap(), true).unwrap();
        assert!(all(response.await.unwrap()).await.is_err_and(|error| error.is_reset()));
        let (response, _) = client.send_request(request("GET", "/x").body(()).unwrap(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
}
