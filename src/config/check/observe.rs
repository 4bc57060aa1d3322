//! Checks of observed logins: that they can fire, and that no failure can be taken for a success.

use http::HeaderName;
use regex::bytes::Regex;

use super::Checks;
use super::rule::{check_methods, check_path};
use super::syntax::{is_normal_path, is_token};
use crate::config::schema::{Expired, Observe, ObservedLogin, ObservedLogout, Probe, Route, UserSource};

pub(super) const POINTER_HINT: &str = "expected a JSON pointer such as /user/name (RFC 6901)";

pub(super) fn check(route: &Route, key: &str, checks: &mut Checks<'_>) {
    let Some(observe) = &route.observe else { return };
    let key = format!("{key}.observe");
    let place = route.path.as_deref().unwrap_or("/");
    if observe.login.is_empty() {
        checks.problem(format!("{key}.login"), "is needed: the request by which the app signs people in");
    }
    for (index, login) in observe.login.iter().enumerate() {
        check_login(login, observe, &format!("{key}.login[{index}]"), place, checks);
    }
    check_logouts(&observe.logout, &key, place, checks);
    check_pages(observe, &key, place, checks);
    if let Some(probe) = &observe.probe {
        check_probe(probe, &format!("{key}.probe"), checks);
    }
}

fn check_pages(observe: &Observe, key: &str, place: &str, checks: &mut Checks<'_>) {
    for (index, path) in observe.public_paths.iter().enumerate() {
        check_path(path, &format!("{key}.public_paths[{index}]"), place, checks);
    }
    if let Some(page) = &observe.login_page {
        let path = page.split('?').next().unwrap_or_default();
        if !is_normal_path(path) || page.chars().any(|c| c.is_control() || c == ' ' || c == '#') {
            let message = "expected a path such as /login, with a query where the app knows one: /login?next={path}";
            checks.problem(format!("{key}.login_page"), message);
        }
    }
    check_expired(observe.expired.as_ref(), key, checks);
}

pub(super) fn check_logouts(logouts: &[ObservedLogout], key: &str, place: &str, checks: &mut Checks<'_>) {
    for (index, logout) in logouts.iter().enumerate() {
        let key = format!("{key}.logout[{index}]");
        check_methods(&logout.method, &format!("{key}.method"), checks);
        check_path(&logout.path, &format!("{key}.path"), place, checks);
    }
}

pub(super) fn check_expired(expired: Option<&Expired>, key: &str, checks: &mut Checks<'_>) {
    let Some(expired) = expired else { return };
    if expired.location.as_deref().is_some_and(|page| !is_page(page)) {
        let message = "expected a path such as /login, or /login*, or /index.php?page=login";
        checks.problem(format!("{key}.expired.location"), message);
    }
    let name = expired.delete_cookie.as_deref().map(|name| name.strip_suffix('*').unwrap_or(name));
    if name.is_some_and(|name| !is_token(name)) {
        checks
            .problem(format!("{key}.expired.delete_cookie"), "expected the name of a cookie, or its beginning with *");
    }
}

fn check_login(login: &ObservedLogin, observe: &Observe, key: &str, place: &str, checks: &mut Checks<'_>) {
    check_methods(&login.method, &format!("{key}.method"), checks);
    check_path(&login.path, &format!("{key}.path"), place, checks);
    for (name, location) in [("location", &login.location), ("location_not", &login.location_not)] {
        if location.as_deref().is_some_and(|page| !is_page(page)) {
            checks
                .problem(format!("{key}.{name}"), "expected a path such as /home, or /home*, or /index.php?page=home");
        }
    }
    if login.set_cookie.as_deref().is_some_and(|name| !is_token(name)) {
        checks.problem(format!("{key}.set_cookie"), "expected the name of a cookie");
    }
    for pointer in login.json.keys().filter(|pointer| !is_pointer(pointer)) {
        checks.problem(format!("{key}.json"), format!("`{pointer}`: {POINTER_HINT}"));
    }
    check_regex(login.body.as_deref(), &format!("{key}.body"), 0, checks);
    check_regex(login.body_not.as_deref(), &format!("{key}.body_not"), 0, checks);
    match &login.user {
        Some(user) => check_user(user, &format!("{key}.user"), checks),
        None if !observe.probe.as_ref().is_some_and(names_the_user) => {
            let message = "is needed, or `observe.probe`: who has signed in, such as { form: username }";
            checks.problem(format!("{key}.user"), message);
        }
        None => {}
    }
    if !tells_success(login) && !observe.probe.as_ref().is_some_and(names_the_user) {
        let message = "nothing tells a success from a failure: give status, location, location_not, set_cookie, json, \
                       body or body_not, or an `observe.probe` that names the user, the surest";
        checks.problem(key, message);
    }
    if login.user.as_ref().is_some_and(|user| user.form.is_some()) && observe.probe.is_none() {
        let message = "the user is called what was typed: an app that takes e-mail addresses too, or any case, may know \
                       them by another name; `observe.probe` asks the app";
        checks.warning(format!("{key}.user"), message);
    }
}

