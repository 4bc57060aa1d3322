//! Checks of identity headers: names the gateway may set, templates it can fill in.

use std::collections::HashMap;

use super::Checks;
use super::syntax::is_token;
use crate::config::schema::{IdentityConfig, IdentityHeaders};

/// Headers that frame messages, concern one hop, or that the gateway writes itself; folded names.
const RESERVED: [&str; 27] = [
    "content-length",
    "transfer-encoding",
    "trailer",
    "te",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "upgrade",
    "expect",
    "host",
    "cookie",
    "set-cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-real-ip",
    "proxy",
    "via",
    "session-handle",
    "session-created",
    "session-expires-in",
    "session-data",
    "session-data-omitted",
];

pub(super) fn check(identity: &IdentityConfig, key: &str, checks: &mut Checks<'_>) {
    let IdentityHeaders::Templates(templates) = &identity.headers else { return };
    let mut seen: HashMap<String, &str> = HashMap::new();
    for (name, template) in templates {
        let path = format!("{key}.{name}");
        let folded = fold(name);
        if !is_token(name) {
            checks.problem(&path, "is not a valid header name; expected letters, digits and dashes");
        } else if RESERVED.contains(&folded.as_str()) {
            checks.problem(&path, "this header cannot carry the user: HTTP or the gateway itself needs it");
        } else if let Some(first) = seen.insert(folded, name) {
            checks.problem(&path, format!("apps cannot tell this name from {first}"));
        }
        if let Some(message) = complaint_about_template(template) {
            checks.problem(&path, message);
        }
    }
}

/// Many apps see headers as CGI variables, where `X-User`, `x-user` and `X_User` are one.
fn fold(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

fn complaint_about_template(template: &str) -> Option<String> {
    const ALLOWED: &str =
        "allowed are {user}, {name}, {email}, {groups}, {groups:SEPARATOR}, {session.KEY} and {session_handle}";
    if template.is_empty() {
        return Some(format!("an empty template sets no header; {ALLOWED}"));
    }
    if template.chars().any(char::is_control) {
        return Some("must not contain control characters".into());
    }
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let Some(inner) = rest[at..].strip_prefix('{') else { return Some("`}` without `{`".into()) };
        let Some((value, tail)) = inner.split_once('}') else { return Some("`{` without `}`".into()) };
        let has_separator = value.strip_prefix("groups:").is_some_and(|separator| !separator.is_empty());
        let has_key = value.strip_prefix("session.").is_some_and(|key| key.split('.').all(|part| !part.is_empty()));
        let is_word = matches!(value, "user" | "name" | "email" | "groups" | "session_handle");
        if !is_word && !has_separator && !has_key {
            return Some(format!("`{{{value}}}` is not known; {ALLOWED}"));
        }
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::problems;
    use super::*;

    fn with_headers(headers: &str) -> Vec<String> {
        problems(&format!("routes: [{{ access: public, upstream: http://a, identity: {{ headers: {headers} }} }}]"))
    }

    #[test]
    fn templates_know_the_users_fields_only() {
        assert_eq!(
            with_headers(
                "{ X-A: '{user}', X-B: 'u:{name} <{email}>', X-C: '{groups:|}', X-D: '{groups}', X-E: '{session.a.b}', X-F: '{session_handle}' }"
            ),
            [""; 0]
        );
        for (template, words) in [
            ("{password}", "`{password}` is not known; allowed are {user}"),
            ("{groups:}", "`{groups:}` is not known"),
            ("{session.}", "`{session.}` is not known"),
            ("{session.a..b}", "`{session.a..b}` is not known"),
            ("{user", "`{` without `}`"),
            ("user}", "`}` without `{`"),
            ("", "an empty template"),
        ] {
            let all = with_headers(&format!("{{ X-User: '{template}' }}"));
            assert!(all.len() == 1 && all[0].contains(words), "{template}: {all:?}");
            assert!(all[0].starts_with("routes[0].identity.headers.X-User: "), "{all:?}");
        }
    }

    #[test]
    fn headers_that_others_need_are_refused() {
        for name in [
            "Session_Data",
            "Host",
            "COOKIE",
            "Content_Length",
            "transfer-encoding",
            "Connection",
            "X.Forwarded.For",
            "'a b'",
            "''",
        ] {
            let all = with_headers(&format!("{{ {name}: '{{user}}' }}"));
            assert!(all.len() == 1, "{name}: {all:?}");
        }
    }

    #[test]
    fn names_that_an_app_cannot_tell_apart_are_refused() {
        assert!(
            with_headers("{ X-User: '{user}', x_user: '{name}' }")[0]
                .contains("apps cannot tell this name from X-User")
        );
    }

    proptest! {
        #[test]
        fn arbitrary_templates_never_panic(template in any::<String>()) {
            let _ = complaint_about_template(&template);
        }
    }
}
