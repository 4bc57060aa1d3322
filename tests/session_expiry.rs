//! When sessions end: idle and absolute timeouts, "remember me", what apps ask for, and a clock that jumps.

use std::time::Duration;

use crate::support::{App, Browser, PASSWORD, Response, TestGateway, field, forgets, issued};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn fixture(session: &str) -> (App, TestGateway) {
    with_cookie("secure: auto", session)
}

fn with_cookie(cookie: &str, session: &str) -> (App, TestGateway) {
    let app = App::obeying();
    let gateway = TestGateway::with_config(&format!(
        "session: {{ cookie: {{ {cookie} }}, {session} }}\nroutes:\n\
         \x20 - {{ session_headers: read_write, upstream: 'http://{0}' }}\n\
         \x20 - {{ path: /poll, activity: false, session_headers: read_write, upstream: 'http://{0}' }}",
        app.address
    ));
    (app, gateway)
}

fn max_age(answer: &Response) -> Option<u64> {
    let line = answer.header("set-cookie").expect("a cookie");
    line.split("; ").find_map(|part| part.strip_prefix("Max-Age=")).map(|age| age.parse().unwrap())
}

/// `Session-Expires-In`, from a request to `path`.
fn told(app: &App, browser: &mut Browser, path: &str) -> u64 {
    assert_eq!(browser.get(path).status, 200);
    app.last().header("session-expires-in").unwrap().parse().unwrap()
}

fn me(browser: &mut Browser) -> (Option<u64>, Option<u64>) {
    let me = browser.fetch("/.session/me").json();
    (me["idle_expires_in"].as_u64(), me["expires_in"].as_u64())
}

/// The sign-in page with the box ticked.
fn sign_in_and_remember(gateway: &TestGateway) -> (Browser, Response) {
    let mut browser = gateway.browser();
    let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
    let form = [("csrf", &*csrf), ("rd", "/"), ("username", "ann"), ("password", PASSWORD), ("remember", "on")];
    let answer = browser.post("/.session/login", &form);
    assert_eq!(answer.status, 303);
    (browser, answer)
}

#[test]
fn a_session_ends_when_it_rests_for_its_idle_timeout_and_not_a_millisecond_before() {
    let (_app, gateway) = fixture("idle_timeout: 2h");
    let (mut early, mut late) = (gateway.signed_in("ann"), gateway.signed_in("bob"));
    gateway.advance(2 * HOUR - Duration::from_millis(1));
    assert_eq!(early.get("/").status, 200);
    gateway.advance(Duration::from_millis(1));
    let answer = late.get("/");
    assert_eq!((answer.status, forgets(&answer)), (302, true));
    assert_eq!(early.get("/").status, 200);
}

#[test]
fn activity_does_not_move_the_absolute_timeout() {
    let (app, gateway) = fixture("idle_timeout: 2h, absolute_timeout: 5h");
    let mut browser = gateway.signed_in("ann");
    for hour in 1..5 {
        gateway.advance(HOUR);
        let left = told(&app, &mut browser, "/");
        assert_eq!(left, (2 * 3600 - 3600).min((5 - hour) * 3600), "after {hour} hours");
    }
    gateway.advance(HOUR);
    assert_eq!(browser.get("/").status, 302);
}

/// CK-10: what the browser keeps mirrors what is left.
#[test]
fn a_new_cookie_lives_for_what_is_left_of_the_absolute_timeout() {
    let (_app, gateway) = fixture("");
    let mut browser = gateway.signed_in("ann");
    gateway.advance(HOUR);
    assert_eq!(max_age(&browser.get("/")), Some(14 * 86_400 - 3600));
}

#[test]
fn the_box_is_on_the_page_only_where_it_is_configured() {
    for (session, shown) in [("", false), ("remember_me: 30d", true)] {
        let (_app, gateway) = fixture(session);
        let page = gateway.browser().get("/.session/login").text();
        assert_eq!(page.contains("name=\"remember\""), shown);
        assert!(!page.contains("checked"), "nobody is remembered unasked");
    }
}

#[test]
fn who_ticks_the_box_is_remembered_for_so_long_and_may_rest() {
    let (app, gateway) = fixture("remember_me: 60d");
    let (mut browser, answer) = sign_in_and_remember(&gateway);
    assert_eq!(max_age(&answer), Some(60 * 86_400));
    assert_eq!(told(&app, &mut browser, "/"), 60 * 86_400);
    gateway.advance(60 * DAY - SECOND);
    assert_eq!(browser.get("/").status, 200);
    gateway.advance(SECOND);
    assert_eq!(browser.get("/").status, 302);
}

