//! Sign-in: who may come in, how a password is checked, how often it may be tried, and where to go after.
//!
//! `gateway` builds one [`Auth`]; `pipeline` asks it whether an account still stands, and hands it the
//! requests for the gateway's own pages. Whether somebody *may* do something is `policy`'s business.

pub mod csrf;
pub mod endpoints;
pub mod hash;
pub mod logins;
pub mod origin;
pub mod parked;
pub mod password;
pub mod regulation;
pub mod return_to;
pub mod users;
pub mod users_file;
pub mod watched;

mod cookie_check;
mod form;
mod logout;
mod me;

use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::config::schema;
use crate::identity::Source;
use crate::session::Session;
use logins::Logins;
use password::Hasher;
use regulation::Regulation;
use return_to::AllowedHosts;
use users::Users;

/// Everything about sign-in that follows from the configuration.
#[derive(Debug)]
pub struct Auth {
    users: Option<Arc<Users>>,
    hasher: Hasher,
    regulation: Regulation,
    hosts: AllowedHosts,
    logins: Arc<Logins>,
}

impl Auth {
    /// Compiles `login`; `hosts` are those of the routes, where sign-in may lead.
    ///
    /// # Errors
    /// When the users cannot be read.
    pub fn from_config<'a>(
        login: &schema::Login,
        hosts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, users::Error> {
        let users = login.form.as_ref().map(|form| Users::from_config(form, parse_users)).transpose()?;
        Ok(Self {
            users: users.map(Arc::new),
            hasher: Hasher::new(),
            regulation: Regulation::from_config(&login.regulation),
            hosts: AllowedHosts::from_hosts(hosts),
            logins: Arc::default(),
        })
    }

    /// The next generation: compiles `login` as [`from_config`](Self::from_config) does, and goes on with what was
    /// counted, with passwords that are being checked, and with a users file that is the same one.
    ///
    /// # Errors
    /// When the users cannot be read.
    pub fn renewed<'a>(
        &self,
        login: &schema::Login,
        hosts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, users::Error> {
        Ok(Self {
            users: login.form.as_ref().map(|form| self.renewed_users(form)).transpose()?,
            hasher: self.hasher.clone(),
            regulation: self.regulation.renewed(&login.regulation),
            hosts: AllowedHosts::from_hosts(hosts),
            logins: Arc::clone(&self.logins),
        })
    }

    /// A users file is followed by itself, whatever else changes; another list is another table.
    fn renewed_users(&self, form: &schema::Form) -> Result<Arc<Users>, users::Error> {
        match &self.users {
            Some(users) if form.users_file.is_some() && users.file() == form.users_file.as_deref() => {
                Ok(Arc::clone(users))
            }
            _ => Users::from_config(form, parse_users).map(Arc::new),
        }
    }

    /// The users table, to be watched.
    #[must_use]
    pub fn users(&self) -> Option<&Arc<Users>> {
        self.users.as_ref()
    }

    /// How sign-ins ended.
    #[must_use]
    pub fn logins(&self) -> &Logins {
        &self.logins
    }

    /// Ends a session whose account was removed or disabled, or got another password or other groups, since sign-in.
    pub fn check_account(&self, session: &mut Session) {
        let Some(identity) = session.identity().filter(|identity| identity.source == Source::Form) else { return };
        // SECURITY: without a users table nobody could have signed in: fail closed. Asked on every request, because a
        // sign-in that was under way while the file changed is in no list of sessions to end.
        let Some(users) = &self.users else { return session.revoke() };
        let generation = users.generation();
        // PERF: a session that was checked against this very table needs no look-up.
        if identity.vouched.get() == generation {
            return;
        }
        match users.proof(&identity.user) == Some(identity.proof) {
            true => identity.vouched.set(generation),
            false => session.revoke(),
        }
    }
}

/// What may stand in a query value as it is.
const QUERY_VALUE: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'&').add(b'+').add(b'<').add(b'=').add(b'>').add(b'?');

/// The address of the sign-in page, which leads back to `rd`.
#[must_use]
pub fn login_url(prefix: &str, rd: Option<&str>) -> String {
    match rd {
        Some(rd) => format!("{prefix}/login?rd={}", utf8_percent_encode(rd, QUERY_VALUE)),
        None => format!("{prefix}/login"),
    }
}

fn parse_users(text: &str, file: &str) -> Result<Vec<schema::User>, String> {
    crate::config::users::parse_users(text, file).map_err(|problems| problems.to_string())
}
