//! The vault: an app's cookies stay with the session, and the browser holds ours alone.

use std::thread;

use crate::support::{App, Browser, TestGateway};

fn vault(app: &App) -> TestGateway {
    with(app, "")
}

fn with(app: &App, more: &str) -> TestGateway {
    let upstream = format!("upstream: 'http://{}'", app.address);
    TestGateway::with_routes(&format!(
        "  - {{ access: public, session_headers: read_write, cookies: vault, {upstream}{more} }}"
    ))
}

/// What the app is sent when this browser asks for `path`.
fn sent(app: &App, browser: &mut Browser, path: &str) -> Vec<String> {
    browser.get(path);
    let seen = app.last();
    let mut pairs: Vec<_> =
        seen.header("cookie").into_iter().flat_map(|line| line.split("; ")).map(str::to_owned).collect();
    pairs.sort_unstable();
    pairs
}

fn names(browser: &Browser) -> Vec<&str> {
    browser.jar.keys().map(String::as_str).collect()
}

#[test]
fn the_app_gets_its_cookies_back_and_the_browser_holds_ours_alone() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    let answer = browser.answered("/", &["Set-Cookie: PHPSESSID=abc; HttpOnly", "Set-Cookie: lang=\"de|1=!%7C\""]);
    assert_eq!(answer.all("set-cookie").len(), 1, "{:?}", answer.all("set-cookie"));
    assert_eq!(names(&browser), ["sessionid"]);
    assert_eq!(sent(&app, &mut browser, "/x"), ["PHPSESSID=abc", "lang=\"de|1=!%7C\""]);
    let answer = browser.answered("/", &["Set-Cookie: PHPSESSID=; Max-Age=0"]);
    assert!(!answer.all("set-cookie").concat().contains("PHPSESSID"), "{}", answer.all("set-cookie").concat());
    assert_eq!(sent(&app, &mut browser, "/x"), ["lang=\"de|1=!%7C\""]);
}

#[test]
fn an_app_whose_cookie_has_our_name_works() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: sessionid=of-the-app; HttpOnly; Path=/"]);
    let ours = browser.session_id().expect("ours");
    assert_ne!(ours, "of-the-app");
    assert_eq!(sent(&app, &mut browser, "/"), ["sessionid=of-the-app"]);
    assert_eq!(browser.session_id(), Some(ours));
}

/// CW-01.
#[test]
fn what_a_client_makes_up_never_reaches_the_app() {
    let app = App::obeying();
    let gateway = with(&app, ", expose_cookies: [csrftoken]");
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: PHPSESSID=abc"]);
    for (name, value) in [("PHPSESSID", "evil"), ("other", "evil"), ("csrftoken", "mine")] {
        browser.jar.insert(name.into(), value.into());
    }
    assert_eq!(sent(&app, &mut browser, "/"), ["PHPSESSID=abc", "csrftoken=mine"]);
}

#[test]
fn exposed_cookies_pass_both_ways_and_are_not_kept() {
    let app = App::obeying();
    let gateway = with(&app, ", expose_cookies: [csrftoken]");
    let mut browser = gateway.browser();
    let answer = browser.answered("/", &["Set-Cookie: csrftoken=a; HttpOnly; Path=/", "Set-Cookie: hidden=1"]);
    let exposed: Vec<_> = answer.all("set-cookie").into_iter().filter(|line| line.starts_with("csrftoken")).collect();
    assert_eq!(exposed.len(), 1, "{}", answer.all("set-cookie").concat());
    assert!(exposed[0].starts_with("csrftoken=a;") && exposed[0].contains("SameSite=Lax"), "{exposed:?}");
    browser.jar.insert("csrftoken".into(), "written by a script".into());
    assert_eq!(sent(&app, &mut browser, "/"), ["csrftoken=written by a script", "hidden=1"]);
    browser.jar.remove("csrftoken");
    assert_eq!(sent(&app, &mut browser, "/"), ["hidden=1"]);
    let gone = browser.answered("/", &["Set-Cookie: csrftoken=; Max-Age=0; Path=/"]);
    assert!(gone.all("set-cookie").concat().starts_with("csrftoken=; Max-Age=0; Path=/"), "{gone:?}");
}

