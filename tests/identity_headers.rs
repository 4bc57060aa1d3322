//! Headers that say who the user is: no client can send one, in any spelling, on any route.
//!
//! A case sends the value `eve` and looks for it in what the app saw.

use crate::support::{App, Browser, PASSWORD, TestGateway};

/// What lower-casing and taking every separator for `-` turns into one of these names an identity for some app.
const NAMES: [&str; 4] = ["Remote-User", "X-Remote-User", "X-Forwarded-User", "X-Shop-Customer"];

/// One app behind an open route and a protected one, with a header of its own on the latter.
fn shop(app: &App) -> TestGateway {
    TestGateway::with_routes(&format!(
        "  - {{ path: /, access: public, upstream: 'http://{0}' }}\n  \
           - {{ path: /user, access: user, upstream: 'http://{0}' }}\n  \
           - {{ path: /shop, access: user, upstream: 'http://{0}', \
                identity: {{ headers: {{ x-shop-customer: '{{user}}', X-Shop-Mail: '{{email}}' }} }} }}",
        app.address
    ))
}

fn send(browser: &mut Browser, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    browser.request(method, path, headers, b"").status
}

/// ID-01
#[test]
fn a_clients_identity_headers_are_removed_on_every_route_and_method() {
    let app = App::echoing();
    let gateway = shop(&app);
    let forged = [
        ("Remote-User", "eve"),
        ("remote-user", "eve2"),
        ("REMOTE-USER", "eve3"),
        ("Remote-Groups", "eve-admins"),
        ("X-Shop-Customer", "eve"),
    ];
    for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE"] {
        println!("case: {method}, nobody signed in");
        assert_eq!(send(&mut gateway.browser(), method, "/x", &forged), 200);
        assert!(!app.last().head.contains("eve"), "{}", app.last().head);
        println!("case: {method}, ann signed in");
        assert_eq!(send(&mut gateway.signed_in("ann"), method, "/user", &forged), 200);
        let seen = app.last();
        assert!(!seen.head.contains("eve"), "{}", seen.head);
        assert_eq!((seen.header("remote-user"), seen.header("remote-groups")), (Some("ann"), Some("staff,wiki")));
    }
}

/// ID-01: also when a request is sent twice because the app had closed the first connection.
#[test]
fn a_retried_request_carries_the_same_identity_and_no_forged_one() {
    let app = App::with(|seen, stream| {
        use std::io::Write;
        // Each connection serves one request and dies at its second.
        let nth = seen.line().contains("/user/2") && seen.connection == 1;
        !nth && stream.write_all(crate::support::ok("").as_bytes()).is_ok()
    });
    let gateway = shop(&app);
    let mut ann = gateway.signed_in("ann");
    assert_eq!(send(&mut ann, "GET", "/user/1", &[]), 200);
    assert_eq!(send(&mut ann, "GET", "/user/2", &[("Remote-User", "eve")]), 200);
    let tries: Vec<_> = app.seen().into_iter().filter(|seen| seen.line().contains("/user/2")).collect();
    assert_eq!(tries.len(), 2);
    for seen in tries {
        assert_eq!(seen.header("remote-user"), Some("ann"));
    }
}

