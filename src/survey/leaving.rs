//! The other end: the request that signs out, and how the app shows that it has forgotten somebody.
//!
//! Called by `analysis`, and by `passage` while it happens.

use std::sync::LazyLock;

use http::{Method, StatusCode};
use regex::Regex;

use super::attempts::Attempts;
use super::findings::Reasoned;
use super::sighting::{Journal, Said, Sighting};
use super::words;
use crate::config::schema::{Expired, ObservedLogout, StatusPattern};
use crate::jar::Operation;

static OF_A_PLACE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:[0-9a-f]{16,}|[0-9]{1,3}(?:[-_.:][0-9]+){3,4}|[-_.:][0-9]{2,5})$").ok());

/// Whether this looks like a sign-out that has taken place.
pub fn signs_out(sighting: &Sighting) -> bool {
    let (asked, said) = (&sighting.asked, &sighting.said);
    let done = said.status.is_success() || said.status.is_redirection();
    let leads_out = words::is_way_out(&asked.path) || !telling(sighting.query_words()).is_empty();
    let says_so = !telling(sighting.fixed_fields()).is_empty();
    let ends_it = asked.method == Method::DELETE && words::is_way_in(asked.path.rsplit('/').next().unwrap_or_default());
    done && (leads_out || says_so || ends_it) && !said.is_asset() && !sighting.offers_a_password() && !asks_back(said)
}

/// A page that asks whether to sign out.
fn asks_back(said: &Said) -> bool {
    let deletes = said.cookies.iter().any(|operation| matches!(operation, Operation::Delete(_)));
    let text = said.text().to_ascii_lowercase();
    let posts = text.contains("method=\"post\"") || text.contains("method=post") || text.contains("method='post'");
    said.status.is_success() && said.is_html() && posts && !deletes && !said.asks_for_a_password()
}

fn telling(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.into_iter().filter(|(name, value)| words::is_way_out(value) || words::is_way_out(name)).collect()
}

/// The place of the first sign-out after a right password: called so, or else the one that takes a cookie of the
/// sign-in away.
fn first(journal: &Journal, attempts: &Attempts) -> Option<usize> {
    let begun = *attempts.good.first()?;
    let after = || journal.all().filter(move |(place, sighting)| *place > begun && !sighting.offers_a_password());
    let called_so = after().find(|(_, sighting)| signs_out(sighting));
    let of_the_sign_in = |name: &[u8]| {
        let given = journal.at(begun).into_iter().flat_map(|sighting| &sighting.said.cookies);
        given.filter(|operation| matches!(operation, Operation::Set(_))).any(|operation| operation.name() == name)
    };
    let takes = |one: &Sighting| {
        let mut gone = one.said.cookies.iter().filter(|operation| matches!(operation, Operation::Delete(_)));
        gone.any(|operation| of_the_sign_in(operation.name()))
    };
    // A path where nothing was taken away at another time is no sign-out by itself.
    let always = |path: &str| after().filter(|(_, one)| one.asked.path == path).all(|(_, one)| takes(one));
    let found = called_so.or_else(|| after().find(|(_, one)| takes(one) && always(&one.asked.path)));
    found.map(|(place, _)| place)
}

/// The request that signs out.
pub fn logout(journal: &Journal, attempts: &Attempts) -> Option<Reasoned<ObservedLogout>> {
    let sighting = journal.at(first(journal, attempts)?)?;
    let asked = &sighting.asked;
    let by_path = words::is_way_out(&asked.path);
    let query = if by_path { Vec::new() } else { telling(sighting.query_words()) };
    let form = if by_path || !query.is_empty() { Vec::new() } else { telling(sighting.fixed_fields()) };
    let is_plain_get = asked.method == Method::GET;
    let logout = ObservedLogout {
        // A link may be followed, or pressed; what is posted or deleted asks first.
        method: if is_plain_get { Vec::new() } else { vec![asked.method.to_string()] },
        path: asked.path.clone(),
        query: query.into_iter().collect(),
        form: form.into_iter().collect(),
        // Many apps ask back without the token of their own link, with 200.
        status: if sighting.said.status.is_redirection() { vec![StatusPattern::Class(3)] } else { Vec::new() },
    };
    let why = format!(
        "{} {} was the sign-out, answered with {}: it ends the session here too",
        asked.method,
        asked.path,
        sighting.said.status.as_u16()
    );
    Some(Reasoned::new(logout, why))
}

