//! Ids: which are believed, when they change, and that nothing is created for one we did not issue.

use serde_json::json;

use super::site::{By, SECOND, Site, deletes, set_cookie};

/// As long as the configuration says that a replaced id works: `rotation_grace`.
const GRACE: u32 = 30;

/// Row 13, `test_delete`: from elsewhere, such as the user's other browser.
#[test]
fn a_session_that_was_ended_from_elsewhere_is_anonymous_and_its_cookie_is_deleted() {
    for by in By::BOTH {
        let site = Site::new(by);
        let (mut here, mut there) = (site.visitor(), site.visitor());
        here.does("login ann");
        there.does("login ann");
        there.does("password changed");
        assert!(deletes(&here.reads()));
        assert_eq!((here.data(), here.user()), (json!({}), None));
    }
}

/// Row 14, `test_flush`.
#[test]
fn flushing_deletes_the_cookie_and_the_old_id_is_nobodys() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let id = visitor.id();
        assert!(deletes(&visitor.does("flush")));
        let mut replay = site.holder_of(&id);
        assert_eq!(replay.data(), json!({}));
        assert!(!replay.has_session());
    }
}

/// Django's `flush()` followed by a write.
#[test]
fn what_is_set_after_a_flush_begins_another_session() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set both");
        let (id, handle) = (visitor.id(), visitor.told("session-handle"));
        visitor.does("flush and set");
        assert!(visitor.id() != id && visitor.told("session-handle") != handle);
        assert_eq!(visitor.data(), json!({ "cat": "new" }));
        assert!(!site.holder_of(&id).has_session());
    }
}

/// Row 15, `test_cycle`. Deviation: Django deletes the old id at once, which signs out whoever sends two requests in
/// parallel. Here it works until the new one has been used for `rotation_grace`. After that it is theft.
#[test]
fn rotating_gives_a_new_id_with_the_same_data_and_the_old_one_ends_after_its_grace() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let old = visitor.id();
        visitor.does("rotate");
        let new = visitor.id();
        assert!(old != new && visitor.data() == json!({ "cat": "dog" }));
        site.gateway.advance(SECOND * (GRACE - 1));
        assert_eq!(site.holder_of(&old).data(), json!({ "cat": "dog" }));
        site.gateway.advance(SECOND);
        assert!(deletes(&site.holder_of(&old).reads()));
        assert!(!site.holder_of(&new).has_session(), "nobody knows who of the two is the thief");
    }
}

/// Weakness 2 of Django's: after `cycle_key` and an error the browser holds an id that is gone.
#[test]
fn rotating_in_an_answer_that_fails_keeps_the_session_under_its_id() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let id = visitor.id();
        assert_eq!(set_cookie(&visitor.does_and_fails("rotate", 500)), None);
        assert_eq!((visitor.data(), visitor.id()), (json!({ "cat": "dog" }), id));
    }
}

fn begins_with(by: By, planted: &str) -> String {
    let site = Site::new(by);
    let mut visitor = site.holder_of(planted);
    visitor.does("set");
    let id = visitor.id();
    assert_eq!(visitor.data(), json!({ "cat": "dog" }));
    assert!(!site.holder_of(planted).has_session());
    id
}

/// Row 18, `test_invalid_key`.
#[test]
fn a_write_under_an_invalid_id_gets_a_fresh_one() {
    for by in By::BOTH {
        let id = begins_with(by, "1");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{id}");
    }
}

/// Row 19, `test_session_key_empty_string_invalid` (CVE-2015-3982): no two visitors share a session without a name.
#[test]
fn an_empty_id_is_deleted_and_never_shared() {
    for by in By::BOTH {
        let site = Site::new(by);
        assert!(deletes(&site.holder_of("").browser.get("/plain")));
        let (mut one, mut two) = (site.holder_of(""), site.holder_of(""));
        one.does("set");
        assert_eq!(two.data(), json!({}));
        two.browser.jar.insert("sessionid".into(), String::new());
        two.does("set bird");
        assert_ne!(one.id(), two.id());
        assert_eq!((one.data(), two.data()), (json!({ "cat": "dog" }), json!({ "bird": 1 })));
    }
}

/// Row 20, `test_session_key_too_short_invalid`.
#[test]
fn a_short_id_is_deleted() {
    let site = Site::new(By::Header);
    for id in ["1", "1234567"] {
        assert!(deletes(&site.holder_of(id).browser.get("/plain")), "{id}");
        assert!(deletes(&site.holder_of(id).reads()), "{id}");
    }
}

/// Row 21, `test_session_key_valid_string_saved`. Deviation: Django believes eight characters and more, and adopts
/// what a caller within the app hands it; here an id is 32 characters of `a-z0-9` that we have drawn.
#[test]
fn an_id_of_another_form_is_no_id() {
    let site = Site::new(By::Header);
    for id in ["12345678", &"a".repeat(31), &"a".repeat(33), &"A".repeat(32), &"a".repeat(40)] {
        assert!(deletes(&site.holder_of(id).reads()), "{id}");
    }
    for by in By::BOTH {
        assert_ne!(begins_with(by, "12345678"), "12345678");
        assert_ne!(begins_with(by, &"a".repeat(32)), "a".repeat(32));
    }
}