/// ID-01 (CVE-2026-30851): an attribute the user has not is no header, not the client's.
#[test]
fn an_attribute_the_user_has_not_is_no_header_at_all() {
    let app = App::echoing();
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    let gateway = TestGateway::with_config(&format!(
        "login: {{ form: {{ users: [{{ name: ann, password: '{hash}' }}] }} }}\n\
         routes: [{{ access: user, upstream: 'http://{}' }}]",
        app.address
    ));
    let forged = [("Remote-Email", "eve@evil"), ("Remote-Groups", "admins"), ("Remote-Name", "Eve")];
    assert_eq!(send(&mut gateway.signed_in("ann"), "GET", "/", &forged), 200);
    let seen = app.last();
    assert_eq!(seen.header("remote-user"), Some("ann"));
    for name in ["remote-email", "remote-groups", "remote-name"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

/// ID-02: apps behind CGI, WSGI, PHP or a servlet container take all of these for the same variable.
#[test]
fn no_separator_makes_an_alias_of_an_identity_header() {
    let app = App::echoing();
    let gateway = shop(&app);
    let mut ann = gateway.signed_in("ann");
    for separator in "!#$%&'*+-.^_`|~".chars() {
        for name in NAMES {
            // Each separator alone, and every other one mixed with `-`.
            let whole = name.replace('-', &separator.to_string());
            let mixed = name.replacen('-', &separator.to_string(), 1);
            for alias in [whole.clone(), mixed, format!("HTTP_{whole}"), whole.to_uppercase()] {
                println!("case: {alias}");
                assert_eq!(send(&mut ann, "GET", "/shop", &[(&alias, "eve")]), 200, "{alias}");
                let seen = app.last();
                assert!(!seen.head.contains("eve"), "{alias}: {}", seen.head);
                assert_eq!(seen.header("x-shop-customer"), Some("ann"), "{alias}");
            }
        }
    }
}

/// ID-02: a space is no separator but a malformed name.
#[test]
fn a_name_with_a_space_is_refused() {
    let app = App::echoing();
    let gateway = shop(&app);
    for name in ["Remote User", "X Remote User", "Remote-User "] {
        let mut client = gateway.connect();
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\n{name}: eve\r\n\r\n"));
        assert_eq!(client.response().status, 400, "{name}");
    }
    assert!(app.seen().is_empty());
}

/// ID-02: a second opinion on framing, host or credentials ends the request.
#[test]
fn an_alias_of_a_framing_host_or_credential_header_is_refused() {
    let app = App::echoing();
    let gateway = shop(&app);
    for name in [
        "Content_Length",
        "Content.Length",
        "Transfer_Encoding",
        "Transfer-Encoding".replace('-', "~").as_str(),
        "HTTP_HOST",
        "HTTP-Host",
        "HTTP_COOKIE",
        "HTTP_AUTHORIZATION",
        "Http-Content-Length",
    ] {
        println!("case: {name}");
        let mut client = gateway.connect();
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\n{name}: 5\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (400, Some("close")), "{name}");
        assert!(app.seen().is_empty(), "{name}");
    }
}

/// ID-02, ID-03: whether or not this gateway sets them, apps believe them.
#[test]
fn well_known_identity_and_routing_headers_are_always_removed() {
    let app = App::echoing();
    let gateway = shop(&app);
    for name in [
        "Remote-User",
        "Remote_User",
        "REMOTE_USER",
        "Remote-Addr",
        "Auth-User",
        "X-Auth-User",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Forwarded-Preferred-Username",
        "X-Forwarded-Access-Token",
        "X-Auth-Request-User",
        "X-Auth-Request-Email",
        "X-WEBAUTH-USER",
        "X-Authentik-Username",
        "X-Real-IP",
        "X-Original-URL",
        "X-Original-Method",
        "X-Accel-Redirect",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "Proxy",
        "Forwarded",
        "Session-User",
        "Session_Data",
        "Cloakroom-Assertion",
    ] {
        println!("case: {name}");
        assert_eq!(send(&mut gateway.browser(), "GET", "/x", &[(name, "eve")]), 200, "{name}");
        assert!(!app.last().head.contains("eve"), "{name}: {}", app.last().head);
    }
}

/// ID-04 (CVE-2022-31813, CVE-2024-45410): the client's `Connection` is worked off before ours are added.
#[test]
fn a_connection_header_cannot_take_away_what_the_gateway_says() {
    let app = App::echoing();
    let gateway = shop(&app);
    let mut ann = gateway.signed_in("ann");
    for connection in [
        "Remote-User, Remote-Groups, Cookie, X-Forwarded-For, X-Forwarded-Proto, X-Real-IP, Host",
        "close, remote-user, REMOTE-GROUPS, cookie, x-forwarded-for, x-forwarded-proto, x-real-ip, hOsT",
        "keep-alive\r\nConnection: remote-user\r\nConnection: x-forwarded-for, host",
    ] {
        println!("case: {connection}");
        let cookie = format!("sessionid={}; theme=dark", ann.session_id().unwrap());
        let mut client = gateway.connect();
        client.send(format!(
            "GET /user HTTP/1.1\r\nHost: a.example\r\nConnection: {connection}\r\nCookie: {cookie}\r\n\r\n"
        ));
        assert_eq!(client.response().status, 200);
        let seen = app.last();
        assert_eq!((seen.header("remote-user"), seen.header("remote-groups")), (Some("ann"), Some("staff,wiki")));
        assert_eq!((seen.header("x-forwarded-for"), seen.header("x-real-ip")), (Some("127.0.0.1"), Some("127.0.0.1")));
        assert_eq!((seen.header("host"), seen.header("x-forwarded-proto")), (Some("a.example"), Some("http")));
        assert_eq!((seen.header("cookie"), seen.header("connection")), (Some("theme=dark"), None));
    }
    assert_eq!(send(&mut ann, "GET", "/user", &[("X-Hop", "1"), ("Connection", "X-Hop")]), 200);
    assert_eq!(app.last().header("x-hop"), None);
}

/// ID-05: one line per header, visible ASCII, and no way to gain a group by a comma.
#[test]
fn values_of_the_user_arrive_as_one_line_of_visible_ascii() {
    let app = App::echoing();
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    let user = |name: &str, more: &str| format!("{{ name: {name}, password: '{hash}', {more} }}");
    let users = [
        user("ann", "display_name: \"\u{c4}nn \u{a0}\u{2028}Example\""),
        user("bob", "display_name: ' Bob', groups: ['a,admins', 'b c']"),
    ];
    let gateway = TestGateway::with_config(&format!(
        "login: {{ form: {{ users: [{}] }} }}\nroutes: [{{ access: user, upstream: 'http://{}' }}]",
        users.join(", "),
        app.address
    ));
    for name in ["ann", "bob"] {
        assert_eq!(send(&mut gateway.signed_in(name), "GET", "/", &[]), 200, "{name}");
        let seen = app.last();
        assert_eq!(seen.header("remote-user"), Some(name));
        assert!(seen.head.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')), "{}", seen.head);
        let groups: Vec<&str> = seen.header("remote-groups").map(|all| all.split(',').collect()).unwrap_or_default();
        assert!(!groups.contains(&"admins"), "{groups:?}");
    }
}

/// ID-05
#[test]
fn a_user_with_a_control_character_in_a_value_is_refused() {
    for value in ["a\\r\\nRemote-User: root", "a\\0b", "a\\eb", "a\\nb"] {
        println!("case: {value}");
        let user = format!("{{ name: ann, password: '{}', display_name: \"{value}\" }}", bcrypt::hash("x", 4).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\ndata_dir: '{}'\n\
             login: {{ form: {{ users: [{user}] }} }}\nroutes: [{{ upstream: 'http://127.0.0.1:1' }}]\n",
            dir.path().display()
        );
        let Ok(loaded) = cloakroom::config::parse(&text, "cloakroom.yaml", &|_| None) else { continue };
        let clock = cloakroom::clock::ManualClock::at(cloakroom::clock::Timestamp(0));
        assert!(cloakroom::app::start(&loaded.config, std::sync::Arc::new(clock)).is_err(), "{value}");
    }
}

/// ID-06: neither a trailer nor a repeated field gets past.
#[test]
fn identity_headers_in_trailers_and_repetitions_are_dropped() {
    let app = App::echoing();
    let gateway = shop(&app);
    let mut client = gateway.connect();
    client.send(
        "POST /x HTTP/1.1\r\nHost: a\r\nRemote-User: eve\r\nRemote-User: eve\r\nRemote_User: eve\r\n\
         Trailer: Remote-User\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nRemote-User: eve\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let seen = app.seen();
    assert_eq!((seen[0].connection, seen[1].connection), (1, 1));
    assert_eq!(seen[1].line(), "GET /next HTTP/1.1");
    assert!(seen.iter().all(|seen| !seen.head.contains("eve")), "{seen:?}");
}

/// ID-07 (CVE-2026-33433): the case in which a header is configured is not that in which it is compared.
#[test]
fn a_configured_header_in_any_case_is_one_entry() {
    let app = App::echoing();
    let gateway = shop(&app);
    let mut ann = gateway.signed_in("ann");
    let forged = [("X-Shop-Customer", "eve"), ("X-SHOP-MAIL", "eve"), ("x-shop-mail", "eve")];
    assert_eq!(send(&mut ann, "GET", "/shop", &forged), 200);
    assert_eq!(app.last().header("x-shop-customer"), Some("ann"));
    assert_eq!(app.last().header("x-shop-mail"), Some("ann@example.com"));
}