#[test]
fn who_does_not_tick_it_is_not_remembered() {
    let (_app, gateway) = fixture("remember_me: 60d");
    let mut browser = gateway.browser();
    assert_eq!(max_age(&browser.sign_in("ann", PASSWORD)), Some(14 * 86_400));
    gateway.advance(DAY);
    assert_eq!(browser.get("/").status, 302);
}

/// The box is no promise for the next person, or the next time.
#[test]
fn the_next_sign_in_decides_anew_who_is_remembered() {
    let (_app, gateway) = fixture("remember_me: 60d");
    let (mut browser, _) = sign_in_and_remember(&gateway);
    assert_eq!(max_age(&browser.sign_in("ann", PASSWORD)), Some(14 * 86_400));
    gateway.advance(DAY);
    assert_eq!(browser.get("/").status, 302);
}

#[test]
fn a_ticked_box_that_is_not_configured_means_nothing() {
    let (_app, gateway) = fixture("");
    let (mut browser, answer) = sign_in_and_remember(&gateway);
    assert_eq!(max_age(&answer), Some(14 * 86_400));
    gateway.advance(DAY);
    assert_eq!(browser.get("/").status, 302);
}

#[test]
fn the_box_stays_ticked_when_the_password_was_wrong() {
    let (_app, gateway) = fixture("remember_me: 60d");
    let mut browser = gateway.browser();
    let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
    let form = [("csrf", &*csrf), ("username", "ann"), ("password", "wrong"), ("remember", "on")];
    let again = browser.post("/.session/login", &form);
    assert_eq!(again.status, 401);
    let text = again.text();
    let tag = &text[text.find("name=\"remember\"").unwrap()..];
    assert!(tag[..tag.find('>').unwrap()].contains("checked"), "{text}");
}

/// Where cookies end with the browser, the box makes one that does not.
#[test]
fn remembering_outlives_the_browser_where_others_do_not() {
    let (_app, gateway) = with_cookie("secure: auto, persistent: false", "remember_me: 60d");
    assert_eq!(max_age(&gateway.browser().sign_in("ann", PASSWORD)), None);
    assert_eq!(max_age(&sign_in_and_remember(&gateway).1), Some(60 * 86_400));
}

#[test]
fn a_cookie_of_the_browsers_session_has_no_age_and_its_session_the_usual_end() {
    let (_app, gateway) = with_cookie("secure: auto, persistent: false", "");
    let mut browser = gateway.browser();
    let answer = browser.sign_in("ann", PASSWORD);
    assert!(!answer.header("set-cookie").unwrap().contains("Expires"));
    assert_eq!(max_age(&answer), None);
    gateway.advance(DAY - SECOND);
    assert_eq!(max_age(&browser.get("/")), None, "nor has the next one");
    gateway.advance(DAY);
    assert_eq!(browser.get("/").status, 302);
}

#[test]
fn an_app_may_say_how_long_a_session_may_rest() {
    let (app, gateway) = fixture("rotate_every: null");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(max_age(&browser.answered("/", &["Session-Expiry: 1800"])), Some(1800));
    assert_eq!((told(&app, &mut browser, "/"), me(&mut browser)), (1800, (Some(1800), Some(14 * 86_400))));
    for _ in 0..4 {
        gateway.advance(25 * MINUTE);
        assert_eq!(told(&app, &mut browser, "/"), 300);
        assert_eq!(told(&app, &mut browser, "/"), 1800, "activity moves it");
    }
    gateway.advance(30 * MINUTE);
    assert_eq!(browser.get("/").status, 302);
}

/// The browser must not forget the cookie of a session that is in use.
#[test]
fn the_cookie_of_a_sliding_session_slides_with_it() {
    let (_app, gateway) = fixture("rotate_every: null");
    let mut browser = gateway.signed_in("ann");
    browser.answered("/", &["Session-Expiry: 1800"]);
    gateway.advance(25 * MINUTE);
    assert_eq!(max_age(&browser.get("/")), Some(1800));
}

