//! `Session-*` headers: what an app is told of the session, what it may do to it, and what nobody else may.

use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::{App, Browser, PAGE, PASSWORD, Response, TestGateway, field, forgets, issued, user};

/// 2026-01-01T00:00:00Z, where the clock of a test gateway stands.
const START: &str = "1767225600";

/// Everything an app may be told or say, and what only our own code would write.
const NAMES: [&str; 17] = [
    "Session-Handle",
    "Session-Created",
    "Session-Expires-In",
    "Session-Data",
    "Session-Data-Omitted",
    "Session-Set",
    "Session-Increment",
    "Session-Flash",
    "Session-User",
    "Session-Name",
    "Session-Email",
    "Session-Groups",
    "Session-Expiry",
    "Session-Rotate",
    "Session-Clear",
    "Session-Flush",
    "Session-Revoke-Others",
];

/// A public route, whose app may do `mode`.
fn with_mode(app: &App, mode: &str) -> TestGateway {
    TestGateway::with_routes(&format!(
        "  - {{ access: public, session_headers: {mode}, upstream: 'http://{}' }}",
        app.address
    ))
}

struct Fixture {
    app: App,
    gateway: TestGateway,
}

fn fixture() -> Fixture {
    let app = App::obeying();
    let gateway = with_mode(&app, "read_write");
    Fixture { app, gateway }
}

impl Fixture {
    /// What the app is told with the next request.
    fn data(&self, browser: &mut Browser) -> Value {
        assert_eq!(browser.get("/").status, 200);
        self.app.last().session_data()
    }
}

/// The page of the app, as it was written, and nothing of what it said to the gateway.
fn assert_undamaged(answer: &Response) {
    assert_eq!((answer.status, answer.text().as_str(), answer.complete), (200, PAGE, true));
    let leaked: Vec<_> = answer.headers.iter().filter(|(name, _)| name.starts_with("session-")).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

#[test]
fn an_app_is_told_handle_creation_end_and_data() {
    let Fixture { app, gateway } = fixture();
    let mut browser = gateway.signed_in("ann");
    gateway.advance(std::time::Duration::from_secs(10));
    browser.get("/");
    let seen = app.last();
    let handle = seen.header("session-handle").unwrap();
    assert!(handle.len() == 16 && handle.bytes().all(|byte| byte.is_ascii_hexdigit()), "{handle}");
    assert_eq!(seen.header("session-created"), Some(START));
    assert_eq!(seen.header("session-expires-in"), Some("86390"));
    assert_eq!(seen.header("session-data"), Some("{}"));
}

#[test]
fn an_app_is_told_that_there_is_no_session_and_none_begins() {
    let Fixture { app, gateway } = fixture();
    let answer = gateway.browser().answered("/", &["Session-Set: {}", "Session-Rotate: true", "Session-Clear: true"]);
    assert_undamaged(&answer);
    assert_eq!(answer.all("set-cookie"), [""; 0], "there is nothing to keep");
    let seen = app.last();
    assert_eq!((seen.header("session-data"), seen.header("session-handle")), (Some("{}"), None));
    assert_eq!((seen.header("session-created"), seen.header("session-expires-in")), (None, None));
}

#[test]
fn what_an_app_sets_begins_a_session_and_comes_back_with_the_next_request() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    let answer = browser.answered("/", &["Session-Set: {\"cart\": 3, \"name\": \"J\u{fc}rgen\"}"]);
    assert_undamaged(&answer);
    assert!(issued(&answer).is_some());
    assert_eq!((answer.header("cache-control"), answer.header("vary")), (Some("no-store"), Some("Cookie")));
    assert_eq!(fixture.data(&mut browser), json!({"cart": 3, "name": "J\u{fc}rgen"}));
    let told = fixture.app.last();
    assert!(told.header("session-data").unwrap().is_ascii());
    assert_eq!(fixture.data(&mut fixture.gateway.browser()), json!({}), "another browser has none of it");
}

#[test]
fn set_is_a_merge_patch_and_its_lines_apply_in_order() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    browser.answered("/", &["Session-Set: {\"a\": 1, \"b\": {\"c\": 1, \"d\": 2}, \"e\": [1, 2]}"]);
    let lines =
        ["Session-Set: {\"a\": null, \"b\": {\"c\": null, \"x\": 9}, \"e\": [3]}", "Session-Set: {\"f\": true}"];
    assert_undamaged(&browser.answered("/", &lines));
    assert_eq!(fixture.data(&mut browser), json!({"b": {"d": 2, "x": 9}, "e": [3], "f": true}));
}

