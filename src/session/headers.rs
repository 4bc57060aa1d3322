//! `Session-*` headers: the session's data on its way to an app, and what the app wants done with it.
//!
//! `pipeline` calls [`write()`] for requests to an app that may read, and [`take`] for *every* answer: what an app
//! says to the gateway is never the browser's to see. Here it is read; `changes` says what it means.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::changes::{Change, Expiry};
use super::claims::{self, Claims, Flaw};
use super::data::{Data, Map};
use super::rules::step;
use crate::clock::Timestamp;
use crate::config::schema;
use crate::http::lines::HeaderLines;
use crate::store::Handle;

const HANDLE: HeaderName = HeaderName::from_static("session-handle");
const CREATED: HeaderName = HeaderName::from_static("session-created");
const EXPIRES_IN: HeaderName = HeaderName::from_static("session-expires-in");
const DATA: HeaderName = HeaderName::from_static("session-data");
const DATA_OMITTED: HeaderName = HeaderName::from_static("session-data-omitted");

const FLUSH: HeaderName = HeaderName::from_static("session-flush");
const CLEAR: HeaderName = HeaderName::from_static("session-clear");
const USER: HeaderName = HeaderName::from_static("session-user");
const NAME: HeaderName = HeaderName::from_static("session-name");
const EMAIL: HeaderName = HeaderName::from_static("session-email");
const GROUPS: HeaderName = HeaderName::from_static("session-groups");
const SET: HeaderName = HeaderName::from_static("session-set");
const INCREMENT: HeaderName = HeaderName::from_static("session-increment");
const FLASH: HeaderName = HeaderName::from_static("session-flash");
const EXPIRY: HeaderName = HeaderName::from_static("session-expiry");
const ROTATE: HeaderName = HeaderName::from_static("session-rotate");
const REVOKE_OTHERS: HeaderName = HeaderName::from_static("session-revoke-others");

/// Most apps refuse heads of more than 8 to 16 KiB.
const LONGEST_DATA: usize = 8 * 1024;

/// Ten years: as for `rules`.
const LONGEST_EXPIRY: Duration = Duration::from_secs(3650 * 86_400);

/// What an app is told of the session.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// `None`: there is no session.
    pub handle: Option<Handle>,
    /// When it began.
    pub created: Option<Timestamp>,
    /// What is left of it.
    pub expires_in: Option<Duration>,
    /// The data: a JSON object on one line of ASCII.
    pub data: &'a str,
    /// Values that are told with this request only, in the same form.
    pub flash: &'a str,
}

/// The data did not fit into a header, and the app was told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session's data has {bytes} bytes, more than the 8192 that Session-Data may have")]
pub struct TooLarge {
    /// Its size as JSON.
    pub bytes: usize,
}

/// Tells the app of the session.
///
/// # Errors
/// [`TooLarge`] when the data was left out; everything else was written.
pub fn write(view: &View<'_>, lines: &mut HeaderLines) -> Result<(), TooLarge> {
    let Some(handle) = view.handle else {
        lines.push(&DATA, &HeaderValue::from_static("{}"));
        return Ok(());
    };
    lines.push_text(&HANDLE, &handle.to_string());
    if let Some(created) = view.created {
        lines.push(&CREATED, &HeaderValue::from(created.unix_seconds()));
    }
    if let Some(left) = view.expires_in {
        lines.push(&EXPIRES_IN, &HeaderValue::from(left.as_secs()));
    }
    match (view.data, view.flash) {
        (data, "{}") => write_data(data, lines),
        ("{}", flash) => write_data(flash, lines),
        (data, flash) => write_data(merged(data, flash).text(), lines),
    }
}

fn write_data(data: &str, lines: &mut HeaderLines) -> Result<(), TooLarge> {
    if data.len() > LONGEST_DATA {
        lines.push(&DATA_OMITTED, &HeaderValue::from_static("too-large"));
        return Err(TooLarge { bytes: data.len() });
    }
    lines.push_text(&DATA, data);
    Ok(())
}

