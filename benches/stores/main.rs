//! What the stores can do: `cargo bench --bench stores` (some minutes: a million sessions are written first), with
//! `-- --quick` a tenth of them, with `-- disk` only the stores whose name contains the word.
//!
//! One thread asks, as a worker of the gateway does. `CLOAKROOM_BENCH_DIR` is where files go: results say as much of
//! that disk as of the store. A store that needs a server is one more line in [`STORES`].

mod load;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cloakroom::store::disk::Options;
use cloakroom::store::{DiskStore, MemoryStore, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A name, and how the store in this directory is opened; `None` when its server is not there.
type Subject = (&'static str, fn(&Path) -> anyhow::Result<Option<Arc<dyn Store>>>);

const STORES: &[Subject] = &[
    ("memory", |_| Ok(Some(Arc::new(MemoryStore::new(10_000_000))))),
    ("disk", |directory| {
        // Patient: the bench shows how long it takes, the gateway would have given up.
        let options = Options { timeout: Duration::from_secs(60), ..Options::new(directory) };
        Ok(Some(Arc::new(DiskStore::open(&options)?)))
    }),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let sessions = if args.iter().any(|arg| arg == "--quick") { 100_000 } else { 1_000_000 };
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    for subject in STORES.iter().filter(|subject| words.iter().all(|word| subject.0.contains(word.as_str()))) {
        if let Err(error) = measure(subject, sessions) {
            eprintln!("{}: {error:#}", subject.0);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure((name, open): &Subject, sessions: u64) -> anyhow::Result<()> {
    let directory = match std::env::var_os("CLOAKROOM_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Some(store) = open(directory.path())? else {
        println!("{name}: skipped, its server is not there");
        return Ok(());
    };
    println!("{name}, with {sessions} sessions:");
    runtime.block_on(load::print(&store, sessions, || bytes_in(directory.path())))?;
    drop(store);
    let start = Instant::now();
    let store = open(directory.path())?.context("its server has gone")?;
    // What memory forgets it need not open.
    let kept = runtime.block_on(store.count())?;
    println!("  open      {:8.1?}, {kept} sessions found", start.elapsed());
    Ok(())
}

fn bytes_in(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}
