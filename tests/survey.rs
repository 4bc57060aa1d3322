//! `cloakroom observe`: somebody signs in to an app through it, and what it prints makes a gateway that learns who
//! signs in to that app, and is not fooled.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use cloakroom::config;
use cloakroom::config::schema::HostHeader;
use cloakroom::survey::{self, Findings};

use crate::support::{App, Browser, Response, Seen, TestGateway};

/// One of many ways to sign people in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A form; a redirect for a right password, the form again for a wrong one.
    Form,
    /// The same with 200 for both.
    FormAlways200,
    /// A script sends JSON.
    Json,
    /// A script sends JSON, and both answers are 200.
    JsonAlways200,
    /// 401 and a dialogue of the browser.
    Basic,
    /// One cookie from the first page on, and a redirect for both.
    SameCookie,
    /// The redirect is the same too: only the next page tells.
    AllTheSame,
    /// Everything at one path, told apart by parameters.
    OnePath,
}

const WAYS: [Way; 8] = [
    Way::Form,
    Way::FormAlways200,
    Way::Json,
    Way::JsonAlways200,
    Way::Basic,
    Way::SameCookie,
    Way::AllTheSame,
    Way::OnePath,
];

const FORM: &str = r#"<form method="post"><input type="hidden" name="do" value="login">
    <input type="hidden" name="token" value="x81"><input name="u"><input type="password" name="p"></form>"#;
const PASSWORD: &str = "open sesame";

fn app(way: Way) -> App {
    let signed_in = Mutex::new(BTreeSet::new());
    App::with(move |seen, stream| stream.write_all(answer(way, seen, &signed_in).as_bytes()).is_ok())
}

fn html(page: &str) -> String {
    answered("200 OK", "Content-Type: text/html; charset=utf-8\r\n", page)
}

fn json(status: &str, lines: &str, body: &str) -> String {
    answered(status, &format!("{lines}Content-Type: application/json\r\n"), body)
}

fn redirect(to: &str, lines: &str) -> String {
    answered("302 Found", &format!("Location: {to}\r\n{lines}"), "")
}

