//! Sign-on: the user signs in once at our form, and the gateway goes through the app's own login for them.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{App, Browser, PASSWORD, Seen, TestGateway, at_once, field, ok};

/// An app with a login of its own: the form has a token that is bound to a cookie, its session names the user, and all
/// sessions are forgotten when `epoch` moves. It knows everybody by the same password as we do.
struct Legacy {
    app: App,
    epoch: Arc<AtomicUsize>,
}

impl Legacy {
    fn new() -> Self {
        Self::with_password(PASSWORD)
    }

    fn with_password(password: &'static str) -> Self {
        let epoch = Arc::new(AtomicUsize::new(1));
        let shared = Arc::clone(&epoch);
        let app = App::with(move |seen, stream| {
            let answer = answer(seen, password, shared.load(Ordering::SeqCst));
            stream.write_all(answer.as_bytes()).is_ok()
        });
        Self { app, epoch }
    }

    fn forget_everybody(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// How often somebody has posted the login form.
    fn logins(&self) -> usize {
        self.app.seen().iter().filter(|seen| seen.line().starts_with("POST /login")).count()
    }

    fn gateway(&self, more: &str) -> TestGateway {
        self.with_sign_on("login_page: /login", more)
    }

    fn with_sign_on(&self, sign_on: &str, more: &str) -> TestGateway {
        let upstream = format!("upstream: 'http://{}'", self.app.address);
        TestGateway::with_routes(&format!("  - {{ cookies: vault, sign_on: {{ {sign_on} }}, {upstream}{more} }}"))
    }
}

fn cookie<'s>(seen: &'s Seen, name: &str) -> Option<&'s str> {
    seen.header("cookie")?.split("; ").find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn redirect(to: &str, cookies: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n{cookies}Content-Length: 0\r\n\r\n")
}

fn answer(seen: &Seen, password: &str, epoch: usize) -> String {
    let user = cookie(seen, "app").and_then(|value| value.strip_suffix(&format!("-{epoch}")));
    let line: Vec<_> = seen.line().split(' ').collect();
    match (line[0], line[1].split('?').next().unwrap()) {
        ("GET", "/login") if user.is_some() => redirect("/home", ""),
        ("GET", "/login") => {
            let page = "<html><form action='/search'><input name=q></form><form action='?do=in' method=post>\
                        <input type=hidden name='auth[token]' value='t&amp;k'><input name=u><input type=password name=p>\
                        <button name=go value=1>In</button></form>";
            let length = page.len();
            format!("HTTP/1.1 200 OK\r\nSet-Cookie: csrf=bound; Path=/\r\nContent-Length: {length}\r\n\r\n{page}")
        }
        ("POST", "/login") => {
            let form: Vec<(String, String)> = form_urlencoded::parse(&seen.body).into_owned().collect();
            let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            let token = field("auth[token]") == Some("t&k") && cookie(seen, "csrf") == Some("bound");
            match token && field("p") == Some(password) && field("go") == Some("1") {
                true => redirect("/home", &format!("Set-Cookie: app={}-{epoch}; Path=/\r\n", field("u").unwrap())),
                false => ok("wrong <form>"),
            }
        }
        (_, "/always-login") => redirect("/login", ""),
        _ if user.is_some() => ok(&format!("page for {} {}", user.unwrap(), String::from_utf8_lossy(&seen.body))),
        _ => redirect("/login", "Set-Cookie: app=; Max-Age=0; Path=/\r\n"),
    }
}

#[test]
fn the_user_signs_in_once_and_the_app_knows_them() {
    let legacy = Legacy::new();
    let gateway = legacy.gateway("");
    let mut browser = gateway.signed_in("ann");
    assert!(legacy.app.seen().is_empty());
    let page = browser.get("/start?x=1");
    assert_eq!((page.status, page.text().as_str()), (200, "page for ann "));
    assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["sessionid"]);
    assert_eq!(browser.get("/other").text(), "page for ann ");
    let lines: Vec<_> = legacy.app.seen().iter().map(|seen| seen.line().to_owned()).collect();
    assert_eq!(
        lines,
        ["GET /login HTTP/1.1", "POST /login?do=in HTTP/1.1", "GET /start?x=1 HTTP/1.1", "GET /other HTTP/1.1"]
    );
    let post = &legacy.app.seen()[1];
    assert_eq!(post.header("origin"), Some(format!("http://{}", gateway.address()).as_str()));
    assert!(!post.head.contains("sessionid") && post.header("remote-user").is_none(), "{}", post.head);
}

