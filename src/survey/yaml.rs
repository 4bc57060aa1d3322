//! Findings as YAML to be put under a route, each section with its reason.
//!
//! SECURITY: paths, names and texts of the app are its own; none may end a line or a string early, here or on a terminal.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::findings::Findings;

impl Findings {
    /// The YAML: `cookies`, `expose_cookies` and `observe` of the app's route.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = Text::default();
        text.comment(&format!("What `cloakroom observe` saw of {}. It belongs under the route of this app:", self.url));
        text.comment("");
        text.comment("  routes:");
        text.comment("    - access: user");
        text.comment(&match self.host_upstream {
            true => format!(
                "      upstream: {{ url: {}, host: upstream }}   # it was called by its own name here",
                self.url
            ),
            false => format!("      upstream: {}", self.url),
        });
        text.comment("      cookies: vault   # and so on");
        text.comment("");
        self.saw.iter().for_each(|line| text.comment(line));
        self.doubts.iter().for_each(|line| text.comment(&format!("LOOK: {line}")));
        if self.rewrite_links {
            text.comment(&format!("Its pages link to {} itself, whatever it is called.", self.url));
            text.line(0, "rewrite: { links: true }");
        }
        self.write_cookies(&mut text);
        if self.login.is_empty() {
            text.comment("No `observe`: it is not known how this app shows that somebody has signed in.");
        } else {
            text.line(0, "observe:");
            self.write_login(&mut text);
            self.write_rest(&mut text);
        }
        if !self.sign_on.is_empty() {
            text.comment("To sign on for users who sign in at the gateway's own page, instead of `observe`:");
            self.sign_on.iter().for_each(|line| text.comment(&format!("  {line}")));
        }
        text.0
    }

    fn write_cookies(&self, text: &mut Text) {
        text.comment("The browser holds the gateway's cookie only; the app's cookies stay with the session.");
        text.line(0, "cookies: vault");
        if !self.expose_cookies.is_empty() {
            self.expose_cookies.iter().for_each(|cookie| text.comment(&cookie.why));
            let names: Vec<&str> = self.expose_cookies.iter().map(|cookie| cookie.value.as_str()).collect();
            text.line(0, &format!("expose_cookies: {}", flow(&names)));
        }
    }

    fn write_login(&self, text: &mut Text) {
        self.login_why.iter().for_each(|why| text.comment_at(2, why));
        text.line(2, "login:");
        for login in &self.login {
            let plain = serde_json::to_value(login).unwrap_or_default();
            let plain = without_defaults(plain, login.method.is_empty());
            for (number, (key, value)) in plain.iter().enumerate() {
                let (indent, dash) = if number == 0 { (4, "- ") } else { (6, "") };
                text.line(indent, &format!("{dash}{}", entry(key, value)));
            }
        }
    }

    fn write_rest(&self, text: &mut Text) {
        if let Some(page) = &self.login_page {
            text.comment_at(2, &page.why);
            text.line(2, &format!("login_page: {}", flow(&page.value)));
        }
        if !self.public_paths.is_empty() {
            text.comment_at(2, "what the sign-in page needs: strangers may see it");
            text.line(2, &format!("public_paths: {}", flow(&self.public_paths)));
        }
        if let Some(logout) = &self.logout {
            text.comment_at(2, &logout.why);
            text.line(2, &format!("logout: {}", section(&logout.value)));
        }
        if let Some(expired) = &self.expired {
            text.comment_at(2, &expired.why);
            text.line(2, &format!("expired: {}", section(&expired.value)));
        }
        if let Some(probe) = &self.probe {
            text.comment_at(2, &probe.why);
            let timeless = serde_json::to_value(&probe.value).unwrap_or_default();
            let mut probe = without_defaults(timeless, false);
            probe.retain(|(key, _)| key != "timeout");
            text.line(2, &format!("probe: {}", map(&probe)));
        }
    }
}

/// A whole configuration with `sections` under its one route.
#[must_use]
pub fn as_route(url: &str, sections: &str) -> String {
    let indented: String = sections.lines().map(|line| format!("    {line}\n")).collect();
    format!("login: {{ form: null }}\nroutes:\n  - access: user\n    upstream: {}\n{indented}", word(url))
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, indent: usize, line: &str) {
        // Writing to a `String` does not fail.
        let _ = writeln!(self.0, "{:indent$}{}", "", printable(line));
    }

    fn comment(&mut self, line: &str) {
        self.comment_at(0, line);
    }

    fn comment_at(&mut self, indent: usize, line: &str) {
        let comment = format!("# {line}");
        self.line(indent, comment.trim_end());
    }
}

