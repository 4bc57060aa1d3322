//! A row of `django_session`, or a file of the file engine: whom it signs in, what it keeps, when it ends.
//!
//! Called by `cloakroom import django`; `manager::adopting` makes a session of the answer.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Flaw, Keys, json};
use crate::clock::Timestamp;
use crate::config::schema::moment;
use crate::session::Expiry;

/// A row, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The user, as far as the session says; nobody for an anonymous one.
    pub login: Option<Login>,
    /// What the app keeps; `_messages`, `_csrftoken` and the like among it.
    pub data: Map<String, Value>,
    /// What `set_expiry` has been told.
    pub expiry: Expiry,
    /// Django takes it for dead from here on.
    pub end: Timestamp,
    /// When it was last saved, if that is known.
    pub saved: Option<Timestamp>,
    /// Some value could not be kept as it was: see `json`.
    pub changed: bool,
}

/// Who is signed in, in the words of `django.contrib.auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `_auth_user_id`: a primary key.
    pub user: String,
    /// `_auth_user_hash`: follows from the user's password.
    pub hash: Option<String>,
}

/// What is known of a session's end beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `expire_date`.
    At(Timestamp),
    /// The file engine has none: when the file was written, and `SESSION_COOKIE_AGE`.
    After(Timestamp, Duration),
}

/// Checks and reads `session_data`.
///
/// # Errors
/// See [`Flaw`].
pub fn read(keys: &Keys, session_data: &str, end: End) -> Result<Row, Flaw> {
    let signed = keys.loads(session_data)?;
    let (mut data, changed) = json::object(&signed.bytes).ok_or(Flaw::Json)?;
    let login = take_login(&mut data);
    let (expiry, own_end) = match data.shift_remove("_session_expiry") {
        None => (Expiry::Policy, None),
        Some(said) => expiry(&said, end)?,
    };
    let end = match (end, own_end) {
        (End::At(end), Some(own)) => end.min(own),
        (End::At(end), None) | (End::After(..), Some(end)) => end,
        (End::After(written, age), None) => written.plus(age),
    };
    let saved = signed.at.map(|seconds| Timestamp(seconds.saturating_mul(1000)));
    Ok(Row { login, data, expiry, end, saved, changed })
}

/// A time as Python and SQLite write it; one that names no offset is taken for UTC, as Django stores it.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim_ascii().replacen(' ', "T", 1);
    let clock = text.split_once('T')?.1;
    moment(&if clock.contains(['Z', 'z', '+', '-']) { text } else { format!("{text}Z") })
}

impl End {
    /// From the text of `expire_date` in SQLite.
    ///
    /// # Errors
    /// [`Flaw::Expiry`].
    pub fn from_text(text: &str) -> Result<Self, Flaw> {
        time(text).map(Self::At).ok_or(Flaw::Expiry)
    }
}

fn take_login(data: &mut Map<String, Value>) -> Option<Login> {
    let hash = data.shift_remove("_auth_user_hash").and_then(|hash| hash.as_str().map(str::to_owned));
    data.shift_remove("_auth_user_backend");
    let user = match data.shift_remove("_auth_user_id")? {
        Value::String(user) => user,
        Value::Number(user) => user.to_string(),
        _ => return None,
    };
    Some(Login { user, hash })
}

