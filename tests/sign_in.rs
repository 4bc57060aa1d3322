//! The sign-in page: who comes in, what the answers give away, and what cannot be done with a stolen or forged form.

use std::thread::available_parallelism;

use crate::support::{App, Browser, Client, PASSWORD, Response, TestGateway, field, ok, user};

const LOGIN: &str = "/.session/login";

#[test]
fn signing_in_leads_to_the_app_which_is_told_who_it_is() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let mut browser = gateway.browser();
    let asked = browser.get("/page?x=1");
    assert_eq!((asked.status, asked.header("location")), (302, Some("/.session/login?rd=/page%3Fx%3D1")));
    let answer = browser.sign_in_to("/page?x=1", "Ann", PASSWORD);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/page?x=1")));
    assert_eq!(browser.get("/page?x=1").status, 200);
    let seen = app.last();
    assert_eq!(seen.header("remote-user"), Some("ann"));
    assert_eq!(seen.header("remote-groups"), Some("staff,wiki"));
    assert_eq!(seen.header("cookie"), None);
}

#[test]
fn a_program_is_told_and_never_redirected() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let answer = gateway.browser().fetch("/api");
    assert_eq!((answer.status, answer.header("location")), (401, None));
    assert_eq!(answer.json(), serde_json::json!({ "error": "login_required", "login_url": LOGIN }));
    assert_eq!(answer.header("vary"), Some("Cookie"));
    assert!(app.seen().is_empty());
}

/// SM-04: fixation. The id that came with the sign-in form is worth nothing afterwards.
#[test]
fn an_id_from_before_the_sign_in_is_anonymous_after_it() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let mut browser = gateway.browser();
    browser.get(LOGIN);
    let mut thief = gateway.browser();
    thief.jar = browser.jar.clone();
    let before = browser.session_id().unwrap();
    assert_eq!(browser.sign_in("ann", PASSWORD).status, 303);
    assert_ne!(browser.session_id().unwrap(), before);
    assert_eq!(thief.get("/").status, 302);
    assert!(app.seen().is_empty());
}

/// SM-04: signing in again, as the same user or another, ends the session that was there.
#[test]
fn signing_in_again_replaces_the_session() {
    let gateway = TestGateway::before(&App::echoing());
    for next in ["ann", "bob"] {
        let mut browser = gateway.signed_in("ann");
        let mut old = gateway.browser();
        old.jar = browser.jar.clone();
        assert_eq!(browser.sign_in(next, PASSWORD).status, 303);
        assert_ne!(browser.session_id(), old.session_id());
        assert_eq!(old.get("/").status, 302, "{next}");
        assert_eq!(browser.get("/.session/me").json()["user"], next);
    }
}

/// LG-01: nothing in the answer tells who exists.
#[test]
fn an_unknown_a_known_and_a_disabled_user_get_the_same_answer() {
    let app = App::echoing();
    let disabled = user("dan", "wiki").replacen('{', "{ disabled: true,", 1);
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\nlogin: {{ form: {{ users: [{}, {disabled}] }}, regulation: {{ max_retries: 0 }} }}",
        app.address,
        user("ann", "wiki")
    ));
    let long = "x".repeat(1025);
    let very_long = "x".repeat(60 * 1024);
    let cases = [("ann", "wrong"), ("eve", "wrong"), ("dan", "wrong"), ("dan", PASSWORD)];
    let over_long = [("ann", &*long), ("eve", &long), ("dan", &long), ("ann", &very_long), ("eve", &very_long)];
    let answers: Vec<_> =
        cases.into_iter().chain(over_long).map(|(user, password)| try_once(&gateway, user, password)).collect();
    for (answer, shape) in &answers {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        assert_eq!(shape, &answers[0].1);
    }
}

fn try_once(gateway: &TestGateway, user: &str, password: &str) -> (Response, (Vec<(String, String)>, String)) {
    let mut browser = gateway.browser();
    let answer = browser.sign_in(user, password);
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "date");
    let token = field(&answer, "csrf").expect("the form again");
    let body = answer.text().replace(&token, "TOKEN").replace(&format!("value=\"{user}\""), "value=\"USER\"");
    (answer, (headers, body))
}

