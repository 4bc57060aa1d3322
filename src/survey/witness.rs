//! A page of the app that says who is signed in: found among those that were seen, and tried on the app.
//!
//! Called by `analysis`. A page is taken only if the code that will read it in the gateway finds the user's name there,
//! and nothing on the same page as a stranger sees it, or as it was before the sign-in.

use serde_json::Value;

use super::findings::Reasoned;
use super::matchers::scalars;
use super::sighting::{Check, Journal, Said, Sighting};
use super::words;
use crate::config::schema::{Observe, Probe};
use crate::observe::Observer;
use crate::session::VaultId;

/// How much of the text before a name belongs to the pattern, in characters.
const BEFORE: usize = 48;

/// How a name is written in a page; spaces and markup end it.
const NAME: &str = r#"([^<>"'&\s]+)"#;

/// The surest page, if there is one that was seen after `begun`, the place of a right password.
pub fn find(journal: &Journal, user: &str, begun: usize) -> Option<Reasoned<Probe>> {
    let mut pages: Vec<(&Sighting, &Check)> = journal
        .checks
        .iter()
        .filter(|check| check.place > begun)
        .filter_map(|check| Some((journal.at(check.place)?, check)))
        // The page of this one user is nobody else's.
        .filter(|(page, _)| !is_called_after(user, page))
        .collect();
    // Where a sign-in leads, everybody may go who can sign in; other pages may be for some only.
    let landing = journal.at(begun).and_then(Sighting::location);
    let rank = |page: &Sighting, check: &Check| {
        let (json, path) = (check.with.json().is_some(), &page.asked.path);
        let landed = landing.as_ref() == Some(path);
        (!json, !(json && words::is_who_am_i(path)), !landed, page.asked.query.is_some(), path.len())
    };
    pages.sort_by_key(|(page, check)| rank(page, check));
    pages.into_iter().find_map(|(page, check)| of_page(journal, page, check, user, begun))
}

fn is_called_after(user: &str, page: &Sighting) -> bool {
    let user = user.to_lowercase();
    let mut pieces = page.asked.path.split('/').map(str::to_lowercase);
    let query = form_urlencoded::parse(page.asked.query.as_deref().unwrap_or_default().as_bytes());
    pieces.any(|piece| piece == user) || query.into_iter().any(|(_, value)| value.to_lowercase() == user)
}

fn of_page(journal: &Journal, page: &Sighting, check: &Check, user: &str, begun: usize) -> Option<Reasoned<Probe>> {
    let query = page.asked.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{}{query}", page.asked.path);
    let same = |one: &Sighting| one.asked.path == page.asked.path && one.asked.query == page.asked.query;
    let before = journal.all().filter(|(place, one)| *place <= begun && same(one)).map(|(_, one)| &one.said);
    let silent: Vec<&Said> = before.chain([&check.without]).collect();
    let names = |probe: &Probe, said: &Said| read(probe, said);
    let tells = |probe: &Probe| {
        let named = names(probe, &check.with).is_some_and(|found| found.eq_ignore_ascii_case(user));
        named && silent.iter().all(|said| names(probe, said).is_none())
    };
    let probe = candidates(&path, &check.with, user).into_iter().find(tells)?;
    let stranger = check.without.status.as_u16();
    let why = format!(
        "asked by the gateway after each sign-in: {path} says who it is, and a stranger gets {stranger} and no name. It \
         must be a page that all of your users may see"
    );
    Some(Reasoned::new(probe, why))
}

/// Whom the gateway would take the page to name.
fn read(probe: &Probe, said: &Said) -> Option<String> {
    let observe = Observe { probe: Some(probe.clone()), ..Observe::default() };
    let observer = Observer::from_config(&observe, VaultId::of("")).ok()?;
    observer.probe()?.read(&said.answer(), None).map(|claims| claims.user)
}