/// Row 22, `test_session_key_is_read_only`.
#[test]
fn neither_the_client_nor_the_app_can_choose_an_id() {
    let site = Site::new(By::Header);
    let mut visitor = site.visitor();
    visitor.does("set");
    let (id, handle) = (visitor.id(), visitor.told("session-handle").unwrap());
    let chosen = "c".repeat(32);
    let cookie = format!("Set-Cookie: sessionid={chosen}; Path=/");
    let answer = visitor.is_answered(&[&cookie, "Session-Handle: 0123456789abcdef", "Session-Created: 0"]);
    assert_eq!(
        (set_cookie(&answer), answer.header("session-handle"), answer.header("session-created")),
        (None, None, None)
    );
    let headers = [("Session-Handle", "0123456789abcdef"), ("Session_Handle", &*chosen), ("Session-Data", "{}")];
    visitor.browser.request("GET", "/read", &headers, b"");
    assert_eq!(site.app.last().all("session-handle"), [&*handle]);
    assert_eq!(site.app.last().all("session-data"), [r#"{"cat":"dog"}"#]);
    assert_eq!(site.app.last().all("session_handle"), [""; 0]);
    assert_eq!(visitor.id(), id);
    assert!(!site.holder_of(&chosen).has_session());
}

/// Row 32, `test_session_load_does_not_create_record` (CVE-2015-5143). Deviation: Django does create rows with
/// `SESSION_SAVE_EVERY_REQUEST`. The store has room for one session, and that one stays.
#[test]
fn a_thousand_unknown_ids_create_nothing() {
    for session in ["cookie: { secure: auto }", "save_every_request: true, cookie: { secure: auto }"] {
        let bounds = "store: { type: memory, max_sessions: 1 }\nlimits: { unknown_ids_per_minute: null }";
        let site = Site::with_config(By::Header, session, bounds);
        let mut first = site.visitor();
        first.does("set");
        for id in 0..1000 {
            let path = ["/read", "/plain", "/header", "/rule/none"][id % 4];
            assert!(deletes(&site.holder_of(&format!("{id:032}")).browser.get(path)), "{path}");
        }
        assert_eq!(first.data(), json!({ "cat": "dog" }));
        site.visitor().does("set");
        assert!(!first.has_session(), "a second session would have taken its place");
    }
}

/// Row 33, `test_session_save_does_not_resurrect_session_logged_out_in_other_context`.
#[test]
fn a_slow_write_does_not_bring_back_a_session_that_was_flushed_meanwhile() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("login ann");
        let id = visitor.id();
        let slow = site.slow_beside(&mut visitor, "set", &[], |visitor| drop(visitor.does("flush")));
        assert_eq!(set_cookie(&slow), None);
        let mut replay = site.holder_of(&id);
        assert_eq!((replay.data(), replay.browser.jar.len()), (json!({}), 0));
    }
}

/// Row 34, `test_session_str`. Deviation: `str(session)` is the id in Django; the name of a session is a handle here,
/// which leads to no id. `secrecy` looks for ids in the log.
#[test]
fn the_app_is_told_a_handle_and_never_the_id() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let first = visitor.id();
        let handle = visitor.told("session-handle").unwrap();
        visitor.does("rotate");
        assert_eq!(visitor.told("session-handle"), Some(handle.clone()), "the same session");
        assert!(handle.len() == 16 && handle.bytes().all(|byte| byte.is_ascii_hexdigit()), "{handle}");
        let ids = [first, visitor.id()];
        assert!(ids.iter().all(|id| site.app.seen().iter().all(|seen| !seen.head.contains(&**id))));
        assert!(!site.holder_of(&handle).has_session());
    }
}

/// Row 43, `test_load_overlong_key`.
#[test]
fn an_overlong_id_is_no_error_of_ours() {
    let site = Site::new(By::Header);
    let answer = site.holder_of(&"a".repeat(1240)).reads();
    assert_eq!((answer.status, deletes(&answer)), (200, true));
    assert_eq!(site.holder_of(&"a".repeat(64 * 1024)).reads().status, 431);
}

/// Row 47, `test_invalid_key_backslash`, `test_invalid_key_forwardslash`: whatever the store is.
#[test]
fn an_id_that_is_a_path_leads_nowhere() {
    let site = Site::new(By::Header);
    for id in ["../../etc/passwd", "a/b/c/d/e/f", r"a\b\c\d\e\f", r"..\..\..\boot", "%2e%2e%2fetc%2fpasswd", "."] {
        let answer = site.holder_of(id).reads();
        assert_eq!((answer.status, deletes(&answer)), (200, true), "{id}");
    }
    assert_eq!(site.holder_of("a\0b").reads().status, 400);
}

/// Weakness 13 of Django's: of several cookies the last one counts, so a sibling domain's cookie takes ours away.
#[test]
fn a_second_cookie_of_our_name_does_not_hide_the_living_session() {
    let site = Site::new(By::Header);
    let (mut visitor, mut other) = (site.visitor(), site.visitor());
    visitor.does("set");
    other.does("set bird");
    let both = |first: &str, second: &str| {
        let mut visitor = site.visitor();
        let cookies = format!("sessionid={first}; sessionid={second}");
        let answer = visitor.browser.request("GET", "/read", &[("Cookie", &cookies)], b"");
        (set_cookie(&answer).is_some(), site.app.last().header("session-data").unwrap().to_owned())
    };
    let (id, unknown) = (visitor.id(), "b".repeat(32));
    for (first, second) in [(&id, &unknown), (&unknown, &id)] {
        assert_eq!(both(first, second), (false, r#"{"cat":"dog"}"#.into()));
    }
    assert_eq!(both(&id, &other.id()), (true, "{}".into()), "one of two living ones was planted: neither counts");
}
