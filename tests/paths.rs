//! Host, target and path: one reading for routing, policy and the app.
//!
//! A case shows the status and the request line the app got, or that it got none.

use crate::support::{App, Client, TestGateway};

/// Two apps under one host: everybody may see `public`, only staff `admin`.
struct Two {
    public: App,
    admin: App,
    gateway: TestGateway,
}

impl Two {
    fn start() -> Self {
        let (public, admin) = (App::echoing(), App::echoing());
        let gateway = TestGateway::with_routes(&format!(
            "  - {{ path: /, access: public, upstream: 'http://{}' }}\n  \
               - {{ path: /admin, access: {{ groups: [staff] }}, upstream: 'http://{}' }}",
            public.address, admin.address
        ));
        Self { public, admin, gateway }
    }

    /// The status for a target that nobody is signed in for; the admin app never hears of it.
    fn status(&self, target: &str) -> u16 {
        println!("case: {target:?}");
        let mut client = self.gateway.connect();
        let status = client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).response().status;
        assert!(self.admin.seen().is_empty(), "{target:?} reached the admin app: {:?}", self.admin.seen());
        status
    }
}

fn one_request(gateway: &TestGateway, request: &str) -> u16 {
    gateway.connect().send(request).response().status
}

/// PA-01
#[test]
fn a_request_without_exactly_one_valid_host_is_refused() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    for (name, hosts) in [
        ("none", ""),
        ("two", "Host: a\r\nHost: b\r\n"),
        ("the same twice", "Host: a\r\nhost: a\r\n"),
        ("empty", "Host:\r\n"),
        ("user information", "Host: a@evil\r\n"),
        ("path and fragment", "Host: a@evil/..#x\r\n"),
        ("path", "Host: a/b\r\n"),
        ("port too large", "Host: a:99999\r\n"),
        ("port of zero", "Host: a:0\r\n"),
        ("port of letters", "Host: a:http\r\n"),
        ("list", "Host: a, b\r\n"),
        ("space", "Host: a b\r\n"),
        ("bracket", "Host: [::1\r\n"),
        ("percent-encoding", "Host: a%41\r\n"),
        ("8-bit", "Host: \u{e4}.example\r\n"),
    ] {
        println!("case: {name}");
        let mut client = gateway.connect();
        let response = client.send(format!("GET / HTTP/1.1\r\n{hosts}\r\n")).response();
        assert_eq!((response.status, response.header("connection")), (400, Some("close")), "{name}");
        assert!(app.seen().is_empty(), "{name}");
    }
}

/// PA-01: HTTP/1.0 may go without `Host`, but then nobody knows which app is meant; an absolute target does not
/// replace it (RFC 9112 §3.2).
#[test]
fn neither_an_old_version_nor_an_absolute_target_replaces_the_host() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    assert_eq!(one_request(&gateway, "GET / HTTP/1.0\r\n\r\n"), 400);
    assert_eq!(one_request(&gateway, "GET http://a/ HTTP/1.1\r\n\r\n"), 400);
    assert!(app.seen().is_empty());
}

