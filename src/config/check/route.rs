//! Checks of routes: what they match, who may pass, and where they lead.

use std::collections::HashMap;

use super::syntax::{covers, is_authority, is_bracketed_ipv6, is_host_name, is_normal_path};
use super::{Checks, cookies, identity, observe, park, rule, sign_on};
use crate::config::schema::{Access, Config, HostHeader, Route, Upstream};

pub(super) fn check(config: &Config, checks: &mut Checks<'_>) {
    if config.routes.is_empty() {
        checks.problem("routes", "at least one route is needed, such as `- upstream: http://wiki:8080`");
    }
    let mut seen = HashMap::new();
    for (index, route) in config.routes.iter().enumerate() {
        let key = format!("routes[{index}]");
        check_match(route, &key, config, checks);
        check_strip_prefix(route, &key, checks);
        check_access(route, &key, config, checks);
        check_origins(route, &key, checks);
        check_upstream(&route.upstream, &format!("{key}.upstream"), checks);
        identity::check(&route.identity, &format!("{key}.identity.headers"), checks);
        cookies::check(route, &key, config, checks);
        observe::check(route, &key, checks);
        park::check(route, &key, config, checks);
        sign_on::check(route, &key, config, checks);
        rule::check(route, &key, checks);
        if let Some(first) = seen.insert(target(route), index) {
            checks.problem(key, format!("host and path are those of routes[{first}]; no request would come here"));
        }
    }
}

/// What a route matches, written in one way.
fn target(route: &Route) -> (Option<String>, String) {
    let path = route.path.as_deref().unwrap_or("/").trim_end_matches('/');
    (route.host.as_deref().map(str::to_ascii_lowercase), path.to_owned())
}

fn check_match(route: &Route, key: &str, config: &Config, checks: &mut Checks<'_>) {
    if let Some(host) = &route.host {
        let name = host.strip_prefix("*.").unwrap_or(host);
        if host == "*" {
            checks.problem(format!("{key}.host"), "leave the host out (null) to match any");
        } else if !host.is_ascii() {
            checks.problem(format!("{key}.host"), "write an international name in its `xn--` form");
        } else if !is_host_name(name) && !is_bracketed_ipv6(host) {
            let message = "expected a host name such as wiki.example.com or *.example.com, without port or path";
            checks.problem(format!("{key}.host"), message);
        }
    }
    let Some(path) = &route.path else { return };
    if !path.starts_with('/') {
        checks.problem(format!("{key}.path"), "must begin with `/`");
    } else if !is_normal_path(path) {
        checks.problem(format!("{key}.path"), "expected a plain path prefix, without `%`, `..`, `//`, `?` or spaces");
    } else if covers(&config.prefix, path) {
        let message = format!("lies below `prefix` ({}), where the gateway's own pages are", config.prefix);
        checks.problem(format!("{key}.path"), message);
    }
}

fn check_strip_prefix(route: &Route, key: &str, checks: &mut Checks<'_>) {
    if !route.strip_prefix {
        return;
    }
    let key = format!("{key}.strip_prefix");
    let path = route.path.as_deref().unwrap_or("/");
    // SECURITY: the prefix is written into headers, cookies and HTML, where other characters would need to be encoded.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~+@:".contains(&byte);
    if path.trim_end_matches('/').is_empty() {
        checks.problem(key, "there is nothing to take off: give the route a `path` such as /wiki, or leave this out");
    } else if !path.bytes().all(is_plain) {
        checks.problem(key, "needs a `path` of letters, digits and `- . _ ~ + @ :` only");
    }
}

fn check_access(route: &Route, key: &str, config: &Config, checks: &mut Checks<'_>) {
    let has_login = config.login.form.is_some();
    let key = format!("{key}.access");
    match &route.access {
        Access::Public => {
            let is_catch_all = target(route) == (None, String::new());
            if has_login && is_catch_all {
                checks.warning(&key, "everybody may pass, signed in or not, though there is a sign-in form");
            }
            return;
        }
        Access::User => {}
        Access::Groups(groups) if groups.is_empty() => {
            checks.problem(format!("{key}.groups"), "needs at least one group, or nobody may pass");
        }
        Access::Groups(groups) => {
            let is_blank = |group: &String| group.trim().is_empty();
            if let Some(index) = groups.iter().position(is_blank) {
                checks.problem(format!("{key}.groups[{index}]"), "expected a group's name");
            }
        }
    }
    if !has_login && config.routes.iter().all(|route| route.observe.is_none()) {
        checks.problem(&key, "nobody can sign in: add `login.form` or `observe`, or write `access: public`");
    }
}