/// What `_session_expiry` means, and the end that follows from it alone.
fn expiry(said: &Value, end: End) -> Result<(Expiry, Option<Timestamp>), Flaw> {
    let written = match end {
        End::At(_) => None,
        End::After(written, _) => Some(written),
    };
    match said {
        Value::Null => Ok((Expiry::Policy, None)),
        Value::String(text) => time(text).map(|at| (Expiry::At(at), Some(at))).ok_or(Flaw::Expiry),
        Value::Number(number) => match number.as_f64().ok_or(Flaw::Expiry)? {
            0.0 => Ok((Expiry::Browser, None)),
            seconds => {
                // What is below zero has ended when it was saved.
                let idle = Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|_| Flaw::Expiry)?;
                // The file engine never looks at these seconds; we do.
                Ok((Expiry::Sliding(idle), written.map(|written| written.plus(idle))))
            }
        },
        _ => Err(Flaw::Expiry),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const AT: u64 = 1_700_000_000;

    fn row(data: &Value, end: End) -> Result<Row, Flaw> {
        let keys = Keys::new(["secret"], "SessionStore");
        read(&keys, &keys.dumps(data.to_string().as_bytes(), AT).unwrap(), end)
    }

    fn until(seconds: u64) -> End {
        End::At(Timestamp(seconds * 1000))
    }

    #[test]
    fn what_django_keeps_for_itself_is_no_data_of_the_app() {
        let data = json!({
            "_auth_user_id": "7", "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": "abc", "_session_expiry": 300, "_csrftoken": "t", "_messages": "[]", "cart": [1],
        });
        let row = row(&data, until(AT + 300)).unwrap();
        assert_eq!(row.login, Some(Login { user: "7".into(), hash: Some("abc".into()) }));
        assert_eq!(Value::Object(row.data), json!({"_csrftoken": "t", "_messages": "[]", "cart": [1]}));
        assert_eq!(row.expiry, Expiry::Sliding(Duration::from_secs(300)));
        assert_eq!((row.end, row.saved), (Timestamp((AT + 300) * 1000), Some(Timestamp(AT * 1000))));
    }

    #[test]
    fn each_form_of_set_expiry_is_known() {
        let at = Timestamp(1_796_083_200_000);
        for (said, expiry, end) in [
            (json!(null), Expiry::Policy, u64::MAX),
            (json!(0), Expiry::Browser, u64::MAX),
            (json!(1.5), Expiry::Sliding(Duration::from_millis(1500)), u64::MAX),
            (json!("2026-12-01T00:00:00+00:00"), Expiry::At(at), at.0),
            (json!("2026-12-01T01:00:00.000001+01:00"), Expiry::At(at), at.0),
            (json!("2026-12-01T00:00:00"), Expiry::At(at), at.0),
        ] {
            let row = row(&json!({ "_session_expiry": said }), End::At(Timestamp(u64::MAX))).unwrap();
            assert_eq!((row.expiry, row.end), (expiry, Timestamp(end)), "{said}");
        }
        for said in [json!("soon"), json!([]), json!(true)] {
            assert_eq!(row(&json!({ "_session_expiry": said }), until(1)), Err(Flaw::Expiry), "{said}");
        }
    }

    #[test]
    fn a_file_ends_so_long_after_it_was_written() {
        let written = Timestamp(AT * 1000);
        let fortnight = End::After(written, Duration::from_secs(1_209_600));
        let end = |data: Value| row(&data, fortnight).unwrap().end.since(written).as_secs();
        assert_eq!(end(json!({})), 1_209_600);
        assert_eq!(end(json!({"_session_expiry": 0})), 1_209_600);
        assert_eq!(end(json!({"_session_expiry": 60})), 60);
        assert_eq!(end(json!({"_session_expiry": -5})), 0);
    }

    #[test]
    fn times_are_read_as_sqlite_has_them() {
        for text in ["2026-12-01 00:00:00", "2026-12-01 00:00:00.000000", "2026-12-01T00:00:00Z"] {
            assert_eq!(End::from_text(text), Ok(End::At(Timestamp(1_796_083_200_000))), "{text}");
        }
        assert_eq!(End::from_text("2026-12-01 00:00:00.25"), Ok(End::At(Timestamp(1_796_083_200_250))));
        for text in ["", "now", "2026-12-01", "T", "1969-12-31 23:59:59"] {
            assert_eq!(End::from_text(text), Err(Flaw::Expiry), "{text}");
        }
    }

    #[test]
    fn something_else_that_was_signed_is_no_session() {
        assert_eq!(row(&json!([1]), until(1)), Err(Flaw::Json));
    }

    proptest! {
        #[test]
        fn arbitrary_times_never_panic(text in ".{0,30}|[0-9TZ :+.-]{0,30}") {
            let _ = time(&text);
        }
    }
}