fn answered(status: &str, lines: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The cookie names the user, so that the app needs no memory, but for those ways in which it never changes.
fn answer(way: Way, seen: &Seen, signed_in: &Mutex<BTreeSet<String>>) -> String {
    let mut line = seen.line().split(' ');
    let (method, target) = (line.next().unwrap(), line.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    let cookies = seen.header("cookie").unwrap_or_default();
    let sid = cookies.split("; ").find_map(|pair| pair.strip_prefix("sid=")).unwrap_or_default();
    let steady = matches!(way, Way::SameCookie | Way::AllTheSame);
    let user = match steady {
        true => signed_in.lock().unwrap().get(sid).map(|_| "ann"),
        false => sid.strip_prefix("u-"),
    };
    if way == Way::Basic {
        return basic(path, seen.header("authorization"));
    }
    let sends_password = method == "POST" && body.contains("password") | body.contains("p=") | body.contains("\"p\"");
    let right = body.contains("open+sesame") || body.contains(PASSWORD);
    let name = if body.contains("bob") { "bob" } else { "ann" };
    let out = path == "/logout" || query.contains("do=logout");
    let cookie = format!("Set-Cookie: sid=u-{name}; Path=/; HttpOnly\r\n");
    let fresh = "Set-Cookie: sid=s-1; Path=/; HttpOnly\r\n";
    let home = if way == Way::OnePath { "/doku.php?id=start" } else { "/home" };
    if out {
        signed_in.lock().unwrap().clear();
        let gone = if steady { fresh } else { "Set-Cookie: sid=deleted; Path=/; Max-Age=0\r\n" };
        return redirect("/login", gone);
    }
    if sends_password {
        if right && steady {
            signed_in.lock().unwrap().insert("s-1".into());
        }
        return match (way, right) {
            (Way::Form, true) => redirect(home, &cookie),
            (Way::OnePath, true) => redirect(home, &cookie),
            (Way::FormAlways200, true) => answered(
                "200 OK",
                &format!("Content-Type: text/html\r\n{cookie}"),
                "Welcome. <a href='/logout'>out</a>",
            ),
            (Way::Json, true) => json("200 OK", &cookie, "{\"token\": \"a81\"}"),
            (Way::Json, false) => json("401 Unauthorized", "", "{\"error\": \"no\"}"),
            (Way::JsonAlways200, true) => {
                json("200 OK", &cookie, &format!("{{\"ok\": true, \"user\": {{\"name\": \"{name}\"}}}}"))
            }
            (Way::JsonAlways200, false) => json("200 OK", "", "{\"ok\": false}"),
            (Way::SameCookie, true) => redirect("/home", fresh),
            (Way::SameCookie, false) => redirect("/login?failed=1", fresh),
            (Way::AllTheSame, _) => redirect("/home", fresh),
            // With the name that was typed, as many do.
            _ => html(&format!("<p>wrong</p>{}", FORM.replace("name=\"u\"", "name=\"u\" value=\"ann\""))),
        };
    }
    match (path, user) {
        ("/login", _) => {
            answered("200 OK", &format!("Content-Type: text/html\r\n{}", if steady { fresh } else { "" }), FORM)
        }
        ("/api/me", Some(user)) => json("200 OK", "", &format!("{{\"login\": \"{user}\", \"theme\": \"dark\"}}")),
        ("/api/me", None) => json("401 Unauthorized", "", "{}"),
        ("/style.css", _) => answered("200 OK", "Content-Type: text/css\r\n", "p {}"),
        ("/doku.php", None) if query.contains("do=login") => html(FORM),
        ("/doku.php", user) => html(&format!("<h1>Start</h1>{}", who(user))),
        (_, Some(_)) if way == Way::Json => html("<h1>The app</h1>"),
        (_, Some(user)) => html(&format!("<h1>Home</h1>\n{}", who(Some(user)))),
        (path, None) => redirect(&format!("/login?next={path}"), ""),
    }
}

fn who(user: Option<&str>) -> String {
    user.map_or_else(|| "<a href='?do=login'>in</a>".to_owned(), |user| format!("<li>Logged in as: <b>{user}</b></li>"))
}

fn basic(path: &str, authorization: Option<&str>) -> String {
    match (path, authorization) {
        ("/open", _) => html("for all"),
        // ann:open sesame
        (_, Some("Basic YW5uOm9wZW4gc2VzYW1l")) => html("<h1>Private</h1>"),
        _ => answered("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", ""),
    }
}

/// What a person does in the browser.
fn sign_in(browser: &mut Browser, way: Way, password: &str) -> Response {
    let document = |name: &str| format!("{{\"username\": \"ann\", \"{name}\": \"{password}\"}}");
    let json = [("Content-Type", "application/json"), ("Accept", "application/json"), ("Sec-Fetch-Mode", "cors")];
    let fields = [("do", "login"), ("token", "x81"), ("u", "ann"), ("p", password)];
    match way {
        Way::Json => browser.request("POST", "/api/login", &json, document("password").as_bytes()),
        Way::JsonAlways200 => browser.request("POST", "/api/login", &json, document("p").as_bytes()),
        Way::Basic => {
            let right = "Basic YW5uOm9wZW4gc2VzYW1l";
            let line = if password == PASSWORD { right } else { "Basic YW5uOndyb25n" };
            let navigation = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Authorization", line)];
            browser.request("GET", "/private", &navigation, b"")
        }
        Way::OnePath => browser.post("/doku.php?id=start", &fields),
        _ => browser.post("/login", &fields),
    }
}

fn home(way: Way) -> &'static str {
    match way {
        Way::OnePath => "/doku.php?id=start",
        Way::Basic => "/private",
        _ => "/home",
    }
}

fn sign_out(browser: &mut Browser, way: Way) -> Response {
    browser.get(if way == Way::OnePath { "/doku.php?id=start&do=logout&sectok=a9f1" } else { "/logout" })
}

/// Somebody does as they are told: a wrong password, a right one, a little work, and out.
fn survey(app: &App, way: Way, passwords: &[&str]) -> Findings {
    let (survey, _news) =
        survey::start(&format!("http://{}", app.address), HostHeader::Preserve, "127.0.0.1:0".parse().unwrap())
            .unwrap();
    let mut browser = Browser::at(survey.address());
    work(&mut browser, way, passwords);
    survey.finish().unwrap()
}

fn work(browser: &mut Browser, way: Way, passwords: &[&str]) {
    browser.get(home(way));
    if way != Way::Basic {
        browser.get(if way == Way::OnePath { "/doku.php?id=start&do=login" } else { "/login" });
        browser.fetch("/style.css");
    }
    for password in passwords {
        sign_in(browser, way, password);
    }
    if way != Way::Basic {
        assert_eq!(browser.get(home(way)).status, 200, "{way:?}");
        if way == Way::Json {
            assert_eq!(browser.fetch("/api/me").status, 200);
        }
        sign_out(browser, way);
    }
}

fn gateway(app: &App, yaml: &str) -> TestGateway {
    TestGateway::with_config(&survey::as_route(&format!("http://{}", app.address), yaml))
}

fn whoami(browser: &mut Browser) -> Option<String> {
    browser.get("/.session/me").json()["user"].as_str().map(str::to_owned)
}

#[test]
fn what_it_prints_learns_right_sign_ins_and_no_wrong_ones() {
    for way in WAYS {
        let app = app(way);
        let findings = survey(&app, way, &["wrong", PASSWORD]);
        let yaml = findings.yaml();
        println!("{way:?}\n{yaml}");
        let gateway = gateway(&app, &yaml);
        let mut browser = gateway.browser();
        sign_in(&mut browser, way, "wrong");
        assert_eq!(whoami(&mut browser), None, "{way:?}\n{yaml}");
        sign_in(&mut browser, way, PASSWORD);
        assert_eq!(whoami(&mut browser).as_deref(), Some("ann"), "{way:?}\n{yaml}");
        assert_eq!(browser.get(home(way)).status, if way == Way::Basic { 401 } else { 200 }, "{way:?}");
        assert_eq!(app.last().header("remote-user"), Some("ann"), "{way:?}\n{yaml}");
        assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["sessionid"], "{way:?}");
        if way != Way::Basic {
            sign_out(&mut browser, way);
            assert_eq!(whoami(&mut browser), None, "{way:?}\n{yaml}");
        }
    }
}

