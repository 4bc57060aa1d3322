//! Checks of the session cookie against RFC 6265bis: what a browser would silently drop is a problem.

use super::Checks;
use super::syntax::{covers, is_host_name, is_ipv4, is_normal_path, is_token};
use crate::config::schema::{Config, Cookie, Duration, ListenerAddress, SameSite, Secure};

/// RFC 6265bis §5.5: browsers cut longer lifetimes to this.
const MAX_AGE: Duration = Duration::days(400);

/// Each name is one more cookie to look for in every request.
const MOST_PREVIOUS_NAMES: usize = 4;

const TOKEN_HINT: &str = "expected letters, digits and any of !#$%&'*+-.^_`|~, such as sessionid";

pub(super) fn check(config: &Config, checks: &mut Checks<'_>) {
    let cookie = &config.session.cookie;
    check_name(cookie, checks);
    check_previous_names(cookie, checks);
    check_secure(cookie, checks);
    check_path(config, checks);
    if let Some(domain) = &cookie.domain {
        check_domain(domain, config, checks);
    }
    if cookie.persistent && config.session.absolute_timeout > MAX_AGE {
        checks.problem(
            "session.absolute_timeout",
            "browsers keep no cookie longer than 400d; shorten it or set session.cookie.persistent to false",
        );
    }
    if config.session.remember_me.is_some_and(|longest| longest > MAX_AGE) {
        checks.problem("session.remember_me", "browsers keep no cookie longer than 400d");
    }
    warn_of_weak(config, checks);
}

fn check_name(cookie: &Cookie, checks: &mut Checks<'_>) {
    let path = "session.cookie.name";
    let name = cookie.name.as_str();
    if !is_token(name) {
        checks.problem(path, TOKEN_HINT);
        return;
    }
    // Browsers compare the prefixes without regard to case, readers of logs do not.
    let prefixes = ["__Host-Http-", "__Host-", "__Secure-", "__Http-"];
    let found = prefixes.iter().find(|p| name.get(..p.len()).is_some_and(|start| start.eq_ignore_ascii_case(p)));
    let Some(prefix) = found else { return };
    if !name.starts_with(prefix) {
        checks.problem(path, format!("write the prefix as `{prefix}`"));
    }
    if name.len() == prefix.len() {
        checks.problem(path, format!("a name must follow `{prefix}`"));
    }
    let demand = |condition: bool, key: &str, value: &str, checks: &mut Checks<'_>| {
        if !condition {
            checks.problem(format!("session.cookie.{key}"), format!("must be {value} for a cookie named `{prefix}…`"));
        }
    };
    demand(cookie.secure == Secure::Always, "secure", "true", checks);
    if prefix.starts_with("__Host-") {
        demand(cookie.path == "/", "path", "/", checks);
        demand(cookie.domain.is_none(), "domain", "null", checks);
    }
    if prefix.ends_with("Http-") {
        demand(cookie.http_only, "http_only", "true", checks);
    }
}

/// A previous name is only read and deleted, so its prefix demands nothing of the present attributes.
fn check_previous_names(cookie: &Cookie, checks: &mut Checks<'_>) {
    let names = &cookie.previous_names;
    if names.len() > MOST_PREVIOUS_NAMES {
        let message = format!("at most {MOST_PREVIOUS_NAMES}; browsers have long forgotten the oldest");
        checks.problem("session.cookie.previous_names", message);
    }
    for (index, name) in names.iter().enumerate() {
        let path = format!("session.cookie.previous_names[{index}]");
        if !is_token(name) {
            checks.problem(path, TOKEN_HINT);
        } else if *name == cookie.name {
            checks.problem(path, "is the present name; leave it out");
        } else if names[..index].contains(name) {
            checks.problem(path, format!("{name} is already given above"));
        }
    }
}

fn check_secure(cookie: &Cookie, checks: &mut Checks<'_>) {
    if cookie.secure == Secure::Always {
        return;
    }
    if cookie.same_site == SameSite::None {
        checks.problem("session.cookie.same_site", "`none` demands `secure: true`; browsers drop the cookie otherwise");
    }
    if cookie.partitioned {
        checks.problem("session.cookie.partitioned", "demands `secure: true`; browsers drop the cookie otherwise");
    }
}

fn check_path(config: &Config, checks: &mut Checks<'_>) {
    let path = &config.session.cookie.path;
    if !is_normal_path(path) || !path.is_ascii() {
        checks.problem("session.cookie.path", "expected a plain path that begins with `/`");
    } else if is_normal_path(&config.prefix) && !covers(path, &config.prefix) {
        let message = format!("must cover `prefix` ({}), or sign-in would never see the cookie", config.prefix);
        checks.problem("session.cookie.path", message);
    }
}

fn check_domain(domain: &str, config: &Config, checks: &mut Checks<'_>) {
    let path = "session.cookie.domain";
    if domain.starts_with('.') {
        checks.problem(path, "write it without the leading dot; subdomains are always included");
    } else if !is_host_name(domain) || is_ipv4(domain) {
        checks.problem(path, "expected a domain such as example.com, without scheme and port");
    } else if !domain.contains('.') {
        checks.problem(path, "browsers refuse cookies for a single label; write null, or a domain such as example.com");
    } else {
        check_domain_covers_routes(domain, config, checks);
    }
}

