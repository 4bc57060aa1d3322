//! What shapes of answers mean: the table of an observed login.

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::jar::{self, Place};

const PLACE: Place<'static> = Place { hosts: &["wiki.example"], paths: &["/login"] };

fn observer(config: Value) -> Observer {
    let observe: schema::Observe = serde_json::from_value(config).unwrap();
    Observer::from_config(&observe, VaultId::of("wiki")).unwrap()
}

/// An answer: its status, header lines, and body.
type Said<'a> = (u16, &'a [(&'a str, &'a str)], &'a str);

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut map = HeaderMap::new();
    for (name, value) in lines.iter().map(pair) {
        map.append(name, value);
    }
    map
}

fn judged(config: &Value, form: &str, (status, lines, body): Said<'_>) -> Verdict {
    let observer = observer(config.clone());
    let request = Request::post("/login?x=1").header("content-type", "application/x-www-form-urlencoded");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let watch = observer.watch(&parts).expect("a request that may sign in");
    watch.capture().fill(form.as_bytes());
    let headers = headers(lines);
    let cookies: Vec<_> = headers
        .get_all("set-cookie")
        .iter()
        .filter_map(|line| jar::read(line.as_bytes(), &PLACE, Timestamp(1_800_000_000_000)).ok())
        .collect();
    let answer =
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: &headers, cookies: &cookies, body: None };
    let body = watch.must_read(&answer).then_some(body.as_bytes());
    watch.judge(&Answer { body, ..answer })
}

fn user(config: &Value, said: Said<'_>) -> Option<String> {
    match judged(config, "username=ann&password=x", said) {
        Verdict::SignedIn { claims, .. } => Some(claims.map_or("?".into(), |claims| claims.user)),
        Verdict::Nothing | Verdict::Unnamed => None,
        Verdict::SignedOut => panic!("signed out"),
    }
}

