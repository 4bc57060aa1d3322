//! From the journal to the findings: what of all that was seen becomes which section, and why.
//!
//! Called by `survey` when the deployer is done. What cannot be told for sure is left out, or said to be a doubt.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, header};

use super::attempts::{self, Attempts};
use super::findings::{Findings, Reasoned};
use super::sighting::{Journal, Kind, Said, Sighting};
use super::{exposed, leaving, matchers, sign_on, witness, words};
use crate::config::schema::{ObservedLogin, StatusPattern, UserSource};
use crate::jar::Operation;

/// More paths for strangers than this are not written down one by one.
const MOST_PUBLIC_PATHS: usize = 16;
const MOST_BASIC_PATHS: usize = 6;
/// Whoever knows the password of an app that has no names.
const THE_ONE: &str = "user";

/// What was found out about the app at `url`; `strangers` is what a stranger sees where the user was last.
pub fn of(url: &str, host_upstream: bool, journal: &Journal, strangers: Option<&(String, Said)>) -> Findings {
    let mut findings = Findings {
        url: url.to_owned(),
        requests: journal.all().map(|(_, sighting)| line(sighting)).collect(),
        expose_cookies: exposed::names(journal),
        rewrite_links: links_to_itself(url, journal),
        host_upstream,
        ..Findings::default()
    };
    if !host_upstream {
        findings.doubts.extend(insists_on_its_name(journal));
    }
    if findings.rewrite_links {
        let doubt = "its pages link to its own address: its scripts may hold that too, which stays; if it has a setting for \
                     its public address, set that instead (or try again with `--host upstream`)";
        findings.doubts.push(doubt.into());
    }
    match attempts::judge(journal) {
        Some(attempts) => Case::new(journal, attempts).conclude(strangers, &mut findings),
        None => findings.doubts.push("nobody signed in: no request with a password went by".into()),
    }
    traffic(journal, &mut findings);
    findings
}

/// Whether pages name the app's own address, though it was asked by another.
fn links_to_itself(url: &str, journal: &Journal) -> bool {
    let quoted = ['"', '\''].map(|quote| format!("={quote}{url}/"));
    let mut pages = journal.all().filter(|(_, one)| one.said.is_html());
    pages.any(|(_, one)| quoted.iter().any(|quoted| one.said.text().contains(quoted)))
}

/// A doubt, if nothing but refusals came.
fn insists_on_its_name(journal: &Journal) -> Option<String> {
    let refused =
        |one: &Sighting| matches!(one.said.status.as_u16(), 400 | 401 | 403 | 404 | 421) && !one.said.has_challenge();
    let all_refused = journal.all().next().is_some() && journal.all().all(|(_, one)| refused(one));
    let doubt =
        "it refuses everything: it may insist on being called by its own name; try again with `--host upstream`";
    all_refused.then(|| doubt.to_owned())
}

/// A sign-in that went by.
struct Case<'j> {
    journal: &'j Journal,
    attempts: Attempts,
    good: Vec<&'j Sighting>,
    bad: Vec<&'j Sighting>,
}

impl<'j> Case<'j> {
    fn new(journal: &'j Journal, attempts: Attempts) -> Self {
        let at = |places: &[usize]| places.iter().filter_map(|place| journal.at(*place)).collect();
        Self { journal, good: at(&attempts.good), bad: at(&attempts.bad), attempts }
    }

    fn conclude(&self, strangers: Option<&(String, Said)>, findings: &mut Findings) {
        self.describe(findings);
        if self.attempts.basic {
            self.conclude_basic(findings);
            return;
        }
        let begun = self.attempts.good.first().copied().unwrap_or_default();
        let user = self.good.iter().find_map(|one| one.asked.user.as_deref());
        let page = self.login_page(strangers);
        findings.probe = user.and_then(|user| witness::find(self.journal, user, begun));
        self.conclude_login(&page.value, findings);
        findings.logout = leaving::logout(self.journal, &self.attempts);
        findings.expired = strangers.and_then(|(path, said)| leaving::expired(path, said, &page.value));
        findings.public_paths = self.public_paths(begun, &page.value);
        let is_where_it_is_posted = findings
            .login
            .first()
            .is_some_and(|login| login.path == page.value && login.form.is_empty() && login.query.is_empty());
        findings.sign_on =
            self.good.first().map(|good| sign_on::lines(self.journal, good, &page.value, findings)).unwrap_or_default();
        findings.login_page = Some(page).filter(|_| !is_where_it_is_posted);
        self.doubt(strangers, findings);
    }

