//! Session cookies and session life: what is set, what is believed, when it ends, and what an app may do to it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::support::{App, Client, PASSWORD, Response, TestGateway, ok, user};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn with_session(app: &App, session: &str) -> TestGateway {
    TestGateway::with_config(&format!("routes: [{{ upstream: 'http://{}' }}]\nsession: {{ {session} }}", app.address))
}

/// A request with exactly these `Cookie` lines.
fn with_cookies(gateway: &TestGateway, path: &str, lines: &[&str]) -> Response {
    let mut browser = gateway.browser();
    let mut headers = vec![("Accept", "text/html")];
    headers.extend(lines.iter().map(|line| ("Cookie", *line)));
    browser.request("GET", path, &headers, b"")
}

/// SM-01: 32 characters of a-z0-9, never the same, without a pattern by place.
#[test]
fn ids_are_random_in_every_place() {
    let gateway = TestGateway::before(&App::echoing());
    let ids: HashSet<String> = (0..400)
        .map(|_| {
            let mut browser = gateway.browser();
            browser.get("/.session/login");
            browser.session_id().unwrap()
        })
        .collect();
    assert_eq!(ids.len(), 400);
    for place in 0..32 {
        let at: Vec<u8> = ids.iter().map(|id| id.as_bytes()[place]).collect();
        assert!(at.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        // 400 draws from 36 letters: fewer than 30 different ones come once in some 10^19 such places.
        assert!(at.iter().collect::<HashSet<_>>().len() >= 30, "place {place}");
    }
    assert!(ids.iter().all(|id| id.len() == 32));
}

/// SM-02: a cookie that is almost right is no cookie.
#[test]
fn a_cookie_with_one_byte_changed_is_anonymous() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let id = gateway.signed_in("ann").session_id().unwrap();
    for place in 0..id.len() {
        for replacement in [b'a', b'9', b'A', b'%', b'"', b'=', 0xff] {
            let mut bytes = id.clone().into_bytes();
            if bytes[place] == replacement {
                continue;
            }
            bytes[place] = replacement;
            let mut client = gateway.connect();
            let host = gateway.address();
            client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nCookie: sessionid="));
            client.send(&bytes).send("\r\n\r\n");
            let answer = client.response();
            assert_eq!((answer.status, forgets(&answer)), (401, true), "{place} {replacement}");
        }
    }
    assert!(app.seen().is_empty());
}

/// SM-03: an id we did not issue is never adopted, not even when a session begins.
#[test]
fn an_unknown_id_is_not_adopted() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.browser();
    let planted = "a".repeat(32);
    browser.jar.insert("sessionid".into(), planted.clone());
    assert_eq!(browser.get("/").status, 302);
    browser.sign_in("ann", PASSWORD);
    assert_ne!(browser.session_id().unwrap(), planted);
    assert_eq!(with_cookies(&gateway, "/", &[&format!("sessionid={planted}")]).status, 302);
}

/// SM-03 with `create: always`: the session begins under an id of ours.
#[test]
fn an_unknown_id_is_replaced_when_every_visitor_has_a_session() {
    let gateway = with_session(&App::echoing(), "create: always, cookie: { secure: auto }");
    let mut browser = gateway.browser();
    browser.jar.insert("sessionid".into(), "a".repeat(32));
    let answer = browser.get("/");
    assert_eq!(answer.all("set-cookie").len(), 1);
    assert_ne!(browser.session_id().unwrap(), "a".repeat(32));
    assert_eq!(browser.get("/").all("set-cookie"), [""; 0], "and then it has one");
}

/// Whether the only cookie the answer sets is the deletion of ours.
fn forgets(answer: &Response) -> bool {
    matches!(answer.all("set-cookie")[..], [line] if line.starts_with("sessionid=;") && line.contains("Max-Age=0"))
}

fn guess(client: &mut Client, id: &str) -> Response {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: sessionid={id}\r\n\r\n"));
    client.response()
}

/// SM-22: guessing changes nothing and mints nothing, and goes on for so many ids a minute.
#[test]
fn guessed_ids_find_nothing_and_are_throttled() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "limits: {{ unknown_ids_per_minute: 300 }}\nroutes: [{{ upstream: 'http://{}' }}]",
        app.address
    ));
    let mut client = gateway.connect();
    for id in 0..300 {
        let answer = guess(&mut client, &format!("{id:032}"));
        assert_eq!((answer.status, forgets(&answer)), (401, true), "{id}");
    }
    let answer = guess(&mut client, &format!("{:032}", 301));
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("60")));
    assert!(answer.all("set-cookie").is_empty());
    assert_eq!(guess(&mut client, "malformed").status, 401, "what costs no look-up is not counted");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 401, "who brings no id is not in the way");
    assert!(app.seen().is_empty());
}

