//! Reload: the configuration file is read again, and the next generation takes the place of this one.
//!
//! `app` makes one [`Reload`]; SIGHUP and `POST /api/v1/reload` run it. All or nothing, as with nginx, HAProxy and
//! Caddy: after a success the whole file is in force, and after anything else nothing has changed. So a change that
//! only a restart can make (`fixed`) refuses the whole file and is named, rather than left out in silence: what runs
//! would then be nobody's configuration, and the next restart would bring a surprise. Must not touch what workers
//! hold: they take up the next generation themselves (`pipeline::Worker`).

mod fixed;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use crate::auth::users::Users;
use crate::auth::users_file::{self, Watch};
use crate::clock::{Clock, Timestamp};
use crate::config::schema::Limits;
use crate::config::{self, Config, Loaded, Places, Problem, Problems};
use crate::gateway::{BuildError, Current, Gateway};
use crate::server::Connections;
use crate::session::Keyring;
use crate::telemetry;

/// The way from a changed file to the next generation.
pub struct Reload {
    file: Option<PathBuf>,
    parts: Parts,
    state: Mutex<State>,
    successful: AtomicBool,
    success: AtomicU64,
}

/// What a reload changes, and what it needs for that.
pub struct Parts {
    /// The generation in force.
    pub current: Arc<Current>,
    /// Those of new connections.
    pub limits: Arc<ArcSwap<Limits>>,
    /// How many there may be.
    pub connections: Connections,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where sessions are ended whose user is gone.
    pub control: Handle,
}

/// One reload at a time holds this.
struct State {
    /// What is in force.
    config: Config,
    /// Follows the users file.
    watch: Option<Watch>,
}

/// A reload that has put the file in force.
#[derive(Debug)]
pub struct Done {
    /// The number of the new generation.
    pub generation: u64,
    /// What works but is weak.
    pub warnings: Vec<Problem>,
}

/// Why nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration did not come from a file.
    #[error("the configuration of this gateway stands in no file: restart it to change it")]
    NoFile,
    /// The file cannot be put in force.
    #[error(transparent)]
    Refused(Problems),
}

/// What became of the last reload; the start counts as one.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    /// Whether the file was put in force.
    pub successful: bool,
    /// When one was last.
    pub success: Timestamp,
}

