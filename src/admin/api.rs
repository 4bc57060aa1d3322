//! `/api/v1`: sessions listed, shown, opened by their id, and ended; the configuration reloaded.
//!
//! `admin` has checked who asks. SECURITY: a session is named by its handle; the one request that brings an id brings
//! it in its body, which is never logged, and the answer does not repeat it.

use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::answer;
use crate::clock::Timestamp;
use crate::http::respond::Page;
use crate::reload::{Failure, Reload};
use crate::session::{Listing, Manager};
use crate::store::Handle;

/// Where the API begins.
pub const ROOT: &str = "/api/v1";

const DEFAULT_LIMIT: usize = 100;
const MOST: usize = 1000;

/// An id with its name and quotes fits many times.
const LARGEST_BODY: usize = 4096;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a path below [`ROOT`] names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// `/sessions`
    Sessions,
    /// `/sessions/HANDLE`; `None` for what is no handle.
    Session(Option<Handle>),
    /// `/sessions/lookup`
    Lookup,
    /// `/sessions/clear-expired`
    ClearExpired,
    /// `/users/USER/sessions`
    SessionsOf(String),
    /// `/reload`
    Reload,
}

impl Resource {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix(ROOT)?.strip_prefix('/')?.split('/').collect();
        match *parts.as_slice() {
            ["reload"] => Some(Self::Reload),
            ["sessions"] => Some(Self::Sessions),
            ["sessions", "lookup"] => Some(Self::Lookup),
            ["sessions", "clear-expired"] => Some(Self::ClearExpired),
            ["sessions", handle] => Some(Self::Session(handle.parse().ok())),
            ["users", user, "sessions"] if !user.is_empty() => {
                percent_decode_str(user).decode_utf8().ok().map(|user| Self::SessionsOf(user.into_owned()))
            }
            _ => None,
        }
    }

    /// As it stands in `Allow`.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Sessions => "GET, HEAD",
            Self::Session(_) => "GET, HEAD, DELETE",
            Self::Lookup | Self::ClearExpired | Self::Reload => "POST",
            Self::SessionsOf(_) => "DELETE",
        }
    }
}

/// `GET /sessions?user=&limit=&cursor=`
pub(super) async fn list(sessions: &Manager, query: Option<&str>, now: Timestamp) -> Page {
    let query = match Query::parse(query.unwrap_or_default()) {
        Ok(query) => query,
        Err(message) => return answer::bad_request(&message),
    };
    let (from, limit) = (query.cursor.as_deref(), query.limit);
    let listing = match &query.user {
        Some(user) => sessions.list_of_user(user, from, limit, now).await,
        None => sessions.list(from, limit, now).await,
    };
    match listing {
        Ok(Listing { sessions, next }) => answer::ok(&json!({
            "sessions": sessions.iter().map(answer::listed).collect::<Value>(),
            "next": next.map(|next| BASE64_URL_SAFE_NO_PAD.encode(next)),
        })),
        Err(error) => answer::store_failed(&error),
    }
}

/// `GET /sessions/HANDLE`
pub(super) async fn show(sessions: &Manager, handle: Option<Handle>, now: Timestamp) -> Page {
    let Some(handle) = handle else { return answer::no_session() };
    match sessions.find_by_handle(handle, now).await {
        Ok(Some(session)) => answer::ok(&answer::listed(&session)),
        Ok(None) => answer::no_session(),
        Err(error) => answer::store_failed(&error),
    }
}

/// `DELETE /sessions/HANDLE`
pub(super) async fn revoke(sessions: &Manager, handle: Option<Handle>, now: Timestamp) -> Page {
    let Some(handle) = handle else { return answer::no_session() };
    match sessions.revoke_by_handle(handle, now).await {
        Ok(true) => answer::ok(&json!({ "deleted": 1 })),
        Ok(false) => answer::no_session(),
        Err(error) => answer::store_failed(&error),
    }
}

/// `DELETE /users/USER/sessions`
pub(super) async fn revoke_all_of(sessions: &Manager, user: &str) -> Page {
    match sessions.revoke_all_of(user).await {
        Ok(deleted) => answer::ok(&json!({ "deleted": deleted })),
        Err(error) => answer::store_failed(&error),
    }
}

/// `POST /sessions/clear-expired`: deletes what has expired now, and not at the next sweep.
pub(super) async fn clear_expired(sessions: &Manager, now: Timestamp) -> Page {
    match sessions.clear_expired(now).await {
        Ok(deleted) => answer::ok(&json!({ "deleted": deleted })),
        Err(error) => answer::store_failed(&error),
    }
}