/// LG-01: a body too large for a form is not read, whoever it names.
#[test]
fn a_password_of_a_megabyte_is_refused_before_it_is_looked_at() {
    let gateway = TestGateway::before(&App::echoing());
    let huge = "x".repeat(1024 * 1024);
    for user in ["ann", "eve"] {
        assert_eq!(gateway.browser().sign_in(user, &huge).status, 413, "{user}");
    }
}

/// LG-01, ASVS 6.2.8: a long password counts to its last character.
#[test]
fn a_long_password_is_compared_whole() {
    let password = "long and longer, ".repeat(12);
    let hash = cloakroom::auth::hash::hash(&password);
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\nlogin: {{ form: {{ users: [{{ name: ann, password: '{hash}' }}] }} }}",
        app.address
    ));
    let almost = format!("{}!", &password[..password.len() - 1]);
    assert_eq!(gateway.browser().sign_in("ann", &almost).status, 401);
    assert_eq!(gateway.browser().sign_in("ann", &password).status, 303);
}

#[test]
fn a_name_is_taken_in_any_case_and_the_app_sees_one_spelling() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    for typed in ["ANN", " ann ", "aNN\t"] {
        let mut browser = gateway.browser();
        assert_eq!(browser.sign_in(typed, PASSWORD).status, 303, "{typed:?}");
        browser.get("/");
        assert_eq!(app.last().header("remote-user"), Some("ann"), "{typed:?}");
    }
}

/// LG-04, SM-24: another site cannot sign its visitor in as somebody else.
#[test]
fn a_form_from_another_site_signs_nobody_in() {
    let gateway = TestGateway::before(&App::echoing());
    let foreign: [&[(&str, &str)]; 5] = [
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "same-origin")],
    ];
    for headers in foreign {
        let mut browser = gateway.browser();
        let csrf = field(&browser.get(LOGIN), "csrf").unwrap();
        let answer = post(&mut browser, headers, &[("csrf", &csrf), ("username", "ann"), ("password", PASSWORD)]);
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(answer.text().contains("came from another site"), "{headers:?}");
        assert_eq!(browser.get("/").status, 302, "{headers:?}");
    }
}

/// LG-04: the form's token belongs to one browser.
#[test]
fn a_form_without_this_browsers_token_signs_nobody_in() {
    let gateway = TestGateway::before(&App::echoing());
    let foreign = field(&gateway.browser().get(LOGIN), "csrf").unwrap();
    for token in ["", "x", &foreign] {
        let mut browser = gateway.browser();
        browser.get(LOGIN);
        let answer = browser.post(LOGIN, &[("csrf", token), ("username", "ann"), ("password", PASSWORD)]);
        assert_eq!(answer.status, 403, "{token}");
        assert!(answer.text().contains("had been open for too long"), "{token}");
        assert_eq!(browser.get("/").status, 302, "{token}");
    }
}

/// LG-04: a token that an attacker saw before the sign-in does nothing after it.
#[test]
fn a_token_from_before_the_sign_in_is_refused_after_it() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.browser();
    let old = field(&browser.get(LOGIN), "csrf").unwrap();
    assert_eq!(browser.sign_in("ann", PASSWORD).status, 303);
    assert_eq!(browser.post(LOGIN, &[("csrf", &old), ("username", "bob"), ("password", PASSWORD)]).status, 403);
    assert_eq!(browser.get("/.session/me").json()["user"], "ann");
}

#[test]
fn two_tabs_with_the_form_do_not_disturb_each_other() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.browser();
    let first = field(&browser.get(LOGIN), "csrf").unwrap();
    let second = field(&browser.get(LOGIN), "csrf").unwrap();
    assert_ne!(first, second);
    let answer = browser.post(LOGIN, &[("csrf", &first), ("username", "ann"), ("password", PASSWORD)]);
    assert_eq!(answer.status, 303);
}

