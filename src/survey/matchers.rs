//! What of an answer to a password tells a right one from a wrong one: the smallest set of matchers that does.
//!
//! Called by `analysis`. Each candidate is put to the very code that will judge in the gateway.

use std::collections::BTreeSet;

use serde_json::Value;

use super::sighting::Sighting;
use super::{login_page, words};
use crate::config::schema::{Observe, ObservedLogin, StatusPattern};
use crate::jar::Operation;
use crate::observe::Observer;
use crate::session::VaultId;

/// Matchers, and why they were chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub login: ObservedLogin,
    pub why: Vec<String>,
    /// Whether a wrong password has shown that they tell.
    pub certain: bool,
}

/// One condition that holds for right answers.
struct Matcher {
    apply: Box<dyn Fn(&mut ObservedLogin)>,
    why: String,
}

impl Matcher {
    fn new(why: String, apply: impl Fn(&mut ObservedLogin) + 'static) -> Self {
        Self { apply: Box::new(apply), why }
    }
}

/// No browser draws such a field otherwise.
const PASSWORD_FIELD: &str = r#"(?i)<input[^>]+type=["']?password"#;
const WAY_OUT: &str = r#"(?i)(href|action)=["'][^"']*(log|sign)[-_]?(out|off)"#;

/// Chooses for `door`, the request itself; `known_cookies` were there before it.
pub fn choose(
    door: &ObservedLogin,
    login_page: &str,
    good: &[&Sighting],
    bad: &[&Sighting],
    known_cookies: &BTreeSet<Vec<u8>>,
) -> Option<Chosen> {
    let candidates = candidates(door, login_page, good, bad, known_cookies);
    let with = |set: &[&Matcher]| {
        let mut login = door.clone();
        set.iter().for_each(|matcher| (matcher.apply)(&mut login));
        login
    };
    let holds = |set: &[&Matcher]| good.iter().all(|one| fits(&with(set), one));
    let tells = |set: &[&Matcher]| holds(set) && !bad.iter().any(|one| fits(&with(set), one));
    let chosen = |set: &[&Matcher], certain: bool| Chosen {
        login: with(set),
        why: set.iter().map(|matcher| matcher.why.clone()).collect(),
        certain,
    };
    let holding: Vec<&Matcher> = candidates.iter().filter(|one| holds(&[*one])).collect();
    if bad.is_empty() {
        // Nothing has shown what a failure looks like, so all that may be one is excluded.
        return (!holding.is_empty() && holds(&holding)).then(|| chosen(&holding, false));
    }
    if let Some(single) = holding.iter().find(|one| tells(&[**one])) {
        return Some(chosen(&[*single], true));
    }
    let pairs = holding
        .iter()
        .enumerate()
        .flat_map(|(number, one)| holding[number + 1..].iter().map(move |other| [*one, *other]));
    let pairs: Vec<[&Matcher; 2]> = pairs.collect();
    pairs.iter().find(|pair| tells(&pair[..])).map(|pair| chosen(pair, true))
}

/// Whether the gateway would take the answer for a success.
pub fn fits(login: &ObservedLogin, sighting: &Sighting) -> bool {
    let observe = Observe { login: vec![login.clone()], ..Observe::default() };
    let observer = Observer::from_config(&observe, VaultId::of(""));
    observer.is_ok_and(|observer| observer.is_success(&sighting.asked.path, &sighting.answer()))
}

