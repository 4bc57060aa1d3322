//! The guard by itself: what it refuses, and that it neither changes nor miscounts what is valid.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 16 * 1024;

/// Feeds `stream` in pieces that end at `cuts`; what passed, and the guard.
fn feed(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Guard) {
    let mut guard = Guard::new(LIMIT);
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([0, stream.len()]).collect();
    bounds.sort_unstable();
    let mut passed = Vec::new();
    for pair in bounds.windows(2) {
        let mut piece = stream[pair[0]..pair[1]].to_vec();
        let n = guard.inspect(&mut piece);
        passed.extend_from_slice(&piece[..n]);
    }
    (passed, guard)
}

fn verdict(stream: &str) -> Option<Violation> {
    feed(stream.as_bytes(), &[]).1.verdict()
}

fn with_field(field: &str) -> Option<Violation> {
    verdict(&format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"))
}

#[test]
fn bare_lf_is_refused_wherever_it_ends_a_line() {
    for stream in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(verdict(stream), Some(Violation::BareLf), "{stream:?}");
    }
}

#[test]
fn a_request_has_one_length_or_none() {
    assert_eq!(with_field("Content-Length: 3\r\ntransfer-encoding: chunked"), Some(Violation::BothLengths));
    assert_eq!(with_field("Transfer-Encoding: chunked\r\nContent-Length: 3"), Some(Violation::BothLengths));
    assert_eq!(with_field("Content-Length: 3\r\nContent-Length: 3"), Some(Violation::RepeatedContentLength));
    assert_eq!(with_field("Content-Length: 3, 3"), Some(Violation::ContentLength));
    for value in [",chunked", "gzip, chunked", "chunked, chunked", "identity", "chunked\r\nTransfer-Encoding: chunked"]
    {
        assert_eq!(with_field(&format!("Transfer-Encoding: {value}")), Some(Violation::TransferEncoding), "{value:?}");
    }
    let old = verdict("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old, Some(Violation::TransferEncodingIn10));
}

#[test]
fn a_request_line_is_three_words_and_two_spaces() {
    for (line, why) in [
        ("GET /#x HTTP/1.1", Violation::Target),
        ("GET /\u{e9} HTTP/1.1", Violation::Target),
        ("GET /\x01 HTTP/1.1", Violation::Target),
        ("GET /", Violation::Target),
        ("GET\t/ HTTP/1.1", Violation::RequestLine),
        ("GET  / HTTP/1.1", Violation::RequestLine),
        (" GET / HTTP/1.1", Violation::RequestLine),
        ("GET /  HTTP/1.1", Violation::Version),
        ("GET / HTTP/1.1 ", Violation::Version),
        ("GET / HTTP/1.9", Violation::Version),
        ("GET / HTTP/2.0", Violation::Version),
        ("PRI * HTTP/2.0", Violation::Version),
    ] {
        assert_eq!(verdict(&format!("{line}\r\nHost: a\r\n\r\n")), Some(why), "{line:?}");
    }
}

#[test]
fn there_is_exactly_one_host_and_before_1_1_at_most_one() {
    assert_eq!(verdict("GET / HTTP/1.1\r\nX: y\r\n\r\n"), Some(Violation::NoHost));
    assert_eq!(with_field("hOST: a"), Some(Violation::RepeatedHost));
    assert_eq!(verdict("GET / HTTP/1.0\r\n\r\n"), None);
    assert_eq!(verdict("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), Some(Violation::RepeatedHost));
}

#[test]
fn fields_are_name_colon_value_on_one_line() {
    assert_eq!(with_field("X: a\r\n b"), Some(Violation::ObsFold));
    assert_eq!(with_field("Content-Length : 1"), Some(Violation::FieldName));
    assert_eq!(with_field(": 1"), Some(Violation::FieldName));
    assert_eq!(with_field("nothing"), Some(Violation::FieldName));
    assert_eq!(verdict("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), Some(Violation::ObsFold));
}

#[test]
fn chunks_are_sized_in_hex_and_end_in_crlf() {
    let body = |body: &str| verdict(&format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    assert_eq!(body("1 \r\na\r\n2;x=\"y\"\r\nbc\r\n0\r\nT: u\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), None);
    for wrong in [
        "0x1\r\n",
        "+1\r\n",
        "0_1\r\n",
        " 1\r\n",
        "\r\n",
        "1\ra",
        "1\n",
        "1\r\naX",
        "1\r\na\n",
        "00000000000000001\r\n",
        "0\r\nT: u\rX",
    ] {
        assert!(body(wrong).is_some(), "{wrong:?}");
    }
    assert_eq!(body("1;x\na\r\n"), Some(Violation::BareLf));
    assert_eq!(body("0\r\nT: u\n"), Some(Violation::BareLf));
}

#[test]
fn the_offending_byte_becomes_nul_and_nothing_passes_after_it() {
    let (passed, mut guard) = feed(b"GET /#/admin HTTP/1.1\r\nHost: a\r\n\r\n", &[]);
    assert_eq!(passed, b"GET /\0");
    assert_eq!(guard.inspect(&mut b"GET / HTTP/1.1\r\n".to_vec()), 0);
    assert_eq!(guard.verdict(), Some(Violation::Target));
}

#[test]
fn nothing_is_looked_at_behind_an_upgrade() {
    let (_, guard) = feed(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\x81\x00\n\n", &[]);
    assert_eq!((guard.verdict(), guard.phase(), guard.heads()), (None, Phase::Opaque, 1));
}

#[test]
fn a_request_line_longer_than_a_head_may_be_is_refused() {
    let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(LIMIT));
    assert_eq!(verdict(&line), Some(Violation::TargetTooLong));
}

fn field() -> impl Strategy<Value = String> {
    ("[A-Za-z][A-Za-z0-9_.-]{0,24}", "[ -~\t]{0,40}")
        .prop_filter("framing is generated apart", |(name, _)| {
            !["host", "content-length", "transfer-encoding", "upgrade"].contains(&name.to_lowercase().as_str())
        })
        .prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let plain = prop::collection::vec(any::<u8>(), 0..200)
        .prop_map(|body| (format!("cOntent-Length: {}\r\n", body.len()), body));
    let chunk = prop::collection::vec(any::<u8>(), 1..50);
    let chunked =
        (prop::collection::vec((chunk, "(;[a-z]{1,5}(=[a-z]{1,5})?)?"), 0..4), prop::collection::vec(field(), 0..3));
    let chunked = chunked.prop_map(|(chunks, trailers)| {
        let mut body = Vec::new();
        for (data, extension) in chunks {
            body.extend_from_slice(format!("{:X}{extension}\r\n", data.len()).as_bytes());
            body.extend_from_slice(&data);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("0\r\n{}\r\n", trailers.concat()).as_bytes());
        ("Transfer-Encoding:  Chunked\t\r\n".to_owned(), body)
    });
    prop_oneof![Just((String::new(), Vec::new())), plain, chunked]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let fields = || prop::collection::vec(field(), 0..5);
    ("(\r\n)?[A-Z]{1,8}", "/[!-\"$-~]{0,60}", fields(), body(), fields()).prop_map(
        |(method, target, before, (framing, body), after)| {
            let (before, after) = (before.concat(), after.concat());
            let head = format!("{method} {target} HTTP/1.1\r\n{before}Host: a\r\n{framing}{after}\r\n");
            [head.into_bytes(), body].concat()
        },
    )
}

proptest! {
    #[test]
    fn valid_requests_pass_unchanged_however_they_are_split(
        requests in prop::collection::vec(request(), 1..5),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let stream = requests.concat();
        let (passed, guard) = feed(&stream, &cuts);
        prop_assert_eq!(guard.verdict(), None);
        prop_assert_eq!(passed, stream);
        prop_assert_eq!(guard.heads(), requests.len() as u64);
        prop_assert_eq!(guard.phase(), Phase::Idle);
    }

    #[test]
    fn a_damaged_request_gets_the_same_verdict_however_it_is_split(
        mut stream in request(),
        at in any::<usize>(),
        byte in prop::sample::select(b"\r\n\0 :#\t1,;A".to_vec()),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let at = at % stream.len();
        stream[at] = byte;
        let (whole, one) = feed(&stream, &[]);
        let (pieces, many) = feed(&stream, &cuts);
        let single: Vec<usize> = (0..stream.len()).collect();
        let (bytes, each) = feed(&stream, &single);
        prop_assert_eq!((&whole, one.verdict(), one.heads()), (&pieces, many.verdict(), many.heads()));
        prop_assert_eq!((&whole, one.verdict(), one.heads()), (&bytes, each.verdict(), each.heads()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(stream in prop::collection::vec(any::<u8>(), 0..600), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        let (passed, _) = feed(&stream, &cuts);
        prop_assert!(passed.len() <= stream.len());
    }
}
