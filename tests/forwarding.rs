//! Headers about the client and the connection: `X-Forwarded-*`, `Forwarded`, hop-by-hop fields, `Host`.
//!
//! A case shows what the app is told, by a stranger and by a trusted proxy.

use crate::support::{App, Seen, TestGateway};

fn ask(gateway: &TestGateway, app: &App, lines: &str) -> Seen {
    let mut client = gateway.connect();
    let response = client.send(format!("GET /x HTTP/1.1\r\n{lines}\r\n\r\n")).response();
    assert_eq!(response.status, 200, "{lines}");
    app.last()
}

fn behind_trusted_proxy(app: &App) -> TestGateway {
    TestGateway::with_config(&format!(
        "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]\nroutes: [{{ access: public, upstream: 'http://{}' }}]",
        app.address
    ))
}

/// PA-04
#[test]
fn a_strangers_forwarding_headers_are_replaced_by_what_is_true() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let seen = ask(
        &gateway,
        &app,
        "Host: shop.example:8443\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n\
         X-Forwarded-Host: evil\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6",
    );
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("shop.example:8443"));
    assert_eq!(seen.header("x-forwarded-port"), Some("8443"));
    assert_eq!(seen.header("host"), Some("shop.example:8443"));
    assert_eq!(seen.header("forwarded"), None);
}

#[test]
fn the_forwarded_port_is_the_one_in_the_browsers_address_bar() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    for (host, port) in [("a", "80"), ("a:", "80"), ("a:8080", "8080"), ("[::1]:81", "81"), ("[::1]", "80")] {
        assert_eq!(ask(&gateway, &app, &format!("Host: {host}")).header("x-forwarded-port"), Some(port), "{host}");
    }
}

/// PA-04
#[test]
fn a_trusted_proxy_names_client_scheme_host_and_port() {
    let app = App::echoing();
    let gateway = behind_trusted_proxy(&app);
    let seen = ask(
        &gateway,
        &app,
        "Host: inner:8080\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-For: 10.2.3.4\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Prefix: /evil\r\n\
         X-Forwarded-User: eve",
    );
    assert_eq!(seen.header("x-forwarded-for"), Some("6.6.6.6, 203.0.113.9, 10.2.3.4, 127.0.0.1"));
    assert_eq!(seen.header("x-real-ip"), Some("203.0.113.9"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("shop.example"));
    assert_eq!(seen.header("host"), Some("inner:8080"));
    assert_eq!((seen.header("x-forwarded-prefix"), seen.header("x-forwarded-user")), (None, None));
}

/// The port belongs to the host the browser asked for, not to the one between proxy and gateway.
#[test]
fn behind_a_trusted_proxy_the_port_is_the_proxys_word_or_follows_its_host() {
    let app = App::echoing();
    let gateway = behind_trusted_proxy(&app);
    for (lines, port) in [
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example", "443"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example:8443", "8443"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 444", "444"),
        ("X-Forwarded-Port: 444", "444"),
        ("X-Forwarded-Port: none", "8080"),
        ("X-Forwarded-For: 203.0.113.9", "8080"),
    ] {
        println!("case: {lines}");
        let seen = ask(&gateway, &app, &format!("Host: inner:8080\r\n{lines}"));
        assert_eq!(seen.header("x-forwarded-port"), Some(port), "{lines}");
    }
}

#[test]
fn a_trusted_proxys_forwarded_is_read_and_extended() {
    let app = App::echoing();
    let gateway = behind_trusted_proxy(&app);
    let seen = ask(&gateway, &app, "Host: a\r\nForwarded: for=\"[2001:db8::1]:4711\";proto=https");
    assert_eq!(seen.header("x-real-ip"), Some("2001:db8::1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("forwarded"), Some("for=\"[2001:db8::1]:4711\";proto=https, for=127.0.0.1;proto=https"));
}

#[test]
fn hop_by_hop_headers_of_the_client_end_at_the_gateway() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let seen = ask(
        &gateway,
        &app,
        "Host: a\r\nConnection: X-Hop\r\nConnection: keep-alive, x-other\r\nX-Hop: 1\r\nX-Other: 1\r\nX-Other: 2\r\n\
         Keep-Alive: timeout=9\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\nX-Kept: 1",
    );
    for gone in ["connection", "x-hop", "x-other", "keep-alive", "proxy-connection", "proxy-authorization", "te"] {
        assert_eq!(seen.all(gone), [""; 0], "{gone}");
    }
    assert_eq!(seen.header("x-kept"), Some("1"));
}

/// RFC 9110 §10.1.4: that trailers are welcome is said anew for the next hop, with the `Connection` it needs.
#[test]
fn the_app_is_told_that_trailers_are_welcome() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    for te in ["trailers", "Trailers", "gzip, trailers", "gzip\r\nTE: trailers"] {
        let seen = ask(&gateway, &app, &format!("Host: a\r\nConnection: TE\r\nTE: {te}"));
        assert_eq!((seen.header("te"), seen.header("connection")), (Some("trailers"), Some("te")), "{te}");
    }
    for te in ["gzip", "xtrailers", "trailers;q=0"] {
        let seen = ask(&gateway, &app, &format!("Host: a\r\nConnection: TE\r\nTE: {te}"));
        assert_eq!((seen.header("te"), seen.header("connection")), (None, None), "{te}");
    }
}

#[test]
fn the_app_sees_the_host_the_route_says() {
    let app = App::echoing();
    let with = |host: &str| {
        TestGateway::with_routes(&format!(
            "  - {{ access: public, upstream: {{ url: 'http://{}', host: {host} }} }}",
            app.address
        ))
    };
    for (policy, seen) in
        [("preserve", "shop.example"), ("upstream", &*app.address.to_string()), ("app.local", "app.local")]
    {
        let gateway = with(policy);
        let got = ask(&gateway, &app, "Host: Shop.Example.");
        assert_eq!(got.header("host"), Some(seen), "{policy}");
        assert_eq!(got.header("x-forwarded-host"), Some("shop.example"), "{policy}");
    }
}

/// HTTP/1.0 in front is HTTP/1.1 behind.
#[test]
fn an_old_clients_request_is_sent_on_as_1_1() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    assert_eq!(client.send("GET /x HTTP/1.0\r\nHost: a\r\n\r\n").response().status, 200);
    assert!(client.is_closed());
    assert_eq!(app.last().line(), "GET /x HTTP/1.1");
}
