//! `GET /me`: what a page's script may know of the session. Asking does not keep the session alive.

use http::StatusCode;
use serde_json::{Value, json};

use super::endpoints::Call;
use crate::http::respond::{self, Page};

/// The state of the session, times in seconds.
pub(super) fn show(call: &mut Call<'_>) -> Page {
    call.session.not_an_activity();
    let session = &call.session;
    let Some(identity) = session.identity() else {
        let nobody = json!({
            "authenticated": false, "user": null, "name": null, "email": null, "groups": [],
            "created": null, "idle_expires_in": null, "expires_in": null,
        });
        return respond::json(StatusCode::OK, &nobody);
    };
    let (idle, absolute) = session.remaining().unwrap_or_default();
    let idle = idle.map(|left| left.min(absolute).as_secs());
    let body: Value = json!({
        "authenticated": true,
        "user": identity.user,
        "name": identity.name,
        "email": identity.email,
        "groups": identity.groups,
        "created": session.created().map(crate::clock::Timestamp::unix_seconds),
        "idle_expires_in": idle,
        "expires_in": absolute.as_secs(),
    });
    respond::json(StatusCode::OK, &body)
}
