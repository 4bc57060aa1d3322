//! A row of `django_session`, or a file of the file engine: whom it signs in, what it keeps, when it ends.
//!
//! Called by `cloakroom import django`; `manager::adopting` makes a session of the answer.

use std::time::Duration;

use serde_json::{Map, Value};

use super::zone::{LocalTime, Time, Zone};
use super::{Flaw, Keys, json};
use crate::clock::Timestamp;
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
    /// `expire_date` without an offset: UTC, or an app's local time.
    Local(LocalTime),
    /// The file engine has none: when the file was written.
    After(Timestamp),
}

/// What of `settings.py` says when a session ends.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TIME_ZONE`, where times without an offset are of that zone.
    pub zone: Option<Zone>,
    /// `SESSION_COOKIE_AGE`.
    pub cookie_age: Duration,
}

/// So far may `expire_date` lie from where the session itself says: Django reads the clock for each. All offsets of
/// zones are multiples of a quarter of an hour.
const ALMOST: Duration = Duration::from_secs(300);

/// The farthest west, and a little more: when clocks there show a time, it has passed everywhere.
const LAST_ZONE: Duration = Duration::from_secs(13 * 3600);

/// Checks and reads `session_data`.
///
/// # Errors
/// See [`Flaw`].
pub fn read(keys: &Keys, session_data: &str, end: End, settings: &Settings) -> Result<Row, Flaw> {
    let signed = keys.loads(session_data)?;
    let (mut data, changed) = json::object(&signed.bytes).ok_or(Flaw::Json)?;
    let login = take_login(&mut data);
    let said = data.shift_remove("_session_expiry").map_or(Ok(Said::Policy), |said| Said::of(&said))?;
    let saved = signed.at.map(|seconds| Timestamp(seconds.saturating_mul(1000)));
    let (expiry, end) = said.expiry(end, saved, settings)?;
    Ok(Row { login, data, expiry, end, saved, changed })
}

impl End {
    /// From the text of `expire_date`.
    ///
    /// # Errors
    /// [`Flaw::Expiry`].
    pub fn from_text(text: &str) -> Result<Self, Flaw> {
        Ok(match text.parse().map_err(|()| Flaw::Expiry)? {
            Time::Moment(at) => Self::At(at),
            Time::Local(time) => Self::Local(time),
        })
    }

    /// Whether it has come, in whichever zone.
    #[must_use]
    pub fn is_over_everywhere(self, now: Timestamp) -> bool {
        match self {
            Self::At(end) => end <= now,
            Self::Local(time) => Zone::utc().moment(time).plus(LAST_ZONE) <= now,
            Self::After(_) => false,
        }
    }
}

/// What `set_expiry` has been told.
#[derive(Debug, Clone, Copy)]
enum Said {
    Policy,
    Browser,
    /// Seconds.
    Idle(f64),
    Until(Time),
}

impl Said {
    fn of(said: &Value) -> Result<Self, Flaw> {
        match said {
            Value::Null => Ok(Self::Policy),
            Value::String(text) => text.parse().map(Self::Until).map_err(|()| Flaw::Expiry),
            Value::Number(number) => match number.as_f64().ok_or(Flaw::Expiry)? {
                0.0 => Ok(Self::Browser),
                seconds => Ok(Self::Idle(seconds)),
            },
            _ => Err(Flaw::Expiry),
        }
    }

    /// What that means here, and when Django takes the session for dead.
    fn expiry(self, end: End, saved: Option<Timestamp>, settings: &Settings) -> Result<(Expiry, Timestamp), Flaw> {
        let end = match end {
            End::At(end) => end,
            End::Local(time) => self.moment_of(time, saved, settings)?,
            // The file engine never looks at the seconds it was told; we do.
            End::After(written) => self.end_after(written, settings).ok_or(Flaw::Zone)?,
        };
        Ok(match self {
            Self::Policy => (Expiry::Policy, end),
            Self::Browser => (Expiry::Browser, end),
            Self::Idle(seconds) => (Expiry::Sliding(idle(seconds)?), end),
            Self::Until(time) => {
                // Django writes the same moment into both.
                let until = settings.moment(time).unwrap_or(end);
                (Expiry::At(until), end.min(until))
            }
        })
    }

    /// What `expire_date` means. SECURITY: not knowing its zone, we believe it to be UTC only if the session itself
    /// says the same: an app east of it would have its sessions live hours longer.
    fn moment_of(self, time: LocalTime, saved: Option<Timestamp>, settings: &Settings) -> Result<Timestamp, Flaw> {
        if let Some(zone) = &settings.zone {
            return Ok(zone.moment(time));
        }
        let end = Zone::utc().moment(time);
        let expected = self.end_after(saved.unwrap_or_default(), settings).ok_or(Flaw::Zone)?;
        if end.0.abs_diff(expected.0) <= ALMOST.as_millis() as u64 { Ok(end) } else { Err(Flaw::Zone) }
    }

