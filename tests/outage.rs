//! The session store does not answer: who needs a session is told to come again, nobody is signed out, and what needs
//! none goes on. Nothing listens where this Redis should be; servers that hang are in `store::redis::tests`.

use crate::support::{App, Browser, TestGateway};

const ID: &str = "0123456789abcdefghijklmnopqrstuv";

fn cut_off(app: &App, route: &str) -> TestGateway {
    TestGateway::with_config(&format!(
        "store: {{ type: redis, url: 'redis://127.0.0.1:1', timeout: 50ms }}\nadmin: {{ address: '127.0.0.1:0' }}\n\
         routes: [{{ {route}, upstream: 'http://{}' }}]",
        app.address
    ))
}

#[test]
fn a_route_that_needs_the_session_answers_503_and_leaves_the_cookie_alone() {
    let app = App::echoing();
    let gateway = cut_off(&app, "access: user");
    let mut browser = Browser::holding(gateway.address(), ID);
    for path in ["/", "/.session/me", "/.session/login"] {
        let answer = browser.get(path);
        assert_eq!((answer.status, answer.header("set-cookie")), (503, None), "{path}");
        let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds));
    }
    assert_eq!(browser.session_id().as_deref(), Some(ID));
    assert!(app.seen().is_empty());
}

#[test]
fn without_a_cookie_nobody_asks_the_store() {
    let app = App::echoing();
    let gateway = cut_off(&app, "access: user");
    assert_eq!(gateway.browser().get("/").status, 302);
}

#[test]
fn a_public_route_serves_everybody_as_a_stranger() {
    let app = App::obeying();
    let gateway = cut_off(&app, "access: public");
    let mut browser = Browser::holding(gateway.address(), ID);
    let answer = browser.get("/");
    assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
    assert_eq!(app.last().all("remote-user"), [""; 0]);
    assert!(!app.last().head.contains(ID));
}

#[test]
fn a_route_says_itself_what_happens() {
    for (route, status) in [
        ("access: public, on_store_error: unavailable", 503),
        ("access: public, session_headers: read", 503),
        ("access: public, session_headers: read, on_store_error: anonymous", 200),
        ("access: user, on_store_error: anonymous", 302),
    ] {
        let app = App::echoing();
        let gateway = cut_off(&app, route);
        assert_eq!(Browser::holding(gateway.address(), ID).get("/").status, status, "{route}");
    }
}

#[test]
fn what_an_app_wants_kept_meanwhile_is_dropped_and_its_answer_is_whole() {
    let app = App::obeying();
    let gateway = cut_off(&app, "access: public, session_headers: read_write, on_store_error: anonymous");
    let mut browser = Browser::holding(gateway.address(), ID);
    let answer = browser.answered("/", &["Session-Set: {\"cart\": 1}", "Session-User: ann"]);
    assert_eq!((answer.status, answer.text().as_str()), (200, crate::support::PAGE));
    assert_eq!((answer.header("set-cookie"), answer.header("session-set")), (None, None));
}

#[test]
fn the_gateway_is_alive_and_not_ready() {
    let app = App::echoing();
    let gateway = cut_off(&app, "access: user");
    let ask = |path: &str| Browser::at(gateway.admin_address()).get(path).status;
    assert_eq!((ask("/healthz"), ask("/readyz")), (200, 503));
}
