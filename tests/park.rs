//! Interrupted work: a form that is sent when the session has ended is kept, asked about, and sent once.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::process::Process;
use crate::support::{App, Browser, PASSWORD, Response, TestGateway, at_once, field, ok, user};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
const BODY: &[u8] = b"title=A+day&text=%E2%82%AC+and+%00+more&csrfmiddlewaretoken=x";
const FORM: &str = "application/x-www-form-urlencoded";
const QUESTION: &str = "/.session/parked";

fn gateway(app: &App, park: &str) -> TestGateway {
    TestGateway::with_routes(&format!("  - {{ access: user, upstream: 'http://{}'{park} }}", app.address))
}

/// A browser whose session, `user`'s, has just expired.
fn expired(gateway: &TestGateway, user: &str) -> Browser {
    let browser = gateway.signed_in(user);
    gateway.advance(DAY + MINUTE);
    browser
}

/// Submits a form as a browser does.
fn send(browser: &mut Browser, path: &str, content_type: &str, body: &[u8]) -> Response {
    let origin = format!("http://{}", browser.host);
    send_from(browser, &origin, path, content_type, body)
}

fn send_from(browser: &mut Browser, origin: &str, path: &str, content_type: &str, body: &[u8]) -> Response {
    let referer = format!("{origin}/edit?id=3");
    let headers = [
        ("Content-Type", content_type),
        ("Origin", origin),
        ("Referer", &referer),
        ("Accept", "text/html"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    browser.request("POST", path, &headers, body)
}

/// Sends a form with nobody signed in, which is kept; returns the sign-in page's address.
fn park(browser: &mut Browser, path: &str) -> String {
    let challenged = send(browser, path, FORM, BODY);
    let location = challenged.header("location").unwrap_or_default().to_owned();
    assert_eq!((challenged.status, location.as_str()), (302, "/.session/login?rd=/.session/parked"));
    location
}

fn sign_in(browser: &mut Browser, user: &str) {
    let answer = browser.sign_in_to(QUESTION, user, PASSWORD);
    assert_eq!((answer.status, answer.header("location")), (303, Some(QUESTION)), "{}", answer.text());
}

/// Presses a button of the question page.
fn press(browser: &mut Browser, page: &Response, path: &str) -> Response {
    let [number, csrf] = ["cloakroom-form", "csrf"].map(|name| field(page, name).expect(name));
    browser.post(path, &[("cloakroom-form", &number), ("csrf", &csrf)])
}

fn posts(app: &App) -> usize {
    app.seen().iter().filter(|seen| seen.line().starts_with("POST")).count()
}

#[test]
fn a_form_that_meets_the_end_of_the_session_is_sent_once_by_who_has_signed_in_again() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    let login = park(&mut browser, "/save?id=3");
    assert!(browser.get(&login).text().contains("Your form is kept."));
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    assert!(
        page.text().contains("action=\"&#x2f;save?id=3\"") && page.text().contains("<code>&#x2f;save</code>"),
        "{}",
        page.text()
    );
    assert_eq!(posts(&app), 0);
    let answer = press(&mut browser, &page, "/save?id=3");
    assert_eq!(answer.status, 200);
    let seen = app.last();
    assert_eq!((seen.line(), seen.body.as_slice()), ("POST /save?id=3 HTTP/1.1", BODY));
    assert_eq!((seen.header("content-type"), seen.header("remote-user")), (Some(FORM), Some("ann")));
    assert_eq!(seen.header("referer"), Some(&*format!("http://{}/edit?id=3", browser.host)));
    assert_eq!(seen.header("content-length"), Some(&*BODY.len().to_string()));
    assert!(!seen.head.contains("sessionid"), "{}", seen.head);

    let again = press(&mut browser, &page, "/save?id=3");
    assert_eq!((again.status, again.header("location")), (303, Some(QUESTION)));
    assert!(browser.get(QUESTION).text().contains("No form is waiting"));
    assert_eq!(posts(&app), 1);
}

#[test]
fn a_file_in_pieces_comes_through_byte_for_byte() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    let kind = "multipart/form-data; boundary=----x";
    let body: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 256) as u8).collect();
    assert_eq!(
        send(&mut browser, "/upload", kind, &body).header("location"),
        Some("/.session/login?rd=/.session/parked")
    );
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    assert_eq!(press(&mut browser, &page, "/upload").status, 200);
    assert_eq!((app.last().header("content-type"), app.last().body), (Some(kind), body));
}