/// PA-02
#[test]
fn the_host_of_an_absolute_target_wins_and_is_written_anew() {
    let (a, b) = (App::echoing(), App::echoing());
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ host: a.example, access: public, upstream: 'http://{}' }}\n  \
           - {{ host: b.example, access: public, upstream: 'http://{}' }}",
        a.address, b.address
    ));
    assert_eq!(one_request(&gateway, "GET http://b.example/p?q HTTP/1.1\r\nHost: a.example\r\n\r\n"), 200);
    let seen = b.last();
    assert_eq!((seen.line(), seen.header("host")), ("GET /p?q HTTP/1.1", Some("b.example")));
    assert_eq!(seen.header("x-forwarded-host"), Some("b.example"));
    for (target, status) in [
        ("http://evil/p", 421),
        ("http://user@b.example/p", 400),
        ("http://b.example@evil/p", 400),
        ("http:///p", 400),
        ("b.example/p", 400),
        ("b.example:80", 400),
    ] {
        println!("case: {target}");
        assert_eq!(one_request(&gateway, &format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")), status);
    }
    assert_eq!((a.seen().len(), b.seen().len()), (0, 1));
}

/// PA-02: `*` is about no route, so no app is asked.
#[test]
fn an_asterisk_as_target_reaches_no_app() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    for method in ["OPTIONS", "GET"] {
        assert_eq!(one_request(&gateway, &format!("{method} * HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{method}");
    }
    assert!(app.seen().is_empty());
}

/// PA-03
#[test]
fn a_host_is_compared_in_lower_case_without_its_last_dot() {
    let (tenant, wild) = (App::echoing(), App::echoing());
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ host: a.example.com, access: user, upstream: 'http://{}' }}\n  \
           - {{ host: '*.b.example.com', access: public, upstream: 'http://{}' }}",
        tenant.address, wild.address
    ));
    for host in ["a.example.com", "A.EXAMPLE.com", "a.example.com.", "A.eXample.COM.:8080"] {
        assert_eq!(one_request(&gateway, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 401, "{host}");
    }
    assert_eq!(one_request(&gateway, "GET / HTTP/1.1\r\nHost: X.B.Example.com.:8080\r\n\r\n"), 200);
    assert_eq!(wild.last().header("host"), Some("x.b.example.com:8080"));
    for host in ["a.example.com..", "b.example.com", "a.example.comx", "evil", "127.0.0.1"] {
        let status = one_request(&gateway, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(matches!(status, 400 | 421), "{host}: {status}");
    }
    assert_eq!((tenant.seen().len(), wild.seen().len()), (0, 1));
}

/// PA-04: nothing a stranger says about host, path or method moves the decision or reaches the app.
#[test]
fn rewriting_headers_of_a_stranger_neither_decide_nor_arrive() {
    let two = Two::start();
    let lines = "X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Uri: /public\r\n\
                 X-Forwarded-Prefix: /evil\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6;host=evil\r\n\
                 X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\n\
                 X-Forwarded-Method: DELETE\r\nX-Original-Method: GET\r\nX_Forwarded_Host: evil\r\n";
    let ask = |path: &str| one_request(&two.gateway, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    assert_eq!((ask("/admin"), ask("/x")), (401, 200));
    assert!(two.admin.seen().is_empty());
    let seen = two.public.last();
    assert_eq!(seen.line(), "GET /x HTTP/1.1");
    assert_eq!(seen.header("x-forwarded-host"), Some("a"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    for gone in ["evil", "6.6.6.6", "DELETE", "/admin", "-prefix", "-uri", "-url"] {
        assert!(!seen.head.contains(gone), "{gone}: {}", seen.head);
    }
}

/// PA-05: what reaches an app is what was decided about.
#[test]
fn every_literal_spelling_of_a_protected_path_is_protected() {
    let two = Two::start();
    for target in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/a/../admin",
        "/./admin",
        "//admin",
        "/x/..//admin",
        "/%61dmin",
        "/%61%64min/x",
        "/../admin",
        "/admin/../admin",
        "http://a//admin",
        "http://a/x/../admin",
    ] {
        assert_eq!(two.status(target), 401, "{target}");
    }
    assert!(two.public.seen().is_empty(), "{:?}", two.public.seen());
}

/// PA-05
#[test]
fn a_path_that_apps_read_in_different_ways_reaches_no_app() {
    let two = Two::start();
    for target in [
        "/%2e%2e/admin",
        "/.%2e/admin",
        "/%2E./admin",
        "/a%2f..%2fadmin",
        "/a%2Fadmin",
        "/x/%2e/admin",
        "/a/..;/admin",
        "/a/..;x=1/admin",
        "/;/admin",
        "/.;/admin",
        "/\\admin",
        "/a\\..\\admin",
        "/%5cadmin",
        "/%00",
        "/admin%00.html",
        "/a%0aadmin",
        "/%c0%ae%c0%ae/admin",
        "/%c0%afadmin",
        "/%e0%80%afadmin",
        "/%",
        "/%zz",
        "/%u002e",
    ] {
        assert_eq!(two.status(target), 400, "{target}");
    }
    // Plain enough, but a lenient app would read `/admin`.
    for target in ["/ADMIN", "/Admin/x", "/admin;x=1", "/admin;x/y", "/admin.", "/admin%20", "/admin%20/x"] {
        assert_eq!(two.status(target), 400, "{target}");
    }
    assert!(two.public.seen().is_empty(), "{:?}", two.public.seen());
}

/// PA-05, PA-07: nothing is cut from the path, decoded twice or put back after the decision.
#[test]
fn an_app_gets_the_path_that_was_decided_about() {
    let two = Two::start();
    for (target, arrives) in [
        ("/a/./b/../c", "/a/c"),
        ("//x///y", "/x/y"),
        ("/%7Euser/%41", "/~user/A"),
        ("/%252e%252e/admin", "/%252e%252e/admin"),
        ("/caf%c3%a9", "/caf%c3%a9"),
        ("/a;v=1/b", "/a;v=1/b"),
        ("/x/admin", "/x/admin"),
        ("/administrator", "/administrator"),
        ("/a//?x=//../%2e%2e", "/a/?x=//../%2e%2e"),
        ("/a/../b?", "/b?"),
        ("/admin/../b", "/b"),
    ] {
        assert_eq!(two.status(target), 200, "{target}");
        assert_eq!(two.public.last().line(), format!("GET {arrives} HTTP/1.1"), "{target}");
    }
    let mut ann = two.gateway.signed_in("ann");
    assert_eq!(ann.get("/x/../admin/%61?b=%2F").status, 200);
    assert_eq!(two.admin.last().line(), "GET /admin/a?b=%2F HTTP/1.1");
}

/// PA-06
#[test]
fn neither_fragment_nor_query_takes_part_in_the_decision() {
    let two = Two::start();
    for target in ["/x#/../admin", "/admin#/x", "/#", "/x?y#z"] {
        assert_eq!(two.status(target), 400, "{target}");
    }
    for target in ["/admin?x=/public", "/admin?/../x", "/admin/?"] {
        assert_eq!(two.status(target), 401, "{target}");
    }
    assert!(two.public.seen().is_empty());
}

/// PA-08: neither who asks nor how opens a door; methods are compared with their case.
#[test]
fn no_method_and_no_user_agent_passes_a_protected_route() {
    let two = Two::start();
    for (method, lines) in [
        ("GET", "User-Agent: health-probe\r\n"),
        ("GET", "User-Agent: kube-probe/1.30\r\n"),
        ("OPTIONS", "Origin: https://evil\r\nAccess-Control-Request-Method: GET\r\n"),
        ("HEAD", ""),
        ("get", ""),
        ("Head", ""),
        ("PROPFIND", ""),
        ("BREW", ""),
    ] {
        println!("case: {method} {lines}");
        let mut client = two.gateway.connect();
        let text =
            client.send(format!("{method} /admin HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n")).rest();
        assert!(text.starts_with("HTTP/1.1 401 "), "{method}: {text}");
    }
    assert!(two.admin.seen().is_empty());
}

/// PA-08
#[test]
fn head_follows_the_rule_of_get_and_an_open_route_still_removes_identities() {
    let two = Two::start();
    let mut ann = two.gateway.signed_in("ann");
    assert_eq!(ann.request("HEAD", "/admin", &[], b"").status, 200);
    let mut bob = two.gateway.signed_in("bob");
    assert_eq!(bob.request("HEAD", "/admin", &[], b"").status, 403);
    assert_eq!(two.admin.seen().len(), 1);
    let preflight = "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\nRemote-User: eve\r\n\r\n";
    assert_eq!(one_request(&two.gateway, preflight), 200);
    assert_eq!(two.public.last().header("remote-user"), None);
}

/// PA-09
#[test]
fn no_spelling_of_the_gateways_own_prefix_reaches_an_app() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    for (target, status) in [
        ("/.session", 404),
        ("/.session/none", 404),
        ("/.session/login", 200),
        ("/x/../.session/none", 404),
        ("//.session/none", 404),
        ("/%2esession/none", 404),
        ("/.%73ession/none", 404),
        ("/.session/../.session/none", 404),
        ("/.SESSION/login", 404),
        ("/.Session/none", 404),
        ("/.session;x/login", 404),
        ("/.session./login", 404),
        ("/.session%20/login", 404),
        ("/.session%2flogin", 400),
        ("/.session\\login", 400),
        ("/;/.session/login", 400),
    ] {
        println!("case: {target}");
        assert_eq!(one_request(&gateway, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), status, "{target}");
        assert!(app.seen().is_empty(), "{target}: {:?}", app.seen());
    }
    assert_eq!(one_request(&gateway, "GET /.sessions HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
}

/// PA-09: our pages answer only under the names that are served.
#[test]
fn the_gateways_own_pages_are_not_served_for_a_foreign_host() {
    let app = App::echoing();
    let route = format!("  - {{ host: a.example, upstream: 'http://{}' }}", app.address);
    let gateway = TestGateway::with_routes(&route);
    let mut browser = gateway.browser();
    browser.host = "evil.example".into();
    assert_eq!(browser.get("/.session/login").status, 421);
    assert!(browser.jar.is_empty());
    let mut client: Client = gateway.connect();
    assert_eq!(client.send("GET /.session/login HTTP/1.1\r\nHost: A.example.\r\n\r\n").response().status, 200);
}