    fn describe(&self, findings: &mut Findings) {
        let said = |one: &&Sighting| {
            let leads = one.location().map(|path| format!(" to {path}")).unwrap_or_default();
            format!("{} {}: {}{leads}", one.asked.method, one.asked.path, one.said.status.as_u16())
        };
        findings.saw.extend(self.bad.iter().take(3).map(|one| format!("a wrong password at {}", said(one))));
        findings.saw.extend(self.good.iter().take(1).map(|one| format!("a right password at {}", said(one))));
        if self.bad.is_empty() {
            let doubt = "no wrong password was tried first, so what tells a right one is a guess: do it again with one";
            findings.doubts.push(doubt.into());
        }
    }

    fn conclude_login(&self, page: &str, findings: &mut Findings) {
        let door = self.door();
        let before = self.attempts.good.first().copied().unwrap_or_default();
        let known = cookies_before(self.journal, before);
        let chosen = matchers::choose(&door, page, &self.good, &self.bad, &known);
        let source = self.user_source();
        let says_whom = source.as_ref().is_some_and(|source| source.json.is_some());
        let user = if findings.probe.is_some() { None } else { source };
        match (chosen, &findings.probe, &user) {
            (None, None, _) if !says_whom => findings.doubts.push(
                "right and wrong passwords are answered alike, and no page was seen that names the user: open one after \
                 signing in, such as your profile"
                    .into(),
            ),
            (_, None, None) => {
                findings.doubts.push("it is not known in which field the user's name is sent".into());
            }
            (chosen, probe, _) => {
                let (login, why) = chosen.map_or((door, Vec::new()), |chosen| (chosen.login, chosen.why));
                findings.login_why = why;
                match probe {
                    Some(_) if findings.login_why.is_empty() => {
                        findings.login_why.push("right and wrong passwords are answered alike: the probe tells".into());
                    }
                    Some(_) => findings.login_why.push("who it is the probe says".into()),
                    None if says_whom => findings.login_why.push("the answer names the user".into()),
                    None if user.as_ref().is_some_and(|user| user.fixed.is_some()) => findings.login_why.push(format!(
                        "it asks for a password and no name: whoever knows it is called {THE_ONE}, or as you write here"
                    )),
                    None => findings.login_why.push("the user is called what was typed".into()),
                }
                findings.login.push(ObservedLogin { user, ..login });
            }
        }
    }

    /// The request that signs in, told from others at the same path by the app's own words.
    fn door(&self) -> ObservedLogin {
        let Some(good) = self.good.first() else { return ObservedLogin::default() };
        let leads_in =
            |pairs: Vec<(String, String)>| pairs.into_iter().filter(|(_, value)| words::is_way_in(value)).collect();
        let by_path = words::is_way_in(&good.asked.path);
        let query: BTreeMap<_, _> = if by_path { BTreeMap::new() } else { leads_in(good.query_words()) };
        let mut form = if by_path || !query.is_empty() { BTreeMap::new() } else { leads_in(good.fixed_fields()) };
        if query.is_empty() && form.is_empty() && self.is_shared(good) {
            form.extend(password_field(good).map(|name| (name.to_owned(), "*".to_owned())));
        }
        let method = vec![good.asked.method.to_string()];
        ObservedLogin { method, path: good.asked.path.clone(), query, form, ..ObservedLogin::default() }
    }

    /// Whether the app has other forms at the same path.
    fn is_shared(&self, door: &Sighting) -> bool {
        let same = |one: &Sighting| one.asked.method == door.asked.method && one.asked.path == door.asked.path;
        self.journal.all().any(|(_, one)| same(one) && !one.offers_a_password())
    }

    /// The page, told from others of the app at the same path, if there are some: `/?` is `/` without a query.
    fn told_apart(&self, page: String) -> String {
        let begun = self.attempts.good.first().copied().unwrap_or_default();
        // What `/` shows is mostly a script's work, which has a name as well.
        let is_same =
            |path: &str| path == page || path.strip_prefix(&*page).is_some_and(|file| file.starts_with("index."));
        let is_another = |one: &Sighting| {
            let asked = &one.asked;
            let has_query = asked.query.as_ref().is_some_and(|query| !query.is_empty());
            let is_page = one.said.status == 200 && one.said.is_html() && !one.said.asks_for_a_password();
            asked.method == Method::GET && is_same(&asked.path) && has_query && is_page
        };
        let is_shared = self.journal.all().any(|(place, one)| place > begun && is_another(one));
        if is_shared && !page.contains('?') && !words::is_way_in(&page) { page + "?" } else { page }
    }

    /// Where the name of the user stands: in the app's answer rather than in what was typed.
    fn user_source(&self) -> Option<UserSource> {
        let good = self.good.first()?;
        let named = good.said.json().zip(good.asked.user.as_deref());
        let pointer = named.and_then(|(json, user)| witness::pointers(&json, user).into_iter().next());
        let is_silent = |one: &&Sighting| {
            let json = one.said.json();
            json.is_none_or(|json| pointer.as_deref().and_then(|pointer| json.pointer(pointer)).is_none())
        };
        if pointer.is_some() && self.bad.iter().all(is_silent) {
            return Some(UserSource { json: pointer, ..UserSource::default() });
        }
        match good.asked.fields.iter().find(|field| field.kind == Kind::User) {
            Some(field) => Some(UserSource { form: Some(field.name.clone()), ..UserSource::default() }),
            None => Some(UserSource { fixed: Some(THE_ONE.into()), ..UserSource::default() }),
        }
    }