#[test]
fn of_many_clicks_one_sends_it() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    let (address, id) = (gateway.address(), browser.session_id().unwrap());
    let answers = at_once(8, |_| press(&mut Browser::holding(address, &id), &page, "/save").status);
    assert_eq!((answers.iter().filter(|status| **status == 200).count(), posts(&app)), (1, 1), "{answers:?}");
}

#[test]
fn what_is_discarded_is_gone_and_leads_back_to_the_page_with_the_form() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    let discarded = press(&mut browser, &page, QUESTION);
    assert_eq!((discarded.status, discarded.header("location")), (303, Some("/edit?id=3")));
    assert_eq!(press(&mut browser, &page, "/save").header("location"), Some(QUESTION));
    assert!(browser.get(QUESTION).text().contains("No form is waiting"));
    assert_eq!(posts(&app), 0);
}

#[test]
fn after_its_time_it_is_gone() {
    let app = App::echoing();
    let gateway = gateway(&app, ", park: { ttl: 5m }");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    assert!(page.text().contains("kept for 5 more minutes"), "{}", page.text());
    gateway.advance(MINUTE * 5);
    assert_eq!(press(&mut browser, &page, "/save").header("location"), Some(QUESTION));
    assert!(browser.get(QUESTION).text().contains("No form is waiting"));
    assert_eq!(posts(&app), 0);
}

#[test]
fn another_user_is_neither_asked_nor_served() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "bob");
    assert!(browser.get(QUESTION).text().contains("No form is waiting"));
    assert_eq!(browser.get("/").status, 200);
    // Nor does it come back with its user.
    assert_eq!(browser.sign_in("ann", PASSWORD).status, 303);
    assert!(browser.get(QUESTION).text().contains("No form is waiting"));
    assert_eq!(posts(&app), 0);
}

#[test]
fn who_signs_in_after_another_does_not_get_the_forms_of_that_one() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    // The store forgets who it was: the first request ends the session for good.
    browser.fetch("/");
    let mut old = Browser::holding(gateway.address(), &"a".repeat(32));
    park(&mut old, "/save");
    sign_in(&mut old, "ann");
    assert!(field(&old.get(QUESTION), "cloakroom-form").is_some());
    assert_eq!(old.sign_in("bob", PASSWORD).status, 303);
    assert!(field(&old.get(QUESTION), "cloakroom-form").is_none());
}

#[test]
fn another_browser_cannot_send_it() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    let mut other = gateway.signed_in("ann");
    assert!(other.get(QUESTION).text().contains("No form is waiting"));
    // It has no ticket, so this is a form like any other: nothing of the first one's.
    press(&mut other, &page, "/save");
    assert!(app.seen().iter().all(|seen| seen.body != BODY));
}

#[test]
fn neither_another_site_nor_a_missing_token_sends_it() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    let [number, csrf] = ["cloakroom-form", "csrf"].map(|name| field(&page, name).unwrap());
    let fields = [("cloakroom-form", number.as_str()), ("csrf", csrf.as_str())];
    for path in ["/save", QUESTION] {
        assert_eq!(browser.post_from("https://evil.example", path, &fields).header("location"), Some(QUESTION));
        assert_eq!(
            browser.post(path, &[("cloakroom-form", &number), ("csrf", "x")]).header("location"),
            Some(QUESTION)
        );
    }
    assert_eq!(posts(&app), 0);
    assert_eq!(press(&mut browser, &page, "/save").status, 200);
}