/// The pattern without its group, for who asks only whether there is a name.
pub fn without_group(regex: &str) -> String {
    regex.replace(NAME, r#"[^<>"'&\s]+"#)
}

fn candidates(path: &str, said: &Said, user: &str) -> Vec<Probe> {
    let probe = Probe { path: path.into(), ..Probe::default() };
    match said.json() {
        Some(json) => {
            pointers(&json, user).into_iter().map(|json| Probe { json: Some(json), ..probe.clone() }).collect()
        }
        None => {
            regexes(&said.text(), user).into_iter().map(|regex| Probe { regex: Some(regex), ..probe.clone() }).collect()
        }
    }
}

/// Where in a document the user's name stands, the plainest place first.
pub fn pointers(json: &Value, user: &str) -> Vec<String> {
    let mut found = Vec::new();
    scalars(json, String::new(), &mut found);
    found.retain(|(_, value)| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(user)));
    found.sort_by_key(|(pointer, value)| (value.as_str() != Some(user), !words::is_user(pointer), pointer.len()));
    found.into_iter().map(|(pointer, _)| pointer).collect()
}

/// Patterns for the places of a page where the user's name stands, with what is around it.
fn regexes(html: &str, user: &str) -> Vec<String> {
    if user.contains(|c: char| c.is_whitespace() || "<>\"'&".contains(c)) {
        return Vec::new();
    }
    let mut found: Vec<((bool, bool), String)> = Vec::new();
    for (at, name) in html.match_indices(user) {
        let end = at + name.len();
        let (before, after) = (&html[..at], html[end..].chars().next());
        let Some(context) = context(before, user).filter(|_| is_whole(before, &html[end..])) else { continue };
        let after = after.filter(|c| !c.is_whitespace()).map(|c| regex::escape(&c.to_string())).unwrap_or_default();
        let regex = format!("{context}{NAME}{after}");
        // Words say more than a link, `Logged in as` before `/user/`; and what a script holds is for the script.
        let rank = (is_in_a_script(before), regex.contains("href="));
        if !found.iter().any(|(_, known)| *known == regex) {
            found.push((rank, regex));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, regex)| regex).take(12).collect()
}

/// Whether the name stands alone. SECURITY: the beginning of an e-mail address, or of a longer name, may be another
/// user's name.
fn is_whole(before: &str, after: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '@' | '-' | '_' | '+' | '%');
    let mut next = after.chars();
    let goes_on = match next.next() {
        None => true,
        Some('.') => next.next().is_some_and(|c| !c.is_whitespace() && c != '<'),
        Some(c) => joins(c),
    };
    !goes_on && !before.ends_with(joins) && !before.ends_with('.')
}

fn is_in_a_script(before: &str) -> bool {
    before.rfind("<script").is_some_and(|opened| !before[opened..].contains("</script"))
}

/// A pattern for what stands before the name: words or attributes, for a bare `<b>` may hold anything.
fn context(before: &str, user: &str) -> Option<String> {
    let start = before.char_indices().rev().take(BEFORE).last().map_or(before.len(), |(at, _)| at);
    // Not from the middle of a word, however long.
    let word = before[..start].chars().rev().take(BEFORE).take_while(|c| c.is_alphanumeric()).map(char::len_utf8);
    let start = start - word.sum::<usize>();
    let mut context = &before[start..];
    // Numbers are ids, dates or tokens as a rule; a variable of our own configuration must not begin there.
    if let Some(at) = context.rfind(|c: char| c.is_ascii_digit() || c == '$') {
        context = &context[at + 1..];
    }
    // Nor the name itself, as in a link to their page.
    if let Some(at) = context.rfind(user) {
        context = &context[at + user.len()..];
    }
    let (pattern, fixed) = pattern(context);
    // A pattern begins with something to see.
    let pattern = pattern.strip_prefix(r"\s+").map(str::to_owned).unwrap_or(pattern);
    (telling_letters(&fixed) >= 3).then_some(pattern)
}

