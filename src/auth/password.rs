//! Checks passwords off the workers: a few at a time, the rest in a short queue, no more.
//!
//! The sign-in form calls [`Hasher::verify`] once per try, also for names that do not exist. Proxied traffic must
//! not notice: the hashing runs on the blocking pool and leaves at least half of the cores alone.

use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::hash::{self, MAX_PASSWORD_BYTES, Scheme};
use super::users::{Account, Users};

/// Tries that may wait for their turn: about two seconds' worth on two cores.
const QUEUE: usize = 64;

/// Too many passwords are waiting to be checked; for 503 with `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many sign-ins at once")]
pub struct Busy;

/// The bounded place where passwords are checked; one for the process.
#[derive(Debug, Clone)]
pub struct Hasher {
    /// Tries at work or waiting.
    places: Arc<Semaphore>,
    /// Tries at work: each takes a core, and 19 MiB with our own parameters.
    permits: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher {
    /// Half of the cores at work, at least one, and 64 tries waiting.
    #[must_use]
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::bounded((cores / 2).max(1), QUEUE)
    }

    fn bounded(at_work: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_work.saturating_add(waiting))),
            permits: Arc::new(Semaphore::new(at_work)),
        }
    }

    /// Whether `password` opens `account` (as [`Users::find`] returned it).
    ///
    /// SECURITY: no account, a disabled one, one without a usable hash and a password over 1024 bytes are answered
    /// `false` after checking a dummy of the scheme most accounts use, so that the time taken tells them from a
    /// wrong password no more than the answer does. In a table of mixed schemes the minority still differs.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full; nothing was checked.
    pub async fn verify(
        &self,
        users: &Users,
        account: Option<&Account>,
        password: Zeroizing<String>,
    ) -> Result<bool, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Busy)?;
        let attempt = Attempt::new(users, account, password);
        // The permits move along: a client that hangs up must not make room while its hash is still computed.
        let task = spawn_blocking(move || {
            let _held = (place, permit);
            attempt.run()
        });
        task.await.map_err(|error| {
            tracing::error!(%error, "checking a password failed");
            Busy
        })
    }
}

/// One try, with what is compared already decided.
struct Attempt {
    hash: Zeroizing<String>,
    password: Zeroizing<String>,
    may_succeed: bool,
}

impl Attempt {
    fn new(users: &Users, account: Option<&Account>, password: Zeroizing<String>) -> Self {
        let usable = account
            .filter(|account| !account.disabled && password.len() <= MAX_PASSWORD_BYTES)
            .map(|account| account.password.reveal())
            .filter(|hash| Scheme::of(hash).is_some());
        match usable {
            Some(hash) => Self { hash: Zeroizing::new(hash.to_owned()), password, may_succeed: true },
            None => Self { hash: Zeroizing::new(users.dummy().reveal().to_owned()), password, may_succeed: false },
        }
    }

    fn run(self) -> bool {
        hash::verify(&self.hash, &self.password) && self.may_succeed
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::tests::{argon2id_of, bcrypt_of};
    use super::*;
    use crate::config::schema::{Form, User};

    fn user(name: &str, hash: &str) -> User {
        User { name: name.into(), password: Some(hash.to_owned().into()), ..User::default() }
    }

    fn users(users: Vec<User>) -> Users {
        Users::from_config(&Form { users, ..Form::default() }, |_, _| unreachable!("no file")).unwrap()
    }

    fn attempt(users: &Users, name: &str, password: &str) -> Attempt {
        Attempt::new(users, users.find(name).as_deref(), Zeroizing::new(password.into()))
    }

    #[tokio::test]
    async fn each_kind_of_hash_opens_for_its_password_only() {
        let users = users(vec![user("alice", &argon2id_of("apple")), user("bob", &bcrypt_of("pear"))]);
        let hasher = Hasher::new();
        for (name, password, expected) in
            [("alice", "apple", true), ("alice", "pear", false), ("bob", "pear", true), ("bob", "apple", false)]
        {
            let account = users.find(name);
            let opened = hasher.verify(&users, account.as_deref(), Zeroizing::new(password.into())).await;
            assert_eq!(opened, Ok(expected), "{name} {password}");
        }
    }

    #[test]
    fn whoever_cannot_sign_in_costs_what_the_others_cost() {
        let disabled = User { disabled: true, ..user("carol", &argon2id_of("plum")) };
        let table = vec![user("alice", &bcrypt_of("apple")), user("bob", &bcrypt_of("x")), disabled, user("dave", "!")];
        let users = users(table);
        for (name, password) in [("nobody", "apple"), ("carol", "plum"), ("dave", "!"), ("alice", &"a".repeat(1025))] {
            let attempt = attempt(&users, name, password);
            assert_eq!(Scheme::of(&attempt.hash), Some(Scheme::Bcrypt { cost: 4 }), "{name}");
            assert!(!attempt.may_succeed && !attempt.run(), "{name}");
        }
    }

    #[test]
    fn a_disabled_account_does_not_open_for_its_own_password() {
        let users = users(vec![User { disabled: true, ..user("carol", &argon2id_of("plum")) }]);
        assert!(!attempt(&users, "carol", "plum").run());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let users = users(vec![user("alice", &argon2id_of("apple"))]);
        let hasher = Hasher::bounded(1, 1);
        let at_work = Arc::clone(&hasher.permits).acquire_owned().await.unwrap();
        let _its_place = Arc::clone(&hasher.places).acquire_owned().await.unwrap();
        let account = users.find("alice");
        let mut waiting = Box::pin(hasher.verify(&users, account.as_deref(), Zeroizing::new("apple".into())));
        assert!(poll_once(&mut waiting).is_none(), "the second waits");
        let refused = hasher.verify(&users, account.as_deref(), Zeroizing::new("apple".into())).await;
        assert_eq!(refused, Err(Busy));
        drop(at_work);
        assert_eq!(waiting.await, Ok(true));
    }

    fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