#[test]
fn twenty_first_requests_at_once_make_one_login() {
    for workers in ["", "workers: 2\n"] {
        let legacy = Legacy::new();
        let gateway = TestGateway::with_config(&format!(
            "{workers}routes:\n  - {{ cookies: vault, sign_on: {{ login_page: /login }}, upstream: 'http://{}' }}",
            legacy.app.address
        ));
        let id = gateway.signed_in("ann").session_id().unwrap();
        let pages = at_once(20, |number| Browser::holding(gateway.address(), &id).get(&format!("/{number}")).text());
        assert!(pages.iter().all(|page| page == "page for ann "), "{pages:?}");
        assert_eq!(legacy.logins(), 1);
    }
}

#[test]
fn an_app_that_has_forgotten_the_user_gets_one_more_login_and_the_request_again() {
    let legacy = Legacy::new();
    let gateway = legacy.gateway("");
    let mut browser = gateway.signed_in("ann");
    browser.get("/");
    for _ in 0..3 {
        legacy.forget_everybody();
        assert_eq!(browser.get("/page").text(), "page for ann ");
    }
    let id = browser.session_id().unwrap();
    legacy.forget_everybody();
    let before = legacy.app.seen().len();
    let pages = at_once(10, |_| Browser::holding(gateway.address(), &id).get("/page").text());
    assert!(pages.iter().all(|page| page == "page for ann "), "{pages:?}");
    let posts = legacy.app.seen()[before..].iter().filter(|seen| seen.line().starts_with("POST")).count();
    assert_eq!(posts, 1);
}

#[test]
fn a_post_that_meets_an_expired_session_is_not_sent_twice() {
    let legacy = Legacy::new();
    let gateway = legacy.gateway("");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.post("/buy", &[("a", "1")]).text(), "page for ann a=1");
    legacy.forget_everybody();
    assert_eq!(browser.post("/buy", &[("a", "2")]).status, 302);
    assert_eq!(legacy.app.seen().iter().filter(|seen| seen.line().starts_with("POST /buy")).count(), 2);
    assert_eq!(browser.post("/buy", &[("a", "3")]).text(), "page for ann a=3");
}

#[test]
fn a_page_that_is_not_for_the_user_makes_no_storm_of_logins() {
    let legacy = Legacy::new();
    let gateway = legacy.gateway("");
    let mut browser = gateway.signed_in("ann");
    browser.get("/");
    for _ in 0..5 {
        assert_eq!(browser.get("/always-login").header("location"), Some("/login"));
    }
    assert_eq!(legacy.logins(), 2);
    assert_eq!(browser.get("/page").text(), "page for ann ");
    gateway.advance(Duration::from_secs(6));
    browser.get("/always-login");
    assert_eq!(legacy.logins(), 3);
}

#[test]
fn a_password_that_the_app_does_not_take_shows_a_page_with_a_way_out_and_is_not_tried_again_at_once() {
    let legacy = Legacy::with_password("another");
    let gateway = legacy.gateway("");
    let mut browser = gateway.signed_in("ann");
    for _ in 0..3 {
        let page = browser.get("/");
        assert_eq!(page.status, 502);
        assert!(
            page.text().contains("did not let you in") && page.text().contains("session&#x2f;logout"),
            "{}",
            page.text()
        );
        assert!(page.all("set-cookie").is_empty());
    }
    assert_eq!(browser.fetch("/").status, 502);
    assert_eq!((legacy.logins(), legacy.app.seen().len()), (1, 2));
    gateway.advance(Duration::from_secs(6));
    browser.get("/");
    assert_eq!(legacy.logins(), 2);
    // A new sign-in is a new try.
    browser.sign_in("ann", PASSWORD);
    browser.get("/");
    assert_eq!(legacy.logins(), 3);
}

