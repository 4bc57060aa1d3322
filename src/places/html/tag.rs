//! One tag, byte by byte: where its attributes begin and end, and which of them hold URLs.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use super::super::url::Mapping;
use super::super::{refresh, srcset};

/// Attributes that hold one URL. Their names say it on any element.
const URLS: [&[u8]; 8] = [b"href", b"src", b"action", b"formaction", b"data", b"poster", b"background", b"xlink:href"];
/// Attributes that hold several.
const LISTS: [&[u8]; 2] = [b"srcset", b"imagesrcset"];

/// Ways to write `/` and `:` in an attribute; some template engines write them always.
const SPELLINGS: [(&[u8], u8); 9] = [
    (b"&#x2f;", b'/'),
    (b"&#x2F;", b'/'),
    (b"&#X2F;", b'/'),
    (b"&#47;", b'/'),
    (b"&sol;", b'/'),
    (b"&#x3a;", b':'),
    (b"&#x3A;", b':'),
    (b"&#58;", b':'),
    (b"&colon;", b':'),
];

/// A tag that has begun.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) step: Step,
    is_end: bool,
    closes_itself: bool,
    /// In lower case, as far as we care for it.
    name: Vec<u8>,
    /// Where the present name or value begins in what is held.
    start: usize,
    /// The present attribute's name.
    attribute: Range<usize>,
    /// A part of the present attribute, or of the tag's name, is held no longer.
    cut: bool,
    found: Vec<Found>,
}

/// What comes next (HTML standard §13.2.5.8 and the following).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    TagName,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    /// In these quotes, or in none.
    Value(Option<u8>),
    AfterValue,
    Slash,
    Done,
}

/// An attribute that we care for.
#[derive(Debug)]
struct Found {
    holds: Holds,
    value: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Url,
    Urls,
    /// `content` of a `meta`.
    Content,
    /// `http-equiv` of a `meta`.
    Equivalent,
}

impl Tag {
    /// After `<` or `</`, and in an element of raw text after its name too.
    pub(super) fn new(is_end: bool) -> Self {
        Self {
            step: Step::TagName,
            is_end,
            closes_itself: false,
            name: Vec::new(),
            start: 0,
            attribute: 0..0,
            cut: false,
            found: Vec::new(),
        }
    }

    /// Moves bytes of `piece` into `held` up to the end of the tag, or until so many are held; says how many.
    pub(super) fn take(&mut self, held: &mut Vec<u8>, piece: &[u8], most: usize) -> usize {
        let mut taken = 0;
        while taken < piece.len() && self.step != Step::Done && held.len() < most {
            if let Step::Value(Some(quote)) = self.step {
                // PERF: values are most of a tag.
                let piece = &piece[taken..piece.len().min(taken + most - held.len())];
                let end = memchr(quote, piece).unwrap_or(piece.len());
                held.extend_from_slice(&piece[..end]);
                taken += end;
                if end == piece.len() {
                    continue;
                }
            }
            self.next(held, piece[taken]);
            held.push(piece[taken]);
            taken += 1;
        }
        taken
    }

    fn next(&mut self, held: &[u8], byte: u8) {
        let at = held.len();
        let blank = byte.is_ascii_whitespace();
        self.step = match self.step {
            Step::TagName if blank || matches!(byte, b'/' | b'>') => self.outside_values(byte, at),
            Step::TagName => {
                // Longer than any that we know is none of them.
                if self.name.len() < 16 {
                    self.name.push(byte.to_ascii_lowercase());
                }
                Step::TagName
            }
            Step::Name if blank || matches!(byte, b'/' | b'>' | b'=') => {
                self.attribute = self.start..at;
                match byte {
                    b'=' => Step::BeforeValue,
                    _ if blank => Step::AfterName,
                    _ => self.outside_values(byte, at),
                }
            }
            Step::Name => Step::Name,
            Step::AfterName if blank => Step::AfterName,
            Step::AfterName if byte == b'=' => Step::BeforeValue,
            Step::BeforeValue if blank => Step::BeforeValue,
            Step::BeforeValue if byte == b'>' => Step::Done,
            Step::BeforeValue => self.begin_value(byte, at),
            Step::Value(None) if !blank && byte != b'>' => Step::Value(None),
            Step::Value(quote) => {
                // `take` passes over all but the quote.
                self.record(held);
                if quote.is_some() { Step::AfterValue } else { self.outside_values(byte, at) }
            }
            Step::Slash if byte == b'>' => {
                self.closes_itself = true;
                Step::Done
            }
            Step::BeforeName | Step::AfterName | Step::AfterValue | Step::Slash => self.outside_values(byte, at),
            Step::Done => Step::Done,
        };
    }

