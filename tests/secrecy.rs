//! What no log may hold: session ids, passwords, form tokens; and what no visitor may write into it.
//!
//! The shipped program runs at its most talkative level; everything it wrote is searched.

use serde_json::Value;

use crate::support::process::{Process, write};
use crate::support::{App, Browser, Client, PASSWORD, Response, field, ok, user};

/// Everything secret that came by.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn of(&mut self, response: &Response) {
        for line in response.all("set-cookie") {
            let value = line.split(';').next().unwrap().split_once('=').unwrap().1;
            if value.len() > 8 {
                self.0.push(value.to_owned());
            }
        }
        self.0.extend(field(response, "csrf"));
    }
}

fn yaml(app: &App) -> String {
    format!(
        "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nworkers: 1\n\
         log: {{ level: trace, access: true }}\nsession: {{ cookie: {{ secure: auto }} }}\n\
         login: {{ form: {{ users: [{}] }} }}\n\
         routes:\n  - {{ path: /down, access: public, upstream: 'http://127.0.0.1:1' }}\n  - {{ upstream: 'http://{}' }}\n",
        user("ann", "wiki"),
        app.address
    )
}

/// SM-19.
#[test]
fn no_id_password_or_token_is_ever_logged() {
    let app = App::with(|seen, stream| {
        use std::io::Write;
        let cookie = "HTTP/1.1 200 OK\r\nSet-Cookie: sessionid=the-apps-own-cookie\r\nContent-Length: 0\r\n\r\n";
        let answer = if seen.line().contains("/clash") { cookie.to_owned() } else { ok("x") };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &yaml(&app), 1, &[]);
    let mut secrets = Secrets::default();
    secrets.0.extend(["wrong-but-private", "in-the-query", "the-apps-own-cookie", "in-a-header"].map(Into::into));
    secrets.0.extend([PASSWORD.to_owned(), PASSWORD.replace(' ', "+"), PASSWORD.replace(' ', "%20")]);

    let mut browser = Browser::at(process.addresses()[0]);
    secrets.of(&browser.get("/.session/login?rd=/&token=in-the-query"));
    for answer in [browser.sign_in("ann", "wrong-but-private"), browser.sign_in("ann", PASSWORD)] {
        secrets.of(&answer);
    }
    let first = browser.jar.clone();
    for path in ["/?token=in-the-query", "/clash", "/down?x=in-the-query", "/.session/me", "/.session/none", "/%00"] {
        secrets.of(&browser.get(path));
        secrets.of(&browser.request("GET", path, &[("Authorization", "Bearer in-a-header")], b""));
    }
    secrets.of(&browser.post_from("https://evil.example", "/.session/logout", &[("csrf", "x")]));
    secrets.of(&browser.sign_in("ann", PASSWORD));
    // Two living sessions at once, and an id that has ended.
    let mut other = Browser::at(process.addresses()[0]);
    secrets.of(&other.sign_in("ann", PASSWORD));
    let both = format!("sessionid={}; sessionid={}", browser.session_id().unwrap(), other.session_id().unwrap());
    other.jar.clear();
    secrets.of(&other.request("GET", "/", &[("Cookie", &both)], b""));
    secrets.of(&browser.sign_out());
    browser.jar = first;
    secrets.of(&browser.get("/"));
    // Broken requests are logged too.
    for head in ["GET / HTTP/1.1\r\nHost: a\r\nCookie: SECRET\r\nCookie : SECRET\r\n\r\n", "GET /?SECRET\r\n\r\n"] {
        let secret = secrets.0.last().unwrap().clone();
        let mut client = Client::connect(process.addresses()[0]);
        client.send(head.replace("SECRET", &secret)).finish().rest();
    }

    assert!(secrets.0.len() >= 14, "only {} secrets", secrets.0.len());
    let (status, log) = process.terminate();
    assert!(status.success());
    assert!(log.contains("signed_in") && log.contains("\"path\":\"/clash\""), "the log is there: {log}");
    for secret in &secrets.0 {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log: {log}");
    }
}

/// Apps of all kinds under one address: a form, JSON, Basic, Digest, and one that takes nobody.
fn apps() -> App {
    App::with(|seen, stream| {
        let line: Vec<&str> = seen.line().split(' ').collect();
        let is_named = seen.header("authorization").is_some();
        let answer = match (line[0], line[1]) {
            ("GET", "/form/login" | "/file/login") => ok(
                "<form><input type=hidden name=t value=a-token-of-the-app><input name=u><input name=p type=password></form>",
            ),
            ("POST", "/form/login" | "/file/login") => "HTTP/1.1 302 Found\r\nLocation: /\r\n\
                Set-Cookie: app=the-apps-own-cookie\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            (_, "/refusing/x") => "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
            (_, path) if path.starts_with("/digest") && !is_named => "HTTP/1.1 401 No\r\n\
                WWW-Authenticate: Digest realm=x, qop=auth, nonce=n\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            _ => ok("{}"),
        };
        std::io::Write::write_all(stream, answer.as_bytes()).is_ok()
    })
}

/// What an app is given for the user: typed, from a file, or one account for all.
#[test]
fn nothing_that_signs_the_user_on_to_an_app_is_ever_logged() {
    let (app, dir) = (apps(), tempfile::tempdir().unwrap());
    write(dir.path(), "accounts.yaml", "ann: { username: a.smith, password: out-of-the-file }\n");
    write(dir.path(), "password", "one-for-all-of-them\n");
    // Each with a vault of its own, so that each is signed on to.
    let route = |path: &str, sign_on: &str| {
        let (vault, upstream) = (path.replace('/', "-"), app.address);
        format!(
            "  - {{ path: /{path}, cookies: vault, vault: {vault}, sign_on: {{ {sign_on} }}, \
             upstream: 'http://{upstream}' }}\n"
        )
    };
    let routes = [
        route("form", "login_page: /form/login"),
        route("file", "login_page: /file/login, credentials: { file: accounts.yaml }"),
        route("json", "action: /json/login, json: true"),
        route("basic", "basic: true"),
        route("digest", "digest: true"),
        route("digest/one", "digest: true, credentials: { username: svc, password_file: password }"),
        route("refusing", "basic: true, credentials: { username: svc, password: one-for-all-of-them }"),
        route("failing", "login_page: /failing/login"),
    ];
    let process = Process::start(dir.path(), &(yaml(&app) + &routes.concat()), 1, &[]);
    let mut browser = Browser::at(process.addresses()[0]);
    assert_eq!(browser.sign_in("ann", PASSWORD).status, 303);
    for (path, status) in [
        ("form", 200),
        ("file", 200),
        ("json", 200),
        ("basic", 200),
        ("digest", 200),
        ("digest/one", 200),
        ("refusing", 502),
    ] {
        assert_eq!(browser.get(&format!("/{path}/x")).status, status, "{path}");
    }
    assert_eq!(browser.post("/digest/x", &[("a", "what-is-sent")]).status, 200);
    assert_eq!(browser.get("/failing/x").status, 502);

    let mut secrets: Vec<String> =
        ["out-of-the-file", "one-for-all-of-them", "a-token-of-the-app", "the-apps-own-cookie", "what-is-sent"]
            .map(Into::into)
            .into();
    secrets.extend([PASSWORD.to_owned(), PASSWORD.replace(' ', "+"), PASSWORD.replace(' ', "%20")]);
    for seen in app.seen() {
        let Some((_, said)) = seen.header("authorization").and_then(|said| said.split_once(' ')) else { continue };
        let response = said.split("response=\"").nth(1).and_then(|rest| rest.split('"').next());
        secrets.push(response.unwrap_or(said).to_owned());
    }
    assert_eq!(secrets.len(), 8 + 5, "{secrets:?}");
    let (_, log) = process.terminate();
    for word in ["\"event\":\"signed_on\"", "sign_on_failed", "\"path\":\"/digest/one/x\"", "\"level\":\"DEBUG\""] {
        assert!(log.contains(word), "{word} is not in the log: {log}");
    }
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log: {log}");
    }
}

