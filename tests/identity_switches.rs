//! Who a session belongs to: sign-in over sign-in, by the form, by the app, and what the users file does to it.
//!
//! Towards the app this is Django's remote-user contract: a header with every request of a session that is
//! signed in, and none with the next one after it is not.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::support::process::write;
use crate::support::{App, Browser, PASSWORD, Seen, TestGateway, field, forgets, hash, issued, until, user};

struct Fixture {
    app: App,
    gateway: TestGateway,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

/// `ann` and `bob`, from a file; everybody may ask, so that the app tells what it was told.
fn fixture() -> Fixture {
    let app = App::obeying();
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "users.yaml", &list(&[user("ann", "wiki"), user("bob", "wiki")]));
    let gateway = TestGateway::with_config(&format!(
        "login: {{ form: {{ users_file: '{}' }}, regulation: {{ max_retries: 0 }} }}\nroutes:\n\
         \x20 - {{ access: public, session_headers: read_write, upstream: 'http://{1}' }}\n\
         \x20 - {{ path: /private, upstream: 'http://{1}' }}",
        file.display(),
        app.address
    ));
    Fixture { app, gateway, file, _dir: dir }
}

fn list(users: &[String]) -> String {
    users.iter().map(|user| format!("- {user}\n")).collect()
}

impl Fixture {
    /// The app's view of the browser's next request.
    fn seen(&self, browser: &mut Browser) -> Seen {
        assert_eq!(browser.get("/").status, 200);
        self.app.last()
    }

    fn user(&self, browser: &mut Browser) -> Option<String> {
        self.seen(browser).header("remote-user").map(str::to_owned)
    }

    fn replace(&self, users: &[String]) {
        let new = self.file.with_extension("new");
        fs::write(&new, list(users)).unwrap();
        fs::rename(new, &self.file).unwrap();
    }
}

#[test]
fn a_visitor_who_signs_in_keeps_the_data_under_a_new_id() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    browser.answered("/", &["Session-Set: {\"cart\": 1}"]);
    let anonymous = browser.session_id().unwrap();
    browser.sign_in("ann", PASSWORD);
    assert_ne!(browser.session_id().unwrap(), anonymous);
    let seen = fixture.seen(&mut browser);
    assert_eq!((seen.header("remote-user"), seen.session_data()), (Some("ann"), json!({"cart": 1})));
}

#[test]
fn the_same_user_who_signs_in_again_keeps_the_data_under_a_new_id() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"cart\": 1}"]);
    let first = browser.session_id().unwrap();
    browser.sign_in("Ann", PASSWORD);
    assert_ne!(browser.session_id().unwrap(), first);
    let seen = fixture.seen(&mut browser);
    assert_eq!((seen.header("remote-user"), seen.session_data()), (Some("ann"), json!({"cart": 1})));
    assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &first)), None);
}

#[test]
fn another_user_who_signs_in_finds_nothing_of_the_first() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    let lines = ["Session-Set: {\"cart\": 1}", "Session-Flash: {\"secret\": 1}", "Session-Expiry: 600"];
    browser.answered("/", &lines);
    let first = browser.session_id().unwrap();
    assert_eq!(browser.sign_in("bob", PASSWORD).status, 303);
    assert_ne!(browser.session_id().unwrap(), first);
    let seen = fixture.seen(&mut browser);
    assert_eq!((seen.header("remote-user"), seen.session_data()), (Some("bob"), json!({})));
    assert_eq!(seen.header("session-expires-in"), Some("86400"));
    assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &first)), None);
}

#[test]
fn a_failed_sign_in_changes_nothing() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"cart\": 1}"]);
    let id = browser.session_id();
    assert_eq!(browser.sign_in("bob", "wrong").status, 401);
    let seen = fixture.seen(&mut browser);
    assert_eq!((seen.header("remote-user"), seen.session_data()), (Some("ann"), json!({"cart": 1})));
    assert_eq!(browser.session_id(), id);
}

#[test]
fn a_form_token_from_before_a_sign_in_is_worth_nothing_after_it() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    let token = field(&browser.get("/.session/login"), "csrf").unwrap();
    browser.sign_in("ann", PASSWORD);
    let form = [("csrf", &*token), ("username", "bob"), ("password", PASSWORD)];
    assert_eq!(browser.post("/.session/login", &form).status, 403);
    assert_eq!(fixture.user(&mut browser).as_deref(), Some("ann"));
}

