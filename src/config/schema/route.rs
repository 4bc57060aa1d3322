//! Routes: which app answers, who may see it, and what it is told of the user.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Observe, Rule, SignOn, Size};

/// One app, or one part of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Its name in logs; default: host and path.
    pub name: Option<String>,
    /// `wiki.example.com`, `*.example.com`; null = any host.
    pub host: Option<String>,
    /// Path prefix, matched at segment boundaries; null = `/`.
    pub path: Option<String>,
    /// Whether the app sees paths without that prefix.
    pub strip_prefix: bool,
    /// Who may pass.
    pub access: Access,
    /// The app behind.
    pub upstream: Upstream,
    /// What of the app's own name and place is put right in its answers.
    pub rewrite: Rewrite,
    /// What the app is told of the user.
    pub identity: IdentityConfig,
    /// What the browser and the app see of each other's cookies.
    pub cookies: CookieHandling,
    /// Names of cookies, or their beginnings with `*`, that JavaScript must read, and may write: with `harden` they get no `HttpOnly`, with `vault`
    /// they alone pass.
    pub expose_cookies: Vec<String>,
    /// Routes that name the same vault share the cookies in it; null = one for each upstream.
    pub vault: Option<String>,
    /// Learns the user from the app's own login; null = not.
    pub observe: Option<Observe>,
    /// Signs the user on to the app; null = not.
    pub sign_on: Option<SignOn>,
    /// Whether the app sees the session's data, and may change it, by `Session-*` headers.
    pub session_headers: SessionHeaders,
    /// What happens while the session store does not answer; null = by `access`: a public route is served to
    /// everybody as a stranger unless its app sees or changes sessions.
    pub on_store_error: Option<OnStoreError>,
    /// Whether requests here keep the session alive.
    pub activity: bool,
    /// Origins of other hosts whose pages may open WebSockets here, such as `https://pages.example.com`.
    pub websocket_origins: Vec<String>,
    /// Keeps a form that is sent when the session has ended, until its user has signed in again; null = not.
    pub park: Option<Park>,
    /// What is done to the session when the app answers so and so.
    pub rules: Vec<Rule>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            name: None,
            host: None,
            path: None,
            strip_prefix: false,
            access: Access::default(),
            upstream: Upstream::default(),
            rewrite: Rewrite::default(),
            identity: IdentityConfig::default(),
            cookies: CookieHandling::default(),
            expose_cookies: Vec::new(),
            vault: None,
            observe: None,
            sign_on: None,
            session_headers: SessionHeaders::default(),
            on_store_error: None,
            activity: true,
            websocket_origins: Vec::new(),
            park: Some(Park::default()),
            rules: Vec::new(),
        }
    }
}

/// Which forms are kept when the session has ended, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Park {
    /// Larger ones are not kept, 1 KiB to 2 MiB.
    pub max_size: Size,
    /// How long, 1 m to 1 h.
    pub ttl: Duration,
}

impl Default for Park {
    fn default() -> Self {
        Self { max_size: Size::mib(1), ttl: Duration::minutes(10) }
    }
}

/// What the browser and the app see of each other's cookies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CookieHandling {
    /// All but the gateway's own.
    #[default]
    Pass,
    /// The same; `Secure`, `HttpOnly` and `SameSite=Lax` are added where they lack.
    Harden,
    /// None: the session keeps the app's cookies.
    Vault,
}

/// What of the app's own name and place is put right in its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rewrite {
    /// `Location`, `Content-Location` and `Refresh`.
    pub location: bool,
    /// `Domain` and `Path` of cookies.
    pub cookies: bool,
    /// Links in HTML pages.
    pub links: bool,
}

impl Default for Rewrite {
    fn default() -> Self {
        Self { location: true, cookies: true, links: false }
    }
}

/// Whether the app sees the session's data, and may change it, by `Session-*` headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionHeaders {
    /// Neither.
    #[default]
    None,
    /// It sees them.
    Read,
    /// It sees and changes them, and may sign people in and out.
    ReadWrite,
}

/// What happens to a request while the session store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// 503 with `Retry-After`; nobody is signed out.
    Unavailable,
    /// Served as if nobody were signed in; the cookie stays as it is.
    Anonymous,
}

/// Who may pass a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// `public`: everybody; a signed-in user is still named to the app.
    Public,
    /// `user`: anybody who is signed in.
    #[default]
    User,
    /// `{ groups: […] }`: members of at least one of the groups.
    Groups(Vec<String>),
}

/// The app behind a route: an address, or an object with `url` and more.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// `http://HOST:PORT`; without path.
    pub url: Option<String>,
    /// The `Host` header the app sees.
    pub host: HostHeader,
    /// Time to open a connection.
    pub connect_timeout: Duration,
    /// Time from the last byte of the request to the first of the response.
    pub first_byte_timeout: Duration,
    /// Time between two pieces of a response body, or of silence on a WebSocket.
    pub idle_timeout: Duration,
    /// Largest request body; more is 413. null = no bound.
    pub max_body_size: Option<Size>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            url: None,
            host: HostHeader::Preserve,
            connect_timeout: Duration::seconds(5),
            first_byte_timeout: Duration::seconds(60),
            idle_timeout: Duration::minutes(5),
            max_body_size: Some(Size::mib(256)),
        }
    }
}

/// The `Host` header the app sees: `preserve`, `upstream`, or a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum HostHeader {
    /// What the browser sent.
    #[default]
    Preserve,
    /// The authority of the upstream URL.
    Upstream,
    /// This name.
    Name(String),
}

impl From<String> for HostHeader {
    fn from(text: String) -> Self {
        match text.as_str() {
            "preserve" => Self::Preserve,
            "upstream" => Self::Upstream,
            _ => Self::Name(text),
        }
    }
}

impl From<HostHeader> for String {
    fn from(host: HostHeader) -> Self {
        match host {
            HostHeader::Preserve => "preserve".into(),
            HostHeader::Upstream => "upstream".into(),
            HostHeader::Name(name) => name,
        }
    }
}

/// What the app is told of the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// `remote`, `forwarded`, or a map of header names to templates.
    pub headers: IdentityHeaders,
}

/// The headers that carry the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityHeaders {
    /// A ready-made set.
    Preset(HeaderPreset),
    /// Header name → template.
    Templates(BTreeMap<String, String>),
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self::Preset(HeaderPreset::Remote)
    }
}

/// A ready-made set of identity headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeaderPreset {
    /// `Remote-User`, `Remote-Name`, `Remote-Email`, `Remote-Groups` (Authelia's names).
    Remote,
    /// `X-Forwarded-User`, `-Preferred-Username`, `-Email`, `-Groups` (oauth2-proxy's names).
    Forwarded,
}