    fn login_page(&self, strangers: Option<&(String, Said)>) -> Reasoned<String> {
        let door = self.good.first();
        let begun = self.attempts.good.first().copied().unwrap_or_default();
        let from = door.and_then(|one| one.asked.referer.clone());
        let shown = from.map(|from| {
            let page = self.told_apart(without_odd_parameters(&from, ""));
            Reasoned::new(page, "people signed in from there".into())
        });
        let led = strangers.and_then(|(path, said)| {
            let page = said.answer().location(path.split('?').next().unwrap_or_default())?;
            let text = said.headers.get(header::LOCATION)?.to_str().ok()?;
            let query =
                text.split('#').next()?.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
            let value = self.told_apart(without_odd_parameters(&format!("{page}{query}"), path));
            Some(Reasoned::new(value, format!("a stranger who wants to see {path} is sent there")))
        });
        let same_place = |led: &Reasoned<String>| {
            let asks =
                |(_, one): (usize, &Sighting)| one.asked.path == path_of(&led.value) && one.said.asks_for_a_password();
            shown.as_ref().is_none_or(|shown| path_of(&shown.value) == path_of(&led.value))
                || self.journal.all().any(asks)
        };
        // Not every browser says where it comes from.
        let asked = || {
            let page = self.journal.all().take_while(|(place, _)| *place < begun).filter(|(_, one)| {
                one.asked.method == Method::GET && one.asked.navigates && one.said.asks_for_a_password()
            });
            let target = page.last().and_then(|(_, one)| one.plain_target())?;
            Some(Reasoned::new(self.told_apart(target), "it asks for the password".into()))
        };
        let posted = || {
            let path = door.map_or("/", |one| &one.asked.path).to_owned();
            Reasoned::new(self.told_apart(path), "passwords go there".into())
        };
        led.filter(same_place).or(shown).or_else(asked).unwrap_or_else(posted)
    }

    /// What the sign-in page needs to look and work as it should, as it was fetched before the sign-in.
    fn public_paths(&self, begun: usize, page: &str) -> Vec<String> {
        let door = self.door();
        let opens_itself = door.form.is_empty() && door.query.is_empty();
        let mut paths = BTreeSet::new();
        for (_, one) in self.journal.all().filter(|(place, _)| *place < begun) {
            let asks = one.asked.method == Method::GET || (one.said.json().is_some() && !one.offers_a_password());
            let needed = asks && one.said.status.is_success() && !one.asked.navigates;
            let is_door = one.asked.path == door.path && (opens_itself || one.asked.method == Method::GET);
            let known = one.asked.path == path_of(page) || is_door;
            if needed && !known && (one.said.is_asset() || one.said.json().is_some()) {
                paths.insert(one.asked.path.as_str());
            }
        }
        widened(&paths)
    }

    fn conclude_basic(&self, findings: &mut Findings) {
        // What scripts and pages fetch comes later, with the session that the page has begun.
        let is_page = |one: &Sighting| one.asked.navigates && one.said.is_html();
        let has_pages = self.good.iter().any(|one| is_page(one));
        let entered = self.good.iter().filter(|one| !has_pages || is_page(one));
        let mut paths: Vec<&str> = entered.map(|one| one.asked.path.as_str()).collect();
        paths.sort_by_key(|path| (path.len(), *path));
        paths.dedup();
        let login = |path: &&str| ObservedLogin {
            method: Vec::new(),
            path: (*path).to_owned(),
            status: vec![StatusPattern::Class(2), StatusPattern::Class(3)],
            user: Some(UserSource { basic: true, ..UserSource::default() }),
            ..ObservedLogin::default()
        };
        findings.login = paths.iter().take(MOST_BASIC_PATHS).map(login).collect();
        findings.login_why.push(
            "strangers get 401 there, so any other answer proves the password (HTTP Basic); add no path that answers \
             without one"
                .into(),
        );
        findings.sign_on = vec!["sign_on: { basic: true }".into()];
    }

    fn doubt(&self, strangers: Option<&(String, Said)>, findings: &mut Findings) {
        if findings.logout.is_none() {
            findings.doubts.push("no sign-out was seen: the app's own will not end the session here".into());
        }
        if findings.probe.is_none()
            && findings.login.iter().any(|login| login.user.as_ref().is_some_and(|user| user.form.is_some()))
        {
            let doubt = "no page was seen that names the user to its owner alone: an app that ignores case, or takes e-mail \
                         addresses, may know two of the names here as one user";
            findings.doubts.push(doubt.into());
        }
        if let Some((path, _)) = strangers.filter(|(_, said)| said.status.is_success()) {
            let doubt =
                format!("{path} answers strangers too: that the app has forgotten somebody will not show there");
            findings.doubts.push(doubt);
        }
    }
}

