//! `cloakroom sessions export|import`: straight on the configured store, whether a gateway runs or not.
//!
//! What moves and how it is written is `store::transfer`'s business; here are the file, the bar and the words.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::runtime::Handle;

use super::bar::bar;
use super::operator::load;
use crate::clock::{Clock, SteadyClock};
use crate::config::Config;
use crate::config::schema::StoreType;
use crate::storage;
use crate::store::Store;
use crate::store::transfer::{self, Progress};

/// So many broken lines are named; after that they are counted.
const MOST_NAMED: u64 = 20;

pub(super) fn export(config: &Path, output: &Path) -> anyhow::Result<ExitCode> {
    let config = load(config)?;
    in_a_runtime(async {
        let store = open_store(&config)?;
        // SECURITY: for the owner alone; and nothing that is there is lost.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(output);
        let mut file = BufWriter::new(file.with_context(|| format!("{} cannot be created", output.display()))?);
        let bar = bar(store.count().await? as u64, "{pos} of {len} entries");
        let written = transfer::export(&*store, &mut file, &mut |written| bar.set_position(written)).await?;
        file.flush()?;
        file.get_ref().sync_all()?;
        bar.finish_and_clear();
        println!("{written} entries written to {}", output.display());
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn import(config: &Path, input: &Path) -> anyhow::Result<ExitCode> {
    let config = load(config)?;
    in_a_runtime(async {
        let store = open_store(&config)?;
        let file = File::open(input).with_context(|| format!("{} cannot be opened", input.display()))?;
        let bar = bar(file.metadata()?.len(), "{bytes} of {total_bytes}");
        let (mut named, mut file) = (0, BufReader::new(file));
        let mut progress = |progress: Progress<'_>| match progress {
            Progress::Read(bytes) => bar.set_position(bytes),
            Progress::Broken(line, why) => {
                named += 1;
                if named <= MOST_NAMED {
                    bar.suspend(|| eprintln!("{}:{line}: {why}", input.display()));
                }
            }
        };
        let done = transfer::import(&*store, &mut file, &mut progress).await;
        let done = done.with_context(|| format!("{}: not all was imported; what was, stays", input.display()))?;
        bar.finish_and_clear();
        println!("{} entries imported, {} were there already", done.imported, done.skipped);
        if done.broken > 0 {
            eprintln!("{} broken lines were passed over", done.broken);
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The store of a configuration, opened beside the gateway. Called inside a runtime, on which it does its work.
fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    match config.store.kind {
        StoreType::Memory => {
            bail!("store.type is memory: those sessions live in the running gateway alone and end with it")
        }
        StoreType::Cookie => bail!("store.type is cookie: those sessions live in the browsers alone"),
        StoreType::Disk | StoreType::Redis | StoreType::Postgres => {}
    }
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::start());
    // `StorageError` names its causes itself; the chain would repeat them.
    storage::bare(config, &clock, &Handle::current()).map_err(anyhow::Error::msg)
}

/// The store's own work runs on the runtime's threads while this one waits.
fn in_a_runtime(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(work)
}
