//! `Set-Cookie` of an app that knows itself by another name or place than the browser does.
//!
//! Attributes are found as browsers find them (RFC 6265bis §5.6); all that is not replaced stays byte for byte.

use super::url::Mapping;

/// Whether any attribute is a `Domain`: without one and without a prefix there is nothing to put right.
pub(super) fn names_a_domain(line: &[u8]) -> bool {
    line.split(|byte| *byte == b';').skip(1).any(|part| value_of(part, b"domain").is_some())
}

/// The line for the browser; `None`: it stays as it is.
pub(super) fn outside(mapping: &Mapping, line: &[u8]) -> Option<Vec<u8>> {
    let mut parts = line.split(|byte| *byte == b';');
    let pair = parts.next()?;
    let mut out = pair.to_vec();
    let mut changed = false;
    for part in parts {
        if value_of(part, b"domain").is_some_and(|domain| is_inner(mapping, domain)) {
            changed = true;
            continue;
        }
        out.push(b';');
        match value_of(part, b"path").and_then(|path| path_outside(mapping, pair, path)) {
            Some(path) => {
                out.extend_from_slice(b" Path=");
                out.extend_from_slice(&path);
                changed = true;
            }
            None => out.extend_from_slice(part),
        }
    }
    changed.then_some(out)
}

fn value_of<'a>(part: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let equals = part.iter().position(|byte| *byte == b'=')?;
    part[..equals].trim_ascii().eq_ignore_ascii_case(name).then(|| part[equals + 1..].trim_ascii())
}

/// A name the browser does not know; it would drop the cookie. One of somebody else's is the browser's to refuse.
fn is_inner(mapping: &Mapping, domain: &[u8]) -> bool {
    let domain = domain.strip_prefix(b".").unwrap_or(domain);
    let Ok(domain) = std::str::from_utf8(domain) else { return false };
    !domain.is_empty() && mapping.is_inner_domain(&domain.to_ascii_lowercase())
}

fn path_outside(mapping: &Mapping, pair: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let prefix = mapping.prefix().as_bytes();
    // `__Host-` demands `Path=/`; any other makes the browser drop the cookie.
    let needs_root = pair.trim_ascii_start().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"__host-"));
    if prefix.is_empty() || needs_root || !path.starts_with(b"/") || mapping.covers(path) {
        return None;
    }
    // `Path=/wiki` is sent for `/wiki` and all below it, `Path=/wiki/` not for `/wiki`.
    Some([prefix, if path == b"/" { b"" } else { path }].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::url::tests::mapping;
    use super::*;

    fn put_right(line: &str, prefix: &str) -> String {
        let mapping = mapping("https://shop.example.com", "app.local:81", prefix);
        let new = outside(&mapping, line.as_bytes());
        new.map_or(line.to_owned(), |new| String::from_utf8(new).unwrap())
    }

    #[test]
    fn a_domain_known_only_inside_is_left_out() {
        for (line, want) in [
            ("a=b; Domain=wiki; Path=/", "a=b; Path=/"),
            ("a=b; domain = .APP.local;Secure", "a=b;Secure"),
            ("a=b; Domain=local", "a=b"),
            ("a=\"b=c\"; Max-Age=1; Domain=app.local; HttpOnly", "a=\"b=c\"; Max-Age=1; HttpOnly"),
        ] {
            assert_eq!(put_right(line, ""), want, "{line}");
        }
        for line in [
            "a=b; Path=/x",
            "a=b; Domain=shop.example.com",
            "a=b; Domain=.example.com",
            "a=b; Domain=evil.example",
            "a=b; Domain=x.wiki",
            "a=b; Domain=",
            "a=b; Domain",
            "Domain=wiki",
        ] {
            assert_eq!(put_right(line, ""), line);
        }
    }

    #[test]
    fn a_path_gets_the_prefix_back_once() {
        for (line, want) in [
            ("a=b; Path=/", "a=b; Path=/wiki"),
            ("a=b;path=/x; Secure", "a=b; Path=/wiki/x; Secure"),
            ("a=b; Domain=wiki; Path=/x/", "a=b; Path=/wiki/x/"),
            ("a=b; Path=/wikis", "a=b; Path=/wiki/wikis"),
        ] {
            assert_eq!(put_right(line, "/wiki"), want, "{line}");
            assert_eq!(put_right(want, "/wiki"), want);
        }
        for line in
            ["a=b", "a=b; Path=", "a=b; Path=x", "a=b; Path=\"/\"", "a=b; Path=/wiki/x", "__Host-a=b; Secure; Path=/"]
        {
            assert_eq!(put_right(line, "/wiki"), line);
        }
    }

    proptest! {
        #[test]
        fn name_and_value_never_change(line in "[a-z=;/. \"]{0,20}(; ?(Domain|Path) ?=[a-z/.]{0,6}){0,3}") {
            let new = put_right(&line, "/wiki");
            prop_assert_eq!(new.split(';').next(), line.split(';').next());
            prop_assert_eq!(put_right(&new, "/wiki"), new);
        }
    }
}