#[test]
fn increment_adds_to_what_is_there_and_to_nothing() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    browser.answered("/", &["Session-Set: {\"visits\": 41, \"word\": \"x\"}"]);
    let answer =
        browser.answered("/", &["Session-Increment: {\"visits\": 1, \"new\": -2, \"word\": 1, \"real\": 0.5}"]);
    assert_undamaged(&answer);
    assert_eq!(fixture.data(&mut browser), json!({"visits": 42, "new": -2, "word": 1, "real": 0.5}));
}

#[test]
fn increments_of_parallel_requests_all_count() {
    let fixture = fixture();
    let id = issued(&fixture.gateway.browser().answered("/", &["Session-Set: {\"n\": 0}"])).unwrap();
    let address = fixture.gateway.address();
    let answers = crate::support::at_once(40, |_| {
        Browser::holding(address, &id).answered("/", &["Session-Increment: {\"n\": 1}"])
    });
    answers.iter().for_each(assert_undamaged);
    assert_eq!(fixture.data(&mut Browser::holding(address, &id)), json!({"n": 40}));
}

#[test]
fn a_flash_value_is_told_once_with_the_next_request() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    assert_undamaged(&browser.answered("/", &["Session-Set: {\"a\": 1}", "Session-Flash: {\"message\": \"saved\"}"]));
    assert_eq!(fixture.data(&mut browser), json!({"a": 1, "message": "saved"}));
    assert_eq!(fixture.data(&mut browser), json!({"a": 1}));
}

#[test]
fn a_flash_value_is_told_to_one_of_several_requests_at_once() {
    let fixture = fixture();
    let id = issued(&fixture.gateway.browser().answered("/", &["Session-Flash: {\"message\": 1}"])).unwrap();
    let address = fixture.gateway.address();
    crate::support::at_once(10, |_| assert_eq!(Browser::holding(address, &id).get("/").status, 200));
    let seen = fixture.app.seen();
    assert_eq!(seen.iter().filter(|seen| seen.session_data()["message"] == 1).count(), 1);
}

/// The page that would have shown it was never made.
#[test]
fn a_flash_value_that_a_failed_app_was_told_is_told_again() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    browser.answered("/", &["Session-Flash: {\"message\": \"saved\"}"]);
    assert_eq!(browser.answered("/", &["Status: 500"]).status, 500);
    assert_eq!(fixture.data(&mut browser), json!({"message": "saved"}));
    assert_eq!(fixture.data(&mut browser), json!({}));
}

/// The app was never asked, or was asked in vain.
#[test]
fn a_flash_value_that_the_gateway_could_not_hand_over_is_told_later() {
    let app = App::obeying();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, session_headers: read_write, upstream: 'http://{0}' }}\n\
         \x20 - {{ path: /small, access: public, session_headers: read, upstream: {{ url: 'http://{0}', max_body_size: 1B }} }}\n\
         \x20 - {{ path: /down, access: public, session_headers: read, upstream: 'http://127.0.0.1:1' }}",
        app.address
    ));
    let fixture = Fixture { app, gateway };
    let mut browser = fixture.gateway.browser();
    browser.answered("/", &["Session-Flash: {\"message\": \"saved\"}"]);
    assert_eq!(browser.get("/down").status, 502);
    assert_eq!(browser.request("POST", "/small", &[], b"large").status, 413);
    assert_eq!(fixture.data(&mut browser), json!({"message": "saved"}));
}

#[test]
fn clear_empties_the_data_and_keeps_user_and_id() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"a\": 1}"]);
    let id = browser.session_id();
    assert_undamaged(&browser.answered("/", &["Session-Clear: true"]));
    assert_eq!(fixture.data(&mut browser), json!({}));
    assert_eq!((fixture.app.last().header("remote-user"), browser.session_id()), (Some("ann"), id));
}

#[test]
fn flush_ends_the_session_and_takes_the_cookie_away() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"a\": 1}"]);
    let id = browser.session_id().unwrap();
    let answer = browser.answered("/", &["Session-Flush: true"]);
    assert_undamaged(&answer);
    assert!(forgets(&answer));
    let mut holder = Browser::holding(fixture.gateway.address(), &id);
    assert_eq!(fixture.data(&mut holder), json!({}));
    assert_eq!(fixture.app.last().header("remote-user"), None);
}

