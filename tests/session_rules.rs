//! Rules: an app that knows nothing of sessions gets them by YAML. Here it may read them, so that tests see them too.

use serde_json::{Value, json};

use crate::support::{App, Browser, Response, TestGateway, forgets, issued};

struct Fixture {
    app: App,
    gateway: TestGateway,
}

/// Rules by path; each is what `then` holds, for any method and a good answer.
fn with_rules(rules: &[(&str, &str)]) -> Fixture {
    let rules: Vec<String> =
        rules.iter().map(|(path, then)| format!("{{ when: {{ path: {path} }}, then: {{ {then} }} }}")).collect();
    with(&rules.join(", "))
}

fn with(rules: &str) -> Fixture {
    let app = App::obeying();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, session_headers: read, upstream: 'http://{}', rules: [{rules}] }}",
        app.address
    ));
    Fixture { app, gateway }
}

impl Fixture {
    fn data(&self, browser: &mut Browser) -> Value {
        assert_eq!(browser.get("/read").status, 200);
        self.app.last().session_data()
    }

    fn user(&self, browser: &mut Browser) -> Option<String> {
        assert_eq!(browser.get("/read").status, 200);
        self.app.last().header("remote-user").map(str::to_owned)
    }

    fn expires_in(&self, browser: &mut Browser) -> u64 {
        browser.get("/read");
        self.app.last().header("session-expires-in").unwrap().parse().unwrap()
    }
}

fn do_it(browser: &mut Browser, path: &str) -> Response {
    let answer = browser.get(path);
    assert_eq!((answer.status, answer.text().as_str()), (200, "the page"), "{path}");
    answer
}

#[test]
fn set_unset_merge_and_increment_change_the_data() {
    let fixture = with_rules(&[
        ("/set", "set: { step: paid, cart: { a: 1, b: 2 } }"),
        ("/unset", "unset: [step, absent]"),
        ("/unset-one", "unset: n"),
        ("/merge", "merge: { cart: { a: null, c: 3 }, list: [1] }"),
        ("/count", "increment: { n: 2, real: 0.5 }"),
    ]);
    let mut browser = fixture.gateway.browser();
    assert!(issued(&do_it(&mut browser, "/set")).is_some(), "a session begins");
    assert_eq!(fixture.data(&mut browser), json!({"step": "paid", "cart": {"a": 1, "b": 2}}));
    do_it(&mut browser, "/unset");
    assert_eq!(fixture.data(&mut browser), json!({"cart": {"a": 1, "b": 2}}));
    do_it(&mut browser, "/merge");
    assert_eq!(fixture.data(&mut browser), json!({"cart": {"b": 2, "c": 3}, "list": [1]}));
    do_it(&mut browser, "/count");
    do_it(&mut browser, "/count");
    assert_eq!(fixture.data(&mut browser), json!({"cart": {"b": 2, "c": 3}, "list": [1], "n": 4, "real": 1.0}));
    do_it(&mut browser, "/unset-one");
    assert_eq!(fixture.data(&mut browser)["n"], Value::Null);
}

#[test]
fn set_replaces_a_whole_value_where_merge_goes_into_it() {
    let fixture = with_rules(&[("/one", "set: { cart: { a: 1 } }"), ("/two", "set: { cart: { b: 2 } }")]);
    let mut browser = fixture.gateway.browser();
    do_it(&mut browser, "/one");
    do_it(&mut browser, "/two");
    assert_eq!(fixture.data(&mut browser), json!({"cart": {"b": 2}}));
}

#[test]
fn flash_is_told_with_the_next_request_and_then_gone() {
    let fixture = with_rules(&[("/save", "flash: { message: saved }")]);
    let mut browser = fixture.gateway.browser();
    do_it(&mut browser, "/save");
    assert_eq!(fixture.data(&mut browser), json!({"message": "saved"}));
    assert_eq!(fixture.data(&mut browser), json!({}));
}

#[test]
fn clear_keeps_the_user_and_flush_keeps_nothing() {
    let fixture = with_rules(&[("/set", "set: { a: 1 }"), ("/clear", "clear: true"), ("/flush", "flush: true")]);
    let mut browser = fixture.gateway.signed_in("ann");
    do_it(&mut browser, "/set");
    let id = browser.session_id().unwrap();
    do_it(&mut browser, "/clear");
    assert_eq!((fixture.data(&mut browser), browser.session_id()), (json!({}), Some(id.clone())));
    assert_eq!(fixture.user(&mut browser).as_deref(), Some("ann"));
    assert!(forgets(&do_it(&mut browser, "/flush")));
    assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &id)), None);
}

