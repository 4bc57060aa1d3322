//! Where a form or a redirect of the app leads: to the app itself, or nowhere.
//!
//! SECURITY: credentials follow what comes out of here. Whatever browsers could read as another host than we do is
//! refused, and what is left is a path: the host is the route's own upstream, whoever wrote the page.

use crate::http::target::normalise_path;

/// Path and query of `reference` on the page at `page` (path and query too), as the browser would have them; `own` gives
/// the path of an absolute reference, or of an absolute path, if it stays at the app.
pub(super) fn resolve(reference: &str, page: &str, own: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<String> {
    let reference = reference.trim_matches(|c: char| c.is_ascii_whitespace());
    let reference = reference.split('#').next().unwrap_or_default();
    let place = reference.split('?').next().unwrap_or_default();
    if reference.chars().any(char::is_control) || place.contains('\\') {
        return None;
    }
    let path = page.split('?').next().unwrap_or_default();
    let whole = match reference {
        "" => page.to_owned(),
        query if query.starts_with('?') => format!("{path}{query}"),
        rooted if rooted.starts_with('/') || has_scheme(rooted) => String::from_utf8(own(rooted.as_bytes())?).ok()?,
        relative => format!("{}/{relative}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    let (path, query) = whole.split_once('?').map_or((whole.as_str(), None), |(path, query)| (path, Some(query)));
    let path = normalise_path(if path.is_empty() { "/" } else { path }).ok()?;
    Some(query.map_or_else(|| path.to_string(), |query| format!("{path}?{query}")))
}

/// `x:` before anything that could be a path (RFC 3986 §4.2).
fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?']).filter(|at| reference.as_bytes()[*at] == b':');
    end.is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As an app that is called `app` would.
    fn own(url: &[u8]) -> Option<Vec<u8>> {
        match url.strip_prefix(b"http://app").or_else(|| url.strip_prefix(b"//app")) {
            Some(rest) => (rest.is_empty() || rest.starts_with(b"/")).then(|| rest.to_vec()),
            None => (url.starts_with(b"/") && !url.starts_with(b"//")).then(|| url.to_vec()),
        }
    }

    fn on_the_page(reference: &str) -> Option<String> {
        resolve(reference, "/wiki/login.php?next=/x", own)
    }

    #[test]
    fn references_lead_where_a_browser_would_go() {
        for (reference, want) in [
            ("", "/wiki/login.php?next=/x"),
            ("#top", "/wiki/login.php?next=/x"),
            ("?do=login", "/wiki/login.php?do=login"),
            ("check.php", "/wiki/check.php"),
            ("./a/../check.php?x=1", "/wiki/check.php?x=1"),
            ("../in", "/in"),
            (" /in?a=http://b ", "/in?a=http://b"),
            ("http://app/in", "/in"),
            ("http://app", "/"),
            ("//app/in", "/in"),
        ] {
            assert_eq!(on_the_page(reference).as_deref(), Some(want), "{reference}");
        }
    }

    #[test]
    fn what_leads_away_or_could_be_read_so_leads_nowhere() {
        for reference in [
            "http://evil/in",
            "https://evil",
            "//evil/in",
            "http://app.evil/in",
            "javascript:alert(1)",
            "mailto:a@b",
            "\\\\evil\\in",
            "/\\evil",
            "/\t/evil",
            "/%2f%2fevil",
            "/in/%2e%2e/x",
            "h\nttp://evil",
        ] {
            assert_eq!(on_the_page(reference), None, "{reference:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_out_is_a_path(reference in "([a-z]|/|\\\\|:|\\?|#|\\.|%2f|//evil| |\\PC){0,12}") {
            if let Some(target) = on_the_page(&reference) {
                prop_assert!(target.starts_with('/') && !target.starts_with("//"), "{target}");
            }
        }
    }
}