#[test]
fn signing_out_and_another_user_end_what_the_app_knew() {
    let legacy = Legacy::new();
    let gateway = legacy.gateway("");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.get("/").text(), "page for ann ");
    browser.sign_in("bob", PASSWORD);
    assert_eq!(browser.get("/").text(), "page for bob ");
    let before = browser.session_id().unwrap();
    browser.sign_out();
    let seen = legacy.app.seen().len();
    for mut browser in [browser, Browser::holding(gateway.address(), &before)] {
        assert!(browser.get("/").header("location").unwrap().starts_with("/.session/login"));
    }
    assert_eq!(legacy.app.seen().len(), seen);
}

#[test]
fn the_same_user_who_signs_in_again_stays_signed_on() {
    let legacy = Legacy::new();
    let gateway = legacy.gateway("");
    let mut browser = gateway.signed_in("ann");
    browser.get("/");
    browser.sign_in("ann", PASSWORD);
    assert_eq!(browser.get("/").text(), "page for ann ");
    legacy.forget_everybody();
    assert_eq!(browser.get("/").text(), "page for ann ");
}

/// A cookie of an earlier visitor may keep somebody signed in at the app, whose login page then shows no form.
#[test]
fn a_login_page_without_a_form_is_asked_for_once_more_as_a_stranger() {
    let legacy = Legacy::new();
    let gateway = legacy.gateway(", access: public");
    let mut browser = gateway.browser();
    browser.post("/login", &[("u", "eve")]);
    let _ = browser.get("/login");
    let form = [("auth[token]", "t&k"), ("u", "eve"), ("p", PASSWORD), ("go", "1")];
    assert_eq!(browser.post("/login", &form).status, 302);
    assert_eq!(browser.get("/").text(), "page for eve ");
    browser.sign_in("ann", PASSWORD);
    assert_eq!(browser.get("/").text(), "page for ann ");
}

#[test]
fn accounts_come_from_a_file_or_are_one_for_all() {
    let legacy = Legacy::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("apps.yaml");
    std::fs::write(&file, format!("Ann: {{ username: a.smith, password: '{PASSWORD}' }}\n")).unwrap();
    let sign_on = format!("login_page: /login, credentials: {{ file: '{}' }}", file.display());
    let gateway = legacy.with_sign_on(&sign_on, "");
    assert_eq!(gateway.signed_in("ann").get("/").text(), "page for a.smith ");
    assert_eq!(gateway.signed_in("bob").get("/").status, 403);
    let one = format!("login_page: /login, credentials: {{ username: svc, password: '{PASSWORD}' }}");
    let gateway = legacy.with_sign_on(&one, "");
    assert_eq!(gateway.signed_in("bob").get("/").text(), "page for svc ");
}

#[test]
fn a_mounted_app_is_signed_on_to_below_its_prefix() {
    let legacy = Legacy::new();
    let gateway = legacy.with_sign_on("login_page: /wiki/login", ", path: /wiki, strip_prefix: true");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.get("/wiki/page").text(), "page for ann ");
    legacy.forget_everybody();
    assert_eq!(browser.get("/wiki/page").text(), "page for ann ");
}

