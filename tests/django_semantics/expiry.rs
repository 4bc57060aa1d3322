//! When a session ends: by the settings, and by what an app asked for it alone.
//!
//! Deviations throughout. `get_expiry_age` of Django's is the policy; an app is told the true remainder here. In
//! Django only writing moves the end of a session; being used does here. And no app can lengthen a session beyond
//! `absolute_timeout`, which counts from its beginning.

use cookie::time::format_description::well_known::Rfc3339;
use cookie::time::{OffsetDateTime, UtcOffset};
use serde_json::json;

use super::site::{By, HOUR, MINUTE, SECOND, Site, TWO_WEEKS, Visitor, deletes, max_age, obey_at_once};
use crate::support::process::Process;
use crate::support::{App, Browser};

/// Row 23, `test_default_expiry`: also a browser's session ends by the settings.
#[test]
fn by_default_and_with_the_browser_a_session_lives_two_weeks() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        assert_eq!(max_age(&visitor.does("set")), Some(1_209_600));
        assert_eq!(max_age(&visitor.does("expire with the browser")), None);
        assert_eq!(visitor.expires_in(), 1_209_600);
        site.gateway.advance(TWO_WEEKS - SECOND);
        assert_eq!(visitor.data(), json!({ "cat": "dog" }));
        site.gateway.advance(SECOND);
        assert!(deletes(&visitor.reads()));
    }
}

/// Row 24, `test_custom_expiry_seconds`: the server decides, whatever the browser keeps.
#[test]
fn a_session_of_ten_seconds_ends_after_ten_seconds() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        assert_eq!(max_age(&visitor.does("expire in 10 s")), Some(10));
        assert_eq!(visitor.expires_in(), 10);
        site.gateway.advance(SECOND * 9);
        assert_eq!(visitor.data(), json!({ "cat": "dog" }));
        site.gateway.advance(SECOND * 10);
        assert_eq!(site.holder_of(&visitor.id()).data(), json!({}));
    }
}

/// Deviation from `set_expiry(10)`, which Django counts from the last write: reading is activity.
#[test]
fn a_session_of_ten_seconds_lives_on_while_it_is_used() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        visitor.does("expire in 10 s");
        for _ in 0..10 {
            site.gateway.advance(SECOND * 6);
            assert_eq!(max_age(&visitor.reads()), Some(10), "the cookie has to live as long");
        }
        assert_eq!(visitor.data(), json!({ "cat": "dog" }));
    }
}

/// Row 25, `test_custom_expiry_timedelta`, `test_custom_expiry_datetime`.
#[test]
fn an_absolute_end_stays_where_it_is_and_the_cookies_age_shrinks() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        assert_eq!(max_age(&visitor.does("expire at one")), Some(3600));
        site.gateway.advance(MINUTE * 30);
        assert_eq!(max_age(&visitor.does("set bird")), Some(1800));
        assert_eq!(visitor.expires_in(), 1800);
        site.gateway.advance(MINUTE * 30 - SECOND);
        assert!(visitor.has_session());
        site.gateway.advance(SECOND);
        assert!(deletes(&visitor.reads()) && !visitor.has_session());
    }
}

/// Row 26, `test_custom_expiry_reset`.
#[test]
fn the_default_expiry_can_be_restored() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        for custom in ["expire in 10 s", "expire at one", "expire with the browser"] {
            assert_ne!(max_age(&visitor.does(custom)), Some(1_209_600));
            assert_eq!(max_age(&visitor.does("expire by default")), Some(1_209_600), "{custom}");
        }
    }
}

/// Row 27, `test_get_expire_at_browser_close`.
#[test]
fn the_cookie_outlives_the_browser_as_configured_unless_the_app_says_otherwise() {
    for by in By::BOTH {
        for (persistent, expected) in [(true, [true, false, true]), (false, [true, false, false])] {
            let site = Site::with(by, &format!("cookie: {{ secure: auto, persistent: {persistent} }}"));
            let mut visitor = site.visitor();
            assert_eq!(max_age(&visitor.does("set")).is_some(), persistent);
            let expiries = ["expire in 10 s", "expire with the browser", "expire by default"];
            assert_eq!(expiries.map(|expiry| max_age(&visitor.does(expiry)).is_some()), expected, "{by:?}");
        }
    }
}

/// Row 31, `test_actual_expiry`. Deviation: Django sends such a cookie, and finds the session expired later.
#[test]
fn an_expiry_in_the_past_ends_the_session_at_once() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let id = visitor.id();
        assert!(deletes(&visitor.does("expire in the past")));
        assert_eq!(site.holder_of(&id).data(), json!({}));
    }
}

/// Row 39, `DatabaseSessionWithTimeZoneTests`: local time has no part in it.
#[test]
fn the_machines_time_zone_moves_no_expiry() {
    let app = App::with(obey_at_once);
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!(
        "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nworkers: 1\n\
         session: {{ idle_timeout: null, cookie: {{ secure: auto }} }}\n\
         routes: [{{ access: public, session_headers: read_write, upstream: 'http://{}' }}]\n",
        app.address
    );
    for zone in ["Asia/Kathmandu", "<+0545>-05:45", "<-11>11"] {
        let process = Process::start(dir.path(), &yaml, 1, &[("TZ", zone)]);
        let mut browser = Browser::at(process.addresses()[0]);
        let mut answered = |line: &str| browser.request("GET", "/", &[("X-Answer", line)], b"");
        answered(r#"Session-Set: {"cat": "dog"}"#);
        answered("X-Nothing: yes");
        let created: i64 = app.last().header("session-created").unwrap().parse().unwrap();
        let end = OffsetDateTime::from_unix_timestamp(created + 3600).unwrap();
        let end = end.to_offset(UtcOffset::from_hms(5, 45, 0).unwrap()).format(&Rfc3339).unwrap();
        let age = max_age(&answered(&format!("Session-Expiry: {end}"))).unwrap();
        assert!((3540..=3600).contains(&age), "{zone}: {age}");
    }
}

/// `get_expiry_age`, `get_expiry_date`.
#[test]
fn the_app_is_told_what_is_truly_left() {
    let site = Site::new(By::Header);
    let mut visitor = site.visitor();
    visitor.does("set");
    for hours in 0..3 {
        assert_eq!(visitor.expires_in(), 1_209_600 - hours * 3600);
        site.gateway.advance(HOUR);
    }
}

/// `set_expiry(31536000)` makes a session of a year in Django.
#[test]
fn an_app_cannot_lengthen_a_session_beyond_the_absolute_timeout() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        assert_eq!(max_age(&visitor.does("expire in a year")), Some(1_209_600));
        let lives = |visitor: &mut Visitor<'_>| visitor.has_session();
        site.gateway.advance(TWO_WEEKS - SECOND);
        assert!(lives(&mut visitor));
        site.gateway.advance(SECOND);
        assert!(!lives(&mut visitor));
    }
}