#[test]
fn rotate_gives_a_new_id_to_the_same_session() {
    let fixture = with_rules(&[("/set", "set: { a: 1 }"), ("/rotate", "rotate: true")]);
    let mut browser = fixture.gateway.signed_in("ann");
    do_it(&mut browser, "/set");
    let old = browser.session_id().unwrap();
    assert_ne!(issued(&do_it(&mut browser, "/rotate")).unwrap(), old);
    assert_eq!(fixture.data(&mut browser), json!({"a": 1}));
    assert_eq!(fixture.user(&mut browser).as_deref(), Some("ann"));
}

/// The app's own page for changing a password.
#[test]
fn revoke_others_ends_the_users_other_sessions_and_this_one_goes_on_under_a_new_id() {
    let rule = "{ when: { method: POST, path: /password, status: 3xx }, then: { revoke_others: true } }";
    let fixture = with(rule);
    let mut others = [fixture.gateway.signed_in("ann"), fixture.gateway.signed_in("ann")];
    let (mut this, mut bob) = (fixture.gateway.signed_in("ann"), fixture.gateway.signed_in("bob"));
    let old = this.session_id().unwrap();
    let post = |browser: &mut Browser, status: &str| {
        browser.request("POST", "/password", &[("X-Answer", &format!("Status: {status}"))], b"")
    };
    assert_eq!(issued(&post(&mut this, "200")), None, "the form again: the old password was wrong");
    assert_eq!(fixture.user(&mut others[0]).as_deref(), Some("ann"));
    let new = issued(&post(&mut this, "302")).unwrap();
    assert_ne!(new, old);
    assert_eq!(others.each_mut().map(|browser| fixture.user(browser)), [None, None]);
    assert_eq!(fixture.user(&mut this).as_deref(), Some("ann"));
    assert_eq!(fixture.user(&mut bob).as_deref(), Some("bob"));
    assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &old)), None, "whoever has its old id");
}

#[test]
fn expiry_has_its_four_forms() {
    let fixture = with_rules(&[
        ("/sliding", "expiry: 30m"),
        ("/browser", "expiry: browser"),
        ("/default", "expiry: default"),
        ("/moment", "expiry: '2026-01-01T02:00:00Z'"),
        ("/past", "expiry: '2020-01-01T00:00:00Z'"),
    ]);
    let mut browser = fixture.gateway.signed_in("ann");
    let max_age = |answer: &Response| {
        let line = answer.header("set-cookie").expect("a cookie").to_owned();
        line.split("; ").find_map(|part| part.strip_prefix("Max-Age=")).map(str::to_owned)
    };
    for (path, age, left) in [
        ("/sliding", Some("1800"), 1800),
        ("/default", Some("1209600"), 86_400),
        ("/browser", None, 86_400),
        ("/moment", Some("7200"), 7200),
    ] {
        assert_eq!(max_age(&do_it(&mut browser, path)).as_deref(), age, "{path}");
        assert_eq!(fixture.expires_in(&mut browser), left, "{path}");
    }
    let id = browser.session_id().unwrap();
    assert!(forgets(&do_it(&mut browser, "/past")), "what should have ended has ended");
    assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &id)), None);
}

#[test]
fn user_signs_in_whom_the_apps_answer_names() {
    let fixture = with(
        "{ when: { method: POST, path: /login, status: 302 }, then: { user: '{header.X-App-User}', \
         name: '{header.X-App-Name}', email: '{header.X-App-User}@example.com', groups: [app, '{header.X-App-Groups}'] } }",
    );
    let mut browser = fixture.gateway.browser();
    let login = |browser: &mut Browser, lines: &[&str]| {
        let headers: Vec<_> = ["Status: 302"].iter().chain(lines).map(|line| ("X-Answer", *line)).collect();
        browser.request("POST", "/login", &headers, b"")
    };
    assert_eq!(issued(&login(&mut browser, &[])), None, "nobody is named");
    let twice = login(&mut browser, &["X-App-User: alice", "X-App-User: bob"]);
    assert_eq!(issued(&twice), None, "who names two names nobody");
    let lines = ["X-App-User: alice", "X-App-Name: Alice", "X-App-Groups: staff, wiki"];
    let answer = login(&mut browser, &lines);
    assert!(issued(&answer).is_some());
    assert_eq!(answer.header("x-app-user"), Some("alice"), "the app's own headers pass");
    browser.get("/read");
    let seen = fixture.app.last();
    let told = ["remote-user", "remote-name", "remote-email", "remote-groups"].map(|name| seen.header(name));
    assert_eq!(told, [Some("alice"), Some("Alice"), Some("alice@example.com"), Some("app,staff,wiki")]);
}

