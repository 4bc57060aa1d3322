//! Checks of sign-on: that there are credentials, a place for them, and a way to keep what the app answers.

use regex::bytes::Regex;

use super::Checks;
use super::observe::{POINTER_HINT, check_expired, check_logouts, check_regex, is_page, is_pointer};
use super::rule::check_path;
use super::syntax::is_token;
use crate::config::schema::{Config, CookieHandling, Credentials, KeptCredentials, Route, SignOn, SignOnSuccess};

/// What a field's template may name.
const PLACEHOLDERS: [&str; 4] = ["{user}", "{password}", "{email}", "{name}"];

/// Headers of a login that are what they are.
const OF_THE_REQUEST: [&str; 13] = [
    "host",
    "cookie",
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "origin",
    "referer",
    "expect",
    "forwarded",
];

pub(super) fn check(route: &Route, key: &str, config: &Config, checks: &mut Checks<'_>) {
    let Some(sign_on) = &route.sign_on else { return };
    let key = &format!("{key}.sign_on");
    if route.observe.is_some() {
        checks.problem(key, "give either `observe`, where people sign in at the app, or `sign_on`, not both");
    }
    match (sign_on.basic, sign_on.digest) {
        (true, true) => checks.problem(key, "give either `basic` or `digest`, whichever the app asks for, not both"),
        (true, false) => check_without_a_form(sign_on, key, "basic: true", checks),
        (false, true) => check_without_a_form(sign_on, key, "digest: true", checks),
        (false, false) => check_login(route, sign_on, key, checks),
    }
    check_logouts(&sign_on.logout, key, route.path.as_deref().unwrap_or("/"), checks);
    check_credentials(&sign_on.credentials, key, config, checks);
    checks.more_than_zero(format!("{key}.timeout"), sign_on.timeout);
}

fn check_without_a_form(sign_on: &SignOn, key: &str, instead: &str, checks: &mut Checks<'_>) {
    let SignOn { login_page, form, action, fields, json, cookie_headers, success, expired, .. } = sign_on;
    let of_a_form = [
        ("login_page", login_page.is_some()),
        ("form", form.is_some()),
        ("action", action.is_some()),
        ("fields", !fields.is_empty()),
        ("json", *json),
        ("cookie_headers", !cookie_headers.is_empty()),
        ("success", success.is_some()),
        ("expired", expired.is_some()),
    ];
    for (name, _) in of_a_form.iter().filter(|(_, given)| *given) {
        checks.problem(format!("{key}.{name}"), format!("has no effect with `{instead}`"));
    }
}

fn check_login(route: &Route, sign_on: &SignOn, key: &str, checks: &mut Checks<'_>) {
    if route.cookies != CookieHandling::Vault {
        checks.problem(key, "needs `cookies: vault`, where the app's cookies are kept, or `basic` or `digest`");
    }
    let place = route.path.as_deref().unwrap_or("/");
    for (name, target) in [("login_page", &sign_on.login_page), ("action", &sign_on.action)] {
        if let Some(target) = target {
            check_target(target, &format!("{key}.{name}"), place, checks);
        }
    }
    if sign_on.login_page.is_none() && sign_on.action.is_none() {
        let message = "needs `login_page`, the page with the app's login form, or `action`, or `basic` or `digest`";
        checks.problem(key, message);
    }
    if sign_on.form.is_some() && sign_on.login_page.is_none() {
        checks.problem(format!("{key}.form"), "has no effect without `login_page`");
    }
    check_fields(sign_on, key, checks);
    check_cookie_headers(sign_on, key, checks);
    match &sign_on.success {
        Some(success) => check_success(success, &format!("{key}.success"), place, checks),
        None if sign_on.login_page.is_none() && !sign_on.json => {
            let message = "is needed without `login_page`: what tells a success from a failure";
            checks.problem(format!("{key}.success"), message);
        }
        None => {}
    }
    check_expired(sign_on.expired.as_ref(), key, checks);
}

/// SECURITY: a path, so that no credentials go anywhere but to the route's own upstream.
fn check_target(target: &str, key: &str, place: &str, checks: &mut Checks<'_>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_query = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match path.contains('*') || !is_query {
        true => checks.problem(key, "expected a path such as /login, perhaps with a query"),
        false => check_path(path, key, place, checks),
    }
}

