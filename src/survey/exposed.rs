//! Cookies that the app's scripts read or write, which the vault must therefore let through.
//!
//! Called by `analysis`.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Reasoned;
use super::sighting::{Journal, Sighting};
use crate::config::schema;
use crate::html::{Token, tokens};
use crate::jar::Operation;

/// Names of such cookies, and how that shows.
pub fn names(journal: &Journal) -> Vec<Reasoned<String>> {
    let code: Vec<String> = journal.all().filter_map(|(_, one)| code_of(one)).collect();
    let set = set_by_the_app(journal);
    let is_spoken_of = |name: &str| {
        let quoted = ['"', '\'', '`'].map(|quote| [format!("{quote}{name}{quote}"), format!("{quote}{name}=")]);
        code.iter().any(|code| quoted.iter().flatten().any(|quoted| code.contains(quoted)))
    };
    let mut found = Vec::new();
    let repeated = repeated(journal);
    for (name, readable) in &set {
        if *readable && let Some(header) = repeated.get(name) {
            found
                .push(Reasoned::new(lasting(name, journal), format!("the app's scripts send {name} back as {header}")));
        } else if *readable && is_spoken_of(name) {
            found.push(Reasoned::new(name.clone(), format!("{name} is named in the app's scripts, and not HttpOnly")));
        }
    }
    // Cookies of other programs on this machine come too, but those come with the first request.
    let mut begun: BTreeSet<&String> = BTreeSet::new();
    let writes = code.iter().any(|code| code.contains("document.cookie"));
    for (number, (_, sighting)) in journal.all().enumerate() {
        for name in &sighting.asked.cookie_names {
            let is_new = begun.insert(name) && number > 0 && !set.contains_key(name);
            if is_new && writes && is_spoken_of(name) {
                found.push(Reasoned::new(name.clone(), format!("{name} is set by the app's scripts")));
            }
        }
    }
    found
}

/// Cookies that came back as a header too, and which.
fn repeated(journal: &Journal) -> BTreeMap<&String, &String> {
    journal.all().flat_map(|(_, one)| &one.asked.echoed).map(|(name, header)| (name, header)).collect()
}

/// Some apps put the port that the browser asks into the name: that is another one at the gateway.
pub fn lasting(name: &str, journal: &Journal) -> String {
    let ports = journal.all().filter_map(|(_, one)| one.asked.port.as_deref());
    let beginning = ports.filter_map(|port| name.strip_suffix(port)).find(|beginning| beginning.len() >= 3);
    beginning.map_or(name.to_owned(), |beginning| format!("{beginning}*"))
}

/// Whether that means the gateway's own cookie, which is not the app's to read.
pub fn is_the_gateways(name: &str) -> bool {
    let own = schema::Cookie::default().name;
    own == name || name.strip_suffix('*').is_some_and(|beginning| own.starts_with(beginning))
}

/// The script, or the scripts of a page: what else it says of a name, in a form for example, needs no cookie.
fn code_of(sighting: &Sighting) -> Option<String> {
    let (said, text) = (&sighting.said, || sighting.said.text());
    if said.is_html() {
        let page = text();
        let scripts = tokens(&page).filter_map(|token| match token {
            Token::Raw(script) => Some(script),
            _ => None,
        });
        return Some(scripts.collect::<Vec<_>>().join("\n"));
    }
    said.is_asset().then(text)
}

/// All cookies that the app itself sets, and whether scripts may read them.
pub fn set_by_the_app(journal: &Journal) -> BTreeMap<String, bool> {
    let operations = journal.all().flat_map(|(_, one)| &one.said.cookies);
    let set = operations.filter_map(|operation| match operation {
        Operation::Set(cookie) => Some((String::from_utf8(cookie.name().to_vec()).ok()?, !cookie.http_only())),
        Operation::Delete(_) => None,
    });
    let mut all = BTreeMap::new();
    for (name, readable) in set {
        *all.entry(name).or_insert(true) &= readable;
    }
    all
}