/// A challenge as without all this; the sign-in page says what became of the form.
fn assert_lost(answer: &Response, browser: &mut Browser) {
    let location = answer.header("location").unwrap_or_default();
    assert_eq!((answer.status, location), (302, "/.session/login?rd=/save&form=lost"));
    assert!(browser.get(location).text().contains("Your form was not sent,"));
}

#[test]
fn forms_of_another_site_are_never_kept() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    let challenged = send_from(&mut browser, "https://evil.example", "/save", FORM, BODY);
    assert_eq!((challenged.status, challenged.header("location")), (302, Some("/.session/login?rd=/save")));
    let silent = [("Content-Type", FORM), ("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")];
    let challenged = browser.request("POST", "/save", &silent, BODY);
    assert_eq!(challenged.header("location"), Some("/.session/login?rd=/save"));
    let framed = [&silent[..], &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Dest", "iframe")]].concat();
    let challenged = browser.request("POST", "/save", &framed, BODY);
    assert_eq!(challenged.header("location"), Some("/.session/login?rd=/save"));
    sign_in(&mut browser, "ann");
    assert!(field(&browser.get(QUESTION), "cloakroom-form").is_none());
}

#[test]
fn what_a_program_sends_is_refused_as_ever() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    let origin = format!("http://{}", browser.host);
    let headers = [("Origin", &*origin), ("Accept", "*/*"), ("Sec-Fetch-Mode", "cors")];
    let answer = browser.request("POST", "/save", &headers, BODY);
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("login_required")));
}

#[test]
fn a_stranger_a_form_too_large_and_a_route_that_keeps_none_are_told_so() {
    let app = App::echoing();
    let gateway = gateway(&app, ", park: { max_size: 1KiB }");
    let mut stranger = gateway.browser();
    let answer = send(&mut stranger, "/save", FORM, BODY);
    assert_lost(&answer, &mut stranger);
    let mut guesser = Browser::holding(gateway.address(), "not-an-id");
    assert_lost(&send(&mut guesser, "/save", FORM, BODY), &mut stranger);
    let mut browser = expired(&gateway, "ann");
    let answer = send(&mut browser, "/save", FORM, &[b'a'; 1025]);
    assert_lost(&answer, &mut browser);
    assert_eq!(
        send(&mut browser, "/save", FORM, &[b'a'; 1024]).header("location"),
        Some("/.session/login?rd=/.session/parked")
    );

    let none = self::gateway(&app, ", park: null");
    let mut browser = expired(&none, "ann");
    let answer = send(&mut browser, "/save", FORM, BODY);
    assert_lost(&answer, &mut browser);
    assert_eq!(posts(&app), 0);
}

#[test]
fn one_address_cannot_fill_the_room() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut kept = 0;
    for n in 0..12 {
        let mut browser = Browser::holding(gateway.address(), &format!("{n:032}"));
        let answer = send(&mut browser, "/save", FORM, BODY);
        kept += usize::from(!answer.header("location").unwrap().contains("lost"));
    }
    assert_eq!(kept, 8);
    gateway.advance(MINUTE * 10);
    park(&mut Browser::holding(gateway.address(), &"z".repeat(32)), "/save");
}

#[test]
fn several_tabs_are_asked_about_together() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    for path in ["/one", "/two", "/three", "/four"] {
        park(&mut browser, path);
    }
    assert_eq!(send(&mut browser, "/five", FORM, BODY).header("location"), Some("/.session/login?rd=/five&form=lost"));
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    assert_eq!(page.text().matches("name=\"cloakroom-form\"").count(), 4);
    // The first on the page; the others still wait.
    assert_eq!(press(&mut browser, &page, "/one").status, 200);
    assert_eq!(browser.get(QUESTION).text().matches("name=\"cloakroom-form\"").count(), 3);
}