/// As an app does that signs out and says goodbye.
#[test]
fn what_is_set_together_with_a_flush_is_in_a_new_session() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"a\": 1}"]);
    let old = browser.session_id().unwrap();
    let answer = browser.answered("/", &["Session-Flash: {\"goodbye\": true}", "Session-Flush: true"]);
    assert_undamaged(&answer);
    assert_ne!(issued(&answer).unwrap(), old);
    assert_eq!(fixture.data(&mut browser), json!({"goodbye": true}));
    assert_eq!(fixture.app.last().header("remote-user"), None);
}

#[test]
fn rotate_gives_a_new_id_to_the_same_session() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"a\": 1}"]);
    let old = browser.session_id().unwrap();
    let answer = browser.answered("/", &["Session-Rotate: true"]);
    assert_undamaged(&answer);
    assert_ne!(issued(&answer).unwrap(), old);
    assert_eq!(fixture.data(&mut browser), json!({"a": 1}));
    assert_eq!(fixture.app.last().header("remote-user"), Some("ann"));
}

#[test]
fn revoke_others_ends_the_users_other_sessions_and_renews_this_one() {
    let fixture = fixture();
    let (mut one, mut two) = (fixture.gateway.signed_in("ann"), fixture.gateway.signed_in("ann"));
    let mut bob = fixture.gateway.signed_in("bob");
    two.answered("/", &["Session-Set: {\"a\": 1}"]);
    let old = two.session_id().unwrap();
    let answer = two.answered("/", &["Session-Revoke-Others: true"]);
    assert_undamaged(&answer);
    assert_ne!(issued(&answer).unwrap(), old);
    for (browser, user) in [(&mut one, None), (&mut two, Some("ann")), (&mut bob, Some("bob"))] {
        browser.get("/");
        assert_eq!(fixture.app.last().header("remote-user"), user);
    }
    assert_eq!(fixture.data(&mut two), json!({"a": 1}));
}

#[test]
fn an_app_signs_somebody_in_by_name_with_all_that_it_knows() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    let lines = [
        "Session-User: alice",
        "Session-Name: UTF-8''Alice%20M%C3%BCller",
        "Session-Email: alice@example.com",
        "Session-Groups: staff, wiki",
        "Session-Groups: admin",
    ];
    let answer = browser.answered("/", &lines);
    assert_undamaged(&answer);
    assert!(issued(&answer).is_some());
    browser.get("/");
    let seen = fixture.app.last();
    let told = ["remote-user", "remote-name", "remote-email", "remote-groups"].map(|name| seen.header(name));
    let name = "UTF-8''Alice%20M%C3%BCller";
    assert_eq!(told, [Some("alice"), Some(name), Some("alice@example.com"), Some("staff,wiki,admin")]);
    let me = browser.fetch("/.session/me").json();
    assert_eq!((&me["user"], &me["name"]), (&"alice".into(), &"Alice M\u{fc}ller".into()));
}

/// Django drops what a failed view has changed; who has been signed out is signed out.
#[test]
fn an_app_that_fails_changes_nothing_but_may_sign_out() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"a\": 1}"]);
    let lines =
        ["Session-Set: {\"a\": 2}", "Session-Increment: {\"n\": 1}", "Session-User: eve", "Session-Clear: true"];
    let failed = browser.answered("/", &[&["Status: 502"], &lines[..]].concat());
    assert_eq!((failed.status, failed.text().as_str(), failed.all("set-cookie").len()), (502, PAGE, 0));
    assert_eq!(fixture.data(&mut browser), json!({"a": 1}));
    assert_eq!(fixture.app.last().header("remote-user"), Some("ann"));
    assert!(forgets(&browser.answered("/", &["Status: 500", "Session-Flush: true"])));
    assert_eq!(fixture.data(&mut browser), json!({}));
}

/// A redirect and an error of the client's are answers like any other.
#[test]
fn changes_count_with_redirects_and_client_errors() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    for status in ["302", "404"] {
        browser.answered("/", &[&format!("Status: {status}"), "Session-Increment: {\"n\": 1}"]);
    }
    assert_eq!(fixture.data(&mut browser), json!({"n": 2}));
}