/// `POST /sessions/lookup` with `{"id": "…"}`
pub(super) async fn look_up(sessions: &Manager, body: Incoming, now: Timestamp) -> Page {
    let Some(id) = id_in(body).await else {
        return answer::bad_request(r#"send {"id": "…"} with the value of a session cookie, as JSON"#);
    };
    match sessions.look_up(id.as_bytes(), now).await {
        Ok(Some(session)) => answer::ok(&answer::looked_up(&session)),
        Ok(None) => answer::no_session(),
        Err(error) => answer::store_failed(&error),
    }
}

/// `POST /reload`
pub(super) async fn reload(reload: Arc<Reload>) -> Page {
    // It reads files.
    match tokio::task::spawn_blocking(move || reload.run()).await {
        Ok(Ok(done)) => answer::ok(&json!({
            "reloaded": true,
            "generation": done.generation,
            "warnings": done.warnings.iter().map(answer::problem).collect::<Value>(),
        })),
        Ok(Err(Failure::Refused(problems))) => answer::not_reloaded(&problems),
        Ok(Err(failure @ Failure::NoFile)) => {
            answer::error(StatusCode::CONFLICT, "no_configuration_file", &failure.to_string())
        }
        Err(error) => {
            tracing::error!(%error, "a reload was lost to a panic: please report this");
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the log says why")
        }
    }
}

async fn id_in(body: Incoming) -> Option<Zeroizing<String>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        id: String,
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, LARGEST_BODY).collect()).await.ok()?.ok()?;
    let body: Zeroizing<Vec<u8>> = Zeroizing::new(body.to_bytes().into());
    serde_json::from_slice::<Wanted>(&body).ok().map(|wanted| Zeroizing::new(wanted.id))
}

/// What is wanted of the list.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    user: Option<String>,
    limit: usize,
    cursor: Option<Vec<u8>>,
}

impl Query {
    /// Empty values count as absent.
    fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self { user: None, limit: DEFAULT_LIMIT, cursor: None };
        for (key, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match &*key {
                "user" => query.user = Some(value.into_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    query.limit = limit.ok_or_else(|| format!("limit is a number from 1 to {MOST}"))?;
                }
                "cursor" => {
                    let cursor = BASE64_URL_SAFE_NO_PAD.decode(value.as_bytes());
                    query.cursor = Some(cursor.map_err(|_| "cursor is what an earlier answer gave as `next`")?);
                }
                _ => return Err("a list takes user, limit and cursor".into()),
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_names_one_resource_or_none() {
        let handle = Handle([0xab; 8]);
        for (path, resource) in [
            ("/api/v1/sessions", Some(Resource::Sessions)),
            ("/api/v1/sessions/lookup", Some(Resource::Lookup)),
            ("/api/v1/sessions/clear-expired", Some(Resource::ClearExpired)),
            ("/api/v1/sessions/abababababababab", Some(Resource::Session(Some(handle)))),
            ("/api/v1/reload", Some(Resource::Reload)),
            ("/api/v1/reload/x", None),
            ("/api/v1/sessions/short", Some(Resource::Session(None))),
            ("/api/v1/users/a%2Fb%20%C3%A9/sessions", Some(Resource::SessionsOf("a/b é".into()))),
            ("/api/v1/users//sessions", None),
            ("/api/v1/users/%ff/sessions", None),
            ("/api/v1/users/ann", None),
            ("/api/v1sessions", None),
            ("/api/v1/", None),
            ("/", None),
        ] {
            assert_eq!(Resource::parse(path), resource, "{path}");
        }
    }

    #[test]
    fn a_query_says_what_is_wrong_with_it() {
        let all = Query { user: None, limit: 100, cursor: None };
        assert_eq!((Query::parse(""), Query::parse("user=&limit=&cursor=")), (Ok(all), Query::parse("")));
        let one = Query { user: Some("änn b".into()), limit: 1000, cursor: Some(b"\xff".into()) };
        assert_eq!(Query::parse("user=%C3%A4nn+b&limit=1000&cursor=_w"), Ok(one));
        for (text, words) in [
            ("limit=0", "from 1 to 1000"),
            ("limit=1001", "from 1 to 1000"),
            ("limit=x", "from 1 to 1000"),
            ("cursor=!", "`next`"),
            ("usr=ann", "user, limit and cursor"),
        ] {
            assert!(Query::parse(text).unwrap_err().contains(words), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_query_and_no_path_panics(text in ".{0,60}") {
            let _ = (Query::parse(&text), Resource::parse(&text), Resource::parse(&format!("{ROOT}/{text}")));
        }
    }
}