fn check_domain_covers_routes(domain: &str, config: &Config, checks: &mut Checks<'_>) {
    let domain = domain.to_ascii_lowercase();
    for (index, route) in config.routes.iter().enumerate() {
        let Some(host) = route.host.as_deref().map(str::to_ascii_lowercase) else { continue };
        let host = host.strip_prefix("*.").unwrap_or(&host);
        let is_below = host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if !is_below {
            let message = format!("browsers refuse a cookie for {domain} from {host} (the host of routes[{index}])");
            checks.problem("session.cookie.domain", message);
        }
    }
}

fn warn_of_weak(config: &Config, checks: &mut Checks<'_>) {
    let path = "session.cookie.secure";
    let over_tls = config.listeners.iter().any(|listener| listener.tls.is_some()) || !config.trusted_proxies.is_empty();
    // A proxy on the same machine may well terminate TLS and speak over the socket.
    let over_socket = config.listeners.iter().any(|listener| matches!(listener.address, ListenerAddress::Unix(_)));
    match config.session.cookie.secure {
        Secure::Never => checks.warning(path, "the cookie also travels over plain http, where anybody on the way can take it"),
        Secure::Auto => checks.warning(path, "over plain http the cookie has no protection; write true once all is https"),
        Secure::Always if !over_tls && !over_socket => checks.warning(
            path,
            "browsers return the cookie over https only (and on localhost), but no listener has `tls` and no proxy in `trusted_proxies` speaks it",
        ),
        Secure::Always => {}
    }
    if !config.session.cookie.http_only {
        checks.warning("session.cookie.http_only", "scripts on the apps' pages can read and take the cookie");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PUBLIC, each_is_refused, problems, warnings};

    #[test]
    fn cookies_that_a_browser_would_drop_are_refused() {
        each_is_refused(&[
            ("session: { cookie: { name: 'a b' } }", "session.cookie.name: expected letters"),
            ("session: { cookie: { name: '' } }", "session.cookie.name: expected letters"),
            ("session: { cookie: { name: __Host-id, secure: auto } }", "session.cookie.secure: must be true"),
            ("session: { cookie: { name: __Host-id, path: /.session } }", "session.cookie.path: must be /"),
            ("session: { cookie: { name: __Host-id, domain: a.example } }", "session.cookie.domain: must be null"),
            ("session: { cookie: { name: __host-id } }", "write the prefix as `__Host-`"),
            ("session: { cookie: { name: __Secure-id, secure: false } }", "session.cookie.secure: must be true"),
            ("session: { cookie: { name: __Http-id, http_only: false } }", "session.cookie.http_only: must be true"),
            ("session: { cookie: { name: __Host- } }", "a name must follow"),
            ("session: { cookie: { same_site: none, secure: false } }", "`none` demands `secure: true`"),
            ("session: { cookie: { partitioned: true, secure: auto } }", "session.cookie.partitioned: demands"),
            ("session: { cookie: { path: a } }", "session.cookie.path: expected a plain path"),
            ("session: { cookie: { path: /app } }", "must cover `prefix` (/.session)"),
            ("session: { absolute_timeout: 401d }", "no cookie longer than 400d"),
            ("session: { remember_me: 401d }", "session.remember_me: browsers keep no cookie longer than 400d"),
        ]);
    }

    #[test]
    fn previous_names_are_other_names() {
        each_is_refused(&[
            ("session: { cookie: { previous_names: ['a b'] } }", "session.cookie.previous_names[0]: expected letters"),
            ("session: { cookie: { previous_names: [old, sessionid] } }", "previous_names[1]: is the present name"),
            ("session: { cookie: { previous_names: [old, old] } }", "previous_names[1]: old is already given above"),
            ("session: { cookie: { previous_names: [a, b, c, d, e] } }", "session.cookie.previous_names: at most 4"),
        ]);
        let good = "session: { cookie: { previous_names: [JSESSIONID, __Host-id] } }";
        assert_eq!(problems(&format!("{good}\n{PUBLIC}")), [""; 0]);
    }

    #[test]
    fn the_domain_is_a_domain_that_covers_the_routes() {
        each_is_refused(&[
            ("session: { cookie: { domain: .a.example } }", "without the leading dot"),
            ("session: { cookie: { domain: 'https://a.example' } }", "expected a domain"),
            ("session: { cookie: { domain: 10.0.0.1 } }", "expected a domain"),
            ("session: { cookie: { domain: localhost } }", "single label"),
            (
                "session: { cookie: { domain: a.example } }\nroutes: [{ host: ba.example, access: public, upstream: http://a }]",
                "refuse a cookie for a.example from ba.example (the host of routes[0])",
            ),
        ]);
        let good = "session: { cookie: { domain: A.example } }\nroutes: [{ host: '*.a.example', access: public, upstream: http://a }]";
        assert_eq!(problems(good), [""; 0]);
    }

    #[test]
    fn weak_cookies_are_warned_of() {
        let secure =
            |value: &str| warnings(&format!("session: {{ cookie: {{ secure: {value} }} }}\n{PUBLIC}")).concat();
        assert!(secure("false").contains("anybody on the way"));
        assert!(secure("auto").contains("once all is https"));
        assert!(secure("true").contains("no listener has `tls`"));
        assert!(warnings(&format!("trusted_proxies: [10.0.0.1]\n{PUBLIC}")).is_empty());
    }
}