fn check_origins(route: &Route, key: &str, checks: &mut Checks<'_>) {
    for (index, origin) in route.websocket_origins.iter().enumerate() {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let default_port = if origin.starts_with("https:") { ":443" } else { ":80" };
        // SECURITY: compared letter for letter, so that nothing but what a browser would send can ever fit.
        let message = match authority {
            _ if origin.contains('*') => "each origin is named by itself, without `*`",
            Some(authority) if !is_authority(authority) => {
                "expected scheme and host, such as https://pages.example.com"
            }
            Some(authority) if authority.ends_with(default_port) => {
                "leave the port out: browsers do, as it is the usual one"
            }
            Some(_) => continue,
            None => "expected http:// or https:// and a host, such as https://pages.example.com",
        };
        checks.problem(format!("{key}.websocket_origins[{index}]"), message);
    }
}

fn check_upstream(upstream: &Upstream, key: &str, checks: &mut Checks<'_>) {
    match &upstream.url {
        None => checks.problem(format!("{key}.url"), "is needed: the app's address, such as http://wiki:8080"),
        Some(url) => {
            if let Some(message) = complaint_about_url(url) {
                checks.problem(format!("{key}.url"), message);
            }
        }
    }
    if let HostHeader::Name(name) = &upstream.host
        && !is_authority(name)
    {
        checks.problem(format!("{key}.host"), "expected `preserve`, `upstream`, or a host with an optional port");
    }
    checks.more_than_zero(format!("{key}.connect_timeout"), upstream.connect_timeout);
    checks.more_than_zero(format!("{key}.first_byte_timeout"), upstream.first_byte_timeout);
    checks.more_than_zero(format!("{key}.idle_timeout"), upstream.idle_timeout);
}