#[test]
fn json_logins_and_a_probe_decide_by_what_the_app_says() {
    let app = App::with(|seen, stream| {
        let said = match seen.line() {
            "POST /api/login HTTP/1.1" => {
                let json: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
                let right = json == serde_json::json!({ "name": "ann", "pass": PASSWORD });
                let body = format!("{{\"ok\": {right}}}");
                format!("HTTP/1.1 200 OK\r\nSet-Cookie: t={right}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            "GET /api/me HTTP/1.1" if cookie(seen, "t") == Some("true") => ok("{\"user\": \"ann\"}"),
            "GET /api/me HTTP/1.1" => ok("{\"user\": null}"),
            _ => ok(cookie(seen, "t").unwrap_or("none")),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let login = "action: /api/login, json: true, fields: { name: '{user}', pass: '{password}' }";
    for success in ["json: { /ok: true }", "probe: { path: /api/me, json: /user }", "body: 'true', body_not: 'false'"] {
        let gateway = TestGateway::with_routes(&format!(
            "  - {{ cookies: vault, sign_on: {{ {login}, success: {{ {success} }} }}, upstream: 'http://{}' }}",
            app.address
        ));
        assert_eq!(gateway.signed_in("ann").get("/api/x").text(), "true", "{success}");
        assert_eq!(gateway.signed_in("bob").get("/api/x").status, 502, "{success}");
    }
}

/// Many apps greet whom they have forgotten with the same page as everybody, and take a cookie back.
#[test]
fn an_app_that_redirects_nobody_shows_by_a_cookie_that_it_has_forgotten_the_user() {
    let epoch = Arc::new(AtomicUsize::new(1));
    let shared = Arc::clone(&epoch);
    let app = App::with(move |seen, stream| {
        let value = format!("ann-{}", shared.load(Ordering::SeqCst));
        let said = match seen.line() {
            "GET /a.php?do=login HTTP/1.1" => ok("<form><input name=u><input type=password name=p></form>"),
            line if line.starts_with("POST /a.php?do=login") => {
                redirect("/", &format!("Set-Cookie: DW81={value}; Path=/\r\n"))
            }
            _ if cookie(seen, "DW81") == Some(&value) => ok("hello ann"),
            _ => ok("hello stranger").replacen("\r\n", "\r\nSet-Cookie: DW81=deleted; Max-Age=0; Path=/\r\n", 1),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    for (expired, then) in [("", "hello stranger"), (", expired: { delete_cookie: DW* }", "hello ann")] {
        let gateway = TestGateway::with_routes(&format!(
            "  - {{ cookies: vault, sign_on: {{ login_page: '/a.php?do=login'{expired} }}, upstream: 'http://{}' }}",
            app.address
        ));
        let mut browser = gateway.signed_in("ann");
        assert_eq!(browser.get("/a.php").text(), "hello ann");
        epoch.fetch_add(1, Ordering::SeqCst);
        // All its pages are one script, the login page too.
        let page = browser.get("/a.php?id=start");
        assert_eq!(page.text(), then, "{expired}");
        assert!(page.all("set-cookie").iter().all(|line| !line.contains("DW81")), "{:?}", page.headers);
    }
}

#[test]
fn whoever_signs_out_at_the_app_has_signed_out_here_and_is_not_signed_on_again() {
    let legacy = Legacy::new();
    let out = "logout: { path: /page, query: { do: out } }";
    let gateway = legacy.with_sign_on(&format!("login_page: /login, {out}"), "");
    for forgotten in [false, true] {
        let mut browser = gateway.signed_in("ann");
        assert_eq!(browser.get("/page?do=in").text(), "page for ann ");
        let before = (browser.session_id().unwrap(), legacy.logins());
        if forgotten {
            legacy.forget_everybody();
        }
        assert_eq!(browser.get("/page?do=out").status, if forgotten { 302 } else { 200 });
        for mut browser in [browser, Browser::holding(gateway.address(), &before.0)] {
            assert!(browser.get("/").header("location").unwrap().starts_with("/.session/login"), "{forgotten}");
        }
        assert_eq!(legacy.logins(), before.1, "{forgotten}");
    }
}

#[test]
fn basic_replaces_what_the_client_says_and_a_refusal_shows_our_page() {
    let app = App::with(|seen, stream| {
        // ann:correct horse
        let said = match seen.header("authorization") {
            Some("Basic YW5uOmNvcnJlY3QgaG9yc2U=") => ok("in"),
            _ => "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let gateway =
        TestGateway::with_routes(&format!("  - {{ sign_on: {{ basic: true }}, upstream: 'http://{}' }}", app.address));
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.get("/").text(), "in");
    let evil = [("Authorization", "Basic ZXZlOmV2ZQ=="), ("Accept", "text/html")];
    assert_eq!(browser.request("GET", "/", &evil, b"").text(), "in");
    let answer = gateway.signed_in("bob").get("/");
    assert_eq!((answer.status, answer.header("www-authenticate")), (502, None));
    assert!(answer.text().contains("did not let you in"));
}

/// SECURITY: nothing but the app itself may get the password, whatever its page says.
#[test]
fn a_form_that_leads_elsewhere_gets_no_password() {
    let thief = App::answering(ok("thanks"));
    let page = format!("<form action='http://{}/'><input name=u><input type=password name=p></form>", thief.address);
    let app = App::answering(ok(&page));
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ cookies: vault, sign_on: {{ login_page: /login }}, upstream: 'http://{}' }}",
        app.address
    ));
    assert_eq!(gateway.signed_in("ann").get("/").status, 502);
    assert!(thief.seen().is_empty());
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn cookies_for_scripts_reach_the_browser_and_the_others_stay() {
    let app = App::with(|seen, stream| {
        let said = match seen.line() {
            "GET /login HTTP/1.1" => {
                let page = "<form><input name=u><input type=password name=p></form>";
                format!("HTTP/1.1 200 OK\r\nSet-Cookie: csrftoken=a\r\nContent-Length: {}\r\n\r\n{page}", page.len())
            }
            line if line.starts_with("POST") && cookie(seen, "csrftoken") == Some("a") => {
                redirect("/", "Set-Cookie: csrftoken=b\r\nSet-Cookie: s=1\r\n")
            }
            _ => ok(&format!("{:?} {:?}", cookie(seen, "s"), cookie(seen, "csrftoken"))),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ cookies: vault, expose_cookies: [csrftoken], sign_on: {{ login_page: /login }}, upstream: 'http://{}' }}",
        app.address
    ));
    let mut browser = gateway.signed_in("ann");
    browser.get("/");
    assert_eq!(browser.jar.get("csrftoken").map(String::as_str), Some("b"));
    assert_eq!(browser.get("/").text(), "Some(\"1\") Some(\"b\")");
}

#[test]
fn what_was_typed_outlives_new_ids_and_serves_who_is_remembered() {
    let legacy = Legacy::new();
    let gateway = TestGateway::with_config(&format!(
        "session: {{ rotate_every: 1h, rotation_grace: 30s, idle_timeout: null, remember_me: 60d, \
         cookie: {{ secure: auto }} }}\n\
         routes:\n  - {{ cookies: vault, sign_on: {{ login_page: /login }}, upstream: 'http://{}' }}",
        legacy.app.address
    ));
    let mut browser = gateway.browser();
    let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
    let form = [("csrf", &*csrf), ("rd", "/"), ("username", "ann"), ("password", PASSWORD), ("remember", "on")];
    assert_eq!(browser.post("/.session/login", &form).status, 303);
    let mut ids = std::collections::HashSet::new();
    for _ in 0..20 {
        assert_eq!(browser.get("/").text(), "page for ann ");
        ids.insert(browser.session_id().unwrap());
        legacy.forget_everybody();
        gateway.advance(Duration::from_secs(2 * 86_400));
    }
    assert!(ids.len() >= 19, "{}", ids.len());
    assert_eq!(legacy.logins(), 20);
}

/// SECURITY: what was typed, and what the app has set, in anything that a stolen disk may show.
#[test]
fn neither_password_nor_app_session_can_be_read_at_rest() {
    let legacy = Legacy::new();
    let dir = tempfile::tempdir().unwrap();
    let gateway = TestGateway::with_config(&format!(
        "store: {{ type: disk, path: '{}' }}\nroutes:\n  - {{ cookies: vault, sign_on: {{ login_page: /login }}, upstream: 'http://{}' }}",
        dir.path().join("sessions").display(),
        legacy.app.address
    ));
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.get("/").text(), "page for ann ");
    legacy.forget_everybody();
    assert_eq!(browser.get("/").text(), "page for ann ");
    gateway.stop();
    let mut written = Vec::new();
    let mut folders = vec![dir.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => written.extend(std::fs::read(entry.path()).unwrap()),
            }
        }
    }
    assert!(written.len() > 1000);
    for secret in [PASSWORD, "horse", "Y29ycmVjdCBob3JzZQ", "ann-1", "bound"] {
        assert!(!written.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
}
