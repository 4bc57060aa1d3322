//! Which route a request belongs to: most specific host, then longest path prefix.
//!
//! `pipeline` asks with the normalised host and path. What a route *does* is not known here.

use std::collections::HashMap;

/// Position of a route in the configuration.
pub type RouteId = usize;

/// Hosts and path prefixes of all routes, compiled.
#[derive(Debug, Clone, Default)]
pub struct Router {
    exact: HashMap<Box<str>, Prefixes>,
    /// `.example.com` for `*.example.com`, longest first.
    wildcards: Vec<(Box<str>, Prefixes)>,
    any: Prefixes,
}

/// Path prefixes of one host, longest first.
type Prefixes = Vec<(Box<str>, RouteId)>;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The route.
    Route(RouteId),
    /// The host is served, but no route takes this path.
    NoPath,
    /// No route names this host: the request was sent to the wrong server.
    NoHost,
}

impl Router {
    /// Compiles the `(host, path)` pairs in the order of the configuration.
    #[must_use]
    pub fn new<'a>(routes: impl IntoIterator<Item = (Option<&'a str>, &'a str)>) -> Self {
        let mut router = Self::default();
        for (id, (host, path)) in routes.into_iter().enumerate() {
            router.prefixes(host).push((path.trim_end_matches('/').into(), id));
        }
        router.wildcards.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let wildcards = router.wildcards.iter_mut().map(|(_, prefixes)| prefixes);
        for prefixes in router.exact.values_mut().chain(wildcards).chain([&mut router.any]) {
            prefixes.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
        router
    }

    /// The route for a normalised `host` (no port) and `path`.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Found {
        let exact = self.exact.get(host).into_iter();
        let wildcards =
            self.wildcards.iter().filter(|(suffix, _)| is_below(host, suffix)).map(|(_, prefixes)| prefixes);
        let any = (!self.any.is_empty()).then_some(&self.any);
        let mut host_known = false;
        for prefixes in exact.chain(wildcards).chain(any) {
            host_known = true;
            if let Some((_, id)) = prefixes.iter().find(|(prefix, _)| covers(prefix, path)) {
                return Found::Route(*id);
            }
        }
        if host_known { Found::NoPath } else { Found::NoHost }
    }

    /// Whether path alone can change the route: only then is a lax reading of the path worth a look.
    #[must_use]
    pub fn splits_by_path(&self) -> bool {
        let wildcards = self.wildcards.iter().map(|(_, prefixes)| prefixes);
        let mut all = self.exact.values().chain(wildcards).chain([&self.any]);
        all.any(|prefixes| prefixes.iter().any(|(path, _)| !path.is_empty()))
    }

    fn prefixes(&mut self, host: Option<&str>) -> &mut Prefixes {
        let host = host.map(str::to_ascii_lowercase);
        match host.as_deref() {
            None => &mut self.any,
            Some(host) => match host.strip_prefix('*') {
                None => self.exact.entry(host.into()).or_default(),
                Some(suffix) => {
                    let at = self.wildcards.iter().position(|(known, _)| **known == *suffix).unwrap_or_else(|| {
                        self.wildcards.push((suffix.into(), Prefixes::new()));
                        self.wildcards.len() - 1
                    });
                    &mut self.wildcards[at].1
                }
            },
        }
    }
}

/// `a.example.com` is below `.example.com`; `example.com` is not.
fn is_below(host: &str, suffix: &str) -> bool {
    host.len() > suffix.len() && host.ends_with(suffix)
}

/// Whether `path` is `prefix` or lies below it: a prefix ends at a segment's end.
#[must_use]
pub fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        Router::new([
            (Some("wiki.example.com"), "/"),
            (Some("wiki.example.com"), "/admin"),
            (Some("wiki.example.com"), "/admin/public/"),
            (Some("*.example.com"), "/"),
            (Some("*.deep.example.com"), "/"),
            (None, "/shared"),
        ])
    }

    #[test]
    fn the_most_specific_host_wins_then_the_longest_prefix() {
        for (host, path, want) in [
            ("wiki.example.com", "/", Found::Route(0)),
            ("wiki.example.com", "/administrator", Found::Route(0)),
            ("wiki.example.com", "/admin", Found::Route(1)),
            ("wiki.example.com", "/admin/x", Found::Route(1)),
            ("wiki.example.com", "/admin/public", Found::Route(2)),
            ("other.example.com", "/", Found::Route(3)),
            ("x.deep.example.com", "/", Found::Route(4)),
            ("elsewhere", "/shared/x", Found::Route(5)),
            ("elsewhere", "/", Found::NoPath),
        ] {
            assert_eq!(router().find(host, path), want, "{host}{path}");
        }
    }

    #[test]
    fn an_unknown_host_is_told_from_an_unknown_path() {
        let router = Router::new([(Some("a.example"), "/app")]);
        assert_eq!(router.find("b.example", "/app"), Found::NoHost);
        assert_eq!(router.find("a.example", "/"), Found::NoPath);
        assert_eq!(router.find("evil-a.example", "/app"), Found::NoHost);
    }

    #[test]
    fn a_wildcard_needs_a_label_of_its_own() {
        let router = Router::new([(Some("*.example.com"), "/")]);
        assert_eq!(router.find("example.com", "/"), Found::NoHost);
        assert_eq!(router.find("evilexample.com", "/"), Found::NoHost);
    }
}
