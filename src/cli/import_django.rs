//! `cloakroom import django`: the sessions of a Django app into the configured store, so that nobody is signed out.
//!
//! `sources` reads tables and directories, `session::django` what stands in them, `session::Manager::adopt` keeps it.
//! No session id is ever printed: rows are named by their number and, where there is one, the handle.

mod postgres;
mod sources;
mod sqlite;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use self::sources::{Found, Source, UserTable};
use self::tally::{Outcome, Progress, Tally};
use crate::clock::{Clock, SteadyClock, Timestamp};
use crate::config::schema::{self, StoreType};
use crate::config::{self, Config};
use crate::session::django::{End, Ended, Flaw, Keys, Settings, Users, Zone, read};
use crate::session::{AdoptError, Adoption, Foreign, Keyring, Manager};
use crate::{storage, telemetry};

/// So many wait for the store at once: it commits them together.
const AT_ONCE: usize = 128;

/// How long the store may take to keep one session.
const PATIENCE: schema::Duration = schema::Duration::seconds(30);

/// What `cloakroom import django` is told.
#[derive(clap::Args)]
pub struct Options {
    /// The configuration file, which names the store
    #[arg(long, value_name = "FILE", env = "CLOAKROOM_CONFIG", default_value = "cloakroom.yaml")]
    config: PathBuf,
    /// Django's database: postgres://user:password@host/name?sslmode=verify-full&sslrootcert=/path, sqlite:///path, or
    /// the path of an SQLite file
    #[arg(long, value_name = "URL", env = "DJANGO_DATABASE_URL", hide_env_values = true)]
    #[arg(required_unless_present = "directory")]
    database: Option<String>,
    /// SESSION_FILE_PATH, for the file engine; users then come from --database, if given
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// A file with SECRET_KEY in its first line and SECRET_KEY_FALLBACKS in those below; else $DJANGO_SECRET_KEY
    #[arg(long, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// Only say what would be imported
    #[arg(long)]
    dry_run: bool,
    /// End with exit code 1 if anything was unreadable
    #[arg(long)]
    strict: bool,
    /// Table of sessions
    #[arg(long, value_name = "TABLE", default_value = "django_session")]
    session_table: String,
    /// Table of users [default: auth_user]
    #[arg(long, value_name = "TABLE")]
    user_table: Option<String>,
    /// Its column that names a user
    #[arg(long, value_name = "COLUMN", default_value = "username")]
    user_column: String,
    /// Its primary key
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    user_key: String,
    /// Class name of the session store, if it is one of your own
    #[arg(long, value_name = "CLASS", default_value = "SessionStore")]
    session_class: String,
    /// SESSION_COOKIE_NAME; the names of session files begin with it
    #[arg(long, value_name = "NAME", default_value = "sessionid")]
    cookie_name: String,
    /// SESSION_COOKIE_AGE in seconds: how long sessions live that were told nothing else
    #[arg(long, value_name = "SECONDS", default_value = "1209600")]
    cookie_age: u64,
    /// TIME_ZONE, such as Europe/Berlin or +05:45, if the app has USE_TZ = False (or its DATABASES a TIME_ZONE): needed
    /// for SQLite, for session files, and for a column `timestamp without time zone`; Django's tables in PostgreSQL
    /// have no such column. Without it, a time that names no offset is believed only if the session shows that it is
    /// UTC
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<Zone>,
}

