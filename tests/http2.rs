//! HTTP/2 in front (RFC 9113): malformed fields and floods, as raw frames.
//!
//! What a case shows is how the stream or connection ends, and what the app saw, which is usually nothing.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::support::frames::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, Fate, Frames, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, encode,
};
use crate::support::{App, TlsGateway, ok};

/// Field names and values in the order in which they are sent.
type Fields<'a> = Vec<(&'a str, &'a [u8])>;

const GET: [(&str, &[u8]); 4] =
    [(":method", b"GET"), (":scheme", b"https"), (":authority", b"a.test"), (":path", b"/x")];

fn before(app: &App) -> TlsGateway {
    TlsGateway::with_config(&format!("routes: [{{ access: public, upstream: 'http://{}' }}]", app.address))
}

/// A good request with `more` fields.
fn with<'a>(more: &[(&'a str, &'a [u8])]) -> Fields<'a> {
    [&GET[..], more].concat()
}

/// A good request with another value for one pseudo-header; none when it is empty and not the path.
fn instead<'a>(name: &'a str, value: &'a [u8]) -> Fields<'a> {
    GET.iter().map(|(known, old)| (*known, if *known == name { value } else { old })).collect()
}

/// Sends each on a connection of its own; `accepted` says which ends are right, and the app never hears of one.
fn refuses(cases: Vec<(&str, Fields<'_>)>, accepted: fn(Fate) -> bool) {
    let app = App::echoing();
    let server = before(&app);
    for (name, fields) in cases {
        println!("case: {name}");
        let fate = Frames::connect(&server).get(1, &fields).fate(1);
        assert!(accepted(fate), "{name}: {fate:?}");
        assert!(app.seen().is_empty(), "{name}: the app saw {:?}", app.seen());
    }
}

/// H2-01: what would be another line, another field or another request on HTTP/1.1.
#[test]
fn control_characters_and_malformed_names_are_protocol_errors() {
    refuses(
        vec![
            ("CR in a value", with(&[("x", b"a\rb")])),
            ("LF in a value", with(&[("x", b"a\nRemote-User: eve")])),
            ("CRLF in a value", with(&[("x", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\n")])),
            ("NUL in a value", with(&[("x", b"a\0b")])),
            ("CRLF in a name", with(&[("x\r\nremote-user", b"eve")])),
            ("colon in a name", with(&[("x: y", b"z")])),
            ("space in a name", with(&[("x y", b"z")])),
            ("upper case in a name", with(&[("X-Y", b"z")])),
            ("empty name", with(&[("", b"z")])),
            ("8-bit name", with(&[("x\u{e4}", b"z")])),
            ("space in the method", instead(":method", b"GET /smuggled")),
            ("CRLF in the method", instead(":method", b"GET / HTTP/1.1\r\n\r\nGET")),
            ("empty method", instead(":method", b"")),
            ("pseudo-header last", [&GET[..3], &[("x", b"y"), (":path", b"/x")]].concat()),
            ("pseudo-header twice", with(&[(":path", b"/y")])),
            ("unknown pseudo-header", with(&[(":x", b"y")])),
            ("pseudo-header of a response", with(&[(":status", b"200")])),
        ],
        Fate::is_protocol_error,
    );
}

/// H2-02
#[test]
fn connection_specific_fields_and_wrong_lengths_are_protocol_errors() {
    refuses(
        vec![
            ("transfer-encoding", with(&[("transfer-encoding", b"chunked")])),
            ("connection", with(&[("connection", b"remote-user")])),
            ("keep-alive", with(&[("keep-alive", b"1")])),
            ("proxy-connection", with(&[("proxy-connection", b"close")])),
            ("upgrade", with(&[("upgrade", b"websocket")])),
            ("te other than trailers", with(&[("te", b"gzip")])),
            ("a length and no body", with(&[("content-length", b"5")])),
            ("a length that is no number", with(&[("content-length", b"+5")])),
            ("two lengths", with(&[("content-length", b"0"), ("content-length", b"5")])),
        ],
        Fate::is_protocol_error,
    );
}

/// H2-02: the app sees a broken request, never one of another length.
#[test]
fn a_body_that_is_not_as_long_as_announced_is_a_protocol_error() {
    for body in ["", "four", "sixsix"] {
        println!("case: {body:?}");
        let app = App::answering(ok(""));
        let server = before(&app);
        let mut frames = Frames::connect(&server);
        let post = [&[(":method", &b"POST"[..])], &GET[1..], &[("content-length", b"5")]].concat();
        frames.frame(HEADERS, END_HEADERS, 1, block(&post)).frame(DATA, END_STREAM, 1, body);
        let fate = frames.fate(1);
        assert!(fate.is_protocol_error(), "{body:?}: {fate:?}");
        assert!(app.seen().is_empty(), "{body:?}");
    }
}

/// H2-03
#[test]
fn a_malformed_path_or_scheme_is_refused() {
    refuses(
        vec![
            ("empty path", instead(":path", b"")),
            ("no slash", instead(":path", b"x")),
            ("user information", instead(":path", b"@evil/")),
            ("space", instead(":path", b"/x HTTP/1.1")),
            ("CRLF", instead(":path", b"/x HTTP/1.1\r\nRemote-User: eve\r\n\r\n")),
            ("absolute", instead(":path", b"https://evil/x")),
            ("asterisk for GET", instead(":path", b"*")),
            ("scheme with a space", instead(":scheme", b"ht tp")),
            ("scheme with CRLF", instead(":scheme", b"https\r\nx: y")),
            ("no path", GET[..3].to_vec()),
            ("no scheme", [GET[0], GET[2], GET[3]].to_vec()),
            ("no method", GET[1..].to_vec()),
        ],
        |fate| fate.is_protocol_error() || fate == Fate::Status(400),
    );
}

/// H2-04: two names in one request are two answers to whose page it is.
#[test]
fn a_request_needs_one_valid_authority() {
    refuses(
        vec![
            ("another host", with(&[("host", b"b.test")])),
            ("two hosts", with(&[("host", b"a.test"), ("host", b"a.test")])),
            ("two hosts and no authority", [GET[0], GET[1], GET[3], ("host", b"a"), ("host", b"b")].to_vec()),
            ("none", [GET[0], GET[1], GET[3]].to_vec()),
            ("empty", instead(":authority", b"")),
            ("user information", instead(":authority", b"u@a.test")),
            ("port", instead(":authority", b"a.test:99999")),
            ("path", instead(":authority", b"a.test/x")),
            ("space", instead(":authority", b"a.test b")),
        ],
        |fate| fate.is_protocol_error() || fate == Fate::Status(400),
    );
}

/// H2-04: `Host` alone is enough (RFC 9113 §8.3.1), and the same name twice is one name.
#[test]
fn the_host_the_app_sees_is_the_authority() {
    let app = App::answering(ok(""));
    let server = before(&app);
    for fields in [
        GET.to_vec(),
        with(&[("host", b"a.test")]),
        [GET[0], GET[1], GET[3], ("host", b"a.test")].to_vec(),
        instead(":authority", b"A.Test."),
    ] {
        let fate = Frames::connect(&server).get(1, &fields).fate(1);
        assert_eq!(fate, Fate::Status(200), "{fields:?}");
        assert_eq!(app.last().header("host"), Some("a.test"), "{fields:?}");
    }
}

/// H2-05. A fragment is cut before this gateway can see it, by the `http` crate's `Uri`; so what is shown here is
/// that the decision was made about the very path the app gets.
#[test]
fn the_path_that_is_decided_about_is_the_one_the_app_gets() {
    let (public, admin) = (App::answering(ok("")), App::answering(ok("")));
    let server = TlsGateway::with_config(&format!(
        "routes:\n  - {{ path: /, access: public, upstream: 'http://{}' }}\n  \
         - {{ path: /admin, access: user, upstream: 'http://{}' }}",
        public.address, admin.address
    ));
    for (path, status, arrives) in [
        ("/x#/../admin", 200, Some("/x")),
        ("/admin#/x", 401, None),
        ("/x/..//admin", 401, None),
        ("/%61dmin", 401, None),
        ("//evil", 200, Some("/evil")),
        ("/\\evil", 400, None),
        ("/%2e%2e/admin", 400, None),
        ("/ADMIN", 400, None),
        ("/a/../b?c=/../admin", 200, Some("/b?c=/../admin")),
    ] {
        println!("case: {path}");
        let before = public.seen().len();
        let fate = Frames::connect(&server).get(1, &instead(":path", path.as_bytes())).fate(1);
        assert!(fate == Fate::Status(status) || status == 400 && fate.is_protocol_error(), "{path}: {fate:?}");
        let seen = public.seen();
        let new = seen.get(before).map(|seen| seen.line().to_owned());
        assert_eq!(new, arrives.map(|arrives| format!("GET {arrives} HTTP/1.1")), "{path}");
    }
    assert!(admin.seen().is_empty());
}

/// H2-06: HTTP/1.1 trims a value, so the app would read another than was decided about.
#[test]
fn blanks_around_a_name_or_a_value_are_refused() {
    refuses(
        vec![
            ("spaces around a value", with(&[("x", b" b ")])),
            ("tab before a value", with(&[("x", b"\tb")])),
            ("space behind a value", with(&[("authorization", b"Basic eA== ")])),
            ("spaces only", with(&[("x", b"  ")])),
            ("space before a name", with(&[(" remote-user", b"eve")])),
            ("space behind a name", with(&[("remote-user ", b"eve")])),
            ("around a length", with(&[("content-length", b" 0 ")])),
            ("around the authority", instead(":authority", b" a.test")),
        ],
        |fate| fate.is_protocol_error() || fate == Fate::Status(400),
    );
}

/// H2-07. An empty scheme passes the `h2` crate; nobody reads it.
#[test]
fn the_scheme_a_client_claims_is_not_the_one_the_app_is_told() {
    let app = App::answering(ok(""));
    let server = before(&app);
    for scheme in ["http", "ftp", ""] {
        let fate = Frames::connect(&server).get(1, &instead(":scheme", scheme.as_bytes())).fate(1);
        assert_eq!(fate, Fate::Status(200), "{scheme:?}");
        let seen = app.last();
        assert_eq!((seen.line(), seen.header("x-forwarded-proto")), ("GET /x HTTP/1.1", Some("https")), "{scheme:?}");
        assert_eq!(seen.header("x-forwarded-port"), Some("443"), "{scheme:?}");
    }
}

/// The bytes of the n-th repetition.
type Flood = fn(u32) -> Vec<u8>;

/// Whether the connection ends when `flood` is repeated; a client that is cut off cannot write any more.
fn ends_under(frames: &mut Frames, flood: impl Fn(u32) -> Vec<u8>, times: u32) -> Option<Fate> {
    for batch in 0..times / 100 {
        let bytes: Vec<u8> = (0..100).flat_map(|n| flood(batch * 100 + n)).collect();
        if !frames.write(&bytes) {
            break;
        }
    }
    // Answered only by a connection that lives.
    frames.frame(PING, 0, 0, *b"still on");
    loop {
        match frames.read() {
            None => return Some(Fate::Closed),
            Some(frame) if frame.kind == crate::support::frames::GOAWAY => {
                return Some(Fate::GoAway(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap())));
            }
            Some(frame) if frame.kind == PING && frame.payload == b"still on" => return None,
            Some(_) => {}
        }
    }
}

/// Others are served while and after somebody floods.
fn still_serves(server: &TlsGateway) {
    assert_eq!(Frames::connect(server).get(1, &GET).fate(1), Fate::Status(200));
}

fn is_sent_away(fate: Option<Fate>) -> bool {
    matches!(fate, Some(Fate::GoAway(code)) if code != 0) || fate == Some(Fate::Closed)
}

/// H2-08 (CVE-2023-44487, CVE-2025-8671)
#[test]
fn rapid_resets_end_the_connection() {
    let app = App::answering(ok(""));
    let server = before(&app);
    let rapid = |n: u32| {
        let stream = 2 * n + 1;
        let request = encode(HEADERS, END_STREAM | END_HEADERS, stream, block(&GET));
        [request, encode(RST_STREAM, 0, stream, CANCEL.to_be_bytes())].concat()
    };
    let made_you = |n: u32| {
        let stream = 2 * n + 1;
        let request = encode(HEADERS, END_STREAM | END_HEADERS, stream, block(&GET));
        [request, encode(WINDOW_UPDATE, 0, stream, 0_u32.to_be_bytes())].concat()
    };
    let fate = ends_under(&mut Frames::connect(&server), rapid, 20_000);
    assert!(is_sent_away(fate), "rapid reset: {fate:?}");
    let fate = ends_under(&mut Frames::connect(&server), made_you, 20_000);
    assert!(is_sent_away(fate), "MadeYouReset: {fate:?}");
    still_serves(&server);
}

/// H2-09 (RUSTSEC-2024-0332, RUSTSEC-2026-0258)
#[test]
fn floods_of_continuation_and_empty_data_end_the_connection() {
    let app = App::answering(ok(""));
    let server = before(&app);
    let mut frames = Frames::connect(&server);
    frames.frame(HEADERS, 0, 1, block(&GET));
    let fate = ends_under(&mut frames, |_| encode(CONTINUATION, 0, 1, block(&[("x", b"y")])), 20_000);
    assert!(is_sent_away(fate), "CONTINUATION: {fate:?}");
    let mut frames = Frames::connect(&server);
    let post = [&[(":method", &b"POST"[..])], &GET[1..]].concat();
    frames.frame(HEADERS, END_HEADERS, 1, block(&post));
    let fate = ends_under(&mut frames, |_| encode(DATA, 0, 1, []), 20_000);
    assert!(is_sent_away(fate), "empty DATA: {fate:?}");
    still_serves(&server);
}

/// H2-10: cheap to answer, and each is answered before the next thousand comes; others are served meanwhile.
#[test]
fn floods_of_small_control_frames_cost_little() {
    let app = App::answering(ok(""));
    let server = before(&app);
    let floods: [(&str, Flood); 4] = [
        ("PING", |n| encode(PING, 0, 0, u64::from(n).to_be_bytes())),
        ("SETTINGS", |_| encode(SETTINGS, 0, 0, [])),
        ("WINDOW_UPDATE", |_| encode(WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes())),
        ("PRIORITY", |n| encode(PRIORITY, 0, 2 * (n % 1000) + 1, [0, 0, 0, 0, 1])),
    ];
    for (name, flood) in floods {
        println!("case: {name}");
        let start = Instant::now();
        let mut frames = Frames::connect(&server);
        // Answers are read in between, as the kernel's buffers would fill up otherwise.
        for round in 0..20 {
            let fate = ends_under(&mut frames, |n| flood(round * 1000 + n), 1000);
            if fate.is_some() {
                assert!(is_sent_away(fate), "{name}: {fate:?}");
                break;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{name}");
        still_serves(&server);
    }
}

/// H2-11: crumbs of one byte each on the wire are counted as what they become (RFC 9113 §6.5.2: 32 bytes more each).
#[test]
fn a_list_of_many_small_indexed_crumbs_is_refused() {
    let app = App::answering(ok(""));
    let server = before(&app);
    // Index 32 of the static table is `cookie` with an empty value.
    for count in [600, 5000, 16_000] {
        println!("case: {count}");
        let fields = [block(&GET), vec![0x80 | 32; count]].concat();
        let mut frames = Frames::connect(&server);
        let fate = frames.frame(HEADERS, END_STREAM | END_HEADERS, 1, fields).fate(1);
        let refused = matches!(fate, Fate::Status(431) | Fate::Reset(_) | Fate::GoAway(_));
        assert!(refused, "{count}: {fate:?}");
        assert!(app.seen().is_empty());
    }
    still_serves(&server);
}

/// H2-11: a client that keeps its window shut does not keep the answer, nor the app's connection.
#[test]
fn a_stream_whose_window_stays_shut_is_reset() {
    let app = App::answering(ok(&"x".repeat(1_000_000)));
    let server = TlsGateway::with_config(&format!(
        "limits: {{ write_timeout: 300ms }}\nroutes: [{{ access: public, upstream: 'http://{}' }}]",
        app.address
    ));
    // SETTINGS_INITIAL_WINDOW_SIZE
    let mut frames = Frames::with_settings(&server, &[(4, 0)]);
    for stream in (1..40).step_by(2) {
        frames.get(stream, &GET);
    }
    let mut reset = 0;
    while reset < 20 {
        let frame = frames.read().expect("a living connection");
        reset += usize::from(frame.kind == RST_STREAM);
    }
}

/// CONNECT and TRACE (FR-24), and no WebSocket without its extended form (RFC 8441), which is not offered.
#[test]
fn connect_and_trace_are_refused() {
    let connect = vec![(":method", &b"CONNECT"[..]), (":authority", b"a.test:443")];
    let extended = [&[(":method", &b"CONNECT"[..]), (":protocol", b"websocket")], &GET[1..]].concat();
    refuses(
        vec![("CONNECT", connect), ("CONNECT for a WebSocket", extended), ("TRACE", instead(":method", b"TRACE"))],
        |fate| fate.is_protocol_error() || fate == Fate::Status(405),
    );
}

/// ID-02, ID-06: the same list of names as in front of HTTP/1.1.
#[test]
fn identity_headers_and_aliases_are_removed_from_http_2_as_well() {
    let app = App::answering(ok(""));
    let server = before(&app);
    let forged =
        with(&[("remote-user", b"eve"), ("remote-user", b"eve"), ("remote_user", b"eve"), ("x.remote.user", b"eve")]);
    assert_eq!(Frames::connect(&server).get(1, &forged).fate(1), Fate::Status(200));
    assert!(!app.last().head.contains("eve"), "{}", app.last().head);
    for name in ["content_length", "http_host", "transfer.encoding"] {
        assert_eq!(Frames::connect(&server).get(1, &with(&[(name, b"5")])).fate(1), Fate::Status(400), "{name}");
    }
    assert_eq!(app.seen().len(), 1);
}

/// A stream the client gives up is given up towards the app as well.
#[test]
fn a_reset_stream_closes_the_connection_to_the_app() {
    let (sender, closed) = std::sync::mpsc::channel();
    let app = App::with(move |_, stream| {
        // Only an end or a reset can come.
        sender.send(!matches!(stream.read(&mut [0]), Ok(1..))).unwrap();
        false
    });
    let server = before(&app);
    let mut frames = Frames::connect(&server);
    frames.get(1, &GET);
    app.wait_for(1);
    frames.frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes());
    assert_eq!(closed.recv_timeout(Duration::from_secs(10)), Ok(true));
}
