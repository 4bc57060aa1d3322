//! What the API says: sessions as JSON, times in RFC 3339, errors with a code for programs and a sentence for people.

use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::config::{Problem, Problems};
use crate::http::respond::{self, Page};
use crate::identity::{Identity, Source};
use crate::session::{self, Expiry, Listed, LookedUp};
use crate::telemetry::access::rfc3339;

/// The last moment that RFC 3339 can name; what is later is never.
const END_OF_TIME: Timestamp = Timestamp(253_402_300_799_999);

pub(super) fn ok(body: &Value) -> Page {
    respond::json(StatusCode::OK, body)
}

/// SECURITY: `message` never repeats what was sent: it may be a session id in the wrong place.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Page {
    respond::json(status, &json!({ "error": code, "message": message }))
}

pub(super) fn bad_request(message: &str) -> Page {
    error(StatusCode::BAD_REQUEST, "bad_request", message)
}

pub(super) fn no_session() -> Page {
    error(StatusCode::NOT_FOUND, "no_such_session", "there is no living session of this name or id")
}

/// `allowed` as it stands in `Allow`.
pub(super) fn method_not_allowed(allowed: &'static str) -> Page {
    let message = format!("this resource takes {allowed}");
    let mut page = error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message);
    page.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    page
}

/// The store is at fault; what it said is for the log.
pub(super) fn store_failed(failure: &session::Error) -> Page {
    tracing::warn!(error = %failure, "the admin API could not ask the session store");
    error(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "the session store does not answer; the log says why")
}

/// The configuration stays as it was.
pub(super) fn not_reloaded(problems: &Problems) -> Page {
    let body = json!({
        "error": "invalid_configuration",
        "message": "the configuration was not reloaded, and stays as it was",
        "problems": problems.list.iter().map(problem).collect::<Value>(),
        "more": problems.more,
    });
    respond::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

pub(super) fn problem(problem: &Problem) -> Value {
    let Problem { file, line, column, path, message } = problem;
    json!({ "file": file, "line": line, "column": column, "path": path, "message": message })
}

pub(super) fn listed(session: &Listed) -> Value {
    json!({
        "handle": session.handle.to_string(),
        "user": session.user,
        "created": time(session.created),
        "last_seen": time(session.last_seen),
        "expires": time(session.expires),
        "address": session.address.map(|address| address.to_canonical().to_string()),
        "agent": session.agent.as_deref(),
    })
}

pub(super) fn looked_up(session: &LookedUp) -> Value {
    let mut all = listed(&session.listed);
    all["identity"] = session.identity.as_ref().map_or(Value::Null, identity);
    // From here the absolute timeout counts: the sign-in, or the beginning.
    all["since"] = time(session.since);
    all["id_issued"] = time(session.issued);
    all["remember"] = session.remember.into();
    all["expiry"] = expiry(session.expiry);
    all["data"] = Value::Object(session.data.clone());
    all["once"] = Value::Object(session.flash.clone());
    all
}

fn identity(identity: &Identity) -> Value {
    json!({
        "user": identity.user,
        "name": identity.name,
        "email": identity.email,
        "groups": identity.groups,
        "since": time(identity.since),
        "source": match identity.source {
            Source::Form => "form",
            Source::App => "app",
        },
    })
}

/// As an app writes it in `Session-Expiry`.
fn expiry(expiry: Expiry) -> Value {
    match expiry {
        Expiry::Policy => "default".into(),
        Expiry::Browser => "browser".into(),
        Expiry::Sliding(idle) => idle.as_secs().into(),
        Expiry::At(at) => time(at),
    }
}

fn time(time: Timestamp) -> Value {
    if time > END_OF_TIME { Value::Null } else { rfc3339(time).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_all_calendars_is_null() {
        assert_eq!(time(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(END_OF_TIME), "9999-12-31T23:59:59.999Z");
        assert_eq!(time(Timestamp(END_OF_TIME.0 + 1)), Value::Null);
        assert_eq!(time(Timestamp(u64::MAX)), Value::Null);
    }
}