#[test]
fn an_app_signs_in_and_out_by_its_own_word() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    browser.answered("/", &["Session-Set: {\"cart\": 1}"]);
    let anonymous = browser.session_id().unwrap();
    let answer = browser.answered("/", &["Session-User: alice"]);
    assert_ne!(issued(&answer).unwrap(), anonymous);
    let seen = fixture.seen(&mut browser);
    assert_eq!((seen.header("remote-user"), seen.session_data()), (Some("alice"), json!({"cart": 1})));
    assert_eq!(browser.get("/private").status, 200, "it counts on every route");
    assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &anonymous)), None);
    let id = browser.session_id().unwrap();
    assert!(forgets(&browser.answered("/", &["Session-User:"])), "an empty name signs out");
    assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &id)), None);
}

#[test]
fn an_app_that_signs_in_another_user_flushes_what_was_the_firsts() {
    let fixture = fixture();
    for first in ["form", "app"] {
        let mut browser = fixture.gateway.browser();
        match first {
            "form" => browser.sign_in("ann", PASSWORD),
            _ => browser.answered("/", &["Session-User: ann"]),
        };
        browser.answered("/", &["Session-Set: {\"cart\": 1}"]);
        let id = browser.session_id().unwrap();
        let answer = browser.answered("/", &["Session-User: alice", "Session-Set: {\"hers\": 1}"]);
        assert_ne!(issued(&answer).unwrap(), id);
        let seen = fixture.seen(&mut browser);
        assert_eq!((seen.header("remote-user"), seen.session_data()), (Some("alice"), json!({"hers": 1})), "{first}");
    }
}

/// Many apps name their user with every answer.
#[test]
fn an_app_that_repeats_who_it_is_gives_no_new_id() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    let lines = ["Session-User: alice", "Session-Name: Alice", "Session-Groups: a,b"];
    assert!(issued(&browser.answered("/", &lines)).is_some());
    let id = browser.session_id();
    for _ in 0..5 {
        fixture.gateway.advance(Duration::from_secs(30));
        assert_eq!(browser.answered("/", &lines).all("set-cookie"), [""; 0]);
    }
    assert_eq!(browser.session_id(), id);
    // With something else to write, the cookie is renewed, and the id is not.
    browser.answered("/", &[&lines[..], &["Session-Increment: {\"n\": 1}"]].concat());
    assert_eq!((browser.session_id(), fixture.seen(&mut browser).session_data()), (id, json!({"n": 1})));
}

/// More rights, or less: whoever knew the id before must not have them.
#[test]
fn a_change_of_groups_by_the_app_gives_a_new_id_and_keeps_the_data() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    browser.answered("/", &["Session-User: alice", "Session-Groups: a", "Session-Set: {\"cart\": 1}"]);
    for groups in ["a,admin", "admin"] {
        let old = browser.session_id().unwrap();
        let answer = browser.answered("/", &["Session-User: alice", &format!("Session-Groups: {groups}")]);
        assert_ne!(issued(&answer).expect("a new id"), old);
        let seen = fixture.seen(&mut browser);
        assert_eq!((seen.header("remote-groups"), seen.session_data()), (Some(groups), json!({"cart": 1})));
        assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &old)), None);
    }
}

/// The app vouches for whom it names: no users file has a say.
#[test]
fn a_user_of_the_app_needs_no_account_of_the_gateways() {
    let fixture = fixture();
    let mut browser = fixture.gateway.browser();
    browser.answered("/", &["Session-User: nobody-knows"]);
    fixture.replace(&[user("bob", "wiki"), user("eve", "wiki")]);
    until(|| fixture.gateway.browser().sign_in("eve", PASSWORD).status == 303);
    assert_eq!(fixture.user(&mut browser).as_deref(), Some("nobody-knows"));
}

