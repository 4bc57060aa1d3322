//! The command line: which sub-command, which file. Everything else is configuration.

use std::io::{IsTerminal, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

use crate::admin;
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
    /// Report every problem of a configuration file, with its place
    Validate(ConfigFile),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Read a password, print its argon2id hash for the users file
    HashPassword,
    /// Ask the running gateway whether it is ready: exit code 0 or 1
    Healthcheck(ConfigFile),
    /// See to the sessions of the running gateway
    #[command(subcommand)]
    Sessions(Sessions),
}

#[derive(Subcommand)]
enum Sessions {
    /// Delete at once what has expired; the gateway does it by itself every minute
    ClearExpired(ConfigFile),
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
        Command::Validate(file) => Ok(validate(&file)),
        Command::Schema => schema(),
        Command::HashPassword => hash_password(),
        Command::Healthcheck(file) => Ok(healthcheck(&file)),
        Command::Sessions(Sessions::ClearExpired(file)) => clear_expired(&file),
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
    let running = app::start(&config, Arc::new(SteadyClock::start())).map_err(anyhow::Error::msg)?;
    for address in running.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = running.admin_address() {
        tracing::info!(%address, "listening for operators");
    }
    signals.wait_for_the_end();
    stop(running);
    Ok(ExitCode::SUCCESS)
}

fn show_demo(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let demo = demo::start(listen)?;
    print!("{}", demo.welcome());
    std::io::stdout().flush().context("standard output")?;
    signals.wait_for_the_end();
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

fn healthcheck(file: &ConfigFile) -> ExitCode {
    match ask(file, "GET", "/readyz") {
        Ok((status, body)) => {
            println!("{status} {body}");
            if status == "200" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("cloakroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn clear_expired(file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let (status, body) = ask(file, "POST", admin::CLEAR_EXPIRED)?;
    let deleted = serde_json::from_str::<serde_json::Value>(&body).ok().and_then(|body| body["deleted"].as_u64());
    match deleted {
        Some(1) => println!("1 expired session deleted"),
        Some(deleted) => println!("{deleted} expired sessions deleted"),
        None => bail!("the gateway answered {status} {body}"),
    }
    Ok(ExitCode::SUCCESS)
}

const ADMIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Status and body of the running gateway's answer to its operator.
fn ask(file: &ConfigFile, method: &str, path: &str) -> anyhow::Result<(String, String)> {
    let loaded = config::load(&file.config, &|name| std::env::var(name).ok());
    let config = loaded.map_err(|problems| anyhow::anyhow!("{problems}"))?.config;
    let address = config.admin.address.context("admin.address is null: there is nobody to ask")?;
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, ADMIN_TIMEOUT)?;
        stream.set_read_timeout(Some(ADMIN_TIMEOUT))?;
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.take(64 * 1024).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().with_context(|| format!("no answer from {address}{path}: is the gateway running?"))?;
    let status = answer.split_whitespace().nth(1).unwrap_or("no status");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status.to_owned(), body.to_owned()))
}

/// The signals that end the process, and the one that does not.
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

    /// Returns when the process is asked to end.
    fn wait_for_the_end(self) {
        let Self { runtime, mut terminate, mut interrupt, mut hang_up } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hang_up.recv() => tracing::warn!(
                        "SIGHUP: users file and certificates are re-read when they change; for the rest of the configuration, restart"
                    ),
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
