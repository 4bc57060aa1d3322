//! Observed login: an app that knows nothing of us signs people in, and the gateway learns who they are.

use std::io::Write as _;

use crate::support::{App, Browser, Seen, TestGateway, ok};

/// An app with accounts of its own: a form at /login, a cookie that names the user, a page at /me that says who they
/// are, and a sign-out. It answers a wrong password as many do: 200 and the form again.
fn app() -> App {
    App::with(|seen, stream| stream.write_all(answer(seen).as_bytes()).is_ok())
}

fn answer(seen: &Seen) -> String {
    let redirect =
        |to: &str, cookie: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n{cookie}Content-Length: 0\r\n\r\n");
    let cookies = seen.header("cookie").unwrap_or_default();
    let user = cookies.split("; ").find_map(|pair| pair.strip_prefix("app=u-"));
    let form = String::from_utf8_lossy(&seen.body).into_owned();
    let line = seen.line().split(' ').collect::<Vec<_>>();
    match (line[0], line[1].split('?').next().unwrap()) {
        ("POST", "/login") if form.contains("password=right") => {
            let name = form.split('&').find_map(|pair| pair.strip_prefix("username=")).unwrap_or("nobody");
            redirect("/home", &format!("Set-Cookie: app=u-{name}; Path=/; HttpOnly\r\n"))
        }
        ("POST", "/login") => ok("wrong password <form>"),
        (_, "/login") => ok("<form>"),
        (_, "/logout") => redirect("/login", "Set-Cookie: app=; Max-Age=0; Path=/\r\n"),
        (_, "/me") => match user {
            Some(user) => ok(&format!("{{\"login\": \"{}\", \"roles\": [\"wiki\"]}}", user.to_lowercase())),
            None => "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".into(),
        },
        (_, "/forgotten") => redirect("/login?next=/forgotten", ""),
        _ => ok(&seen.head),
    }
}

const BY_PLACE: &str =
    "login: { path: /login, location_not: /login, user: { form: username } }, logout: { path: /logout }";
const BY_PROBE: &str = "login: { path: /login, status: [2xx, 3xx] }, probe: { path: /me, json: /login, groups: /roles }, logout: { path: /logout }";

fn gateway(app: &App, observe: &str, more: &str) -> TestGateway {
    let login = "login: { form: null }\n";
    TestGateway::with_config(&format!(
        "{login}routes:\n  - {{ access: user, observe: {{ {observe} }}, upstream: 'http://{}'{more} }}",
        app.address
    ))
}

fn sign_in(browser: &mut Browser, user: &str, password: &str) -> u16 {
    browser.post("/login", &[("username", user), ("password", password)]).status
}

fn who(browser: &mut Browser) -> serde_json::Value {
    browser.get("/.session/me").json()["user"].clone()
}

#[test]
fn strangers_go_to_the_apps_own_sign_in_and_come_back_as_somebody() {
    for cookies in ["", ", cookies: vault"] {
        let app = app();
        let gateway = gateway(&app, BY_PLACE, cookies);
        let mut browser = gateway.browser();
        let challenged = browser.get("/page?x=1");
        assert_eq!((challenged.status, challenged.header("location")), (302, Some("/login")));
        let told = browser.fetch("/api");
        assert_eq!((told.status, told.json()["login_url"].as_str()), (401, Some("/login")));
        assert_eq!(browser.get("/login").status, 200);
        assert_eq!(sign_in(&mut browser, "ann", "right"), 302);
        let id = browser.session_id().expect("ours");
        assert_eq!(browser.jar.contains_key("app"), cookies.is_empty());
        assert_eq!(who(&mut browser), "ann");
        assert_eq!(browser.get("/page").status, 200);
        assert_eq!((app.last().header("remote-user"), app.last().header("cookie")), (Some("ann"), Some("app=u-ann")));
        // SM-04: again.
        assert_eq!(sign_in(&mut browser, "ann", "right"), 302);
        assert_ne!(browser.session_id(), Some(id));
    }
}

