//! Who may pass a route and what its app is told: `access`, presets and templates, by host and path.

use crate::support::{App, PASSWORD, TestGateway, field, hash};

const SPOOFED: [(&str, &str); 6] = [
    ("Remote-User", "admin"),
    ("X-Forwarded-User", "admin"),
    ("X-Forwarded-Groups", "staff"),
    ("Remote-Groups", "staff"),
    ("X-WEBAUTH-USER", "admin"),
    ("X_WebAuth_Groups", "staff"),
];

#[test]
fn a_public_route_takes_everybody_and_names_who_is_signed_in() {
    let app = App::echoing();
    let gateway = TestGateway::with_routes(&format!("  - {{ access: public, upstream: 'http://{}' }}", app.address));
    let mut stranger = gateway.browser();
    let answer = stranger.request("GET", "/", &SPOOFED, b"");
    assert_eq!((answer.status, answer.header("vary")), (200, None));
    assert_eq!(identity(&app), [""; 0]);
    gateway.signed_in("ann").request("GET", "/", &SPOOFED, b"");
    assert_eq!(
        identity(&app),
        ["Remote-User: ann", "Remote-Name: ann Example", "Remote-Email: ann@example.com", "Remote-Groups: staff,wiki"]
    );
}

/// The identity headers the app saw last, in one order.
fn identity(app: &App) -> Vec<String> {
    let names = [
        "Remote-User",
        "Remote-Name",
        "Remote-Email",
        "Remote-Groups",
        "X-Forwarded-User",
        "X-Forwarded-Preferred-Username",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-WEBAUTH-USER",
        "X_WebAuth_Groups",
        "X-WEBAUTH-GROUPS",
        "X-Contact",
    ];
    let seen = app.last();
    names.iter().filter_map(|name| Some(format!("{name}: {}", seen.header(name)?))).collect()
}

#[test]
fn a_group_route_takes_members_and_tells_the_others_why_not() {
    let app = App::echoing();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ upstream: 'http://{0}' }}\n  - {{ path: /admin, access: {{ groups: [staff, ops] }}, upstream: 'http://{0}' }}",
        app.address
    ));
    assert_eq!(gateway.browser().get("/admin").header("location"), Some("/.session/login?rd=/admin"));
    assert_eq!(gateway.signed_in("ann").get("/admin/x").status, 200);
    let mut bob = gateway.signed_in("bob");
    let count = app.seen().len();
    let page = bob.get("/admin");
    assert_eq!(page.status, 403);
    assert!(page.text().contains(">bob<") && page.text().contains("Use another account"), "{}", page.text());
    let program = bob.fetch("/admin");
    assert_eq!((program.status, program.json()), (403, serde_json::json!({ "error": "forbidden" })));
    assert_eq!(bob.request("POST", "/admin", &SPOOFED, b"x").status, 403);
    assert_eq!(app.seen().len(), count);
    assert_eq!(bob.get("/").status, 200);
}

/// Groups are compared as they are written.
#[test]
fn a_group_of_another_case_or_with_a_longer_name_is_another_group() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ access: {{ groups: [staff] }}, upstream: 'http://{}' }}]\n\
         login: {{ form: {{ users: [{{ name: eve, password: '{}', groups: [Staff, staffer, 'a,staff', ' staff'] }}] }} }}",
        app.address,
        hash()
    ));
    assert_eq!(gateway.signed_in("eve").get("/").status, 403);
}

#[test]
fn each_route_names_the_user_in_its_own_headers() {
    let app = App::echoing();
    let upstream = app.address;
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ path: /remote, upstream: 'http://{upstream}' }}\n  \
         - {{ path: /forwarded, upstream: 'http://{upstream}', identity: {{ headers: forwarded }} }}\n  \
         - path: /own\n    upstream: 'http://{upstream}'\n    identity:\n      headers:\n        \
         X-WEBAUTH-USER: '{{user}}'\n        X-WEBAUTH-GROUPS: '{{groups:; }}'\n        X-Contact: '{{name}} <{{email}}>'\n  \
         - {{ path: /none, upstream: 'http://{upstream}', identity: {{ headers: {{}} }} }}"
    ));
    let mut browser = gateway.signed_in("ann");
    let mut told = |path: &str| {
        assert_eq!(browser.request("GET", path, &SPOOFED, b"").status, 200, "{path}");
        identity(&app)
    };
    assert_eq!(
        told("/remote"),
        ["Remote-User: ann", "Remote-Name: ann Example", "Remote-Email: ann@example.com", "Remote-Groups: staff,wiki"]
    );
    assert_eq!(
        told("/forwarded"),
        [
            "X-Forwarded-User: ann",
            "X-Forwarded-Preferred-Username: ann Example",
            "X-Forwarded-Email: ann@example.com",
            "X-Forwarded-Groups: staff,wiki"
        ]
    );
    assert_eq!(
        told("/own"),
        ["X-WEBAUTH-USER: ann", "X-WEBAUTH-GROUPS: staff; wiki", "X-Contact: ann Example <ann@example.com>"]
    );
    assert_eq!(told("/none"), [""; 0]);
}