/// SECURITY: a page that says no more than that somebody is signed in proves nothing of the name that was typed: it says
/// so too to whoever tries another's name while signed in as themselves.
fn names_the_user(probe: &Probe) -> bool {
    let has_group = |regex: &String| Regex::new(regex).is_ok_and(|regex| regex.captures_len() > 1);
    probe.json.is_some() || probe.regex.as_ref().is_some_and(has_group)
}

/// SECURITY: what apps answer to a wrong password is 200, 302 or 4xx, as they like.
fn tells_success(login: &ObservedLogin) -> bool {
    let ObservedLogin { status, location, location_not, set_cookie, json, body, body_not, user, .. } = login;
    let by_place = location.is_some() || location_not.is_some() || set_cookie.is_some();
    let by_body = !json.is_empty() || body.is_some() || body_not.is_some();
    let by_user =
        user.as_ref().is_some_and(|user| user.header.is_some() || user.json.is_some() || user.regex.is_some());
    !status.is_empty() || by_place || by_body || by_user
}

fn check_user(user: &UserSource, key: &str, checks: &mut Checks<'_>) {
    let UserSource { form, basic, header, json, regex, fixed } = user;
    let given = [form.is_some(), *basic, header.is_some(), json.is_some(), regex.is_some(), fixed.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        checks.problem(key, "expected one of form, basic, header, json, regex and fixed");
    }
    if form.as_deref().is_some_and(str::is_empty) {
        checks.problem(format!("{key}.form"), "expected the name of a field, such as username");
    }
    if fixed.as_deref().is_some_and(|name| name.trim().is_empty()) {
        checks.problem(format!("{key}.fixed"), "expected a name for whoever knows the app's password");
    }
    if header.as_deref().is_some_and(|name| HeaderName::try_from(name).is_err()) {
        checks.problem(format!("{key}.header"), "expected the name of a header of the app's answer");
    }
    if json.as_deref().is_some_and(|pointer| !is_pointer(pointer)) {
        checks.problem(format!("{key}.json"), POINTER_HINT);
    }
    check_regex(regex.as_deref(), &format!("{key}.regex"), 1, checks);
}

fn check_probe(probe: &Probe, key: &str, checks: &mut Checks<'_>) {
    let path = probe.path.split('?').next().unwrap_or_default();
    if !is_normal_path(path) || probe.path.parse::<http::Uri>().is_err() {
        checks
            .problem(format!("{key}.path"), "expected the path of a page that says who is signed in, such as /api/me");
    }
    for (name, pointer) in
        [("json", &probe.json), ("name", &probe.name), ("email", &probe.email), ("groups", &probe.groups)]
    {
        if pointer.as_deref().is_some_and(|pointer| !is_pointer(pointer)) {
            checks.problem(format!("{key}.{name}"), POINTER_HINT);
        } else if pointer.is_some() && probe.json.is_none() {
            checks.problem(format!("{key}.{name}"), "needs `json`, where the user's name stands");
        }
    }
    if probe.json.is_some() && probe.regex.is_some() {
        checks.problem(format!("{key}.regex"), "expected one of json and regex");
    }
    check_regex(probe.regex.as_deref(), &format!("{key}.regex"), 0, checks);
    checks.more_than_zero(format!("{key}.timeout"), probe.timeout);
}

pub(super) fn check_regex(regex: Option<&str>, key: &str, groups: usize, checks: &mut Checks<'_>) {
    match regex.map(Regex::new) {
        Some(Err(error)) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            checks.problem(key, format!("is no regular expression: {reason}"));
        }
        Some(Ok(regex)) if regex.captures_len() <= groups => {
            checks.problem(key, "needs a group in brackets around the name, such as `Hello, ([^<]+)<`");
        }
        _ => {}
    }
}

pub(super) fn is_pattern(path: &str) -> bool {
    is_normal_path(path.strip_suffix('*').unwrap_or(path))
}

