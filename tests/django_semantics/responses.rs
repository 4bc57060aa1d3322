//! Responses: the cookie's attributes, failing apps, and what caches may keep.

use super::site::{By, HOUR, Site, attributes, deletes, max_age, set_cookie, varies_by_cookie};
use crate::support::process::{run, write};

/// Row 51, `test_secure_session_cookie`.
#[test]
fn a_secure_cookie_says_so_and_the_answer_varies_by_cookie() {
    for by in By::BOTH {
        let site = Site::with(by, "cookie: { secure: true }");
        let answer = site.visitor().does("set");
        assert!(attributes(&answer).contains_key("secure") && varies_by_cookie(&answer));
    }
}

/// Row 52, `test_httponly_session_cookie`, `test_no_httponly_session_cookie`.
#[test]
fn the_cookie_is_http_only_unless_configured_otherwise() {
    for (http_only, expected) in [("", true), (", http_only: true", true), (", http_only: false", false)] {
        let site = Site::with(By::Header, &format!("cookie: {{ secure: auto{http_only} }}"));
        assert_eq!(attributes(&site.visitor().does("set")).contains_key("httponly"), expected);
    }
}

/// Row 53, `test_samesite_session_cookie`. Deviation: it cannot be left out, and `None` demands `Secure` at load.
#[test]
fn the_cookie_has_the_same_site_attribute_of_the_configuration() {
    for (configured, expected) in [
        ("secure: auto", "Lax"),
        ("secure: auto, same_site: strict", "Strict"),
        ("secure: true, same_site: none", "None"),
    ] {
        let site = Site::with(By::Header, &format!("cookie: {{ {configured} }}"));
        assert_eq!(attributes(&site.visitor().does("set"))["samesite"], expected);
    }
}

/// What an app that answers `status` wants kept is not, and everything stays as it was.
fn nothing_is_kept(by: By, status: u16) {
    let site = Site::new(by);
    let mut visitor = site.visitor();
    let answer = visitor.does_and_fails("set", status);
    assert_eq!((answer.status, set_cookie(&answer)), (status, None));
    assert!(!visitor.has_session());
    visitor.does("set bird");
    let before = (visitor.data(), visitor.id());
    for operation in ["set", "count", "clear", "login ann", "expire in 10 s"] {
        let answer = visitor.does_and_fails(operation, status);
        assert_eq!((answer.text().as_str(), set_cookie(&answer)), ("done", None), "{operation} {status}");
    }
    assert_eq!(((visitor.data(), visitor.id()), visitor.user()), (before, None));
    assert_eq!(visitor.expires_in(), 1_209_600);
}

/// Row 54, `test_session_save_on_500`.
#[test]
fn what_an_app_sets_when_it_fails_with_500_is_not_kept() {
    for by in By::BOTH {
        nothing_is_kept(by, 500);
    }
}

/// Row 55, `test_session_save_on_5xx`; also when it is the gateway that answers for an app that does not.
#[test]
fn what_an_app_sets_when_it_fails_in_any_way_is_not_kept() {
    for by in By::BOTH {
        for status in [501, 502, 503, 504, 599] {
            nothing_is_kept(by, status);
        }
        let site = Site::new(by);
        for (path, status) in [("/down", 502), ("/silent", 504)] {
            let answer = site.visitor().browser.request("GET", path, &[("X-Wait", "yes")], b"");
            assert_eq!((answer.status, set_cookie(&answer)), (status, None));
        }
        site.open_the_gate();
        for status in [404, 499] {
            assert!(set_cookie(&site.visitor().does_and_fails("set", status)).is_some(), "{status}");
        }
    }
}

/// `flush()` and an error: the user is out in Django too.
#[test]
fn what_an_app_ends_when_it_fails_is_ended() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let id = visitor.id();
        assert!(deletes(&visitor.does_and_fails("flush", 500)));
        assert!(!site.holder_of(&id).has_session());
    }
}

