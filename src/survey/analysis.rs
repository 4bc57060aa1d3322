//! From the journal to the findings: what of all that was seen becomes which section, and why.
//!
//! Called by `survey` when the deployer is done. What cannot be told for sure is left out, or said to be a doubt.

use std::collections::{BTreeMap, BTreeSet};

use super::attempts::{self, Attempts};
use super::findings::Findings;
use super::sighting::{Journal, Kind, Sighting, Strangers};
use super::{exposed, leaving, login_page, matchers, public_paths, signing_on, witness, words};
use crate::config::schema::{ObservedLogin, StatusPattern, UserSource};
use crate::jar::Operation;

/// More paths than this are not written down one by one.
const MOST_BASIC_PATHS: usize = 6;

/// What everybody is called whom an app asks for no name.
const NO_NAME: &str = "user";

/// What was found out about the app at `url`; `strangers` is what a stranger sees.
pub fn of(url: &str, host_upstream: bool, journal: &Journal, strangers: &Strangers) -> Findings {
    let (ours, exposed): (Vec<_>, Vec<_>) =
        exposed::names(journal).into_iter().partition(|name| exposed::is_the_gateways(&name.value));
    let mut findings = Findings {
        url: url.to_owned(),
        requests: journal.all().map(|(_, sighting)| line(sighting)).collect(),
        expose_cookies: exposed,
        rewrite_links: links_to_itself(url, journal),
        host_upstream,
        ..Findings::default()
    };
    if !ours.is_empty() {
        let doubt = "its scripts read a cookie that is called as the gateway's is: give the gateway's another name \
                     (session: { cookie: { name: ... } }) and expose the app's";
        findings.doubts.push(doubt.into());
    }
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

    fn conclude(&self, strangers: &Strangers, findings: &mut Findings) {
        self.describe(findings);
        if self.attempts.basic {
            self.conclude_basic(findings);
            return;
        }
        let Some(door) = self.good.first() else { return };
        let begun = self.attempts.good.first().copied().unwrap_or_default();
        let user = self.good.iter().find_map(|one| one.asked.user.as_deref());
        let page = login_page::find(self.journal, begun, door, strangers);
        findings.probe = user.and_then(|user| witness::find(self.journal, user, begun));
        self.conclude_login(&page.value, findings);
        findings.logout = leaving::logout(self.journal, &self.attempts);
        let last = strangers.last_page.as_ref();
        findings.expired = last
            .and_then(|(path, said)| leaving::expired(path, said, &page.value, &self.given()))
            .or_else(|| leaving::refusal(self.journal, begun));
        findings.public_paths = public_paths::find(self.journal, begun, &page.value, &self.door());
        let is_where_it_is_posted = findings
            .login
            .first()
            .is_some_and(|login| login.path == page.value && login.form.is_empty() && login.query.is_empty());
        let led = last.filter(|(_, said)| said.status.is_redirection()).map(|_| page.value.as_str());
        match signing_on::find(self.journal, &self.good, &page.value, led, findings) {
            Ok(lines) => findings.sign_on = lines,
            Err(why) => findings.no_sign_on = Some(why.into()),
        }
        findings.login_page = Some(page).filter(|_| !is_where_it_is_posted);
        self.doubt(strangers, findings);
    }

    /// Cookies that a right password brings.
    fn given(&self) -> Vec<&'j [u8]> {
        let operations = self.good.iter().flat_map(|one| &one.said.cookies);
        operations.filter(|operation| matches!(operation, Operation::Set(_))).map(Operation::name).collect()
    }

    fn describe(&self, findings: &mut Findings) {
        let said = |one: &&Sighting| {
            let leads = one.location().map(|path| format!(" to {path}")).unwrap_or_default();
            format!("{} {}, answered with {}{leads}", one.asked.method, one.asked.path, one.said.status.as_u16())
        };
        findings.saw.extend(self.bad.iter().take(3).map(|one| format!("a wrong password: {}", said(one))));
        findings.saw.extend(self.good.iter().take(1).map(|one| format!("a right password: {}", said(one))));
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
        let has_no_names = source.as_ref().is_some_and(|source| source.fixed.is_some());
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
                findings.success_why = why;
                findings.user_why = match probe {
                    Some(_) if findings.success_why.is_empty() => {
                        "right and wrong passwords are answered alike: the probe below tells, and says who it is".into()
                    }
                    Some(_) => "the probe below says who it is".into(),
                    None if says_whom => "the app's answer says who it is".into(),
                    None if has_no_names => format!(
                        "the app asks for a password and no name, so everybody who knows it is called {NO_NAME} here: \
                         write another name if you like"
                    ),
                    None => "the user is called here what they typed there".into(),
                };
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
        let fields = &good.asked.fields;
        if let Some(field) = fields.iter().find(|field| field.kind == Kind::User) {
            return Some(UserSource { form: Some(field.name.clone()), ..UserSource::default() });
        }
        let is_of_the_call =
            |name: &str| good.is_call() && signing_on::ENVELOPE.iter().any(|(known, _)| *known == name);
        // SECURITY: what may be a name makes them different users.
        let is_no_name = |name: &str| words::is_token(name) || words::is_setting(name) || is_of_the_call(name);
        let is_mute = fields.iter().all(|field| field.kind != Kind::Other || is_no_name(&field.name));
        is_mute.then(|| UserSource { fixed: Some(NO_NAME.into()), ..UserSource::default() })
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
        findings.success_why.push(
            "strangers get 401 there, so any other answer proves the password (HTTP Basic); add no path that answers \
             without one"
                .into(),
        );
        findings.user_why = "the browser sends the name with each request".into();
        findings.sign_on = signing_on::basic();
    }

    fn doubt(&self, strangers: &Strangers, findings: &mut Findings) {
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
        let shows = findings.expired.is_some();
        let last = strangers.last_page.as_ref();
        if let Some((path, _)) = last.filter(|(_, said)| said.status.is_success() && !shows) {
            let doubt = format!(
                "{path} is answered with 200 to strangers too, so that the app has forgotten somebody will not show there: \
                 the session here then lasts until its own timeouts"
            );
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
