//! What a page of the app asks its reader: forms and their fields, as far as they matter here.
//!
//! Called with the text of pages that went by. What is missed is only not known, so templates that a script holds count as
//! well.

use crate::html::{Tag, Token, tokens};

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

/// All inputs of a page.
#[must_use]
pub fn inputs(html: &str) -> Vec<Input> {
    let mut found = Vec::new();
    for token in tokens(html) {
        match token {
            Token::Start(tag) => found.extend(input(&tag)),
            Token::Raw(script) => found.extend(tokens(script).filter_map(|token| match token {
                Token::Start(tag) => input(&tag),
                _ => None,
            })),
            Token::End(_) | Token::Text(_) => {}
        }
    }
    found
}

fn input(tag: &Tag<'_>) -> Option<Input> {
    let usual = match tag.name.as_str() {
        "input" => "text",
        "button" => "submit",
        _ => return None,
    };
    let name = tag.attribute("name").filter(|name| !name.is_empty())?;
    let kind = tag.attribute("type").unwrap_or(usual).to_ascii_lowercase();
    Some(Input { name: name.to_owned(), kind, value: tag.attribute("value").unwrap_or_default().to_owned() })
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

    #[test]
    fn what_a_script_would_draw_counts_and_what_is_commented_out_does_not() {
        let html = r#"<!-- <input name=old> --><script type="text/x-template"><input name=p type=password></script>"#;
        let names: Vec<_> = inputs(html).into_iter().map(|input| (input.name, input.kind)).collect();
        assert_eq!(names, [("p".to_owned(), "password".to_owned())]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(html in "(<input|name=|\"|'|>|[ -~äß]){0,40}") {
            let _ = inputs(&html);
        }
    }
}