#[test]
fn a_user_who_is_disabled_is_anonymous_with_the_next_request() {
    let fixture = fixture();
    let (mut ann, mut bob) = (fixture.gateway.signed_in("ann"), fixture.gateway.signed_in("bob"));
    ann.answered("/", &["Session-Set: {\"cart\": 1}"]);
    let id = ann.session_id().unwrap();
    fixture.replace(&[user("ann", "wiki").replacen('{', "{ disabled: true,", 1), user("bob", "wiki")]);
    until(|| fixture.user(&mut Browser::holding(fixture.gateway.address(), &id)).is_none());
    let answer = ann.get("/");
    assert_eq!((answer.status, forgets(&answer)), (200, true));
    assert_eq!(fixture.app.last().session_data(), json!({}), "the data has gone with the session");
    assert_eq!(ann.get("/private").status, 302);
    assert_eq!(fixture.user(&mut bob).as_deref(), Some("bob"));
}

/// Django ends every session whose password hash is another one (`get_session_auth_hash`).
#[test]
fn a_changed_password_ends_every_session_of_the_user_and_the_next_sign_in_has_a_new_id() {
    let fixture = fixture();
    let mut anns = [(); 3].map(|()| fixture.gateway.signed_in("ann"));
    let mut bob = fixture.gateway.signed_in("bob");
    let ids = anns.each_ref().map(|browser| browser.session_id().unwrap());
    let other = user("ann", "wiki").replace(&hash(), &bcrypt::hash("another one", 4).unwrap());
    fixture.replace(&[other, user("bob", "wiki")]);
    until(|| anns[0].fetch("/private").status == 401);
    assert_eq!(anns.each_mut().map(|browser| fixture.user(browser)), [None, None, None]);
    assert_eq!(fixture.user(&mut bob).as_deref(), Some("bob"));
    let [this, ..] = &mut anns;
    assert_eq!(this.sign_in("ann", "another one").status, 303);
    assert!(!ids.contains(&this.session_id().unwrap()));
    assert_eq!(fixture.user(this).as_deref(), Some("ann"));
    for id in &ids {
        assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), id)), None);
    }
}

/// On one connection, as a browser asks: with each request of the session, and with none after it.
#[test]
fn the_user_is_named_with_every_request_until_the_very_next_one_after_sign_out() {
    let fixture = fixture();
    let mut browser = fixture.gateway.signed_in("ann");
    let id = browser.session_id().unwrap();
    let mut client = fixture.gateway.connect();
    let mut ask = |count: usize, expected: Option<&str>| {
        for _ in 0..count {
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: sessionid={id}\r\n\r\n"));
            assert_eq!(client.response().status, 200);
            let seen = fixture.app.last();
            let told = ["remote-user", "remote-name", "remote-email", "remote-groups"].map(|name| seen.header(name));
            let all = expected.map(|user| [user, "ann Example", "ann@example.com", "wiki"].map(Some));
            assert_eq!(told, all.unwrap_or_default());
        }
    };
    ask(50, Some("ann"));
    browser.sign_out();
    ask(3, None);
}

#[test]
fn nobody_is_named_with_the_very_next_request_after_every_other_end() {
    let fixture = fixture();
    type End = fn(&Fixture, &mut Browser);
    let ends: [(&str, End); 6] = [
        ("the app flushes", |_, browser| drop(browser.answered("/", &["Session-Flush: true"]))),
        ("the app signs out", |_, browser| drop(browser.answered("/", &["Session-User:"]))),
        ("another session revokes", |fixture, _| {
            fixture.gateway.signed_in("ann").answered("/", &["Session-Revoke-Others: true"]);
        }),
        ("its moment has come", |fixture, browser| {
            browser.answered("/", &["Session-Expiry: 60"]);
            fixture.gateway.advance(Duration::from_secs(60));
        }),
        ("nobody used it", |fixture, _| fixture.gateway.advance(Duration::from_secs(86_400))),
        ("it is old", |fixture, browser| {
            for _ in 0..14 * 2 {
                fixture.gateway.advance(Duration::from_secs(43_200));
                browser.get("/");
            }
        }),
    ];
    for (how, end) in ends {
        let mut browser = fixture.gateway.signed_in("ann");
        assert_eq!(fixture.user(&mut browser).as_deref(), Some("ann"), "{how}");
        let id = browser.session_id().unwrap();
        end(&fixture, &mut browser);
        let last = browser.session_id().unwrap_or_else(|| id.clone());
        for id in [id, last] {
            assert_eq!(fixture.user(&mut Browser::holding(fixture.gateway.address(), &id)), None, "{how}");
        }
    }
}