/// Rows: what the deployer wrote, what the app says, and who has signed in.
#[test]
fn only_what_is_surely_a_success_signs_anybody_in() {
    let form = json!({"form": "username"});
    let login = |more: Value| {
        let mut login = json!({"path": "/login", "user": form.clone()});
        login.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "login": login })
    };
    let away = login(json!({"location_not": "/login"}));
    let home = login(json!({"location": "/home*"}));
    let one_path = login(json!({"location_not": "/wiki.php?do=login"}));
    let start = login(json!({"location": "/wiki.php?id=start"}));
    let ok = login(json!({"status": "200"}));
    let cookie = login(json!({"set_cookie": "sid", "status": ["200", "302"]}));
    let told = login(json!({"json": {"/ok": true}}));
    let marked = login(json!({"body": "Sign out", "body_not": "(?i)wrong password"}));
    let by_header = json!({"login": {"path": "/login", "user": {"header": "X-User"}}});
    let by_json = json!({"login": {"path": "/login", "user": {"json": "/user/login"}}});
    let by_text = json!({"login": {"path": "/login", "user": {"regex": "Hello, ([^<]*)<"}}});
    let probed = json!({"login": {"path": "/login"}, "probe": {"path": "/me", "json": "/user"}});
    let rows: &[(&Value, Said<'_>, Option<&str>)] = &[
        // A redirect, told by where it leads.
        (&away, (302, &[("location", "/")], ""), Some("ann")),
        (&away, (303, &[("location", "http://wiki.example/wiki")], ""), Some("ann")),
        (&away, (302, &[("location", "/login")], ""), None),
        (&away, (302, &[("location", "/login?error=1")], ""), None),
        (&away, (302, &[("location", "http://wiki.example/login#again")], ""), None),
        (&away, (302, &[("location", "//wiki.example/login")], ""), None),
        (&away, (302, &[("location", "/x/../login")], ""), None),
        (&away, (302, &[("location", "/%6cogin")], ""), None),
        (&away, (302, &[("location", "login")], ""), None),
        (&away, (302, &[("location", "?failed")], ""), None),
        (&away, (302, &[("location", "")], ""), None),
        (&away, (302, &[("location", "index")], ""), Some("ann")),
        (&away, (302, &[], ""), None),
        (&away, (302, &[("location", "/"), ("location", "/login")], ""), None),
        (&away, (302, &[("location", "http://[/")], ""), None),
        (&away, (200, &[], "wrong password"), None),
        (&away, (401, &[], ""), None),
        (&away, (500, &[("location", "/")], ""), None),
        (&home, (302, &[("location", "/home")], ""), Some("ann")),
        (&home, (302, &[("location", "/homestead?x")], ""), Some("ann")),
        (&home, (302, &[("location", "/")], ""), None),
        (&home, (302, &[], ""), None),
        (&home, (200, &[("location", "/home")], ""), None),
        // One path for all pages, told by the query.
        (&one_path, (302, &[("location", "/wiki.php?id=start")], ""), Some("ann")),
        (&one_path, (302, &[("location", "/wiki.php?id=start#do=login")], ""), Some("ann")),
        (&one_path, (302, &[("location", "/wiki.php?id=start&do=login")], ""), None),
        (&one_path, (302, &[("location", "/wiki.php?do=x&do=login")], ""), None),
        (&one_path, (302, &[("location", "/wiki.php?do=login&do=x")], ""), None),
        (&one_path, (302, &[("location", "/wiki.php?Do=l%6fgin")], ""), None),
        (&one_path, (302, &[("location", "#")], ""), None),
        (&start, (302, &[("location", "/wiki.php?id=start&x=1")], ""), Some("ann")),
        (&start, (302, &[("location", "/wiki.php?id=start&id=login")], ""), None),
        (&start, (302, &[("location", "/wiki.php")], ""), None),
        // The status alone, where the app tells by it.
        (&ok, (200, &[], ""), Some("ann")),
        (&ok, (201, &[], ""), None),
        (&ok, (302, &[("location", "/")], ""), None),
        (&ok, (400, &[], ""), None),
        (&ok, (403, &[], ""), None),
        // A cookie; the last line of a name counts.
        (&cookie, (302, &[("set-cookie", "sid=1")], ""), Some("ann")),
        (&cookie, (302, &[("set-cookie", "SID=1")], ""), None),
        (&cookie, (302, &[("set-cookie", "sid=; Max-Age=0")], ""), None),
        (&cookie, (302, &[("set-cookie", "sid=deleted; Expires=Thu, 01 Jan 1970 00:00:01 GMT")], ""), None),
        (&cookie, (302, &[("set-cookie", "sid=1"), ("set-cookie", "sid=; Max-Age=0")], ""), None),
        (&cookie, (302, &[("set-cookie", "sid=; Max-Age=0"), ("set-cookie", "sid=2")], ""), Some("ann")),
        (&cookie, (200, &[], ""), None),
        (&cookie, (403, &[("set-cookie", "sid=1")], ""), None),
        // JSON.
        (&told, (200, &[], r#"{"ok": true}"#), Some("ann")),
        (&told, (200, &[], r#"{"ok": false}"#), None),
        (&told, (200, &[], r#"{"ok": "true"}"#), None),
        (&told, (200, &[], r#"{"ok": false, "ok": true}"#), None),
        (&told, (200, &[], r#"{"data": {"ok": true}}"#), None),
        (&told, (200, &[], "<html>"), None),
        (&told, (401, &[], r#"{"ok": true}"#), None),
        // A mark in the page.
        (&marked, (200, &[], "<a>Sign out</a>"), Some("ann")),
        (&marked, (200, &[], "<a>Sign in</a>"), None),
        (&marked, (200, &[], "<a>Sign out</a> WRONG password"), None),
        (&marked, (500, &[], "<a>Sign out</a>"), None),
        // The app says who.
        (&by_header, (200, &[("x-user", "ann")], ""), Some("ann")),
        (&by_header, (200, &[], ""), None),
        (&by_header, (200, &[("x-user", "")], ""), None),
        (&by_header, (200, &[("x-user", "ann"), ("x-user", "eve")], ""), None),
        (&by_header, (401, &[("x-user", "ann")], ""), None),
        (&by_json, (200, &[], r#"{"user": {"login": "ann"}}"#), Some("ann")),
        (&by_json, (200, &[], r#"{"user": null}"#), None),
        (&by_json, (200, &[], r#"{"user": {"login": ""}}"#), None),
        (&by_json, (200, &[], r#"{"user": {"login": ["ann"]}}"#), None),
        (&by_text, (200, &[], "Hello, ann<br>"), Some("ann")),
        (&by_text, (200, &[], "Hello, ann< Hello, ann<"), Some("ann")),
        (&by_text, (200, &[], "Hello, eve< Hello, ann<"), None),
        (&by_text, (200, &[], "Hello, <"), None),
        // Whoever it is, the app's own page will say.
        (&probed, (302, &[("location", "/login")], ""), Some("?")),
        (&probed, (200, &[], "wrong password"), Some("?")),
        (&probed, (401, &[], ""), None),
    ];
    for (config, said, expected) in rows {
        assert_eq!(user(config, *said).as_deref(), *expected, "{config} {said:?}");
    }
}

/// LG-05: apps repeat what was typed on the page that says that it was wrong.
#[test]
fn a_page_that_may_repeat_what_was_typed_signs_nobody_in() {
    let marked = json!({"login": {"path": "/login", "body": "Sign out|Abmelden", "user": {"form": "u"}}});
    let named = json!({"login": {"path": "/login", "user": {"regex": "Hello, (\\w+)"}}});
    let verdict = |config: &Value, target: &str, kind: &str, cookie: &str, body: &str, page: &str| {
        let observer = observer(config.clone());
        let request = Request::post(target).header("content-type", kind).header("cookie", cookie);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let watch = observer.watch(&parts).unwrap();
        watch.capture().fill(body.as_bytes());
        let headers = HeaderMap::new();
        let answer = Answer { status: StatusCode::OK, headers: &headers, cookies: &[], body: Some(page.as_bytes()) };
        matches!(watch.judge(&answer), Verdict::SignedIn { .. })
    };
    let form = "application/x-www-form-urlencoded";
    let page = "<p>Hello, ann <a href=/out>Sign out</a>";
    for config in [&marked, &named] {
        assert!(verdict(config, "/login?next=/", form, "a=b", "u=ann&p=x", page));
        let long = format!("u=ann&x={}", "x".repeat(LONGEST_FORM));
        for (target, kind, cookie, body) in [
            ("/login", form, "", "u=ann&next=Sign+out,+Hello,+ann"),
            ("/login", form, "", "u=ann&%53ign%20out+Hello%2c+ann=1"),
            ("/login?next=Sign%20out+Hello,+ann", form, "", "u=ann"),
            ("/login", form, "last=Sign%20out%20Hello,%20ann", "u=ann"),
            ("/login", "application/json", "", r#"{"u": "ann", "x": ["\u0053ign out \u0048ello, ann"]}"#),
            ("/login", "multipart/form-data; boundary=b", "", "--b\r\nSign out Hello, ann"),
            ("/login", form, "", &long),
        ] {
            assert!(!verdict(config, target, kind, cookie, body, page), "{config} {target} {cookie} {body:.60}");
        }
    }
    // An object that looks like the one that was sent repeats nothing.
    let object = json!({"login": {"path": "/login", "user": {"regex": "\"user\":\"(\\w+)\""}}});
    let body = r#"{"user":"ann","password":"x"}"#;
    assert!(verdict(&object, "/login", "application/json", "", body, r#"{"user":"ann","token":"t"}"#));
}

#[test]
fn a_body_that_is_not_all_there_proves_nothing() {
    let config = json!({"login": {"path": "/login", "body_not": "wrong", "user": {"form": "username"}}});
    let observer = observer(config);
    let (parts, ()) = Request::post("/login").body(()).unwrap().into_parts();
    let watch = observer.watch(&parts).unwrap();
    let answer = Answer { status: StatusCode::OK, headers: &HeaderMap::new(), cookies: &[], body: None };
    assert_eq!(watch.judge(&answer), Verdict::Nothing);
}

#[test]
fn a_form_that_is_too_long_or_broken_off_names_nobody() {
    let config = json!({"login": {"path": "/login", "status": "302", "user": {"form": "username"}}});
    let said: Said<'_> = (302, &[("location", "/")], "");
    let long = format!("username=ann&x={}", "x".repeat(LONGEST_FORM));
    for form in ["", "username=ann&username=eve", "username=", &long] {
        assert_eq!(judged(&config, form, said), Verdict::Unnamed, "{}", &form[..form.len().min(60)]);
    }
}

#[test]
fn basic_credentials_name_the_user_with_every_request() {
    let observer =
        observer(json!({"login": {"method": ["GET", "POST"], "path": "/*", "status": "2xx", "user": {"basic": true}}}));
    let verdict = |authorization: &str, status: u16| {
        let (parts, ()) = Request::get("/x").header("authorization", authorization).body(()).unwrap().into_parts();
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            cookies: &[],
            body: None,
        };
        observer.watch(&parts).unwrap().judge(&answer)
    };
    let ann = Verdict::SignedIn { claims: Some(Claims::of("ann".into())), repeats: true };
    // ann:pass:word
    assert_eq!(verdict("Basic YW5uOnBhc3M6d29yZA==", 200), ann);
    assert_eq!(verdict("basic YW5uOnBhc3M6d29yZA==", 204), ann);
    for (authorization, status) in [
        ("Basic YW5uOnBhc3M6d29yZA==", 401),
        ("Bearer YW5uOng=", 200),
        ("Basic !", 200),
        ("Basic YW5u", 200),
        ("", 200),
    ] {
        let nobody = if status == 401 { Verdict::Nothing } else { Verdict::Unnamed };
        assert_eq!(verdict(authorization, status), nobody, "{authorization} {status}");
    }
}

/// What is no try cannot fail.
#[test]
fn a_try_is_told_from_a_look_at_the_form() {
    let by_form = json!({"login": {"method": [], "path": "/in", "form": {"do": "login"}, "status": "302", "user": {"form": "u"}}});
    let by_path = json!({"login": {"method": [], "path": "/in", "status": "302", "user": {"form": "u"}}});
    let by_query = json!({"login": {"path": "/in", "query": {"do": "login"}, "status": "302", "user": {"form": "u"}}});
    let fixed = json!({"login": {"path": "/in", "status": "302", "user": {"fixed": "owner"}}});
    let none = json!({"login": {"path": "/in", "status": "302", "user": {"form": "u"}}, "regulation": false});
    let long = format!("u=ann&x={}", "x".repeat(LONGEST_FORM));
    let (named, unnamed) = (Some(Some("ann")), Some(None));
    for (config, method, target, body, expected) in [
        (&by_form, "POST", "/in", "do=login&u=ann", named),
        (&by_form, "POST", "/in", "do=save&u=ann", None),
        (&by_form, "POST", "/in", &long, None),
        (&by_form, "GET", "/in?do=login", "", None),
        (&by_path, "POST", "/in", "u=ann&p=x", named),
        (&by_path, "POST", "/in", "u=ann&u=eve", unnamed),
        (&by_path, "POST", "/in", &long, unnamed),
        (&by_path, "POST", "/in", "", None),
        (&by_path, "GET", "/in?u=ann", "", None),
        (&by_query, "POST", "/in?do=login", "u=ann", named),
        (&by_query, "POST", "/in?do=login", "u=ann&do=save", None),
        (&by_query, "POST", "/in?do=login", &long, None),
        (&fixed, "POST", "/in", "password=x", unnamed),
        (&none, "POST", "/in", "u=ann&p=x", None),
    ] {
        let observer = observer(config.clone());
        let request = Request::builder().method(method).uri(target);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let watch = observer.watch(&parts).unwrap();
        watch.capture().fill(body.as_bytes());
        let tried = watch.attempt().map(|attempt| attempt.user);
        assert_eq!(tried, expected.map(|user| user.map(str::to_owned)), "{config} {method} {target} {body:.40}");
    }
}

#[test]
fn queries_and_fields_tell_requests_to_one_path_apart() {
    let observer = observer(json!({
        "login": {"path": "/doku.php", "form": {"do": "login"}, "set_cookie": "DW", "user": {"form": "u"}},
        "logout": {"path": "/doku.php", "query": {"do": "logout"}},
    }));
    let verdict = |target: &str, form: &str| {
        let request = Request::post(target).header("content-type", "application/x-www-form-urlencoded");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let watch = observer.watch(&parts)?;
        watch.capture().fill(form.as_bytes());
        let cookie = jar::read(b"DW=1", &PLACE, Timestamp(5)).unwrap();
        Some(watch.judge(&Answer {
            status: StatusCode::FOUND,
            headers: &HeaderMap::new(),
            cookies: &[cookie],
            body: None,
        }))
    };
    let ann = Verdict::SignedIn { claims: Some(Claims::of("ann".into())), repeats: false };
    assert_eq!(verdict("/doku.php?id=x", "do=login&u=ann&p=x"), Some(ann));
    assert_eq!(verdict("/doku.php?id=x", "do=save&u=ann"), Some(Verdict::Nothing));
    assert_eq!(verdict("/doku.php?do=logout&sectok=1", "x=1"), Some(Verdict::SignedOut));
    assert_eq!(verdict("/other", "do=login&u=ann"), None);
}

#[test]
fn a_redirect_to_the_sign_in_page_means_that_the_app_has_forgotten_the_user() {
    let observer = observer(json!({"login": {"path": "/login", "status": "302", "user": {"form": "u"}}}));
    let expired = |path: &str, status: u16, location: &str| {
        let headers = headers(&[("location", location)]);
        let status = StatusCode::from_u16(status).unwrap();
        observer.has_expired(&path.parse().unwrap(), &Answer { status, headers: &headers, cookies: &[], body: None })
    };
    assert!(expired("/page", 302, "/login?next=/page") && expired("/a/page", 303, "../login"));
    assert!(!expired("/page", 302, "/") && !expired("/page", 200, "/login") && !expired("/login", 302, "/login"));
    let api = super::tests::observer(
        json!({"login": {"path": "/login", "status": "200", "user": {"form": "u"}}, "expired": {"status": "401"}}),
    );
    let none = HeaderMap::new();
    let answer = |status| Answer { status, headers: &none, cookies: &[], body: None };
    let asked_for = "/api".parse().unwrap();
    assert!(api.has_expired(&asked_for, &answer(StatusCode::UNAUTHORIZED)));
    assert!(!api.has_expired(&asked_for, &answer(StatusCode::FORBIDDEN)));
}

#[test]
fn a_cookie_that_is_taken_back_means_it_too_where_that_is_said() {
    let place = jar::Place { hosts: &["a"], paths: &["/"] };
    let read = |line: &&str| jar::read(line.as_bytes(), &place, Timestamp(1_700_000_000_000)).unwrap();
    let expired = |expired: Value, status: u16, lines: &[&str]| {
        let observer =
            observer(json!({"login": {"path": "/login", "status": "200", "user": {"form": "u"}}, "expired": expired}));
        let cookies: Vec<_> = lines.iter().map(read).collect();
        let (status, headers) = (StatusCode::from_u16(status).unwrap(), HeaderMap::new());
        observer
            .has_expired(&"/".parse().unwrap(), &Answer { status, headers: &headers, cookies: &cookies, body: None })
    };
    let gone = "DW81=deleted; Expires=Thu, 01 Jan 1970 00:00:01 GMT";
    for (rule, status, lines, expected) in [
        (json!({"delete_cookie": "DW*"}), 200, &[gone][..], true),
        (json!({"delete_cookie": "DW81"}), 403, &["x=1", gone], true),
        (json!({"delete_cookie": "DW*"}), 302, &[gone], true),
        (json!({"delete_cookie": "DW"}), 200, &[gone], false),
        (json!({"delete_cookie": "DW*"}), 200, &[gone, "DW81=again"], false),
        (json!({"delete_cookie": "DW*"}), 200, &["DW82=a", "other=; Max-Age=0"], false),
        (json!({"delete_cookie": "DW*", "status": "200"}), 404, &[gone], false),
        (json!({"delete_cookie": "DW*", "location": "/login"}), 200, &[gone], false),
        (json!({}), 200, &[gone], false),
    ] {
        assert_eq!(expired(rule.clone(), status, lines), expected, "{rule} {status} {lines:?}");
    }
}

#[test]
fn the_probe_is_believed_and_nobody_else() {
    let read = |probe: Value, status: u16, body: &str, typed: Option<&str>| {
        let config = json!({"login": {"path": "/login"}, "probe": probe});
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: &HeaderMap::new(), cookies: &[], body: Some(body.as_bytes()) };
        observer(config).probe().unwrap().read(&answer, typed.map(|name| Claims::of(name.into())))
    };
    let all = json!({"path": "/me", "json": "/u", "name": "/n", "email": "/e", "groups": "/g"});
    let body = r#"{"u": "ann", "n": "Ann E.", "e": "a@b", "g": ["x", "y z"]}"#;
    let claims = read(all.clone(), 200, body, Some("ANN")).unwrap();
    assert_eq!((claims.user.as_str(), claims.name.as_deref(), claims.groups.len()), ("ann", Some("Ann E."), 2));
    assert_eq!(read(all.clone(), 200, r#"{"u": "ann", "g": "x, y"}"#, None).unwrap().groups, ["x", "y"]);
    for (status, body) in [(200, r#"{"u": null}"#), (200, r#"{"u": ""}"#), (200, "<html>"), (302, body), (401, body)] {
        assert_eq!(read(all.clone(), status, body, Some("ann")), None, "{status} {body}");
    }
    let text = json!({"path": "/", "regex": "Logged in as: <b>([^<]+)</b>"});
    assert_eq!(read(text.clone(), 200, "Logged in as: <b>ann</b>", Some("x")).unwrap().user, "ann");
    assert_eq!(read(text, 200, "Log in", Some("ann")), None);
    let marked = json!({"path": "/", "regex": "Log out"});
    assert_eq!(read(marked.clone(), 200, "Log out", Some("ann")).unwrap().user, "ann");
    assert_eq!(read(marked.clone(), 200, "Log in", Some("ann")), None);
    assert_eq!(read(marked, 200, "Log out", None), None);
    assert_eq!(read(json!({"path": "/private"}), 200, "", Some("ann")).unwrap().user, "ann");
    assert_eq!(read(json!({"path": "/private"}), 403, "", Some("ann")), None);
}

#[test]
fn strangers_find_the_way_in_and_nothing_else() {
    let observer = observer(json!({
        "login": {"path": "/session/login*", "status": "302", "user": {"form": "u"}},
        "login_page": "/in?next={path}", "public_paths": ["/static/*"],
    }));
    for (path, open) in
        [("/in", true), ("/session/login/x", true), ("/static/a.css", true), ("/", false), ("/inx", false)]
    {
        assert_eq!(observer.is_way_in(&Method::GET, path, Some("next=x")), open, "{path}");
    }
    assert_eq!(observer.login_page("/a b?c=d&e"), "/in?next=%2Fa+b%3Fc%3Dd%26e");
}

/// SECURITY: else `access: user` would hold for no page of an app that has one script for all of them.
#[test]
fn where_all_pages_have_one_path_strangers_see_the_sign_in_alone() {
    let observer = observer(json!({
        "login": [
            {"path": "/wiki.php", "form": {"do": "login"}, "status": "302", "user": {"form": "u"}},
            {"path": "/shop.php", "query": {"page": "in"}, "status": "302", "user": {"form": "u"}},
        ],
        "login_page": "/wiki.php?do=login&id={path}",
    }));
    for (method, target, open) in [
        ("GET", "/wiki.php?do=login&id=start", true),
        ("GET", "/wiki.php?id=a&do=login", true),
        ("GET", "/wiki.php", false),
        ("GET", "/wiki.php?id=secret", false),
        ("GET", "/wiki.php?do=show&id=secret", false),
        ("GET", "/wiki.php?id=do=login", false),
        // Which one the app reads is anybody's guess.
        ("GET", "/wiki.php?do=login&do=show", false),
        ("GET", "/wiki.php?do=login&do[show]=1", false),
        ("GET", "/wiki.php?do=login&d%6F=show", false),
        ("PUT", "/wiki.php?do=login", false),
        // If the form is a sign-in.
        ("POST", "/wiki.php?id=a", true),
        ("POST", "/shop.php?page=in", true),
        ("POST", "/shop.php?page=in&page=all", false),
        ("POST", "/shop.php", false),
        ("GET", "/shop.php?page=in", false),
    ] {
        let asked_for: PathAndQuery = target.parse().unwrap();
        let method = method.parse().unwrap();
        assert_eq!(observer.is_way_in(&method, asked_for.path(), asked_for.query()), open, "{method} {target}");
    }
    let expired = |from: &str, to: &str| {
        let headers = headers(&[("location", to)]);
        let answer = Answer { status: StatusCode::FOUND, headers: &headers, cookies: &[], body: None };
        observer.has_expired(&from.parse().unwrap(), &answer)
    };
    assert!(expired("/wiki.php?id=a", "?do=login&id=a") && expired("/other", "/wiki.php?id=a&do=login#top"));
    // As after a page was saved, and from the front page.
    assert!(
        !expired("/wiki.php?id=a", "/wiki.php?id=a") && !expired("/", "wiki.php") && !expired("/wiki.php", "#do=login")
    );
}

proptest! {
    #[test]
    fn no_location_panics_or_leaves_its_form(text in "[a-z/.:%#?\\\\ @\\[\\]]{0,40}", from in "/[a-z/]{0,10}") {
        let headers = headers(&[("location", &text)]);
        let answer = Answer { status: StatusCode::FOUND, headers: &headers, cookies: &[], body: None };
        if let Some(path) = answer.location(&from) {
            prop_assert!(path.starts_with('/') && !path.contains("/../"), "{}", path);
        }
    }
}