/// All that could tell, the surest and plainest first.
fn candidates(
    door: &ObservedLogin,
    login_page: &str,
    good: &[&Sighting],
    bad: &[&Sighting],
    known_cookies: &BTreeSet<Vec<u8>>,
) -> Vec<Matcher> {
    let page = login_page::without_the_place(login_page);
    let mut all = Vec::new();
    // Where wrong ones lead, then the page itself, then where it is posted to.
    let mut avoided: Vec<String> = bad.iter().filter_map(|one| one.location()).collect();
    avoided.extend([page, door.path.clone()]);
    let redirects = good.iter().all(|one| one.said.status.is_redirection());
    let mut offered = BTreeSet::new();
    for path in avoided.into_iter().filter(|_| redirects) {
        if offered.insert(path.clone()) && (!bad.is_empty() || offered.len() == 1) {
            let why = format!("a right password leads elsewhere than to {path}");
            all.push(Matcher::new(why, move |login| login.location_not = Some(path.clone())));
        }
    }
    // Other failures than a wrong password may come with the status of a success, but not with its words.
    all.extend(json(good));
    all.extend(status(good, bad));
    all.extend(location(good).filter(|_| !bad.is_empty()));
    all.extend(cookies(good, known_cookies));
    if good.iter().all(|one| one.said.is_html() && one.said.status.is_success()) {
        let why = "after a right password the page asks for none".to_owned();
        all.push(Matcher::new(why, |login| login.body_not = Some(PASSWORD_FIELD.into())));
        let why = "after a right password the page has a link to sign out".to_owned();
        all.push(Matcher::new(why, |login| login.body = Some(WAY_OUT.into())));
    }
    all
}

fn status(good: &[&Sighting], bad: &[&Sighting]) -> Option<Matcher> {
    let codes: BTreeSet<u16> = good.iter().map(|one| one.said.status.as_u16()).collect();
    let others: BTreeSet<u16> = bad.iter().map(|one| one.said.status.as_u16()).collect();
    let patterns: Vec<StatusPattern> = codes.iter().map(|code| StatusPattern::Code(*code)).collect();
    let against = if others.is_empty() { String::new() } else { format!(", a wrong one with {}", list(&others)) };
    let why = format!("a right password is answered with {}{against}", list(&codes));
    Some(Matcher::new(why, move |login| login.status.clone_from(&patterns)))
}

fn list(codes: &BTreeSet<u16>) -> String {
    codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

fn location(good: &[&Sighting]) -> Option<Matcher> {
    let path = good.first()?.location()?;
    let why = format!("a right password leads to {path}");
    good.iter()
        .all(|one| one.location().as_ref() == Some(&path))
        .then(|| Matcher::new(why, move |login| login.location = Some(path.clone())))
}

/// Values that say yes or no in the app's own words.
fn json(good: &[&Sighting]) -> Vec<Matcher> {
    let Some(first) = good.first() else { return Vec::new() };
    let mut found = Vec::new();
    scalars(&first.said.json().unwrap_or(Value::Null), String::new(), &mut found);
    // What else stands there may be this user's alone.
    let is_telling = |pointer: &str, value: &Value| match value {
        Value::Bool(_) => words::is_outcome(pointer),
        Value::String(text) => words::is_outcome(text),
        _ => false,
    };
    found.retain(|(pointer, value)| is_telling(pointer, value));
    found.sort_by_key(|(pointer, value)| (value.is_string(), pointer.len()));
    let matcher = |(pointer, value): (String, Value)| {
        let why = format!("the answer to a right password says {value} at {pointer}");
        Matcher::new(why, move |login| drop(login.json.insert(pointer.clone(), value.clone())))
    };
    found.into_iter().take(6).map(matcher).collect()
}

/// Every scalar of an object, with its pointer; lists are of no fixed length.
pub fn scalars(value: &Value, pointer: String, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let key = key.replace('~', "~0").replace('/', "~1");
                scalars(value, format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(_) => {}
        scalar if !pointer.is_empty() => found.push((pointer, scalar.clone())),
        _ => {}
    }
}

/// Cookies that every right answer sets and that were not there before.
fn cookies(good: &[&Sighting], known: &BTreeSet<Vec<u8>>) -> Vec<Matcher> {
    let Some(first) = good.first() else { return Vec::new() };
    let sets = first.said.cookies.iter().filter(|operation| matches!(operation, Operation::Set(_)));
    let names = sets.map(Operation::name).filter(|name| !known.contains(*name));
    let text = names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).filter(|name| !name.is_empty());
    let matcher = |name: String| {
        let why = format!("a right password sets the cookie {name}");
        Matcher::new(why, move |login| login.set_cookie = Some(name.clone()))
    };
    // A rule has room for one.
    text.take(1).map(matcher).collect()
}
