//! Signing out: who can do it, who cannot do it to somebody else, and that nothing of the session is left.

use crate::support::{App, PASSWORD, TestGateway, field};

const LOGOUT: &str = "/.session/logout";

/// SM-09, SM-18, CK-09.
#[test]
fn signing_out_takes_the_cookie_away_with_the_attributes_it_was_set_with() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.browser();
    let set = browser.sign_in("ann", PASSWORD).header("set-cookie").unwrap().to_owned();
    let answer = browser.sign_out();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("clear-site-data"), Some("\"cache\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let deleted = answer.all("set-cookie");
    assert_eq!(deleted.len(), 1);
    assert_eq!(attributes(deleted[0]), attributes(&set));
    assert!(deleted[0].starts_with("sessionid=;") && deleted[0].contains("Max-Age=0"), "{deleted:?}");
    assert!(browser.jar.is_empty());
}

/// A cookie's attributes without those that say how long it lives.
fn attributes(line: &str) -> Vec<String> {
    let all = line.split(';').skip(1).map(|part| part.trim().to_ascii_lowercase());
    let mut kept: Vec<_> = all.filter(|part| !part.starts_with("max-age") && !part.starts_with("expires")).collect();
    kept.sort();
    kept
}

/// SM-09: whoever kept the cookie has nothing.
#[test]
fn a_cookie_kept_from_before_signing_out_is_worth_nothing() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let mut browser = gateway.signed_in("ann");
    let mut other = gateway.browser();
    other.jar = browser.jar.clone();
    assert_eq!(other.get("/").status, 200);
    browser.sign_out();
    for _ in 0..100 {
        assert_eq!(other.get("/").status, 302);
    }
    assert_eq!(other.fetch("/.session/me").json()["authenticated"], false);
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn signing_out_ends_one_session_of_a_user_and_not_the_others() {
    let gateway = TestGateway::before(&App::echoing());
    let (mut one, mut two) = (gateway.signed_in("ann"), gateway.signed_in("ann"));
    one.sign_out();
    assert_eq!((one.get("/").status, two.get("/").status), (302, 200));
}

/// SM-24: an image on another site's page may point at the address; nothing happens.
#[test]
fn following_a_link_to_the_sign_out_page_ends_nothing() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.signed_in("ann");
    let page = browser.get(LOGOUT);
    assert_eq!(page.status, 200);
    assert!(page.text().contains("signed in as") && field(&page, "csrf").is_some());
    assert_eq!(browser.get("/").status, 200);
}

/// SM-24: another site cannot sign its visitor out.
#[test]
fn a_form_from_another_site_signs_nobody_out() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.signed_in("ann");
    let csrf = field(&browser.get(LOGOUT), "csrf").unwrap();
    for fields in [&[][..], &[("csrf", "x")], &[("csrf", &*csrf)]] {
        let answer = browser.post_from("https://evil.example", LOGOUT, fields);
        assert_eq!(answer.status, 403, "{fields:?}");
        assert_eq!(browser.get("/").status, 200, "{fields:?}");
    }
}

/// An app's own button, rewritten to point at the gateway, has no token of ours.
#[test]
fn a_button_on_a_page_of_this_origin_signs_out_without_a_token() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.post(LOGOUT, &[]).status, 200);
    assert_eq!(browser.get("/").status, 302);
}

#[test]
fn signing_out_without_a_session_says_so_and_sets_no_cookie() {
    let gateway = TestGateway::before(&App::echoing());
    for answer in [gateway.browser().get(LOGOUT), gateway.browser().post(LOGOUT, &[])] {
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("You are signed out"));
        assert_eq!(answer.all("set-cookie"), [""; 0]);
    }
}

#[test]
fn nothing_of_the_prefix_reaches_the_app() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let mut browser = gateway.signed_in("ann");
    browser.sign_out();
    assert!(app.seen().is_empty(), "{:?}", app.seen());
}