/// DO-05: probes and robots mint no session.
#[test]
fn a_thousand_visits_without_a_cookie_begin_no_session() {
    let app = App::answering(ok("public"));
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, upstream: 'http://{0}' }}\n  - {{ path: /private, upstream: 'http://{0}' }}",
        app.address
    ));
    let mut client = gateway.connect();
    for visit in 0..1000 {
        let (path, status) = [("/", 200), ("/private", 401)][visit % 2];
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.response();
        assert_eq!((answer.status, answer.all("set-cookie").len()), (status, 0));
    }
}

/// SM-06: the idle timeout is the server's; activity moves it.
#[test]
fn a_session_ends_when_it_was_not_used_for_the_idle_timeout() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.signed_in("ann");
    gateway.advance(DAY - SECOND);
    assert_eq!(browser.get("/").status, 200);
    gateway.advance(DAY - SECOND);
    assert_eq!(browser.get("/").status, 200);
    gateway.advance(DAY);
    assert_eq!(browser.get("/").status, 302);
}

/// SM-07: activity and a new sign-in page do not move the absolute timeout.
#[test]
fn a_session_ends_at_the_absolute_timeout_however_active_it_is() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.signed_in("ann");
    for _ in 0..14 * 24 - 1 {
        gateway.advance(HOUR);
        assert_eq!(browser.get("/").status, 200);
        browser.get("/.session/login");
    }
    gateway.advance(HOUR - SECOND);
    assert_eq!(browser.get("/").status, 200);
    gateway.advance(SECOND);
    assert_eq!(browser.get("/").status, 302);
}

/// SM-07: a sign-in begins a new span.
#[test]
fn signing_in_again_starts_the_absolute_timeout_anew() {
    let gateway = with_session(&App::echoing(), "idle_timeout: null, absolute_timeout: 1h, cookie: { secure: auto }");
    let mut browser = gateway.signed_in("ann");
    gateway.advance(50 * MINUTE);
    browser.sign_in("ann", PASSWORD);
    gateway.advance(50 * MINUTE);
    assert_eq!(browser.get("/").status, 200);
    gateway.advance(10 * MINUTE);
    assert_eq!(browser.get("/").status, 302);
}

/// SM-09: what has ended stays ended, also when the clock is set back.
#[test]
fn an_expired_session_does_not_come_back() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.signed_in("ann");
    gateway.advance(DAY);
    assert_eq!(browser.get("/").status, 302);
    gateway.clock.set_back(DAY);
    assert_eq!(browser.get("/").status, 302);
}

#[test]
fn asking_for_the_state_of_a_session_does_not_keep_it_alive() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.signed_in("ann");
    for _ in 0..23 {
        gateway.advance(HOUR);
        assert_eq!(browser.fetch("/.session/me").json()["authenticated"], true);
    }
    gateway.advance(HOUR);
    assert_eq!(browser.fetch("/.session/me").json()["authenticated"], false);
}

/// SM-16: the cookie is the only way to name a session.
#[test]
fn an_id_outside_the_cookie_is_ignored() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let id = gateway.signed_in("ann").session_id().unwrap();
    for path in
        [format!("/?sessionid={id}"), format!("/;sessionid={id}"), format!("/page;jsessionid={id}?sessionid={id}")]
    {
        assert!(matches!(gateway.browser().get(&path).status, 302 | 400), "{path}");
    }
    for name in ["X-Session", "X-Session-Id", "Sessionid", "Session-Id", "Authorization", "X-Cookie"] {
        let answer = gateway.browser().request("GET", "/", &[(name, &id), ("Accept", "text/html")], b"");
        assert_eq!(answer.status, 302, "{name}");
    }
    let form = format!("sessionid={id}");
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(gateway.browser().request("POST", "/", &headers, form.as_bytes()).status, 401);
    assert!(app.seen().is_empty());
}

