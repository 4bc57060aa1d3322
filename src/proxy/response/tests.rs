//! Response heads: refused, cleaned, framed; any split of one reads the same.

use proptest::prelude::*;

use super::*;

fn parse_text(text: &str, asked: Asked) -> Result<Option<Head>, &'static str> {
    parse(&Bytes::copy_from_slice(text.as_bytes()), asked)
}

fn written(start: &str, headers: &[(&str, &str)]) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{start}\r\n{lines}\r\n")
}

fn check(headers: &[(&str, &str)]) -> Result<Head, &'static str> {
    parse_text(&written("HTTP/1.1 200 OK", headers), Asked::default()).map(Option::unwrap)
}

fn left(head: &Head) -> Vec<String> {
    head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn ambiguous_framing_is_refused() {
    for headers in [
        &[("transfer-encoding", "chunked"), ("content-length", "3")][..],
        &[("transfer-encoding", ",chunked")],
        &[("transfer-encoding", "gzip, chunked")],
        &[("transfer-encoding", "gzip")],
        &[("transfer-encoding", "identity")],
        &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        &[("content-length", "3"), ("content-length", "3")],
        &[("content-length", "3, 3")],
        &[("content-length", "+3")],
        &[("content-length", "")],
        &[("content-length", "99999999999999999999")],
    ] {
        assert!(check(headers).is_err(), "{headers:?}");
    }
    assert!(check(&[("Transfer-Encoding", "Chunked")]).is_ok());
    assert!(check(&[("Content-Length", "3")]).is_ok());
}

#[test]
fn a_switch_of_protocols_must_have_been_asked_for() {
    let switch = written("HTTP/1.1 101 Switching Protocols", &[("Connection", "upgrade"), ("Upgrade", "websocket")]);
    assert!(parse_text(&switch, Asked::default()).is_err());
    let head = parse_text(&switch, Asked { upgrade: true, ..Asked::default() }).unwrap().unwrap();
    assert_eq!(left(&head), ["connection: upgrade", "upgrade: websocket"]);
}

#[test]
fn hop_by_hop_headers_go_with_all_that_every_connection_line_names() {
    let head = check(&[
        ("Connection", "keep-alive, X-One"),
        ("connection", "x-two, content-length"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-two", "again"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "close"),
        ("proxy-authenticate", "Basic"),
        ("Proxy-Authorization", "Basic"),
        ("TE", "trailers"),
        ("upgrade", "h2c"),
        ("content-length", "007"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]);
    let mut left = left(&head.unwrap());
    left.sort();
    assert_eq!(left, ["content-length: 7", "set-cookie: a=1", "set-cookie: b=2"]);
}

#[test]
fn the_status_the_method_and_the_headers_say_where_the_body_ends() {
    let framing = |start: &str, headers: &[_], head| {
        let asked = Asked { head, ..Asked::default() };
        parse_text(&written(start, headers), asked).unwrap().unwrap().framing
    };
    let length = [("content-length", "5")];
    let chunked = [("transfer-encoding", "chunked")];
    assert!(matches!(framing("HTTP/1.1 200 OK", &length, false), Framing::Length(5)));
    assert!(matches!(framing("HTTP/1.1 200 OK", &chunked, false), Framing::Chunked(_)));
    assert!(matches!(framing("HTTP/1.1 200 OK", &[], false), Framing::UntilClose));
    assert!(matches!(framing("HTTP/1.0 200 OK", &[], false), Framing::UntilClose));
    for headers in [&length[..], &chunked, &[]] {
        assert!(matches!(framing("HTTP/1.1 200 OK", headers, true), Framing::Length(0)));
        assert!(matches!(framing("HTTP/1.1 204 No Content", headers, false), Framing::Length(0)));
        assert!(matches!(framing("HTTP/1.1 304 Not Modified", headers, false), Framing::Length(0)));
    }
}

#[test]
fn the_apps_own_words_for_a_status_are_kept() {
    let reason = |start: &str| parse_text(&written(start, &[]), Asked::default()).unwrap().unwrap().reason;
    assert_eq!(reason("HTTP/1.1 200 OK"), None);
    assert_eq!(reason("HTTP/1.1 200 "), None);
    assert_eq!(reason("HTTP/1.1 200"), None);
    assert_eq!(reason("HTTP/1.1 200 Fine").unwrap().as_bytes(), b"Fine");
}

#[test]
fn a_connection_is_kept_for_less_than_the_app_keeps_it() {
    let kept = |text| check(&[("keep-alive", text)]).unwrap().keep_seconds;
    assert_eq!([kept("timeout=5, max=100"), kept("max=9, Timeout = 2"), kept("timeout=0")], [4, 1, 0]);
    assert_eq!([kept("timeout=600"), kept("nonsense"), check(&[]).unwrap().keep_seconds], [55, 55, 55]);
    assert_eq!(check(&[("connection", "x, Close")]).unwrap().keep_seconds, 0);
    let old = written("HTTP/1.0 200 OK", &[("connection", "keep-alive")]);
    assert_eq!(parse_text(&old, Asked::default()).unwrap().unwrap().keep_seconds, 0);
}

proptest! {
    #[test]
    fn no_connection_line_stops_the_cleaning(line in "[ -~]{0,40}") {
        let head = check(&[("connection", &line), ("x", "y"), ("content-length", "1")]).unwrap();
        prop_assert!(!head.headers.contains_key("connection"));
        prop_assert!(head.headers.contains_key("content-length"));
    }

    #[test]
    fn no_keep_alive_text_gives_more_than_the_longest_time(text in "(timeout|max|=|,|[0-9]{1,12}| ){0,8}") {
        prop_assert!(check(&[("keep-alive", &text)]).unwrap().keep_seconds <= KEEP_SECONDS);
    }

    #[test]
    fn arbitrary_bytes_do_not_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes.into(), Asked::default());
    }

    #[test]
    fn no_head_is_both_chunked_and_of_known_length(
        lines in prop::collection::vec(("(content-length|transfer-encoding|x)", "(chunked|gzip|[0-9]{1,3}|)"), 0..4),
    ) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (&**name, &**value)).collect();
        if let Ok(head) = check(&lines) {
            let told = lines.iter().filter(|(name, _)| *name != "x").count();
            prop_assert!(told <= 1);
            prop_assert!(!head.headers.contains_key("transfer-encoding"));
        }
    }
}
