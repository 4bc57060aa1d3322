//! Ways of signing people in that apps were seen to have, surveyed as a deployer does, and then behind the gateway that
//! the printed YAML makes.

use std::collections::BTreeMap;
use std::io::Write as _;

use cloakroom::config::schema::HostHeader;
use cloakroom::survey;

use crate::support::{App, Browser, Seen, TestGateway};

const PASSWORD: &str = "open sesame";
const JSON: [(&str, &str); 2] = [("Content-Type", "application/json"), ("Sec-Fetch-Mode", "cors")];

fn app(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> App {
    App::with(move |seen, stream| stream.write_all(answer(seen).as_bytes()).is_ok())
}

fn answered(status: &str, lines: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn html(lines: &str, page: &str) -> String {
    answered("200 OK", &format!("Content-Type: text/html\r\n{lines}"), page)
}

fn json(status: &str, lines: &str, body: &str) -> String {
    answered(status, &format!("Content-Type: application/json\r\n{lines}"), body)
}

fn target(seen: &Seen) -> (&str, &str) {
    let mut line = seen.line().split(' ');
    (line.next().unwrap(), line.next().unwrap())
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

fn has_cookie(seen: &Seen, pair: &str) -> bool {
    seen.header("cookie").is_some_and(|line| line.split("; ").any(|known| known == pair))
}

/// What is printed after `work`, which is what a person does in the browser.
fn surveyed(app: &App, host: HostHeader, work: impl FnOnce(&mut Browser)) -> String {
    let url = format!("http://{}", app.address);
    let (survey, _news) = survey::start(&url, host, "127.0.0.1:0".parse().unwrap()).unwrap();
    work(&mut Browser::at(survey.address()));
    survey.finish().unwrap().yaml()
}

fn gateway(app: &App, yaml: &str) -> TestGateway {
    TestGateway::with_config(&survey::as_route(&format!("http://{}", app.address), yaml))
}

fn whoami(browser: &mut Browser) -> Option<String> {
    browser.get("/.session/me").json()["user"].as_str().map(str::to_owned)
}

/// Every page is one script, which shows its form at any address, with 200; its hidden fields differ from page to page.
fn one_script(seen: &Seen) -> String {
    let ((method, target), sent) = (target(seen), form(&seen.body));
    let form = "<form method=post action=/index.php><input type=hidden name=token value=a7>\
                <input name=u><input type=password name=pw></form>";
    if target.contains("route=/logout") {
        let gone = "Set-Cookie: s=; Max-Age=0; Path=/\r\nLocation: /index.php\r\n";
        return answered("302 Found", gone, "");
    }
    match (method, sent.get("pw").map(String::as_str)) {
        ("POST", Some(PASSWORD)) => {
            answered("302 Found", "Set-Cookie: s=in; Path=/\r\nLocation: /index.php?route=/\r\n", "")
        }
        _ if has_cookie(seen, "s=in") => html("", &format!("<li>Logged in as: <b>ann</b></li>{target}")),
        _ => html("", form),
    }
}

#[test]
fn one_script_for_all_pages_opens_none_but_its_form_to_strangers() {
    let app = app(one_script);
    let yaml = surveyed(&app, HostHeader::Preserve, |browser| {
        browser.get("/");
        browser.post("/index.php?route=/", &[("token", "a7"), ("lang", "en"), ("u", "ann"), ("pw", "wrong")]);
        browser.post("/index.php?route=/", &[("token", "a7"), ("u", "ann"), ("pw", PASSWORD)]);
        browser.get("/index.php?route=/");
        browser.post("/index.php?route=/save", &[("token", "a7"), ("text", "x")]);
        browser.get("/index.php?route=/server/pages");
        browser.post("/index.php?route=/logout", &[("token", "a7")]);
    });
    let gateway = gateway(&app, &yaml);
    let mut browser = gateway.browser();
    assert_eq!(browser.fetch("/index.php?route=/server/pages").status, 401, "{yaml}");
    assert_eq!(browser.fetch("/?route=/server/pages").status, 401, "{yaml}");
    assert_eq!(browser.get("/index.php?route=/server/pages").header("location"), Some("/?"), "{yaml}");
    assert_eq!(browser.get("/?").status, 200, "{yaml}");
    let before = app.seen().len();
    assert_ne!(browser.post("/index.php?route=/save", &[("text", "x")]).status, 200, "{yaml}");
    assert_eq!(app.seen().len(), before, "{yaml}");
    browser.post("/index.php?route=/", &[("u", "ann"), ("pw", "wrong")]);
    assert_eq!(whoami(&mut browser), None, "{yaml}");
    browser.post("/index.php?route=/", &[("u", "ann"), ("pw", PASSWORD)]);
    assert_eq!(whoami(&mut browser).as_deref(), Some("ann"), "{yaml}");
    browser.post("/index.php?route=/save", &[("text", "x")]);
    assert_eq!(whoami(&mut browser).as_deref(), Some("ann"), "{yaml}");
    browser.post("/index.php?route=/logout", &[("token", "a7")]);
    assert_eq!(whoami(&mut browser), None, "{yaml}");
}

/// All calls go to one address, by name, with 200 for everything; there is one password and no name.
fn calls(seen: &Seen) -> String {
    let call: serde_json::Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let result = |lines: &str, result: bool| json("200 OK", lines, &format!("{{\"result\": {result}, \"id\": 1}}"));
    match (target(seen), call["method"].as_str()) {
        (("POST", "/rpc"), Some("auth.login"))
            if call["params"][0] == PASSWORD && call["id"] != serde_json::Value::Null =>
        {
            result("Set-Cookie: s=in; Path=/rpc\r\n", true)
        }
        (("POST", "/rpc"), Some("auth.delete_session")) => result("Set-Cookie: s=; Path=/rpc; Max-Age=0\r\n", true),
        (("POST", "/rpc"), Some("auth.check")) => result("", has_cookie(seen, "s=in")),
        (("POST", "/rpc"), _) => result("", false),
        ((_, "/"), _) => html("", "<script src=/app.js></script>"),
        _ => json("200 OK", "", "{}"),
    }
}

fn call(browser: &mut Browser, method: &str, params: &str) -> String {
    let body = format!("{{\"method\": \"{method}\", \"params\": [{params}], \"id\": 7}}");
    browser.request("POST", "/rpc", &JSON, body.as_bytes()).text()
}

fn calls_surveyed(app: &App) -> String {
    surveyed(app, HostHeader::Preserve, |browser| {
        browser.get("/");
        call(browser, "auth.check", "");
        call(browser, "auth.login", "\"wrong\"");
        call(browser, "auth.login", &format!("\"{PASSWORD}\""));
        call(browser, "auth.check", "");
        call(browser, "auth.delete_session", "");
    })
}

#[test]
fn a_call_by_name_signs_whoever_knows_the_only_password_in_and_another_out() {
    let app = app(calls);
    let yaml = calls_surveyed(&app);
    assert!(!yaml.contains("sesame") && !yaml.contains("wrong\""), "{yaml}");
    let gateway = gateway(&app, &yaml);
    let mut browser = gateway.browser();
    browser.get("/");
    assert!(call(&mut browser, "auth.check", "").contains("false"), "its page asks that of a stranger\n{yaml}");
    call(&mut browser, "auth.login", "\"wrong\"");
    assert_eq!(whoami(&mut browser), None, "{yaml}");
    call(&mut browser, "auth.login", &format!("\"{PASSWORD}\""));
    assert_eq!(whoami(&mut browser).as_deref(), Some("user"), "{yaml}");
    assert!(call(&mut browser, "auth.check", "").contains("true"), "{yaml}");
    assert_eq!(whoami(&mut browser).as_deref(), Some("user"), "{yaml}");
    call(&mut browser, "auth.delete_session", "");
    assert_eq!(whoami(&mut browser), None, "{yaml}");
}

/// Scripts send a cookie back as a header, and its name holds the port that the browser asks; the same address answers
/// a question without a password too.
fn port_in_a_name(seen: &Seen) -> String {
    let port = seen.header("host").unwrap().rsplit(':').next().unwrap().to_owned();
    let token = format!("csrf_P{port}=tok3n-{port}");
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    let is_theirs = has_cookie(seen, &token) && seen.header("x-csrf-token") == Some(&*format!("tok3n-{port}"));
    match target(seen) {
        ("GET", "/login") => html(&format!("Set-Cookie: {token}; Path=/\r\n"), "<input type=password name=pass>"),
        ("POST", _) if !is_theirs => json("400 Bad Request", "", "{}"),
        ("POST", "/api/login") if body.contains(PASSWORD) => {
            json("200 OK", "Set-Cookie: s=in; Path=/; HttpOnly\r\n", "{\"name\": \"ann\"}")
        }
        ("POST", "/api/login") if body.contains("passive") => json("200 OK", "", "{\"name\": \"guest\"}"),
        ("POST", "/api/login") => json("403 Forbidden", "", "{}"),
        ("POST", "/api/logout") => json("200 OK", "Set-Cookie: s=; Path=/; Max-Age=0\r\n", "{}"),
        (_, path) if has_cookie(seen, "s=in") => html("", &format!("{path} for ann")),
        (_, path) => answered("302 Found", &format!("Location: /login?next={path}\r\n"), ""),
    }
}

fn ask(browser: &mut Browser, path: &str, body: &str) -> u16 {
    let token = browser.jar.iter().find(|(name, _)| name.starts_with("csrf_P")).map(|(_, value)| value.clone());
    let token = token.unwrap_or_default();
    let headers = [JSON[0], JSON[1], ("X-Csrf-Token", &*token)];
    browser.request("POST", path, &headers, body.as_bytes()).status
}

fn port_surveyed(app: &App) -> String {
    surveyed(app, HostHeader::Preserve, |browser| {
        browser.get("/home");
        browser.get("/login");
        ask(browser, "/api/login", "{\"passive\": true}");
        ask(browser, "/api/login", "{\"user\": \"ann\", \"pass\": \"wrong\"}");
        ask(browser, "/api/login", &format!("{{\"user\": \"ann\", \"pass\": \"{PASSWORD}\"}}"));
        browser.get("/home");
        ask(browser, "/api/logout", "{}");
    })
}

#[test]
fn a_cookie_that_comes_back_as_a_header_is_exposed_whatever_the_port_in_its_name() {
    let app = app(port_in_a_name);
    let yaml = port_surveyed(&app);
    assert!(yaml.contains("expose_cookies: [\"csrf_P*\"]"), "{yaml}");
    let gateway = gateway(&app, &yaml);
    let mut browser = gateway.browser();
    assert_eq!(browser.get("/home").header("location"), Some("/login?next=%2Fhome"), "{yaml}");
    browser.get("/login");
    assert_eq!(ask(&mut browser, "/api/login", "{\"user\": \"ann\", \"pass\": \"wrong\"}"), 403, "{yaml}");
    assert_eq!(whoami(&mut browser), None, "{yaml}");
    assert_eq!(ask(&mut browser, "/api/login", &format!("{{\"user\": \"ann\", \"pass\": \"{PASSWORD}\"}}")), 200);
    assert_eq!(whoami(&mut browser).as_deref(), Some("ann"), "{yaml}");
    assert_eq!(browser.get("/home").text(), "/home for ann");
    ask(&mut browser, "/api/login", "{\"passive\": true}");
    assert_eq!(whoami(&mut browser).as_deref(), Some("ann"), "a question is no sign-in\n{yaml}");
    let port = gateway.address().port();
    assert_eq!(browser.jar.keys().cloned().collect::<Vec<_>>(), [format!("csrf_P{port}"), "sessionid".into()]);
    ask(&mut browser, "/api/logout", "{}");
    assert_eq!(whoami(&mut browser), None, "{yaml}");
}

/// The other way that it prints, with an account for everybody.
fn sign_on(app: &App, yaml: &str) -> TestGateway {
    let other = survey::switched(yaml).unwrap_or_else(|| panic!("{yaml}"));
    let printed = other.lines().find(|line| line.starts_with("  credentials: ")).unwrap();
    let account = format!("  credentials: {{ username: ann, password: {PASSWORD} }}");
    let whole = survey::as_route(&format!("http://{}", app.address), &other.replace(printed, &account));
    TestGateway::with_config(whole.trim_start_matches("login: { form: null }\n"))
}

#[test]
fn the_sign_on_that_it_prints_signs_on_by_script_too() {
    let app1 = app(port_in_a_name);
    let gateway = sign_on(&app1, &port_surveyed(&app1));
    assert_eq!(gateway.signed_in("bob").get("/home").text(), "/home for ann");
    let app2 = app(calls);
    let gateway = sign_on(&app2, &calls_surveyed(&app2));
    let mut browser = gateway.signed_in("bob");
    browser.get("/");
    assert!(call(&mut browser, "auth.check", "").contains("true"));
    let app3 = app(one_script);
    let yaml = surveyed(&app3, HostHeader::Preserve, |browser| {
        browser.get("/");
        browser.post("/index.php?route=/", &[("u", "ann"), ("pw", "wrong")]);
        browser.post("/index.php?route=/", &[("u", "ann"), ("pw", PASSWORD)]);
        browser.get("/index.php?route=/");
    });
    let gateway = sign_on(&app3, &yaml);
    assert!(gateway.signed_in("bob").get("/index.php?route=/").text().contains("Logged in as"), "{yaml}");
}

#[test]
fn pages_that_link_to_their_own_address_lead_through_the_survey_and_it_says_so() {
    let app = app(|seen| {
        let own = seen.header("x-own").unwrap_or("none").to_owned();
        html("", &format!("<form action='http://{own}/in' method=post>"))
    });
    let own = app.address.to_string();
    let yaml = surveyed(&app, HostHeader::Preserve, |browser| {
        let page = browser.request("GET", "/", &[("Accept", "text/html"), ("X-Own", &own)], b"");
        assert!(!page.text().contains(&own) && page.text().contains("/in"), "{}", page.text());
    });
    assert!(yaml.contains("rewrite: { links: true }") && yaml.contains("set that instead"), "{yaml}");
}

#[test]
fn an_app_that_insists_on_its_own_name_is_found_out_and_called_by_it() {
    let shared = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let own = std::sync::Arc::clone(&shared);
    let app = app(move |seen| match seen.header("host") == own.get().map(String::as_str) {
        true => html("", "<p>hello</p>"),
        false => answered("401 Unauthorized", "", ""),
    });
    shared.set(app.address.to_string()).unwrap();
    let yaml = surveyed(&app, HostHeader::Preserve, |browser| assert_eq!(browser.get("/").status, 401));
    assert!(yaml.contains("--host upstream"), "{yaml}");
    let yaml = surveyed(&app, HostHeader::Upstream, |browser| assert_eq!(browser.get("/").status, 200));
    assert!(yaml.contains("host: upstream }") && !yaml.contains("LOOK: it refuses"), "{yaml}");
}
