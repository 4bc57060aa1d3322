//! Whom a session of Django signs in: the rows of its user table.
//!
//! Filled by `cloakroom import django` and asked for each signed-in session. SECURITY: Django asks the same at each
//! request: a session whose user is gone, inactive or has a new password may still lie in the table, and must not
//! come to life here.

use std::collections::HashMap;

use super::{Keys, Login};

/// The users of an app by primary key.
#[derive(Default)]
pub struct Users(HashMap<String, User>);

/// One of them.
pub struct User {
    /// What the gateway calls them.
    pub name: String,
    /// `password`: the hash; `None` if the table has no such column.
    pub password: Option<String>,
    /// `is_active`; true if the table has no such column.
    pub is_active: bool,
}

/// Why a session signs nobody in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Deleted.
    #[error("its user is gone")]
    Gone,
    /// Not `is_active`.
    #[error("its user is not active")]
    Inactive,
    /// The session began under another one.
    #[error("its user has a new password")]
    Password,
}

impl Users {
    /// Takes a row.
    pub fn insert(&mut self, key: &str, user: User) {
        self.0.insert(folded(key), user);
    }

    /// The name of the user whom the session signs in.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn name(&self, keys: &Keys, login: &Login) -> Result<&str, Ended> {
        let user = self.0.get(&folded(&login.user)).ok_or(Ended::Gone)?;
        if !user.is_active {
            return Err(Ended::Inactive);
        }
        let holds = user
            .password
            .as_ref()
            .is_none_or(|password| login.hash.as_ref().is_some_and(|hash| keys.know_password(password, hash)));
        if holds { Ok(&user.name) } else { Err(Ended::Password) }
    }
}

/// Django writes UUIDs into SQLite without hyphens, and into sessions with them.
fn folded(key: &str) -> String {
    if key.len() == 36 { key.replace('-', "") } else { key.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Django's `salted_hmac` with the secret `gateway-test-secret`.
    const HASH: &str = "330f6be742cbe96ba1712175d24eb453b1f5aad140707663d6a2ac3e2051a3cd";
    const PASSWORD: &str = "pbkdf2_sha256$1000000$salt$hash";

    fn ann(password: Option<&str>, is_active: bool) -> Users {
        let mut users = Users::default();
        users.insert("7", User { name: "ann".into(), password: password.map(str::to_owned), is_active });
        users
    }

    fn name(users: &Users, key: &str, hash: Option<&str>) -> Result<String, Ended> {
        let keys = Keys::new(["gateway-test-secret"], "SessionStore");
        let login = Login { user: key.into(), hash: hash.map(str::to_owned) };
        users.name(&keys, &login).map(str::to_owned)
    }

    #[test]
    fn a_session_signs_in_whom_django_would() {
        assert_eq!(name(&ann(Some(PASSWORD), true), "7", Some(HASH)).as_deref(), Ok("ann"));
        assert_eq!(name(&ann(None, true), "7", None).as_deref(), Ok("ann"), "a table without passwords");
    }

    #[test]
    fn a_session_that_django_would_end_signs_nobody_in() {
        assert_eq!(name(&ann(Some(PASSWORD), true), "8", Some(HASH)), Err(Ended::Gone));
        assert_eq!(name(&ann(Some(PASSWORD), false), "7", Some(HASH)), Err(Ended::Inactive));
        assert_eq!(name(&ann(Some("another"), true), "7", Some(HASH)), Err(Ended::Password));
        assert_eq!(name(&ann(Some(PASSWORD), true), "7", None), Err(Ended::Password));
    }

    #[test]
    fn a_uuid_is_known_with_and_without_hyphens() {
        let mut users = Users::default();
        users.insert("8f14e45fceea467ab3e5d2a1c0b9f8e7", User { name: "ann".into(), password: None, is_active: true });
        assert_eq!(name(&users, "8f14e45f-ceea-467a-b3e5-d2a1c0b9f8e7", None).as_deref(), Ok("ann"));
    }
}
