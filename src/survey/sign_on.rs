//! The gateway's own way through the login that was seen: what `sign_on` needs to know of it.
//!
//! Called by `analysis`. What scripts send is known from what they sent, for no page holds it.

use std::collections::BTreeMap;

use super::analysis::path_of;
use super::findings::{Findings, Reasoned};
use super::sighting::{Field, Journal, Kind, Sighting};
use super::{exposed, witness, yaml};
use crate::config::schema::{ObservedLogin, Probe, SignOnProbe, SignOnSuccess};

/// Lines of YAML for the login `good`, which people enter from `page`.
pub fn lines(journal: &Journal, good: &Sighting, page: &str, findings: &Findings) -> Vec<String> {
    let json = good.asked.sends_json;
    // No page holds the words of a script.
    let template = |field: &Field| match &field.kind {
        Kind::User => Some("{user}".to_owned()),
        Kind::Password => Some("{password}".to_owned()),
        Kind::Fixed(word) => json.then(|| word.clone()),
        Kind::Other => None,
    };
    let is_filled = |field: &&Field| template(field).is_some();
    let fields = good.asked.fields.iter().filter_map(|field| Some((field.name.clone(), template(field)?)));
    let mut fields: BTreeMap<String, String> = fields.collect();
    if json && fields.contains_key("method") {
        // JSON-RPC: a call without a number gets no answer.
        let envelope = [("id", "1"), ("jsonrpc", "2.0")];
        let sent = |name: &str| good.asked.fields.iter().any(|field| field.name == name);
        fields.extend(envelope.into_iter().filter(|(name, _)| sent(name)).map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
    let others = good.asked.fields.iter().filter(|field| !is_filled(field) && !fields.contains_key(&field.name));
    let others: Vec<&str> = others.map(|field| field.name.as_str()).collect();
    let mut lines = vec!["sign_on:".to_owned()];
    let action = good.plain_target();
    let repeated = good.asked.echoed.iter();
    let repeated: BTreeMap<String, String> =
        repeated.map(|(cookie, header)| (header.clone(), exposed::lasting(cookie, journal))).collect();
    match json {
        true => {
            if !repeated.is_empty() {
                lines.push(format!("  login_page: {}", yaml::word(&without_templates(page))));
            }
            lines.extend([format!("  action: {}", yaml::word(&good.asked.path)), "  json: true".to_owned()]);
        }
        false => {
            lines.push(format!("  login_page: {}", yaml::word(&without_templates(page))));
            let leads_there = |action: &String| path_of(action) != path_of(page);
            lines.extend(action.filter(leads_there).map(|action| format!("  action: {}", yaml::word(&action))));
        }
    }
    lines.push(format!("  fields: {}", yaml::flow(&fields)));
    if !repeated.is_empty() {
        lines.push(format!("  cookie_headers: {}", yaml::flow(&repeated)));
    }
    if !others.is_empty() {
        lines.push(format!("  # its form sends besides: {}", others.join(", ")));
    }
    match findings.login.first() {
        Some(login) => lines.push(format!("  success: {}", yaml::section(&success(login, findings.probe.as_ref())))),
        None => lines.push("  # how success shows is not known".into()),
    }
    lines
}

/// What tells success, as `sign_on` writes it.
fn success(login: &ObservedLogin, probe: Option<&Reasoned<Probe>>) -> SignOnSuccess {
    let ObservedLogin { status, location, location_not, set_cookie, json, body, body_not, .. } = login.clone();
    let probe = probe.map(|probe| {
        let Probe { path, json, regex, .. } = probe.value.clone();
        SignOnProbe { path, json, regex: regex.map(|regex| witness::without_group(&regex)) }
    });
    SignOnSuccess { status, location, location_not, set_cookie, json, body, body_not, probe }
}

/// The page to fetch, from the page to send people to.
pub fn without_templates(page: &str) -> String {
    let Some((path, query)) = page.split_once('?') else { return page.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !pair.contains("{path}")).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}