/// It was hidden when the app set it, and the configuration has changed since; or the other way round.
#[test]
fn a_cookie_is_sent_once_when_its_name_is_exposed_later() {
    let app = App::obeying();
    let route = |path: &str, more: &str| {
        format!(
            "  - {{ path: {path}, access: public, cookies: vault, vault: one, upstream: 'http://{}'{more} }}\n",
            app.address
        )
    };
    let gateway = TestGateway::with_routes(&(route("/", "") + &route("/later", ", expose_cookies: [csrftoken]")));
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: csrftoken=old; Path=/", "Set-Cookie: other=1; Path=/"]);
    assert_eq!(sent(&app, &mut browser, "/later"), ["csrftoken=old", "other=1"]);
    browser.answered("/later", &["Set-Cookie: csrftoken=new; Path=/"]);
    assert_eq!(sent(&app, &mut browser, "/later"), ["csrftoken=new", "other=1"]);
    assert_eq!(sent(&app, &mut browser, "/"), ["csrftoken=old", "other=1"]);
}

/// CW-02: whatever the app answers.
#[test]
fn hidden_cookies_leak_in_no_kind_of_answer() {
    let app = App::obeying();
    let gateway = vault(&app);
    for status in ["200", "204", "302", "304", "401", "404", "500", "503"] {
        let mut browser = gateway.browser();
        let answer =
            browser.answered("/", &[&format!("Status: {status}"), "Set-Cookie: hidden=secret", "Location: /y"]);
        assert!(
            !answer.all("set-cookie").concat().contains("hidden"),
            "{status}: {}",
            answer.all("set-cookie").concat()
        );
        // Browsers keep the cookies of an error page.
        assert_eq!(sent(&app, &mut browser, "/"), ["hidden=secret"], "{status}");
    }
}

#[test]
fn a_deletion_of_what_is_not_there_mints_no_session() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: a=; Max-Age=0", "Clear-Site-Data: \"cookies\""]);
    assert_eq!(browser.session_id(), None);
}

#[test]
fn the_same_cookie_again_writes_nothing() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    let line = "Set-Cookie: a=1; Max-Age=3600; Path=/";
    assert!(!browser.answered("/", &[line]).all("set-cookie").is_empty());
    // A write would have given the cookie once more.
    assert!(browser.answered("/", &[line]).all("set-cookie").is_empty());
    assert_eq!(browser.answered("/", &["Set-Cookie: a=2; Max-Age=3600; Path=/"]).all("set-cookie").len(), 1);
    assert_eq!(sent(&app, &mut browser, "/"), ["a=2"]);
}

#[test]
fn of_two_lines_for_one_cookie_the_last_one_counts() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: a=1", "Set-Cookie: a=; Max-Age=0"]);
    assert_eq!((browser.session_id(), sent(&app, &mut browser, "/").len()), (None, 0));
    browser.answered("/", &["Set-Cookie: a=1", "Set-Cookie: b=1"]);
    browser.answered("/", &["Set-Cookie: a=2", "Set-Cookie: a=1", "Set-Cookie: b=; Max-Age=0"]);
    assert_eq!(sent(&app, &mut browser, "/"), ["a=1"]);
    browser.answered("/", &["Set-Cookie: a=; Max-Age=0", "Set-Cookie: a=1"]);
    assert_eq!(sent(&app, &mut browser, "/"), ["a=1"]);
}

#[test]
fn cookies_go_by_path_and_expire_by_our_clock() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/shop/cart", &["Set-Cookie: here=1", "Set-Cookie: all=1; Path=/; Max-Age=60"]);
    assert_eq!(sent(&app, &mut browser, "/shop/x"), ["all=1", "here=1"]);
    assert_eq!(sent(&app, &mut browser, "/"), ["all=1"]);
    gateway.advance(std::time::Duration::from_secs(61));
    assert_eq!(sent(&app, &mut browser, "/shop/x"), ["here=1"]);
}

/// The hop to the app is plain, its cookies are `Secure` all the same.
#[test]
fn secure_cookies_are_sent_over_the_plain_hop() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: __Host-a=1; Secure; Path=/; SameSite=None"]);
    assert_eq!(sent(&app, &mut browser, "/"), ["__Host-a=1"]);
}

#[test]
fn signing_out_empties_it() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.signed_in("ann");
    browser.answered("/", &["Set-Cookie: a=1"]);
    let before = browser.session_id().unwrap();
    assert_eq!(browser.sign_out().status, 200);
    assert_eq!(sent(&app, &mut browser, "/"), [""; 0]);
    let mut thief = Browser::holding(gateway.address(), &before);
    assert_eq!(sent(&app, &mut thief, "/"), [""; 0]);
}