/// The pattern of a context, and what of it is fixed: what an element before the name holds may be this user's as
/// well, such as the name for people, unless it is a label.
fn pattern(context: &str) -> (String, String) {
    let (mut pattern, mut fixed, mut rest) = (String::new(), String::new(), context);
    while let Some((head, tail)) = rest.split_once("</") {
        let (tags, text) = head.split_at(head.rfind('>').map_or(0, |at| at + 1));
        let stays = text.trim().is_empty() || text.trim_end().ends_with(':');
        let kept = if stays { head } else { tags };
        pattern += &loosely(kept);
        pattern += if stays { "</" } else { "[^<]*</" };
        fixed += kept;
        fixed += "</";
        rest = tail;
    }
    (pattern + &loosely(rest), fixed + rest)
}

/// The text itself, with any blanks where it has some.
fn loosely(text: &str) -> String {
    let mut pattern = String::new();
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        pattern += &regex::escape(word);
        if word.len() < piece.len() && !(word.is_empty() && pattern.ends_with(r"\s+")) {
            pattern += r"\s+";
        }
    }
    pattern
}

/// Letters that are not those of a bare tag such as `<strong>`.
fn telling_letters(context: &str) -> usize {
    let texts = context.split('<').map(|part| match part.split_once('>') {
        Some((tag, text)) if !tag.contains('=') => text,
        _ => part,
    });
    texts.map(|text| text.chars().filter(|c| c.is_alphabetic()).count()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_plainest_place_of_a_name_comes_first() {
        let json = json!({"a": {"title": "ann"}, "user": {"login": "ann", "mail": "ann@x"}, "list": ["ann"]});
        assert_eq!(pointers(&json, "ann"), ["/user/login", "/a/title"]);
    }

    #[test]
    fn a_part_of_a_longer_name_is_none_and_what_a_script_holds_comes_last() {
        for part in ["Logged in as: ann@example.com<", "Logged in as: ann.lee <", "Logged in as: mary-ann <"] {
            assert!(regexes(part, "ann").is_empty(), "{part}");
        }
        let html = "<script>var user = 'ann';</script><p>Hello, this is ann.</p>";
        let found = regexes(html, "ann");
        assert_eq!(found.len(), 2);
        assert!(found[0].contains(r"this\s+is\s+"), "{found:?}");
    }

    #[test]
    fn a_name_is_found_by_the_words_before_it() {
        let html = "<p>by joanna</p>\n<a href=\"/u/ann\">x</a>\n  <ul><li>Logged in as: <bdi>ann</bdi></li>";
        let found = regexes(html, "ann");
        assert!(found[0].ends_with(r#"<li>Logged\s+in\s+as:\s+<bdi>([^<>"'&\s]+)<"#), "{found:?}");
        assert_eq!(found.len(), 2);
        assert_eq!(regexes("Welcome,\n   <strong>ann</strong>", "ann"), [r#"Welcome,\s+<strong>([^<>"'&\s]+)<"#]);
        let wiki = r#"<li>Logged in as: <bdi>A. Lee</bdi> (<bdi>ann</bdi>)</li>"#;
        assert!(regexes(wiki, "ann")[0].contains(r"as:\s+<bdi>[^<]*</bdi>\s+\(<bdi>"), "{:?}", regexes(wiki, "ann"));
        assert_eq!(regexes("<a href=\"/u/ann\">ann</a>", "ann"), [r#"<a\s+href="/u/([^<>"'&\s]+)""#]);
        for bare in ["<b>42 ann</b>", "<span>, </span>\n<strong>ann</strong>", "<td>ann</td>"] {
            assert!(regexes(bare, "ann").is_empty(), "{bare}");
        }
    }

    proptest! {
        #[test]
        fn every_pattern_compiles_and_finds_a_name(before in "[ -~äß]{0,50}", after in "[ -~]{0,10}") {
            let html = format!("{before}ann{after}");
            for regex in regexes(&html, "ann") {
                let regex = regex::Regex::new(&regex).unwrap();
                prop_assert!(regex.is_match(&html));
            }
        }
    }
}