/// SECURITY: the URL is not repeated, since it may hold a password.
fn complaint_about_url(url: &str) -> Option<String> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let rest = match scheme.as_deref() {
        Some("http") => &url["http://".len()..],
        Some("https") => {
            return Some("TLS to upstreams is not available in this version; write http://HOST:PORT".into());
        }
        _ => return Some("expected http://HOST:PORT, such as http://wiki:8080".into()),
    };
    if rest.contains('@') {
        return Some("must not contain a user name or password".into());
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !tail.is_empty() {
        return Some("must end after host and port: the path of the request is passed on as it is".into());
    }
    (!is_authority(authority))
        .then(|| "expected http://HOST:PORT, such as http://wiki:8080 or http://[::1]:8080".into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{each_is_refused, problems, warnings};

    const FORM: &str = "login: { form: { users: [{ name: a, password: $2b$x }] } }\n";

    fn route(fields: &str) -> String {
        format!("routes: [{{ access: public, upstream: http://a, {fields} }}]")
    }

    #[test]
    fn origins_are_as_browsers_send_them() {
        for (origin, words) in [
            ("pages.example.com", "expected http:// or https:// and a host"),
            ("wss://pages.example.com", "expected http:// or https:// and a host"),
            ("'https://*.example.com'", "each origin is named by itself"),
            ("'*'", "each origin is named by itself"),
            ("https://a.example/", "expected scheme and host"),
            ("https://a.example/chat", "expected scheme and host"),
            ("https://", "expected scheme and host"),
            ("https://a.example:443", "leave the port out"),
            ("http://a.example:80", "leave the port out"),
        ] {
            let words = format!("routes[0].websocket_origins[1]: {words}");
            each_is_refused(&[(&route(&format!("websocket_origins: [https://b.example, {origin}]")), &words)]);
        }
        let good = "websocket_origins: [https://a.example, 'http://a.example:8080', 'http://[::1]:3000']";
        assert_eq!(problems(&route(good)), [""; 0]);
    }

    #[test]
    fn at_least_one_route_is_needed() {
        assert_eq!(
            problems("# nothing yet\n"),
            ["routes: at least one route is needed, such as `- upstream: http://wiki:8080`"]
        );
    }

    #[test]
    fn hosts_have_no_scheme_port_or_path() {
        for bad in ["'https://a'", "'a:80'", "a/b", "'*'", "'a.*'", "'*a.b'", "ä.example", "''", "'[::1]:80'", "'a..b'"]
        {
            let all = problems(&route(&format!("host: {bad}")));
            assert!(all.len() == 1 && all[0].starts_with("routes[0].host: "), "{bad}: {all:?}");
        }
        for good in ["a", "'*.a.example'", "10.0.0.1", "'[::1]'", "Wiki.Example.COM"] {
            assert_eq!(problems(&route(&format!("host: {good}"))), [""; 0], "{good}");
        }
    }

    #[test]
    fn paths_are_plain_and_not_the_gateways_own() {
        for bad in ["a", "/a/../b", "//", "/a%2fb", "/a?b", "/.session", "/.session/me"] {
            let all = problems(&route(&format!("path: {bad}")));
            assert!(all.len() == 1 && all[0].starts_with("routes[0].path: "), "{bad}: {all:?}");
        }
    }

    #[test]
    fn a_prefix_that_is_taken_off_is_there_and_plain() {
        for path in ["", ", path: /", ", path: null"] {
            let all = problems(&route(&format!("strip_prefix: true{path}")));
            assert_eq!(all.len(), 1, "{path}: {all:?}");
            assert!(all[0].starts_with("routes[0].strip_prefix: there is nothing to take off"), "{all:?}");
        }
        for path in ["/a=b", "/it's", "/a&b", "/ä"] {
            let all = problems(&route(&format!("strip_prefix: true, path: \"{path}\"")));
            assert!(all.len() == 1 && all[0].starts_with("routes[0].strip_prefix: needs a `path`"), "{path}: {all:?}");
        }
        assert_eq!(problems(&route("strip_prefix: true, path: /a/b-c.d_e~/")), [""; 0]);
    }

    #[test]
    fn two_routes_for_the_same_target_are_refused() {
        let text = "routes:\n  - { host: A, path: /x/, access: public, upstream: http://a }\n  - { host: a, path: /x, access: public, upstream: http://b }\n";
        assert_eq!(problems(text), ["routes[1]: host and path are those of routes[0]; no request would come here"]);
    }

    #[test]
    fn upstream_addresses_are_http_host_and_port_only() {
        for (url, words) in [
            ("https://a", "TLS to upstreams is not available in this version"),
            ("a:8080", "expected http://HOST:PORT"),
            ("http://", "expected http://HOST:PORT"),
            ("http://a:0", "expected http://HOST:PORT"),
            ("http://a/", "must end after host and port"),
            ("http://a?x", "must end after host and port"),
            ("http://me:hunter2@a", "must not contain a user name or password"),
        ] {
            let all = problems(&format!("routes: [{{ access: public, upstream: {{ url: '{url}' }} }}]"));
            assert!(all.len() == 1 && all[0].contains(words) && !all[0].contains("hunter2"), "{url}: {all:?}");
        }
    }

    #[test]
    fn an_upstream_needs_an_address_and_sane_times() {
        each_is_refused(&[
            ("routes: [{ access: public }]", "routes[0].upstream.url: is needed"),
            ("routes: [{ access: public, upstream: { url: http://a, idle_timeout: 0s } }]", "must be more than 0"),
            (
                "routes: [{ access: public, upstream: { url: http://a, host: 'a b' } }]",
                "routes[0].upstream.host: expected",
            ),
        ]);
    }

    #[test]
    fn whoever_must_sign_in_must_be_able_to() {
        each_is_refused(&[
            ("routes: [{ upstream: http://a }]", "routes[0].access: nobody can sign in: add `login.form`"),
            ("routes: [{ access: { groups: [a] }, upstream: http://a }]", "nobody can sign in"),
        ]);
        let all = problems(&format!("{FORM}routes: [{{ access: {{ groups: [] }}, upstream: http://a }}]"));
        assert!(all[0].contains("routes[0].access.groups: needs at least one group"), "{all:?}");
    }

    #[test]
    fn a_public_catch_all_beside_a_form_is_warned_of() {
        let warned = |rest: &str| warnings(&format!("{FORM}{}", route(rest))).concat();
        assert!(warned("").contains("routes[0].access: everybody may pass"));
        assert!(!warned("path: /assets").contains("everybody may pass"));
    }
}
