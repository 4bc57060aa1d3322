//! What operators ask of the running gateway: numbers, and expired sessions deleted on demand.

use std::time::Duration;

use crate::support::process::{run, write};
use crate::support::{App, Client, Response, TestGateway};

const HOUR: Duration = Duration::from_secs(3600);

fn gateway(app: &App) -> TestGateway {
    TestGateway::with_config(&format!(
        "admin: {{ address: '127.0.0.1:0' }}\nsession: {{ idle_timeout: 1h }}\nroutes: [{{ upstream: 'http://{}' }}]",
        app.address
    ))
}

fn ask(gateway: &TestGateway, method: &str, path: &str, headers: &str) -> Response {
    let mut client = Client::connect(gateway.admin_address());
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}Connection: close\r\n\r\n")).response()
}

/// The value of a line of the metrics.
fn number(gateway: &TestGateway, line: &str) -> Option<u64> {
    let answer = ask(gateway, "GET", "/metrics", "");
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(answer.text().ends_with("# EOF\n"));
    answer.text().lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

fn events(gateway: &TestGateway, event: &str) -> u64 {
    number(gateway, &format!("cloakroom_session_events_total{{event=\"{event}\"}}")).unwrap()
}

#[test]
fn metrics_count_the_turns_in_the_lives_of_sessions() {
    let gateway = gateway(&App::echoing());
    assert_eq!((events(&gateway, "signed_in"), number(&gateway, "cloakroom_store_entries")), (0, Some(0)));
    let mut ann = gateway.signed_in("ann");
    gateway.signed_in("bob");
    ann.sign_out();
    assert_eq!((events(&gateway, "signed_in"), events(&gateway, "signed_out")), (2, 1));
    assert_eq!(events(&gateway, "theft_suspected"), 0);
}

/// Row 37, `test_clearsessions_command`.
#[test]
fn expired_sessions_are_deleted_on_demand_and_others_stay() {
    let app = App::echoing();
    let gateway = gateway(&app);
    gateway.signed_in("ann");
    gateway.clock.advance(HOUR / 2);
    let mut bob = gateway.signed_in("bob");
    gateway.clock.advance(HOUR / 2);
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "listeners: [{{ address: '127.0.0.1:8080' }}]\nadmin: {{ address: '{}' }}\nroutes: [{{ access: public, upstream: 'http://a' }}]",
        gateway.admin_address()
    );
    write(dir.path(), "cloakroom.yaml", &config);
    let clear = || run(dir.path(), &["sessions", "clear-expired"], &[], "");
    let ended = clear();
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "1 expired session deleted"), "{ended:?}");
    assert_eq!(clear().stdout.trim(), "0 expired sessions deleted");
    assert_eq!((bob.get("/").status, events(&gateway, "expired")), (200, 1));
    drop(gateway);
    let ended = clear();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is the gateway running?"), "{ended:?}");
}

/// A page in a browser on the same machine can reach this listener, and must not command it.
#[test]
fn a_page_of_any_site_cannot_command_the_gateway() {
    let gateway = gateway(&App::echoing());
    let path = "/api/v1/sessions/clear-expired";
    for headers in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(ask(&gateway, "POST", path, headers).status, 403, "{headers}");
    }
    assert_eq!(ask(&gateway, "GET", path, "").status, 405);
    assert_eq!(ask(&gateway, "POST", path, "").text(), "{\"deleted\":0}");
}
