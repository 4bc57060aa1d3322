//! `Refresh: 5; url=/there`, as a header or in `<meta http-equiv=refresh>`.
//!
//! Read as the HTML standard's shared declarative refresh steps do; only the URL in it is replaced.

use std::ops::Range;

/// The value with its URL replaced by what `outside` makes of it; `None`: it stays as it is.
pub(super) fn outside(value: &[u8], outside: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let place = url(value)?;
    let new = outside(&value[place.clone()])?;
    Some([&value[..place.start], &new, &value[place.end..]].concat())
}

/// Where the URL stands.
fn url(value: &[u8]) -> Option<Range<usize>> {
    let mut at = skip(value, 0, u8::is_ascii_whitespace);
    let time = at;
    at = skip(value, at, |byte| byte.is_ascii_digit() || *byte == b'.');
    if at == time || !matches!(value.get(at)?, b';' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0c) {
        return None;
    }
    at = skip(value, at, u8::is_ascii_whitespace);
    at += usize::from(matches!(value.get(at), Some(b';' | b',')));
    at = skip(value, at, u8::is_ascii_whitespace);
    at = after_name(value, at).unwrap_or(at);
    let end = match value.get(at)? {
        quote @ (b'"' | b'\'') => {
            at += 1;
            value[at..].iter().position(|byte| byte == quote).map(|length| at + length)
        }
        _ => None,
    };
    let end = end.unwrap_or(value.len());
    Some(at..at + value[at..end].trim_ascii_end().len())
}

/// Behind `url =`, if it is there.
fn after_name(value: &[u8], at: usize) -> Option<usize> {
    let name = value.get(at..at + 3).filter(|name| name.eq_ignore_ascii_case(b"url"))?;
    let at = skip(value, at + name.len(), u8::is_ascii_whitespace);
    (value.get(at) == Some(&b'=')).then(|| skip(value, at + 1, u8::is_ascii_whitespace))
}

fn skip(value: &[u8], at: usize, fits: impl Fn(&u8) -> bool) -> usize {
    at + value[at..].iter().take_while(|byte| fits(byte)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(value: &str) -> Option<&str> {
        url(value.as_bytes()).map(|place| &value[place])
    }

    #[test]
    fn the_url_is_found_as_browsers_find_it() {
        for (value, want) in [
            ("5; url=/x", Some("/x")),
            ("0;URL='http://a/b'", Some("http://a/b")),
            ("0;url=\"/x\" y", Some("/x")),
            ("0.5 , uRl = /x ", Some("/x")),
            ("5;/x", Some("/x")),
            ("5 /x", Some("/x")),
            ("5;url/x", Some("url/x")),
            ("5;url='/x", Some("/x")),
            ("5", None),
            ("5;", None),
            ("5x; url=/x", None),
            ("url=/x", None),
            ("", None),
        ] {
            assert_eq!(found(value), want, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_the_rest_stays(value in "[0-9;, urlURL='\"/x]{0,20}") {
            if let Some(new) = outside(value.as_bytes(), |url| Some(url.to_vec())) {
                prop_assert_eq!(new, value.as_bytes());
            }
        }
    }
}
