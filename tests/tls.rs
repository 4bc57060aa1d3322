//! The gateway's own TLS: the listener, HTTP/2, the way from http to https, and a certificate that is replaced.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{App, Client, PASSWORD, Response, TestGateway, field, user};

/// A TLS listener, a redirecting clear one beside it, and the certificate of `a.test`.
struct Secure {
    app: App,
    gateway: TestGateway,
    dir: tempfile::TempDir,
}

impl Secure {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_pair(dir.path());
        let app = App::echoing();
        let gateway = TestGateway::with_config(&format!(
            "listeners:\n  - {{ address: '127.0.0.1:0', tls: {{ certificate: '{0}/tls.crt', key: '{0}/tls.key' }} }}\n  \
             - {{ address: '127.0.0.1:0', redirect_to_https: true }}\n\
             session: {{ cookie: {{ name: __Host-sessionid }} }}\n\
             routes: [{{ host: a.test, upstream: 'http://{1}' }}]\n\
             login: {{ form: {{ users: [{2}] }} }}",
            dir.path().display(),
            app.address,
            user("ann", "wiki")
        ));
        Self { app, gateway, dir }
    }

    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        connect(self.gateway.address(), &certificate(self.dir.path()), &[])
    }

    /// One request over HTTP/1.1.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Response {
        let mut stream = self.connect();
        let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{length}{headers}\r\n{body}");
        stream.write_all(head.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Response::parse(&bytes)
    }
}

/// A fresh pair for `a.test`, each file replaced as certificate tools do it.
fn write_pair(dir: &Path) {
    let pair = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    for (name, text) in [("tls.key", pair.signing_key.serialize_pem()), ("tls.crt", pair.cert.pem())] {
        fs::write(dir.join("new"), text).unwrap();
        fs::rename(dir.join("new"), dir.join(name)).unwrap();
    }
}

fn certificate(dir: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(dir.join("tls.crt")).unwrap()
}

fn client_config(trusted: &CertificateDer<'static>, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    alpn: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("a.test").unwrap();
    let session = ClientConnection::new(client_config(trusted, alpn), name).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(session, socket)
}

