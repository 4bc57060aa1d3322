//! Findings as YAML to be put under a route, each section with its reason.
//!
//! SECURITY: paths, names and texts of the app are its own; none may end a line or a string early, here or on a terminal.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::findings::Findings;

/// Comments are broken here.
const WIDTH: usize = 110;

impl Findings {
    /// The YAML: `cookies`, `expose_cookies` and `observe` of the app's route, and `sign_on` as a comment.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = Text::default();
        self.write_head(&mut text);
        if self.rewrite_links {
            text.paragraph(&format!("Its pages link to {} itself, whatever it is called.", self.url));
            text.line(0, "rewrite: { links: true }");
        }
        text.paragraph("The browser holds the gateway's cookie only; the app's cookies stay with the session here.");
        self.write_cookies(&mut text);
        if self.login.is_empty() {
            text.paragraph("No `observe`: it is not known how this app shows that somebody has signed in.");
        } else {
            text.paragraph("People sign in at the app's own page, and the gateway learns from its answers who it is.");
            text.line(0, "observe:");
            self.write_login(&mut text);
            self.write_rest(&mut text);
        }
        self.write_sign_on(&mut text);
        text.0
    }

    fn write_head(&self, text: &mut Text) {
        text.comment(&format!("What `cloakroom observe` saw of {}. Put it into your configuration so:", self.url));
        text.comment("");
        for line in ["login: { form: null }       # people sign in at the app", "routes:", "  - access: user"] {
            text.comment(&format!("  {line}"));
        }
        text.comment(&match self.host_upstream {
            true => format!(
                "      upstream: {{ url: {}, host: upstream }}   # it was called by its own name here",
                self.url
            ),
            false => format!("      upstream: {}", self.url),
        });
        text.comment("      cookies: vault        # from here on all that follows, indented like this");
        text.comment("");
        text.comment("and let `cloakroom validate` look at it. Seen were:");
        self.saw.iter().for_each(|line| text.comment(&format!("- {line}")));
        if !self.doubts.is_empty() {
            text.comment("");
        }
        self.doubts.iter().for_each(|line| text.comment(&format!("LOOK: {line}")));
    }

    fn write_cookies(&self, text: &mut Text) {
        text.line(0, "cookies: vault");
        if !self.expose_cookies.is_empty() {
            text.comment("But for those that the app's scripts need:");
            self.expose_cookies.iter().for_each(|cookie| text.comment(&cookie.why));
            let names: Vec<&str> = self.expose_cookies.iter().map(|cookie| cookie.value.as_str()).collect();
            text.line(0, &format!("expose_cookies: {}", flow(&names)));
        }
    }

    fn write_login(&self, text: &mut Text) {
        text.comment_at(2, "The request that signs in, and what tells that the password was right:");
        self.success_why.iter().for_each(|why| text.comment_at(2, why));
        text.comment_at(2, &self.user_why);
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

    /// Every line begins with `#`, so that the section is there when that is taken away.
    fn write_sign_on(&self, text: &mut Text) {
        if let Some(why) = &self.no_sign_on {
            text.paragraph(&format!("No `sign_on`, by which people would sign in at the gateway's own page: {why}."));
        }
        if self.sign_on.is_empty() {
            return;
        }
        text.paragraph(
            "The other way: people sign in once, at the gateway's own page, and it goes through the app's sign-in for them. \
             Choose it where one sign-in should do for several apps. To switch, delete `observe` with all below it, take \
             the first # from each of the following lines, and write at the top of the file who may sign in, instead of \
             `form: null`: `login: { form: { users_file: users.yaml } }` (`cloakroom hash-password` makes the hashes).",
        );
        text.line(0, "#sign_on:");
        for line in &self.sign_on {
            text.prose("#  # ", &line.why);
            text.line(0, &format!("#  {}", entry(line.key, &line.value)));
        }
    }

    fn write_rest(&self, text: &mut Text) {
        if let Some(page) = &self.login_page {
            text.comment_at(2, &format!("where strangers are sent to sign in: {}", page.why));
            text.line(2, &format!("login_page: {}", flow(&page.value)));
        }
        if !self.public_paths.is_empty() {
            text.comment_at(
                2,
                "what the sign-in page needs, so that it looks and works as it should: strangers may see it",
            );
            text.line(2, &format!("public_paths: {}", flow(&self.public_paths)));
        }
        if let Some(logout) = &self.logout {
            text.comment_at(2, &logout.why);
            text.line(2, &format!("logout: {}", section(&logout.value)));
        }
        if let Some(expired) = &self.expired {
            text.comment_at(2, &format!("the app has forgotten somebody, and the session here ends: {}", expired.why));
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

/// The sections as they are for who does what the text says of the other way; `None` where there is none.
#[must_use]
pub fn switched(sections: &str) -> Option<String> {
    let (shared, other) = sections.split_once("\n#sign_on:")?;
    let shared = shared.split("\nobserve:\n").next().unwrap_or_default();
    let other = format!("#sign_on:{other}");
    let uncommented: String =
        other.lines().map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line))).collect();
    Some(format!("{shared}\n{uncommented}"))
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, indent: usize, line: &str) {
        // Writing to a `String` does not fail.
        let line = printable(line);
        let _ = if line.is_empty() { writeln!(self.0) } else { writeln!(self.0, "{:indent$}{line}", "") };
    }

    fn paragraph(&mut self, line: &str) {
        self.line(0, "");
        self.comment(line);
    }

    fn comment(&mut self, line: &str) {
        self.comment_at(0, line);
    }

    fn comment_at(&mut self, indent: usize, line: &str) {
        self.prose(&format!("{:indent$}# ", ""), line);
    }

    /// Text of any length, each of its lines after `mark`.
    fn prose(&mut self, mark: &str, text: &str) {
        let mut line = String::new();
        for piece in text.split_inclusive(' ') {
            if !line.trim().is_empty() && mark.len() + line.len() + piece.trim_end().len() > WIDTH {
                self.line(0, format!("{mark}{line}").trim_end());
                line.clear();
            }
            line += piece;
        }
        self.line(0, format!("{mark}{line}").trim_end());
    }
}

/// The text without what would end a line or speak to a terminal.
pub fn printable(text: &str) -> String {
    let is_odd =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{feff}');
    text.chars().map(|c| if is_odd(c) { '?' } else { c }).collect()
}

fn section(value: &impl Serialize) -> String {
    map(&without_defaults(serde_json::to_value(value).unwrap_or_default(), false))
}

/// What is given, as it is written.
pub fn given(value: &impl Serialize) -> Value {
    Value::Object(without_defaults(serde_json::to_value(value).unwrap_or_default(), false).into_iter().collect())
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

fn flow(value: &(impl Serialize + ?Sized)) -> String {
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
fn word(text: &str) -> String {
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