#[test]
fn a_form_of_the_apps_own_to_the_same_place_passes_as_it_is() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    assert_eq!(send(&mut browser, "/save", FORM, b"typed=again").status, 200);
    assert_eq!(app.last().body, b"typed=again");
    assert_eq!(send(&mut browser, "/save", FORM, &[b'a'; 5000]).status, 200);
    assert_eq!(app.last().body, [b'a'; 5000]);
    assert_eq!(send(&mut browser, "/save", "text/plain", b"cloakroom-form=1").status, 200);
    assert_eq!(app.last().body, b"cloakroom-form=1");
    let page = browser.get(QUESTION);
    assert_eq!(press(&mut browser, &page, "/save").status, 200);
    assert_eq!(app.last().body, BODY);
}

#[test]
fn sending_asks_the_policy_again() {
    let app = App::echoing();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: {{ groups: [staff] }}, upstream: 'http://{}' }}",
        app.address
    ));
    let mut browser = Browser::holding(gateway.address(), &"a".repeat(32));
    park(&mut browser, "/save");
    sign_in(&mut browser, "bob");
    let page = browser.get(QUESTION);
    assert_eq!(press(&mut browser, &page, "/save").status, 403);
    assert!(app.seen().is_empty());
    assert_eq!(press(&mut browser, &page, QUESTION).status, 303);
}

#[test]
fn when_the_app_cannot_be_reached_the_form_stays() {
    // Nobody listens there.
    let gateway = TestGateway::with_routes("  - { access: user, upstream: 'http://127.0.0.1:1' }");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    let answer = press(&mut browser, &page, "/save");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/.session/parked?unreached")));
    let again = browser.get("/.session/parked?unreached");
    assert!(again.text().contains("could not be reached"), "{}", again.text());
    assert_ne!(field(&again, "cloakroom-form"), field(&page, "cloakroom-form"));
    assert_eq!(press(&mut browser, &again, "/save").status, 303);
}

/// An app with a login of its own, by form or by Digest, which lets nobody in until it `is_open`.
fn choosy() -> (App, Arc<AtomicBool>) {
    let is_open = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_open);
    let app = App::with(move |seen, stream| {
        let is_open = shared.load(Ordering::SeqCst);
        let answer = match seen.line() {
            "GET /login HTTP/1.1" => ok("<form><input name=u><input type=password name=p></form>"),
            "POST /login HTTP/1.1" if is_open => {
                "HTTP/1.1 302 Found\r\nLocation: /\r\nSet-Cookie: app=1\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            "POST /login HTTP/1.1" => ok("wrong"),
            // Nothing comes back.
            "HEAD /save HTTP/1.1" if !is_open => return false,
            "HEAD /save HTTP/1.1" => {
                let asks = "Digest realm=x, qop=auth, nonce=n";
                format!("HTTP/1.1 401 No\r\nWWW-Authenticate: {asks}\r\nContent-Length: 0\r\n\r\n")
            }
            _ => ok("saved"),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    (app, is_open)
}

#[test]
fn when_the_user_cannot_be_signed_on_to_the_app_the_form_stays() {
    for (sign_on, why, words) in
        [("login_page: /login", "refused", "did not let you in"), ("digest: true", "unreached", "could not be reached")]
    {
        let (app, is_open) = choosy();
        let gateway = gateway(&app, &format!(", cookies: vault, sign_on: {{ {sign_on} }}"));
        let mut browser = expired(&gateway, "ann");
        park(&mut browser, "/save");
        sign_in(&mut browser, "ann");
        let mut page = browser.get(QUESTION);
        for _ in 0..2 {
            let again = format!("{QUESTION}?{why}");
            let answer = press(&mut browser, &page, "/save");
            assert_eq!((answer.status, answer.header("location")), (303, Some(&*again)), "{sign_on}");
            page = browser.get(&again);
            assert!(page.text().contains(words) && page.text().contains("<code>&#x2f;save</code>"), "{}", page.text());
        }
        is_open.store(true, Ordering::SeqCst);
        gateway.advance(MINUTE);
        assert_eq!(press(&mut browser, &page, "/save").text(), "saved", "{sign_on}");
        let saved: Vec<_> = app.seen().into_iter().filter(|seen| seen.line() == "POST /save HTTP/1.1").collect();
        assert!(saved.len() == 1 && saved[0].body == BODY, "{saved:?}");
        assert!(browser.get(QUESTION).text().contains("No form is waiting"));
    }
}

#[test]
fn who_has_no_account_at_the_app_keeps_the_form() {
    let (app, dir) = (App::echoing(), tempfile::tempdir().unwrap());
    let file = dir.path().join("apps.yaml");
    std::fs::write(&file, "bob: { username: b, password: b }\n").unwrap();
    let credentials = format!("credentials: {{ file: '{}' }}", file.display());
    let gateway = gateway(&app, &format!(", sign_on: {{ basic: true, {credentials} }}"));
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    assert_eq!(press(&mut browser, &page, "/save").header("location"), Some("/.session/parked?refused"));
    assert!(browser.get(QUESTION).text().contains("Send your form now?"));
    assert!(app.seen().is_empty());
}

/// Signed in by another app's word, so nothing was typed that this one could be given.
#[test]
fn who_must_sign_in_again_for_the_app_finds_the_form_after_that() {
    let (app, portal) = (App::echoing(), App::obeying());
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: user, sign_on: {{ basic: true }}, upstream: 'http://{}' }}\n  \
           - {{ path: /portal, access: public, session_headers: read_write, upstream: 'http://{}' }}",
        app.address, portal.address
    ));
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    browser.answered("/portal", &["Session-User: ann"]);
    let page = browser.get(QUESTION);
    let answer = press(&mut browser, &page, "/save");
    assert_eq!((answer.status, answer.header("location")), (302, Some("/.session/login?rd=/.session/parked")));
    assert!(app.seen().is_empty());
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    assert_eq!(press(&mut browser, &page, "/save").status, 200);
    assert_eq!((posts(&app), app.last().body), (1, BODY.to_vec()));
}

