//! `django.contrib.auth` on top of sessions: signing in and out, and what an app is told of the user.

use serde_json::{Value, json};

use super::site::{By, SECOND, Site, deletes, set_cookie};
use crate::support::process::Process;
use crate::support::{App, Browser, PASSWORD, TestGateway, field, ok, user};

/// Row 40, `test_extra_session_field`: who ends all others of a user ends those, and none that is the user's no more.
#[test]
fn a_session_is_its_users_from_sign_in_to_sign_out() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitors = [site.visitor(), site.visitor(), site.visitor(), site.visitor()];
        let [here, there, bobs, before] = &mut visitors;
        here.does("login ann");
        there.does("login ann");
        bobs.does("login ann");
        bobs.does("login bob");
        before.does("login ann");
        before.does("flush and set");
        here.does("password changed");
        assert_eq!([here.user(), there.user(), bobs.user()], [Some("ann".into()), None, Some("bob".into())]);
        assert_eq!(before.data(), json!({ "cat": "new" }));
    }
}

/// Row 68, `test_session_key_flushed_on_login`: by the app, and at the gateway's own form.
#[test]
fn signing_in_as_another_user_begins_an_empty_session() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("login ann");
        visitor.does("set");
        let id = visitor.id();
        visitor.does("login bob");
        assert_ne!(visitor.id(), id);
        assert_eq!((visitor.data(), visitor.user()), (json!({}), Some("bob".into())));
        visitor.does("set");
        let id = visitor.id();
        visitor.browser.sign_in("ann", PASSWORD);
        assert_ne!(visitor.id(), id);
        assert_eq!((visitor.data(), visitor.user()), (json!({}), Some("ann".into())));
    }
}

/// `login()` calls `cycle_key()` when nobody was signed in: the cart stays, and the old id is worth nothing.
#[test]
fn signing_in_keeps_anonymous_data_under_a_new_id() {
    for by in By::BOTH {
        let site = Site::new(by);
        let (mut by_app, mut by_form) = (site.visitor(), site.visitor());
        by_app.does("set");
        by_form.does("set");
        let before = [by_app.id(), by_form.id()];
        by_app.does("login ann");
        by_form.browser.sign_in("ann", PASSWORD);
        for (visitor, before) in [&mut by_app, &mut by_form].into_iter().zip(before) {
            assert_ne!(visitor.id(), before);
            assert_eq!((visitor.data(), visitor.user()), (json!({ "cat": "dog" }), Some("ann".into())));
            let mut old = site.holder_of(&before);
            assert_eq!((old.data(), old.user()), (json!({}), None));
        }
    }
}

/// Row 69, `test_session_key_flushed_on_login_after_password_change`: an app may name the same user with every answer.
/// Deviation: whoever proves to the gateway's own form who they are gets a new id, also the same user.
#[test]
fn the_same_user_keeps_the_id_when_the_app_says_so_and_gets_a_new_one_from_the_form() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("login ann");
        visitor.does("set");
        let id = visitor.id();
        assert_eq!(set_cookie(&visitor.does("login ann")), None);
        assert_eq!((visitor.id(), visitor.data()), (id.clone(), json!({ "cat": "dog" })));
        visitor.browser.sign_in("ann", PASSWORD);
        assert_ne!(visitor.id(), id);
        assert_eq!(visitor.data(), json!({ "cat": "dog" }));
    }
}

/// Row 71, `test_user_password_change_updates_session` (#21649).
#[test]
fn after_a_change_of_password_this_session_goes_on_under_a_new_id_and_the_others_end() {
    for by in By::BOTH {
        let site = Site::new(by);
        let (mut here, mut there) = (site.visitor(), site.visitor());
        for visitor in [&mut here, &mut there] {
            visitor.does("login ann");
            visitor.does("set");
        }
        let id = here.id();
        here.does("password changed");
        assert_ne!(here.id(), id);
        assert_eq!((here.user(), here.data()), (Some("ann".into()), json!({ "cat": "dog" })));
        assert_eq!((there.user(), there.data()), (None, json!({})));
        assert_eq!(site.holder_of(&id).user(), None, "whoever has stolen the old id has nothing");
    }
}

/// Row 72, `test_login_csrf_rotate`.
#[test]
fn a_form_token_from_before_signing_in_does_not_work_after_it() {
    let site = Site::new(By::Header);
    let mut browser = site.visitor().browser;
    let before = field(&browser.get("/.session/login"), "csrf").unwrap();
    let mut submit = |csrf: &str| {
        browser.post("/.session/login", &[("csrf", csrf), ("username", "ann"), ("password", PASSWORD)]).status
    };
    assert_eq!((submit(&before), submit(&before)), (303, 403));
    let after = field(&browser.get("/.session/login"), "csrf").unwrap();
    let fields = [("csrf", &*after), ("username", "ann"), ("password", PASSWORD)];
    assert_eq!(browser.post("/.session/login", &fields).status, 303);
}

/// Row 73, `test_logout_default`, `test_logout_with_post`.
#[test]
fn signing_out_of_the_app_leaves_nobody_signed_in() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("login ann");
        let id = visitor.id();
        assert!(deletes(&visitor.does("flush")));
        assert_eq!((visitor.user(), site.holder_of(&id).user()), (None, None));
        assert_eq!(site.holder_of(&id).browser.get("/private").status, 302);
    }
}