/// The text without what would end a line or speak to a terminal.
pub fn printable(text: &str) -> String {
    let is_odd =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{feff}');
    text.chars().map(|c| if is_odd(c) { '?' } else { c }).collect()
}

pub(super) fn section(value: &impl Serialize) -> String {
    map(&without_defaults(serde_json::to_value(value).unwrap_or_default(), false))
}

/// What is given; an empty `method` says that any will do, where POST is the default.
fn without_defaults(value: Value, any_method: bool) -> Vec<(String, Value)> {
    let Value::Object(entries) = value else { return Vec::new() };
    let is_given = |key: &str, value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty() || (key == "method" && any_method),
        Value::Object(entries) => !entries.is_empty(),
        _ => true,
    };
    entries.into_iter().filter(|(key, value)| is_given(key, value)).map(|(key, value)| (key, pruned(value))).collect()
}

/// Lists of one as that one, and maps without what is not given.
fn pruned(value: Value) -> Value {
    match value {
        Value::Array(mut items) if items.len() == 1 => items.pop().unwrap_or_default(),
        Value::Object(entries) => {
            let mut entries = entries;
            // The values of `json` may be false or null for good reason.
            if entries.keys().any(|key| !key.starts_with('/')) {
                entries.retain(|_, value| !matches!(value, Value::Null | Value::Bool(false)));
            }
            Value::Object(entries)
        }
        other => other,
    }
}

pub(super) fn flow(value: &(impl Serialize + ?Sized)) -> String {
    written(&serde_json::to_value(value).unwrap_or_default())
}

fn map(entries: &[(String, Value)]) -> String {
    let entries: Vec<String> = entries.iter().map(|(key, value)| entry(key, value)).collect();
    format!("{{ {} }}", entries.join(", "))
}

fn entry(key: &str, value: &Value) -> String {
    // Digits and `xx`, which need no quotes.
    let written = if key == "status" { written(value).replace('"', "") } else { written(value) };
    format!("{}: {written}", word(key))
}

fn written(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries: Vec<(String, Value)> =
                entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            map(&entries)
        }
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::String(text) => word(text),
        other => other.to_string(),
    }
}

/// Plain where nobody can take it for anything else, in quotes otherwise; `$` is doubled, as the configuration reads it.
pub(super) fn word(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.'));
    let taken = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    match plain && !taken.contains(&text.to_ascii_lowercase().as_str()) {
        true => text.to_owned(),
        false => Value::String(text.replace('$', "$$")).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::schema::ObservedLogin;

    #[test]
    fn words_are_quoted_where_they_could_be_taken_for_something_else() {
        for (text, expected) in [
            ("/login", "/login"),
            ("yes", "\"yes\""),
            ("302", "\"302\""),
            ("auth[u]", "\"auth[u]\""),
            ("a$b", "\"a$$b\""),
            ("", "\"\""),
        ] {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn what_is_not_given_is_not_written() {
        let login = ObservedLogin {
            path: "/in".into(),
            json: [("/ok".into(), json!(false))].into(),
            ..ObservedLogin::default()
        };
        let entries = without_defaults(serde_json::to_value(&login).unwrap(), false);
        assert_eq!(map(&entries), "{ method: POST, path: /in, json: { /ok: false } }");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in "[^\\p{Cc}\\u{2028}\\u{2029}\\u{202a}-\\u{202e}\\u{feff}\\u{fffe}\\u{ffff}]{0,20}") {
            let yaml = format!("routes: [{{ upstream: http://a, name: {} }}]", printable(&word(&text)));
            if let Ok(loaded) = crate::config::parse(&yaml, "f", &|_| None) {
                prop_assert_eq!(loaded.config.routes[0].name.as_deref(), Some(&*text));
            }
        }

        #[test]
        fn no_text_ends_a_line(text in any::<String>()) {
            prop_assert_eq!(printable(&text).lines().count() <= 1, true);
        }
    }
}
