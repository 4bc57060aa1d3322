//! The log on standard error: text on a terminal, JSON lines otherwise.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{EnvFilter, reload};

use crate::config::schema::{Log, LogLevel};

/// Puts another filter in place of the log's.
type Change = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// The log is the process's, and so is the way to change it.
static CHANGE: OnceLock<Change> = OnceLock::new();

/// Starts the log of this process. A second call changes nothing.
pub fn init(config: &Log) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(config.level)).with_writer(std::io::stderr);
    let builder = builder.with_target(false);
    // An error means that a log was started before, as in tests.
    let started = match std::io::stderr().is_terminal() {
        true => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| change(move |filter| handle.reload(filter)))
        }
        false => {
            let builder = builder.json().flatten_event(true).with_ansi(false).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| change(move |filter| handle.reload(filter)))
        }
    };
    if let Ok(change) = started {
        let _ = CHANGE.set(change);
    }
}

/// From now on this level; nothing where no log was started.
pub fn set_level(level: LogLevel) {
    if let Some(change) = CHANGE.get() {
        change(filter(level));
    }
}

fn change(reload: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static) -> Change {
    Box::new(move |filter| {
        if let Err(error) = reload(filter) {
            tracing::error!(%error, "the level of the log could not be changed");
        }
    })
}

fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // SECURITY: our own lines only; hyper and h2 print header values, cookies among them, at debug level.
    EnvFilter::new(format!("off,cloakroom={level}"))
}
