//! What only a restart can change: sockets, threads, the store and where it lies.
//!
//! Asked by `reload` before anything is built. Whoever makes one of these changeable in flight takes its line away.

use serde_json::Value;

use crate::config::schema::{Listener, Store};
use crate::config::{Config, Loaded, Problem};

/// A problem for each key that is not as it is in force.
pub(super) fn changes(in_force: &Config, loaded: &Loaded) -> Vec<Problem> {
    let was = serde_json::to_value(in_force).unwrap_or_default();
    let message = |path: &str| match was.pointer(&pointer(path)).and_then(shown) {
        Some(was) => format!("cannot change while the gateway runs: restart it for this, or write {was} again"),
        None => "cannot change while the gateway runs: restart it for this, or write what was here before".to_owned(),
    };
    let paths = paths(in_force, &loaded.config);
    paths.iter().map(|path| loaded.places.problem(path, message(path))).collect()
}

fn paths(old: &Config, new: &Config) -> Vec<String> {
    let mut paths = listeners(&old.listeners, &new.listeners);
    let mut compare = |path: &str, same: bool| {
        if !same {
            paths.push(path.to_owned());
        }
    };
    compare("workers", old.workers == new.workers);
    compare("data_dir", old.data_dir == new.data_dir);
    compare("admin.address", old.admin.address == new.admin.address);
    store(&old.store, &new.store, &mut compare);
    paths
}

fn listeners(old: &[Listener], new: &[Listener]) -> Vec<String> {
    if old.len() != new.len() {
        return vec!["listeners".into()];
    }
    let mut paths = Vec::new();
    for (place, (old, new)) in old.iter().zip(new).enumerate() {
        for (key, same) in [
            ("address", old.address == new.address),
            ("tls", old.tls == new.tls),
            ("redirect_to_https", old.redirect_to_https == new.redirect_to_https),
            ("proxy_protocol", old.proxy_protocol == new.proxy_protocol),
        ] {
            if !same {
                paths.push(format!("listeners[{place}].{key}"));
            }
        }
    }
    paths
}

fn store(old: &Store, new: &Store, compare: &mut impl FnMut(&str, bool)) {
    // No `..`: a new key has to be thought of here.
    let Store { kind, path, url, url_file: _, listen_url, listen_url_file: _, prefix, cache, timeout, max_sessions } =
        old;
    compare("store.type", *kind == new.kind);
    compare("store.path", *path == new.path);
    compare("store.url", *url == new.url);
    compare("store.listen_url", *listen_url == new.listen_url);
    compare("store.prefix", *prefix == new.prefix);
    compare("store.cache", *cache == new.cache);
    compare("store.timeout", *timeout == new.timeout);
    compare("store.max_sessions", *max_sessions == new.max_sessions);
}

/// `listeners[0].address` as RFC 6901 writes it.
fn pointer(path: &str) -> String {
    let parts = path.split(['.', '[']).map(|part| part.trim_end_matches(']'));
    parts.map(|part| format!("/{part}")).collect()
}

/// SECURITY: a secret prints as stars, and is not shown at all.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text == "***" => None,
        Value::String(text) => Some(format!("`{text}`")),
        Value::Number(_) | Value::Bool(_) | Value::Null => Some(format!("`{value}`")),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn loaded(rest: &str) -> Loaded {
        let text = format!("routes: [{{ access: public, upstream: 'http://a' }}]\n{rest}");
        config::parse(&text, "a.yaml", &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn changed(old: &str, new: &str) -> String {
        let lines: Vec<_> = changes(&loaded(old).config, &loaded(new)).iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn each_key_is_named_with_its_place_and_what_it_was() {
        let lines = changed(
            "listeners: [{ address: '127.0.0.1:80' }]\nworkers: 2",
            "listeners: [{ address: '127.0.0.1:81', proxy_protocol: true }]\nstore: { type: memory, timeout: 1s }",
        );
        let starts: Vec<_> = lines.lines().map(|line| line.split(" cannot").next().unwrap()).collect();
        assert_eq!(
            starts,
            [
                "a.yaml:2:24: listeners[0].address:",
                "a.yaml:2:56: listeners[0].proxy_protocol:",
                "a.yaml:1:1: workers:",
                "a.yaml:3:16: store.type:",
                "a.yaml:3:33: store.timeout:",
            ]
        );
        assert!(lines.contains("or write `127.0.0.1:80` again") && lines.contains("or write `2` again"), "{lines}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let url = |password| format!("store: {{ type: redis, url: 'redis://:{password}@a' }}");
        let lines = changed(&url("old-secret"), &url("new-secret"));
        assert!(lines.contains("store.url: cannot change") && !lines.contains("secret"), "{lines}");
    }

    #[test]
    fn what_can_change_is_not_named() {
        let new = "prefix: /.s\nsession: { idle_timeout: 2h, cookie: { name: id } }\nlimits: { head_timeout: 1s }\n\
                   log: { level: debug, access: false }\nadmin: { token: a-token-of-some-length }\ntrusted_proxies: [10.0.0.0/8]";
        assert_eq!(changed("", new), "");
    }
}
