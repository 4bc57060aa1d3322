//! The tags of a whole page, as browsers find them (HTML standard §13.2.5), with their attributes decoded.
//!
//! For `sign_on`, which fills forms in, and `survey`, which looks at them: no tree, and no reading piece by piece, byte for
//! byte, as `places::html` needs to change what streams by. Any text makes some sequence of tags; a page is read in one pass.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// Elements whose content is text up to their own end tag.
const RAW: [&str; 7] = ["script", "style", "title", "iframe", "noembed", "noframes", "xmp"];
/// More attributes than any tag of a form has.
const MOST_ATTRIBUTES: usize = 100;

/// A tag, or a text between two; comments are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'p> {
    /// `<a href=/>`
    Start(Tag<'p>),
    /// Its name, in lower case.
    End(String),
    /// The content of a `textarea`, decoded, or any other text as it stands.
    Text(Cow<'p, str>),
    /// The content of a script, a style or another element without markup of its own.
    Raw(&'p str),
}

/// A start tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag<'p> {
    /// In lower case.
    pub name: String,
    /// Names in lower case.
    attributes: Vec<(String, Cow<'p, str>)>,
}

impl Tag<'_> {
    /// An attribute's value; the first counts.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// Whether it is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }
}

/// The tokens of `page`.
#[must_use]
pub fn tokens(page: &str) -> Tokens<'_> {
    Tokens { rest: page, raw: None }
}

/// See [`tokens`].
#[derive(Debug)]
pub struct Tokens<'p> {
    rest: &'p str,
    /// In the element of that name, whose content is no markup.
    raw: Option<String>,
}

impl<'p> Iterator for Tokens<'p> {
    type Item = Token<'p>;

    fn next(&mut self) -> Option<Token<'p>> {
        if let Some(name) = self.raw.take() {
            let text = self.raw_text(&name);
            return Some(if name == "textarea" { Token::Text(decoded(text)) } else { Token::Raw(text) });
        }
        while !self.rest.is_empty() {
            let at = memchr(b'<', self.rest.as_bytes()).unwrap_or(self.rest.len());
            if at > 0 {
                return Some(Token::Text(Cow::Borrowed(self.skip(at))));
            }
            let after = self.rest.as_bytes().get(1).copied().unwrap_or_default();
            match after {
                b'!' | b'?' => self.skip_declaration(),
                b'/' if self.rest.as_bytes().get(2).is_some_and(u8::is_ascii_alphabetic) => {
                    self.skip(2);
                    return Some(Token::End(self.tag().0.name));
                }
                // `</>` and the like: up to `>`, as a comment.
                b'/' => self.skip_past(b">"),
                _ if after.is_ascii_alphabetic() => {
                    self.skip(1);
                    let (tag, closes_itself) = self.tag();
                    let is_raw = tag.name == "textarea" || RAW.contains(&tag.name.as_str());
                    self.raw = (is_raw && !closes_itself).then(|| tag.name.clone());
                    return Some(Token::Start(tag));
                }
                _ => return Some(Token::Text(Cow::Borrowed(self.skip(1)))),
            }
        }
        None
    }
}

impl<'p> Tokens<'p> {
    fn skip(&mut self, bytes: usize) -> &'p str {
        // All callers stop at ASCII bytes, which are boundaries, or at the end.
        let (before, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        before
    }

    fn skip_past(&mut self, end: &[u8]) {
        let at = memmem::find(self.rest.as_bytes(), end).map_or(self.rest.len(), |at| at + end.len());
        self.skip(at);
    }

    fn skip_declaration(&mut self) {
        match self.rest.strip_prefix("<!--") {
            // An empty comment may end at once.
            Some(after) if after.starts_with('>') || after.starts_with("->") => self.skip_past(b">"),
            Some(_) => {
                self.skip(4);
                let bytes = self.rest.as_bytes();
                let ends = [b"-->".as_slice(), b"--!>"].map(|end| memmem::find(bytes, end).map(|at| at + end.len()));
                let end = ends.into_iter().flatten().min().unwrap_or(bytes.len());
                self.skip(end);
            }
            None => self.skip_past(b">"),
        }
    }

    /// Up to the end tag of `name`, which comes next.
    fn raw_text(&mut self, name: &str) -> &'p str {
        let bytes = self.rest.as_bytes();
        let is_end = |at: &usize| {
            let after = &bytes[at + 2..];
            let fits = after.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
            fits && after.get(name.len()).is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'))
        };
        let end = memmem::find_iter(bytes, b"</").find(is_end).unwrap_or(bytes.len());
        self.skip(end)
    }

    /// After `<` or `</`: name and attributes, up to and with `>`; and whether `/` stands before that.
    fn tag(&mut self) -> (Tag<'p>, bool) {
        let name = self.take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'/' | b'>'));
        let mut tag = Tag { name: name.to_ascii_lowercase(), attributes: Vec::new() };
        let mut closes_itself = false;
        loop {
            self.take_while(|byte| byte.is_ascii_whitespace());
            match self.rest.as_bytes().first() {
                None => return (tag, closes_itself),
                Some(b'>') => {
                    self.skip(1);
                    return (tag, closes_itself);
                }
                Some(b'/') => {
                    self.skip(1);
                    closes_itself = self.rest.starts_with('>');
                }
                Some(_) => {
                    let attribute = self.attribute();
                    if tag.attributes.len() < MOST_ATTRIBUTES {
                        tag.attributes.push(attribute);
                    }
                }
            }
        }
    }

    fn attribute(&mut self) -> (String, Cow<'p, str>) {
        // A `=` in the first place belongs to the name.
        let first = if self.rest.starts_with('=') { self.skip(1) } else { "" };
        let rest = self.take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'/' | b'>' | b'='));
        let name = format!("{first}{rest}").to_ascii_lowercase();
        let before = self.rest;
        self.take_while(|byte| byte.is_ascii_whitespace());
        if !self.rest.starts_with('=') {
            self.rest = before;
            return (name, Cow::Borrowed(""));
        }
        self.skip(1);
        self.take_while(|byte| byte.is_ascii_whitespace());
        (name, decoded(self.value()))
    }

    fn value(&mut self) -> &'p str {
        let quote = self.rest.as_bytes().first().copied().filter(|byte| matches!(byte, b'"' | b'\''));
        let Some(quote) = quote else {
            return self.take_while(|byte| !byte.is_ascii_whitespace() && byte != b'>');
        };
        self.skip(1);
        let value = self.take_while(|byte| byte != quote);
        self.skip(1);
        value
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'p str {
        let end = self.rest.bytes().position(|byte| !fits(byte)).unwrap_or(self.rest.len());
        self.skip(end)
    }
}

