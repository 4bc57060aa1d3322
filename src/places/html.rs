//! Links in a page that streams by: tags are found as browsers find them, and attributes that hold URLs put right.
//!
//! `body` feeds it whatever pieces the app sends; the output does not depend on where they end. Not a parser of
//! documents: no tree, no scripts, no style sheets. Written here because what exists for it brings a selector engine
//! and licences that ask for more than a notice.

mod tag;
mod tokens;

use memchr::memchr;

use self::tag::{Step, Tag};
use self::tokens::{Comment, after_cdata, after_comment};
use super::url::Mapping;

/// Bytes of one tag that are held at most. Of a longer one, as with an image in a `data:` URL, what is complete is
/// put right and the attribute that is not goes on as it is.
const MAX_HELD: usize = 64 * 1024;

/// Elements whose content is text up to their own end tag.
const RAW: [&[u8]; 8] = [b"script", b"style", b"textarea", b"title", b"iframe", b"noembed", b"noframes", b"xmp"];

/// Puts the links of one page right.
#[derive(Debug)]
pub struct Links {
    mapping: Mapping,
    state: State,
    /// Begins with the `<` of what is not decided about yet.
    held: Vec<u8>,
    /// So many `svg` and `math` elements are open: their rules differ a little.
    foreign: u32,
}

#[derive(Debug)]
enum State {
    Text,
    /// After `<`, perhaps `</`, `<!-`, `<![CDA`.
    Open,
    Tag(Tag),
    Comment(Comment),
    /// `<!doctype`, `<?xml`, `</ `: up to `>`.
    Bogus,
    /// So many `]` came last, up to two.
    Cdata(u8),
    /// In the element of that name.
    Raw(&'static [u8]),
    /// The same, after `<` and perhaps more of its end tag.
    RawOpen(&'static [u8]),
    /// After `<plaintext>`, all is text.
    Plain,
}

impl Links {
    /// A page that has not begun.
    #[must_use]
    pub fn new(mapping: Mapping) -> Self {
        Self { mapping, state: State::Text, held: Vec::new(), foreign: 0 }
    }

    /// Takes the next piece; what can go on already comes back.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len() + piece.len() + 64);
        let mut rest = piece;
        while !rest.is_empty() {
            rest = self.step(rest, &mut out);
        }
        out
    }

    /// What is left at the end of the page: a tag that was never finished, as it came.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Takes some of `piece` and returns the rest, which is shorter or meets another state.
    fn step<'p>(&mut self, piece: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        match &mut self.state {
            State::Text => self.copy_to_open(piece, State::Open, out),
            State::Open => self.open(piece, out),
            State::Tag(_) => self.tag(piece, out),
            State::Comment(at) => {
                let end = after_comment(at, piece);
                self.copy(piece, end, out)
            }
            State::Bogus => self.copy(piece, memchr(b'>', piece).map(|at| at + 1), out),
            State::Cdata(brackets) => {
                let end = after_cdata(brackets, piece);
                self.copy(piece, end, out)
            }
            State::Raw(name) => {
                let open = State::RawOpen(name);
                self.copy_to_open(piece, open, out)
            }
            State::RawOpen(name) => {
                let name = *name;
                self.raw_open(name, piece, out)
            }
            State::Plain => self.copy(piece, None, out),
        }
    }

    /// Passes on what stands before `<`, which is held.
    fn copy_to_open<'p>(&mut self, piece: &'p [u8], open: State, out: &mut Vec<u8>) -> &'p [u8] {
        let Some(at) = memchr(b'<', piece) else {
            out.extend_from_slice(piece);
            return &[];
        };
        out.extend_from_slice(&piece[..at]);
        self.held.push(b'<');
        self.state = open;
        &piece[at + 1..]
    }

    /// Passes on all up to `end`, where text begins.
    fn copy<'p>(&mut self, piece: &'p [u8], end: Option<usize>, out: &mut Vec<u8>) -> &'p [u8] {
        let (done, rest) = piece.split_at(end.unwrap_or(piece.len()));
        out.extend_from_slice(done);
        if end.is_some() {
            self.state = State::Text;
        }
        rest
    }

    /// Passes on what is held; the byte that decided is looked at again.
    fn release(&mut self, state: State, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.state = state;
    }

    fn open<'p>(&mut self, piece: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        let byte = piece[0];
        let starts = |whole: &[u8]| whole.strip_prefix(&self.held[1..]).is_some_and(|next| next.first() == Some(&byte));
        match &self.held[1..] {
            b"" | b"/" if byte.is_ascii_alphabetic() => {
                self.state = State::Tag(Tag::new(self.held.len() > 1));
                return piece;
            }
            b"" if byte == b'/' || byte == b'!' => {}
            b"" if byte == b'?' => {
                self.release(State::Bogus, out);
                return piece;
            }
            b"" => {
                self.release(State::Text, out);
                return piece;
            }
            _ if starts(b"!--") || (self.foreign > 0 && starts(b"![CDATA[")) => {}
            _ => {
                self.release(State::Bogus, out);
                return piece;
            }
        }
        self.held.push(byte);
        match &self.held[1..] {
            b"!--" => self.release(State::Comment(Comment::default()), out),
            b"![CDATA[" => self.release(State::Cdata(0), out),
            _ => {}
        }
        &piece[1..]
    }

    fn raw_open<'p>(&mut self, name: &'static [u8], piece: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        let byte = piece[0];
        let fits = match self.held.len() {
            1 => byte == b'/',
            at if at < name.len() + 2 => byte.to_ascii_lowercase() == name[at - 2],
            _ if byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>') => {
                self.state = State::Tag(Tag::new(true));
                return piece;
            }
            _ => false,
        };
        if !fits {
            self.release(State::Raw(name), out);
            return piece;
        }
        self.held.push(byte);
        &piece[1..]
    }

    fn tag<'p>(&mut self, piece: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        let State::Tag(tag) = &mut self.state else { return piece };
        let taken = tag.take(&mut self.held, piece, MAX_HELD);
        if tag.step == Step::Done {
            self.end_tag(out);
        } else if self.held.len() >= MAX_HELD {
            tag.write(&self.held, &self.mapping, out);
            tag.forget();
            self.held.clear();
        }
        &piece[taken..]
    }

    fn end_tag(&mut self, out: &mut Vec<u8>) {
        let State::Tag(tag) = std::mem::replace(&mut self.state, State::Text) else { return };
        tag.write(&self.held, &self.mapping, out);
        self.held.clear();
        let is = |names: &[&'static [u8]]| names.iter().copied().find(|name| tag.is(name));
        if is(&[b"svg", b"math"]).is_some() {
            self.foreign = match tag.is_end() {
                true => self.foreign.saturating_sub(1),
                false => self.foreign + u32::from(!tag.closes_itself()),
            };
        } else if !(tag.is_end() || self.foreign > 0 && tag.closes_itself()) {
            if let Some(name) = is(&RAW) {
                self.state = State::Raw(name);
            } else if tag.is(b"plaintext") {
                self.state = State::Plain;
            }
        }
    }
}

#[cfg(test)]
mod tests;