/// A value that is missing makes no header, and one that is not plain ASCII cannot break the head.
#[test]
fn absent_values_make_no_header_and_strange_ones_are_encoded() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ upstream: 'http://{}' }}]\nlogin: {{ form: {{ users: [{{ name: Zoë, password: '{}' }}] }} }}",
        app.address,
        hash()
    ));
    let mut browser = gateway.signed_in("zoë");
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(identity(&app), ["Remote-User: UTF-8''zo%C3%AB"]);
    assert_eq!(browser.fetch("/.session/me").json()["user"], "zoë");
}

#[test]
fn hosts_lead_to_their_own_apps_and_an_unknown_one_to_none() {
    let (wiki, any, deep) = (App::echoing(), App::echoing(), App::echoing());
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ host: wiki.example.com, access: public, upstream: 'http://{}' }}\n  \
         - {{ host: '*.example.com', access: public, upstream: 'http://{}' }}\n  \
         - {{ host: wiki.example.com, path: /deep, access: public, upstream: 'http://{}' }}",
        wiki.address, any.address, deep.address
    ));
    let get = |host: &str, path: &str| {
        let mut browser = gateway.browser();
        browser.host = host.into();
        let status = browser.get(path).status;
        (status, [wiki.seen().len(), any.seen().len(), deep.seen().len()])
    };
    assert_eq!(get("wiki.example.com", "/"), (200, [1, 0, 0]));
    assert_eq!(get("WIKI.Example.com.:8080", "/deeper"), (200, [2, 0, 0]));
    assert_eq!(get("wiki.example.com", "/deep/er"), (200, [2, 0, 1]));
    assert_eq!(get("other.example.com", "/deep"), (200, [2, 1, 1]));
    for stranger in ["example.com", "evil.example", "wiki.example.com.evil.example", "evilexample.com"] {
        assert_eq!(get(stranger, "/"), (421, [2, 1, 1]), "{stranger}");
        assert_eq!(get(stranger, "/.session/login").0, 421, "{stranger}");
    }
}

/// One sign-in for two hosts, when the cookie's domain covers both; each app sees the host it is asked for.
#[test]
fn one_session_serves_all_hosts_of_the_cookies_domain() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes:\n  - {{ host: wiki.example.com, upstream: 'http://{0}' }}\n  \
         - {{ host: admin.example.com, access: {{ groups: [staff] }}, upstream: 'http://{0}' }}\n\
         session: {{ cookie: {{ domain: example.com, secure: auto }} }}",
        app.address
    ));
    let mut browser = gateway.browser();
    browser.host = "wiki.example.com".into();
    let answer = browser.sign_in_to("https://admin.example.com/start", "ann", PASSWORD);
    assert_eq!(answer.header("location"), Some("https://admin.example.com/start"));
    for host in ["wiki.example.com", "admin.example.com"] {
        browser.host = host.into();
        assert_eq!(browser.get("/").status, 200);
        assert_eq!(app.last().header("host"), Some(host));
    }
    assert_eq!(browser.sign_out().status, 200);
    assert_eq!(browser.get("/").status, 302);
}

/// PA-11: a form for one host is no form for another.
#[test]
fn a_form_of_one_host_is_cross_site_on_another() {
    let app = App::echoing();
    let gateway = TestGateway::with_config(&format!(
        "routes: [{{ host: '*.example.com', upstream: 'http://{}' }}]\n\
         session: {{ cookie: {{ domain: example.com, secure: auto }} }}",
        app.address
    ));
    let mut browser = gateway.browser();
    browser.host = "wiki.example.com".into();
    let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
    let fields = [("csrf", &*csrf), ("username", "ann"), ("password", PASSWORD)];
    assert_eq!(browser.post_from("http://evil.example.com", "/.session/login", &fields).status, 403);
    assert_eq!(browser.post_from("http://wiki.example.com", "/.session/login", &fields).status, 303);
}

#[test]
fn the_host_an_app_sees_is_configurable() {
    let app = App::echoing();
    let upstream = app.address;
    let route = |path: &str, host: &str| {
        format!("  - {{ path: {path}, access: public, upstream: {{ url: 'http://{upstream}', host: {host} }} }}\n")
    };
    let routes = [route("/a", "preserve"), route("/b", "upstream"), route("/c", "legacy.internal")].concat();
    let gateway = TestGateway::with_routes(&routes);
    let mut browser = gateway.browser();
    browser.host = "public.example".into();
    let mut host = |path: &str| {
        browser.get(path);
        app.last().header("host").unwrap().to_owned()
    };
    assert_eq!(
        [host("/a"), host("/b"), host("/c")],
        ["public.example".to_owned(), upstream.to_string(), "legacy.internal".to_owned()]
    );
}

#[test]
fn a_path_that_no_route_takes_is_not_found() {
    let app = App::echoing();
    let gateway =
        TestGateway::with_routes(&format!("  - {{ path: /app, access: public, upstream: 'http://{}' }}", app.address));
    let mut browser = gateway.browser();
    assert_eq!((browser.get("/").status, browser.get("/application").status), (404, 404));
    assert_eq!((browser.get("/app").status, browser.get("/app/x").status), (200, 200));
}
