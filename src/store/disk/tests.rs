use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;

use tempfile::TempDir;

use super::super::CachedStore;
use super::super::conformance::{self, entry, key, meta};
use super::*;

/// A store, and the directory that must outlive it.
struct Kept {
    store: DiskStore,
    directory: TempDir,
}

/// Touches are written when a test says so.
fn options(directory: &Path) -> Options {
    let patient = Duration::from_secs(3600);
    Options { flush_interval: patient, timeout: Duration::from_secs(30), ..Options::new(directory) }
}

fn fresh() -> Kept {
    let directory = TempDir::new().unwrap();
    Kept { store: open(&directory), directory }
}

fn open(directory: &TempDir) -> DiskStore {
    DiskStore::open(&options(directory.path())).unwrap()
}

fn reopened(kept: Kept) -> Kept {
    let Kept { store, directory } = kept;
    drop(store);
    Kept { store: open(&directory), directory }
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("sessions.sqlite3")
}

fn refusal(directory: &TempDir) -> OpenError {
    DiskStore::open(&options(directory.path())).unwrap_err()
}

/// As an operator's shell does it.
fn shell(directory: &TempDir) -> Connection {
    Connection::open(file(directory)).unwrap()
}

fn ends_at(deadline: u64) -> Entry {
    Entry::new(meta(Some("ann")), b"first".as_slice().into(), Timestamp(0), Timestamp(deadline))
}

#[tokio::test]
async fn it_keeps_the_contract_of_every_store() {
    let root = TempDir::new().unwrap();
    let made = AtomicUsize::new(0);
    conformance::suite(async || {
        let name = made.fetch_add(1, Ordering::Relaxed).to_string();
        DiskStore::open(&options(&root.path().join(name))).unwrap()
    })
    .await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let kept = fresh();
    for n in 0..10 {
        assert!(kept.store.create(key(n), entry(Some("ann"))).await.unwrap());
    }
    kept.store.update(key(1), 1, ends_at(u64::MAX)).await.unwrap();
    kept.store.delete(key(2)).await.unwrap();
    kept.store.touch(key(3), Timestamp(70), Timestamp(7000)).await.unwrap();
    let kept = reopened(kept);
    assert_eq!(kept.store.count().await.unwrap(), 9);
    assert_eq!(kept.store.list_by_user("ann").await.unwrap().len(), 9);
    let written = kept.store.load(key(1)).await.unwrap().unwrap();
    assert_eq!((written.version(), written.deadline()), (2, Timestamp(u64::MAX)));
    assert!(kept.store.load(key(2)).await.unwrap().is_none());
    assert_eq!(kept.store.load(key(3)).await.unwrap().unwrap().last_seen(), Timestamp(70));
}

#[tokio::test]
async fn a_touch_is_seen_at_once_and_written_later() {
    let kept = fresh();
    kept.store.create(key(1), entry(Some("ann"))).await.unwrap();
    assert!(matches!(kept.store.touch(key(1), Timestamp(50), Timestamp(5000)), Reply::Now(Ok(()))));
    assert_eq!(kept.store.load(key(1)).await.unwrap().unwrap().last_seen(), Timestamp(50));
    assert_eq!(kept.store.list_by_user("ann").await.unwrap()[0].1.last_seen(), Timestamp(50));
    assert_eq!(kept.store.page(None, 9).await.unwrap().entries[0].1.last_seen(), Timestamp(50));
    let on_disk = || shell(&kept.directory).query_row("SELECT last_seen FROM sessions", [], |row| row.get::<_, i64>(0));
    assert_eq!(on_disk().unwrap(), 0);
    kept.store.flush().await.unwrap();
    assert_eq!(on_disk().unwrap(), 50);
    assert_eq!(kept.store.load(key(1)).await.unwrap().unwrap().deadline(), Timestamp(5000));
}