/// Character references that template engines write into forms; others stay as they are.
const NAMED: [(&str, &str); 16] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", "\u{a0}"),
    ("sol", "/"),
    ("colon", ":"),
    ("equals", "="),
    ("plus", "+"),
    ("lowbar", "_"),
    ("period", "."),
    ("comma", ","),
    ("quest", "?"),
    ("num", "#"),
    ("NewLine", "\n"),
];

/// Text with its character references replaced.
#[must_use]
pub fn decoded(text: &str) -> Cow<'_, str> {
    if memchr(b'&', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let reference = after.split_once(';').filter(|(name, _)| name.len() <= 10);
        match reference.and_then(|(name, rest)| Some((character(name)?, rest))) {
            Some((character, behind)) => {
                out.push_str(&character);
                rest = behind;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn character(name: &str) -> Option<Cow<'static, str>> {
    let Some(number) = name.strip_prefix('#') else {
        return NAMED.iter().find(|(known, _)| *known == name).map(|(_, text)| Cow::Borrowed(*text));
    };
    let is_number = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) if is_number(digits, 16) => u32::from_str_radix(digits, 16).ok()?,
        None if is_number(number, 10) => number.parse().ok()?,
        _ => return None,
    };
    let character = char::from_u32(code).filter(|character| *character != '\0').unwrap_or('\u{fffd}');
    Some(Cow::Owned(character.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starts(page: &str) -> Vec<(String, Vec<(String, String)>)> {
        let start = |token| match token {
            Token::Start(Tag { name, attributes }) => {
                Some((name, attributes.into_iter().map(|(name, value)| (name, value.into_owned())).collect()))
            }
            _ => None,
        };
        tokens(page).filter_map(start).collect()
    }

    fn only(page: &str) -> Vec<(String, String)> {
        let mut all = starts(page);
        assert_eq!(all.len(), 1, "{page}: {all:?}");
        all.remove(0).1
    }

    #[test]
    fn attributes_are_read_as_browsers_read_them() {
        let want = vec![("name".to_owned(), "a b".to_owned())];
        for page in
            ["<i name='a b'>", "<i name=\"a b\"/>", "<I NAME = 'a b' >", "<i\nname='a&#32;b'", "<i/name='a&#x20;b'>"]
        {
            assert_eq!(only(page), want, "{page}");
        }
        let pairs = only("<input value=a/b checked =x y=>");
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("value", "a/b"), ("checked", "x"), ("y", "")]);
    }

    #[test]
    fn what_is_no_markup_has_no_tags() {
        for page in [
            "<!-- <i> --><!-- <i> --!><!--><!---><!doctype i>",
            "</p><?php <i ?>",
            "a < b <3 </3 <i>",
            "<script>'<i>' </scripts> <i></script >",
            "<textarea>&lt;<i></textarea>",
            "<!-- <i>",
        ] {
            let found: Vec<_> = starts(page).into_iter().map(|(name, _)| name).filter(|name| name == "i").collect();
            assert!(found.is_empty(), "{page}: {found:?}");
        }
    }

    #[test]
    fn references_are_decoded_and_what_is_none_stays() {
        for (text, want) in [
            ("a&amp;b&#43;&#x2B;&equals;", "a&b++="),
            ("&amp;amp;", "&amp;"),
            ("&", "&"),
            ("&;&#;&#x;&unknown;&#xZ;", "&;&#;&#x;&unknown;&#xZ;"),
            ("?a=1&b=2;", "?a=1&b=2;"),
            ("&#0;&#xD800;&#x110000;", "\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(decoded(text), want, "{text}");
        }
    }

    #[test]
    fn a_hostile_page_is_read_in_one_pass() {
        for page in ["<".repeat(256 * 1024), "<script>".to_owned() + &"</".repeat(128 * 1024), "<a ".repeat(80_000)] {
            assert!(tokens(&page).count() <= page.len());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_stand_still(page in "(<|>|/|!|-|--|<!--|-->|=|'|\"|&|;|#|a| |script|textarea|é|\\PC){0,60}") {
            prop_assert!(tokens(&page).count() <= page.len() + 1);
        }

        #[test]
        fn what_a_template_escapes_is_read_back(value in "[ -~é]{0,30}") {
            let escaped = value.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
            prop_assert_eq!(&only(&format!("<input value=\"{escaped}\">"))[0].1, &value);
        }
    }
}