fn merged(data: &str, flash: &str) -> Data {
    let object = |text: &str| serde_json::from_str::<Map>(text).unwrap_or_default();
    let mut merged = Data::default();
    merged.edit(|map| {
        *map = object(data);
        map.extend(object(flash));
    });
    merged
}

/// Takes every `Session-*` header out of an app's answer; what it asks for is returned if it is `allowed` to.
///
/// Repeated lines of `Session-Set`, `-Increment` and `-Flash` apply one after the other, those of
/// `Session-Groups` are one list (RFC 9110 §5.3). The others have one value: lines that differ contradict each
/// other, and the header is ignored, as a malformed one is. The answer is never damaged.
pub fn take(headers: &mut HeaderMap, allowed: bool, now: Timestamp) -> Vec<Change> {
    // PERF: nearly every answer has none; one look at the names settles that.
    if !headers.keys().any(|name| name.as_str().starts_with("session-")) {
        return Vec::new();
    }
    let mut taken = Taken { headers, allowed };
    // SECURITY: an app that echoes request headers must not tell the browser.
    [HANDLE, CREATED, EXPIRES_IN, DATA, DATA_OMITTED].iter().for_each(|name| drop(taken.headers.remove(name)));
    let mut changes = Vec::new();
    changes.extend(taken.flag(&FLUSH).then_some(Change::Flush));
    changes.extend(taken.flag(&CLEAR).then_some(Change::Clear));
    changes.extend(taken.user(now));
    changes.extend(taken.objects(&SET).into_iter().map(Change::Merge));
    changes.extend(taken.increments());
    let flash = taken.objects(&FLASH).into_iter().flatten();
    changes.extend(flash.map(|(key, value)| Change::Flash(key.into(), value)));
    changes.extend(taken.one(&EXPIRY, |value| expiry(value, now)));
    changes.extend(taken.flag(&ROTATE).then_some(Change::Rotate));
    changes.extend(taken.flag(&REVOKE_OTHERS).then_some(Change::RevokeOthers));
    changes
}

/// Why a header is ignored. The app is at fault; its value is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Malformed {
    #[error("not a JSON object: send one such as {{\"cart\": 3}}, on one line")]
    Object,
    #[error("not an object of numbers: send one such as {{\"visits\": 1}}")]
    Numbers,
    #[error("neither `true` nor `false`: send `true`, or leave it out")]
    Flag,
    #[error("not an expiry: send seconds, `browser`, `default` or a time such as 2030-01-31T12:00:00Z")]
    Expiry,
    #[error("more than ten years: send a shorter time")]
    TooLate,
    #[error("several lines that differ: send one")]
    Several,
    #[error("nobody is named: send it together with Session-User")]
    Nobody,
    #[error(transparent)]
    Text(#[from] Flaw),
}

fn ignore(name: &HeaderName, reason: Malformed) {
    tracing::warn!(event = "session_header_ignored", header = name.as_str(), %reason, "a header of the app is ignored");
}

struct Taken<'a> {
    headers: &'a mut HeaderMap,
    allowed: bool,
}

