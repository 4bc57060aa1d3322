//! `Session-*` headers: what is told, what is taken, and that nothing stays.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::http::lines::parsed;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const OPERATIONS: [HeaderName; 12] =
    [FLUSH, CLEAR, USER, NAME, EMAIL, GROUPS, SET, INCREMENT, FLASH, EXPIRY, ROTATE, REVOKE_OTHERS];
const TOLD: [HeaderName; 5] = [HANDLE, CREATED, EXPIRES_IN, DATA, DATA_OMITTED];

fn view<'a>(data: &'a str, flash: &'a str) -> View<'a> {
    let handle = Some(Handle([0xab; 8]));
    View { handle, created: Some(NOW), expires_in: Some(Duration::from_millis(90_900)), data, flash }
}

fn written(view: &View<'_>) -> (HeaderMap, Result<(), TooLarge>) {
    let mut lines = HeaderLines::default();
    let result = write(view, &mut lines);
    (parsed(&lines), result)
}

fn answer(lines: &[(&HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append("content-type", HeaderValue::from_static("text/html"));
    headers.append("session", HeaderValue::from_static("the app's own"));
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// What an answer asks for; it must be clean afterwards.
fn asked(lines: &[(&HeaderName, &str)]) -> Vec<Change> {
    let mut headers = answer(lines);
    let changes = take(&mut headers, true, NOW);
    assert_eq!(headers, answer(&[]));
    changes
}

fn object(value: Value) -> Map {
    value.as_object().cloned().unwrap()
}

#[test]
fn an_app_is_told_of_the_session() {
    let (headers, result) = written(&view(r#"{"cart":3}"#, "{}"));
    assert_eq!(result, Ok(()));
    assert_eq!(headers["session-handle"], "abababababababab");
    assert_eq!(headers["session-created"], "1700000000");
    assert_eq!(headers["session-expires-in"], "90");
    assert_eq!(headers["session-data"], r#"{"cart":3}"#);
    assert_eq!(headers.len(), 4);
}

#[test]
fn without_a_session_there_is_empty_data_and_nothing_else() {
    let (headers, _) = written(&View { handle: None, ..view(r#"{"a":1}"#, "{}") });
    assert_eq!((headers.len(), headers["session-data"].as_bytes()), (1, &b"{}"[..]));
}

#[test]
fn flash_values_stand_among_the_others_and_win() {
    let data = |data, flash| written(&view(data, flash)).0["session-data"].to_str().unwrap().to_owned();
    assert_eq!(data("{}", r#"{"saved":true}"#), r#"{"saved":true}"#);
    assert_eq!(data(r#"{"a":"\u00e4","b":1}"#, r#"{"b":2,"c":3}"#), r#"{"a":"\u00e4","b":2,"c":3}"#);
}

#[test]
fn data_too_large_for_a_header_is_left_out_and_said_so() {
    let fits = format!(r#"{{"a":"{}"}}"#, "x".repeat(LONGEST_DATA - 8));
    assert_eq!(written(&view(&fits, "{}")).1, Ok(()));
    let large = fits.replace("\"a\"", "\"aa\"");
    let (headers, result) = written(&view(&large, "{}"));
    assert_eq!(result, Err(TooLarge { bytes: LONGEST_DATA + 1 }));
    assert_eq!(headers["session-data-omitted"], "too-large");
    assert!(!headers.contains_key("session-data") && headers.contains_key("session-handle"));
}

#[test]
fn every_session_header_is_removed_from_every_answer() {
    let names: Vec<_> = OPERATIONS.into_iter().chain(TOLD).collect();
    let all: Vec<_> = names.iter().map(|name| (name, "true")).collect();
    for allowed in [false, true] {
        let mut headers = answer(&all);
        let changes = take(&mut headers, allowed, NOW);
        assert_eq!((headers, changes.is_empty()), (answer(&[]), !allowed));
    }
}

#[test]
fn no_client_may_send_any_of_them() {
    let mut headers: HeaderMap =
        OPERATIONS.into_iter().chain(TOLD).map(|name| (name, HeaderValue::from_static("true"))).collect();
    crate::identity::headers::Protected::new([]).strip(&mut headers).unwrap();
    assert_eq!(headers, HeaderMap::new());
}

#[test]
fn operations_apply_in_one_order_whatever_theirs_was() {
    let all = asked(&[
        (&REVOKE_OTHERS, "true"),
        (&ROTATE, "True"),
        (&EXPIRY, "1800"),
        (&FLASH, r#"{"saved":[1]}"#),
        (&INCREMENT, r#"{"visits":1,"score":-0.5}"#),
        (&SET, r#"{"cart":3,"old":null}"#),
        (&USER, "ann"),
        (&CLEAR, "true"),
        (&FLUSH, "true"),
    ]);
    let ann = Claims { user: "ann".into(), ..Claims::default() }.identity(NOW);
    assert_eq!(
        all,
        [
            Change::Flush,
            Change::Clear,
            Change::AppSignIn { identity: ann, vault: None },
            Change::Merge(object(json!({ "cart": 3, "old": null }))),
            Change::Increment("visits".into(), super::super::changes::Step::Whole(1)),
            Change::Increment("score".into(), super::super::changes::Step::Real(-0.5)),
            Change::Flash("saved".into(), json!([1])),
            Change::Expiry(Expiry::Sliding(Duration::from_secs(1800))),
            Change::Rotate,
            Change::RevokeOthers,
        ]
    );
}

#[test]
fn repeated_lines_apply_in_turn_and_contradictions_not_at_all() {
    let patches = asked(&[(&SET, r#"{"a":1}"#), (&SET, "nonsense"), (&SET, r#"{"a":2}"#)]);
    let merge = |value| Change::Merge(object(json!({ "a": value })));
    assert_eq!(patches, [merge(1), merge(2)]);
    assert_eq!(asked(&[(&USER, "ann"), (&USER, "bob")]), []);
    assert_eq!(asked(&[(&EXPIRY, "0"), (&EXPIRY, "60")]), []);
    assert_eq!(asked(&[(&ROTATE, "true"), (&ROTATE, "true")]), [Change::Rotate]);
}

#[test]
fn the_app_says_who_somebody_is() {
    let changes = asked(&[
        (&USER, "UTF-8''j%C3%BCrgen"),
        (&NAME, "Jürgen"),
        (&EMAIL, "j@example.com"),
        (&GROUPS, "a, b"),
        (&GROUPS, "c"),
    ]);
    let [Change::AppSignIn { identity, .. }] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((&*identity.user, identity.name.as_deref()), ("jürgen", Some("Jürgen")));
    assert_eq!((identity.email.as_deref(), identity.groups.len()), (Some("j@example.com"), 3));
    assert_eq!(asked(&[(&USER, "")]), [Change::Flush]);
    assert_eq!(asked(&[(&NAME, "Ann"), (&GROUPS, "staff")]), []);
    assert_eq!(asked(&[(&USER, "UTF-8''%0A")]), []);
}

#[test]
fn an_expiry_is_seconds_a_word_or_a_moment() {
    let expires = |text: &str| asked(&[(&EXPIRY, text)]);
    assert_eq!(expires("0"), [Change::Expiry(Expiry::Browser)]);
    assert_eq!(expires("browser"), [Change::Expiry(Expiry::Browser)]);
    assert_eq!(expires("default"), [Change::Expiry(Expiry::Policy)]);
    assert_eq!(expires("-5"), [Change::Flush]);
    assert_eq!(expires("2020-01-01T00:00:00Z"), [Change::Flush]);
    let soon = [Change::Expiry(Expiry::At(Timestamp(1_700_000_100_000)))];
    assert_eq!(expires("2023-11-14T22:15:00+00:00"), soon);
    assert_eq!(expires("2023-11-14T23:15:00+01:00"), soon);
    for bad in ["315360001", "2099-01-01T00:00:00Z", "2023-11-14T22:15:00", "1e3", "soon", "", "99999999999999999999"] {
        assert_eq!(expires(bad), [], "{bad}");
    }
}

#[test]
fn malformed_values_change_nothing() {
    for (name, value) in [
        (&SET, "[1]"),
        (&SET, "{\"a\":"),
        (&SET, "{\"a\":1} x"),
        (&INCREMENT, r#"{"a":1,"b":"2"}"#),
        (&INCREMENT, "1"),
        (&FLASH, "null"),
        (&ROTATE, "1"),
        (&FLUSH, ""),
        (&CLEAR, "false"),
    ] {
        assert_eq!(asked(&[(name, value)]), [], "{name}: {value}");
    }
}

proptest! {
    #[test]
    fn arbitrary_values_never_panic_and_never_stay(
        lines in proptest::collection::vec((0..OPERATIONS.len(), proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        json in "\\{(\"[a-z]{0,3}\":(-?[0-9]{0,25}(e[0-9]{1,3})?|null|\"\\PC{0,3}\"),?){0,3}\\}?",
    ) {
        let mut headers = HeaderMap::new();
        for (index, bytes) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.append(&OPERATIONS[index], value);
            }
        }
        for name in [SET, INCREMENT, FLASH] {
            headers.append(name, HeaderValue::from_bytes(json.as_bytes()).unwrap());
        }
        let _ = take(&mut headers, true, NOW);
        prop_assert!(headers.is_empty());
    }
}