/// The `name=value` of the one cookie a response sets.
fn cookie(response: &Response) -> String {
    response.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

fn sign_in_form(page: &Response) -> String {
    let csrf = field(page, "csrf").unwrap();
    let fields = [("csrf", &*csrf), ("username", "ann"), ("password", PASSWORD)];
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: https://a.test\r\n";

/// CK-01.
#[test]
fn people_sign_in_over_tls_under_a_secure_host_cookie() {
    let secure = Secure::new();
    let page = secure.ask("GET", "/.session/login", "", "");
    let line = page.header("set-cookie").unwrap();
    assert!(line.starts_with("__Host-sessionid=") && line.contains("; Secure") && line.contains("Path=/;"), "{line}");
    let headers = format!("{FORM}Cookie: {}\r\n", cookie(&page));
    let answer = secure.ask("POST", "/.session/login", &headers, &sign_in_form(&page));
    assert_eq!(answer.status, 303);
    let session = format!("Cookie: {}\r\n", cookie(&answer));
    assert_eq!(secure.ask("GET", "/", &session, "").status, 200);
    let seen = secure.app.last();
    assert_eq!((seen.header("remote-user"), seen.header("cookie")), (Some("ann"), None));
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")), (Some("https"), Some("a.test")));
}

/// SM-23: the session is not touched over clear text, whatever is sent.
#[test]
fn the_clear_listener_only_leads_to_the_secure_one() {
    let secure = Secure::new();
    let clear = secure.gateway.addresses()[1];
    let ask = |request: &str| Client::connect(clear).send(request).response();
    let answer =
        ask("GET /a/./b?c=d HTTP/1.1\r\nHost: A.Test:8080\r\nCookie: __Host-sessionid=x\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://a.test/a/b?c=d")));
    assert_eq!(answer.all("set-cookie"), [""; 0]);
    let own = ask("GET /.session/login HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!((own.status, own.header("location")), (308, Some("https://a.test/.session/login")));
    let foreign = ask("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!((foreign.status, foreign.header("location")), (421, None));
    assert!(secure.app.seen().is_empty());
}

/// SM-23: what was sent in the clear is lost already; a redirect would hide it.
#[test]
fn a_form_posted_in_the_clear_is_refused_and_not_redirected() {
    let secure = Secure::new();
    let mut client = Client::connect(secure.gateway.addresses()[1]);
    client.send("POST /.session/login HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=b");
    let answer = client.response();
    assert_eq!((answer.status, answer.header("location")), (403, None));
}

#[test]
fn a_replaced_certificate_is_served_to_new_connections_and_old_ones_go_on() {
    let secure = Secure::new();
    let old = certificate(secure.dir.path());
    let mut open = secure.connect();
    open.write_all(b"GET /.session/me HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let mut first = [0; 12];
    open.read_exact(&mut first).unwrap();
    write_pair(secure.dir.path());
    let new = certificate(secure.dir.path());
    assert_ne!(old, new);
    let start = Instant::now();
    while !is_trusted(secure.gateway.address(), &new) {
        assert!(start.elapsed() < Duration::from_secs(15), "the old certificate is still served");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(!is_trusted(secure.gateway.address(), &old));
    open.write_all(b"GET /.session/me HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut rest = String::new();
    open.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200"), "{rest}");
}

/// F-15: half a pair is not taken over.
#[test]
fn a_broken_certificate_file_leaves_the_old_one_in_service() {
    let secure = Secure::new();
    let old = certificate(secure.dir.path());
    fs::write(secure.dir.path().join("tls.crt"), "-----BEGIN CERTIFICATE-----\nbroken").unwrap();
    for _ in 0..60 {
        assert!(is_trusted(secure.gateway.address(), &old));
        std::thread::park_timeout(Duration::from_millis(25));
    }
}

fn is_trusted(address: SocketAddr, certificate: &CertificateDer<'static>) -> bool {
    let mut stream = connect(address, certificate, &[]);
    stream.flush().is_ok() && stream.conn.complete_io(&mut stream.sock).is_ok()
}

/// CK-06: HTTP/2 by ALPN with cookies in crumbs; the app sees HTTP/1.1 with one `Cookie` line.
#[test]
fn a_session_lives_over_http_2_with_its_cookies_in_several_fields() {
    let secure = Secure::new();
    let page = secure.ask("GET", "/.session/login", "", "");
    let headers = format!("{FORM}Cookie: {}\r\n", cookie(&page));
    let session = cookie(&secure.ask("POST", "/.session/login", &headers, &sign_in_form(&page)));
    let crumbs = ["a=1", &session, "b=2"];
    let (status, headers) = http2(&secure, &crumbs);
    assert_eq!(status, 200);
    assert!(headers.get_all("vary").iter().any(|value| value == "Cookie"));
    let seen = secure.app.last();
    assert_eq!((seen.line(), seen.header("host")), ("GET /two HTTP/1.1", Some("a.test")));
    assert_eq!((seen.all("cookie"), seen.header("remote-user")), (vec!["a=1; b=2"], Some("ann")));
    assert_eq!(http2(&secure, &["a=1"]).0, 401);
}

fn http2(secure: &Secure, crumbs: &[&str]) -> (u16, HeaderMap) {
    let config = client_config(&certificate(secure.dir.path()), &["h2", "http/1.1"]);
    let address = secure.gateway.address();
    let mut request = Request::builder().method(Method::GET).uri("https://a.test/two");
    for crumb in crumbs {
        request = request.header("cookie", *crumb);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("a.test").unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let (answer, _) = client.ready().await.unwrap().send_request(request.body(()).unwrap(), true).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap().unwrap();
        (answer.status().as_u16(), answer.headers().clone())
    })
}

/// DO-01.
#[test]
fn clear_text_on_the_tls_listener_gets_no_page() {
    let secure = Secure::new();
    let mut client = secure.gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(!client.rest().contains("HTTP/1.1"));
    assert!(secure.app.seen().is_empty());
}
