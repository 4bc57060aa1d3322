use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::*;

const LONG: Duration = Duration::from_secs(1000);
const LATER: Timestamp = Timestamp(1_000_000);
const ANN: Handle = Handle([1; 8]);
const BOB: Handle = Handle([2; 8]);

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data").join("denials");
        Self { _dir: dir, path }
    }

    fn open(&self) -> Denials {
        self.bounded(MOST)
    }

    fn bounded(&self, most: usize) -> Denials {
        Denials::bounded(&self.path, Duration::from_secs(10), most).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp(millis)
}

#[tokio::test]
async fn what_has_ended_stays_ended_after_a_restart() {
    let place = Place::new();
    let denials = place.open();
    denials.saw(at(100));
    denials.end(ANN, LATER).await.unwrap();
    for denials in [denials, place_after(&place)] {
        assert!(denials.deny(ANN, None, at(100)) && denials.deny(ANN, Some("ann"), at(1)));
        assert!(!denials.deny(BOB, Some("ann"), at(100)));
    }
}

fn place_after(place: &Place) -> Denials {
    // A second process would wait for the first one's lock: what counts is the file.
    let copy = place.path.with_extension("copy");
    fs::copy(&place.path, &copy).unwrap();
    Denials::open(&copy, LONG).unwrap()
}

#[tokio::test]
async fn a_revoked_user_is_denied_but_for_the_session_that_is_kept_and_later_ones() {
    let place = Place::new();
    let denials = place.open();
    denials.saw(at(100));
    denials.revoke("ann", Some((ANN, at(90))), LONG).await.unwrap();
    for denials in [denials, place_after(&place)] {
        assert!(denials.deny(BOB, Some("ann"), at(100)));
        assert!(!denials.deny(ANN, Some("ann"), at(90)) && denials.deny(ANN, Some("ann"), at(89)));
        assert!(!denials.deny(BOB, Some("bob"), at(50)) && !denials.deny(BOB, None, at(50)));
        assert!(!denials.deny(BOB, Some("ann"), at(101)));
        assert_eq!((denials.not_before(Some("ann")), denials.not_before(Some("bob"))), (at(100), at(0)));
    }
}

#[tokio::test]
async fn an_older_revocation_does_not_undo_a_newer_one() {
    let denials = Place::new().open();
    denials.saw(at(100));
    denials.revoke("ann", Some((ANN, at(90))), LONG).await.unwrap();
    denials.revoke("ann", None, LONG).await.unwrap();
    assert!(denials.deny(ANN, Some("ann"), at(95)));
    let kept = Some(Kept { handle: ANN, since: at(1) });
    let older = Mark::User { user: UserHash::of("ann"), at: at(50), until: at(60), kept };
    denials.memory.marks.write().unwrap().add(older);
    assert!(denials.deny(ANN, Some("ann"), at(95)) && denials.deny(ANN, Some("ann"), at(2)));
}

#[test]
fn a_replaced_id_is_dead_and_its_successor_is_not() {
    let denials = Place::new().open();
    denials.supersede(ANN, at(49), LATER);
    denials.supersede(ANN, at(20), LATER);
    assert!(denials.deny(ANN, None, at(49)) && !denials.deny(ANN, None, at(50)));
}

#[tokio::test]
async fn a_line_without_its_end_was_never_acknowledged_and_any_other_that_is_not_ours_is_refused() {
    let place = Place::new();
    let denials = place.open();
    denials.saw(at(1));
    denials.end(ANN, LATER).await.unwrap();
    drop(denials);
    let whole = place.text();
    let append = |tail: &[u8]| {
        fs::write(&place.path, &whole).unwrap();
        fs::OpenOptions::new().append(true).open(&place.path).unwrap().write_all(tail).unwrap();
    };
    for torn in [&b"session 0202020202"[..], b"session 0202020202020202 1 1", b"\0\0\0\0", b"\0\0\0 7\neveryone 0\n"] {
        append(torn);
        let denials = place.open();
        assert!(denials.deny(ANN, None, at(1)) && !denials.deny(BOB, None, at(1)), "{torn:?}");
        denials.end(BOB, LATER).await.unwrap();
        drop(denials);
        assert!(place.open().deny(BOB, None, at(1)), "what is written after it counts");
    }
    for foreign in [&b"session\n"[..], b"everyone x\n", b"\n", b"session 0202020202020202 1 1 \n"] {
        append(foreign);
        let error = Denials::open(&place.path, LONG).unwrap_err().to_string();
        assert!(error.starts_with("line ") && error.contains("session.keys"), "{error}");
    }
    fs::write(&place.path, "SQLite format 3\n").unwrap();
    assert!(Denials::open(&place.path, LONG).is_err());
}

#[tokio::test]
async fn what_all_cookies_have_outlived_is_forgotten_when_the_file_is_written_anew() {
    let place = Place::new();
    let denials = place.open();
    denials.saw(at(1));
    denials.end(ANN, at(10)).await.unwrap();
    denials.saw(at(10));
    denials.journal.rewrite();
    denials.end(BOB, LATER).await.unwrap();
    // A line may be there twice.
    assert!(!place.text().contains(&ANN.to_string()) && place.text().contains(&BOB.to_string()), "{}", place.text());
    assert!(!denials.deny(ANN, None, at(1)) && denials.deny(BOB, None, at(1)));
}

/// SM-09: nothing that has ended comes back, however many there are.
#[tokio::test]
async fn too_many_to_remember_end_all_older_ids_and_revive_none() {
    let place = Place::new();
    let denials = place.bounded(100);
    let handle = |n: u64| Handle(n.to_be_bytes());
    for n in 1..=1000 {
        denials.saw(at(n));
        denials.end(handle(n), LATER).await.unwrap();
        assert!(denials.memory.read().len() <= 100);
    }
    let all_are_denied = |denials: &Denials| (1..=1000).all(|n| denials.deny(handle(n), None, at(n)));
    assert!(all_are_denied(&denials));
    let floor = denials.not_before(None);
    assert!((900..1000).contains(&floor.0), "{floor:?}");
    assert!(!denials.deny(handle(5000), Some("ann"), Timestamp(floor.0 + 1)), "who was given an id since goes on");
    drop(denials);
    assert!(all_are_denied(&place.open()));
}

#[tokio::test]
async fn a_second_gateway_on_the_same_file_is_refused() {
    let place = Place::new();
    let first = place.open();
    let error = Denials::open(&place.path, LONG).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}");
    drop(first);
    place.open();
}

/// The directory is replaced by a file: a rewrite fails, and with it everything until it works again.
#[tokio::test]
async fn what_could_not_be_written_is_no_success_and_is_written_later() {
    let place = Place::new();
    let denials = place.open();
    denials.saw(at(1));
    let directory = place.path.parent().unwrap().to_owned();
    let aside = directory.with_extension("aside");
    fs::rename(&directory, &aside).unwrap();
    denials.journal.rewrite();
    let error = denials.end(ANN, LATER).await.unwrap_err().to_string();
    assert!(error.contains("data_dir"), "{error}");
    assert!(denials.ping().is_err() && denials.deny(ANN, None, at(1)), "it holds in this process");
    fs::rename(&aside, &directory).unwrap();
    denials.end(BOB, LATER).await.unwrap();
    assert!(denials.ping().is_ok());
    drop(denials);
    assert!(place.open().deny(ANN, None, at(1)), "with the next that can be written");
}
