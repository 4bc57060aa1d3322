//! Where the browser goes after sign-in and sign-out: a path of this origin, or a page of a configured host.

use crate::support::{App, PASSWORD, TestGateway, field};

/// Targets that lead elsewhere in some browser or some server behind (PA-10, and oauth2-proxy's list).
const HOSTILE: &[&str] = &[
    "//evil.example",
    "//evil.example/path",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "\\evil.example",
    "/\tevil.example",
    "/\t/evil.example",
    "/\t\\evil.example",
    "\t//evil.example",
    "/ /evil.example",
    "/ \\evil.example",
    " //evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/\x0b/evil.example",
    "/\x0c/evil.example",
    "/\0/evil.example",
    "/\t//evil.example",
    "/ //evil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%0d%0aLocation:%20https://evil.example",
    "/%00/evil.example",
    "/%5cevil.example",
    "/%5Cevil.example",
    "/%2fevil.example",
    "/%2F%2Fevil.example",
    "/ok\r\nX-Injected: 1",
    "/./\\evil.example",
    "/././\\evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/../\\evil.example",
    "/a/..//evil.example",
    "/a/%2e%2e//evil.example",
    "/%2e%2e//evil.example",
    "/.%2e//evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https://evil.example",
    "http://evil.example/",
    "HTTPS://evil.example",
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "ftp://good.example/",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "mailto:a@evil.example",
    "://evil.example",
    ":80",
    "@evil.example",
    "evil.example",
    "evilgood.example",
    "https://good.example.evil.example/",
    "https://good.example@evil.example/",
    "https://good.example:443@evil.example/",
    "https://evil.example#good.example",
    "https://evil.example?good.example",
    "https://evil.example\\good.example",
    "https://evil.example/.good.example",
    "https://evilgood.example/",
    "https://good.example:8443/",
    "https://user@good.example/",
    "https://good.example./",
    "https://.good.example/",
    "https://x.good.example/",
    "https://evil.example%2egood.example/",
    "https://apps.example/",
    "https://evilapps.example/",
    "https://evil.example@x.apps.example/",
    "https://evil.example/x.apps.example",
    "\u{ff0f}\u{ff0f}evil.example",
    "/\u{ff0f}evil.example",
    "/\u{2028}/evil.example",
    "https://good.example\u{ff0f}evil.example",
    "https://g\u{f6}\u{f6}d.example/",
    "?rd=//evil.example",
    "#//evil.example",
    "a/b",
    "",
];

/// Targets that people really have.
const HARMLESS: &[&str] = &[
    "/",
    "/wiki/Main%20Page?action=edit&next=/x//y#top",
    "/@evil.example",
    "/search?q=https://evil.example",
    "/a//b",
    "https://good.example",
    "https://good.example/x?y=//z",
    "http://good.example/",
    "https://x.apps.example/",
    "https://a.b.apps.example/deep",
];

fn gateway(app: &App) -> TestGateway {
    let upstream = app.address;
    TestGateway::with_routes(&format!(
        "  - {{ host: good.example, upstream: 'http://{upstream}' }}\n  \
         - {{ host: '*.apps.example', upstream: 'http://{upstream}' }}\n  \
         - {{ upstream: 'http://{upstream}' }}"
    ))
}

/// PA-10: refused, never repaired.
#[test]
fn after_sign_in_no_target_leads_to_a_host_that_nobody_configured() {
    let app = App::echoing();
    let gateway = gateway(&app);
    let long = format!("/{}", "a".repeat(8 * 1024));
    for rd in HOSTILE.iter().copied().chain([&*long]) {
        let mut browser = gateway.browser();
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("rd", rd).finish();
        let page = browser.get(&format!("/.session/login?{query}"));
        assert_eq!((page.status, field(&page, "rd")), (200, None), "shown: {rd:?}");
        let csrf = field(&page, "csrf").unwrap();
        let fields = [("csrf", &*csrf), ("rd", rd), ("username", "ann"), ("password", PASSWORD)];
        let answer = browser.post(&format!("/.session/login?{query}"), &fields);
        assert_eq!((answer.status, answer.all("location")), (303, vec!["/"]), "used: {rd:?}");
        assert_eq!(answer.header("x-injected"), None);
    }
}

/// PA-10.
#[test]
fn after_sign_out_no_target_leads_to_a_host_that_nobody_configured() {
    let app = App::echoing();
    let gateway = gateway(&app);
    for rd in HOSTILE {
        let mut browser = gateway.signed_in("ann");
        let answer = browser.post("/.session/logout", &[("rd", rd)]);
        assert_eq!((answer.status, answer.header("location")), (200, None), "{rd:?}");
        assert!(answer.text().contains("You are signed out"));
    }
}

#[test]
fn a_target_here_or_on_a_configured_host_is_taken_as_it_stands() {
    let app = App::echoing();
    let gateway = gateway(&app);
    for rd in HARMLESS {
        let mut browser = gateway.browser();
        let answer = browser.sign_in_to(rd, "ann", PASSWORD);
        assert_eq!((answer.status, answer.header("location")), (303, Some(*rd)));
        let answer = browser.post("/.session/logout", &[("rd", rd)]);
        assert_eq!((answer.status, answer.header("location")), (303, Some(*rd)));
    }
}

/// The address a stranger asked for survives the way through the sign-in page, whatever stands in it.
#[test]
fn the_page_that_was_asked_for_is_where_sign_in_leads() {
    let app = App::echoing();
    let gateway = gateway(&app);
    for path in ["/a?b=c&d=e%20f", "/%E2%82%AC?x=%26", "/a+b?c+d", "/a;b=c", "/q?rd=/x&csrf=1"] {
        let mut browser = gateway.browser();
        let login = browser.get(path).header("location").unwrap().to_owned();
        let page = browser.get(&login);
        let (csrf, rd) = (field(&page, "csrf").unwrap(), field(&page, "rd").unwrap());
        let fields = [("csrf", &*csrf), ("rd", &rd), ("username", "ann"), ("password", PASSWORD)];
        assert_eq!(browser.post("/.session/login", &fields).header("location"), Some(path));
    }
}

/// PA-10: a stranger's own request is the first thing an attacker controls.
#[test]
fn a_hostile_path_is_not_where_sign_in_leads() {
    let app = App::echoing();
    let gateway = gateway(&app);
    for path in ["//evil.example/", "///evil.example", "/%5cevil.example", "/..//evil.example"] {
        let mut browser = gateway.browser();
        let answer = browser.get(path);
        let Some(login) = answer.header("location") else { continue };
        let page = browser.get(login);
        assert!(!field(&page, "rd").unwrap_or_default().contains("//"), "{path}");
    }
}
