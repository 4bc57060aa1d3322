//! Observed login: how an app's own sign-in is told from its answers, and who signed in.
//!
//! Compiled by the module `observe`; `config::check` refuses what could be mistaken for a success.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Duration, StatusPattern, shapes};

/// Learns the user from the app's own login.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Observe {
    /// The request that signs in, or a list of them.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<ObservedLogin>")]
    pub login: Vec<ObservedLogin>,
    /// The request that signs out, or a list of them.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<ObservedLogout>")]
    pub logout: Vec<ObservedLogout>,
    /// Where the app asks people to sign in; null = the path of `login`. On a protected route strangers are sent
    /// there; `{path}` stands for where they wanted to go.
    pub login_page: Option<String>,
    /// Paths that strangers may see on a protected route besides the login page, such as its pictures.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<String>")]
    pub public_paths: Vec<String>,
    /// Answers that mean that the app has forgotten the user; null = a redirect to the login page.
    pub expired: Option<Expired>,
    /// A page of the app that says who is signed in; asked after each sign-in.
    pub probe: Option<Probe>,
    /// Whether failures count: then `login.regulation` slows guessing down.
    pub regulation: bool,
}

impl Default for Observe {
    fn default() -> Self {
        Self {
            login: Vec::new(),
            logout: Vec::new(),
            login_page: None,
            public_paths: Vec::new(),
            expired: None,
            probe: None,
            regulation: true,
        }
    }
}

/// A request that signs in, and the answers that mean success. All that is given must fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ObservedLogin {
    /// A method or a list of them.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<String>")]
    pub method: Vec<String>,
    /// A path, or the beginning of paths if it ends in `*`.
    pub path: String,
    /// Parameters of the query that must be there with these values.
    pub query: BTreeMap<String, String>,
    /// Fields of the form or of the JSON body that must be there with these values; `*` = with any, but not empty.
    pub form: BTreeMap<String, String>,
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
    /// Who has signed in; null = the `probe` says.
    pub user: Option<UserSource>,
}

impl Default for ObservedLogin {
    fn default() -> Self {
        Self {
            method: vec!["POST".into()],
            path: String::new(),
            query: BTreeMap::new(),
            form: BTreeMap::new(),
            status: Vec::new(),
            location: None,
            location_not: None,
            set_cookie: None,
            json: BTreeMap::new(),
            body: None,
            body_not: None,
            user: None,
        }
    }
}

/// Where the user's name stands: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserSource {
    /// A field of the form that was sent, or of the JSON object; `/a/b` is a JSON pointer.
    pub form: Option<String>,
    /// The name in `Authorization: Basic`.
    pub basic: bool,
    /// A header of the answer.
    pub header: Option<String>,
    /// A JSON pointer into the answer.
    pub json: Option<String>,
    /// A regular expression on the answer's body; its first group is the name.
    pub regex: Option<String>,
    /// This name, for an app with one password and no names.
    pub fixed: Option<String>,
}

/// A request that signs out, and the answers that mean that it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ObservedLogout {
    /// A method or a list of them; none = any.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<String>")]
    pub method: Vec<String>,
    /// A path, or the beginning of paths if it ends in `*`.
    pub path: String,
    /// Parameters of the query that must be there with these values.
    pub query: BTreeMap<String, String>,
    /// Fields of the form or of the JSON body that must be there with these values.
    pub form: BTreeMap<String, String>,
    /// `200`, `2xx` or a list of such; none = 2xx and 3xx.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<StatusPattern>")]
    pub status: Vec<StatusPattern>,
}

/// Answers that mean that the app's own session has run out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expired {
    /// `401`, `3xx` or a list of such; none = 3xx, or with `delete_cookie` any.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<StatusPattern>")]
    pub status: Vec<StatusPattern>,
    /// The path to which they redirect, or its beginning with `*`; null = the login page for redirects, or with
    /// `delete_cookie` anywhere.
    pub location: Option<String>,
    /// A cookie that they delete, or the beginning of its name with `*`.
    pub delete_cookie: Option<String>,
}

/// A page that says who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// Where it is; asked with GET, and the app's cookies.
    pub path: String,
    /// A JSON pointer (RFC 6901) to the user's name.
    pub json: Option<String>,
    /// A regular expression whose first group is the user's name.
    pub regex: Option<String>,
    /// JSON pointer to the name for people.
    pub name: Option<String>,
    /// JSON pointer to the e-mail address.
    pub email: Option<String>,
    /// JSON pointer to a list of groups, or a text with commas.
    pub groups: Option<String>,
    /// How long the app may take to answer.
    pub timeout: Duration,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            path: String::new(),
            json: None,
            regex: None,
            name: None,
            email: None,
            groups: None,
            timeout: Duration::seconds(5),
        }
    }
}