    fn begin_value(&mut self, byte: u8, at: usize) -> Step {
        let quote = matches!(byte, b'"' | b'\'').then_some(byte);
        self.start = at + usize::from(quote.is_some());
        Step::Value(quote)
    }

    fn outside_values(&mut self, byte: u8, at: usize) -> Step {
        match byte {
            b'>' => Step::Done,
            b'/' => Step::Slash,
            _ if byte.is_ascii_whitespace() => Step::BeforeName,
            _ => {
                (self.start, self.cut) = (at, false);
                Step::Name
            }
        }
    }

    fn record(&mut self, held: &[u8]) {
        if self.cut || self.is_end {
            return;
        }
        let name = held[self.attribute.clone()].to_ascii_lowercase();
        let holds = match name.as_slice() {
            name if URLS.contains(&name) => Holds::Url,
            name if LISTS.contains(&name) => Holds::Urls,
            b"content" if self.is(b"meta") => Holds::Content,
            b"http-equiv" if self.is(b"meta") => Holds::Equivalent,
            _ => return,
        };
        self.found.push(Found { holds, value: self.start..held.len() });
    }

    /// What is held goes away in the middle of the tag.
    pub(super) fn forget(&mut self) {
        self.found.clear();
        (self.start, self.attribute, self.cut) = (0, 0..0, true);
    }

    pub(super) fn is(&self, name: &[u8]) -> bool {
        self.name == name
    }

    pub(super) fn is_end(&self) -> bool {
        self.is_end
    }

    pub(super) fn closes_itself(&self) -> bool {
        self.closes_itself
    }

    /// Passes on what is held, with the attributes put right that are complete.
    pub(super) fn write(&self, held: &[u8], mapping: &Mapping, out: &mut Vec<u8>) {
        let is_refresh = |found: &Found| {
            found.holds == Holds::Equivalent && held[found.value.clone()].trim_ascii().eq_ignore_ascii_case(b"refresh")
        };
        let refreshes = self.found.iter().any(is_refresh);
        let mut copied = 0;
        for Found { holds, value } in &self.found {
            let text = decoded(&held[value.clone()]);
            let new = match holds {
                Holds::Url => link(mapping, &text),
                Holds::Urls => srcset::outside(&text, |url| link(mapping, url)),
                Holds::Content if refreshes => refresh::outside(&text, |url| link(mapping, url)),
                Holds::Content | Holds::Equivalent => None,
            };
            if let Some(new) = new {
                out.extend_from_slice(&held[copied..value.start]);
                out.extend_from_slice(&new);
                copied = value.end;
            }
        }
        out.extend_from_slice(&held[copied..]);
    }
}

/// The value with `/` and `:` in their one spelling.
fn decoded(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'&', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        match SPELLINGS.iter().find(|(spelling, _)| rest.starts_with(spelling)) {
            Some((spelling, plain)) => {
                out.push(*plain);
                rest = &rest[spelling.len()..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

/// One URL as it stands in an attribute.
// SECURITY: what is put in is a checked host name and a prefix of plain characters, so it ends no attribute.
fn link(mapping: &Mapping, text: &[u8]) -> Option<Vec<u8>> {
    let start = text.len() - text.trim_ascii_start().len();
    let url = text.trim_ascii();
    if hides_characters(url) {
        return None;
    }
    let new = mapping.outside(url)?;
    Some([&text[..start], &new, &text[start + url.len()..]].concat())
}

/// Whether a character reference before the query stands for who knows what: such a URL is not understood.
fn hides_characters(url: &[u8]) -> bool {
    let mut rest = url;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'&' | b'?' | b'#')) {
        match rest[at..].strip_prefix(b"&") {
            None => return false,
            Some(after) if after.starts_with(b"amp;") => rest = after,
            Some(_) => return true,
        }
    }
    false
}