#[test]
fn a_form_that_the_app_has_been_asked_with_does_not_come_back() {
    let app = App::answering("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n");
    let gateway = gateway(&app, ", sign_on: { basic: true }");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    assert_eq!(press(&mut browser, &page, "/save").status, 502);
    assert!(browser.get(QUESTION).text().contains("No form is waiting"));
    assert_eq!(posts(&app), 1);
}

#[test]
fn whoever_was_anonymous_before_is_asked_too() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    // Another tab has met the sign-in page meanwhile.
    browser.get("/.session/login");
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let page = browser.get(QUESTION);
    assert_eq!(press(&mut browser, &page, "/save").status, 200);
    assert_eq!(app.last().body, BODY);
}

#[test]
fn after_signing_in_anywhere_the_next_page_asks_once() {
    let app = App::echoing();
    let gateway = gateway(&app, "");
    let mut browser = expired(&gateway, "ann");
    park(&mut browser, "/save");
    assert_eq!(browser.sign_in_to("/home?a=1", "ann", PASSWORD).header("location"), Some("/home?a=1"));
    assert_eq!(browser.fetch("/api").status, 200);
    let asked = browser.get("/home?a=1");
    assert_eq!((asked.status, asked.header("location")), (303, Some("/.session/parked?rd=/home%3Fa%3D1")));
    let page = browser.get("/.session/parked?rd=/home%3Fa%3D1");
    assert_eq!(browser.get("/home?a=1").status, 200);
    let [number, csrf, rd] = ["cloakroom-form", "csrf", "rd"].map(|name| field(&page, name).unwrap());
    let discarded = browser.post(QUESTION, &[("cloakroom-form", &number), ("csrf", &csrf), ("rd", &rd)]);
    assert_eq!(discarded.header("location"), Some("/home?a=1"));
}

