//! What apps that nobody can change were seen to do, behind a gateway that keeps their cookies and watches their sign-in:
//! odd cookies, odd framing, odd servers, sockets and long bodies. One habit, one test.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::{App, Browser, PASSWORD, Seen, TestGateway, ok};
use crate::websockets::{copy, handshake};

const OBSERVE: &str = "login: { path: /login, location_not: /login, user: { form: username } }, logout: { path: /out }";

/// The app's sign-in; everything else is for `rest`.
fn with_login(rest: impl Fn(&Seen) -> String + Send + Sync + 'static) -> App {
    App::with(move |seen, stream| {
        let said = match seen.line() {
            "POST /login HTTP/1.1" => {
                "HTTP/1.1 302 Found\r\nLocation: /home\r\nSet-Cookie: app=1; Path=/\r\nContent-Length: 0\r\n\r\n".into()
            }
            _ => rest(seen),
        };
        stream.write_all(said.as_bytes()).is_ok()
    })
}

fn observed(app: &App, more: &str) -> TestGateway {
    TestGateway::with_config(&format!(
        "login: {{ form: null }}\n{more}routes:\n  - {{ cookies: vault, observe: {{ {OBSERVE} }}, upstream: 'http://{}' }}",
        app.address
    ))
}

fn vault(app: &App) -> TestGateway {
    TestGateway::with_routes(&format!("  - {{ access: public, cookies: vault, upstream: 'http://{}' }}", app.address))
}

fn sign_in(gateway: &TestGateway) -> Browser {
    let mut browser = gateway.browser();
    assert_eq!(browser.post("/login", &[("username", "ann"), ("password", "x")]).status, 302);
    assert_eq!(browser.get("/.session/me").json()["user"], "ann");
    browser
}

fn cookie_line(app: &App, browser: &mut Browser, path: &str) -> String {
    browser.get(path);
    app.last().header("cookie").unwrap_or_default().to_owned()
}

// Cookies.

#[test]
fn cookies_of_every_shape_in_eighteen_lines_of_one_answer_go_back_byte_for_byte() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    // The clock stands at 2026-01-01.
    let lines = [
        "file=1; path=/wiki/x.php",
        "sid=root; Path=/",
        "sid=deep; Path=/wiki; HttpOnly",
        "twice=first; Path=/",
        "twice=last; Path=/",
        "marks=!/=|:%7C; Path=/",
        "quoted=\"a b,c\"; Path=/",
        "quote=\"; Path=/",
        "blank=a b  c ; Path=/",
        "empty=; Path=/",
        "deleted=deleted; Path=/",
        "year=2; Expires=Fri, 01-Jan-27 00:00:00 GMT; Path=/",
        "over=2; Expires=Wed, 31-Dec-25 23:59:59 GMT; Path=/",
        "tok=1; SameSite=None; Secure; Path=/",
        "tok_legacy=1; Path=/",
        "__Host-a=1; Secure; Path=/",
        "__Secure-b=1; Secure; Path=/",
        "serial=a%3A1%3A%7Bi%3A0%3Bs%3A2%3A%22ok%22%3B%7D.c2ln==; Path=/; Priority=High",
    ];
    let lines: Vec<_> = lines.iter().map(|line| format!("Set-Cookie: {line}")).collect();
    let answer = browser.answered("/wiki/x.php", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(answer.all("set-cookie").len(), 1, "ours alone: {:?}", answer.all("set-cookie"));
    let everywhere = "sid=root; twice=last; marks=!/=|:%7C; quoted=\"a b,c\"; quote=\"; blank=a b  c; empty=; \
                      deleted=deleted; year=2; tok=1; tok_legacy=1; __Host-a=1; __Secure-b=1; \
                      serial=a%3A1%3A%7Bi%3A0%3Bs%3A2%3A%22ok%22%3B%7D.c2ln==";
    assert_eq!(cookie_line(&app, &mut browser, "/"), everywhere);
    assert_eq!(cookie_line(&app, &mut browser, "/wiki/x.php"), format!("file=1; sid=deep; {everywhere}"));
    assert_eq!(cookie_line(&app, &mut browser, "/wiki/"), format!("sid=deep; {everywhere}"));
}