/// SM-16: it is in no address, no page and nothing the app sees.
#[test]
fn an_id_is_in_nothing_but_its_set_cookie_line() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let mut browser = gateway.browser();
    let mut answers = vec![browser.get("/"), browser.sign_in("ann", PASSWORD)];
    let id = browser.session_id().unwrap();
    for path in ["/", "/.session/me", "/.session/login", "/.session/logout", "/.session/cookie-check", "/.session/none"]
    {
        answers.push(browser.get(path));
    }
    for answer in &answers {
        let elsewhere = answer.headers.iter().filter(|(name, _)| name != "set-cookie");
        assert!(elsewhere.into_iter().all(|(_, value)| !value.contains(&id)) && !answer.text().contains(&id));
    }
    assert!(app.seen().iter().all(|seen| !seen.head.contains(&id)));
}

/// SM-17: nobody stores a response that carries the cookie, whatever the app says.
#[test]
fn a_response_with_our_cookie_is_not_to_be_stored() {
    let app = App::answering("HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nContent-Length: 2\r\n\r\nhi");
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ access: public, upstream: 'http://{}' }}]\nsession: {{ create: always, cookie: {{ secure: auto }} }}",
        app.address
    ));
    let mut browser = gateway.browser();
    let first = browser.get("/");
    assert_eq!(first.all("set-cookie").len(), 1);
    assert_eq!(first.all("cache-control"), ["no-store"]);
    assert!(first.header("vary").unwrap().contains("Cookie"));
    let second = browser.get("/");
    assert_eq!(second.all("cache-control"), ["public, max-age=60"], "nothing of ours is in it");
}

/// SM-21: a store that can take no more refuses; it signs nobody out and lets nobody through.
#[test]
fn a_full_store_refuses_new_sessions_and_keeps_the_old_ones() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\nstore: {{ type: memory, max_sessions: 2 }}",
        app.address
    ));
    let (mut one, mut two) = (gateway.signed_in("ann"), gateway.signed_in("bob"));
    let refused = gateway.browser().get("/.session/login");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(refused.all("set-cookie"), [""; 0]);
    assert_eq!((one.get("/").status, two.get("/").status), (200, 200));
    one.sign_out();
    gateway.signed_in("ann");
}

/// CK-01: the default cookie; `sessionid` and its attributes are what the configuration says.
#[test]
fn the_cookie_is_http_only_lax_and_for_the_whole_host() {
    let gateway = TestGateway::before(&App::echoing());
    let answer = gateway.browser().get("/.session/login");
    let line = answer.header("set-cookie").unwrap();
    let (name, rest) = line.split_once('=').unwrap();
    let (_, attributes) = rest.split_once("; ").unwrap();
    assert_eq!((name, attributes), ("sessionid", "HttpOnly; SameSite=Lax; Path=/; Max-Age=1209600"));
}

/// CK-01: `__Host-`, as written.
#[test]
fn a_host_prefixed_cookie_keeps_every_promise_of_its_prefix() {
    let gateway = with_session(&App::echoing(), "cookie: { name: __Host-sessionid, same_site: strict }");
    let mut browser = gateway.browser();
    let line = browser.get("/.session/login").header("set-cookie").unwrap().to_owned();
    let attributes = attributes(&line);
    assert!(line.starts_with("__Host-sessionid="), "{line}");
    assert_eq!((attributes.get("secure"), attributes.get("path")), (Some(&String::new()), Some(&"/".into())));
    assert_eq!((attributes.get("domain"), attributes.get("samesite")), (None, Some(&"Strict".into())));
    assert_eq!(browser.sign_in("ann", PASSWORD).status, 303);
    assert_eq!(browser.get("/").status, 200);
    let deleted = browser.sign_out().header("set-cookie").unwrap().to_owned();
    assert!(deleted.starts_with("__Host-sessionid=;") && deleted.contains("Secure") && !deleted.contains("Domain"));
}

/// CK-01, CK-04, SM-25: each line has every attribute once, and a session of the browser has no lifetime.
#[test]
fn every_configured_attribute_is_written_once() {
    let app = App::echoing();
    let cookie = "{ name: s.id, domain: example.com, same_site: none, partitioned: true, persistent: false }";
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ host: wiki.example.com, upstream: 'http://{}' }}]\nsession: {{ cookie: {cookie} }}",
        app.address
    ));
    let mut browser = gateway.browser();
    browser.host = "wiki.example.com".into();
    let line = browser.get("/.session/login").header("set-cookie").unwrap().to_owned();
    let found = attributes(&line);
    assert_eq!(found.len(), line.split(';').count() - 1, "none is repeated: {line}");
    let expected = [
        ("domain", "example.com"),
        ("httponly", ""),
        ("partitioned", ""),
        ("path", "/"),
        ("samesite", "None"),
        ("secure", ""),
    ];
    assert_eq!(found, BTreeMap::from(expected.map(|(name, value)| (name.into(), value.into()))));
}

