//! The gateway's own pages: what they say, under which headers, and that nothing under the prefix is forwarded.

use std::time::Duration;

use crate::support::process::write;
use crate::support::{App, PASSWORD, Response, TestGateway, field, user};

#[test]
fn the_state_of_a_session_is_told_to_its_own_page() {
    let gateway = TestGateway::before(&App::echoing());
    let nobody = gateway.browser().fetch("/.session/me");
    assert_eq!((nobody.status, nobody.header("content-type")), (200, Some("application/json")));
    assert_eq!(nobody.json()["authenticated"], false);
    assert_eq!(nobody.all("set-cookie"), [""; 0]);
    let mut ann = gateway.signed_in("ann");
    gateway.advance(Duration::from_secs(3600));
    let expected = serde_json::json!({
        "authenticated": true, "user": "ann", "name": "ann Example", "email": "ann@example.com",
        "groups": ["staff", "wiki"], "created": 1_767_225_600_u64, "idle_expires_in": 23 * 3600,
        "expires_in": 14 * 86_400 - 3600,
    });
    assert_eq!(ann.fetch("/.session/me").json(), expected);
}

#[test]
fn the_cookie_check_tells_whether_the_browser_keeps_cookies() {
    let gateway = TestGateway::before(&App::echoing());
    let mut keeps = gateway.browser();
    let first = keeps.get("/.session/cookie-check");
    assert_eq!((first.status, first.header("location")), (302, Some("/.session/cookie-check?returned=1")));
    assert!(keeps.get("/.session/cookie-check?returned=1").text().contains("Cookies work"));
    assert!(keeps.jar.is_empty(), "the test cookie is taken away: {:?}", keeps.jar);
    let mut drops = gateway.browser();
    drops.get("/.session/cookie-check");
    drops.jar.clear();
    assert!(drops.get("/.session/cookie-check?returned=1").text().contains("did not come back"));
}

#[test]
fn the_cookie_check_names_plain_http_as_the_cause_where_it_is_one() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\nsession: {{ cookie: {{ secure: true }} }}",
        app.address
    ));
    let page = gateway.browser().get("/.session/cookie-check?returned=1").text();
    assert!(page.contains("https"), "{page}");
}

#[test]
fn nothing_under_the_prefix_is_ever_forwarded() {
    let app = App::echoing();
    let gateway = TestGateway::with_routes(&format!("  - {{ access: public, upstream: 'http://{}' }}", app.address));
    let mut browser = gateway.signed_in("ann");
    for path in ["/.session", "/.session/", "/.session/none", "/.session/login/x", "/.session/me/", "/.session/auth"] {
        assert_eq!(browser.get(path).status, 404, "{path}");
        assert_eq!(browser.request("POST", path, &[], b"x").status, 404, "{path}");
    }
    for path in
        ["/.SESSION/me", "/.session;x/me", "/x/../.session/none", "/%2esession/none", "/.session%2fme", "/.session./me"]
    {
        let status = browser.get(path).status;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    assert!(app.seen().is_empty(), "{:?}", app.seen());
    assert_eq!(browser.get("/.sessions").status, 200, "a path that only begins with the same letters is the app's");
}

#[test]
fn the_prefix_can_be_another_one() {
    let app = App::echoing();
    let gateway =
        TestGateway::with_config(&format!("prefix: /gate/keeper\nroutes: [{{ upstream: 'http://{}' }}]", app.address));
    let mut browser = gateway.browser();
    let login = browser.get("/").header("location").unwrap().to_owned();
    assert_eq!(login, "/gate/keeper/login?rd=/");
    let page = browser.get(&login);
    assert!(
        page.text().contains("action=\"/gate/keeper/login\"") || page.text().contains("gate&#x2f;keeper&#x2f;login")
    );
    let csrf = field(&page, "csrf").unwrap();
    let fields = [("csrf", &*csrf), ("username", "ann"), ("password", PASSWORD)];
    assert_eq!(browser.post("/gate/keeper/login", &fields).status, 303);
    assert_eq!(browser.get("/.session/login").status, 200);
    assert_eq!(app.last().line(), "GET /.session/login HTTP/1.1");
}

#[test]
fn a_page_takes_its_own_methods_only() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let mut browser = gateway.signed_in("ann");
    for (path, allow) in [
        ("/.session/me", "GET, HEAD"),
        ("/.session/cookie-check", "GET, HEAD"),
        ("/.session/logout", "GET, HEAD, POST"),
    ] {
        let answer = browser.request("DELETE", path, &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{path}");
    }
    let head = browser.request("HEAD", "/.session/login", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(browser.get("/").status, 200);
}

/// CF-03, SM-17: on every page of ours, whatever its status.
#[test]
fn every_own_page_is_uncacheable_unframeable_and_names_no_version() {
    let app = App::echoing();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ path: /app, upstream: 'http://{0}' }}\n  - {{ path: /staff, access: {{ groups: [none] }}, upstream: 'http://{0}' }}\n  \
         - {{ path: /down, access: public, upstream: 'http://127.0.0.1:1' }}",
        app.address
    ));
    let mut ann = gateway.signed_in("ann");
    let mut stranger = gateway.browser();
    let pages: Vec<(&str, Response)> = vec![
        ("sign-in", stranger.get("/.session/login")),
        ("wrong password", stranger.sign_in("ann", "wrong")),
        ("no cookie", gateway.browser().post("/.session/login", &[])),
        ("challenge", gateway.browser().get("/app")),
        ("challenge, program", gateway.browser().fetch("/app")),
        ("sign-out", ann.get("/.session/logout")),
        ("me", ann.get("/.session/me")),
        ("cookie check", ann.get("/.session/cookie-check?returned=1")),
        ("cookie check, redirect", ann.get("/.session/cookie-check")),
        ("not found", ann.get("/.session/none")),
        ("no route", ann.get("/nowhere")),
        ("forbidden", ann.get("/staff")),
        ("forbidden, program", ann.fetch("/staff")),
        ("app down", ann.get("/down")),
        ("app down, program", ann.fetch("/down")),
        ("bad method", ann.request("DELETE", "/.session/me", &[("Accept", "text/html")], b"")),
        ("bad path", ann.get("/a%00b")),
        ("signed in", ann.sign_in("ann", PASSWORD)),
        ("signed out", ann.sign_out()),
    ];
    for (name, page) in &pages {
        assert_eq!(page.all("cache-control"), ["no-store"], "{name}");
        assert_eq!(page.all("x-content-type-options"), ["nosniff"], "{name}");
        assert_eq!(page.all("referrer-policy"), ["same-origin"], "{name}");
        assert_eq!(page.all("cross-origin-resource-policy"), ["same-origin"], "{name}");
        if page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            let policy = page.header("content-security-policy").unwrap_or_else(|| panic!("{name}: {page:?}"));
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{name}: {policy}"
            );
            assert!(!policy.contains("unsafe-"), "{name}: {policy}");
            assert_eq!(page.all("x-frame-options"), ["DENY"], "{name}");
        }
        assert_eq!(
            (page.header("server"), page.header("x-powered-by"), page.header("via")),
            (None, None, None),
            "{name}"
        );
        let text = page.text().to_lowercase();
        for inside in ["hyper", "rust", env!("CARGO_PKG_VERSION"), "127.0.0.1:1", "panicked", "src/"] {
            assert!(!text.contains(inside), "{name} says {inside}: {text}");
        }
    }
    let html = pages.iter().filter(|(_, page)| page.header("content-security-policy").is_some()).count();
    assert!(html >= 10, "only {html} were HTML");
}

