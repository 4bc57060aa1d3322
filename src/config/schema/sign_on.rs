//! Sign-on: how the gateway signs a user on to an app that has a login of its own.
//!
//! Compiled by the module `sign_on`; `config::check` refuses what could never succeed. Secrets are read, and the
//! accounts of a file filled in, before that.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Duration, Expired, ObservedLogout, StatusPattern, shapes};
use crate::config::Secret;

/// Signs the user on to the app: by its login form, by JSON, or by HTTP authentication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignOn {
    /// The page with the app's login form, fetched first; null = the credentials are posted at once.
    pub login_page: Option<String>,
    /// Id, name or action of the form; null = the first with a password field.
    pub form: Option<String>,
    /// Where the credentials are posted; null = where the form says, else `login_page`.
    pub action: Option<String>,
    /// Fields to fill in, with templates of `{user}`, `{password}`, `{email}` and `{name}`; empty = the form's password
    /// field and the text field before it.
    pub fields: BTreeMap<String, String>,
    /// Whether the fields are sent as a JSON object; those that begin with `/` are pointers (RFC 6901) into it.
    pub json: bool,
    /// Headers that repeat the value of a cookie which `login_page` sets: header → name of the cookie, or its beginning
    /// with `*`.
    pub cookie_headers: BTreeMap<String, String>,
    /// Whose credentials.
    pub credentials: Credentials,
    /// Answers that mean that the app has let the user in; null = a redirect that does not lead to `login_page`, or with
    /// `json` 2xx.
    pub success: Option<SignOnSuccess>,
    /// Answers that mean that the app's own session has run out; null = 401, or a redirect to `login_page`.
    pub expired: Option<Expired>,
    /// The request by which people sign out of the app, or a list of them; it ends the session here too.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<ObservedLogout>")]
    pub logout: Vec<ObservedLogout>,
    /// `Authorization: Basic` (RFC 7617) with each request, instead of a form.
    pub basic: bool,
    /// `Authorization: Digest` (RFC 7616, RFC 2617) as the app asks for it, instead of a form.
    pub digest: bool,
    /// How long the app may take for each answer on the way.
    pub timeout: Duration,
}

impl Default for SignOn {
    fn default() -> Self {
        Self {
            login_page: None,
            form: None,
            action: None,
            fields: BTreeMap::new(),
            json: false,
            cookie_headers: BTreeMap::new(),
            credentials: Credentials::default(),
            success: None,
            expired: None,
            logout: Vec::new(),
            basic: false,
            digest: false,
            timeout: Duration::seconds(10),
        }
    }
}

/// Whose credentials the app is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Credentials {
    /// `typed`: those that were typed into the gateway's own form.
    #[default]
    Typed,
    /// Those of a file, or of one account for everybody.
    Kept(KeptCredentials),
}

/// Credentials that lie with the gateway: a file, or one account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeptCredentials {
    /// A YAML mapping: the gateway's user → `{ username, password }` at the app.
    pub file: Option<PathBuf>,
    /// One account for all users, instead of a file.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A file that holds the password, instead of `password`.
    pub password_file: Option<PathBuf>,
    /// What the file holds.
    #[serde(skip)]
    pub accounts: BTreeMap<String, AppAccount>,
}

/// One account at the app.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AppAccount {
    /// Its name there.
    pub username: String,
    /// Its password there.
    pub password: Option<Secret>,
}

/// Answers that mean success. All that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignOnSuccess {
    /// `200`, `2xx` or a list of such; none = 2xx and 3xx.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<StatusPattern>")]
    pub status: Vec<StatusPattern>,
    /// The path to which the answer redirects, or its beginning with `*`; parameters of its query may follow.
    pub location: Option<String>,
    /// A path to which it must not redirect, or its beginning with `*`; parameters of its query may follow.
    pub location_not: Option<String>,
    /// A cookie that the answer sets.
    pub set_cookie: Option<String>,
    /// JSON pointers (RFC 6901) into the answer, and the values that must stand there.
    pub json: BTreeMap<String, Value>,
    /// A regular expression that the answer's body must match.
    pub body: Option<String>,
    /// A regular expression that it must not match.
    pub body_not: Option<String>,
    /// A page that only those can see who are signed in; asked after the login.
    pub probe: Option<SignOnProbe>,
}

/// A page that shows whether the login has worked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignOnProbe {
    /// Where it is; asked with GET. It must answer 2xx.
    pub path: String,
    /// A JSON pointer to a name that must stand there.
    pub json: Option<String>,
    /// A regular expression that it must match.
    pub regex: Option<String>,
}
