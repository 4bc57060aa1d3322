//! The other way to the same app: `sign_on`, where people sign in at the gateway's own page and never see the app's.
//!
//! Called by `analysis` when the rest is concluded. What was seen of the app's own sign-in says how to go through it; where
//! that cannot work it says why.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::findings::Findings;
use super::login_page::{path_of, without_the_place};
use super::sighting::{Field, Journal, Kind, Sighting};
use super::{exposed, witness, yaml};
use crate::config::schema::ObservedLogin;

/// What an app is given that asks for no name.
const NOBODY: &str = "everybody";
const NO_PASSWORD: &str = "write the app's password here";

/// What calls by name carry besides; one without a number gets no answer.
pub const ENVELOPE: [(&str, &str); 2] = [("id", "1"), ("jsonrpc", "2.0")];

/// A key of `sign_on`, what stands there, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub key: &'static str,
    pub value: Value,
    pub why: String,
}

impl Line {
    fn new(key: &'static str, value: Value, why: impl Into<String>) -> Self {
        Self { key, value, why: why.into() }
    }
}

/// The section, key by key, for the sign-in at `page` with the answers `good` to right passwords; `led` is where the app
/// sends strangers.
///
/// # Errors
/// Why there is none, for people.
pub fn find(
    journal: &Journal,
    good: &[&Sighting],
    page: &str,
    led: Option<&str>,
    findings: &Findings,
) -> Result<Vec<Line>, &'static str> {
    let door = good.first().ok_or("nobody signed in")?;
    cannot(journal, good, door, findings).map_or(Ok(()), Err)?;
    let has_form = journal.all().any(|(_, one)| one.asked.path == path_of(page) && one.said.asks_for_a_password());
    let by_form = has_form && !door.asked.sends_json;
    let repeated = repeated(journal, door);
    let mut lines = if by_form { by_the_form(door, page) } else { at_once(door, page, !repeated.is_empty()) };
    if !repeated.is_empty() {
        lines.push(Line::new("cookie_headers", json!(repeated), "the app's scripts send that cookie back as a header"));
    }
    let fetches_page = by_form || !repeated.is_empty();
    lines.push(credentials(&door.asked.fields));
    lines.extend(success(findings));
    let redirect = || led.filter(|_| !fetches_page).map(|led| json!({ "location": place_of(led) }));
    let expired = match &findings.expired {
        Some(expired) => Some((yaml::given(&expired.value), expired.why.as_str())),
        None => redirect().map(|expired| (expired, "it sends strangers there")),
    };
    let why = |why: &str| format!("the app has forgotten somebody, and they are signed on again: {why}");
    lines.extend(expired.map(|(value, reason)| Line::new("expired", value, why(reason))));
    let logout = findings.logout.as_ref().map(|logout| yaml::given(&logout.value));
    let why = "who signs out at the app has signed out here; without it they would be signed on again at once";
    lines.extend(logout.map(|value| Line::new("logout", value, why)));
    Ok(lines)
}

/// Why this app cannot be signed on to.
fn cannot(journal: &Journal, good: &[&Sighting], door: &Sighting, findings: &Findings) -> Option<&'static str> {
    let gives_none = good.iter().all(|one| one.said.cookies.is_empty());
    let bears_tokens = journal.all().any(|(_, one)| one.asked.has_authorization && one.asked.basic_user.is_none());
    if gives_none && (bears_tokens || door.asked.cookie_names.is_empty()) {
        return Some(
            "the app answers the right password with no cookie, but with a token that its scripts keep, and the gateway \
             cannot put that into the browser",
        );
    }
    findings.login.is_empty().then_some("it is not known what tells a right password from a wrong one")
}

fn by_the_form(door: &Sighting, page: &str) -> Vec<Line> {
    let fields = &door.asked.fields;
    let others = fields.iter().filter(|field| matches!(field.kind, Kind::Fixed(_) | Kind::Other));
    let others: Vec<&str> = others.map(|field| field.name.as_str()).collect();
    let along = match others.is_empty() {
        true => String::new(),
        false => format!("; what else its form holds is sent along: {}", others.join(", ")),
    };
    let why = format!("the page with the app's form, fetched first{along}");
    let mut lines = vec![Line::new("login_page", json!(without_the_place(page)), why)];
    // Addresses with a semicolon mostly hold a session's id.
    let leads_there = |action: &String| path_of(action) != path_of(page) && !action.contains(';');
    let action = door.plain_target().filter(leads_there);
    lines.extend(action.map(|action| Line::new("action", json!(action), "where the app's form was sent")));
    lines.push(Line::new("fields", typed(door, false), "what is filled in"));
    lines
}

/// Without the form of a page: a script draws it. The page may set a cookie all the same that the script repeats.
fn at_once(door: &Sighting, page: &str, sets_cookies: bool) -> Vec<Line> {
    let fields = &door.asked.fields;
    let fetched = sets_cookies.then(|| {
        let why = "fetched first, for the cookie that the app's scripts send back";
        Line::new("login_page", json!(without_the_place(page)), why)
    });
    let why = "where the password is sent at once, for no page holds the form: a script draws it";
    let action = door.plain_target().unwrap_or_else(|| door.asked.path.clone());
    let mut lines: Vec<Line> = fetched.into_iter().collect();
    lines.push(Line::new("action", json!(action), why));
    if door.asked.sends_json {
        lines.push(Line::new("json", json!(true), "as the app's scripts send it"));
    }
    let sent = typed(door, true);
    let is_unknown = |field: &&Field| field.kind == Kind::Other && sent.get(&field.name).is_none();
    let unknown: Vec<&str> = fields.iter().filter(is_unknown).map(|field| field.name.as_str()).collect();
    let left_out = match unknown.is_empty() {
        true => String::new(),
        false => format!("; LOOK: left out, since only the app's scripts know what to write: {}", unknown.join(", ")),
    };
    lines.push(Line::new("fields", sent, format!("what is sent{left_out}")));
    lines
}