#[test]
fn cookies_go_by_every_way_apps_delete_them_and_by_no_other() {
    let app = App::obeying();
    let gateway = vault(&app);
    for (line, goes) in [
        ("a=; Max-Age=0; Path=/", true),
        ("a=1; Max-Age=-1; Path=/", true),
        ("a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/", true),
        ("a=deleted; Expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; Path=/", true),
        ("a=deleted; expires=Thu, 01-Jan-70 00:00:01 GMT; Path=/", true),
        ("a=\"\"; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/", true),
        ("a=\"\"; Max-Age=0; Path=/; SameSite=Lax", true),
        ("a=; Path=/", false),
        ("a=\"\"; Path=/", false),
        ("a=deleted; Path=/", false),
        // Another cookie: it has another path, or another domain.
        ("a=; Max-Age=0; Path=/elsewhere", false),
        ("a=; Max-Age=0; Path=/; Domain=elsewhere.example", false),
    ] {
        let mut browser = gateway.browser();
        browser.answered("/", &["Set-Cookie: a=1; Path=/", "Set-Cookie: b=1; Path=/"]);
        browser.answered("/", &[&format!("Set-Cookie: {line}")]);
        let left = cookie_line(&app, &mut browser, "/");
        assert_eq!(!left.contains("a="), goes, "{line}: {left}");
        assert!(left.contains("b=1"), "{line}: {left}");
    }
}

#[test]
fn a_cookie_that_changes_with_every_answer_is_always_the_latest() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    for number in 0..20 {
        browser.answered("/", &[&format!("Set-Cookie: nonce={number}; Path=/")]);
        assert_eq!(cookie_line(&app, &mut browser, "/"), format!("nonce={number}"));
    }
}

#[test]
fn what_no_browser_would_keep_is_not_kept() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.host = "wiki.example.co.uk".into();
    let long = format!("Set-Cookie: long={}; Path=/", "x".repeat(4093));
    browser.answered(
        "/",
        &[
            "Set-Cookie: suffix=1; Domain=co.uk; Path=/",
            "Set-Cookie: other=1; Domain=other.example; Path=/",
            "Set-Cookie: below=1; Domain=x.wiki.example.co.uk; Path=/",
            "Set-Cookie: __Host-a=1; Path=/",
            "Set-Cookie: __Host-b=1; Secure; Path=/x",
            "Set-Cookie: __Host-c=1; Secure; Path=/; Domain=wiki.example.co.uk",
            "Set-Cookie: __secure-d=1; Path=/",
            "Set-Cookie: =__Host-e=1; Secure; Path=/",
            &long,
            "Set-Cookie: mine=1; Domain=example.co.uk; Path=/",
        ],
    );
    assert_eq!(cookie_line(&app, &mut browser, "/"), "mine=1");
}