#[test]
fn where_the_app_signs_people_in_it_is_asked_about_after_that() {
    let app = App::with(|seen, stream| {
        let answer = match seen.line() {
            "POST /login HTTP/1.1" => {
                "HTTP/1.1 302 Found\r\nLocation: /home\r\nSet-Cookie: app=1; Path=/save\r\nContent-Length: 0\r\n\r\n"
                    .into()
            }
            _ => ok(&seen.head),
        };
        std::io::Write::write_all(stream, answer.as_bytes()).is_ok()
    });
    for cookies in ["pass", "vault"] {
        let gateway = TestGateway::with_config(&format!(
            "login: {{ form: null }}\nroutes:\n  - {{ access: user, cookies: {cookies}, upstream: 'http://{}', observe: {{ \
             login: {{ path: /login, location_not: /login, user: {{ form: username }} }} }} }}",
            app.address
        ));
        let mut browser = Browser::holding(gateway.address(), &"a".repeat(32));
        assert_eq!(send(&mut browser, "/save", FORM, BODY).header("location"), Some("/login"));
        assert!(browser.session_id().is_some_and(|id| id != "a".repeat(32)));
        assert_eq!(browser.post("/login", &[("username", "ann")]).status, 302);
        let asked = browser.get("/home");
        assert_eq!((asked.status, asked.header("location")), (303, Some("/.session/parked?rd=/home")));
        let page = browser.get("/.session/parked?rd=/home");
        assert_eq!(press(&mut browser, &page, "/save").status, 200);
        let seen = app.last();
        assert_eq!(
            (seen.body.as_slice(), seen.header("remote-user"), seen.header("cookie")),
            (BODY, Some("ann"), Some("app=1"))
        );
    }
}

/// An app with a sign-in of its own, which has forgotten everybody since the last one where a path says so.
fn forgetful() -> App {
    App::with(|seen, stream| {
        let knows = seen.header("cookie").is_some_and(|line| line.contains("app=1"));
        let answer = match seen.line() {
            "POST /login HTTP/1.1" => {
                "HTTP/1.1 302 Found\r\nLocation: /home\r\nSet-Cookie: app=1; Path=/\r\nContent-Length: 0\r\n\r\n".into()
            }
            "GET /forget HTTP/1.1" => {
                "HTTP/1.1 200 OK\r\nSet-Cookie: app=; Max-Age=0; Path=/\r\nContent-Length: 0\r\n\r\n".into()
            }
            _ if knows => ok(&seen.head),
            _ => "HTTP/1.1 302 Found\r\nLocation: /login?next=/\r\nContent-Length: 0\r\n\r\n".into(),
        };
        std::io::Write::write_all(stream, answer.as_bytes()).is_ok()
    })
}

fn before(app: &App, more: &str) -> TestGateway {
    TestGateway::with_config(&format!(
        "login: {{ form: null }}\nroutes:\n  - {{ access: user, cookies: vault, upstream: 'http://{}', observe: {{ \
         login: {{ path: /login, location_not: /login, user: {{ form: username }} }} }}{more} }}",
        app.address
    ))
}

#[test]
fn a_form_that_meets_an_app_which_has_forgotten_its_sender_is_kept_for_that_user() {
    let app = forgetful();
    let gateway = before(&app, "");
    let mut browser = gateway.browser();
    for user in ["ann", "bob"] {
        assert_eq!(browser.post("/login", &[("username", "ann")]).status, 302);
        browser.get("/forget");
        let old = browser.session_id();
        let answer = send(&mut browser, "/save?id=3", FORM, BODY);
        assert_eq!((answer.status, answer.header("location")), (302, Some("/login?next=/")), "the app's own word");
        assert_ne!(browser.session_id(), old);
        assert_eq!(browser.get("/.session/me").json()["authenticated"], false);
        app.forget();
        browser.post("/login", &[("username", user)]);
        if user == "bob" {
            assert_eq!(browser.get("/home").status, 200);
            assert!(field(&browser.get(QUESTION), "cloakroom-form").is_none());
            continue;
        }
        assert_eq!(browser.get("/home").header("location"), Some("/.session/parked?rd=/home"));
        let page = browser.get("/.session/parked?rd=/home");
        assert_eq!(press(&mut browser, &page, "/save?id=3").status, 200);
        let seen = app.last();
        assert_eq!((seen.line(), seen.body.as_slice()), ("POST /save?id=3 HTTP/1.1", BODY));
        assert_eq!((seen.header("cookie"), seen.header("remote-user")), (Some("app=1"), Some("ann")));
        assert_eq!(seen.header("content-type"), Some(FORM));
        browser.sign_out();
    }
}