fn check_fields(sign_on: &SignOn, key: &str, checks: &mut Checks<'_>) {
    for (name, template) in &sign_on.fields {
        let rest = PLACEHOLDERS.iter().fold(template.clone(), |text, known| text.replace(known, ""));
        if rest.contains(['{', '}']) {
            let message = format!("`{template}`: use {{user}}, {{password}}, {{email}} and {{name}}");
            checks.problem(format!("{key}.fields.{name}"), message);
        }
    }
    let takes_password = sign_on.fields.values().any(|template| template.contains("{password}"));
    if !sign_on.fields.is_empty() && !takes_password {
        checks.problem(format!("{key}.fields"), "no field takes the {password}");
    }
}

fn check_cookie_headers(sign_on: &SignOn, key: &str, checks: &mut Checks<'_>) {
    for (header, cookie) in &sign_on.cookie_headers {
        let path = format!("{key}.cookie_headers.{header}");
        let lower = header.to_ascii_lowercase();
        let is_ours = OF_THE_REQUEST.contains(&lower.as_str()) || lower.starts_with("x-forwarded-");
        if !is_token(header) || is_ours {
            checks.problem(path, "expected the name of a header that only the app knows, such as X-CSRFToken");
        } else if !is_token(cookie) {
            checks.problem(path, "expected the name of a cookie, such as csrftoken");
        } else if sign_on.login_page.is_none() {
            checks.problem(path, "has no effect without `login_page`, which sets the cookie");
        }
    }
}

fn check_success(success: &SignOnSuccess, key: &str, place: &str, checks: &mut Checks<'_>) {
    for (name, location) in [("location", &success.location), ("location_not", &success.location_not)] {
        if location.as_deref().is_some_and(|page| !is_page(page)) {
            checks
                .problem(format!("{key}.{name}"), "expected a path such as /home, or /home*, or /index.php?page=home");
        }
    }
    if success.set_cookie.as_deref().is_some_and(|name| !is_token(name)) {
        checks.problem(format!("{key}.set_cookie"), "expected the name of a cookie");
    }
    for pointer in success.json.keys().filter(|pointer| !is_pointer(pointer)) {
        checks.problem(format!("{key}.json"), format!("`{pointer}`: {POINTER_HINT}"));
    }
    check_regex(success.body.as_deref(), &format!("{key}.body"), 0, checks);
    check_regex(success.body_not.as_deref(), &format!("{key}.body_not"), 0, checks);
    let Some(probe) = &success.probe else { return };
    check_target(&probe.path, &format!("{key}.probe.path"), place, checks);
    if probe.json.as_deref().is_some_and(|pointer| !is_pointer(pointer)) {
        checks.problem(format!("{key}.probe.json"), POINTER_HINT);
    }
    let groups =
        probe.regex.as_deref().and_then(|regex| Regex::new(regex).ok()).map_or(1, |regex| regex.captures_len());
    match groups {
        1 => check_regex(probe.regex.as_deref(), &format!("{key}.probe.regex"), 0, checks),
        _ => checks.problem(format!("{key}.probe.regex"), "needs no group: write `(?:…)`"),
    }
    if probe.json.is_some() && probe.regex.is_some() {
        checks.problem(format!("{key}.probe.regex"), "expected one of json and regex");
    }
}

