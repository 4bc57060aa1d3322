//! The session cookie: attributes on set and delete, its names, when it is renewed, and when a session begins.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{App, Browser, PASSWORD, Response, TestGateway, issued};

const MINUTE: Duration = Duration::from_secs(60);

fn fixture(session: &str) -> (App, TestGateway) {
    let app = App::obeying();
    let gateway = TestGateway::with_config(&format!(
        "trusted_proxies: [127.0.0.1]\nsession: {{ {session} }}\nroutes:\n\
         \x20 - {{ access: public, session_headers: read_write, upstream: 'http://{0}' }}\n\
         \x20 - {{ path: /private, upstream: 'http://{0}' }}",
        app.address
    ));
    (app, gateway)
}

/// Attributes but those of its life, by lower-case name.
fn attributes(line: &str) -> BTreeMap<String, String> {
    let parts = line.split(';').skip(1).map(|part| part.trim().split_once('=').unwrap_or((part.trim(), "")));
    let all = parts.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    all.filter(|(name, _)| !matches!(name.as_str(), "max-age" | "expires")).collect()
}

fn line<'r>(answer: &'r Response, name: &str) -> &'r str {
    let start = format!("{name}=");
    let lines: Vec<&str> = answer.all("set-cookie").into_iter().filter(|line| line.starts_with(&start)).collect();
    assert_eq!(lines.len(), 1, "{name} in {:?}", answer.headers);
    lines[0]
}

fn is_deletion(line: &str) -> bool {
    line.split(';').next().unwrap().ends_with('=')
        && line.contains("Max-Age=0")
        && line.contains("Expires=Thu, 01 Jan 1970")
}

#[test]
fn every_attribute_is_on_the_line_that_sets_and_on_every_line_that_deletes() {
    let cases: [(&str, &[(&str, &str)]); 6] = [
        ("secure: false", &[("httponly", ""), ("samesite", "Lax"), ("path", "/")]),
        ("secure: true, same_site: strict", &[("httponly", ""), ("samesite", "Strict"), ("path", "/"), ("secure", "")]),
        ("secure: false, http_only: false", &[("samesite", "Lax"), ("path", "/")]),
        (
            "same_site: none, partitioned: true",
            &[("httponly", ""), ("samesite", "None"), ("path", "/"), ("secure", ""), ("partitioned", "")],
        ),
        (
            "name: __Secure-s, domain: example.com",
            &[("httponly", ""), ("samesite", "Lax"), ("path", "/"), ("secure", ""), ("domain", "example.com")],
        ),
        ("name: __Host-s, persistent: false", &[("httponly", ""), ("samesite", "Lax"), ("path", "/"), ("secure", "")]),
    ];
    for (cookie, expected) in cases {
        let app = App::obeying();
        let gateway = TestGateway::with_config(&format!(
            "session: {{ cookie: {{ {cookie} }} }}\nroutes: [{{ host: '*.example.com', access: public, \
             session_headers: read_write, upstream: 'http://{}' }}]",
            app.address
        ));
        let name = cookie.strip_prefix("name: ").map_or("sessionid", |rest| rest.split(',').next().unwrap());
        let expected: BTreeMap<String, String> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let browser = || {
            let mut browser = gateway.browser();
            browser.host = "wiki.example.com".into();
            browser
        };
        let mut ann = browser();
        for answer in
            [ann.get("/.session/login"), ann.sign_in("ann", PASSWORD), ann.answered("/", &["Session-Rotate: true"])]
        {
            assert_eq!(attributes(line(&answer, name)), expected, "{cookie}");
            assert_eq!(line(&answer, name).contains("Max-Age"), !cookie.contains("persistent: false"), "{cookie}");
        }
        let mut stranger = browser();
        stranger.jar.insert(name.into(), "a".repeat(32));
        let mut flushed = browser();
        flushed.answered("/", &["Session-Set: {\"a\": 1}"]);
        let deletions = [ann.sign_out(), stranger.get("/"), flushed.answered("/", &["Session-Flush: true"])];
        for answer in &deletions {
            let line = line(answer, name);
            assert!(is_deletion(line), "{line}");
            assert_eq!(attributes(line), expected, "{cookie}");
        }
    }
}

#[test]
fn secure_auto_is_what_the_browsers_connection_is_on_set_and_delete() {
    let (_app, gateway) = fixture("cookie: { secure: auto }");
    for (scheme, secure) in [("https", true), ("http", false)] {
        let mut browser = gateway.browser();
        let forwarded = |line: &'static str| [("X-Forwarded-Proto", scheme), ("X-Answer", line)];
        let set = browser.request("GET", "/", &forwarded("Session-Set: {\"a\": 1}"), b"");
        let deleted = browser.request("GET", "/", &forwarded("Session-Flush: true"), b"");
        for answer in [set, deleted] {
            assert_eq!(attributes(line(&answer, "sessionid")).contains_key("secure"), secure, "{scheme}");
        }
    }
}

#[test]
fn save_every_request_renews_cookie_and_expiry_with_each_answer() {
    let (app, gateway) = fixture("save_every_request: true, rotate_every: null, cookie: { secure: auto }");
    let mut browser = gateway.signed_in("ann");
    let id = browser.session_id();
    for minutes in 1..4_u64 {
        gateway.advance(MINUTE);
        let answer = browser.get("/");
        assert_eq!(issued(&answer), id, "the same id");
        let age = format!("Max-Age={}", 14 * 86_400 - minutes * 60);
        assert!(answer.header("set-cookie").unwrap().contains(&age), "{:?}", answer.headers);
        assert_eq!((answer.header("cache-control"), answer.header("vary")), (Some("no-store"), Some("Cookie")));
    }
    gateway.advance(Duration::from_secs(1));
    browser.get("/");
    browser.get("/");
    assert_eq!(app.last().header("session-expires-in"), Some("86400"), "the throttle of touches does not apply");
}