/// CF-03: an app that names itself is the deployer's business; we add nothing.
#[test]
fn a_response_of_the_app_keeps_its_headers_and_gets_none_of_our_name() {
    let app = App::answering("HTTP/1.1 200 OK\r\nServer: legacy/1.0\r\nContent-Length: 0\r\n\r\n");
    let gateway = TestGateway::before(&app);
    let answer = gateway.signed_in("ann").get("/");
    assert_eq!(answer.all("server"), ["legacy/1.0"]);
    assert!(!format!("{answer:?}").to_lowercase().contains("cloakroom"));
}

#[test]
fn a_template_directory_replaces_pages_and_their_words_are_escaped() {
    let templates = tempfile::tempdir().unwrap();
    let form = "<title>{{ login_title }}</title><form method=\"post\" action=\"{{ action }}\">\
                <input name=\"csrf\" value=\"{{ csrf }}\"><input name=\"username\" value=\"{{ user }}\"></form>";
    write(templates.path(), "login.html", form);
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\nlogin: {{ title: 'A & B', templates_dir: '{}', form: {{ users: [{}] }} }}",
        app.address,
        templates.path().display(),
        user("ann", "wiki")
    ));
    let mut browser = gateway.browser();
    let page = browser.get("/.session/login");
    assert!(page.text().starts_with("<title>A &amp; B</title><form"), "{}", page.text());
    assert!(browser.sign_in("<b>", "wrong").text().contains("value=\"&lt;b&gt;\""));
    assert_eq!(browser.sign_in("ann", PASSWORD).status, 303);
    assert!(browser.get("/.session/logout").text().contains("Sign out?"), "the other pages stay");
}

/// LG: without a form there is nobody to sign in, and the page says so.
#[test]
fn without_a_form_the_sign_in_page_offers_none() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ access: public, upstream: 'http://{}' }}]\nlogin: {{ title: Hello }}",
        app.address
    ));
    let mut browser = gateway.browser();
    let page = browser.get("/.session/login");
    assert_eq!((page.status, page.text().contains("<form")), (200, false));
    assert!(matches!(
        browser.post("/.session/login", &[("username", "ann"), ("password", PASSWORD)]).status,
        400..=403
    ));
}