#[test]
fn of_what_an_app_has_forgotten_no_foreign_form_no_long_one_and_none_of_a_program_is_kept() {
    let app = forgetful();
    for (more, origin, mode, body) in [
        ("", "https://evil.example", "navigate", BODY),
        ("", "", "cors", BODY),
        (", park: { max_size: 1KiB }", "", "navigate", &[b'a'; 1025]),
        (", park: null", "", "navigate", BODY),
    ] {
        let gateway = before(&app, more);
        let mut browser = gateway.browser();
        browser.post("/login", &[("username", "ann")]);
        browser.get("/forget");
        let own = format!("http://{}", browser.host);
        let origin = if origin.is_empty() { &own } else { origin };
        let headers = [("Content-Type", FORM), ("Origin", origin), ("Accept", "text/html"), ("Sec-Fetch-Mode", mode)];
        assert_eq!(browser.request("POST", "/save", &headers, body).status, 302);
        browser.post("/login", &[("username", "ann")]);
        assert_eq!(browser.get("/home").status, 200, "nothing is asked: {more} {origin} {mode}");
        assert!(field(&browser.get(QUESTION), "cloakroom-form").is_none());
    }
}

#[test]
fn it_survives_a_restart_of_the_program() {
    let (app, dir) = (App::echoing(), tempfile::tempdir().unwrap());
    let yaml = format!(
        "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nstore: {{ timeout: 10s }}\n\
         session: {{ cookie: {{ secure: auto }} }}\nlogin: {{ form: {{ users: [{}] }} }}\n\
         routes: [{{ access: user, upstream: 'http://{}' }}]\n",
        user("ann", "staff"),
        app.address
    );
    let start = || Process::start(dir.path(), &yaml, 1, &[]);
    let first = start();
    let mut browser = Browser::holding(first.addresses()[0], &"a".repeat(32));
    park(&mut browser, "/save");
    sign_in(&mut browser, "ann");
    let (host, id) = (browser.host.clone(), browser.session_id().unwrap());
    assert!(first.terminate().0.success());
    let second = start();
    let mut browser = Browser::holding(second.addresses()[0], &id);
    // It has another port here; the browser has seen one name all the while.
    browser.host = host;
    let page = browser.get(QUESTION);
    assert_eq!(press(&mut browser, &page, "/save").status, 200);
    assert_eq!(app.last().body, BODY);
}

#[test]
fn while_the_store_does_not_answer_nothing_is_promised() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "store: {{ type: redis, url: 'redis://127.0.0.1:1', timeout: 50ms }}\n\
         routes: [{{ access: user, on_store_error: anonymous, upstream: 'http://{}' }}]",
        app.address
    ));
    let mut browser = Browser::holding(gateway.address(), &"a".repeat(32));
    let answer = send(&mut browser, "/save", FORM, BODY);
    assert_eq!((answer.status, answer.header("location")), (302, Some("/.session/login?rd=/save&form=lost")));
}

#[test]
fn sessions_in_cookies_keep_no_forms() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "store: {{ type: cookie }}\nroutes: [{{ access: user, upstream: 'http://{}' }}]",
        app.address
    ));
    let mut browser = expired(&gateway, "ann");
    let answer = send(&mut browser, "/save", FORM, BODY);
    assert_lost(&answer, &mut browser);
}
