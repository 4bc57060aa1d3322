//! The `cloakroom` program: exit codes, and nothing else.

use std::process::ExitCode;

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