impl Reload {
    /// For a gateway that runs with `config`, which stands in `file`. From now on the users file is followed.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(file: Option<&Path>, config: &Config, parts: Parts) -> io::Result<Self> {
        let watch = parts.follow_users()?;
        let state = Mutex::new(State { config: config.clone(), watch });
        let success = AtomicU64::new(parts.clock.now().0);
        Ok(Self { file: file.map(Into::into), parts, state, successful: AtomicBool::new(true), success })
    }

    /// Reads the file and puts it in force, or leaves everything as it is; the log says which. Blocks: not for workers.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn run(&self) -> Result<Done, Failure> {
        let mut state = self.state();
        let result =
            self.next(&state.config).map(|(loaded, gateway)| self.parts.put_in_force(&mut state, loaded, gateway));
        self.successful.store(result.is_ok(), Ordering::Relaxed);
        match &result {
            Ok(done) => {
                self.success.store(self.parts.clock.now().0, Ordering::Relaxed);
                done.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                tracing::info!(generation = done.generation, "configuration reloaded");
            }
            Err(failure) => failure.log(),
        }
        result
    }

    /// What became of the last one.
    #[must_use]
    pub fn last(&self) -> Last {
        let success = Timestamp(self.success.load(Ordering::Relaxed));
        Last { successful: self.successful.load(Ordering::Relaxed), success }
    }

    /// Stops following the users file.
    pub fn stop(&self) {
        let watch = self.state().watch.take();
        drop(watch);
    }

    /// The next generation, in which nobody has a part yet.
    fn next(&self, in_force: &Config) -> Result<(Loaded, Gateway), Failure> {
        let file = self.file.as_deref().ok_or(Failure::NoFile)?;
        let loaded = config::load(file, &|name| std::env::var(name).ok()).map_err(Failure::Refused)?;
        let list = fixed::changes(in_force, &loaded);
        if !list.is_empty() {
            return Err(Failure::Refused(Problems { list, more: 0 }));
        }
        let config = &loaded.config;
        // Keys that stay are not read again: the generated one counts even if its file has gone meanwhile.
        let keyring = (config.session.keys != in_force.session.keys)
            .then(|| Keyring::from_config(&config.session.keys, &config.data_dir))
            .transpose()
            .map_err(|error| refused(loaded.places.problem("session.keys", error.to_string())))?;
        let gateway = self.parts.current.load().renewed(config, keyring);
        let gateway = gateway.map_err(|error| refused(place(&error, &loaded.places)))?;
        Ok((loaded, gateway))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// Nothing here can fail: the gateway is built.
    fn put_in_force(&self, state: &mut State, loaded: Loaded, next: Gateway) -> Done {
        let Loaded { config, warnings, .. } = loaded;
        let (before, generation) = (self.current.load(), next.number);
        self.limits.store(Arc::new(config.limits.clone()));
        self.connections.limit(config.limits.max_connections);
        telemetry::log::set_level(config.log.level);
        self.current.replace(next);
        let gone = self.renew_users(before.auth.users(), state);
        // SECURITY: after the swap: whoever was signed in meanwhile is checked against the new list at their next request.
        self.end_sessions_of(gone);
        state.config = config;
        Done { generation, warnings }
    }

    /// Those whose sessions must end.
    fn renew_users(&self, before: Option<&Arc<Users>>, state: &mut State) -> Vec<String> {
        let (now, mut gone) = (self.current.load(), Vec::new());
        let followed = match (before, now.auth.users()) {
            (Some(before), Some(now)) if Arc::ptr_eq(before, now) => {
                // The loader found it good; if it was broken in this instant, its follower says so.
                gone = now.reload().unwrap_or_default();
                state.watch.is_some()
            }
            (before, now) => {
                gone.extend(before.into_iter().flat_map(|before| before.gone(now.map(Arc::as_ref))));
                false
            }
        };
        if !followed {
            state.watch = None;
            match self.follow_users() {
                Ok(watch) => state.watch = watch,
                Err(error) => tracing::error!(%error, "the users file is not followed: reload after each change of it"),
            }
        }
        gone
    }

    /// Ends the sessions of users who vanish from the users file or are disabled there.
    fn follow_users(&self) -> io::Result<Option<Watch>> {
        let now = self.current.load();
        let Some(users) = now.auth.users().filter(|users| users.file().is_some()) else { return Ok(None) };
        let (current, control) = (Arc::clone(&self.current), self.control.clone());
        let ended = move |gone| end_sessions_of(gone, &current, &control);
        users_file::watch(Arc::clone(users), ended).map(Some)
    }

    fn end_sessions_of(&self, gone: Vec<String>) {
        end_sessions_of(gone, &self.current, &self.control);
    }
}

fn end_sessions_of(gone: Vec<String>, current: &Arc<Current>, control: &Handle) {
    for user in gone {
        let gateway = current.load();
        control.spawn(async move {
            if let Err(error) = gateway.sessions.revoke_user(&user).await {
                tracing::error!(%error, user, "the sessions of a removed user could not be ended");
            }
        });
    }
}

impl Failure {
    fn log(&self) {
        match self {
            Self::NoFile => tracing::error!("configuration not reloaded: {self}"),
            Self::Refused(problems) => {
                for problem in &problems.list {
                    tracing::error!("{problem}");
                }
                tracing::error!(problems = problems.count(), "configuration not reloaded: it stays as it was");
            }
        }
    }
}

fn refused(problem: Problem) -> Failure {
    Failure::Refused(Problems { list: vec![problem], more: 0 })
}

/// What the loader could not know, at its place in the file.
fn place(error: &BuildError, places: &Places) -> Problem {
    let message = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    places.problem(&error.path(), message)
}
