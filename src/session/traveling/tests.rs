use std::net::Ipv6Addr;

use http::HeaderMap;
use http::header::COOKIE;
use proptest::prelude::*;

use super::super::chunks::Joined;
use super::*;
use crate::config::schema;
use crate::identity::Identity;

const NEVER: Timestamp = Timestamp(u64::MAX);

fn cookie() -> SessionCookie {
    SessionCookie::from_config(&schema::Cookie::default())
}

fn sealer(keys: &[u8]) -> Sealer {
    let keys: Vec<_> = keys.iter().map(|key| SealKey::from_bytes([*key; 32])).collect();
    Sealer::new(&keys, &cookie())
}

fn record(data: usize) -> Record {
    let mut record = Record::new(Timestamp(5)).unwrap();
    record.identity = Some(Identity::named("ann"));
    if data > 0 {
        record.data.edit(|map| drop(map.insert("k".into(), "v".repeat(data).into())));
    }
    record
}

fn entry(record: &Record) -> Entry {
    let meta = Meta {
        handle: Handle([7; 8]),
        user: Some("ann".into()),
        created: Timestamp(4),
        address: Some(Ipv6Addr::LOCALHOST.into()),
        agent: Some("a browser".into()),
        alias: false,
    };
    Entry::restored(meta, record.encode(), Timestamp(6), NEVER, 9)
}

fn sealed(sealer: &Sealer, record: &Record) -> Vec<String> {
    sealer.seal("s", &Id::generate().unwrap(), &entry(record), NEVER).unwrap().unwrap()
}

/// What the browser's pieces, by place, are worth.
fn presented(sealer: &Sealer, pieces: &[(usize, &str)]) -> Option<Traveler> {
    let line = |(place, value): &(usize, &str)| format!("{}={value}", chunks::name("s", *place));
    let headers: HeaderMap = pieces.iter().filter_map(|piece| Some((COOKIE, line(piece).parse().ok()?))).collect();
    match chunks::join(&headers, "s", pieces.first()?.1.as_bytes()) {
        Joined::Whole(text) => sealer.open("s", &text),
        Joined::Torn | Joined::Foreign => None,
    }
}

fn placed(pieces: &[String]) -> Vec<(usize, &str)> {
    pieces.iter().map(String::as_str).enumerate().collect()
}

#[test]
fn a_session_survives_the_browser() {
    let sealer = sealer(&[1]);
    for data in [0, 5000] {
        let (id, record) = (Id::generate().unwrap(), record(data));
        let entry = entry(&record);
        let pieces = sealer.seal("s", &id, &entry, Timestamp(8)).unwrap().unwrap();
        assert_eq!(pieces.len(), if data == 0 { 1 } else { 2 });
        let traveler = presented(&sealer, &placed(&pieces)).unwrap();
        assert!(traveler.id == id && traveler.record == record && !traveler.by_an_older_key);
        let agent = entry.meta.agent.clone().filter(|_| data == 0);
        assert_eq!(traveler.meta, Meta { agent, ..entry.meta.clone() }, "the browser's name is worth no second cookie");
        let back = traveler.entry(NEVER);
        assert_eq!((back.version(), back.last_seen(), back.bytes()), (9, Timestamp(6), entry.bytes()));
        assert_eq!(traveler.ends, Timestamp(8));
    }
}

#[test]
fn an_older_key_opens_and_one_that_is_gone_does_not() {
    let pieces = sealed(&sealer(&[1]), &record(10));
    assert!(presented(&sealer(&[2, 1]), &placed(&pieces)).unwrap().by_an_older_key);
    assert!(presented(&sealer(&[2]), &placed(&pieces)).is_none());
    assert!(presented(&sealer(&[1, 2]), &placed(&sealed(&sealer(&[2, 1]), &record(10)))).is_some());
}

#[test]
fn under_another_name_it_is_nothing() {
    let sealer = sealer(&[1]);
    let pieces = sealed(&sealer, &record(10));
    assert!(sealer.open("s", &pieces[0].as_bytes()[1..]).is_some());
    assert!(sealer.open("t", &pieces[0].as_bytes()[1..]).is_none());
}