#[test]
fn save_every_request_saves_nothing_for_who_has_no_session() {
    let (_app, gateway) = fixture("save_every_request: true, cookie: { secure: auto }");
    assert_eq!(gateway.browser().get("/").all("set-cookie"), [""; 0]);
    let mut stranger = Browser::holding(gateway.address(), &"a".repeat(32));
    assert!(is_deletion(line(&stranger.get("/"), "sessionid")), "an unknown id is not adopted");
}

/// Polling is no saving either.
#[test]
fn save_every_request_leaves_out_what_is_no_activity() {
    let (_app, gateway) = fixture("save_every_request: true, cookie: { secure: auto }");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.fetch("/.session/me").all("set-cookie"), [""; 0]);
}

#[test]
fn without_it_a_cookie_is_set_when_something_changes_and_only_then() {
    let (_app, gateway) = fixture("cookie: { secure: auto }");
    let mut browser = gateway.signed_in("ann");
    for _ in 0..3 {
        gateway.advance(MINUTE);
        let answer = browser.get("/");
        assert_eq!((answer.all("set-cookie").len(), answer.header("cache-control")), (0, None));
        assert_eq!(answer.header("vary"), Some("Cookie"), "the app reads the session");
    }
}

#[test]
fn create_always_begins_a_session_with_the_first_request_and_keeps_to_it() {
    let (app, gateway) = fixture("create: always, cookie: { secure: auto }");
    let mut browser = gateway.browser();
    let first = browser.get("/");
    assert!(issued(&first).is_some());
    assert_eq!(first.header("cache-control"), Some("no-store"));
    assert_eq!(browser.get("/").all("set-cookie"), [""; 0]);
    assert!(app.last().header("session-handle").is_some(), "the app knows it by name");
    let id = browser.session_id().unwrap();
    browser.sign_in("ann", PASSWORD);
    assert_ne!(browser.session_id().unwrap(), id);
    assert_eq!(browser.get("/private").status, 200);
}

/// Also where the app fails, and where nobody is let in.
#[test]
fn create_always_begins_one_whatever_the_answer_is() {
    let (_app, gateway) = fixture("create: always, cookie: { secure: auto }");
    assert!(issued(&gateway.browser().answered("/", &["Status: 500"])).is_some());
    assert!(issued(&gateway.browser().get("/private")).is_some());
}

/// The cookie gets another name; nobody notices.
#[test]
fn a_previous_name_is_read_and_answered_with_the_new_name_and_its_own_deletion() {
    let (app, gateway) = fixture("cookie: { name: new, previous_names: [sessionid, older], secure: auto }");
    let mut browser = gateway.browser();
    browser.sign_in("ann", PASSWORD);
    let id = browser.jar["new"].clone();
    for old in ["sessionid", "older"] {
        let mut browser = gateway.browser();
        browser.jar.insert(old.into(), id.clone());
        browser.jar.insert("other".into(), "1".into());
        let answer = browser.get("/private");
        assert_eq!((answer.status, app.last().header("remote-user")), (200, Some("ann")));
        assert!(line(&answer, "new").starts_with(&format!("new={id};")), "the same session");
        assert!(is_deletion(line(&answer, "sessionid")) && is_deletion(line(&answer, "older")));
        assert_eq!(attributes(line(&answer, old)), attributes(line(&answer, "new")));
        assert_eq!(app.last().header("cookie"), Some("other=1"), "the app sees neither name");
        assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["new", "other"]);
        assert_eq!(browser.get("/private").all("set-cookie"), [""; 0], "once");
        assert_eq!(app.last().header("cookie"), Some("other=1"));
    }
}

#[test]
fn signing_out_under_a_previous_name_takes_every_name_away() {
    let (_app, gateway) = fixture("cookie: { name: new, previous_names: [sessionid], secure: auto }");
    let mut browser = gateway.browser();
    browser.sign_in("ann", PASSWORD);
    let id = browser.jar.remove("new").unwrap();
    browser.jar.insert("sessionid".into(), id.clone());
    let answer = browser.answered("/", &["Session-Flush: true"]);
    assert!(is_deletion(line(&answer, "new")) && is_deletion(line(&answer, "sessionid")));
    browser.jar.insert("new".into(), id);
    assert_eq!(browser.get("/private").status, 302);
}

/// The new name wins; what is left under the old one disturbs nobody.
#[test]
fn a_dead_id_under_a_previous_name_does_not_hide_the_living_one() {
    let (app, gateway) = fixture("cookie: { name: new, previous_names: [sessionid], secure: auto }");
    let mut browser = gateway.browser();
    browser.sign_in("ann", PASSWORD);
    browser.jar.insert("sessionid".into(), "a".repeat(32));
    assert_eq!((browser.get("/private").status, app.last().header("remote-user")), (200, Some("ann")));
    let living = browser.jar.remove("new").unwrap();
    browser.jar.insert("new".into(), "b".repeat(32));
    browser.jar.insert("sessionid".into(), living);
    assert_eq!(browser.get("/private").status, 200);
    assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["new"]);
}

/// An app may not plant what the gateway reads.
#[test]
fn an_app_can_set_no_cookie_of_a_previous_name() {
    let (_app, gateway) = fixture("cookie: { name: new, previous_names: [sessionid], secure: auto }");
    let answer =
        gateway.browser().answered("/", &["Set-Cookie: sessionid=planted", "Set-Cookie: new=x", "Set-Cookie: a=1"]);
    assert_eq!(answer.all("set-cookie"), ["a=1"]);
}
