//! From one store to another, and what broken files do.

use std::io::Cursor as Reader;

use proptest::prelude::*;

use super::super::conformance::{alias, entry, key};
use super::super::{Entry, Handle, Key, MemoryStore, Meta};
use super::*;
use crate::clock::Timestamp;

async fn exported(store: &MemoryStore) -> Vec<u8> {
    let mut file = Vec::new();
    export(store, &mut file, &mut |_| {}).await.unwrap();
    file
}

/// What became of it, and the numbers of the broken lines.
async fn imported(store: &MemoryStore, file: &[u8]) -> (Result<Imported, TransferError>, Vec<u64>) {
    let mut broken = Vec::new();
    let mut note = |progress: Progress<'_>| {
        if let Progress::Broken(line, _) = progress {
            broken.push(line);
        }
    };
    let done = import(store, &mut Reader::new(file), &mut note).await;
    (done, broken)
}

fn whole(n: u64) -> Entry {
    let meta = Meta {
        handle: Handle(n.to_be_bytes()),
        user: Some(format!("änn \"{n}\"\n").into()),
        created: Timestamp(n),
        address: Some("2001:db8::7".parse().unwrap()),
        agent: Some("Mozilla/5.0".into()),
        alias: false,
    };
    let bytes: Vec<u8> = (0..=255).cycle().take(n as usize % 700).collect();
    Entry::restored(meta, bytes.into(), Timestamp(n + 1), Timestamp(u64::MAX), n % 5 + 1)
}

#[tokio::test]
async fn everything_arrives_as_it_was_aliases_too() {
    let (from, to) = (MemoryStore::new(10_000), MemoryStore::new(10_000));
    for n in 0..1000 {
        from.create(key(n), whole(n)).await.unwrap();
    }
    from.create(key(1000), alias()).await.unwrap();
    let file = exported(&from).await;
    assert_eq!(file.iter().filter(|byte| **byte == b'\n').count(), 1002, "a header and a line for each");
    let (done, _) = imported(&to, &file).await;
    assert_eq!(done.unwrap(), Imported { imported: 1001, skipped: 0, broken: 0 });
    for n in 0..1000 {
        let (want, got) = (whole(n), to.load(key(n)).await.unwrap().unwrap());
        assert_eq!((&got.meta, got.bytes(), got.version()), (&want.meta, want.bytes(), want.version()));
        assert_eq!((got.last_seen(), got.deadline()), (want.last_seen(), Timestamp(u64::MAX)));
    }
    assert_eq!(to.load(key(1000)).await.unwrap().unwrap().meta, alias().meta);
}

#[tokio::test]
async fn what_is_there_already_stays_as_it_is() {
    let (from, to) = (MemoryStore::new(10), MemoryStore::new(10));
    from.create(key(1), entry(Some("old"))).await.unwrap();
    from.create(key(2), entry(Some("old"))).await.unwrap();
    to.create(key(1), entry(Some("new"))).await.unwrap();
    let (done, _) = imported(&to, &exported(&from).await).await;
    assert_eq!(done.unwrap(), Imported { imported: 1, skipped: 1, broken: 0 });
    assert_eq!(to.load(key(1)).await.unwrap().unwrap().meta.user.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_broken_line_is_told_by_its_number_and_the_others_arrive() {
    let (from, to) = (MemoryStore::new(10), MemoryStore::new(10));
    for n in 0..3 {
        from.create(key(n), entry(None)).await.unwrap();
    }
    let text = String::from_utf8(exported(&from).await).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cut = &lines[3][..lines[3].len() / 2];
    let file = [lines[0], lines[1], "", "{}", lines[2], "[", cut].join("\n");
    let (done, broken) = imported(&to, file.as_bytes()).await;
    assert_eq!(done.unwrap(), Imported { imported: 2, skipped: 0, broken: 3 });
    assert_eq!(broken, [4, 6, 7]);
}

#[tokio::test]
async fn a_file_of_another_kind_or_version_changes_nothing() {
    let store = MemoryStore::new(10);
    let line = line::write(&key(1), &entry(None));
    for (first, words) in [
        ("", "no export"),
        ("{\"key\":1}", "no export"),
        ("{\"format\":\"other\",\"version\":1}", "no export"),
        ("{\"format\":\"cloakroom-sessions\",\"version\":2}", "version 2"),
    ] {
        let (done, _) = imported(&store, format!("{first}\n{line}\n").as_bytes()).await;
        let message = done.unwrap_err().to_string();
        assert!(message.starts_with("line 1: ") && message.contains(words), "{message}");
    }
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_line_without_an_end_is_one_broken_line() {
    let store = MemoryStore::new(10);
    let mut file = format!("{}\n", line::header()).into_bytes();
    file.resize(file.len() + 10 * 1024 * 1024, b'x');
    file.extend(format!("\n{}\n", line::write(&key(1), &entry(None))).bytes());
    let (done, broken) = imported(&store, &file).await;
    assert_eq!((done.unwrap(), broken), (Imported { imported: 1, skipped: 0, broken: 1 }, vec![2]));
}

#[tokio::test]
async fn a_full_store_ends_the_import_and_keeps_what_it_has() {
    let (from, to) = (MemoryStore::new(10), MemoryStore::new(2));
    for n in 0..2 {
        to.create(key(n), entry(Some("ann"))).await.unwrap();
    }
    from.create(key(7), entry(None)).await.unwrap();
    let (done, _) = imported(&to, &exported(&from).await).await;
    assert!(matches!(done, Err(TransferError::Store(Error::Full))), "{done:?}");
    assert_eq!(to.count().await.unwrap(), 2);
}

#[test]
fn a_broken_line_is_not_repeated_in_its_message() {
    for text in [r#"{"key":"secret""#, r#"{"secret":1}"#, "secret", r#"{"key":secret}"#] {
        let message = line::read(text.as_bytes()).unwrap_err().to_string();
        assert!(!message.contains("secret"), "{message}");
    }
}

proptest! {
    #[test]
    fn any_entry_survives_its_line(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), key: [u8; 32], handle: [u8; 8],
        user in proptest::option::of(".{0,20}"), agent in proptest::option::of("[ -~]{0,40}"),
        address: Option<std::net::IpAddr>, alias: bool, version in 1..u64::from(u32::MAX),
        created: u64, seen in 0..1_u64 << 47, deadline in 0..1_u64 << 47,
    ) {
        let meta = Meta {
            handle: Handle(handle), user: user.map(Into::into), created: Timestamp(created), address,
            agent: agent.map(Into::into), alias,
        };
        let entry = Entry::restored(meta, bytes.into(), Timestamp(seen), Timestamp(deadline), version);
        let (key_back, back) = line::read(line::write(&Key(key), &entry).as_bytes()).unwrap();
        prop_assert_eq!((key_back, &back.meta, back.bytes()), (Key(key), &entry.meta, entry.bytes()));
        prop_assert_eq!(back.version(), entry.version());
        prop_assert_eq!((back.last_seen(), back.deadline()), (entry.last_seen(), entry.deadline()));
    }

    #[test]
    fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = line::read(&text);
        let _ = line::check_header(&text);
    }
}