fn attributes(line: &str) -> BTreeMap<String, String> {
    let parts = line.split(';').skip(1).map(str::trim);
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect()
}

/// CK-03, CK-04: small, plain, one per response.
#[test]
fn a_response_sets_our_cookie_once_in_few_plain_bytes() {
    let gateway = TestGateway::before(&App::echoing());
    let mut browser = gateway.browser();
    for answer in [browser.get("/.session/login"), browser.sign_in("ann", PASSWORD), browser.sign_out()] {
        let lines = answer.all("set-cookie");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() < 256 && lines[0].bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"'));
    }
}

/// CK-04, CK-16: an app whose own cookie has our name cannot replace ours, nor does it see ours.
#[test]
fn an_app_that_uses_the_same_cookie_name_does_not_disturb_the_session() {
    let app = App::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: sessionid=apps-own; Path=/\r\nSet-Cookie: csrftoken=x\r\n\
         set-cookie:  sessionid = again\r\nContent-Length: 2\r\n\r\nhi",
    );
    let gateway = TestGateway::before(&app);
    let mut browser = gateway.signed_in("ann");
    let id = browser.session_id();
    for _ in 0..2 {
        let answer = browser.get("/");
        assert_eq!(answer.all("set-cookie"), ["csrftoken=x"]);
        assert_eq!(browser.session_id(), id);
        let seen = app.last();
        assert!(!seen.head.contains("sessionid") && seen.header("remote-user") == Some("ann"), "{}", seen.head);
    }
    assert_eq!(app.last().header("cookie"), Some("csrftoken=x"));
}

/// CK-16 with another name for ours: then both work.
#[test]
fn an_apps_own_sessionid_passes_when_ours_is_called_otherwise() {
    let app =
        App::answering("HTTP/1.1 200 OK\r\nSet-Cookie: sessionid=apps-own; Path=/\r\nContent-Length: 2\r\n\r\nhi");
    let gateway = with_session(&app, "cookie: { name: gateway, secure: auto }");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.get("/").header("set-cookie"), Some("sessionid=apps-own; Path=/"));
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(app.last().header("cookie"), Some("sessionid=apps-own"));
}

/// CK-05: never joined, in their order.
#[test]
fn an_apps_cookies_arrive_as_separate_lines_in_their_order() {
    let lines = ["a=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT", "b=2", "a=3; Path=/x"];
    let head: String = lines.iter().map(|line| format!("Set-Cookie: {line}\r\n")).collect();
    let app = App::answering(format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 0\r\n\r\n"));
    let gateway = TestGateway::before(&app);
    assert_eq!(gateway.signed_in("ann").get("/").all("set-cookie"), lines);
}

/// CK-06: several lines are one list, and the app sees one line.
#[test]
fn cookies_of_several_lines_reach_the_app_as_one_without_ours() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let id = gateway.signed_in("ann").session_id().unwrap();
    let ours = format!("b=2; sessionid={id}; c=\"3 4\"");
    assert_eq!(with_cookies(&gateway, "/", &["a=1", &ours, "d=5"]).status, 200);
    assert_eq!(app.last().all("cookie"), ["a=1; b=2; c=\"3 4\"; d=5"]);
}

/// CK-07: order never decides.
#[test]
fn of_several_cookies_the_one_living_session_counts_in_every_order() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let id = gateway.signed_in("ann").session_id().unwrap();
    let (unknown, junk) = ("b".repeat(32), "%00; x=1");
    let values = [&*id, &unknown, junk, ""];
    for order in permutations() {
        let line: Vec<String> = order.iter().map(|place| format!("sessionid={}", values[*place])).collect();
        assert_eq!(with_cookies(&gateway, "/", &[&line.join("; ")]).status, 200, "{order:?}");
        assert_eq!(app.last().header("remote-user"), Some("ann"));
        assert!(!app.last().head.contains("sessionid"));
    }
    assert_eq!(with_cookies(&gateway, "/", &[&format!("sessionid={unknown}; sessionid={junk}")]).status, 302);
}

