//! The command line: which sub-command, which file. Everything else is configuration.
//!
//! `sessions` holds what concerns the sessions of a gateway at work, `operator` the way there.

mod bar;
mod import_django;
mod observe;
mod operator;
mod sessions;
mod table;
mod transfer;

use std::io::{IsTerminal, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

use self::operator::Operator;
use self::sessions::Sessions;
use crate::app::{self, Running};
use crate::auth::hash;
use crate::clock::SteadyClock;
use crate::config::{self, Config};
use crate::{demo, telemetry};

/// A session gateway for web apps nobody can change.
#[derive(Parser)]
#[command(name = "cloakroom", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    Run(ConfigFile),
    /// Try it: the gateway before a built-in old-fashioned app, nothing to configure
    Demo {
        /// Where to listen
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Sign in to an app once in your browser, and get the YAML for it: `observe`, `cookies`
    Observe(observe::Options),
    /// Report every problem of a configuration file, with its place
    Validate(ConfigFile),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Read a password, print its argon2id hash for the users file
    HashPassword,
    /// Ask the running gateway whether it is ready: exit code 0 or 1
    Healthcheck(ConfigFile),
    /// See to the sessions of the running gateway, or move them to another store
    #[command(subcommand)]
    Sessions(Sessions),
    /// Take over the sessions of an app, so that its users stay signed in
    #[command(subcommand)]
    Import(Import),
}

#[derive(Subcommand)]
enum Import {
    /// Those that Django keeps in its database or in files
    ///
    /// Do it once, before users come in through the gateway: a session that is signed out there stays in Django's
    /// table, and a second import would bring it back.
    Django(Box<import_django::Options>),
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "CLOAKROOM_CONFIG", default_value = "cloakroom.yaml")]
    config: PathBuf,
}

/// Does what the command line says. Usage errors end the process with 2.
///
/// # Errors
/// What went wrong, for the person who typed the command.
pub fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Run(file) => serve(&file),
        Command::Demo { listen } => show_demo(listen),
        Command::Observe(options) => observe::run(&options),
        Command::Validate(file) => Ok(validate(&file)),
        Command::Schema => schema(),
        Command::HashPassword => hash_password(),
        Command::Healthcheck(file) => Ok(healthcheck(&file)),
        Command::Sessions(command) => or_the_reader_left(sessions::run(command)),
        Command::Import(Import::Django(options)) => import_django::run(&options),
    }
}

fn serve(file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let config = match load(file) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let signals = Signals::listen()?;
    // `StartError` names its causes itself; the chain would repeat them.
    let running = app::start_from(&file.config, &config, Arc::new(SteadyClock::start())).map_err(anyhow::Error::msg)?;
    for address in running.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = running.admin_address() {
        tracing::info!(%address, "listening for operators");
    }
    signals.wait_for_the_end(|| running.reload());
    stop(running);
    Ok(ExitCode::SUCCESS)
}

fn show_demo(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let demo = demo::start(listen)?;
    print!("{}", demo.welcome());
    std::io::stdout().flush().context("standard output")?;
    signals.wait_for_the_end(|| tracing::warn!("SIGHUP: the demo has no configuration file to reload"));
    demo.stop();
    Ok(ExitCode::SUCCESS)
}

/// Loads the configuration and starts the log; warnings go there.
fn load(file: &ConfigFile) -> Result<Config, config::Problems> {
    let loaded = config::load(&file.config, &|name| std::env::var(name).ok())?;
    telemetry::log::init(&loaded.config.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded.config)
}

fn validate(file: &ConfigFile) -> ExitCode {
    let (report, valid) = config::validate_report(&file.config);
    println!("{report}");
    if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn schema() -> anyhow::Result<ExitCode> {
    println!("{}", serde_json::to_string_pretty(&config::schema_json())?);
    Ok(ExitCode::SUCCESS)
}

fn hash_password() -> anyhow::Result<ExitCode> {
    let password = read_password()?;
    if password.is_empty() {
        bail!("the password is empty");
    }
    if password.len() > hash::MAX_PASSWORD_BYTES {
        bail!("the password is longer than {} bytes", hash::MAX_PASSWORD_BYTES);
    }
    println!("{}", hash::hash(&password));
    Ok(ExitCode::SUCCESS)
}

/// Asks twice on a terminal; takes one line from a pipe.
fn read_password() -> anyhow::Result<Zeroizing<String>> {
    if std::io::stdin().is_terminal() {
        let password = Zeroizing::new(rpassword::prompt_password("Password: ").context("reading the password")?);
        let again = Zeroizing::new(rpassword::prompt_password("Again: ").context("reading the password")?);
        if password != again {
            bail!("the two passwords differ");
        }
        return Ok(password);
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(64 * 1024).read_to_string(&mut text).context("reading the password from standard input")?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// A container's patience with a check is short.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

fn healthcheck(file: &ConfigFile) -> ExitCode {
    let answer = Operator::of(&file.config).and_then(|gateway| gateway.ask("GET", "/readyz", None, HEALTH_TIMEOUT));
    match answer {
        Ok(answer) => {
            println!("{} {}", answer.status, answer.body);
            if answer.status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("cloakroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `cloakroom sessions list | head` is no failure.
fn or_the_reader_left(result: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let left = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    match result {
        Err(error) if error.downcast_ref().is_some_and(left) => Ok(ExitCode::SUCCESS),
        result => result,
    }
}

/// The signals that end the process, and the one that reloads its configuration.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from here on. Called before anything starts, so that a service manager that changes its mind at once
    /// still gets a clean end.
    fn listen() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        drop(context);
        Ok(Self { runtime, terminate, interrupt, hang_up })
    }

    /// Returns when the process is asked to end, or when `done` is.
    fn wait_for_the_end_or(self, done: impl Future<Output = ()>) {
        let Self { runtime, mut terminate, mut interrupt, hang_up: _ } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = done => {}
            }
        });
    }

    /// Returns when the process is asked to end; until then, calls `reload` for each SIGHUP.
    fn wait_for_the_end(self, reload: impl Fn()) {
        let Self { runtime, mut terminate, mut interrupt, mut hang_up } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hang_up.recv() => reload(),
                }
            }
        });
    }
}

fn stop(running: Running) {
    tracing::info!("stopping: open requests may finish");
    running.stop();
    tracing::info!("stopped");
}
