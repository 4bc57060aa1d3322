//! How people sign in.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;
use crate::config::Secret;

/// Sign-in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// The gateway's own sign-in form; null = none.
    pub form: Option<Form>,
    /// When repeated failures are refused.
    pub regulation: Regulation,
    /// Heading of the sign-in page.
    pub title: String,
    /// Directory whose `*.html` files replace the built-in pages of the same name.
    pub templates_dir: Option<PathBuf>,
}

impl Default for Login {
    fn default() -> Self {
        Self { form: None, regulation: Regulation::default(), title: "Sign in".into(), templates_dir: None }
    }
}

/// Users of the sign-in form: a file, or a list in place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Form {
    /// A YAML list of users, re-read when it changes.
    pub users_file: Option<PathBuf>,
    /// The users themselves, instead of a file.
    pub users: Vec<User>,
}

/// One person who may sign in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct User {
    /// What is typed into the form, compared without regard to case.
    pub name: String,
    /// An argon2id or bcrypt hash, as `cloakroom hash-password` prints.
    pub password: Option<Secret>,
    /// A file that holds the hash, instead of `password`.
    pub password_file: Option<PathBuf>,
    /// For `{name}`.
    pub display_name: Option<String>,
    /// For `{email}`.
    pub email: Option<String>,
    /// For `{groups}` and `access: { groups: … }`.
    pub groups: Vec<String>,
    /// True: cannot sign in, and open sessions end.
    pub disabled: bool,
}

/// Failed sign-ins: after `max_retries` within `find_time`, an account or address waits `ban_time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Regulation {
    /// Failures that are tolerated; 0 = no regulation.
    pub max_retries: u32,
    /// The window in which failures are counted.
    pub find_time: Duration,
    /// How long further tries are refused.
    pub ban_time: Duration,
}

impl Default for Regulation {
    fn default() -> Self {
        Self { max_retries: 3, find_time: Duration::minutes(2), ban_time: Duration::minutes(5) }
    }
}