#[test]
fn signing_in_keeps_what_the_visitor_had_and_another_user_gets_nothing_of_it() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: cart=7"]);
    browser.sign_in("ann", crate::support::PASSWORD);
    assert_eq!(sent(&app, &mut browser, "/"), ["cart=7"]);
    browser.sign_in("bob", crate::support::PASSWORD);
    assert_eq!(sent(&app, &mut browser, "/"), [""; 0]);
}

/// The app that names another user with new cookies knows whose they are; the other apps do not.
#[test]
fn a_sign_in_by_the_app_keeps_that_apps_cookies_only() {
    let (app, other) = (App::obeying(), App::obeying());
    let route = |path: &str, app: &App| {
        format!(
            "  - {{ path: {path}, access: public, session_headers: read_write, cookies: vault, upstream: 'http://{}' }}\n",
            app.address
        )
    };
    let gateway = TestGateway::with_routes(&(route("/", &app) + &route("/other", &other)));
    let mut browser = gateway.browser();
    browser.answered("/", &["Session-User: ann", "Set-Cookie: a=1; Path=/"]);
    browser.answered("/other", &["Set-Cookie: o=1; Path=/"]);
    assert_eq!(sent(&other, &mut browser, "/other"), ["o=1"]);
    browser.answered("/", &["Session-User: bob", "Set-Cookie: b=1; Path=/"]);
    assert_eq!(sent(&app, &mut browser, "/"), ["a=1", "b=1"]);
    assert_eq!(sent(&other, &mut browser, "/other"), [""; 0]);
}

#[test]
fn what_an_app_sets_while_it_signs_out_begins_a_new_session() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/", &["Session-User: ann", "Set-Cookie: a=1", "Set-Cookie: lang=de"]);
    let before = browser.session_id();
    browser.answered("/", &["Session-Flush: true", "Set-Cookie: a=; Max-Age=0", "Set-Cookie: lang=de"]);
    assert_ne!(browser.session_id(), before);
    assert_eq!(sent(&app, &mut browser, "/"), ["lang=de"]);
    assert_eq!(browser.get("/.session/me").json()["authenticated"], false);
}

#[test]
fn an_app_that_clears_its_cookies_clears_the_vault_and_not_ours() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/", &["Session-User: ann", "Set-Cookie: a=1"]);
    let answer = browser.answered("/", &["Clear-Site-Data: \"cache\", \"cookies\"", "Set-Cookie: b=1"]);
    assert_eq!(answer.header("clear-site-data"), Some("\"cache\""));
    assert_eq!(sent(&app, &mut browser, "/"), ["b=1"]);
    let answer = browser.answered("/", &["Clear-Site-Data: \"*\""]);
    assert_eq!(answer.header("clear-site-data"), Some("\"cache\", \"storage\""));
    assert_eq!(sent(&app, &mut browser, "/"), [""; 0]);
    assert_eq!(browser.get("/.session/me").json()["user"], "ann");
}

#[test]
fn rotation_leaves_it_intact() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: a=1"]);
    let before = browser.session_id();
    browser.answered("/", &["Session-Rotate: true"]);
    assert_ne!(browser.session_id(), before);
    assert_eq!(sent(&app, &mut browser, "/"), ["a=1"]);
}

#[test]
fn routes_share_a_vault_by_upstream_or_by_name() {
    let (app, other) = (App::obeying(), App::obeying());
    let route = |path: &str, app: &App, more: &str| {
        format!("  - {{ path: {path}, access: public, cookies: vault, upstream: 'http://{}'{more} }}\n", app.address)
    };
    let routes = [
        route("/one", &app, ""),
        route("/two", &app, ""),
        route("/three", &app, ", vault: shared"),
        route("/four", &other, ", vault: shared"),
        route("/five", &other, ""),
    ];
    let gateway = TestGateway::with_routes(&routes.concat());
    let mut browser = gateway.browser();
    browser.answered("/one", &["Set-Cookie: a=1; Path=/"]);
    browser.answered("/three", &["Set-Cookie: b=1; Path=/"]);
    assert_eq!(sent(&app, &mut browser, "/two"), ["a=1"]);
    assert_eq!(sent(&other, &mut browser, "/four"), ["b=1"]);
    assert_eq!(sent(&other, &mut browser, "/five"), [""; 0]);
}