#[test]
fn an_app_may_say_at_which_moment_a_session_ends() {
    let (app, gateway) = fixture("rotate_every: null, absolute_timeout: 10d");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(max_age(&browser.answered("/", &["Session-Expiry: 2026-01-03T01:00:00+01:00"])), Some(2 * 86_400));
    assert_eq!(me(&mut browser), (None, Some(2 * 86_400)), "used or not");
    gateway.advance(2 * DAY - SECOND);
    assert_eq!(told(&app, &mut browser, "/"), 1);
    gateway.advance(SECOND);
    assert_eq!(browser.get("/").status, 302);
}

#[test]
fn an_app_may_let_a_session_end_with_the_browser_and_take_it_back() {
    let (app, gateway) = fixture("");
    for (lines, age, left) in [
        (["Session-Expiry: browser"], None, 86_400),
        (["Session-Expiry: default"], Some(14 * 86_400), 86_400),
        (["Session-Expiry: 0"], None, 86_400),
        (["Session-Expiry: 60"], Some(60), 60),
        (["Session-Expiry: default"], Some(14 * 86_400), 86_400),
    ] {
        let mut browser = gateway.signed_in("ann");
        // So that there is something to take back.
        browser.answered("/", &["Session-Expiry: 120"]);
        assert_eq!(max_age(&browser.answered("/", &lines)), age, "{lines:?}");
        assert_eq!(told(&app, &mut browser, "/"), left, "{lines:?}");
    }
}

#[test]
fn an_expiry_in_the_past_is_the_end() {
    let (_app, gateway) = fixture("");
    for line in ["Session-Expiry: -1", "Session-Expiry: 2025-12-31T23:59:59Z", "Session-Expiry: 2026-01-01T00:00:00Z"] {
        let mut browser = gateway.signed_in("ann");
        let id = browser.session_id().unwrap();
        assert!(forgets(&browser.answered("/", &[line])), "{line}");
        assert_eq!(Browser::holding(gateway.address(), &id).get("/").status, 302);
    }
}

/// The operator's absolute timeout is the operator's.
#[test]
fn an_app_cannot_lengthen_the_absolute_timeout() {
    let (_app, gateway) = fixture("absolute_timeout: 2d");
    for line in ["Session-Expiry: 864000", "Session-Expiry: 2026-02-01T00:00:00Z"] {
        let mut browser = gateway.signed_in("ann");
        assert_eq!(max_age(&browser.answered("/", &[line])), Some(2 * 86_400), "{line}");
    }
    let mut browser = gateway.signed_in("ann");
    browser.answered("/", &["Session-Expiry: 864000"]);
    gateway.advance(2 * DAY);
    assert_eq!(browser.get("/").status, 302);
}

#[test]
fn polling_keeps_no_session_alive() {
    let (app, gateway) = fixture("idle_timeout: 2h");
    let mut browser = gateway.signed_in("ann");
    for left in [90, 60, 30] {
        gateway.advance(30 * MINUTE);
        assert_eq!(told(&app, &mut browser, "/poll"), left * 60);
        assert_eq!(app.last().header("remote-user"), Some("ann"), "it is served as any other");
    }
    gateway.advance(30 * MINUTE);
    assert_eq!(browser.get("/poll").status, 302);
}

/// Its scripts would keep the only copy of the new cookie in a window that nobody looks at.
#[test]
fn polling_gives_no_new_id_by_itself() {
    let (_app, gateway) = fixture("");
    let mut browser = gateway.signed_in("ann");
    gateway.advance(2 * HOUR);
    assert_eq!(browser.get("/poll").all("set-cookie"), [""; 0]);
    assert!(issued(&browser.get("/")).is_some());
}

#[test]
fn what_an_app_writes_where_there_is_no_activity_is_kept_and_counts_as_none() {
    let (app, gateway) = fixture("idle_timeout: 2h");
    let mut browser = gateway.signed_in("ann");
    gateway.advance(HOUR);
    browser.answered("/poll", &["Session-Set: {\"a\": 1}"]);
    assert_eq!(told(&app, &mut browser, "/poll"), 3600);
    assert_eq!(app.last().session_data()["a"], 1);
}

#[test]
fn me_tells_the_true_remainder_and_extends_nothing() {
    let (app, gateway) = fixture("");
    let mut browser = gateway.signed_in("ann");
    for minutes in 1..5 {
        gateway.advance(10 * MINUTE);
        let gone = minutes * 600;
        assert_eq!(me(&mut browser), (Some(86_400 - gone), Some(14 * 86_400 - gone)));
    }
    assert_eq!(told(&app, &mut browser, "/"), 86_400 - 2400, "so says the app's own header");
    assert_eq!(me(&mut browser), (Some(86_400), Some(14 * 86_400 - 2400)), "a page was activity");
    assert_eq!(me(&mut gateway.browser()), (None, None));
}