/// For an app that asks by a dialogue of the browser.
pub fn basic() -> Vec<Line> {
    let why = "the name and the password go with each request";
    vec![Line::new("basic", json!(true), why), Line::new("credentials", json!("typed"), TYPED)]
}

const TYPED: &str = "what is typed at the gateway's page, where names and passwords here and there are the same. Otherwise \
                     { file: accounts.yaml }, with lines such as alice: { username: a.smith, password: \"...\" }, or one \
                     account for all: { username: ..., password_file: ... }";

fn credentials(fields: &[Field]) -> Line {
    match fields.iter().any(|field| field.kind == Kind::User) {
        true => Line::new("credentials", json!("typed"), TYPED),
        false => {
            let value = json!({ "username": NOBODY, "password": NO_PASSWORD });
            let why =
                "the app asks for no name: one password for all, better kept in a file of its own (password_file)";
            Line::new("credentials", value, why)
        }
    }
}

/// Cookies that the right password came with as headers too: header → cookie.
fn repeated(journal: &Journal, door: &Sighting) -> BTreeMap<String, String> {
    let cookies = door.asked.echoed.iter();
    cookies.map(|(cookie, header)| (header.clone(), exposed::lasting(cookie, journal))).collect()
}

/// Templates for name and password; the app's own words too, where no form holds them.
fn typed(door: &Sighting, with_words: bool) -> Value {
    let of_the_call = |name: &str| ENVELOPE.iter().find(|(known, _)| door.is_call() && *known == name);
    let template = |field: &Field| match &field.kind {
        Kind::User => Some(json!("{user}")),
        Kind::Password => Some(json!("{password}")),
        Kind::Fixed(word) => with_words.then(|| json!(word)),
        Kind::Other => of_the_call(&field.name).map(|(_, value)| json!(value)),
    };
    let pairs = door.asked.fields.iter().filter_map(|field| Some((field.name.clone(), template(field)?)));
    Value::Object(pairs.collect())
}

/// Where strangers are led, as `expired.location` writes it.
fn place_of(led: &str) -> String {
    if led.ends_with('?') { led.to_owned() } else { without_the_place(led) }
}

/// What tells that it has worked, as for `observe`.
fn success(findings: &Findings) -> Option<Line> {
    let told = findings.login.first().map(matchers).filter(|told| !told.is_empty());
    match (told, &findings.probe) {
        (Some(told), _) => {
            let why = findings.success_why.join("; ");
            Some(Line::new("success", Value::Object(told), why))
        }
        (None, Some(probe)) => {
            let mut asked = Map::from_iter([("path".to_owned(), json!(probe.value.path))]);
            asked.extend(probe.value.json.as_ref().map(|json| ("json".to_owned(), json!(json))));
            let regex = probe.value.regex.as_deref().map(witness::without_group);
            asked.extend(regex.map(|regex| ("regex".to_owned(), json!(regex))));
            let why = "only the next page tells, which names the user";
            Some(Line::new("success", json!({ "probe": asked }), why))
        }
        (None, None) => None,
    }
}

fn matchers(login: &ObservedLogin) -> Map<String, Value> {
    let Value::Object(mut told) = yaml::given(login) else { return Map::new() };
    for of_the_request in ["method", "path", "query", "form", "user"] {
        told.remove(of_the_request);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::super::tests::sighting;
    use super::*;

    fn sent(json: &str, with_words: bool) -> Value {
        typed(&sighting(&Journal::default(), &(&format!("POST /api {json}"), "200 {}", &[])), with_words)
    }

    #[test]
    fn names_and_words_are_sent_where_no_form_holds_them() {
        let deep = r#"{"action":"login","a":{"user":"ann","password":"x"},"remember":true}"#;
        let expected = json!({ "action": "login", "/a/user": "{user}", "/a/password": "{password}" });
        assert_eq!(sent(deep, true), expected);
        assert_eq!(sent(deep, false), json!({ "/a/user": "{user}", "/a/password": "{password}" }));
    }

    #[test]
    fn a_call_by_name_is_sent_with_a_number() {
        let numbered = sent(r#"{"method":"auth.login","params":["x"],"id":7,"jsonrpc":"2.0"}"#, true);
        let expected = json!({ "method": "auth.login", "/params/0": "{password}", "id": "1", "jsonrpc": "2.0" });
        assert_eq!(numbered, expected);
        let two = sent(r#"{"method":"auth.login","params":["ann","x"]}"#, true);
        assert_eq!(two, json!({ "method": "auth.login", "/params/0": "{user}", "/params/1": "{password}" }));
    }

    #[test]
    fn strangers_are_led_to_that_page_alone() {
        for (led, place) in [("/?", "/?"), ("/i.php?page=login&next={path}", "/i.php?page=login"), ("/in", "/in")] {
            assert_eq!(place_of(led), place);
        }
    }
}
