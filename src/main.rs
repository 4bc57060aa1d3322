//! The `cloakroom` program: exit codes, and nothing else.

use std::process::ExitCode;

/// PERF: the data path frees an 8 KiB read buffer or two with each request, which costs the system's
/// allocator four times as much.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cloakroom::cli::run() {
        Ok(code) => code,
        Err(error) => {
            // Logs may be off or not started yet; whoever typed the command must see this.
            eprintln!("cloakroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}
