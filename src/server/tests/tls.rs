//! Handshakes, HTTP/2 by ALPN, and certificates that change while we run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// Writes a fresh self-signed pair for `a.test` into `directory`.
fn write_pair(directory: &Path) -> schema::Tls {
    let files = schema::Tls { certificate: directory.join("tls.crt"), key: directory.join("tls.key") };
    let pair = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    replace(&files.key, &pair.signing_key.serialize_pem());
    replace(&files.certificate, &pair.cert.pem());
    files
}

/// As certificate tools do it: a new file under the old name.
fn replace(path: &Path, text: &str) {
    let fresh: PathBuf = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

fn connector(certificate: &Path, alpn: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn handshake(server: &Server, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    connector.connect(ServerName::try_from("A.test").unwrap(), server.connect().await).await
}

fn with_tls_server<F: Future<Output = ()>>(limits: Limits, test: impl FnOnce(Server, schema::Tls) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let files = write_pair(directory.path());
    let listener = Listener { tls: Some(files.clone()), ..listener() };
    with_server(listener, limits, |server| test(server, files));
}

#[test]
fn http_1_over_tls_is_guarded_too_and_knows_the_server_name() {
    with_tls_server(limits(), |server, files| async move {
        let mut stream = handshake(&server, &connector(&files.certificate, &["http/1.1"])).await.unwrap();
        stream.write_all(b"GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(statuses(&read_all(&mut stream).await), [200, 400]);
        let peers = server.app.peers.take();
        assert_eq!((peers[0].tls, peers[0].server_name.as_deref()), (true, Some("a.test")));
    });
}

#[test]
fn a_silent_handshake_is_closed() {
    with_tls_server(Limits { head_timeout: millis(100), ..limits() }, |server, _| async move {
        assert_eq!(server.exchange("").await, "");
    });
}

async fn h2_client(server: &Server, certificate: &Path, window: u32) -> h2::client::SendRequest<Bytes> {
    let stream = handshake(server, &connector(certificate, &["h2", "http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    client.ready().await.unwrap()
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("https://a.test{path}")).body(()).unwrap()
}

#[test]
fn h2_is_chosen_by_alpn_and_drained_with_goaway() {
    with_tls_server(limits(), |server, files| async move {
        let mut client = h2_client(&server, &files.certificate, 65_535).await;
        let (response, _) = client.send_request(get("/"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, http::Version::HTTP_2));
        let (waiting, _) = client.send_request(get("/wait"), true).unwrap();
        while server.app.seen.borrow().len() < 2 {
            tokio::task::yield_now().await;
        }
        server.shutdown.trigger();
        tokio::task::yield_now().await;
        server.app.gate.notify_one();
        assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
        server.worker.await.unwrap().unwrap();
    });
}

#[test]
fn a_stream_whose_window_stays_shut_is_reset_and_the_connection_lives() {
    with_tls_server(Limits { write_timeout: millis(200), ..limits() }, |server, files| async move {
        for window in [0, 1000] {
            let mut client = h2_client(&server, &files.certificate, window).await;
            let (response, _) = client.send_request(get("/endless"), true).unwrap();
            let mut body = response.await.unwrap().into_body();
            let mut received = 0;
            // Nothing is released, so the window stays shut.
            let reset = loop {
                match body.data().await {
                    Some(Ok(data)) => received += data.len(),
                    Some(Err(error)) => break error,
                    None => panic!("a cut body looks complete"),
                }
            };
            assert!(reset.is_reset() && received <= window as usize, "{reset}");
            let (again, _) = client.ready().await.unwrap().send_request(get("/"), true).unwrap();
            assert_eq!(again.await.unwrap().status(), StatusCode::OK);
        }
    });
}

#[test]
fn an_idle_h2_connection_is_closed() {
    with_tls_server(Limits { keep_alive_timeout: millis(200), ..limits() }, |server, files| async move {
        let client = h2_client(&server, &files.certificate, 65_535).await;
        while server.connections.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(client);
    });
}

#[test]
fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    with_tls_server(limits(), |server, files| async move {
        let old = connector(&files.certificate, &[]);
        handshake(&server, &old).await.unwrap();
        fs::write(&files.certificate, "no certificate").unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        handshake(&server, &old).await.expect("the last good certificate stays");
        write_pair(files.certificate.parent().unwrap());
        let new = connector(&files.certificate, &[]);
        while handshake(&server, &new).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(handshake(&server, &old).await.is_err());
    });
}

#[test]
fn a_key_of_another_certificate_is_refused_with_both_names() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mixed = schema::Tls { key: write_pair(two.path()).key, ..write_pair(one.path()) };
    let error = Tls::load(&mixed).unwrap_err().to_string();
    for path in [&mixed.certificate, &mixed.key] {
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
    }
}

#[test]
fn an_unreadable_or_empty_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = write_pair(directory.path());
    fs::write(&files.key, "").unwrap();
    assert!(Tls::load(&files).unwrap_err().to_string().contains("tls.key"));
    files.certificate = directory.path().join("none.crt");
    assert!(Tls::load(&files).unwrap_err().to_string().contains("none.crt"));
}
