//! Small measurements inside one process: `cargo bench --bench micro` (about half a minute after the build),
//! with `-- --quick` half of that, with `-- sweep` only the rows whose name contains the word.
//!
//! Prints bytes per session in memory at a million sessions, all in, and the longest pause of a reader while
//! a sweep runs. Each row runs in a process of its own, with the allocator of the gateway, so that none
//! inherits another's memory. Requests as a whole are measured by `benches/side_by_side`.

mod memory;
mod sessions;
mod sweep;

use std::process::{Command, ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many as `store.max_sessions` allows by default.
const SESSIONS: u64 = 1_000_000;

/// A name, and what prints the row.
type Row = (&'static str, fn(quick: bool));

const ROWS: &[Row] = &[
    ("memory: 100 B of data, all anonymous", |_| memory::print(100, 0)),
    ("memory: 100 B of data, half signed in", |_| memory::print(100, 50)),
    ("memory: 100 B of data, all signed in", |_| memory::print(100, 100)),
    ("memory: 1 KiB of data, all anonymous", |_| memory::print(1024, 0)),
    ("memory: 1 KiB of data, half signed in", |_| memory::print(1024, 50)),
    ("memory: 1 KiB of data, all signed in", |_| memory::print(1024, 100)),
    ("load: hits of a million, one thread", sweep::print_loads),
    ("sweep: longest pause of a reader", sweep::print_pause),
];

/// Marks the process of one row.
const ROW: &str = "--row=";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.iter().any(|arg| arg == "--quick");
    if let Some(name) = args.iter().find_map(|arg| arg.strip_prefix(ROW)) {
        ROWS.iter().filter(|row| row.0 == name).for_each(|row| row.1(quick));
        return ExitCode::SUCCESS;
    }
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |name: &str| words.iter().all(|word| name.contains(word.as_str()));
    match ROWS.iter().filter(|row| wanted(row.0)).all(|row| run(row.0, &args)) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run(name: &str, args: &[String]) -> bool {
    print!("{name:40}");
    // Otherwise the row's process would write first.
    let _ = std::io::Write::flush(&mut std::io::stdout());
    let row = |exe| Command::new(exe).args(args).arg(format!("{ROW}{name}")).status();
    match std::env::current_exe().and_then(row) {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("the row could not be run: {error}");
            false
        }
    }
}