fn check_credentials(credentials: &Credentials, key: &str, config: &Config, checks: &mut Checks<'_>) {
    let key = format!("{key}.credentials");
    let Credentials::Kept(kept) = credentials else {
        if config.login.form.is_none() {
            checks
                .problem(key, "`typed` needs `login.form`, where the password is typed; or give `file` or `username`");
        }
        return;
    };
    let KeptCredentials { file, username, password, password_file, .. } = kept;
    let account = [username.is_some(), password.is_some() || password_file.is_some()];
    match (file.is_some(), account) {
        (true, [false, false]) | (false, [true, true]) => {}
        (true, _) => checks.problem(key, "give either `file`, or `username` and `password`"),
        (false, [false, _]) => checks.problem(key, "needs `file`, or `username` and `password`"),
        (false, [true, false]) => checks.problem(key, "needs `password` or `password_file`"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    const FORM: &str = "login: { form: { users: [{ name: a, password: $2b$x }] } }\n";

    fn route(sign_on: &str, more: &str) -> String {
        format!("{FORM}routes: [{{ path: /app, upstream: http://a, sign_on: {{ {sign_on} }}{more} }}]")
    }

    #[test]
    fn ways_that_can_work_pass() {
        for sign_on in [
            "login_page: /app/login",
            "login_page: '/app/login?next=/', form: login, action: /app/in, fields: { u: '{user}', p: '{password}', m: 'x{email}{name}' }",
            "action: /app/api/login, json: true, credentials: { username: svc, password: x }",
            "action: /app/in, success: { status: 302, location_not: /app/in*, json: { /ok: true }, probe: { path: /app/me, regex: Hello } }",
            "login_page: /app/login, expired: { status: 401 }, timeout: 1s",
            "login_page: /app/login, expired: { delete_cookie: sid* }, logout: { path: /app/out, query: { do: out } }",
        ] {
            assert_eq!(problems(&route(sign_on, ", cookies: vault")), [""; 0], "{sign_on}");
        }
        assert_eq!(problems(&route("basic: true", "")), [""; 0]);
        assert_eq!(problems(&route("digest: true, timeout: 3s", "")), [""; 0]);
    }

    #[test]
    fn what_could_never_work_is_refused_at_its_place() {
        for (sign_on, words) in [
            ("{}", "sign_on: needs `login_page`"),
            ("login_page: /login", "sign_on.login_page: no request of this route (/app)"),
            ("login_page: 'http://evil/app/login'", "sign_on.login_page: expected a plain path"),
            ("action: //evil/app, json: true", "sign_on.action: expected a plain path"),
            ("action: /app/in", "sign_on.success: is needed"),
            ("action: /app/in, json: true, form: x", "sign_on.form: has no effect"),
            ("login_page: /app/l, fields: { u: '{usr}', p: '{password}' }", "sign_on.fields.u: `{usr}`: use {user}"),
            ("login_page: /app/l, fields: { u: '{user}' }", "sign_on.fields: no field takes the {password}"),
            ("login_page: /app/l, success: { body: '(' }", "success.body: is no regular expression"),
            ("login_page: /app/l, success: { json: { ok: 1 } }", "success.json: `ok`: expected a JSON pointer"),
            ("login_page: /app/l, success: { probe: { path: /me } }", "success.probe.path: no request of this route"),
            ("login_page: /app/l, success: { probe: { path: /app, regex: '(a)' } }", "probe.regex: needs no group"),
            ("login_page: /app/l, expired: { location: x }", "expired.location: expected a path"),
            ("login_page: /app/l, expired: { delete_cookie: 'a;*' }", "expired.delete_cookie: expected the name"),
            ("login_page: /app/l, logout: { path: /out }", "logout[0].path: no request of this route"),
            ("login_page: /app/l, credentials: { username: a }", "credentials: needs `password`"),
            ("login_page: /app/l, credentials: {}", "credentials: needs `file`"),
            ("login_page: /app/l, credentials: { file: /nowhere }", "cannot be read"),
            ("login_page: /app/l, credentials: tipped", "credentials: expected `typed`"),
            ("login_page: /app/l, timeout: 0s", "sign_on.timeout: must be more than 0"),
            ("basic: true, login_page: /app/l", "sign_on.login_page: has no effect with `basic: true`"),
            ("digest: true, expired: { status: 401 }", "sign_on.expired: has no effect with `digest: true`"),
            ("basic: true, digest: true", "sign_on: give either `basic` or `digest`"),
        ] {
            let sign_on = if sign_on == "{}" { "" } else { sign_on };
            let all = problems(&route(sign_on, ", cookies: vault"));
            assert!(all.first().is_some_and(|first| first.contains(words)), "{sign_on}: {all:#?}");
        }
        let all = problems(&route("login_page: /app/l", ""));
        assert!(all.concat().contains("sign_on: needs `cookies: vault`"), "{all:#?}");
        let typed = "login: { form: null }\nroutes: [{ access: public, upstream: http://a, sign_on: { basic: true } }]";
        assert!(problems(typed).concat().contains("credentials: `typed` needs `login.form`"));
    }
}