impl Taken<'_> {
    /// All lines of a header, which is then gone; none unless allowed.
    fn lines(&mut self, name: &HeaderName) -> Vec<HeaderValue> {
        let lines: Vec<HeaderValue> = self.headers.get_all(name).iter().cloned().collect();
        self.headers.remove(name);
        if !self.allowed && !lines.is_empty() {
            let header = name.as_str();
            tracing::debug!(header, "a header of the app is removed: the route has no `session_headers: read_write`");
            return Vec::new();
        }
        lines
    }

    /// The one value of a header.
    fn one<T>(&mut self, name: &HeaderName, read: impl FnOnce(&[u8]) -> Result<T, Malformed>) -> Option<T> {
        let lines = self.lines(name);
        let (first, rest) = lines.split_first()?;
        let value = match rest.iter().all(|line| line == first) {
            true => read(first.as_bytes()),
            false => Err(Malformed::Several),
        };
        value.inspect_err(|reason| ignore(name, *reason)).ok()
    }

    fn flag(&mut self, name: &HeaderName) -> bool {
        let read = |value: &[u8]| match value {
            _ if value.eq_ignore_ascii_case(b"true") => Ok(true),
            _ if value.eq_ignore_ascii_case(b"false") => Ok(false),
            _ => Err(Malformed::Flag),
        };
        self.one(name, read).unwrap_or(false)
    }

    fn objects(&mut self, name: &HeaderName) -> Vec<Map> {
        let read = |line: &HeaderValue| serde_json::from_slice::<Map>(line.as_bytes()).map_err(|_| Malformed::Object);
        let good = |line: &HeaderValue| read(line).inspect_err(|reason| ignore(name, *reason)).ok();
        self.lines(name).iter().filter_map(good).collect()
    }

    /// All numbers of a line, or none of it.
    fn increments(&mut self) -> Vec<Change> {
        let change = |(key, value): (String, Value)| match value {
            Value::Number(number) => Ok(Change::Increment(key.into(), step(&number))),
            _ => Err(Malformed::Numbers),
        };
        let read = |object: Map| object.into_iter().map(change).collect::<Result<Vec<_>, _>>();
        let good = |object| read(object).inspect_err(|reason| ignore(&INCREMENT, *reason)).ok();
        self.objects(&INCREMENT).into_iter().filter_map(good).flatten().collect()
    }

    /// Who is signed in from here on; an empty name signs out.
    fn user(&mut self, now: Timestamp) -> Option<Change> {
        let text = |value: &[u8]| Ok(claims::text(value)?);
        let user = self.one(&USER, text);
        let name = self.one(&NAME, text);
        let email = self.one(&EMAIL, text);
        let groups = self.groups();
        let Some(user) = user else {
            let given = [(NAME, name.is_some()), (EMAIL, email.is_some()), (GROUPS, !groups.is_empty())];
            given.iter().filter(|(_, given)| *given).for_each(|(header, _)| ignore(header, Malformed::Nobody));
            return None;
        };
        match user.is_empty() {
            true => Some(Change::Flush),
            false => {
                Some(Change::AppSignIn { identity: Claims { user, name, email, groups }.identity(now), vault: None })
            }
        }
    }

    /// SECURITY: one that cannot be read leaves no groups at all, rather than some.
    fn groups(&mut self) -> Vec<String> {
        let lists: Result<Vec<_>, _> = self.lines(&GROUPS).iter().map(|line| claims::list(line.as_bytes())).collect();
        let lists = lists.inspect_err(|reason| ignore(&GROUPS, (*reason).into()));
        lists.unwrap_or_default().concat()
    }
}

/// Django's `set_expiry`: 0 is the browser's end, and what lies in the past is the session's.
fn expiry(value: &[u8], now: Timestamp) -> Result<Change, Malformed> {
    let text = std::str::from_utf8(value).map_err(|_| Malformed::Expiry)?;
    let expiry = match text {
        "browser" => Expiry::Browser,
        "default" => Expiry::Policy,
        _ => match text.parse::<i64>().map(|seconds| (seconds, u64::try_from(seconds))) {
            Ok((0, _)) => Expiry::Browser,
            Ok((_, Ok(seconds))) => Expiry::Sliding(Duration::from_secs(seconds)),
            Ok((_, Err(_))) => return Ok(Change::Flush),
            Err(_) => Expiry::At(schema::moment(text).ok_or(Malformed::Expiry)?),
        },
    };
    match expiry {
        Expiry::Sliding(duration) if duration > LONGEST_EXPIRY => Err(Malformed::TooLate),
        Expiry::At(moment) if moment > now.plus(LONGEST_EXPIRY) => Err(Malformed::TooLate),
        Expiry::At(moment) if moment <= now => Ok(Change::Flush),
        _ => Ok(Change::Expiry(expiry)),
    }
}

#[cfg(test)]
mod tests;
