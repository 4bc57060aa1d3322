//! What an app says of who somebody is, in headers of its answers: read, judged, made an identity.
//!
//! Called by `headers` (`Session-User` and its company), `rules` (`user:`) and, outside, `observe`. SECURITY: the app is the one
//! who vouches, so the identity says so; names obey the rules of accounts.

use percent_encoding::percent_decode;

use crate::clock::Timestamp;
use crate::identity::{Identity, Source};

/// Longest name, address or group, in bytes.
const LONGEST: usize = 256;

/// Why a text cannot name anybody. The app is at fault; the text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Neither UTF-8 nor a well-formed `UTF-8''…`.
    #[error("not UTF-8: send it as RFC 8187 writes it, UTF-8''J%C3%BCrgen")]
    Encoding,
    /// Too long.
    #[error("longer than 256 bytes: send a shorter name")]
    Long,
    /// Control characters, or blanks around it.
    #[error("control characters, or blanks around it: send a plain name")]
    Characters,
}

/// Who somebody is, in the app's words.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The account's name.
    pub user: String,
    /// Name for people.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
}

impl Claims {
    /// Of somebody of whom nothing but the name is known.
    #[must_use]
    pub fn of(user: String) -> Self {
        Self { user, ..Self::default() }
    }

    /// The same, if every text of it may name somebody.
    ///
    /// # Errors
    /// [`Flaw`].
    pub fn judged(self) -> Result<Self, Flaw> {
        let optional = |text: Option<String>| text.map(judge).transpose();
        Ok(Self {
            user: judge(self.user)?,
            name: optional(self.name)?,
            email: optional(self.email)?,
            groups: self.groups.into_iter().map(judge).collect::<Result<_, _>>()?,
        })
    }

    /// The identity, proven at `now` by the app's word alone.
    #[must_use]
    pub fn identity(self, now: Timestamp) -> Box<Identity> {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty()).map(String::into_boxed_str);
        Box::new(Identity {
            name: some(self.name),
            email: some(self.email),
            groups: self.groups.into_iter().map(String::into_boxed_str).collect(),
            since: now,
            source: Source::App,
            ..Identity::named(&self.user)
        })
    }
}

/// A header's text: UTF-8 as it is, or `UTF-8''…` decoded (RFC 8187, as identity headers are written too).
pub(super) fn text(value: &[u8]) -> Result<String, Flaw> {
    let encoded = value.split_at_checked(7).filter(|(mark, _)| mark.eq_ignore_ascii_case(b"utf-8''"));
    let bytes = match encoded {
        Some((_, rest)) => percent_decode(rest).collect(),
        None => value.to_vec(),
    };
    judge(String::from_utf8(bytes).map_err(|_| Flaw::Encoding)?)
}

/// A list with commas (RFC 9110 §5.6.1); each of its texts may be encoded.
pub(super) fn list(value: &[u8]) -> Result<Vec<String>, Flaw> {
    let items = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty());
    items.map(text).collect()
}

/// Passes a text that may name somebody.
pub(super) fn judge(text: String) -> Result<String, Flaw> {
    match () {
        () if text.len() > LONGEST => Err(Flaw::Long),
        () if text.chars().any(char::is_control) || text.trim() != text => Err(Flaw::Characters),
        () => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_utf_8_plain_or_encoded() {
        assert_eq!(text("jürgen".as_bytes()).as_deref(), Ok("jürgen"));
        assert_eq!(text(b"utf-8''J%C3%BCrgen").as_deref(), Ok("Jürgen"));
        assert_eq!(text(b"100%25").as_deref(), Ok("100%25"));
        assert_eq!(text(b""), Ok(String::new()));
        assert_eq!(text(b"j\xfcrgen"), Err(Flaw::Encoding));
        assert_eq!(text(b"UTF-8''%FC"), Err(Flaw::Encoding));
        assert_eq!(text(b"UTF-8''a%0Db"), Err(Flaw::Characters));
        assert_eq!(text(b"UTF-8''%20admin"), Err(Flaw::Characters));
        assert_eq!(text(&[b'a'; 257]), Err(Flaw::Long));
    }

    #[test]
    fn lists_have_no_empty_members() {
        assert_eq!(list(b" a,, UTF-8''b%2Cc ,").unwrap(), ["a", "b,c"]);
        assert!(list(b"a,\xff").is_err());
    }

    #[test]
    fn the_app_vouches_for_the_identity() {
        let claims = Claims { user: "ann".into(), name: Some(String::new()), ..Claims::default() };
        let identity = claims.identity(Timestamp(5));
        assert_eq!((&*identity.user, identity.name, identity.since), ("ann", None, Timestamp(5)));
        assert_eq!(identity.source, Source::App);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_never_give_control_characters(bytes in any::<Vec<u8>>()) {
            let texts = list(&bytes).unwrap_or_default().into_iter().chain(text(&bytes));
            prop_assert!(texts.flat_map(|text| text.chars().collect::<Vec<_>>()).all(|c| !c.is_control()));
        }
    }
}