/// Row 78, `test_public_paths`, `test_protected_paths`, `test_get_login_url_*`, `test_get_redirect_field_name_*`.
#[test]
fn protected_paths_lead_people_to_the_sign_in_page_and_tell_programs() {
    let site = Site::new(By::Header);
    let mut browser = site.visitor().browser;
    assert_eq!(browser.get("/plain").status, 200);
    let answer = browser.get("/private/a?b=1");
    assert_eq!((answer.status, answer.header("location")), (302, Some("/.session/login?rd=/private/a%3Fb%3D1")));
    let answer = browser.fetch("/private");
    assert_eq!((answer.status, &answer.json()["login_url"]), (401, &json!("/.session/login")));
    browser.sign_in("ann", PASSWORD);
    assert_eq!((browser.get("/private").status, browser.get("/plain").status), (200, 200));
}

/// Row 82, `test_get_user_anonymous`.
#[test]
fn of_a_visitor_nobody_knows_no_user_is_told() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        assert_eq!(visitor.user(), None);
        visitor.does("set");
        visitor.reads();
        let seen = site.app.last();
        for name in ["remote-user", "remote-name", "remote-email", "remote-groups"] {
            assert_eq!(seen.all(name), [""; 0], "a session without a user: {name}");
        }
    }
}

/// Row 83, `test_user_login`, `test_inactive_user`, `test_without_user`.
#[test]
fn a_user_is_an_opaque_text_and_who_has_no_account_or_no_leave_is_not_signed_in() {
    let site = Site::new(By::Header);
    for name in ["42", "0042", "1e3", "true", "null", "-1", "a b@c:d/e", "Ann"] {
        let mut visitor = site.visitor();
        visitor.is_answered(&[&format!("Session-User: {name}")]);
        assert_eq!(visitor.user().as_deref(), Some(name));
    }
    let app = App::answering(ok("x"));
    let disabled = user("ann", "wiki").replacen('{', "{ disabled: true,", 1);
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\nlogin: {{ form: {{ users: [{disabled}, {}] }} }}",
        app.address,
        user("bob", "wiki")
    ));
    for (name, status) in [("ann", 401), ("eve", 401), ("", 401), ("bob", 303)] {
        assert_eq!(gateway.browser().sign_in(name, PASSWORD).status, status, "{name}");
    }
}

/// Row 84, `test_login`, `test_logout`, `test_logout_anonymous`, and the one event of row 86. Deviation: where nobody
/// was signed in nothing happens, so nothing is reported.
#[test]
fn signing_in_and_out_are_one_event_each() {
    let app = App::answering(ok("x"));
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!(
        "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nworkers: 1\n\
         session: {{ cookie: {{ secure: auto }} }}\nlogin: {{ form: {{ users: [{}] }} }}\n\
         routes: [{{ upstream: 'http://{}' }}]\n",
        user("ann", "wiki"),
        app.address
    );
    let process = Process::start(dir.path(), &yaml, 1, &[]);
    let mut browser = Browser::at(process.addresses()[0]);
    browser.sign_in("ann", PASSWORD);
    for _ in 0..5 {
        assert_eq!(browser.get("/").status, 200);
    }
    browser.sign_out();
    let origin = format!("http://{}", browser.host);
    for _ in 0..2 {
        assert_eq!(browser.post_from(&origin, "/.session/logout", &[]).status, 200);
    }
    let (_, log) = process.terminate();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for name in ["signed_in", "signed_out"] {
        let events: Vec<_> = lines.iter().filter(|line| line["event"] == name).collect();
        assert!(events.len() == 1 && events[0]["user"] == "ann", "{name}: {events:?}");
    }
}

/// Row 85, `test_no_remote_user`, `test_passing_explicit_none`; `identity_headers` has every spelling (CVE-2014-0482).
#[test]
fn a_client_that_names_itself_is_not_believed() {
    let site = Site::new(By::Header);
    let mut visitor = site.visitor();
    for name in ["Remote-User", "REMOTE_USER", "remote_user", "Remote.User"] {
        visitor.browser.request("GET", "/read", &[(name, "eve"), ("Session-User", "eve")], b"");
        assert!(!site.app.last().head.contains("eve"), "{name}");
    }
}

/// Row 86, `test_known_user`, `test_last_login`: the one event is row 84's.
#[test]
fn every_request_of_a_signed_in_session_names_the_user() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("login ann");
        for path in ["/plain", "/private", "/read", "/header", "/rule/none"] {
            for method in ["GET", "HEAD", "POST", "DELETE"] {
                visitor.browser.request(method, path, &[], b"");
                assert_eq!(site.app.last().header("remote-user"), Some("ann"), "{method} {path}");
            }
        }
    }
}

/// Row 87, `test_header_disappears`.
#[test]
fn the_request_after_a_session_has_ended_names_nobody() {
    for by in By::BOTH {
        let site = Site::new(by);
        for ending in ["flush", "expire in the past", "password changed", "expire in 10 s"] {
            let (mut here, mut there) = (site.visitor(), site.visitor());
            here.does("login ann");
            there.does("login ann");
            // This one ends the sessions of the user's other browsers.
            let ends = if ending == "password changed" { &mut there } else { &mut here };
            ends.does(ending);
            if ending == "expire in 10 s" {
                assert_eq!(here.user().as_deref(), Some("ann"));
                site.gateway.advance(SECOND * 10);
            }
            here.browser.get("/plain");
            assert_eq!(site.app.last().header("remote-user"), None, "{ending}");
        }
    }
}

/// Row 88, `test_user_switch_forces_new_login`.
#[test]
fn another_user_under_one_id_is_another_session() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("login ann");
        let (id, handle) = (visitor.id(), visitor.told("session-handle"));
        visitor.does("login bob");
        assert!(visitor.id() != id && visitor.told("session-handle") != handle);
        assert_eq!((visitor.user().as_deref(), site.holder_of(&id).user()), (Some("bob"), None));
    }
}