/// The same sections with the other way uncommented: people sign in at our form, and are signed on to the app.
#[test]
fn the_other_way_that_it_prints_signs_people_on() {
    for way in WAYS {
        let app = app(way);
        let yaml = survey(&app, way, &["wrong", PASSWORD]).yaml();
        let other = survey::switched(&yaml).unwrap_or_else(|| panic!("{way:?}\n{yaml}"));
        assert!(!other.contains("observe:") && other.contains("\n  credentials: typed\n"), "{way:?}\n{yaml}\n{other}");
        for (password, status) in [(PASSWORD, 200), ("wrong", 502)] {
            let one = format!("credentials: {{ username: ann, password: {password} }}");
            let other = other.replace("credentials: typed", &one);
            let whole = survey::as_route(&format!("http://{}", app.address), &other);
            let gateway = TestGateway::with_config(whole.trim_start_matches("login: { form: null }\n"));
            let mut browser = gateway.signed_in("ann");
            let page = browser.get(home(way));
            assert_eq!(page.status, status, "{way:?}\n{other}\n{}", page.text());
            assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["sessionid"], "{way:?}");
            if status == 200 && way != Way::Basic {
                sign_out(&mut browser, way);
                assert_eq!(whoami(&mut browser), None, "{way:?}\n{other}");
            }
        }
    }
}