fn permutations() -> Vec<[usize; 4]> {
    let all = (0..256).map(|n| [n / 64, n / 16 % 4, n / 4 % 4, n % 4]);
    let orders: Vec<_> = all.filter(|order| order.iter().collect::<HashSet<_>>().len() == 4).collect();
    assert_eq!(orders.len(), 24);
    orders
}

/// CK-07: one of two living sessions was planted, and nobody knows which.
#[test]
fn two_living_sessions_in_one_request_are_both_set_aside() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let (ann, bob) = (gateway.signed_in("ann").session_id().unwrap(), gateway.signed_in("bob").session_id().unwrap());
    for (first, second) in [(&ann, &bob), (&bob, &ann)] {
        let answer = with_cookies(&gateway, "/", &[&format!("sessionid={first}; sessionid={second}")]);
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("clear-site-data"), Some("\"cookies\""));
        assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert!(app.seen().is_empty());
    let twice = with_cookies(&gateway, "/", &[&format!("sessionid={ann}; sessionid={ann}")]);
    assert_eq!(twice.status, 200, "the same one twice is no contradiction");
}

/// CK-08: a name is its bytes, and cookies are split as browsers split them.
#[test]
fn a_look_alike_of_our_cookie_is_not_ours() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let id = gateway.signed_in("ann").session_id().unwrap();
    let lines = [
        format!("SESSIONID={id}"),
        format!("SessionId={id}"),
        format!("%73essionid={id}"),
        format!("sessionid%3D{id}"),
        format!("sessionid\u{2000}={id}"),
        format!("\u{a0}sessionid={id}"),
        format!("$Version=1; sessionid=\"{id}\""),
        format!("a=\"x, sessionid={id}, y\""),
        format!("a=1, sessionid={id}"),
        format!("=sessionid={id}"),
        format!("sessionid={id}\u{a0}"),
        format!("sessionid=\"{id}\""),
        format!("sessionid={id},"),
        format!("sessionid={}", id.to_uppercase()),
        format!("__Host-sessionid={id}"),
        format!("__HOST-sessionid={id}"),
    ];
    for line in &lines {
        assert_eq!(with_cookies(&gateway, "/", &[line]).status, 302, "{line}");
    }
    assert!(app.seen().is_empty());
    for line in [format!("sessionid={id};"), format!("\tsessionid = {id} "), format!("a=\"x; sessionid={id}; y\"")] {
        assert_eq!(with_cookies(&gateway, "/", &[&line]).status, 200, "{line}");
    }
}

/// CK-10: `Max-Age` mirrors what is left and decides nothing.
#[test]
fn a_browser_that_keeps_the_cookie_longer_gains_nothing() {
    let gateway = with_session(&App::echoing(), "idle_timeout: null, absolute_timeout: 400d, cookie: { secure: auto }");
    let mut browser = gateway.browser();
    let line = browser.sign_in("ann", PASSWORD).header("set-cookie").unwrap().to_owned();
    assert_eq!(attributes(&line)["max-age"], (400 * 86_400).to_string());
    gateway.advance(400 * DAY - SECOND);
    assert_eq!(browser.get("/").status, 200);
    gateway.advance(SECOND);
    assert_eq!(browser.get("/").status, 302);
}

/// A response that depends on who asks says so, and a shared cache keeps it apart.
#[test]
fn what_a_user_sees_varies_by_cookie() {
    let app = App::answering("HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\nContent-Length: 0\r\n\r\n");
    let gateway = TestGateway::before(&app);
    let answer = gateway.signed_in("ann").get("/");
    let vary = answer.all("vary").join(", ").to_ascii_lowercase();
    assert!(vary.contains("cookie") && vary.contains("accept-encoding"), "{vary}");
}

/// SM-27: a telephone that changes its network stays signed in.
#[test]
fn another_address_or_browser_version_ends_no_session() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\ntrusted_proxies: [127.0.0.1]\nlogin: {{ form: {{ users: [{}] }} }}",
        app.address,
        user("ann", "wiki")
    ));
    let mut browser = gateway.signed_in("ann");
    for address in ["198.51.100.1", "2001:db8::1"] {
        let headers = [("X-Forwarded-For", address), ("User-Agent", "New/2")];
        assert_eq!(browser.request("GET", "/", &headers, b"").status, 200);
    }
}
