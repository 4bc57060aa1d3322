//! Guessing passwords: after `max_retries` failures within `find_time` an account, or an address, waits `ban_time`.

use std::time::Duration;

use crate::support::{App, PASSWORD, Response, TestGateway, field, user};

const MINUTE: Duration = Duration::from_secs(60);

/// Clients of a trusted proxy, so that a test can speak from many addresses.
fn gateway(regulation: &str) -> TestGateway {
    let app = App::echoing();
    TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\ntrusted_proxies: [127.0.0.1]\n\
         login: {{ form: {{ users: [{}, {}] }}, regulation: {{ {regulation} }} }}",
        app.address,
        user("ann", "wiki"),
        user("bob", "wiki")
    ))
}

/// One try by a browser that has not been here before.
fn try_from(gateway: &TestGateway, address: &str, user: &str, password: &str) -> Response {
    let mut browser = gateway.browser();
    let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
    let fields = [("csrf", &*csrf), ("username", user), ("password", password)];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("X-Forwarded-For", address)];
    browser.request("POST", "/.session/login", &headers, body.as_bytes())
}

/// LG-02.
#[test]
fn after_three_failures_even_the_right_password_waits() {
    let gateway = gateway("");
    for _ in 0..3 {
        assert_eq!(try_from(&gateway, "198.51.100.1", "ann", "wrong").status, 401);
    }
    let refused = try_from(&gateway, "198.51.100.1", "ann", PASSWORD);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("300")));
    assert!(refused.text().contains("Please wait 5 minutes"), "{}", refused.text());
    gateway.advance(4 * MINUTE);
    let refused = try_from(&gateway, "198.51.100.1", "ann", PASSWORD);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    gateway.advance(MINUTE);
    assert_eq!(try_from(&gateway, "198.51.100.1", "ann", PASSWORD).status, 303);
}

/// LG-02 (Authelia CVE-2025-24806): one bucket per account, whatever is typed and wherever it comes from.
#[test]
fn another_spelling_or_address_has_no_tries_of_its_own() {
    let gateway = gateway("");
    for (address, typed) in [("198.51.100.1", "ann"), ("198.51.100.2", "ANN"), ("203.0.113.3", " Ann ")] {
        assert_eq!(try_from(&gateway, address, typed, "wrong").status, 401, "{typed}");
    }
    for typed in ["ann", "aNN", "ann\t"] {
        assert_eq!(try_from(&gateway, "203.0.113.9", typed, PASSWORD).status, 429, "{typed}");
    }
    assert_eq!(try_from(&gateway, "198.51.100.1", "bob", PASSWORD).status, 303);
}

/// A ban must not tell who exists.
#[test]
fn a_made_up_name_is_banned_like_a_real_one() {
    let gateway = gateway("");
    let statuses = |name: &str, address: &str| -> Vec<u16> {
        (0..5).map(|_| try_from(&gateway, address, name, "wrong").status).collect()
    };
    let known = statuses("ann", "198.51.100.1");
    assert_eq!(known, [401, 401, 401, 429, 429]);
    assert_eq!(statuses("nobody", "198.51.100.2"), known);
}

/// LG-02: one address gets ten times as often as an account; IPv6 counts by its /64.
#[test]
fn an_address_that_tries_many_names_is_refused_and_its_neighbours_are_not() {
    for (mine, neighbour, stranger) in [
        ("198.51.100.1", "198.51.100.1", "198.51.100.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
    ] {
        let gateway = gateway("max_retries: 1");
        for name in 0..10 {
            assert_eq!(try_from(&gateway, mine, &format!("made-up-{name}"), "wrong").status, 401);
        }
        assert_eq!(try_from(&gateway, neighbour, "ann", PASSWORD).status, 429);
        assert_eq!(try_from(&gateway, stranger, "ann", PASSWORD).status, 303);
    }
}

/// LG-02: the address is what a trusted proxy says, not what a client writes.
#[test]
fn a_client_cannot_give_itself_new_addresses() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\nlogin: {{ form: {{ users: [{}] }}, regulation: {{ max_retries: 1 }} }}",
        app.address,
        user("ann", "wiki")
    ));
    for name in 0..10 {
        let address = format!("198.51.100.{name}");
        assert_eq!(try_from(&gateway, &address, &format!("made-up-{name}"), "wrong").status, 401);
    }
    assert_eq!(try_from(&gateway, "203.0.113.7", "ann", PASSWORD).status, 429);
}

#[test]
fn failures_are_forgotten_after_find_time() {
    let gateway = gateway("");
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(try_from(&gateway, "198.51.100.1", "ann", "wrong").status, 401);
        }
        gateway.advance(2 * MINUTE);
    }
    assert_eq!(try_from(&gateway, "198.51.100.1", "ann", PASSWORD).status, 303);
}

#[test]
fn a_right_password_clears_the_accounts_failures() {
    let gateway = gateway("");
    for _ in 0..3 {
        for password in ["wrong", "wrong"] {
            assert_eq!(try_from(&gateway, "198.51.100.1", "ann", password).status, 401);
        }
        assert_eq!(try_from(&gateway, "198.51.100.1", "ann", PASSWORD).status, 303);
    }
}

/// LG-02, ASVS 6.1.1: guessing somebody's password does not throw them out, nor keep them out for good.
#[test]
fn a_ban_ends_no_session_and_further_tries_do_not_lengthen_it() {
    let gateway = gateway("");
    let mut victim = gateway.signed_in("ann");
    for _ in 0..20 {
        try_from(&gateway, "198.51.100.1", "ann", "wrong");
    }
    assert_eq!(victim.get("/").status, 200);
    gateway.advance(3 * MINUTE);
    try_from(&gateway, "198.51.100.1", "ann", "wrong");
    gateway.advance(2 * MINUTE);
    assert_eq!(try_from(&gateway, "203.0.113.1", "ann", PASSWORD).status, 303);
}

#[test]
fn zero_retries_turn_regulation_off() {
    let gateway = gateway("max_retries: 0");
    for _ in 0..20 {
        assert_eq!(try_from(&gateway, "198.51.100.1", "ann", "wrong").status, 401);
    }
    assert_eq!(try_from(&gateway, "198.51.100.1", "ann", PASSWORD).status, 303);
}