#[tokio::test]
async fn a_flush_comes_by_itself() {
    let directory = TempDir::new().unwrap();
    let often = Options { flush_interval: Duration::from_millis(1), ..options(directory.path()) };
    let store = DiskStore::open(&often).unwrap();
    store.create(key(1), entry(None)).await.unwrap();
    store.touch(key(1), Timestamp(50), Timestamp(5000)).await.unwrap();
    let shell = shell(&directory);
    while shell.query_row("SELECT last_seen FROM sessions", [], |row| row.get::<_, i64>(0)).unwrap() != 50 {
        store.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_touch_that_waits_keeps_a_session_from_the_sweep_and_goes_with_a_deleted_one() {
    let kept = fresh();
    kept.store.create(key(1), ends_at(1000)).await.unwrap();
    kept.store.create(key(2), ends_at(1000)).await.unwrap();
    kept.store.touch(key(1), Timestamp(900), Timestamp(2000)).await.unwrap();
    kept.store.touch(key(2), Timestamp(800), Timestamp(1000)).await.unwrap();
    let swept = kept.store.sweep(Timestamp(1000), 100).await.unwrap();
    assert_eq!(swept.iter().map(|entry| entry.last_seen()).collect::<Vec<_>>(), [Timestamp(800)]);
    let kept = reopened(kept);
    assert_eq!(kept.store.delete(key(1)).await.unwrap().unwrap().last_seen(), Timestamp(900));
}

#[tokio::test]
async fn a_sweep_goes_on_in_small_steps_up_to_its_limit() {
    let kept = fresh();
    for n in 0..300 {
        kept.store.create(key(n), ends_at(1000 + n)).await.unwrap();
    }
    assert_eq!(kept.store.sweep(Timestamp(1249), 200).await.unwrap().len(), 200);
    assert_eq!(kept.store.sweep(Timestamp(1249), 200).await.unwrap().len(), 50);
    assert_eq!(kept.store.count().await.unwrap(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wins_of_many_who_write_at_once_and_none_disturbs_another() {
    let kept = Arc::new(fresh());
    kept.store.create(key(0), entry(None)).await.unwrap();
    let race = |n: u64| {
        let kept = Arc::clone(&kept);
        tokio::spawn(async move {
            let won = kept.store.update(key(0), 1, entry(Some("ann"))).await.unwrap() == Updated::Done;
            let created = kept.store.create(key(1 + n / 2), entry(None)).await.unwrap();
            // What was acknowledged is seen by whoever asks then.
            assert!(kept.store.load(key(1 + n / 2)).await.unwrap().is_some());
            (usize::from(won), usize::from(created))
        })
    };
    let racing: Vec<_> = (0..100).map(race).collect();
    let (mut won, mut created) = (0, 0);
    for one in racing {
        let (w, c) = one.await.unwrap();
        (won, created) = (won + w, created + c);
    }
    assert_eq!((won, created, kept.store.count().await.unwrap()), (1, 50, 51));
}

#[tokio::test]
async fn a_lock_that_an_operator_holds_is_told_and_passes() {
    let kept = fresh();
    let shell = shell(&kept.directory);
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = kept.store.create(key(1), entry(None)).await.unwrap_err();
    assert!(refused.to_string().contains("another program has locked it"), "{refused}");
    assert!(kept.store.load(key(1)).await.unwrap().is_none(), "reads go on");
    shell.execute_batch("ROLLBACK").unwrap();
    assert!(kept.store.create(key(1), entry(None)).await.unwrap());
}

#[tokio::test]
async fn an_operator_reads_along_while_it_runs() {
    let kept = fresh();
    kept.store.create(key(1), entry(Some("ann"))).await.unwrap();
    let sql = "SELECT user, handle, typeof(key), typeof(data) FROM sessions";
    let seen = shell(&kept.directory)
        .query_row(sql, [], |row| Ok([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]));
    assert_eq!(seen.unwrap(), ["ann", "0707070707070707", "blob", "blob"]);
}

#[tokio::test]
async fn a_disk_that_is_slower_than_the_deadline_is_unreachable() {
    let directory = TempDir::new().unwrap();
    let hasty = Options { timeout: Duration::ZERO, ..options(directory.path()) };
    let store = DiskStore::open(&hasty).unwrap();
    let shell = shell(&directory);
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let late = store.create(key(1), entry(None)).await.unwrap_err();
    assert!(late.to_string().contains("does not answer in time"), "{late}");
}

#[tokio::test]
async fn a_row_that_somebody_has_spoilt_is_lost_and_no_other() {
    let kept = fresh();
    kept.store.create(key(1), entry(Some("ann"))).await.unwrap();
    kept.store.create(key(2), entry(Some("ann"))).await.unwrap();
    let spoilt = shell(&kept.directory).execute("UPDATE sessions SET user = CAST(x'ff' AS TEXT) WHERE id = 1", []);
    assert_eq!(spoilt.unwrap(), 1);
    assert!(kept.store.load(key(1)).await.unwrap().is_none());
    assert!(kept.store.load(key(2)).await.unwrap().is_some());
    assert_eq!(kept.store.page(None, 10).await.unwrap().entries.len(), 1);
    assert_eq!(kept.store.sweep(Timestamp(1000), 10).await.unwrap().len(), 1);
    assert_eq!(kept.store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_file_that_has_shrunk_to_little_gives_room_back() {
    let kept = fresh();
    let large = || Entry::new(meta(None), vec![7; 60_000].into(), Timestamp(0), Timestamp(1000));
    for n in 0..200 {
        kept.store.create(key(n), large()).await.unwrap();
    }
    let kept = reopened(kept);
    let full = fs::metadata(file(&kept.directory)).unwrap().len();
    assert_eq!(kept.store.sweep(Timestamp(1000), 1000).await.unwrap().len(), 200);
    let Kept { store, directory } = kept;
    drop(store);
    let often = Options { flush_interval: Duration::from_millis(1), ..options(directory.path()) };
    let store = DiskStore::open(&often).unwrap();
    let shell = shell(&directory);
    while shell.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0)).unwrap() >= 1024 {
        store.ping().await.unwrap();
    }
    drop((shell, store));
    let less = fs::metadata(file(&directory)).unwrap().len();
    assert!(less < full / 2, "{full} -> {less}");
}

#[tokio::test]
async fn the_log_is_moved_by_itself_and_empty_after_the_end() {
    let kept = fresh();
    let large = || Entry::new(meta(None), vec![7; 60_000].into(), Timestamp(0), Timestamp(1000));
    for n in 0..400 {
        kept.store.create(key(n), large()).await.unwrap();
    }
    let log = kept.directory.path().join("sessions.sqlite3-wal");
    // 24 MB were written: without a checkpoint all of it would still be in the log alone.
    while fs::metadata(file(&kept.directory)).unwrap().len() < 8 << 20 {
        kept.store.ping().await.unwrap();
    }
    drop(kept.store);
    assert_eq!(fs::metadata(log).map_or(0, |log| log.len()), 0);
}

#[test]
fn only_the_owner_may_read_what_it_makes() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("a/b");
    let _store = DiskStore::open(&options(&directory)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for made in fs::read_dir(&directory).unwrap().flatten() {
        assert_eq!(mode(&made.path()), 0o600, "{:?}", made.path());
    }
}

#[test]
fn a_second_process_is_refused_and_told_who_has_it() {
    let kept = fresh();
    let refused = refusal(&kept.directory);
    assert!(refused.to_string().contains(&format!("in use by process {}", std::process::id())), "{refused}");
    let Kept { store, directory } = kept;
    drop(store);
    open(&directory);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let refused = DiskStore::open(&options(Path::new("/proc/self"))).unwrap_err();
    assert!(refused.to_string().contains("a directory that it may write to"), "{refused}");
    let not_one = DiskStore::open(&options(Path::new("/dev/null/x"))).unwrap_err();
    assert!(matches!(not_one, OpenError::Io { .. }), "{not_one}");
}

/// What a refused file looks like afterwards: as before, and nothing beside it but the lock.
#[track_caller]
fn refused_untouched(content: &[u8], message: &str) {
    let directory = TempDir::new().unwrap();
    fs::write(file(&directory), content).unwrap();
    let refused = refusal(&directory).to_string();
    assert!(refused.contains(message), "{refused}");
    assert_eq!(fs::read(file(&directory)).unwrap(), content);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

/// A sound file after a clean end.
fn sound() -> Vec<u8> {
    let Kept { store, directory } = fresh();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for n in 0..200 {
            assert!(store.create(key(n), entry(Some("ann"))).await.unwrap());
        }
    });
    drop(store);
    fs::read(file(&directory)).unwrap()
}

#[test]
fn a_foreign_file_is_refused_and_left_untouched() {
    refused_untouched(&[b'x'; 5000], "is not a session store");
    let mut other = sound();
    other[68..72].copy_from_slice(&[0, 0, 0, 1]);
    refused_untouched(&other, "is not a session store");
}

#[test]
fn a_later_format_is_refused_and_left_untouched() {
    let mut later = sound();
    later[60..64].copy_from_slice(&2i32.to_be_bytes());
    refused_untouched(&later, "has format 2");
}

#[test]
fn a_file_that_was_cut_off_is_refused_and_left_as_it_is() {
    let whole = sound();
    for left in [0, 99] {
        refused_untouched(&whole[..left], "is damaged");
    }
    for left in [4096, whole.len() / 2, whole.len() - 4096] {
        let directory = TempDir::new().unwrap();
        fs::write(file(&directory), &whole[..left]).unwrap();
        let refused = refusal(&directory).to_string();
        assert!(refused.contains("is damaged") && refused.contains("restore"), "{refused}");
        assert_eq!(fs::read(file(&directory)).unwrap(), &whole[..left]);
    }
}

#[tokio::test]
async fn a_cut_off_file_with_a_log_beside_it_is_refused_too() {
    let Kept { store, directory } = fresh();
    for n in 0..500 {
        store.create(key(n), entry(Some("ann"))).await.unwrap();
    }
    drop(store);
    let store = open(&directory);
    store.delete(key(1)).await.unwrap();
    let copy = TempDir::new().unwrap();
    let log = "sessions.sqlite3-wal";
    assert!(fs::copy(directory.path().join(log), copy.path().join(log)).unwrap() > 0);
    let whole = fs::read(file(&directory)).unwrap();
    fs::write(file(&copy), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(refusal(&copy), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn a_log_without_its_file_is_not_overwritten() {
    let Kept { store, directory } = fresh();
    store.create(key(1), entry(None)).await.unwrap();
    let copy = TempDir::new().unwrap();
    let log = "sessions.sqlite3-wal";
    fs::copy(directory.path().join(log), copy.path().join(log)).unwrap();
    let refused = refusal(&copy);
    assert!(refused.to_string().contains("it is missing, but"), "{refused}");
    assert!(!file(&copy).exists());
}

#[test]
fn what_a_crash_left_of_making_the_file_is_no_hindrance() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("sessions.sqlite3.new"), b"half").unwrap();
    fs::write(directory.path().join("sessions.sqlite3.new-journal"), b"half").unwrap();
    open(&directory);
    assert!(!directory.path().join("sessions.sqlite3.new").exists());
}

/// The browser went away, and with it the request that waited for the answer.
#[tokio::test]
async fn a_copy_is_forgotten_also_when_nobody_waits_for_the_write_any_more() {
    let Kept { store, directory: _directory } = fresh();
    let store = Arc::new(store);
    let near = CachedStore::new(Arc::clone(&store) as Arc<dyn Store>, 10);
    near.create(key(1), entry(Some("ann"))).await.unwrap();
    near.load(key(1)).await.unwrap();
    assert!(matches!(near.load(key(1)), Reply::Now(Ok(Some(_)))), "a copy is kept");
    {
        let mut delete = near.delete(key(1));
        let given_up = std::future::poll_fn(|cx| {
            let _ = Pin::new(&mut delete).poll(cx);
            Poll::Ready(())
        });
        given_up.await;
    }
    // Behind it in the queue.
    store.flush().await.unwrap();
    assert!(near.load(key(1)).await.unwrap().is_none());
}