/// LG-05.
#[test]
fn a_wrong_password_signs_nobody_in() {
    for observe in [BY_PLACE, BY_PROBE] {
        let app = app();
        let gateway = gateway(&app, observe, ", cookies: vault");
        let mut browser = gateway.browser();
        assert_eq!(sign_in(&mut browser, "ann", "wrong"), 200);
        assert_eq!((who(&mut browser), browser.get("/page").status), (serde_json::Value::Null, 302));
    }
}

#[test]
fn the_probe_says_who_it_is_and_what_groups_they_have() {
    for cookies in ["", ", cookies: vault"] {
        let app = app();
        let gateway = gateway(&app, BY_PROBE, cookies);
        let mut browser = gateway.browser();
        assert_eq!(sign_in(&mut browser, "ANN", "right"), 302);
        assert_eq!(app.last().line(), "GET /me HTTP/1.1");
        assert!(app.last().header("remote-user").is_none() && !app.last().head.contains("sessionid"));
        assert_eq!(who(&mut browser), "ann");
        browser.get("/page");
        assert_eq!(app.last().header("remote-groups"), Some("wiki"));
    }
}

/// SECURITY: an app that reads the other of two fields would let in one user whom we took for another.
#[test]
fn a_form_that_names_two_users_signs_nobody_in() {
    let app = app();
    let gateway = gateway(&app, BY_PLACE, "");
    let mut browser = gateway.browser();
    let fields = [("username", "eve"), ("password", "right"), ("username", "ann")];
    assert_eq!(browser.post("/login", &fields).status, 302);
    assert_eq!(who(&mut browser), serde_json::Value::Null);
    assert_eq!(browser.post("/login?username=ann", &[("username", "eve"), ("password", "right")]).status, 302);
    assert_eq!(who(&mut browser), serde_json::Value::Null);
}

/// LG-04.
#[test]
fn a_form_from_another_site_never_reaches_the_app() {
    let app = app();
    let gateway = gateway(&app, BY_PLACE, "");
    let mut browser = gateway.browser();
    let fields = [("username", "eve"), ("password", "right")];
    assert_eq!(browser.post_from("https://evil.example", "/login", &fields).status, 403);
    assert!(app.seen().is_empty());
}

#[test]
fn the_apps_sign_out_ends_the_session_here() {
    let app = app();
    let gateway = gateway(&app, BY_PLACE, ", cookies: vault");
    let mut browser = gateway.browser();
    sign_in(&mut browser, "ann", "right");
    let mut thief = Browser::holding(gateway.address(), &browser.session_id().unwrap());
    assert_eq!(browser.get("/logout").status, 302);
    assert_eq!((who(&mut browser), who(&mut thief)), (serde_json::Value::Null, serde_json::Value::Null));
    browser.get("/login");
    assert_eq!(app.last().header("cookie"), None);
}

#[test]
fn an_app_that_forgets_the_user_ends_the_session_here() {
    let app = app();
    let gateway = gateway(&app, BY_PLACE, "");
    let mut browser = gateway.browser();
    sign_in(&mut browser, "ann", "right");
    assert_eq!(browser.get("/forgotten").status, 302);
    assert_eq!(who(&mut browser), serde_json::Value::Null);
}

#[test]
fn our_sign_out_leaves_the_app_without_its_cookies() {
    let app = app();
    let gateway = gateway(&app, BY_PLACE, ", cookies: vault");
    let mut browser = gateway.browser();
    sign_in(&mut browser, "ann", "right");
    assert_eq!(browser.sign_out().status, 200);
    assert_eq!(browser.get("/page").header("location"), Some("/login"));
    browser.get("/login");
    assert_eq!(app.last().header("cookie"), None);
}

