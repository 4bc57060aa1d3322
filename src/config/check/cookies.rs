//! Checks of what a route does with the cookies of its app.

use super::Checks;
use super::syntax::is_token;
use crate::config::schema::{Config, CookieHandling, Route, StoreType};

/// Before a `*`.
const SHORTEST_BEGINNING: usize = 3;

pub(super) fn check(route: &Route, key: &str, config: &Config, checks: &mut Checks<'_>) {
    if route.cookies == CookieHandling::Vault && config.store.kind == StoreType::Cookie {
        let message = "`vault` needs a store with room for an app's cookies; `store.type: cookie` has 8 KiB for all";
        checks.problem(format!("{key}.cookies"), message);
    }
    if route.vault.is_some() && route.cookies != CookieHandling::Vault {
        checks.problem(format!("{key}.vault"), "has no effect without `cookies: vault`");
    }
    if route.vault.as_deref().is_some_and(|name| name.trim().is_empty()) {
        checks.problem(format!("{key}.vault"), "expected a name, such as `wiki`");
    }
    if !route.expose_cookies.is_empty() && route.cookies == CookieHandling::Pass {
        checks.problem(format!("{key}.expose_cookies"), "has no effect without `cookies: vault` or `cookies: harden`");
    }
    check_exposed(route, key, config, checks);
}

fn check_exposed(route: &Route, key: &str, config: &Config, checks: &mut Checks<'_>) {
    let cookie = &config.session.cookie;
    for (index, name) in route.expose_cookies.iter().enumerate() {
        let path = format!("{key}.expose_cookies[{index}]");
        if !is_token(name) {
            checks.problem(path, "expected the name of a cookie, such as csrftoken");
        } else if name.strip_suffix('*').is_some_and(|beginning| beginning.len() < SHORTEST_BEGINNING) {
            checks.problem(path, "opens too many cookies: write at least 3 letters before the *");
        } else if [&cookie.name].into_iter().chain(&cookie.previous_names).any(|own| means(name, own)) {
            checks.problem(path, "is the name of the gateway's own cookie, which no script and no app may read");
        }
    }
}

/// As the vault reads it.
fn means(name: &str, own: &str) -> bool {
    name.strip_suffix('*').map_or(name == own, |beginning| own.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{each_is_refused, problems};

    fn route(fields: &str) -> String {
        format!("routes: [{{ access: public, upstream: http://a, {fields} }}]")
    }

    #[test]
    fn a_beginning_must_not_mean_the_gateways_own_cookie() {
        let own = "routes[0].expose_cookies[0]: is the name of the gateway";
        for (fields, words) in [
            ("cookies: vault, expose_cookies: ['sess*']", own),
            ("cookies: vault, expose_cookies: ['sessionid*']", own),
            ("cookies: vault, expose_cookies: ['*']", "routes[0].expose_cookies[0]: opens too many cookies"),
        ] {
            let found = problems(&route(fields));
            assert!(found.iter().any(|problem| problem.starts_with(words)), "{fields}: {found:?}");
        }
        assert_eq!(problems(&route("cookies: vault, expose_cookies: ['csrf_token_P*']")), [""; 0]);
    }

    #[test]
    fn what_has_no_effect_or_cannot_work_is_refused() {
        for (fields, words) in [
            ("vault: wiki", "routes[0].vault: has no effect without `cookies: vault`"),
            ("cookies: vault, vault: ' '", "routes[0].vault: expected a name"),
            ("expose_cookies: [a]", "routes[0].expose_cookies: has no effect"),
            ("cookies: vault, expose_cookies: ['a b']", "routes[0].expose_cookies[0]: expected the name of a cookie"),
            (
                "cookies: vault, expose_cookies: [x, sessionid]",
                "routes[0].expose_cookies[1]: is the name of the gateway",
            ),
        ] {
            each_is_refused(&[(&route(fields), words)]);
        }
        let with_cookies = format!("store: {{ type: cookie }}\n{}", route("cookies: vault"));
        each_is_refused(&[(&with_cookies, "routes[0].cookies: `vault` needs a store")]);
        assert_eq!(problems(&route("cookies: harden, expose_cookies: [a]")), [""; 0]);
        assert_eq!(problems(&route("cookies: vault, vault: wiki, expose_cookies: [a]")), [""; 0]);
    }
}
