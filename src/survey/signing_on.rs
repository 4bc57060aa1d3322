//! The other way to the same app: `sign_on`, where people sign in at the gateway's own page and never see the app's.
//!
//! Called by `analysis` when the rest is concluded. What was seen of the app's own sign-in says how to go through it; where
//! that cannot work it says why.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::findings::Findings;
use super::login_page::path_of;
use super::sighting::{Field, Journal, Kind, Sighting};
use super::{witness, yaml};
use crate::config::schema::ObservedLogin;

/// What an app is given that asks for no name.
const NOBODY: &str = "everybody";
const NO_PASSWORD: &str = "write the app's password here";

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
    let mut lines = if by_form { by_the_form(door, page) } else { at_once(door) };
    lines.push(credentials(&door.asked.fields));
    lines.extend(success(findings));
    let redirect = || led.filter(|_| !by_form).map(|led| json!({ "location": path_of(led) }));
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
    if door.asked.sends_json && door.asked.fields.iter().any(|field| of_json(field).is_none()) {
        return Some("the app's scripts send a nested JSON document, and the gateway sends plain ones");
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
    let page = Line::new("login_page", json!(without_the_place(page)), why);
    vec![page, Line::new("fields", typed(fields, false), "what is filled in")]
}

/// Without a page: a script draws the form.
fn at_once(door: &Sighting) -> Vec<Line> {
    let fields = &door.asked.fields;
    let why = "where the password is sent at once, for no page holds the form: a script draws it";
    let mut lines = vec![Line::new("action", json!(door.asked.path), why)];
    if door.asked.sends_json {
        lines.push(Line::new("json", json!(true), "as the app's scripts send it"));
    }
    let unknown: Vec<&str> =
        fields.iter().filter(|field| field.kind == Kind::Other).map(|field| field.name.as_str()).collect();
    let left_out = match unknown.is_empty() {
        true => String::new(),
        false => format!("; LOOK: left out, since only the app's scripts know what to write: {}", unknown.join(", ")),
    };
    lines.push(Line::new("fields", typed(fields, true), format!("what is sent{left_out}")));
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

/// Templates for name and password; the app's own words too, where no form holds them.
fn typed(fields: &[Field], with_words: bool) -> Value {
    let template = |field: &Field| match &field.kind {
        Kind::User => Some(json!("{user}")),
        Kind::Password => Some(json!("{password}")),
        Kind::Fixed(word) => with_words.then(|| json!(word)),
        Kind::Other => None,
    };
    let name = |field: &Field| of_json(field).unwrap_or(&field.name).to_owned();
    let pairs = fields.iter().filter_map(|field| Some((name(field), template(field)?)));
    Value::Object(pairs.collect())
}

/// The key of a flat JSON document; forms have no such names.
fn of_json(field: &Field) -> Option<&str> {
    match field.name.strip_prefix('/') {
        Some(key) => Some(key).filter(|key| !key.contains(['/', '~'])),
        None => Some(&field.name),
    }
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

/// The page without the parameter for where people wanted to go.
fn without_the_place(page: &str) -> String {
    let Some((path, query)) = page.split_once('?') else { return page.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.ends_with("={path}")).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_fetched_from_its_page_and_not_from_the_way_to_another() {
        for (page, expected) in [("/in?next={path}", "/in"), ("/a.php?do=in&next={path}", "/a.php?do=in"), ("/", "/")] {
            assert_eq!(without_the_place(page), expected);
        }
    }

    #[test]
    fn names_and_words_are_sent_where_no_form_holds_them() {
        let field = |name: &str, kind| Field { name: name.into(), kind };
        let fields = [
            field("/grant_type", Kind::Fixed("password".into())),
            field("/u", Kind::User),
            field("/p", Kind::Password),
            field("/token", Kind::Other),
        ];
        let expected = json!({ "grant_type": "password", "u": "{user}", "p": "{password}" });
        assert_eq!(typed(&fields, true), expected);
        assert_eq!(typed(&fields, false), json!({ "u": "{user}", "p": "{password}" }));
        assert_eq!(of_json(&field("/a/b", Kind::User)), None);
    }
}
