//! What holds for all lines and all orders of them.

use proptest::prelude::*;

use super::*;

/// Lines that set and delete a few cookies, at a few paths and domains.
fn lines(names: &'static str) -> impl Strategy<Value = Vec<Operation>> {
    let life = prop_oneof![Just(""), Just("; Max-Age=0"), Just("; Max-Age=60"), Just("; Max-Age=9")];
    let path = prop_oneof![Just(""), Just("; Path=/"), Just("; Path=/a/b")];
    let domain = prop_oneof![Just(""), Just("; Domain=example.com"), Just("; Domain=app.example.com")];
    let one = (names, "[0-9]{1,2}", life, path, domain);
    let one = one.prop_map(|(name, value, life, path, domain)| line(&format!("{name}={value}{life}{path}{domain}")));
    prop::collection::vec(one.prop_map(Result::unwrap), 0..12)
}

/// The cookies in no order, without the count of sets.
fn content(jar: &Jar) -> Vec<String> {
    let mut content: Vec<_> =
        jar.0.iter().map(|cookie| format!("{:?} {:?}", cookie.pair(), cookie.ranked(0))).collect();
    content.sort();
    content
}

fn after(mut jar: Jar, operations: &[Operation]) -> Jar {
    for operation in operations {
        jar.apply(operation, NOW);
    }
    jar
}

/// One of the ways to run two lists side by side.
fn interleaved(one: &[Operation], other: &[Operation], order: &[bool]) -> Vec<Operation> {
    let (mut one, mut other) = (one.iter(), other.iter());
    let mut all: Vec<_> =
        order.iter().filter_map(|first| if *first { one.next() } else { other.next() }).cloned().collect();
    all.extend(one.chain(other).cloned());
    all
}

fn in_order(jar: &Jar) -> bool {
    jar.0.is_sorted_by(|one, next| one.path().len() >= next.path().len())
}

proptest! {
    #[test]
    fn any_bytes_are_a_line_or_none(
        line in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[ -~]{0,40}; ?(Domain|Path|Max-Age|Expires|SameSite) ?= ?[ -~]{0,40}".prop_map(String::into_bytes),
        ],
        host in "[a-z0-9.:-]{0,20}|\\PC{0,9}", path in "\\PC{0,20}", now: u64,
    ) {
        let place = Place { hosts: &[&host], paths: &[&path] };
        let now = Timestamp(now);
        if let Ok(operation) = read(&line, &place, now) {
            let mut jar = Jar::default();
            jar.apply(&operation, now);
            prop_assert_eq!(jar.is_empty(), matches!(operation, Operation::Delete(_)));
            for cookie in jar.matching(&place, now) {
                prop_assert!(!cookie.pair().iter().any(|byte| b"\0\r\n;".contains(byte)));
            }
            let bytes = postcard::to_allocvec(&jar).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Jar>(&bytes).unwrap(), jar);
        }
    }

    #[test]
    fn broken_records_are_no_jar_and_no_panic(
        operations in lines("[a-d]"), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut bytes = postcard::to_allocvec(&after(Jar::default(), &operations)).unwrap();
        let (at, cut) = (at.index(bytes.len()), cut.index(bytes.len() + 1));
        bytes[at] = byte;
        if let Ok(jar) = postcard::from_bytes::<Jar>(&bytes[..cut]) {
            prop_assert!(jar.0.iter().all(|cookie| cookie.pair().len() + cookie.path().len() <= bytes.len()));
        }
    }

    #[test]
    fn a_jar_is_written_and_read_as_it_is(operations in lines("[a-z]{0,3}")) {
        let jar = after(Jar::default(), &operations);
        prop_assert!(in_order(&jar));
        let bytes = postcard::to_allocvec(&jar).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Jar>(&bytes).unwrap(), jar);
    }

    #[test]
    fn to_apply_an_operation_twice_is_to_apply_it_once(before in lines("[a-d]"), operation in lines("[a-d]")) {
        for operation in &operation {
            let once = after(after(Jar::default(), &before), std::slice::from_ref(operation));
            let twice = after(once.clone(), std::slice::from_ref(operation));
            prop_assert!(once.changes_nothing(operation, NOW));
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn what_changes_nothing_changes_nothing_that_is_sent(before in lines("[a-c]"), operations in lines("[a-c]")) {
        let before = after(Jar::default(), &before);
        for operation in &operations {
            if before.changes_nothing(operation, NOW) {
                let after = after(before.clone(), std::slice::from_ref(operation));
                let host = ("app.example.com", "/a/b");
                prop_assert_eq!(sent(&after, host.0, host.1, NOW), sent(&before, host.0, host.1, NOW));
            }
        }
    }

    #[test]
    fn responses_side_by_side_about_different_cookies_lose_nothing(
        before in lines("[a-d]"), one in lines("[ab]"), other in lines("[cd]"),
        order in prop::collection::vec(any::<bool>(), 24), another in prop::collection::vec(any::<bool>(), 24),
    ) {
        let before = after(Jar::default(), &before);
        let this = after(before.clone(), &interleaved(&one, &other, &order));
        let that = after(before, &interleaved(&one, &other, &another));
        prop_assert_eq!(content(&this), content(&that));
        prop_assert!(in_order(&this) && in_order(&that));
    }
}