/// Interim answers and trailers too, and a refusal to switch protocols.
#[test]
fn hidden_cookies_leak_in_no_interim_answer_no_trailer_and_no_handshake() {
    const HIDDEN: &str = "Set-Cookie: hidden=secret; Path=/\r\n";
    let app = App::with(|seen, stream| {
        let said = match seen.header("sec-websocket-key") {
            Some(key) if seen.line().contains("/ws") => format!(
                "HTTP/1.1 103 Early Hints\r\n{HIDDEN}\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\n{HIDDEN}Sec-WebSocket-Accept: {}\r\n\r\nhello",
                derive_accept_key(key.as_bytes())
            ),
            Some(_) => format!("HTTP/1.1 403 No\r\n{HIDDEN}Content-Length: 0\r\n\r\n"),
            None if seen.line().starts_with("HEAD") => {
                format!("HTTP/1.1 200 OK\r\n{HIDDEN}Content-Length: 3\r\n\r\n")
            }
            None => format!(
                "HTTP/1.1 100 Continue\r\n{HIDDEN}\r\nHTTP/1.1 103 Early Hints\r\n{HIDDEN}Link: </a.css>\r\n\r\n\
                 HTTP/1.1 200 OK\r\n{HIDDEN}Trailer: Set-Cookie, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\
                 0\r\n{HIDDEN}X-Sum: 1\r\n\r\n"
            ),
        };
        stream.write_all(said.as_bytes()).unwrap();
        !said.contains(" 101 ") || copy(stream)
    });
    let gateway = vault(&app);
    let host = gateway.address();
    let lines = format!("Host: {host}\r\nTE: trailers\r\nConnection: TE, close\r\n");
    for request in [
        format!("GET / HTTP/1.1\r\n{lines}\r\n"),
        format!("HEAD / HTTP/1.1\r\n{lines}\r\n"),
        handshake("").replace("/chat", "/ws"),
        handshake("Connection: close\r\n"),
    ] {
        let mut client = gateway.connect();
        client.send(&request);
        if request.contains("/ws") {
            client.wait_for(b"hello");
            client.finish();
        }
        let text = client.rest();
        assert!(text.starts_with("HTTP/1.1 "), "{text}");
        assert!(text.contains("sessionid=") && !text.contains("hidden") && !text.contains("secret"), "{text}");
    }
}

// What apps compare from one request to the next.

/// What an app may build a cookie's name from, or bind its session to.
fn bound_to(seen: &Seen) -> Vec<(&'static str, Vec<&str>)> {
    const NAMES: [&str; 8] = [
        "host",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-real-ip",
        "accept-language",
    ];
    NAMES.iter().map(|name| (*name, seen.all(name))).collect()
}

