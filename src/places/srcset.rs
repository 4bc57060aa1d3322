//! `srcset="/a.png 1x, /b.png 2x"`: several URLs in one attribute, split as the HTML standard does.

/// The value with each URL replaced by what `outside` makes of it; `None`: it stays as it is.
pub(super) fn outside(value: &[u8], outside: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut copied, mut at) = (0, 0);
    loop {
        at = end(value, at, |byte| byte.is_ascii_whitespace() || *byte == b',');
        if at == value.len() {
            break;
        }
        let start = at;
        at = end(value, at, |byte| !byte.is_ascii_whitespace());
        let url = &value[start..at];
        let commas = url.iter().rev().take_while(|byte| **byte == b',').count();
        if let Some(new) = outside(&url[..url.len() - commas]) {
            out.extend_from_slice(&value[copied..start]);
            out.extend_from_slice(&new);
            copied = at - commas;
        }
        if commas == 0 {
            at = after_descriptors(value, at);
        }
    }
    out.extend_from_slice(&value[copied..]);
    (copied > 0).then_some(out)
}

fn end(value: &[u8], at: usize, mut fits: impl FnMut(&u8) -> bool) -> usize {
    at + value[at..].iter().take_while(|byte| fits(byte)).count()
}

/// A comma in parentheses belongs to a descriptor.
fn after_descriptors(value: &[u8], at: usize) -> usize {
    let mut inside = false;
    end(value, at, |byte| {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            _ => {}
        }
        inside || *byte != b','
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marked(value: &str) -> Option<String> {
        let new = outside(value.as_bytes(), |url| url.starts_with(b"/").then(|| [b"/w", url].concat()));
        new.map(|new| String::from_utf8(new).unwrap())
    }

    #[test]
    fn every_url_is_found_and_descriptors_stay() {
        for (value, want) in [
            ("/a", Some("/w/a")),
            ("/a 1x, /b 2x", Some("/w/a 1x, /w/b 2x")),
            ("/a,b 1x,/c", Some("/w/a,b 1x,/w/c")),
            (" , /a, /b", Some(" , /w/a, /w/b")),
            ("x 1x, /b 2x", Some("x 1x, /w/b 2x")),
            ("/a (,/b), /c", Some("/w/a (,/b), /w/c")),
            ("/a 1x,", Some("/w/a 1x,")),
            ("x, y 2x", None),
            ("", None),
        ] {
            assert_eq!(marked(value).as_deref(), want, "{value}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_urls_changes(value in "[/a, ()1x]{0,30}") {
            let same = outside(value.as_bytes(), |url| Some(url.to_vec()));
            prop_assert_eq!(same.unwrap_or(value.clone().into_bytes()), value.into_bytes());
        }
    }
}