#[test]
fn templates_tell_values_of_the_session_to_an_app_that_knows_no_session_headers() {
    let app = App::obeying();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ path: /write, access: public, session_headers: read_write, upstream: 'http://{0}' }}\n\
         \x20 - {{ access: public, upstream: 'http://{0}', identity: {{ headers: {{ X-User: '{{user}}', \
         X-Theme: '{{session.theme}}', X-Size: 'size-{{session.cart.size}}', X-Handle: '{{session_handle}}' }} }} }}",
        app.address
    ));
    let told = |browser: &mut Browser| {
        browser.get("/");
        let seen = app.last();
        ["x-user", "x-theme", "x-size", "x-handle"].map(|name| seen.header(name).map(str::to_owned))
    };
    let set = ["Session-Set: {\"theme\": \"dark \u{fc}\", \"cart\": {\"size\": 3}}"];
    assert_eq!(told(&mut gateway.browser()), [None, None, None, None], "no session");

    let mut anonymous = gateway.browser();
    anonymous.answered("/write", &set);
    let [user, theme, size, handle] = told(&mut anonymous);
    assert_eq!((user, theme.as_deref()), (None, Some("UTF-8''dark%20%C3%BC")));
    assert_eq!(size.as_deref(), Some("size-3"));
    assert_eq!(handle.unwrap().len(), 16);

    let mut ann = gateway.signed_in("ann");
    let [user, theme, _, handle] = told(&mut ann);
    assert_eq!((user.as_deref(), theme), (Some("ann"), None));
    ann.answered("/write", &["Session-Set: {\"theme\": \"dark\"}"]);
    assert_eq!(told(&mut ann), [Some("ann".into()), Some("dark".into()), None, handle]);
    let answer = ann.get("/");
    assert!(answer.header("vary").unwrap().contains("Cookie"), "it depends on who asks");
}

/// All that an app could say.
fn everything() -> Vec<String> {
    let value = |name: &&str| match *name {
        "Session-Set" | "Session-Flash" | "Session-Data" => "{\"a\": 1}".to_owned(),
        "Session-Increment" => "{\"n\": 1}".to_owned(),
        "Session-Rotate" | "Session-Clear" | "Session-Flush" | "Session-Revoke-Others" => "true".to_owned(),
        "Session-Expiry" => "browser".to_owned(),
        _ => "mallory".to_owned(),
    };
    NAMES.iter().map(|name| format!("{name}: {}", value(name))).collect()
}

#[test]
fn an_app_without_session_headers_is_told_nothing_and_what_it_says_is_removed() {
    let app = App::obeying();
    let gateway = with_mode(&app, "none");
    assert_that_nothing_is_believed(&app, &gateway);
    assert!(!app.last().head.to_ascii_lowercase().contains("\r\nsession-"));
}

#[test]
fn an_app_that_may_read_is_told_everything_and_what_it_says_is_removed() {
    let app = App::obeying();
    let gateway = with_mode(&app, "read");
    assert_that_nothing_is_believed(&app, &gateway);
    let seen = app.last();
    assert_eq!((seen.header("session-data"), seen.header("session-created")), (Some("{}"), Some(START)));
}

fn assert_that_nothing_is_believed(app: &App, gateway: &TestGateway) {
    let lines = everything();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (mut nobody, mut ann, mut other) = (gateway.browser(), gateway.signed_in("ann"), gateway.signed_in("ann"));
    let id = ann.session_id();
    for browser in [&mut nobody, &mut ann] {
        let answer = browser.answered("/", &lines);
        assert_undamaged(&answer);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
    }
    assert_eq!((nobody.session_id(), ann.session_id()), (None, id));
    for browser in [&mut other, &mut ann] {
        browser.get("/");
        assert_eq!(app.last().header("remote-user"), Some("ann"));
    }
}

#[test]
fn what_an_app_says_that_has_our_prefix_and_no_meaning_passes() {
    let app = App::obeying();
    let answer = with_mode(&app, "none").browser().answered("/", &["Session-Of-Parliament: 5"]);
    assert_eq!(answer.header("session-of-parliament"), Some("5"));
}

