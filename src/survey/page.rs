//! What a page of the app asks its reader: forms and their fields, as far as they matter here.
//!
//! Called with the text of pages that went by. A scan for tags, not a parser: what it misses is only not known.

use std::sync::LazyLock;

use regex::Regex;

/// An `<input>` or `<button>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// How it is called when it is sent.
    pub name: String,
    /// `text`, `password`, `hidden` and so on, in lower case.
    pub kind: String,
    /// What it holds from the start.
    pub value: String,
}

// Quoted values may hold `>`.
static TAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?is)<(input|button)\b((?:"[^"]*"|'[^']*'|[^"'>])*)>"#).ok());
static ATTRIBUTE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?is)([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"#).ok());

/// All inputs of a page.
#[must_use]
pub fn inputs(html: &str) -> Vec<Input> {
    let Some(tags) = &*TAG else { return Vec::new() };
    tags.captures_iter(html).filter_map(|tag| input(&tag[1], &tag[2])).collect()
}

fn input(tag: &str, attributes: &str) -> Option<Input> {
    let (mut name, mut kind, mut value) = (None, None, None);
    for found in (*ATTRIBUTE).as_ref()?.captures_iter(attributes) {
        let text = (2..=4).find_map(|group| found.get(group)).map_or("", |text| text.as_str());
        let slot = match found[1].to_ascii_lowercase().as_str() {
            "name" => &mut name,
            "type" => &mut kind,
            "value" => &mut value,
            _ => continue,
        };
        // As browsers do, the first counts.
        slot.get_or_insert_with(|| unescape(text));
    }
    let usual = if tag.eq_ignore_ascii_case("button") { "submit" } else { "text" };
    let kind = kind.unwrap_or_else(|| usual.into()).to_ascii_lowercase();
    Some(Input { name: name.filter(|name| !name.is_empty())?, kind, value: value.unwrap_or_default() })
}

/// The five references that names and values are written with.
fn unescape(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    plain.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn inputs_are_found_however_they_are_written() {
        let html = r#"<form><INPUT type=hidden name='do' value="log>in"><input name="auth[u]"><input
            type="PASSWORD" name=p><button name="go" value="a&amp;b">x</button><input type=submit></form>"#;
        let found = inputs(html);
        let as_pairs: Vec<_> =
            found.iter().map(|input| (input.name.as_str(), input.kind.as_str(), input.value.as_str())).collect();
        let expected =
            [("do", "hidden", "log>in"), ("auth[u]", "text", ""), ("p", "password", ""), ("go", "submit", "a&b")];
        assert_eq!(as_pairs, expected);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(html in "(<input|name=|\"|'|>|[ -~äß]){0,40}") {
            let _ = inputs(&html);
        }
    }
}