/// Row 56, `test_session_update_error_redirect`. Deviation: Django answers 400 when the session ended while the
/// request was served. The app knows nothing of it and has done its work: its answer is passed on, the write dropped.
#[test]
fn an_answer_is_passed_on_though_its_session_has_ended_meanwhile() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let headers = [("X-Status", "302"), ("X-Answer", "Location: /paid")];
        let answer = site.slow_beside(&mut visitor, "set bird", &headers, |visitor| drop(visitor.does("flush")));
        assert_eq!((answer.status, answer.header("location")), (302, Some("/paid")));
        assert_eq!((answer.text().as_str(), set_cookie(&answer)), ("done", None));
    }
}

/// Row 57, `test_session_delete_on_end`. Deviation: Django's `HttpOnly` is missing when it deletes, and browsers do
/// not mind; ours repeats every attribute.
#[test]
fn the_line_that_deletes_the_cookie_is_exactly_this() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let answer = visitor.does("flush");
        let expected = "sessionid=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!((set_cookie(&answer), varies_by_cookie(&answer)), (Some(expected), true));
    }
}

/// Row 58, `test_session_delete_on_end_with_custom_domain_and_path`.
#[test]
fn the_cookie_is_deleted_where_it_was_set() {
    for by in By::BOTH {
        let cookie = "cookie: { domain: example.com, path: /, same_site: none, partitioned: true }";
        let site = Site::with_config(by, cookie, "");
        let mut visitor = site.visitor();
        visitor.browser.host = "app.example.com".into();
        let mut set = attributes(&visitor.does("set"));
        let mut deleted = attributes(&visitor.does("flush"));
        assert_eq!((set.remove("max-age"), deleted.remove("max-age")), (Some("1209600".into()), Some("0".into())));
        assert!(deleted.remove("expires").is_some());
        assert_eq!((deleted["domain"].as_str(), deleted["path"].as_str()), ("example.com", "/"));
        assert_eq!(deleted, set);
    }
}

/// Row 59, `test_flush_empty_without_session_cookie_doesnt_set_cookie` (CVE-2015-5963).
#[test]
fn flushing_and_clearing_without_a_session_set_no_cookie() {
    for by in By::BOTH {
        let site = Site::new(by);
        for operation in ["flush", "clear", "rotate", "expire by default", "expire in the past", "password changed"] {
            let mut visitor = site.visitor();
            let answer = visitor.does(operation);
            assert_eq!((set_cookie(&answer), varies_by_cookie(&answer)), (None, true), "{operation}");
            assert!(!visitor.has_session(), "{operation}");
        }
    }
}

/// Row 60, `test_save_every_request_with_non_empty_session_renews_session_cookie` (CVE-2026-35192). Deviation: the
/// cookie's age is what is left until `absolute_timeout`, which no request moves.
#[test]
fn save_every_request_renews_the_cookie_and_keeps_it_out_of_caches() {
    let site = Site::with(By::Header, "save_every_request: true, cookie: { secure: auto }");
    let mut visitor = site.visitor();
    let public = [("X-Answer", "Cache-Control: public, max-age=60")];
    let anonymous = visitor.browser.request("GET", "/plain", &public, b"");
    assert_eq!((set_cookie(&anonymous), anonymous.header("vary")), (None, None));
    visitor.does("set");
    let id = visitor.id();
    site.gateway.advance(HOUR);
    let answer = visitor.browser.request("GET", "/plain", &public, b"");
    assert_eq!((max_age(&answer), visitor.id()), (Some(1_209_600 - 3600), id));
    assert_eq!((answer.all("cache-control"), varies_by_cookie(&answer)), (vec!["no-store"], true));
}

/// Row 66, `test_test_cookie`: `set_test_cookie`, `test_cookie_worked`, `delete_test_cookie`.
#[test]
fn the_cookie_check_tells_who_keeps_cookies_and_leaves_none_behind() {
    let site = Site::new(By::Header);
    let mut keeps = site.visitor().browser;
    let there = keeps.get("/.session/cookie-check").header("location").unwrap().to_owned();
    assert!(!keeps.jar.is_empty());
    let verdict = keeps.get(&there).text();
    assert!(keeps.jar.is_empty());
    let without = site.visitor().browser.get(&there).text();
    assert_ne!(verdict, without);
    assert_eq!(keeps.get(&there).text(), without, "the test cookie is gone, so the test fails");
}