#[test]
fn timeouts_and_max_per_user_hold_for_an_app_that_has_none() {
    let app = app();
    let yaml = format!(
        "login: {{ form: null }}\nsession: {{ cookie: {{ secure: auto }}, idle_timeout: 10m, max_per_user: 1 }}\n\
         routes:\n  - {{ access: user, cookies: vault, observe: {{ {BY_PLACE} }}, upstream: 'http://{}' }}",
        app.address
    );
    let gateway = TestGateway::with_config(&yaml);
    let (mut one, mut two) = (gateway.browser(), gateway.browser());
    sign_in(&mut one, "ann", "right");
    sign_in(&mut two, "ann", "right");
    assert_eq!((who(&mut one), who(&mut two)), (serde_json::Value::Null, "ann".into()));
    gateway.advance(std::time::Duration::from_secs(601));
    assert_eq!((two.get("/page").status, who(&mut two)), (302, serde_json::Value::Null));
}

#[test]
fn what_is_read_of_an_answer_reaches_the_browser_whole() {
    let page = "x".repeat(300_000);
    let long = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{page}\r\n0\r\n\r\n", page.len());
    let app = App::with(move |seen, stream| {
        let said = if seen.line().contains("long") { long.clone() } else { ok("Sign out, ann!") };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let gateway = gateway(&app, "login: { path: '/login*', body: 'Sign out', user: { form: u } }", "");
    let mut browser = gateway.browser();
    assert_eq!(browser.post("/login/long", &[("u", "ann")]).body.len(), page.len());
    assert_eq!(who(&mut browser), serde_json::Value::Null);
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept-Encoding", "gzip")];
    let answer = browser.request("POST", "/login", &headers, b"u=ann");
    assert_eq!(answer.text(), "Sign out, ann!");
    assert_eq!(app.last().header("accept-encoding"), None);
    assert_eq!(who(&mut browser), "ann");
}

/// SECURITY: an app with one script for all pages would else show strangers what a form can ask for.
#[test]
fn where_a_form_tells_the_sign_in_no_other_form_of_a_stranger_passes() {
    let app = app();
    let observe = "login: { path: /login, form: { do: login }, location_not: /login, user: { form: username } }, \
                   login_page: '/login?do=login'";
    let gateway = gateway(&app, observe, ", cookies: vault");
    let mut browser = gateway.browser();
    assert_eq!(browser.get("/login").header("location"), Some("/login?do=login"));
    let long = "x".repeat(70_000);
    for fields in [
        &[("do", "show"), ("id", "secret")][..],
        &[("username", "ann"), ("password", "right")],
        &[("do", "login"), ("do", "show")],
        &[("do", "login"), ("do[show]", "1")],
        &[("do", "login"), ("x", &long)],
    ] {
        assert_eq!(browser.post("/login", fields).header("location"), Some("/login?do=login"), "{:?}", fields[0]);
    }
    assert!(app.seen().is_empty());
    let fields = [("do", "login"), ("username", "ann"), ("password", "right")];
    assert_eq!(browser.post("/login", &fields).header("location"), Some("/home"));
    assert_eq!(app.last().body, b"do=login&username=ann&password=right");
    assert_eq!(app.last().header("content-length"), Some("36"));
    assert_eq!(who(&mut browser), "ann");
    // Whoever is signed in may send what they like.
    browser.post("/login", &[("do", "show")]);
    assert_eq!(app.last().body, b"do=show");
}

/// SECURITY: PHP's `$_REQUEST` has the body's word where both the query and the body say what is wanted.
#[test]
fn where_the_query_tells_the_sign_in_no_body_can_make_it_another_request() {
    let app = App::with(|seen, stream| {
        let to = "HTTP/1.1 302 Found\r\nLocation: /saved\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(if seen.line().starts_with("POST") { to.into() } else { ok("page") }.as_bytes()).is_ok()
    });
    let observe = "login: { path: /doku, query: { do: login }, location_not: /doku, user: { form: u } }, \
                   login_page: '/doku?do=login'";
    let gateway = gateway(&app, observe, ", cookies: vault");
    let form = "application/x-www-form-urlencoded";
    let parts = "multipart/form-data; boundary=b";
    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let multipart = |name: &str| format!("{}{}--b--\r\n", part("u", "ann"), part(name, "save"));
    let long = format!("u=ann&x={}&do=save", "x".repeat(70_000));
    let sent = |browser: &mut Browser, kind: &str, body: &str| {
        let origin = format!("http://{}", browser.host);
        let headers = [("Content-Type", kind), ("Origin", &*origin), ("Accept", "text/html")];
        browser.request("POST", "/doku?do=login", &headers, body.as_bytes()).header("location").map(str::to_owned)
    };
    for (kind, body) in [
        (form, "do=save&u=ann"),
        (form, "u=ann&do=login&do=save"),
        (form, "u=ann&do[save]=1"),
        (form, "u=ann&D%6f=save"),
        (form, "u=ann&do+=login"),
        (form, &long),
        (parts, &multipart("do")),
        (parts, &multipart("do[save]")),
        (parts, "--b\r\nbroken"),
        ("application/json", "{\"u\": \"ann\", \"do\": \"save\"}"),
        ("application/json", "{\"u\": \"ann\", \"do\": [\"login\"]}"),
        ("application/json", "[]"),
        ("application/x-www-form-urlencoded, x", "do=save&u=ann"),
        ("text/plain", "do=save&u=ann"),
    ] {
        let mut browser = gateway.browser();
        assert_eq!(sent(&mut browser, kind, body).as_deref(), Some("/doku?do=login"), "{kind} {body:.60}");
        assert_eq!((app.seen().len(), who(&mut browser)), (0, serde_json::Value::Null), "{kind} {body:.60}");
        // Nor does it make somebody else of who is signed in.
        let mut bob = gateway.browser();
        assert_eq!(sent(&mut bob, form, "u=bob&p=x").as_deref(), Some("/saved"));
        sent(&mut bob, kind, body);
        assert_eq!(who(&mut bob), "bob", "{kind} {body:.60}");
        browser.jar = bob.jar;
        browser.sign_out();
        app.forget();
    }
    for (kind, body) in [
        (form, "u=ann&p=x"),
        (form, "do=login&u=ann"),
        (parts, &*multipart("p")),
        ("application/json", "{\"u\": \"ann\"}"),
    ] {
        let mut browser = gateway.browser();
        assert_eq!(sent(&mut browser, kind, body).as_deref(), Some("/saved"), "{kind} {body}");
        assert_eq!(who(&mut browser), "ann", "{kind} {body}");
    }
}

fn limited(app: &App, observe: &str) -> TestGateway {
    TestGateway::with_config(&format!(
        "login: {{ form: null }}\ntrusted_proxies: [127.0.0.1]\n\
         routes:\n  - {{ access: public, observe: {{ {observe} }}, upstream: 'http://{}' }}",
        app.address
    ))
}

/// One try by a browser that has not been here before.
fn try_from(gateway: &TestGateway, address: &str, user: &str, password: &str) -> crate::support::Response {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("username", user), ("password", password)])
        .finish();
    let headers =
        [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html"), ("X-Forwarded-For", address)];
    gateway.browser().request("POST", "/login", &headers, body.as_bytes())
}

/// LG-02, as at our own form.
#[test]
fn guessing_at_an_apps_own_form_is_slowed_down() {
    for observe in [
        BY_PLACE,
        "login: { path: /login, status: [2xx, 3xx], user: { form: username } }, probe: { path: /me, json: /login }",
    ] {
        let app = app();
        let gateway = limited(&app, observe);
        for (address, user) in [("198.51.100.1", "ann"), ("198.51.100.2", "ANN"), ("203.0.113.3", " ann")] {
            assert_eq!(try_from(&gateway, address, user, "wrong").status, 200);
        }
        app.forget();
        let refused = try_from(&gateway, "203.0.113.9", "Ann", "right");
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("300")));
        assert!(refused.text().contains("Please wait") && refused.all("set-cookie").is_empty(), "{}", refused.text());
        assert!(app.seen().is_empty(), "the app is not asked");
        // Nobody else waits, and pages are no tries.
        assert_eq!(try_from(&gateway, "198.51.100.1", "bob", "right").status, 302);
        assert_eq!(gateway.browser().get("/login").status, 200);
        gateway.advance(std::time::Duration::from_secs(300));
        assert_eq!(try_from(&gateway, "198.51.100.1", "ann", "right").status, 302);
    }
}