#[test]
fn a_rule_applies_where_method_path_and_status_fit_and_nowhere_else() {
    let fixture = with(
        "{ when: { method: [POST, PUT], path: /shop/*, status: [201, 3xx] }, then: { increment: { listed: 1 } } }, \
         { when: { path: /shop/cart }, then: { increment: { exact: 1 } } }, \
         { then: { increment: { good: 1 } } }, \
         { when: { status: 404 }, then: { increment: { missing: 1 } } }",
    );
    let mut browser = fixture.gateway.browser();
    let mut ask = |method: &str, path: &str, status: &str| {
        browser.request(method, path, &[("X-Answer", &format!("Status: {status}"))], b"");
        browser.get("/none?");
        fixture.app.last().session_data()
    };
    // The reading itself is a good answer each time.
    assert_eq!(ask("POST", "/shop/x", "201"), json!({"listed": 1, "good": 1}));
    assert_eq!(ask("PUT", "/shop/x/y?z=1", "302"), json!({"listed": 2, "good": 3}));
    assert_eq!(ask("GET", "/shop/x", "201"), json!({"listed": 2, "good": 5}));
    assert_eq!(ask("POST", "/shop", "201"), json!({"listed": 2, "good": 7}));
    assert_eq!(ask("POST", "/shop/x", "200"), json!({"listed": 2, "good": 9}));
    assert_eq!(ask("GET", "/shop/cart?a=b", "200"), json!({"listed": 2, "good": 11, "exact": 1}));
    assert_eq!(ask("GET", "/shop/cart/2", "200"), json!({"listed": 2, "good": 13, "exact": 1}));
    assert_eq!(ask("GET", "/shop/cart", "404")["missing"], 1);
    assert_eq!(ask("GET", "/shop/cart", "403")["exact"], 1);
}

/// A path is judged in the one form that was decided about.
#[test]
fn another_spelling_of_a_path_is_the_same_path() {
    let fixture = with_rules(&[("/shop/cart", "increment: { n: 1 }")]);
    let mut browser = fixture.gateway.browser();
    for path in ["/shop/%63art", "/shop/./cart", "/shop/x/../cart"] {
        browser.get(path);
    }
    assert_eq!(fixture.data(&mut browser)["n"], 3);
}

#[test]
fn a_rule_for_failures_may_flush_and_nothing_else() {
    let fixture = with(
        "{ when: { path: /a, status: 5xx }, then: { set: { a: 1 }, user: eve, rotate: true } }, \
         { when: { path: /b, status: 500 }, then: { flush: true } }",
    );
    let mut browser = fixture.gateway.signed_in("ann");
    assert_eq!(browser.answered("/a", &["Status: 500"]).all("set-cookie"), [""; 0]);
    assert_eq!((fixture.user(&mut browser).as_deref(), fixture.data(&mut browser)), (Some("ann"), json!({})));
    assert!(forgets(&browser.answered("/b", &["Status: 500"])));
    assert_eq!(fixture.user(&mut browser), None);
}

/// flush, clear, user, merge, set, unset, increment, flash, expiry, rotate, revoke_others.
#[test]
fn operations_of_one_rule_apply_in_their_fixed_order() {
    let fixture = with_rules(&[
        ("/before", "set: { old: 1 }"),
        ("/all", "increment: { n: 1 }, unset: gone, set: { n: 10, gone: 1 }, merge: { n: 5, m: 5 }, clear: true"),
        ("/again", "set: { fresh: 1 }, flush: true, user: carol"),
    ]);
    let mut browser = fixture.gateway.browser();
    do_it(&mut browser, "/before");
    do_it(&mut browser, "/all");
    assert_eq!(fixture.data(&mut browser), json!({"m": 5, "n": 11}));
    let old = browser.session_id().unwrap();
    assert_ne!(issued(&do_it(&mut browser, "/again")).unwrap(), old);
    assert_eq!(
        (fixture.user(&mut browser).as_deref(), fixture.data(&mut browser)),
        (Some("carol"), json!({"fresh": 1}))
    );
}

/// Several rules fit one answer: all of them, in their order; and an app's own word comes last.
#[test]
fn rules_apply_in_their_order_and_the_apps_own_word_after_them() {
    let app = App::obeying();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, session_headers: read_write, upstream: 'http://{}', \
         rules: [{{ then: {{ set: {{ a: 1, b: 1, c: 1 }} }} }}, {{ then: {{ set: {{ b: 2, c: 2 }} }} }}] }}",
        app.address
    ));
    let mut browser = gateway.browser();
    browser.answered("/", &["Session-Set: {\"c\": 3}"]);
    browser.get("/");
    assert_eq!(app.last().session_data(), json!({"a": 1, "b": 2, "c": 3}));
}

/// Nobody was let in, so the app has not answered.
#[test]
fn no_rule_applies_to_what_the_gateway_itself_answers() {
    let app = App::obeying();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ upstream: 'http://{}', rules: [{{ when: {{ status: [2xx, 3xx, 4xx] }}, then: {{ set: {{ a: 1 }} }} }}] }}",
        app.address
    ));
    let mut browser = gateway.browser();
    assert_eq!((browser.get("/").status, browser.fetch("/").status), (302, 401));
    assert_eq!(browser.session_id(), None);
}