    /// The end of a session that was saved then; `None` without a zone that is needed for it.
    fn end_after(self, saved: Timestamp, settings: &Settings) -> Option<Timestamp> {
        match self {
            Self::Policy | Self::Browser => Some(saved.plus(settings.cookie_age)),
            // What is below zero had ended before it was saved. Saturates at both ends.
            Self::Idle(seconds) => Some(Timestamp((saved.0 as f64 + seconds * 1000.0).round() as u64)),
            Self::Until(time) => settings.moment(time),
        }
    }
}

fn idle(seconds: f64) -> Result<Duration, Flaw> {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|_| Flaw::Expiry)
}

impl Settings {
    fn moment(&self, time: Time) -> Option<Timestamp> {
        match time {
            Time::Moment(at) => Some(at),
            Time::Local(time) => self.zone.as_ref().map(|zone| zone.moment(time)),
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: u64 = 1_700_000_000;

    fn row(data: &Value, end: End) -> Result<Row, Flaw> {
        row_in(None, data, end)
    }

    fn row_in(zone: Option<&str>, data: &Value, end: End) -> Result<Row, Flaw> {
        let settings =
            Settings { zone: zone.map(|zone| zone.parse().unwrap()), cookie_age: Duration::from_secs(1_209_600) };
        let keys = Keys::new(["secret"], "SessionStore");
        read(&keys, &keys.dumps(data.to_string().as_bytes(), AT).unwrap(), end, &settings)
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
        let end = |data: Value| row(&data, End::After(written)).unwrap().end.since(written).as_secs();
        assert_eq!(end(json!({})), 1_209_600);
        assert_eq!(end(json!({"_session_expiry": 0})), 1_209_600);
        assert_eq!(end(json!({"_session_expiry": 60})), 60);
        assert_eq!(end(json!({"_session_expiry": -5})), 0);
    }

    #[test]
    fn something_else_that_was_signed_is_no_session() {
        assert_eq!(row(&json!([1]), until(1)), Err(Flaw::Json));
    }

    /// What SQLite shows of sessions saved at `AT`, 2023-11-14 22:13:20 UTC, with an hour to live.
    const IN_UTC: &str = "2023-11-14 23:13:20.5";
    const IN_KATHMANDU: &str = "2023-11-15 04:58:20.5";

    fn end_of(zone: Option<&str>, data: &Value, expire_date: &str) -> Result<u64, Flaw> {
        let row = row_in(zone, data, End::from_text(expire_date).unwrap())?;
        Ok(row.end.since(Timestamp(AT * 1000)).as_secs())
    }

    #[test]
    fn a_time_without_an_offset_is_utc_only_if_the_session_says_the_same() {
        for (said, in_utc) in [
            (json!(3600), IN_UTC),
            (json!("2023-11-14T23:13:20.5+00:00"), IN_UTC),
            (json!(null), "2023-11-28 22:13:20"),
            (json!(0), "2023-11-28 22:13:20"),
        ] {
            let data = json!({ "_session_expiry": said });
            assert!(end_of(None, &data, in_utc).is_ok(), "{said}");
            for expire_date in [IN_KATHMANDU, "2023-11-14 22:58:20.5", "2023-12-01 00:00:00"] {
                assert_eq!(end_of(None, &data, expire_date), Err(Flaw::Zone), "{said} {expire_date}");
            }
        }
        // That the app writes such texts says that it lives in a zone.
        let local = json!({ "_session_expiry": "2023-11-15T04:58:20.5" });
        assert_eq!(end_of(None, &local, IN_KATHMANDU), Err(Flaw::Zone));
        assert_eq!(row(&local, End::After(Timestamp(AT * 1000))), Err(Flaw::Zone));
    }

    #[test]
    fn with_a_zone_an_end_is_what_clocks_there_show() {
        for said in [json!(3600), json!("2023-11-15T04:58:20.5"), json!("2023-11-15T04:58:20.5+05:45"), json!(null)] {
            let data = json!({ "_session_expiry": said });
            assert_eq!(end_of(Some("Asia/Kathmandu"), &data, IN_KATHMANDU), Ok(3600), "{said}");
        }
        let own = json!({ "_session_expiry": "2023-11-15T04:58:20.5" });
        let file = row_in(Some("+05:45"), &own, End::After(Timestamp(AT * 1000))).unwrap();
        assert_eq!(file.end, Timestamp(AT * 1000 + 3_600_500));
    }

    #[test]
    fn beside_a_moment_a_text_without_an_offset_needs_no_zone() {
        let row = row(&json!({ "_session_expiry": "2023-11-15T04:58:20.5" }), until(AT + 3600)).unwrap();
        let end = Timestamp((AT + 3600) * 1000);
        assert_eq!((row.expiry, row.end), (Expiry::At(end), end));
    }

    #[test]
    fn a_time_has_passed_everywhere_when_it_has_passed_in_the_west() {
        let (end, hour) = (End::from_text(IN_UTC).unwrap(), 3600);
        for (hours, over) in [(0, false), (12, false), (14, true)] {
            assert_eq!(end.is_over_everywhere(Timestamp((AT + hour + hours * hour) * 1000)), over, "{hours}");
        }
    }
}