#[test]
fn a_right_password_clears_the_failures_and_a_broken_app_makes_none() {
    let app = app();
    let gateway = limited(&app, BY_PLACE);
    for _ in 0..4 {
        for password in ["wrong", "wrong", "right"] {
            assert_ne!(try_from(&gateway, "198.51.100.1", "ann", password).status, 429);
        }
    }
    for status in ["500", "503", "429"] {
        let app = App::answering(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"));
        let gateway = limited(&app, BY_PLACE);
        for _ in 0..5 {
            assert_eq!(try_from(&gateway, "198.51.100.1", "ann", "x").status.to_string(), status);
        }
        assert_eq!(app.seen().len(), 5);
    }
}

#[test]
fn an_address_that_tries_many_names_or_no_name_at_all_is_refused() {
    for observe in [BY_PLACE, BY_PROBE] {
        let app = app();
        let gateway = limited(&app, observe);
        for name in 0..30 {
            assert_eq!(try_from(&gateway, "198.51.100.1", &format!("made-up-{name}"), "wrong").status, 200);
        }
        assert_eq!(try_from(&gateway, "198.51.100.1", "ann", "right").status, 429);
        assert_eq!(try_from(&gateway, "198.51.100.2", "ann", "right").status, 302);
    }
}

/// An app that takes Basic is asked with every request: who is signed in must not wait for those who guess.
#[test]
fn guesses_with_basic_count_and_leave_who_is_signed_in_alone() {
    let app = App::with(|seen, stream| {
        // "ann:right"
        let said = match seen.header("authorization") {
            Some("Basic YW5uOnJpZ2h0") => ok("welcome"),
            _ => "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n".into(),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let gateway = limited(&app, "login: { method: [GET, POST], path: '/*', status: 2xx, user: { basic: true } }");
    let ask = |browser: &mut Browser, credentials: &str| {
        browser.request("GET", "/x", &[("Authorization", &format!("Basic {credentials}"))], b"").status
    };
    let mut ann = gateway.browser();
    assert_eq!((ask(&mut ann, "YW5uOnJpZ2h0"), who(&mut ann)), (200, "ann".into()));
    assert_eq!(
        [(); 10].map(|()| gateway.browser().get("/x").status),
        [401; 10],
        "nothing is tried without credentials"
    );
    // "ann:wrong"
    let guesses = [(); 5].map(|()| ask(&mut gateway.browser(), "YW5uOndyb25n"));
    assert_eq!(guesses, [401, 401, 401, 429, 429]);
    assert_eq!((ask(&mut gateway.browser(), "YW5uOnJpZ2h0"), ask(&mut ann, "YW5uOnJpZ2h0")), (429, 200));
}

#[test]
fn where_failures_do_not_count_nobody_waits() {
    let app = app();
    let gateway = limited(&app, &format!("{BY_PLACE}, regulation: false"));
    assert_eq!([(); 40].map(|()| try_from(&gateway, "198.51.100.1", "ann", "wrong").status), [200; 40]);
    assert_eq!(try_from(&gateway, "198.51.100.1", "ann", "right").status, 302);
}

/// SECURITY: else all guesses that are sent at once are answered, before the first of them is counted.
#[test]
fn of_many_guesses_at_once_few_are_answered() {
    const GUESSES: usize = 20;
    let together = std::sync::Barrier::new(GUESSES);
    let app = App::with(move |_, stream| {
        together.wait();
        stream.write_all(ok("wrong password <form>").as_bytes()).is_ok()
    });
    let gateway = limited(&app, BY_PLACE);
    let answers =
        crate::support::at_once(GUESSES, |n| try_from(&gateway, &format!("203.0.113.{n}"), "ann", "x").status);
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 3, "{answers:?}");
}
