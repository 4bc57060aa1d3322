//! Values: kept, told, removed; and what that does to the cookie.

use serde_json::json;

use super::site::{By, Site, max_age, set_cookie, varies_by_cookie};

/// Row 1, `test_new_session`: nothing is created, sent or varied by where nothing is asked of the session.
#[test]
fn a_visit_that_does_nothing_to_the_session_leaves_no_trace() {
    let site = Site::new(By::Header);
    let answer = site.visitor().browser.get("/plain");
    assert_eq!((answer.status, set_cookie(&answer), answer.header("vary")), (200, None, None));
    assert_eq!(site.app.last().header("session-data"), None);
    let mut visitor = site.visitor();
    visitor.does("set");
    let answer = visitor.browser.get("/plain");
    assert_eq!((set_cookie(&answer), answer.header("vary")), (None, None));
}

/// Row 2, `test_get_empty`.
#[test]
fn of_a_value_that_was_never_set_the_app_sees_nothing() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        assert_eq!(visitor.data(), json!({}));
        visitor.does("set bird");
        assert_eq!(visitor.data().get("cat"), None);
    }
}

/// Row 3, `test_store`.
#[test]
fn a_value_that_is_set_gives_a_cookie_and_is_told_with_the_next_request() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        let answer = visitor.does("set");
        assert_eq!((max_age(&answer), answer.header("session-set")), (Some(1_209_600), None));
        assert_eq!(visitor.data(), json!({ "cat": "dog" }));
    }
}

/// Row 4, `test_pop`: removed for good, and that is a change; `flash` is the value that the app sees once.
#[test]
fn a_value_that_is_popped_is_gone_and_one_that_is_flashed_is_seen_once() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set both");
        let id = visitor.id();
        assert!(set_cookie(&visitor.does("pop")).is_some());
        assert_eq!((visitor.data(), visitor.id()), (json!({ "bird": [3] }), id));
        visitor.does("flash");
        assert_eq!(visitor.data(), json!({ "bird": [3], "note": "saved" }));
        assert_eq!(visitor.data(), json!({ "bird": [3] }));
    }
}

/// Row 5, `test_pop_default`: that is no change.
#[test]
fn popping_what_is_not_there_changes_nothing() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set bird");
        let answer = visitor.does("pop");
        assert_eq!((answer.status, set_cookie(&answer)), (200, None), "{by:?}");
        assert_eq!(visitor.data(), json!({ "bird": 1 }));
    }
}

/// Row 6, `test_pop_no_default_keyerror_raised`. Deviation: there is nobody to raise an error for.
#[test]
fn popping_without_a_session_neither_fails_nor_begins_one() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        let answer = visitor.does("pop");
        assert_eq!((answer.status, set_cookie(&answer)), (200, None));
        assert!(!visitor.has_session());
    }
}

/// Row 8, `test_update`.
#[test]
fn several_values_are_set_by_one_answer() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        visitor.does("set both");
        assert_eq!(visitor.data(), json!({ "cat": 2, "bird": [3] }));
    }
}

/// Rows 9 and 10, `test_has_key`, `test_values`, `test_keys`, `test_items`.
#[test]
fn reading_sends_no_cookie_and_varies_by_it() {
    let site = Site::new(By::Header);
    let mut visitor = site.visitor();
    let anonymous = visitor.reads();
    assert_eq!((set_cookie(&anonymous), varies_by_cookie(&anonymous)), (None, true));
    visitor.does("set");
    let answer = visitor.reads();
    assert_eq!((set_cookie(&answer), varies_by_cookie(&answer)), (None, true));
}

/// Row 11, `test_clear`: the id stays. A custom expiry is part of Django's data, so it goes with it.
#[test]
fn clearing_empties_the_data_and_keeps_the_id() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set both");
        assert_eq!(max_age(&visitor.does("expire in 10 s")), Some(10));
        let (id, handle) = (visitor.id(), visitor.told("session-handle"));
        assert_eq!(max_age(&visitor.does("clear")), Some(1_209_600));
        assert_eq!((visitor.data(), visitor.id()), (json!({}), id));
        assert!(handle.is_some() && visitor.told("session-handle") == handle);
    }
}

/// Row 12, `test_save`: redirect after POST always reads its own write.
#[test]
fn what_is_set_is_there_before_the_browser_has_the_answer() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        for visit in 1..=50 {
            visitor.does("count");
            assert_eq!(site.holder_of(&visitor.id()).data(), json!({ "visits": visit }));
        }
    }
}

/// Row 16, `test_cycle_with_no_session_cache` (#28066).
#[test]
fn rotating_alone_keeps_data_that_the_request_did_not_touch() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set both");
        visitor.does("rotate");
        assert_eq!(visitor.data(), json!({ "cat": 2, "bird": [3] }));
    }
}

/// Row 17, `test_save_doesnt_clear_data`.
#[test]
fn two_writes_in_a_row_keep_both_values() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let id = visitor.id();
        visitor.does("set bird");
        assert_eq!((visitor.data(), visitor.id()), (json!({ "cat": "dog", "bird": 1 }), id));
    }
}

/// Row 28, `test_decode`. Deviation: in `Session-Set` a null on its own removes, as in any merge patch.
#[test]
fn every_kind_of_value_comes_back_as_it_was() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set values");
        let expected = json!({
            "text": "Ä 🧥 \"\\\n\0", "raw": "é🧥", "empty": "", "none": [null], "list": [],
            "object": { "a": { "b": [1, {}] } }, "big": 9_007_199_254_740_993_u64, "real": -1.5, "yes": true,
        });
        assert_eq!(visitor.data(), expected, "{by:?}");
    }
}

/// Row 61, `test_empty_session_saved`: emptied is not ended.
#[test]
fn a_session_whose_last_value_is_removed_lives_on() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let id = visitor.id();
        assert_eq!(max_age(&visitor.does("pop")), Some(1_209_600));
        assert!(visitor.id() == id && visitor.has_session());
        assert_eq!(visitor.data(), json!({}));
    }
}

/// Row 92, the visit counter of the tutorials.
#[test]
fn each_browser_counts_its_own_visits() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitors = [site.visitor(), site.visitor(), site.visitor()];
        for visit in 1..=3 {
            for visitor in &mut visitors {
                visitor.does("count");
                assert_eq!(visitor.data(), json!({ "visits": visit }));
            }
        }
    }
}

/// Weakness 4 of Django's: each request writes the whole of what it read, and the last one wins.
#[test]
fn two_requests_at_once_do_not_undo_each_other() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let slow = site.slow_beside(&mut visitor, "set bird", &[], |visitor| drop(visitor.does("count")));
        assert_eq!(slow.status, 200);
        assert_eq!(visitor.data(), json!({ "cat": "dog", "bird": 1, "visits": 1 }));
    }
}