/// An hour before the absolute end, a day of rest is not to be had.
#[test]
fn me_never_promises_more_than_the_absolute_timeout() {
    let (_app, gateway) = fixture("idle_timeout: 3h, absolute_timeout: 4h");
    let mut browser = gateway.signed_in("ann");
    gateway.advance(2 * HOUR);
    browser.get("/");
    gateway.advance(HOUR);
    assert_eq!(me(&mut browser), (Some(3600), Some(3600)));
}

#[test]
fn last_seen_is_written_once_in_a_touch_interval() {
    let (app, gateway) = fixture("touch_interval: 60s");
    let mut browser = gateway.signed_in("ann");
    gateway.advance(59 * SECOND);
    assert_eq!(told(&app, &mut browser, "/"), 86_400 - 59);
    assert_eq!(told(&app, &mut browser, "/"), 86_400 - 59, "not written yet");
    gateway.advance(SECOND);
    assert_eq!(told(&app, &mut browser, "/"), 86_400 - 60);
    assert_eq!(told(&app, &mut browser, "/"), 86_400, "written");
    gateway.advance(59 * SECOND);
    browser.get("/");
    assert_eq!(told(&app, &mut browser, "/"), 86_400 - 59);
}

/// A write on the way to a new id is still no reason for one.
#[test]
fn what_an_app_writes_where_there_is_no_activity_gives_no_new_id() {
    let (app, gateway) = fixture("idle_timeout: 4h");
    let mut browser = gateway.signed_in("ann");
    let id = browser.session_id();
    gateway.advance(2 * HOUR);
    browser.answered("/poll", &["Session-Set: {\"a\": 1}"]);
    assert_eq!(browser.session_id(), id);
    let answer = browser.answered("/poll", &["Session-Rotate: true"]);
    assert_ne!(issued(&answer), id, "what is asked for is done");
    assert_eq!(told(&app, &mut browser, "/poll"), 2 * 3600, "and is no activity either");
}

/// A write says when it was anyway.
#[test]
fn a_change_of_data_counts_as_seen_at_once() {
    let (app, gateway) = fixture("");
    let mut browser = gateway.signed_in("ann");
    gateway.advance(5 * SECOND);
    browser.answered("/", &["Session-Set: {\"a\": 1}"]);
    assert_eq!(told(&app, &mut browser, "/"), 86_400);
}

#[test]
fn a_clock_that_is_an_hour_off_for_a_while_signs_nobody_out() {
    let (_app, gateway) = fixture("");
    let (mut back, mut forth) = (gateway.signed_in("ann"), gateway.signed_in("bob"));
    gateway.clock.set_back(HOUR);
    assert_eq!(back.get("/").status, 200);
    gateway.advance(2 * HOUR);
    assert_eq!((back.get("/").status, forth.get("/").status), (200, 200));
    gateway.clock.set_back(HOUR);
    assert_eq!((back.get("/").status, forth.get("/").status), (200, 200));
    gateway.advance(DAY + HOUR);
    assert_eq!(back.get("/").status, 302, "and sessions end as ever");
}

#[test]
fn a_clock_that_is_set_back_400_days_signs_nobody_out_and_sign_in_goes_on() {
    let (_app, gateway) = fixture("");
    let mut browser = gateway.signed_in("ann");
    gateway.clock.set_back(400 * DAY);
    for _ in 0..3 {
        gateway.advance(HOUR);
        assert_eq!(browser.get("/").status, 200);
    }
    let mut new = gateway.signed_in("bob");
    gateway.advance(DAY);
    assert_eq!(new.get("/").status, 302, "a session of the new time lives as long as any");
}

#[test]
fn a_clock_that_jumps_400_days_and_back_signs_out_only_those_who_came_meanwhile() {
    let (_app, gateway) = fixture("");
    let (mut away, mut came) = (gateway.signed_in("ann"), gateway.signed_in("bob"));
    let ended = came.session_id().unwrap();
    gateway.advance(400 * DAY);
    assert_eq!(came.fetch("/").status, 401);
    let mut new = gateway.signed_in("ann");
    gateway.clock.set_back(400 * DAY);
    let back = Browser::holding(gateway.address(), &ended).get("/");
    assert_eq!((away.get("/").status, back.status), (200, 302), "what has ended stays ended");
    assert_eq!(new.get("/").status, 200);
}
