//! Checks of where sessions are kept.

use super::Checks;
use crate::config::schema::{Config, Duration, Store, StoreType};

const SHORTEST_TIMEOUT: Duration = Duration::millis(10);
const LONGEST_TIMEOUT: Duration = Duration::seconds(30);

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
    let is_shared = matches!(store.kind, StoreType::Redis | StoreType::Postgres);
    if is_shared && config.session.keys.is_empty() {
        let message = "several gateways on one store need the same keys; without them each generates its own";
        checks.warning("session.keys", message);
    }
}

fn check_urls(store: &Store, checks: &mut Checks<'_>) {
    let (schemes, example): (&[&str], _) = match store.kind {
        StoreType::Memory | StoreType::Disk => (&[], ""),
        StoreType::Redis => (
            &["redis:", "rediss:", "unix:", "redis+sentinel:", "rediss+sentinel:", "redis+cluster:", "rediss+cluster:"],
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
        assert_eq!(problems("{ type: postgres, url: 'postgres://a/b', listen_url: 'postgres://c/b' }"), "");
        assert!(problems("{ type: redis, url: 'redis://a', listen_url: 'postgres://a' }").contains("store.listen_url"));
    }

    #[test]
    fn an_address_of_the_wrong_kind_is_not_repeated() {
        assert!(!problems("{ type: redis, url: 'http://user:hunter2@a' }").contains("hunter2"));
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