/// A path, and parameters that must be there.
pub(super) fn is_page(page: &str) -> bool {
    let (path, query) = page.split_once('?').unwrap_or((page, ""));
    is_pattern(path) && !query.chars().any(|c| c.is_control() || c == ' ' || c == '#')
}

pub(super) fn is_pointer(pointer: &str) -> bool {
    pointer.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, warnings};

    fn observe(login: &str, more: &str) -> String {
        format!("routes: [{{ access: user, upstream: http://a, path: /app, observe: {{ login: {login}{more} }} }}]")
    }

    #[test]
    fn a_login_that_works_needs_no_form_of_ours() {
        for login in [
            "{ path: /app/login, location_not: /app/login, user: { form: u } }",
            "{ path: /app/login, status: 200, user: { basic: true } }",
            "[{ path: /app/a, json: { /ok: true }, user: { json: /user } }, { path: /app/b*, body: x, user: { form: u } }]",
            "{ path: /app/login, user: { regex: 'Hello (.+)' } }",
            "{ path: /app/login, status: 302, user: { fixed: owner } }",
            "{ method: [POST, PUT], path: /app/login, query: { do: login }, form: { a: b }, set_cookie: s, user: { header: X-User } }",
        ] {
            assert_eq!(problems(&observe(login, "")), [""; 0], "{login}");
        }
        let probed = ", probe: { path: '/me?x=1', json: /user, groups: /groups, timeout: 1s }, login_page: '/app/in?next={path}'";
        assert_eq!(problems(&observe("{ path: /app/login }", probed)), [""; 0]);
    }

    #[test]
    fn what_cannot_work_or_could_be_mistaken_is_refused_at_its_place() {
        let good = "{ path: /app/login, status: 302, user: { form: u } }";
        for (login, more, words) in [
            ("[]", "", "observe.login: is needed"),
            ("{ path: /app/login, user: { form: u } }", "", "observe.login[0]: nothing tells a success from a failure"),
            ("{ path: /app/login, status: 302 }", "", "observe.login[0].user: is needed"),
            ("{ path: /app/login, status: 302, user: { form: u, basic: true } }", "", "user: expected one of form"),
            ("{ path: /app/login, status: 302, user: {} }", "", "user: expected one of form"),
            ("{ path: /login, status: 302, user: { form: u } }", "", "login[0].path: no request of this route (/app)"),
            ("{ status: 302, user: { form: u } }", "", "login[0].path: expected a plain path"),
            (
                "{ path: /app, body: '(', user: { form: u } }",
                "",
                "login[0].body: is no regular expression: unclosed group",
            ),
            ("{ path: /app, user: { regex: 'x' } }", "", "user.regex: needs a group"),
            (
                "{ path: /app, json: { ok: true }, user: { form: u } }",
                "",
                "login[0].json: `ok`: expected a JSON pointer",
            ),
            ("{ path: /app, method: post, status: 302, user: { form: u } }", "", "login[0].method[0]: write POST"),
            ("{ path: /app/x, user: { fixed: owner } }", "", "nothing tells a success from a failure"),
            ("{ path: /app/x, status: 302, user: { fixed: ' ' } }", "", "user.fixed: expected a name"),
            (good, ", probe: { path: me }", "probe.path: expected"),
            (
                "{ path: /app/login, user: { form: u } }",
                ", probe: { path: /me, regex: Sign out }",
                "nothing tells a success",
            ),
            ("{ path: /app/login, status: 302 }", ", probe: { path: /me }", "login[0].user: is needed"),
            (good, ", probe: { path: /me, groups: /g }", "probe.groups: needs `json`"),
            (good, ", probe: { path: /me, json: user }", "probe.json: expected a JSON pointer"),
            (good, ", logout: { path: /x }", "logout[0].path: no request of this route"),
            (good, ", login_page: 'http://x'", "login_page: expected a path"),
            (good, ", expired: { location: x }", "expired.location: expected a path"),
        ] {
            let all = problems(&observe(login, more));
            assert!(all.first().is_some_and(|first| first.contains(words)), "{login}{more}: {all:#?}");
        }
    }

    #[test]
    fn a_name_that_was_only_typed_is_warned_of() {
        let login = "{ path: /app/login, status: 302, user: { form: u } }";
        assert!(warnings(&observe(login, "")).concat().contains("the user is called what was typed"));
        assert!(!warnings(&observe(login, ", probe: { path: /me, json: /u }")).concat().contains("typed"));
    }
}