/// Path and query of the last page that was seen between signing in and signing out.
pub fn last_page(journal: &Journal) -> Option<String> {
    let attempts = super::attempts::judge(journal)?;
    let begun = *attempts.good.last()?;
    let end = first(journal, &attempts).filter(|end| *end > begun).unwrap_or(usize::MAX);
    let is_page = |sighting: &Sighting| {
        let asked = &sighting.asked;
        asked.method == Method::GET && sighting.said.status == 200 && sighting.said.is_html() && asked.navigates
    };
    let mut within = journal.all().rev().filter(|(place, _)| (begun + 1..end).contains(place));
    let (_, page) = within.find(|(_, one)| is_page(one) && !one.said.asks_for_a_password())?;
    let query = page.asked.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{}{query}", page.asked.path))
}

/// What tells that the app has forgotten somebody, if it is not the redirect to `login_page` that the gateway looks for
/// anyway; `given` are cookies that a right password brings.
pub fn expired(page: &str, said: &Said, login_page: &str, given: &[&[u8]]) -> Option<Reasoned<Expired>> {
    let path = page.split('?').next().unwrap_or_default();
    let why = |what: &str| format!("to a stranger {path} {what}");
    match said.status.as_u16() {
        401 => {
            let expired = Expired { status: vec![StatusPattern::Code(401)], ..Expired::default() };
            Some(Reasoned::new(expired, why("answers 401")))
        }
        300..=399 => {
            let location = said.answer().location(path)?;
            let known = login_page.split('?').next().unwrap_or_default() == location;
            let why = why(&format!("leads to {location}"));
            (!known).then(|| Reasoned::new(Expired { location: Some(location), ..Expired::default() }, why))
        }
        _ => {
            let gone = said.cookies.iter().filter(|operation| matches!(operation, Operation::Delete(_)));
            let name = gone.map(Operation::name).find(|name| given.contains(name))?;
            let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.ends_with('*'))?;
            let why = why(&format!("deletes the cookie {name}, which a right password brings"));
            Some(Reasoned::new(Expired { delete_cookie: Some(steady(name)), ..Expired::default() }, why))
        }
    }
}

/// Some apps make names of the host and the port by which they are called, or of a hash of them; both are others behind
/// the gateway. What comes before that stays.
fn steady(name: &str) -> String {
    let Some(regex) = &*OF_A_PLACE else { return name.to_owned() };
    match regex.find(name) {
        Some(made) if made.start() >= 2 => format!("{}*", &name[..made.start()]),
        _ => name.to_owned(),
    }
}

/// The same, where a script asked for something before the sign-in at `begun`, was refused, and got it afterwards.
pub fn refusal(journal: &Journal, begun: usize) -> Option<Reasoned<Expired>> {
    let is_refused = |one: &Sighting| one.said.status == StatusCode::UNAUTHORIZED && !one.offers_a_password();
    let (_, refused) = journal.all().find(|(place, one)| *place < begun && is_refused(one))?;
    let is_given = |one: &Sighting| one.asked.path == refused.asked.path && one.said.status.is_success();
    journal.all().find(|(place, one)| *place > begun && is_given(one))?;
    let why = format!("to a stranger {} answers 401", refused.asked.path);
    Some(Reasoned::new(Expired { status: vec![StatusPattern::Code(401)], ..Expired::default() }, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_without_what_is_made_of_host_and_port() {
        for (name, expected) in [
            ("DW23ce1dc49f0acb2a79cbbd0d4887e6d7", "DW*"),
            ("username-127-0-0-1-8888", "username-*"),
            ("session_8080", "session*"),
            ("23ce1dc49f0acb2a79cbbd0d4887e6d7", "23ce1dc49f0acb2a79cbbd0d4887e6d7"),
            ("sessionid", "sessionid"),
            ("PHPSESSID", "PHPSESSID"),
        ] {
            assert_eq!(steady(name), expected);
        }
    }
}