/// Reads, keeps, and says how many there were.
///
/// # Errors
/// What went wrong, for the person who typed the command. What was imported until then stays.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut config = load(options)?;
    // Nobody waits for a page.
    config.store.timeout = PATIENCE;
    if config.store.kind == StoreType::Memory {
        bail!("store.type is memory: what is imported would be gone with this command; choose disk, redis or postgres");
    }
    let keys = Arc::new(secret_keys(options)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let tally = runtime.block_on(async {
        let mut source = Source::open(options).await?;
        let total = source.count().await?;
        let users = Arc::new(users(&mut source, options).await?);
        let keyring = Keyring::from_config(&config.session.keys, &config.data_dir)?;
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::start());
        // It names its causes itself; the chain would repeat them.
        let storage = storage::open(&config, &clock, runtime.handle()).map_err(anyhow::Error::msg)?;
        let manager = Arc::new(Manager::new(&config.session, None, keyring, storage.store, storage.at_rest));
        warn_of_another_cookie(&manager, &options.cookie_name);
        let settings = Arc::new(options.settings());
        let import = Import { manager, keys, users, settings, now: clock.now(), rehearse: options.dry_run };
        import.all(&mut source, total).await
    })?;
    println!("{}", tally.text(options.dry_run));
    Ok(if options.strict && tally.unreadable > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn load(options: &Options) -> anyhow::Result<Config> {
    let loaded = config::load(&options.config, &|name| std::env::var(name).ok());
    let loaded = loaded.map_err(|problems| anyhow::anyhow!("{problems}"))?;
    telemetry::log::init(&loaded.config.log);
    Ok(loaded.config)
}

fn secret_keys(options: &Options) -> anyhow::Result<Keys> {
    let text = Zeroizing::new(match &options.secret_key_file {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
        None => std::env::var("DJANGO_SECRET_KEY").context(
            "Django's SECRET_KEY is needed: --secret-key-file FILE, or DJANGO_SECRET_KEY in the environment",
        )?,
    });
    let keys: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    if keys.is_empty() {
        bail!(
            "there is no SECRET_KEY in {}",
            if options.secret_key_file.is_some() { "the file" } else { "DJANGO_SECRET_KEY" }
        );
    }
    Ok(Keys::new(keys, &options.session_class))
}

/// `None`: users are named by their ids.
async fn users(source: &mut Source, options: &Options) -> anyhow::Result<Option<Users>> {
    let table = UserTable {
        name: options.user_table.as_deref().unwrap_or("auth_user"),
        key: &options.user_key,
        user: &options.user_column,
    };
    match source.users(&table).await? {
        Some(users) => Ok(Some(users)),
        None if options.user_table.is_some() => bail!("there is no table {} to take users from", table.name),
        None => {
            eprintln!(
                "cloakroom: warning: there is no table auth_user (see --user-table): users are named by their ids, and \
                 neither deleted or inactive users nor changed passwords are noticed"
            );
            Ok(None)
        }
    }
}

/// What browsers send must be what the gateway looks for.
fn warn_of_another_cookie(manager: &Manager, name: &str) {
    if !manager.cookie_names().iter().any(|known| **known == *name) {
        eprintln!(
            "cloakroom: warning: Django's cookie is called {name} (see --cookie-name), and the gateway does not know it: \
             add it to session.cookie.previous_names"
        );
    }
}

/// One import under way.
#[derive(Clone)]
struct Import {
    manager: Arc<Manager>,
    keys: Arc<Keys>,
    users: Arc<Option<Users>>,
    settings: Arc<Settings>,
    now: Timestamp,
    rehearse: bool,
}

/// Why all of it ends here.
#[derive(Debug, thiserror::Error)]
#[error("row {number}, and not all was imported; what was, stays")]
struct Stopped {
    number: usize,
    source: AdoptError,
}

impl Import {
    async fn all(&self, source: &mut Source, total: usize) -> anyhow::Result<Tally> {
        let mut progress = Progress::of(total);
        let mut under_way = JoinSet::new();
        let mut number = 0;
        loop {
            let rows = source.next().await?;
            if rows.is_empty() {
                break;
            }
            for found in rows {
                number += 1;
                let import = self.clone();
                under_way.spawn(async move { import.row(number, &found).await });
                if under_way.len() >= AT_ONCE {
                    progress.take(under_way.join_next().await.transpose()?.transpose()?);
                }
            }
        }
        while !under_way.is_empty() {
            progress.take(under_way.join_next().await.transpose()?.transpose()?);
        }
        Ok(progress.end())
    }

    async fn row(&self, number: usize, found: &Found) -> Result<Outcome, Stopped> {
        let row = found.end.and_then(|end| read(&self.keys, &found.data, end, &self.settings));
        let row = match row {
            Ok(row) => row,
            Err(Flaw::Zone) if found.end.is_ok_and(|end| end.is_over_everywhere(self.now)) => {
                return Ok(Outcome::Expired);
            }
            Err(flaw) => return Ok(self.unreadable(number, found, &flaw)),
        };
        // First, so that the dead are counted as such, whoever they were.
        if row.end <= self.now {
            return Ok(Outcome::Expired);
        }
        let user = match (&row.login, &*self.users) {
            (None, _) => None,
            (Some(login), None) => Some(login.user.clone()),
            (Some(login), Some(users)) => match users.name(&self.keys, login) {
                Ok(name) => Some(name.to_owned()),
                Err(Ended::Gone | Ended::Inactive | Ended::Password) => return Ok(Outcome::Ended),
            },
        };
        let (signed_in, changed) = (user.is_some(), row.changed);
        let session = Foreign { user, data: row.data, expiry: row.expiry, end: row.end, saved: row.saved };
        match self.manager.adopt(&found.key, session, self.now, self.rehearse).await {
            Ok(Adoption::Done) => Ok(Outcome::Imported { signed_in, changed }),
            Ok(Adoption::Known) => Ok(Outcome::Known),
            Ok(Adoption::Expired) => Ok(Outcome::Expired),
            Err(source @ (AdoptError::Store(_) | AdoptError::Random(_))) => Err(Stopped { number, source }),
            Err(flaw) => Ok(self.unreadable(number, found, &flaw)),
        }
    }

    /// SECURITY: a row is never named by its key, which may be a living id.
    fn unreadable(&self, number: usize, found: &Found, why: &dyn std::fmt::Display) -> Outcome {
        let handle = self.manager.handle_of(&found.key).map(|handle| format!(" (handle {handle})"));
        Outcome::Unreadable(format!("row {number}{}: {why}", handle.unwrap_or_default()))
    }
}

impl Options {
    fn settings(&self) -> Settings {
        Settings { zone: self.time_zone.clone(), cookie_age: Duration::from_secs(self.cookie_age) }
    }
}

impl Found {
    /// A row whose end is known, or why it is not.
    fn new(key: String, data: String, end: Result<End, Flaw>) -> Self {
        Self { key: Zeroizing::new(key), data, end }
    }
}