/// CK-15.
#[test]
fn fifty_answers_in_parallel_lose_nothing() {
    const WINDOWS: usize = 50;
    let app = App::obeying_together(WINDOWS);
    let gateway = vault(&app);
    let mut first = gateway.browser();
    let old: Vec<String> = (0..40).map(|n| format!("Set-Cookie: old{n}=1")).collect();
    first.answered("/", &old.iter().map(String::as_str).collect::<Vec<_>>());
    let id = first.session_id().unwrap();
    thread::scope(|scope| {
        for window in 0..WINDOWS {
            let (address, id) = (gateway.address(), id.as_str());
            scope.spawn(move || {
                // 40 windows delete one each, ten set one each.
                let line = match window < 40 {
                    true => format!("Set-Cookie: old{window}=; Max-Age=0"),
                    false => format!("Set-Cookie: new{window}=1"),
                };
                assert_eq!(Browser::holding(address, id).answered("/together", &[&line]).status, 200);
            });
        }
    });
    let expected: Vec<String> = (40..WINDOWS).map(|window| format!("new{window}=1")).collect();
    assert_eq!(sent(&app, &mut first, "/"), expected);
}

/// CK-14: an app that goes mad costs no more than a browser's jar, and no error.
#[test]
fn ten_thousand_cookies_leave_the_newest() {
    let app = App::obeying();
    let gateway = vault(&app);
    let mut browser = gateway.browser();
    for hundred in 0..10 {
        let lines: Vec<_> = (0..50).map(|n| format!("Set-Cookie: c{hundred}x{n}=1")).collect();
        assert_eq!(browser.answered("/", &lines.iter().map(String::as_str).collect::<Vec<_>>()).status, 200);
    }
    let kept = sent(&app, &mut browser, "/");
    assert!(kept.len() <= 50 && kept.contains(&"c9x49=1".to_owned()), "{kept:?}");
}

/// As Chromium then keeps and sends them, over either scheme; behind a proxy it is the browser's scheme that counts.
#[test]
fn hardened_cookies_get_what_they_lack_and_so_do_their_deletions() {
    let app = App::obeying();
    let gateway = TestGateway::with_config(&format!(
        "trusted_proxies: [127.0.0.1]\nroutes:\n  - {{ access: public, cookies: harden, expose_cookies: [csrftoken], \
         upstream: 'http://{}' }}",
        app.address
    ));
    let lines = |proto: &str, line: &str| {
        let headers = [("X-Forwarded-Proto", proto), ("X-Answer", &*format!("Set-Cookie: {line}"))];
        let answer = gateway.browser().request("GET", "/", &headers, b"");
        answer.all("set-cookie").join("|")
    };
    for (line, http, https) in [
        ("a=1; Path=/x", "; HttpOnly; SameSite=Lax", "; Secure; HttpOnly; SameSite=Lax"),
        ("a=; Path=/x; Max-Age=0", "; HttpOnly; SameSite=Lax", "; Secure; HttpOnly; SameSite=Lax"),
        ("a=1; Secure; HttpOnly; SameSite=Strict", "", ""),
        ("csrftoken=2; SameSite=Strict", "", "; Secure"),
        ("csrftoken=; Max-Age=0", "; SameSite=Lax", "; Secure; SameSite=Lax"),
        ("a=1; SameSite=None; Secure", "; HttpOnly", "; HttpOnly"),
        ("__Host-a=1", "; Path=/; Secure; HttpOnly; SameSite=Lax", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ("__Secure-a=1; HttpOnly", "; Secure; SameSite=Lax", "; Secure; SameSite=Lax"),
    ] {
        assert_eq!(lines("http", line), format!("{line}{http}"));
        assert_eq!(lines("https", line), format!("{line}{https}"));
    }
    assert_eq!(lines("http", "a=1; SameSite=None"), "a=1; HttpOnly; SameSite=Lax");
    assert_eq!(lines("https", "a=1; SameSite=None"), "a=1; SameSite=None; Secure; HttpOnly");
    let mended = "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(lines("https", "__Host-a=1; Path=/x; Domain=a.example"), mended);
    let mut browser = gateway.browser();
    browser.answered("/", &["Set-Cookie: a=1", "Set-Cookie: csrftoken=2"]);
    assert_eq!(sent(&app, &mut browser, "/"), ["a=1", "csrftoken=2"]);
}