#[test]
fn names_addresses_and_the_agent_stay_the_same_in_every_request_and_in_our_own() {
    let app = App::with(|seen, stream| {
        let said = match seen.header("sec-websocket-key") {
            Some(_) => "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".into(),
            None if seen.line().contains("/me") => ok("{\"u\": \"ann\"}"),
            None => ok("in"),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let gateway = TestGateway::with_config(&format!(
        "login: {{ form: null }}\ntrusted_proxies: [127.0.0.1]\nroutes:\n  - {{ access: public, cookies: vault, observe: {{ \
         login: {{ path: /login, status: 200 }}, probe: {{ path: /me, json: /u }} }}, upstream: 'http://{}' }}",
        app.address
    ));
    let mut browser = gateway.browser();
    browser.host = "shop.example:8443".into();
    let steady = [
        ("User-Agent", "Mozilla/5.0 (X11) \"odd\" é"),
        ("Accept-Language", "de-AT,de;q=0.7"),
        ("X-Forwarded-For", "203.0.113.7, 198.51.100.2"),
        ("X-Forwarded-Proto", "https"),
        ("Origin", "https://shop.example:8443"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    for (method, path, more) in [
        ("GET", "/a", &[][..]),
        ("POST", "/login", &[("Content-Type", "application/json")]),
        ("GET", "/b", &[("Accept", "text/event-stream")]),
        (
            "GET",
            "/ws",
            &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
        ),
        ("DELETE", "/c", &[]),
    ] {
        browser.request(method, path, &[&steady[..], more].concat(), b"");
    }
    let seen = app.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line().split(' ').nth(1).unwrap()).collect();
    assert_eq!(lines, ["/a", "/login", "/me", "/b", "/ws", "/c"]);
    let first = bound_to(&seen[0]);
    assert_eq!(first[0].1, ["shop.example:8443"]);
    assert_eq!(first[1].1, ["Mozilla/5.0 (X11) \"odd\" é"]);
    assert_eq!(first[2].1, ["203.0.113.7, 198.51.100.2, 127.0.0.1"]);
    for seen in &seen {
        assert_eq!(bound_to(seen), first, "{}", seen.head);
    }
    // Apps compare it with the host (Django over TLS, most for WebSockets); the question in between is no page's.
    for seen in seen.iter().filter(|seen| !seen.line().contains("/me")) {
        assert_eq!(seen.header("origin"), Some("https://shop.example:8443"), "{}", seen.head);
    }
}

/// The requests of a login that the gateway goes through on the user's behalf are like the user's own.
#[test]
fn a_user_who_is_signed_on_looks_like_one_browser() {
    let app = App::with(|seen, stream| {
        let said = match seen.line() {
            "GET /login HTTP/1.1" => ok("<form method=post><input name=u><input type=password name=p></form>"),
            "POST /login HTTP/1.1" => {
                "HTTP/1.1 302 Found\r\nLocation: /\r\nSet-Cookie: app=1; Path=/\r\nContent-Length: 0\r\n\r\n".into()
            }
            _ => ok("page"),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let gateway = TestGateway::with_config(&format!(
        "trusted_proxies: [127.0.0.1]\nroutes:\n  - {{ cookies: vault, sign_on: {{ login_page: /login }}, upstream: 'http://{}' }}",
        app.address
    ));
    let mut browser = gateway.signed_in("ann");
    browser.host = "shop.example:8443".into();
    let steady = [
        ("User-Agent", "Mozilla/5.0 (X11) odd"),
        ("Accept-Language", "de"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
    ];
    assert_eq!(browser.request("GET", "/page", &steady, b"").text(), "page");
    let seen = app.seen();
    assert_eq!(
        seen.iter().map(Seen::line).collect::<Vec<_>>(),
        ["GET /login HTTP/1.1", "POST /login HTTP/1.1", "GET /page HTTP/1.1"]
    );
    for other in &seen[..2] {
        assert_eq!(bound_to(other), bound_to(&seen[2]), "{}", other.head);
    }
    assert_eq!(seen[1].header("origin"), Some("https://shop.example:8443"));
}

#[test]
fn credentials_that_are_not_the_gateways_pass_as_they_are() {
    let app = with_login(|seen| ok(&seen.head));
    let gateway = observed(&app, "");
    let mut browser = sign_in(&gateway);
    for credentials in [
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "bearer eyJhbGciOiJub25lIn0.e30.",
        "Digest username=\"Mufasa\", realm=\"a, b\", nonce=\"x\", uri=\"/\", response=\"6629\"",
        "token abc",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;range, Signature=c",
    ] {
        browser.request("GET", "/x", &[("Authorization", credentials)], b"");
        assert_eq!(app.last().all("authorization"), [credentials]);
    }
    // Nor is the answer's challenge: two lines of it.
    let app = App::answering(
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = vault(&app).browser().get("/");
    assert_eq!((answer.status, answer.all("www-authenticate")), (401, vec!["Basic realm=\"a\"", "Bearer"]));
}

// Framing.

/// Servers that refuse chunks get a length if there was one; pushes that come in chunks stay what they were.
#[test]
fn a_body_keeps_its_framing_also_where_the_form_tells_the_sign_in() {
    let app = App::with(|seen, stream| stream.write_all(ok(&seen.head).as_bytes()).is_ok());
    let gateway = TestGateway::with_config(&format!(
        "login: {{ form: null }}\nroutes:\n  - {{ cookies: vault, observe: {{ login: {{ path: /doku, form: {{ do: login }}, \
         status: 200, user: {{ form: u }} }}, login_page: '/doku?do=login' }}, upstream: 'http://{}' }}",
        app.address
    ));
    let head = format!(
        "POST /doku HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nContent-Type: application/x-www-form-urlencoded\r\n",
        gateway.address()
    );
    let body = "do=login&u=ann&p=x";
    let mut client = gateway.connect();
    client.send(format!("{head}Content-Length: {}\r\n\r\n", body.len())).send(&body[..5]).send(&body[5..]);
    let id = crate::support::issued(&client.response()).expect("signed in");
    let seen = app.last();
    assert_eq!((seen.header("content-length"), seen.header("transfer-encoding")), (Some("18"), None));
    assert_eq!(seen.body, body.as_bytes());
    // In chunks, and their end late.
    let mut client = gateway.connect();
    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\ndo=\r\n"));
    client.send("f\r\nlogin&u=bob&p=x\r\n").send("0\r\n\r\n");
    let answer = client.response();
    assert!(answer.status == 200 && crate::support::issued(&answer).is_some());
    assert_eq!(app.last().body, b"do=login&u=bob&p=x");
    // Another form in chunks is not for strangers, and for those who are signed in it is one like any other.
    let other = "Transfer-Encoding: chunked\r\n\r\n7\r\ndo=show\r\n0\r\n\r\n";
    let asked = app.seen().len();
    assert_eq!(gateway.connect().send(format!("{head}{other}")).response().status, 401);
    assert_eq!(app.seen().len(), asked);
    let answer = gateway.connect().send(format!("{head}Cookie: sessionid={id}\r\n{other}")).response();
    assert_eq!((answer.status, app.last().body), (200, b"do=show".to_vec()));
}

#[test]
fn a_push_in_chunks_and_an_upload_of_thirty_megabytes_pass_whole_where_sign_ins_are_watched() {
    let app = with_login(|seen| ok(&seen.body.len().to_string()));
    let gateway = observed(&app, "");
    let browser = sign_in(&gateway);
    let id = browser.session_id().unwrap();
    let piece: Vec<u8> = (0..1_000_003_u32).map(|n| (n * 7 % 251) as u8).collect();
    for path in ["/push", "/login?x"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nCookie: sessionid={id}\r\n\
             Content-Type: multipart/form-data; boundary=b\r\n",
            gateway.address()
        );
        let mut client = gateway.connect();
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
        for _ in 0..3 {
            client.send(format!("{:x}\r\n", piece.len())).send(&piece).send("\r\n");
        }
        assert_eq!(client.send("0\r\n\r\n").response().text(), "3000009", "{path}");
        let mut client = gateway.connect();
        client.send(format!("{head}Content-Length: {}\r\n\r\n", 30 * piece.len()));
        for _ in 0..30 {
            client.send(&piece);
        }
        assert_eq!(client.response().text(), "30000090", "{path}");
        let seen = app.last();
        assert_eq!(seen.header("content-length"), Some("30000090"));
        assert!(seen.body.chunks(piece.len()).all(|chunk| chunk == piece), "{path}");
    }
    assert_eq!(Browser::holding(gateway.address(), &id).get("/.session/me").json()["user"], "ann");
}

/// The body of a sign-in is asked for, also where it must be read before the app sees any of it.
#[test]
fn a_sign_in_that_waits_to_be_asked_for_its_body_is_asked() {
    let app = with_login(|seen| ok(&seen.head));
    let gateway = observed(&app, "");
    let mut client = gateway.connect();
    client.send(format!(
        "POST /login HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Expect: 100-continue\r\nContent-Length: 14\r\n\r\n",
        gateway.address()
    ));
    client.wait_for(b"HTTP/1.1 100 ");
    assert!(crate::support::issued(&client.send("username=ann&p").response()).is_some());
    assert_eq!(app.last().header("expect"), None);
}

/// One speaks HTTP/1.0 and says how long its answer is, one ends it with the connection.
#[test]
fn servers_that_close_after_each_answer_sign_people_in_and_get_their_cookies() {
    for head in
        ["HTTP/1.0 200 OK\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n"]
    {
        let app = App::with(move |seen, stream| {
            let cookie = if seen.line().contains("/login") { "Set-Cookie: app=1; Path=/\r\n" } else { "" };
            stream.write_all(format!("{head}{cookie}\r\nSigned").as_bytes()).unwrap();
            false
        });
        let gateway = TestGateway::with_config(&format!(
            "login: {{ form: null }}\nroutes:\n  - {{ cookies: vault, observe: {{ login: {{ path: /login, body: Signed, \
             user: {{ form: username }} }} }}, upstream: 'http://{}' }}",
            app.address
        ));
        let mut browser = gateway.browser();
        let answer = browser.post("/login", &[("username", "ann")]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "Signed"), "{head}");
        for number in 2..5 {
            assert_eq!(browser.get("/x").text(), "Signed", "{head}");
            let seen = app.last();
            assert_eq!((seen.header("cookie"), seen.connection), (Some("app=1"), number), "{head}");
        }
        assert_eq!(browser.post("/save", &[("a", "b")]).status, 200);
        assert_eq!((app.last().header("content-length"), app.last().body), (Some("3"), b"a=b".to_vec()));
        assert_eq!(browser.get("/.session/me").json()["user"], "ann");
    }
}

// What goes on for long.

/// Nothing is buffered: the app waits for us before it sends the next event.
#[test]
fn events_arrive_one_by_one_where_sign_ins_are_watched() {
    let app = App::with(|seen, stream| {
        if !seen.line().contains("/events") {
            let in_ = "HTTP/1.1 302 Found\r\nLocation: /home\r\nContent-Length: 0\r\n\r\n";
            return stream.write_all(in_.as_bytes()).is_ok();
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: live=1; Path=/\r\n\r\n";
        stream.write_all(format!("{head}data: 1\n\n").as_bytes()).unwrap();
        // The next one when the browser has the first and has gone: else this would never end.
        stream.read_exact(&mut [0]).is_ok()
    });
    let gateway = observed(&app, "");
    let mut browser = sign_in(&gateway);
    let mut client = gateway.connect();
    client.send(format!(
        "GET /events HTTP/1.1\r\nHost: {}\r\nCookie: sessionid={}\r\nAccept: text/event-stream\r\n\r\n",
        browser.host,
        browser.session_id().unwrap()
    ));
    client.wait_for(b"data: 1\n\n");
    browser.get("/x");
    assert_eq!(app.last().header("cookie"), Some("live=1"), "kept although the answer goes on");
}

#[test]
fn a_websocket_brings_the_kept_cookies_keeps_new_ones_and_passes_every_frame_as_it_is() {
    let app = App::with(|seen, stream| {
        let Some(key) = seen.header("sec-websocket-key") else {
            return stream.write_all(crate::support::obey(seen).as_bytes()).is_ok();
        };
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
             Sec-WebSocket-Protocol: v1.kernel\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\
             Set-Cookie: from_ws=1; Path=/\r\nSet-Cookie: csrftoken=2; Path=/\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        stream.write_all(head.as_bytes()).unwrap();
        copy(stream)
    });
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ cookies: vault, expose_cookies: [csrftoken], upstream: 'http://{}' }}",
        app.address
    ));
    let mut ann = gateway.signed_in("ann");
    ann.host = "a".into();
    ann.answered("/", &["Set-Cookie: app=\"1|2\"; Path=/; Secure", "Set-Cookie: other=1; Path=/elsewhere"]);
    ann.jar.insert("app".into(), "forged".into());
    ann.jar.insert("csrftoken".into(), "js".into());
    let cookies: Vec<_> = ann.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut client = gateway.connect();
    client.send(handshake(&format!(
        "Origin: http://a\r\nCookie: {}\r\nSec-WebSocket-Protocol: v1.kernel, v2\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        cookies.join("; ")
    )));
    let answer = client.response();
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("v1.kernel")));
    let extension = "permessage-deflate; server_no_context_takeover";
    assert_eq!(answer.header("sec-websocket-extensions"), Some(extension));
    let set: Vec<_> = answer.all("set-cookie").into_iter().filter(|line| !line.starts_with("sessionid=")).collect();
    assert!(set.len() == 1 && set[0].starts_with("csrftoken=2; Path=/"), "{set:?}");
    let seen = app.last();
    assert_eq!(seen.header("cookie"), Some("app=\"1|2\"; csrftoken=js"));
    assert_eq!(seen.header("sec-websocket-extensions"), Some("permessage-deflate; client_max_window_bits"));
    // A compressed, masked, binary frame of a megabyte: FIN, RSV1, 64 bits of length.
    let length = 1_000_000_u64;
    let mut frame = vec![0xC2, 0xFF];
    frame.extend(length.to_be_bytes());
    frame.extend([1, 2, 3, 4]);
    frame.extend((0..length).map(|n| (n * 31 % 255) as u8));
    let mut writer = client.clone_for_writing();
    let sent = frame.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    assert!(client.exact(frame.len()) == frame, "byte for byte");
    writing.join().unwrap();
    // The app closes, and what it set on the handshake is in the vault.
    client.finish();
    assert_eq!(cookie_line(&app, &mut ann, "/"), "app=\"1|2\"; from_ws=1; csrftoken=js");
}

// Signing out.

/// Many apps accept a cookie from before the sign-out for ever.
#[test]
fn a_session_that_the_app_would_still_accept_is_over_after_every_kind_of_sign_out() {
    for (logout, ask) in [
        ("{ path: /doku, query: { do: logout } }", ("GET", "/doku?id=a&do=logout&sectok=f00", "")),
        ("{ method: POST, path: /logout }", ("POST", "/logout", "csrfmiddlewaretoken=x")),
        ("{ method: POST, path: /api/auth, form: { action: revoke } }", ("POST", "/api/auth", "action=revoke")),
        ("{ method: DELETE, path: '/api/session*' }", ("DELETE", "/api/session/7", "")),
    ] {
        // It never forgets anybody, and does not even take its cookie away.
        let app = with_login(|seen| ok(seen.header("cookie").unwrap_or_default()));
        let gateway = TestGateway::with_config(&format!(
            "login: {{ form: null }}\nroutes:\n  - {{ access: public, cookies: vault, observe: {{ login: {{ path: /login, \
             status: 302, user: {{ form: username }} }}, logout: {logout} }}, upstream: 'http://{}' }}",
            app.address
        ));
        let mut browser = sign_in(&gateway);
        let mut thief = Browser::holding(gateway.address(), &browser.session_id().unwrap());
        assert_eq!(thief.get("/x").text(), "app=1");
        let origin = format!("http://{}", browser.host);
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", &*origin)];
        browser.request(ask.0, ask.1, &headers, ask.2.as_bytes());
        for browser in [&mut browser, &mut thief] {
            assert_eq!((browser.get("/x").text().as_str(), app.last().header("cookie")), ("", None), "{logout}");
        }
    }
}

/// One that answers by header: it goes on as the first user whatever is said next, but for a new cookie.
#[test]
fn an_app_that_keeps_its_own_session_meets_no_user_with_the_cookie_of_another() {
    let app = App::with(|seen, stream| {
        let told = seen.header("remote-user").unwrap_or("nobody");
        let kept = seen.header("cookie").and_then(|line| line.strip_prefix("own=")).map(str::to_owned);
        let user = kept.unwrap_or_else(|| told.to_owned());
        let head = format!("HTTP/1.1 200 OK\r\nSet-Cookie: own={user}; Path=/\r\nContent-Length: {}\r\n", user.len());
        stream.write_all(format!("{head}\r\n{user}").as_bytes()).is_ok()
    });
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    for user in ["ann", "bob", "ann"] {
        assert_eq!(browser.sign_in(user, PASSWORD).status, 303);
        assert_eq!((browser.get("/").text(), browser.get("/").text()), (user.to_owned(), user.to_owned()));
    }
    browser.sign_out();
    assert_eq!(browser.get("/").text(), "nobody");
    // The session runs out, and somebody else comes to the same browser.
    browser.sign_in("bob", PASSWORD);
    browser.get("/");
    gateway.advance(Duration::from_secs(15 * 86_400));
    assert_eq!(browser.get("/").text(), "nobody");
}