fn password_field(sighting: &Sighting) -> Option<&str> {
    let mut fields = sighting.asked.fields.iter();
    fields.find(|field| field.kind == Kind::Password).map(|field| field.name.as_str())
}

/// SECURITY: an app may set such a cookie again whenever it is not sent, after a wrong password too.
fn cookies_before(journal: &Journal, begun: usize) -> BTreeSet<Vec<u8>> {
    let mut names = BTreeSet::new();
    for (_, one) in journal.all().filter(|(place, _)| *place < begun) {
        names.extend(one.said.cookies.iter().map(|operation| operation.name().to_vec()));
        names.extend(one.asked.cookie_names.iter().map(|name| name.clone().into_bytes()));
    }
    names
}

pub fn path_of(page: &str) -> &str {
    page.split('?').next().unwrap_or_default()
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

/// Folders that hold several of the files, and single ones.
fn widened(paths: &BTreeSet<&str>) -> Vec<String> {
    let is_file = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let kinds =
            ["css", "js", "mjs", "map", "png", "svg", "ico", "gif", "jpg", "jpeg", "webp", "woff", "woff2", "ttf"];
        name.rsplit_once('.').is_some_and(|(_, kind)| kinds.contains(&kind))
    };
    let folder =
        |path: &str| path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).filter(|folder| folder.len() > 1);
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for folder in paths.iter().filter(|path| is_file(path)).filter_map(|path| folder(path)) {
        *folders.entry(folder).or_default() += 1;
    }
    folders.retain(|_, count| *count > 1);
    let written = |path: &&str| match folder(path).filter(|folder| is_file(path) && folders.contains_key(folder)) {
        Some(folder) => format!("{folder}*"),
        None => (*path).to_owned(),
    };
    let all: BTreeSet<String> = paths.iter().map(written).collect();
    all.into_iter().take(MOST_PUBLIC_PATHS).collect()
}

/// What concerns the route as a whole.
fn traffic(journal: &Journal, findings: &mut Findings) {
    let sockets: BTreeSet<&str> =
        journal.all().filter(|(_, one)| one.asked.is_websocket).map(|(_, one)| one.asked.path.as_str()).collect();
    findings.saw.extend(sockets.iter().map(|path| format!("a WebSocket at {path}")));
    if exposed::set_by_the_app(journal).contains_key("sessionid") {
        findings.saw.push("its cookie is called sessionid, like the gateway's: the vault keeps them apart".into());
    }
    let bears_tokens = journal.all().any(|(_, one)| one.asked.has_authorization && one.asked.basic_user.is_none());
    if bears_tokens {
        let doubt = "its scripts send tokens of their own (Authorization), which the vault does not keep: after signing out \
                     here such a token is still good for who has copied it";
        findings.doubts.push(doubt.into());
    }
}

/// One request, without values.
fn line(sighting: &Sighting) -> String {
    let asked = &sighting.asked;
    let mut names: Vec<String> = asked.fields.iter().map(|field| field.name.clone()).collect();
    names.extend(
        form_urlencoded::parse(asked.query.as_deref().unwrap_or_default().as_bytes())
            .map(|(name, _)| format!("?{name}")),
    );
    let cookies = sighting.said.cookies.iter().map(|operation| match operation {
        Operation::Set(cookie) => format!("+{}", String::from_utf8_lossy(cookie.name())),
        Operation::Delete(key) => format!("-{}", String::from_utf8_lossy(key.name())),
    });
    let cookies: Vec<String> = cookies.collect();
    let location = sighting.location().map(|path| format!(" to {path}")).unwrap_or_default();
    let status = sighting.said.status.as_u16();
    format!("{} {} [{}] {status}{location} [{}]", asked.method, asked.path, names.join(" "), cookies.join(" "))
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
    fn several_files_of_a_folder_open_the_folder_and_scripts_on_the_server_do_not() {
        let paths = ["/s/a.css", "/s/b.js", "/lib/css.php", "/lib/js.php", "/one/x.png", "/favicon.ico", "/robots.png"];
        let expected = ["/favicon.ico", "/lib/css.php", "/lib/js.php", "/one/x.png", "/robots.png", "/s/*"];
        assert_eq!(widened(&paths.into_iter().collect()), expected);
    }

    proptest! {
        #[test]
        fn no_address_makes_it_panic(page in "[ -~]{0,40}", asked_for in "[ -~]{0,10}") {
            let _ = without_odd_parameters(&page, &asked_for);
        }
    }
}
