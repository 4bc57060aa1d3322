//! Sign-ins to apps that have their own form: guessing there is slowed down as it is at ours.
//!
//! Asked by `pipeline` for routes with `observe`, before the app sees a password and after it has answered. Accounts are
//! those of the app: whoever may register there under the name of one of ours must not thereby clear its failures.

use std::net::IpAddr;

use super::Auth;
use super::regulation::Banned;
use super::users::canonical_name;
use crate::clock::Timestamp;
use crate::session::VaultId;

/// A try to sign in to an app.
#[derive(Debug)]
pub struct Try {
    /// The app's account, if it is known which.
    account: Option<String>,
    /// As typed, for the log.
    user: Option<String>,
    address: IpAddr,
    now: Timestamp,
}

impl Try {
    /// Of somebody at `address` to be `user` at `app`.
    #[must_use]
    pub fn new(app: VaultId, user: Option<String>, address: IpAddr, now: Timestamp) -> Self {
        let account = user.as_deref().map(|user| format!("{:?}\0{}", app.as_bytes(), canonical_name(user)));
        Self { account, user, address, now }
    }

    fn logged(&self) -> Option<&str> {
        self.user.as_deref().map(super::form::in_the_log)
    }
}

impl Auth {
    /// Whether the app may be asked.
    ///
    /// # Errors
    /// [`Banned`].
    pub fn check_try(&self, tried: &Try) -> Result<(), Banned> {
        self.regulation.check(tried.account.as_deref(), tried.address, tried.now).inspect_err(|banned| {
            tracing::warn!(event = "login_banned", user = tried.logged(), address = %tried.address, retry_after_s = banned.retry_after.as_secs(), "sign-in to an app refused: too many failures");
        })
    }

    /// The app has answered, and let the user in or not.
    ///
    /// # Errors
    /// [`Banned`] when a ban began meanwhile, whatever the app says: see [`Regulation`](super::regulation::Regulation).
    pub fn count_try(&self, tried: &Try, has_succeeded: bool) -> Result<(), Banned> {
        let Try { account, address, now, .. } = tried;
        if has_succeeded {
            return self.regulation.succeeded(account.as_deref(), *address, *now);
        }
        tracing::warn!(event = "login_failed", user = tried.logged(), %address, "sign-in to an app failed");
        self.regulation.failed(account.as_deref(), *address, *now)
    }
}
