//! Checks of where sessions are kept.

use super::Checks;
use crate::config::schema::{Access, Config, Duration, Size, Store, StoreType};

const SHORTEST_TIMEOUT: Duration = Duration::millis(10);
const LONGEST_TIMEOUT: Duration = Duration::seconds(30);

/// Three cookies of 4 KiB, and room for what else a browser sends.
const HEAD_WITH_COOKIES: Size = Size::kib(16);
const LONGEST_ATTRIBUTES: usize = 1024;

pub(super) fn check(config: &Config, checks: &mut Checks<'_>) {
    let store = &config.store;
    if store.max_sessions == 0 {
        checks.problem("store.max_sessions", "must be more than 0");
    }
    if store.cache.is_some_and(|cache| cache.max_entries == 0) {
        checks.problem("store.cache.max_entries", "must be more than 0; write `cache: null` for none");
    }
    if store.timeout < SHORTEST_TIMEOUT || store.timeout > LONGEST_TIMEOUT {
        checks.problem("store.timeout", "must be from 10ms to 30s");
    }
    check_urls(store, checks);
    if store.kind == StoreType::Cookie {
        check_cookies(config, checks);
    }
    let is_shared = matches!(store.kind, StoreType::Redis | StoreType::Postgres);
    if is_shared && config.session.keys.is_empty() {
        let message = "several gateways on one store need the same keys; without them each generates its own";
        checks.warning("session.keys", message);
    }
}

/// What cannot be done where nothing is kept.
fn check_cookies(config: &Config, checks: &mut Checks<'_>) {
    let session = &config.session;
    if session.max_per_user.is_some() {
        let message = "needs a store that knows all sessions of a user; `store.type: cookie` keeps none";
        checks.problem("session.max_per_user", message);
    }
    if config.limits.max_head_size < HEAD_WITH_COOKIES {
        let message = "must be 16KiB or more with `store.type: cookie`: up to 12KiB of a request are the session's";
        checks.problem("limits.max_head_size", message);
    }
    let cookie = &session.cookie;
    let attributes = cookie.name.len() + cookie.path.len() + cookie.domain.as_deref().map_or(0, str::len);
    if attributes > LONGEST_ATTRIBUTES {
        let message = "name, path and domain leave no room for the session, which lies in the cookie itself";
        checks.problem("session.cookie", message);
    }
    for message in [
        "cookie: a gateway knows what ended at itself only. Another one with the same session.keys lets those in who \
         signed out here, and tells one-shot values again: run one gateway, or take redis or postgres",
        "cookie: `cloakroom sessions list` shows the sessions that were used since the gateway started, no others",
    ] {
        checks.warning("store.type", message);
    }
    if config.routes.iter().any(|route| route.park.is_some() && route.access != Access::Public) {
        let message = "cookie: a form that is sent when the session has ended is not kept, whatever `park` says";
        checks.warning("store.type", message);
    }
}

fn check_urls(store: &Store, checks: &mut Checks<'_>) {
    let (schemes, example): (&[&str], _) = match store.kind {
        StoreType::Memory | StoreType::Disk | StoreType::Cookie => (&[], ""),
        StoreType::Redis => (
            &[
                "redis:",
                "rediss:",
                "valkey:",
                "valkeys:",
                "unix://",
                "redis+sentinel:",
                "rediss+sentinel:",
                "redis+cluster:",
                "rediss+cluster:",
            ],
            "redis://redis:6379",
        ),
        StoreType::Postgres => (&["postgres:", "postgresql:"], "postgres://cloakroom@db/cloakroom"),
    };
    if schemes.is_empty() {
        if store.url.is_some() {
            checks.problem("store.url", "is for `type: redis` and `type: postgres`");
        }
    } else if store.url.is_none() {
        checks.problem("store.url", format!("is needed: the server's address, such as {example}"));
    }
    if store.listen_url.is_some() && store.kind != StoreType::Postgres {
        checks.problem("store.listen_url", "is for `type: postgres`");
    }
    for (key, url) in [("store.url", &store.url), ("store.listen_url", &store.listen_url)] {
        let fits = |url: &str| schemes.iter().any(|scheme| url.starts_with(scheme));
        if !schemes.is_empty() && url.as_ref().is_some_and(|url| !fits(url.reveal())) {
            checks.problem(key, format!("must begin with one of {}; such as {example}", schemes.join(" ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    const ROUTE: &str = "routes: [{ access: public, upstream: http://a }]\n";

    fn problems(store: &str) -> String {
        let parsed = parse(&format!("store: {store}\n{ROUTE}"), "c.yaml", &|_| None);
        parsed.err().map(|problems| problems.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_server_needs_an_address_of_its_kind() {
        assert!(problems("{ type: redis }").contains("store.url: is needed"), "{}", problems("{ type: redis }"));
        assert!(problems("{ type: postgres, url: 'redis://a' }").contains("must begin with one of postgres:"));
        assert!(problems("{ type: disk, url: 'redis://a' }").contains("is for `type: redis`"));
        assert_eq!(problems("{ type: redis, url: 'redis://:secret@a:6379/1' }"), "");
        assert_eq!(problems("{ type: redis, url: 'valkeys://a' }"), "");
        assert_eq!(problems("{ type: postgres, url: 'postgres://a/b', listen_url: 'postgres://c/b' }"), "");
        assert!(problems("{ type: redis, url: 'redis://a', listen_url: 'postgres://a' }").contains("store.listen_url"));
    }

    #[test]
    fn an_address_of_the_wrong_kind_is_not_repeated() {
        assert!(!problems("{ type: redis, url: 'http://user:hunter2@a' }").contains("hunter2"));
    }

    #[test]
    fn what_needs_a_list_of_sessions_is_refused_where_none_is_kept() {
        let problems = |more: &str| {
            let text = format!("store: {{ type: cookie }}\n{more}\n{ROUTE}");
            parse(&text, "c.yaml", &|_| None).err().map(|problems| problems.to_string()).unwrap_or_default()
        };
        assert_eq!(problems(""), "");
        assert!(problems("session: { max_per_user: 3 }").contains("session.max_per_user: needs a store"));
        assert!(problems("limits: { max_head_size: 8KiB }").contains("limits.max_head_size: must be 16KiB"));
        let path = format!("session: {{ cookie: {{ name: '{}' }} }}", "n".repeat(1024));
        assert!(problems(&path).contains("session.cookie: name, path and domain"));
    }

    #[test]
    fn what_cookies_cannot_do_is_said() {
        let loaded = parse(&format!("store: {{ type: cookie }}\n{ROUTE}"), "c.yaml", &|_| None).unwrap();
        let said: String = loaded.warnings.iter().map(|warning| format!("{warning}\n")).collect();
        for words in ["signed out here", "one-shot values", "`cloakroom sessions list`"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn bounds_are_checked() {
        assert!(problems("{ cache: { max_entries: 0 } }").contains("store.cache.max_entries"));
        assert!(problems("{ max_sessions: 0 }").contains("store.max_sessions"));
        assert!(
            problems("{ timeout: 5ms }").contains("store.timeout")
                && problems("{ timeout: 1m }").contains("store.timeout")
        );
        assert_eq!(problems("{ type: memory, cache: null, timeout: 1s }"), "");
    }

    #[test]
    fn gateways_that_share_a_store_are_told_to_share_keys() {
        let text = format!("store: {{ type: redis, url: 'redis://a' }}\n{ROUTE}");
        let loaded = parse(&text, "c.yaml", &|_| None).unwrap();
        assert!(loaded.warnings.iter().any(|warning| warning.to_string().contains("session.keys")));
    }
}