/// The answer is a token that the app's scripts keep: that cannot be done for them.
#[test]
fn where_there_is_no_other_way_it_says_why() {
    let app = App::with(|seen, stream| {
        let said = match (seen.line(), seen.header("authorization")) {
            ("POST /token HTTP/1.1", _) if String::from_utf8_lossy(&seen.body).contains(PASSWORD) => {
                json("200 OK", "", "{\"access_token\": \"a81\", \"token_type\": \"Bearer\"}")
            }
            ("POST /token HTTP/1.1", _) => json("403 Forbidden", "", "{}"),
            (_, Some("Bearer a81")) => json("200 OK", "", "{\"user\": \"ann\"}"),
            _ => json("401 Unauthorized", "", "{}"),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let (survey, _news) =
        survey::start(&format!("http://{}", app.address), HostHeader::Preserve, "127.0.0.1:0".parse().unwrap())
            .unwrap();
    let mut browser = Browser::at(survey.address());
    browser.fetch("/settings");
    for password in ["wrong", PASSWORD] {
        let document = format!("{{\"username\": \"ann\", \"password\": \"{password}\"}}");
        browser.request("POST", "/token", &[("Content-Type", "application/json")], document.as_bytes());
    }
    browser.request("GET", "/settings", &[("Authorization", "Bearer a81")], b"");
    let yaml = survey.finish().unwrap().yaml();
    let prose = yaml.replace("\n# ", " ");
    assert!(prose.contains("No `sign_on`") && prose.contains("a token that its scripts keep"), "{yaml}");
    assert!(yaml.contains("expired: { status: 401 }"), "{yaml}");
    assert_eq!(survey::switched(&yaml), None);
}

/// One password for all: whoever knows it is somebody.
#[test]
fn an_app_that_asks_for_no_name_has_one_user() {
    let form = r#"<form method="post"><input type="hidden" name="_xsrf" value="x"><input type="password" name="password"></form>"#;
    let app = App::with(move |seen, stream| {
        let is_in = seen.header("cookie").is_some_and(|cookies| cookies.contains("sid=in"));
        let said = match seen.line() {
            line if line.starts_with("POST /login") => {
                match String::from_utf8_lossy(&seen.body).contains("open+sesame") {
                    true => redirect("/", "Set-Cookie: sid=in; Path=/; HttpOnly\r\n"),
                    false => answered("401 No", "Content-Type: text/html\r\n", form),
                }
            }
            line if line.starts_with("GET /login") => html(form),
            line if line.starts_with("GET /logout") => redirect("/login", "Set-Cookie: sid=; Path=/; Max-Age=0\r\n"),
            _ if is_in => html("<h1>Notes</h1>"),
            _ => redirect("/login?next=%2F", ""),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let work = |browser: &mut Browser, password: &str| {
        browser.get("/login");
        browser.post("/login", &[("_xsrf", "x"), ("password", password), ("remember", "1")]);
        browser.get("/");
    };
    let (survey, _news) =
        survey::start(&format!("http://{}", app.address), HostHeader::Preserve, "127.0.0.1:0".parse().unwrap())
            .unwrap();
    let mut browser = Browser::at(survey.address());
    work(&mut browser, "wrong");
    work(&mut browser, PASSWORD);
    browser.get("/logout");
    let yaml = survey.finish().unwrap().yaml();
    assert!(yaml.contains("user: { fixed: user }") && yaml.contains("asks for a password and no"), "{yaml}");
    let gateway = gateway(&app, &yaml);
    let mut browser = gateway.browser();
    work(&mut browser, "wrong");
    assert_eq!(whoami(&mut browser), None, "{yaml}");
    work(&mut browser, PASSWORD);
    assert_eq!(whoami(&mut browser).as_deref(), Some("user"), "{yaml}");
    let other = survey::switched(&yaml).unwrap().replace("write the app's password here", PASSWORD);
    let whole = survey::as_route(&format!("http://{}", app.address), &other);
    let gateway = TestGateway::with_config(whole.trim_start_matches("login: { form: null }\n"));
    assert_eq!(gateway.signed_in("bob").get("/").text(), "<h1>Notes</h1>", "{other}");
}

#[test]
fn strangers_are_sent_to_the_sign_in_that_was_seen() {
    for (way, page) in [(Way::Form, "/login?next=%2Fhome"), (Way::SameCookie, "/login?next=%2Fhome")] {
        let app = app(way);
        let gateway = gateway(&app, &survey(&app, way, &["wrong", PASSWORD]).yaml());
        let mut browser = gateway.browser();
        assert_eq!(browser.get("/home").header("location"), Some(page), "{way:?}");
        assert_eq!(browser.get("/login").status, 200);
        assert_eq!(browser.fetch("/style.css").status, 200);
        assert_eq!(browser.fetch("/api/me").status, 401);
    }
}

/// LG-05: without a wrong password nothing shows what a failure looks like, so more is asked of a success.
#[test]
fn without_a_wrong_password_it_is_careful_and_says_so() {
    for way in [Way::Form, Way::FormAlways200, Way::Json, Way::JsonAlways200, Way::SameCookie, Way::OnePath] {
        let app = app(way);
        let yaml = survey(&app, way, &[PASSWORD]).yaml();
        assert!(yaml.contains("LOOK: no wrong password was tried"), "{way:?}\n{yaml}");
        let gateway = gateway(&app, &yaml);
        let mut browser = gateway.browser();
        sign_in(&mut browser, way, "wrong");
        assert_eq!(whoami(&mut browser), None, "{way:?}\n{yaml}");
        sign_in(&mut browser, way, PASSWORD);
        assert_eq!(whoami(&mut browser).as_deref(), Some("ann"), "{way:?}\n{yaml}");
    }
}

#[test]
fn what_it_prints_is_valid_and_holds_nothing_that_was_typed_but_the_name() {
    for way in WAYS {
        let app = app(way);
        let findings = survey(&app, way, &["wr0ng-guess", PASSWORD]);
        let (yaml, json) = (findings.yaml(), serde_json::to_string(&findings).unwrap());
        for secret in ["wr0ng-guess", PASSWORD, "open+sesame", "YW5u", "x81", "a9f1", "u-ann"] {
            assert!(!yaml.contains(secret) && !json.contains(secret), "{way:?} {secret}\n{yaml}\n{json}");
        }
        let whole = survey::as_route(&findings.url, &yaml);
        let loaded = config::parse(&whole, "observed.yaml", &|_| None);
        assert!(loaded.is_ok(), "{way:?}\n{}\n{whole}", loaded.unwrap_err());
    }
}

/// SECURITY: a page that ignores `Authorization` would prove anybody to be anybody.
#[test]
fn basic_is_believed_only_where_strangers_are_refused() {
    let app = app(Way::Basic);
    let gateway = gateway(&app, &survey(&app, Way::Basic, &["wrong", PASSWORD]).yaml());
    let mut browser = gateway.browser();
    browser.request("GET", "/open", &[("Authorization", "Basic YW5uOndyb25n")], b"");
    assert_eq!(whoami(&mut browser), None);
}

#[test]
fn cookies_that_scripts_need_are_exposed_and_no_others() {
    let app = App::with(|seen, stream| {
        let cookies =
            "Set-Cookie: csrftoken=a; Path=/; Secure\r\nSet-Cookie: plain=b\r\nSet-Cookie: sessionid=c; HttpOnly\r\n";
        let said = match seen.line().split(' ').nth(1).unwrap() {
            "/app.js" => answered(
                "200 OK",
                "Content-Type: text/javascript\r\n",
                "get('csrftoken'); use(\"sessionid\"); document.cookie = 'theme=' + x",
            ),
            "/login" if seen.line().starts_with("POST") => redirect("/", ""),
            _ => answered("200 OK", &format!("Content-Type: text/html\r\n{cookies}"), "<script src=/app.js></script>"),
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let (survey, _news) =
        survey::start(&format!("http://{}", app.address), HostHeader::Preserve, "127.0.0.1:0".parse().unwrap())
            .unwrap();
    let mut browser = Browser::at(survey.address());
    browser.jar.insert("other".into(), "of another program on this machine".into());
    let page = browser.get("/");
    assert!(page.all("set-cookie").iter().all(|line| !line.contains("Secure")), "{:?}", page.headers);
    browser.fetch("/app.js");
    browser.jar.insert("theme".into(), "dark".into());
    browser.post("/login", &[("name", "ann"), ("pass", "x")]);
    let yaml = survey.finish().unwrap().yaml();
    assert!(yaml.contains("expose_cookies: [csrftoken, theme]\n"), "{yaml}");
    assert!(yaml.contains("its cookie is called sessionid"), "{yaml}");
}

#[test]
fn a_word_in_a_form_exposes_no_cookie_and_nothing_exposes_the_gateways_own() {
    let page = "<form><input name=\"plain\"></form><script>use('sessionid')</script>";
    let app = App::with(move |seen, stream| {
        let said = match seen.line().starts_with("POST") {
            true => redirect("/", ""),
            false => {
                let cookies = "Set-Cookie: plain=b\r\nSet-Cookie: sessionid=c\r\n";
                answered("200 OK", &format!("Content-Type: text/html\r\n{cookies}"), page)
            }
        };
        stream.write_all(said.as_bytes()).is_ok()
    });
    let (survey, _news) =
        survey::start(&format!("http://{}", app.address), HostHeader::Preserve, "127.0.0.1:0".parse().unwrap())
            .unwrap();
    let mut browser = Browser::at(survey.address());
    browser.get("/");
    browser.post("/login", &[("name", "ann"), ("pass", "x")]);
    let yaml = survey.finish().unwrap().yaml();
    assert!(!yaml.contains("expose_cookies"), "{yaml}");
    assert!(yaml.contains("LOOK: its scripts read a cookie that is called as the gateway's is"), "{yaml}");
}

#[test]
fn when_nobody_signs_in_it_says_so_and_prints_no_rule() {
    let app = app(Way::Form);
    let (survey, _news) =
        survey::start(&format!("http://{}/", app.address), HostHeader::Preserve, "127.0.0.1:0".parse().unwrap())
            .unwrap();
    Browser::at(survey.address()).get("/login");
    let yaml = survey.finish().unwrap().yaml();
    assert!(yaml.contains("LOOK: nobody signed in") && !yaml.contains("\nobserve:"), "{yaml}");
}

#[test]
fn the_command_ends_with_the_sign_out_and_keeps_talk_and_yaml_apart() {
    for (flag, first) in [("--once", "# What `cloakroom observe` saw"), ("--json", "{")] {
        let app = app(Way::Form);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command.args(["observe", "--listen", "127.0.0.1:0", "--once", "--url"]).arg(format!("http://{}", app.address));
        command.args((flag != "--once").then_some(flag));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        let address: SocketAddr = line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        work(&mut Browser::at(address), Way::Form, &["wrong", PASSWORD]);
        let (mut rest, mut out) = (String::new(), String::new());
        talk.read_to_string(&mut rest).unwrap();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert!(child.wait().unwrap().success(), "{rest}{out}");
        assert!(out.starts_with(first), "{out}");
        assert!(
            rest.contains("Seen: a password at /login, answered with 200.") && rest.contains("Seen: a sign-out"),
            "{rest}"
        );
    }
}

#[test]
fn an_address_that_is_none_is_refused_with_what_to_write() {
    for (url, words) in [("https://wiki", "--url: `https://wiki` is not http"), ("wiki", "--url: `wiki` is not a URL")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_cloakroom")).args(["observe", "--url", url]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words) && output.stdout.is_empty(), "{said}");
    }
}
