//! Where people sign in: the address that strangers are sent to.
//!
//! Called by `analysis`; `passage` asks for [`candidates`] as a stranger, since an app may show its sign-in on every page
//! that a stranger opens, and a page to work on is no address for strangers.

use std::sync::LazyLock;

use http::{Method, header};
use regex::Regex;

use super::attempts;
use super::findings::Reasoned;
use super::sighting::{Journal, Said, Sighting, Strangers};
use super::words;

/// So many addresses are tried.
const MOST_CANDIDATES: usize = 3;

static LINK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?is)<a\b[^>]*?\bhref\s*=\s*["']([^"'#\s]+)"#).ok());

/// The page for the right password at `begun`, the request `door`.
pub fn find(journal: &Journal, begun: usize, door: &Sighting, strangers: &Strangers) -> Reasoned<String> {
    let told_apart = |page: String| told_apart(journal, begun, page);
    let kept = shown(journal, begun, door).map(|from| told_apart(without_odd_parameters(&from, "")));
    let led = strangers.last_page.as_ref().and_then(|(path, said)| led_to(path, said)).filter(|led| {
        let asks =
            |(_, one): (usize, &Sighting)| one.asked.path == path_of(&led.value) && one.said.asks_for_a_password();
        kept.as_ref().is_none_or(|kept| path_of(kept) == path_of(&led.value)) || journal.all().any(asks)
    });
    let alone = strangers.sign_in_pages.iter().find(|(_, said)| said.asks_for_a_password()).map(|(page, _)| {
        let from = kept.as_deref().unwrap_or_default();
        Reasoned::new(page.clone(), format!("it shows the sign-in and nothing else, while people work on {from}"))
    });
    let shown = kept.clone().map(|kept| Reasoned::new(kept, "people signed in from there".into()));
    let posted = || Reasoned::new(told_apart(door.asked.path.clone()), "passwords go there".into());
    let led = led.map(|led| Reasoned::new(told_apart(led.value), led.why));
    led.or(alone).or(shown).unwrap_or_else(posted)
}

/// Where the form was: where the browser says, or the last page with one if the app has it say nothing.
fn shown(journal: &Journal, begun: usize, door: &Sighting) -> Option<String> {
    let is_form = |one: &Sighting| one.asked.method == Method::GET && one.said.asks_for_a_password();
    let last = || journal.all().rev().find(|(place, one)| *place < begun && is_form(one));
    door.asked.referer.clone().or_else(|| last().map(|(_, one)| one.asked.target()))
}

/// The page, told from others of the app at the same path, if there are some: `/?` is `/` without a query.
fn told_apart(journal: &Journal, begun: usize, page: String) -> String {
    // What `/` shows is mostly a script's work, which has a name as well.
    let is_same = |path: &str| path == page || path.strip_prefix(&*page).is_some_and(|file| file.starts_with("index."));
    let is_another = |one: &Sighting| {
        let asked = &one.asked;
        let has_query = asked.query.as_ref().is_some_and(|query| !query.is_empty());
        let is_page = one.said.status == 200 && one.said.is_html() && !one.said.asks_for_a_password();
        asked.method == Method::GET && is_same(&asked.path) && has_query && is_page
    };
    let is_shared = journal.all().any(|(place, one)| place > begun && is_another(one));
    if is_shared && !page.contains('?') && !words::is_way_in(&page) { page + "?" } else { page }
}

/// Where a stranger was led who asked for `path`.
fn led_to(path: &str, said: &Said) -> Option<Reasoned<String>> {
    let page = said.answer().location(path_of(path))?;
    let text = said.headers.get(header::LOCATION)?.to_str().ok()?;
    let query = text.split('#').next()?.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
    let value = without_odd_parameters(&format!("{page}{query}"), path);
    Some(Reasoned::new(value, format!("the app itself sends a stranger there who wants to see {path}")))
}

/// Addresses that may show the sign-in alone, where people signed in on a page that they worked on as well: what the form
/// says, or a link of that page.
pub fn candidates(journal: &Journal) -> Vec<String> {
    let Some(attempts) = attempts::judge(journal).filter(|attempts| !attempts.basic) else { return Vec::new() };
    let Some((begun, door)) = attempts.good.first().and_then(|begun| Some((*begun, journal.at(*begun)?))) else {
        return Vec::new();
    };
    let Some(from) = shown(journal, begun, door) else { return Vec::new() };
    let from = from.as_str();
    let is_from = |one: &Sighting| one.asked.target() == from;
    let worked_on = journal.all().any(|(place, one)| {
        place > begun && is_from(one) && one.said.status.is_success() && !one.said.asks_for_a_password()
    });
    if !worked_on {
        return Vec::new();
    }
    let of_the_form = door.fixed_fields().into_iter().filter(|(_, value)| words::is_way_in(value));
    let mut found: Vec<String> = of_the_form.map(|(name, value)| format!("{}?{name}={value}", path_of(from))).collect();
    let pages = journal.all().filter(|(place, one)| *place < begun && is_from(one));
    for (_, page) in pages {
        for link in links(&page.said.text()).filter_map(|link| way_in(&link, from)) {
            if !found.contains(&link) {
                found.push(link);
            }
        }
    }
    found.truncate(MOST_CANDIDATES);
    found
}

fn links(html: &str) -> impl Iterator<Item = String> {
    let found = (*LINK).as_ref().map(|link| link.captures_iter(html));
    found.into_iter().flatten().map(|link| link[1].replace("&amp;", "&"))
}

/// The address of a link on `page` that leads in, without what is not needed for that.
fn way_in(link: &str, page: &str) -> Option<String> {
    let whole = if link.starts_with('?') { format!("{}{link}", path_of(page)) } else { link.to_owned() };
    if !whole.starts_with('/') || whole.starts_with("//") {
        return None;
    }
    if words::is_way_in(path_of(&whole)) {
        return Some(without_odd_parameters(&whole, ""));
    }
    let query = whole.split_once('?')?.1;
    let (name, value) = form_urlencoded::parse(query.as_bytes())
        .find(|(name, value)| words::is_word(name) && words::is_place(value) && words::is_way_in(value))?;
    Some(format!("{}?{name}={value}", path_of(&whole)))
}

/// The address without its query.
pub fn path_of(page: &str) -> &str {
    page.split('?').next().unwrap_or_default()
}

/// The page to fetch, from the page to send people to: without the parameter for where they wanted to go.
pub fn without_the_place(page: &str) -> String {
    let Some((path, query)) = page.split_once('?') else { return page.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !pair.contains("{path}")).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// Only parameters that are plain words, and `{path}` where the page asked for is named.
fn without_odd_parameters(page: &str, asked_for: &str) -> String {
    let Some((path, query)) = page.split_once('?') else { return page.to_owned() };
    let kept = form_urlencoded::parse(query.as_bytes()).filter_map(|(name, value)| {
        let plain = |text: &str| words::is_word(text) && !words::is_token(text) && !words::is_way_back(text);
        let plain_value = |text: &str| words::is_place(text) && (words::is_way_in(text) || !words::is_token(text));
        if !asked_for.is_empty()
            && value == asked_for
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Some(format!("{name}={{path}}"));
        }
        (plain(&name) && plain_value(&value)).then(|| format!("{name}={value}"))
    });
    let kept: Vec<String> = kept.collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_a_pages_address_only_what_the_app_wrote_stays() {
        for (page, asked_for, expected) in [
            ("/login?next=%2Fa%3Fb", "/a?b", "/login?next={path}"),
            ("/in?do=login&sectok=abc&id=4", "", "/in?do=login"),
            ("/login?message=Please+sign+in", "/", "/login"),
            ("/index.php?title=Special:UserLogin&returnto=Main_Page", "/", "/index.php?title=Special:UserLogin"),
            ("/login", "/", "/login"),
        ] {
            assert_eq!(without_odd_parameters(page, asked_for), expected);
        }
    }

    #[test]
    fn the_form_is_fetched_from_its_page_and_not_from_the_way_to_another() {
        for (page, expected) in
            [("/in?next={path}", "/in"), ("/a.php?do=in&next={path}", "/a.php?do=in"), ("/?", "/"), ("/", "/")]
        {
            assert_eq!(without_the_place(page), expected);
        }
    }

    #[test]
    fn of_a_pages_links_those_are_tried_that_lead_in() {
        for (link, expected) in [
            ("/doku.php?id=start&do=login&sectok=", Some("/doku.php?do=login")),
            ("?action=login", Some("/a.php?action=login")),
            ("/session/login?token=a81", Some("/session/login")),
            ("/index.php?title=Special:UserLogin&returnto=Main", Some("/index.php?title=Special:UserLogin")),
            ("/index.php?page=about", None),
            ("//elsewhere/login", None),
            ("https://elsewhere/login", None),
        ] {
            assert_eq!(way_in(link, "/a.php?id=start").as_deref(), expected, "{link}");
        }
        let html = "<a class=x href='/a?b=1&amp;do=login'>In</a><A HREF=\"/c\">";
        assert_eq!(links(html).collect::<Vec<_>>(), ["/a?b=1&do=login", "/c"]);
    }

    proptest! {
        #[test]
        fn no_address_makes_it_panic(page in "[ -~]{0,40}", asked_for in "[ -~]{0,10}") {
            let _ = (without_odd_parameters(&page, &asked_for), way_in(&page, &asked_for), links(&page).count());
        }
    }
}