#[test]
fn no_session_header_of_a_client_reaches_the_app_in_any_spelling() {
    for mode in ["none", "read", "read_write"] {
        let app = App::obeying();
        let gateway = with_mode(&app, mode);
        let mut ann = gateway.signed_in("ann");
        ann.answered("/", &["Session-Set: {\"a\": 1}"]);
        for name in NAMES {
            for spelling in [name.to_owned(), name.to_lowercase(), name.replace('-', "_"), name.replace('-', ".")] {
                for browser in [&mut ann, &mut gateway.browser()] {
                    let answer = browser.request("GET", "/", &[(&*spelling, "forged")], b"");
                    assert_eq!((answer.status, answer.all("set-cookie").len()), (200, 0), "{mode} {spelling}");
                    assert!(!app.last().head.contains("forged"), "{mode}: {}", app.last().head);
                }
            }
        }
        let told = app.last().all("session-data").len();
        assert_eq!(told, usize::from(mode != "none"));
    }
}

/// Not even from the upper side of a connection that names them hop-by-hop.
#[test]
fn a_client_cannot_take_away_what_the_app_is_told() {
    let fixture = fixture();
    let mut ann = fixture.gateway.signed_in("ann");
    let connection = [("Connection", "close, Session-Data, Session-Handle")];
    assert_eq!(ann.request("GET", "/", &connection, b"").status, 200);
    let seen = fixture.app.last();
    assert_eq!((seen.header("session-data"), seen.header("session-handle").is_some()), (Some("{}"), true));
}

fn json_of(bytes: usize) -> String {
    format!("{{\"big\": \"{}\"}}", "x".repeat(bytes))
}

#[test]
fn data_that_would_be_too_large_is_not_kept_and_the_answer_is_undamaged() {
    let app = App::obeying();
    let gateway = TestGateway::with_config(&format!(
        "session: {{ max_data_size: 1KiB, cookie: {{ secure: auto }} }}\n\
         routes: [{{ access: public, session_headers: read_write, upstream: 'http://{}' }}]",
        app.address
    ));
    let fixture = Fixture { app, gateway };
    let mut browser = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"a\": 1}"]);
    let id = browser.session_id().unwrap();
    for header in ["Session-Set", "Session-Flash"] {
        let lines = [&*format!("{header}: {}", json_of(1024)), "Session-Increment: {\"n\": 1}", "Session-Rotate: true"];
        assert_undamaged(&browser.answered("/", &lines));
        assert_eq!(fixture.data(&mut browser), json!({"a": 1}), "all of the data stays as it was");
    }
    assert_ne!(browser.session_id().unwrap(), id, "what is no data was done");
    let many = format!("Session-Set: {}", json_of(900));
    assert_undamaged(&browser.answered("/", &[&many]));
    assert_eq!(fixture.data(&mut browser)["big"].as_str().unwrap().len(), 900);
    assert_undamaged(&browser.answered("/", &["Session-Set: {\"big\": null, \"b\": 2}"]));
    assert_eq!(fixture.data(&mut browser), json!({"a": 1, "b": 2}));
    let stranger = fixture.gateway.browser().answered("/", &[&format!("Session-Set: {}", json_of(1024))]);
    assert_undamaged(&stranger);
    assert_eq!(stranger.all("set-cookie"), [""; 0], "and no session begins for it");
}

#[test]
fn data_that_fits_into_no_header_is_announced_as_omitted() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    // {"big":"…"} with 10 bytes around it.
    for (size, told) in [(8192 - 10, true), (8192 - 9, false), (12_000, false)] {
        assert_undamaged(&browser.answered("/", &[&format!("Session-Set: {}", json_of(size))]));
        assert_eq!(browser.get("/").status, 200);
        let seen = fixture.app.last();
        assert_eq!(seen.header("session-data").is_some(), told, "{size}");
        assert_eq!(seen.header("session-data-omitted"), (!told).then_some("too-large"), "{size}");
        assert_eq!((seen.header("session-handle").is_some(), seen.header("remote-user")), (true, Some("ann")));
    }
    browser.answered("/", &["Session-Set: {\"big\": null, \"kept\": 1}"]);
    assert_eq!(fixture.data(&mut browser), json!({"kept": 1}), "it was kept all the while");
}