/// SM-20 (ASVS 16.4.1): one line is one JSON object, whatever a visitor types.
#[test]
fn what_visitors_send_cannot_forge_a_line_of_the_log() {
    let app = App::answering(ok("x"));
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &yaml(&app), 1, &[]);
    let forged = "a\r\n{\"level\":\"INFO\",\"message\":\"forged\"}\x1b[2J\u{2028}\u{9b}31m\0";
    let mut browser = Browser::at(process.addresses()[0]);
    for _ in 0..4 {
        browser.sign_in(forged, "wrong");
    }
    browser.get("/a%0d%0aforged");
    browser.request("GET", "/\"forged\\", &[("User-Agent", "\"forged\x1b[2J")], b"");
    let (_, log) = process.terminate();
    assert!(log.matches("forged").count() >= 4, "{log}");
    for line in log.lines() {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(json["message"], "forged");
        assert!(!line.contains('\x1b') && !line.contains('\r') && !line.contains('\0'), "{line:?}");
    }
}

/// SM-20: what an investigation needs, by handle, user, address and UTC time.
#[test]
fn sign_in_failure_ban_and_sign_out_are_events_with_user_address_and_time() {
    let app = App::answering(ok("x"));
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &yaml(&app), 1, &[]);
    let address = process.addresses()[0];
    let mut browser = Browser::at(address);
    browser.sign_in("Ann", PASSWORD);
    browser.get("/page?x=1");
    browser.sign_out();
    for _ in 0..4 {
        Browser::at(address).sign_in("ann", "wrong");
    }
    let (_, log) = process.terminate();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |name: &str| lines.iter().find(|line| line["event"] == name).unwrap_or_else(|| panic!("{name}: {log}"));
    for name in ["signed_in", "signed_out", "login_failed", "login_banned"] {
        let event = event(name);
        assert_eq!((&event["user"], &event["address"]), (&"ann".into(), &"127.0.0.1".into()), "{name}");
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'), "{name}");
    }
    let handle = event("signed_in")["handle"].as_str().unwrap();
    assert_eq!(handle.len(), 16);
    assert_eq!(event("signed_out")["handle"], handle);
    let request = lines.iter().find(|line| line["path"] == "/page").unwrap();
    assert_eq!(
        (&request["user"], &request["session"], &request["status"]),
        (&"ann".into(), &handle.into(), &200.into())
    );
    assert_eq!((&request["method"], &request["client"]), (&"GET".into(), &"127.0.0.1".into()));
}