#[test]
fn a_form_that_comes_without_our_cookie_gets_the_cause_and_not_a_loop() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.browser();
    let csrf = field(&browser.get(LOGIN), "csrf").unwrap();
    browser.jar.clear();
    let answer = browser.post(LOGIN, &[("csrf", &csrf), ("username", "ann"), ("password", PASSWORD)]);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("did not send our cookie back") && answer.text().contains("sessionid"));
    assert_eq!(answer.all("set-cookie"), [""; 0]);
}

#[test]
fn a_form_in_another_format_is_refused() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.browser();
    browser.get(LOGIN);
    let json = browser.request("POST", LOGIN, &[("Content-Type", "application/json")], b"{\"username\":\"ann\"}");
    assert_eq!(json.status, 415);
    let put = browser.request("PUT", LOGIN, &[], b"x");
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, HEAD, POST")));
}

#[test]
fn what_was_typed_is_shown_again_escaped_and_the_password_never() {
    let gateway = TestGateway::before(&App::echoing());
    let page = gateway.browser().sign_in("\"><script>alert(1)</script>", "hunter2 hunter2").text();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    assert!(!page.contains("hunter2"), "{page}");
}

#[test]
fn name_and_password_in_the_address_sign_nobody_in() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.browser();
    let csrf = field(&browser.get(LOGIN), "csrf").unwrap();
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("csrf", &*csrf), ("username", "ann"), ("password", PASSWORD)])
        .finish();
    assert_eq!(browser.get(&format!("{LOGIN}?{query}")).status, 200);
    assert_eq!(browser.post(&format!("{LOGIN}?{query}"), &[]).status, 403);
    assert_eq!(browser.get("/").status, 302);
}

/// LG-03: hashing has a bounded place; what does not fit is refused at once, and other requests are not held up.
#[test]
fn a_burst_of_sign_ins_is_bounded_and_holds_nothing_up() {
    let app = App::answering(ok("here"));
    let hash = cloakroom::auth::hash::hash(PASSWORD);
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ access: public, upstream: 'http://{}' }}]\n\
         login: {{ form: {{ users: [{{ name: ann, password: '{hash}' }}] }} }}",
        app.address
    ));
    // 64 may wait, half of the cores are at work: 35 too many.
    let at_work = (available_parallelism().map_or(1, usize::from) / 2).max(1);
    let mut clients: Vec<Client> = (0..64 + at_work + 35).map(|_| ready_to_sign_in(&gateway)).collect();
    for client in &mut clients {
        // The last byte is what the gateway waits for: all forms arrive within a moment.
        client.send("t");
    }
    for _ in 0..20 {
        assert_eq!(gateway.browser().get("/").text(), "here");
    }
    let answers: Vec<_> = clients.iter_mut().map(Client::response).collect();
    let (signed_in, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 303);
    assert!(signed_in.len() >= 64 && !refused.is_empty(), "{} and {}", signed_in.len(), refused.len());
    for answer in refused {
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert!(answer.text().contains("Many people are signing in"));
    }
}

/// A connection that has sent a right sign-in form but for its last byte, a `t`.
fn ready_to_sign_in(gateway: &TestGateway) -> Client {
    let mut browser = gateway.browser();
    let csrf = field(&browser.get(LOGIN), "csrf").unwrap();
    let fields = [("username", "ann"), ("password", PASSWORD), ("csrf", &*csrf), ("x", "t")];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut client = gateway.connect();
    client.send(format!(
        "POST {LOGIN} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Cookie: sessionid={}\r\nContent-Length: {}\r\n\r\n{}",
        browser.host,
        browser.session_id().unwrap(),
        body.len(),
        &body[..body.len() - 1]
    ));
    client
}

fn post(browser: &mut Browser, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Response {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut all = vec![("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "text/html")];
    all.extend(headers);
    browser.request("POST", LOGIN, &all, body.as_bytes())
}