/// Row 74, `test_logout_doesnt_cache` (#25490).
#[test]
fn an_answer_that_ends_a_session_is_not_stored() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        visitor.does("set");
        let answer = visitor.does_with("flush", &[("X-Answer", "Cache-Control: public")]);
        assert_eq!(answer.all("cache-control"), ["no-store"]);
    }
}

/// Row 75, `test_logout_with_*`, `LogoutThenLoginTests`: where the app sends the browser is the app's affair.
#[test]
fn status_and_location_of_an_answer_that_ends_a_session_are_the_apps() {
    for by in By::BOTH {
        let site = Site::new(by);
        for (status, location) in [("302", "/login?next=/"), ("303", "https://elsewhere.example/bye"), ("307", "..")] {
            let mut visitor = site.visitor();
            visitor.does("login ann");
            let line = format!("Location: {location}");
            let answer = visitor.does_with("flush", &[("X-Status", status), ("X-Answer", &line)]);
            assert_eq!((answer.status.to_string().as_str(), answer.header("location")), (status, Some(location)));
            assert!(deletes(&answer));
        }
    }
}

/// Row 80, `test_session_not_accessed`, `test_session_is_accessed`: `Vary` where an app is told of the session.
#[test]
fn only_what_depends_on_the_session_varies_by_cookie() {
    let site = Site::new(By::Header);
    let mut visitor = site.visitor();
    let vary = [("X-Answer", "Vary: Accept-Encoding")];
    let plain = visitor.browser.request("GET", "/plain", &vary, b"");
    assert_eq!(plain.all("vary").join(", "), "Accept-Encoding");
    let told = visitor.browser.request("GET", "/read", &vary, b"");
    assert_eq!(told.all("vary").join(", "), "Accept-Encoding, Cookie");
    let told = visitor.browser.request("GET", "/read", &[("X-Answer", "Vary: cookie")], b"");
    assert_eq!(told.all("vary").join(", "), "cookie");
    let everything = visitor.browser.request("GET", "/read", &[("X-Answer", "Vary: *")], b"");
    assert_eq!(everything.all("vary").join(", "), "*");
}

/// Row 89, `test_session_cookie_secure_*`, `test_session_cookie_httponly_*` (W010 to W015).
#[test]
fn validate_warns_of_a_cookie_that_is_not_secure_or_not_http_only() {
    let dir = tempfile::tempdir().unwrap();
    let warnings = |cookie: &str| {
        let yaml = format!(
            "trusted_proxies: [127.0.0.1]\nroutes: [{{ access: public, upstream: 'http://a' }}]\n\
             session: {{ cookie: {{ {cookie} }} }}\n"
        );
        write(dir.path(), "cloakroom.yaml", &yaml);
        let ended = run(dir.path(), &["validate"], &[], "");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ["cookie.secure: warning", "cookie.http_only: warning"].map(|words| ended.stdout.contains(words))
    };
    assert_eq!(warnings("secure: true"), [false, false]);
    assert_eq!(warnings("secure: false"), [true, false]);
    assert_eq!(warnings("secure: auto"), [true, false]);
    assert_eq!(warnings("secure: true, http_only: false"), [false, true]);
    assert_eq!(warnings("secure: false, http_only: false"), [true, true]);
}

/// Row 91, `test_sensitive_cookie_not_cached`, `test_refreshed_cookie_not_cached` (CVE-2026-48588).
#[test]
fn no_cache_keeps_an_answer_that_sets_the_cookie() {
    for by in By::BOTH {
        let site = Site::new(by);
        let mut visitor = site.visitor();
        let public = [("X-Answer", "Cache-Control: public, max-age=60")];
        for operation in ["set", "set bird", "rotate", "expire in 10 s", "login ann"] {
            let answer = visitor.does_with(operation, &public);
            assert!(set_cookie(&answer).is_some(), "{operation}");
            assert_eq!(
                (answer.all("cache-control"), varies_by_cookie(&answer)),
                (vec!["no-store"], true),
                "{operation}"
            );
        }
        let answer = visitor.browser.request("GET", "/plain", &public, b"");
        assert_eq!((set_cookie(&answer), answer.all("cache-control")), (None, vec!["public, max-age=60"]));
    }
}