#[test]
fn pieces_of_two_sessions_make_none() {
    let sealer = sealer(&[1]);
    let (one, other) = (sealed(&sealer, &record(5000)), sealed(&sealer, &record(5000)));
    assert!(presented(&sealer, &[(0, &one[0]), (1, &other[1])]).is_none());
    // Nor with the beginning that the other's pieces have.
    let forged = format!("{}{}", &one[1][..8], &other[1][8..]);
    assert!(presented(&sealer, &[(0, &one[0]), (1, &forged)]).is_none());
    assert!(presented(&sealer, &[(0, &one[0]), (1, &one[1])]).is_some());
}

#[test]
fn nothing_of_it_can_be_read() {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let (sealer, id, record) = (sealer(&[1]), Id::generate().unwrap(), record(60));
    let pieces = sealer.seal("s", &id, &entry(&record), NEVER).unwrap().unwrap();
    let bytes = BASE64.decode(&pieces[0][1..]).unwrap();
    let secrets = [&id.reveal().as_bytes()[..8], b"vvvvvvvv", &record.csrf[..8], &[7; 8], b"a browse"];
    assert!(!bytes.windows(8).any(|part| secrets.contains(&part)));
    assert_ne!(pieces, sealer.seal("s", &id, &entry(&record), NEVER).unwrap().unwrap(), "no two are alike");
}

#[test]
fn the_envelope_is_never_longer() {
    let sealer = sealer(&[1]);
    let mut longest = entry(&record(0));
    longest.meta.created = NEVER;
    let entry = Entry::restored(longest.meta, Box::default(), NEVER, NEVER, u64::from(u32::MAX));
    let content = sealer.content(&Id::generate().unwrap(), &entry, NEVER, None, b"");
    assert!(content.len() <= LONGEST_ENVELOPE, "{}", content.len());
}

#[test]
fn every_line_is_one_that_browsers_keep_and_what_has_room_can_be_sealed() {
    let cookie = cookie();
    let sealer = Sealer::new(&[SealKey::from_bytes([1; 32])], &cookie);
    let mut most = 0;
    for data in (0..12_000).step_by(97) {
        let record = record(data);
        let pieces = sealer.seal("s", &Id::generate().unwrap(), &entry(&record), NEVER).unwrap();
        for (place, value) in pieces.iter().flatten().enumerate() {
            let piece = cookie.renamed(&chunks::name(cookie.name(), place));
            let line = piece.set_value(value, Duration::MAX, Some(true), true).unwrap();
            assert!(line.len() <= 4096, "{}", line.len());
        }
        if sealer.has_room_for(&record) {
            assert!(pieces.is_some_and(|pieces| pieces.len() <= chunks::MOST), "{data}");
            most = data;
        }
    }
    assert!((8000..9000).contains(&most), "{most}");
}

proptest! {
    #[test]
    fn a_changed_bit_is_found(data in prop_oneof![0_usize..100, 3000_usize..7000], at in any::<prop::sample::Index>()) {
        let sealer = sealer(&[1]);
        let mut pieces = sealed(&sealer, &record(data));
        let length: usize = pieces.iter().map(String::len).sum();
        let mut bit = at.index(length * 8);
        for piece in &mut pieces {
            if bit < piece.len() * 8 {
                let mut bytes = piece.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                // What is no text cannot stand in a header either.
                *piece = String::from_utf8(bytes).unwrap_or_default();
                break;
            }
            bit -= piece.len() * 8;
        }
        prop_assert!(presented(&sealer, &placed(&pieces)).is_none());
    }

    #[test]
    fn what_is_cut_short_opens_nothing(data in prop_oneof![0_usize..100, 3000_usize..7000], end in any::<prop::sample::Index>()) {
        let sealer = sealer(&[1]);
        let mut pieces = sealed(&sealer, &record(data));
        let place = end.index(pieces.len());
        let end = end.index(pieces[place].len());
        pieces[place].truncate(end);
        prop_assert!(presented(&sealer, &placed(&pieces)).is_none());
    }

    #[test]
    fn arbitrary_bytes_open_nothing(text in prop::collection::vec(any::<u8>(), 0..200), content in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(sealer(&[1]).open("s", &text).is_none());
        let _ = Traveler::decode(&[&[VERSION], &*content].concat());
    }
}
