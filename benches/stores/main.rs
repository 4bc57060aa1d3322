//! What the stores can do: `cargo bench --bench stores`, one Markdown table for all of them and, beside them, Redis
//! and PostgreSQL themselves, so that it shows what our layer costs.
//!
//! A million sessions are written to each, which takes half an hour and up to 3 GB of disk, one store at a time;
//! `-- --quick` writes a twentieth in a few minutes; `-- disk redis` measures only those. `CLOAKROOM_BENCH_DIR` is
//! where files go: results say as much of that disk as of the store. Servers are the bench's own, and end with it.

mod load;
mod raw;
mod server;
mod subject;
mod table;

use std::process::ExitCode;

use self::load::Size;
use self::table::Column;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// In the order of the table.
const SUBJECTS: [(&str, subject::Open); 6] = [
    ("memory", subject::memory),
    ("disk", subject::disk),
    ("redis", subject::redis),
    ("Redis itself", raw::redis),
    ("postgres", subject::postgres),
    ("PostgreSQL itself", raw::postgres),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let size = if args.iter().any(|arg| arg == "--quick") { Size::QUICK } else { Size::WHOLE };
    let names: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| **wanted == name);
    let mut columns = Vec::new();
    for (name, open) in SUBJECTS.into_iter().filter(|(name, _)| is_wanted(name)) {
        match measure(name, open, size) {
            Ok(column) => columns.push(column),
            // The others are worth their time.
            Err(error) => eprintln!("{name} is left out: {error:#}"),
        }
    }
    print!("{}", table::markdown(&columns));
    println!("\n{}", size.description());
    if columns.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn measure(name: &'static str, open: subject::Open, size: Size) -> anyhow::Result<Column> {
    let directory = match std::env::var_os("CLOAKROOM_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    eprintln!("{name} ...");
    // One thread asks, as a worker does; what servers are asked runs on another, as on the control runtime.
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let worker = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut column = Column::new(name);
    let subject = open(directory.path(), control.handle().clone())?;
    worker.block_on(load::run(subject, size, &mut column))?;
    Ok(column)
}