const MALFORMED: &[&[&str]] = &[
    &["Session-Set: {"],
    &["Session-Set: [1]"],
    &["Session-Set: 5"],
    &["Session-Set:"],
    &["Session-Set: {\"b\": 1} trailing"],
    &["Session-Increment: {\"n\": \"1\"}"],
    &["Session-Increment: {\"n\": 1, \"m\": null}"],
    &["Session-Increment: nothing"],
    &["Session-Flash: \"text\""],
    &["Session-Clear: yes"],
    &["Session-Flush: 1"],
    &["Session-Flush: true", "Session-Flush: false"],
    &["Session-Rotate: TRUE!"],
    &["Session-Revoke-Others: on"],
    &["Session-Expiry: tomorrow"],
    &["Session-Expiry: 1e9"],
    &["Session-Expiry: 99999999999999999999"],
    &["Session-Expiry: 315360001"],
    &["Session-Expiry: 2099-01-01T00:00:00Z"],
    &["Session-Expiry: 2026-06-01T00:00:00"],
    &["Session-User: UTF-8''%FF"],
    &["Session-User: UTF-8''%20eve"],
    &["Session-User: eve", "Session-User: mallory"],
    &["Session-Name: Eve", "Session-Email: eve@example.com", "Session-Groups: admin"],
];

#[test]
fn a_malformed_header_damages_nothing_and_does_nothing() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    let mut other = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"a\": 1}"]);
    let id = browser.session_id();
    for (count, lines) in MALFORMED.iter().enumerate() {
        let answer = browser.answered("/", lines);
        assert_undamaged(&answer);
        assert_eq!(answer.all("set-cookie"), [""; 0], "{lines:?}");
        let kept = if count == 0 { json!({"a": 1}) } else { json!({"a": 1, "good": count}) };
        assert_eq!(fixture.data(&mut browser), kept, "{lines:?}");
        let seen = fixture.app.last();
        assert_eq!((seen.header("remote-user"), seen.header("session-expires-in")), (Some("ann"), Some("86400")));
        // A good one beside it counts.
        assert_undamaged(&browser.answered("/", &[lines, &["Session-Increment: {\"good\": 1}"][..]].concat()));
    }
    assert_eq!((browser.session_id(), other.get("/").status), (id, 200));
    assert_eq!(fixture.app.last().header("remote-user"), Some("ann"), "no other session ended");
}

/// Rather no rights than some of them.
#[test]
fn groups_that_cannot_be_read_are_no_groups() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    assert_undamaged(
        &browser.answered("/", &["Session-User: eve", "Session-Groups: wiki", "Session-Groups: UTF-8''%FF"]),
    );
    browser.get("/");
    let seen = fixture.app.last();
    assert_eq!((seen.header("remote-user"), seen.header("remote-groups")), (Some("eve"), None));
}

/// What the operator learns: which header, why, how large; never the value.
#[test]
fn an_operator_is_told_of_what_was_ignored_and_of_what_was_too_large() {
    let app = App::obeying();
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!(
        "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nworkers: 1\n\
         log: {{ level: info, access: false }}\n\
         session: {{ max_data_size: 9KiB, cookie: {{ secure: auto }} }}\n\
         login: {{ form: {{ users: [{}] }} }}\n\
         routes: [{{ name: shop, access: public, session_headers: read_write, upstream: 'http://{}' }}]\n",
        user("ann", "wiki"),
        app.address
    );
    let process = Process::start(dir.path(), &yaml, 1, &[]);
    let mut browser = Browser::at(process.addresses()[0]);
    browser.sign_in("ann", PASSWORD);
    for lines in MALFORMED {
        assert_undamaged(&browser.answered("/", lines));
    }
    assert_undamaged(&browser.answered("/", &["Session-Set: {\"private"]));
    assert_undamaged(&browser.answered("/", &[&format!("Session-Set: {}", json_of(9216))]));
    assert_undamaged(&browser.answered("/", &[&format!("Session-Set: {}", json_of(8500))]));
    (0..3).for_each(|_| assert_undamaged(&browser.get("/")));
    let handle = app.last().header("session-handle").unwrap().to_owned();
    let token = field(&browser.get("/.session/logout"), "csrf").unwrap();
    let (_, log) = process.terminate();

    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let ignored = all("session_header_ignored");
    assert!(ignored.len() > MALFORMED.len(), "{log}");
    assert!(ignored.iter().all(|line| line["header"].is_string() && line["reason"].is_string()));
    let [too_large] = all("data_too_large")[..] else { panic!("{log}") };
    assert_eq!((&too_large["handle"], &too_large["limit_bytes"]), (&handle.into(), &9216.into()));
    assert!(too_large["size_bytes"].as_u64().unwrap() > 9216, "{too_large}");
    let [omitted] = all("session_data_omitted")[..] else { panic!("once a minute: {log}") };
    assert_eq!((&omitted["route"], &omitted["data_bytes"]), (&"shop".into(), &8510.into()));
    for secret in ["private", "tomorrow", "xxxx", "mallory", &token] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
