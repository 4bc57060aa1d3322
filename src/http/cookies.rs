//! The `Cookie` header as bytes: find the values of one name, or pass on all the others.
//!
//! SECURITY: split as browsers do and nothing more: at `;`, trimming only space and tab; no quotes, no
//! percent-decoding, no `$Version` (RFC 6265bis §5.4). Another split is how cookies are smuggled.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use memchr::memchr;

use super::lines::HeaderLines;

/// Every value the client sent under `name`, in order.
pub fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(COOKIE).iter().flat_map(|line| pairs(line.as_bytes())).filter_map(move |pair| value_of(pair, name))
}

/// Writes the client's cookies as one line (RFC 9113 §8.2.3), all but those called one of `names`; nothing when none is left.
pub fn write_others(headers: &HeaderMap, names: &[Box<str>], lines: &mut HeaderLines) {
    let others = headers.get_all(COOKIE).iter().flat_map(|line| pairs(line.as_bytes()));
    let others = others.filter(|pair| !pair.is_empty() && names.iter().all(|name| value_of(pair, name).is_none()));
    lines.push_joined(&COOKIE, b"; ", others);
}

/// Writes kept cookies, then those of the client that are called as one of `names` says ([`means`]), as one line;
/// nothing when there are none. What is kept under a name that the client has a cookie of by now is out of date.
pub fn write_kept<'a>(
    kept: impl Iterator<Item = &'a [u8]>,
    headers: &'a HeaderMap,
    names: &[Box<str>],
    lines: &mut HeaderLines,
) {
    let from_client =
        headers.get_all(COOKIE).iter().filter(|_| !names.is_empty()).flat_map(|line| pairs(line.as_bytes()));
    let named = from_client.filter(|pair| names.iter().any(|name| is_called(pair, name)));
    // Of names that a star means each stands for itself.
    let has_client = |name: &[u8]| {
        headers.get_all(COOKIE).iter().flat_map(|line| pairs(line.as_bytes())).any(|pair| name_of(pair) == Some(name))
    };
    let is_of_client = |pair: &[u8]| name_of(pair).is_some_and(has_client);
    let kept = kept.filter(|pair| !(names.iter().any(|name| is_called(pair, name)) && is_of_client(pair)));
    lines.push_joined(&COOKIE, b"; ", kept.chain(named));
}

/// Writes fresh cookies, then those of the client but for `ours` and those that were replaced, as one line.
pub fn write_merged<'a>(
    fresh: impl Iterator<Item = &'a [u8]>,
    headers: &'a HeaderMap,
    ours: &[Box<str>],
    is_replaced: &dyn Fn(&[u8]) -> bool,
    lines: &mut HeaderLines,
) {
    let from_client = headers.get_all(COOKIE).iter().flat_map(|line| pairs(line.as_bytes()));
    let stays = |pair: &&[u8]| {
        let name = name_of(pair).unwrap_or_default();
        !pair.is_empty() && !is_replaced(name) && !ours.iter().any(|ours| ours.as_bytes() == name)
    };
    lines.push_joined(&COOKIE, b"; ", fresh.chain(from_client.filter(stays)));
}

/// Whether a `Set-Cookie` line sets a cookie called `name`.
#[must_use]
pub fn sets(line: &HeaderValue, name: &str) -> bool {
    let pair = line.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    value_of(trim(pair), name).is_some()
}

/// Whether a `Set-Cookie` line sets a cookie called `name`, or what begins so if that ends in `*`.
#[must_use]
pub fn sets_one_of(line: &HeaderValue, name: &str) -> bool {
    let pair = line.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    is_called(trim(pair), name)
}

/// Whether `name`, as the configuration writes it, means a cookie called `called`: itself, or with `*` at its end what
/// begins so, for apps that build names from their host and port.
#[must_use]
pub fn means(name: &str, called: &[u8]) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => called.starts_with(beginning.as_bytes()),
        None => called == name.as_bytes(),
    }
}

fn is_called(pair: &[u8], name: &str) -> bool {
    match name.ends_with('*') {
        true => name_of(pair).is_some_and(|called| means(name, called)),
        false => value_of(pair, name).is_some(),
    }
}

// PERF: most lines are one short run of pairs; `memchr` looks at 32 bytes at a time.
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let (pair, after) = match memchr(b';', line) {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        rest = after;
        Some(trim(pair))
    })
}

/// A pair without `=` has none.
fn name_of(pair: &[u8]) -> Option<&[u8]> {
    memchr(b'=', pair).map(|end| trim(&pair[..end]))
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    // A pair without `=` is a nameless cookie, never ours.
    let (before, after) = match pair.strip_prefix(name.as_bytes()) {
        Some([b'=', value @ ..]) => return Some(trim(value)),
        _ => pair.split_at(memchr(b'=', pair)?),
    };
    (trim(before) == name.as_bytes()).then(|| trim(&after[1..]))
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lines::parsed;
    use super::*;

    fn map(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap())).collect()
    }

    fn found(lines: &[&str]) -> Vec<String> {
        values(&map(lines), "sessionid").map(|v| String::from_utf8_lossy(v).into_owned()).collect()
    }

    fn rest(lines: &[&str]) -> Option<String> {
        let mut written = HeaderLines::default();
        write_others(&map(lines), &["sessionid".into()], &mut written);
        let headers = parsed(&written);
        assert!(headers.get_all(COOKIE).iter().count() <= 1);
        headers.get(COOKIE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
    }

    #[test]
    fn the_value_is_found_wherever_it_stands() {
        assert_eq!(found(&["a=1; sessionid=x; b=2"]), ["x"]);
        assert_eq!(found(&["a=1", "sessionid=x"]), ["x"]);
        assert_eq!(found(&["sessionid=x;sessionid=y"]), ["x", "y"]);
        assert_eq!(found(&["sessionid = x"]), ["x"]);
        assert_eq!(found(&["sessionid="]), [""]);
    }

    #[test]
    fn look_alikes_are_not_ours() {
        for line in [
            "SessionId=x",
            "sessionid2=x",
            "xsessionid=x",
            "sessionid",
            "=sessionid",
            "a=\"; b\" sessionid=x",
            "%73essionid=x",
            "\u{a0}sessionid=x",
            "\u{2000}sessionid=x",
        ] {
            assert!(found(&[line]).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_star_means_all_names_that_begin_so() {
        let names = ["csrf_P*".into(), "x".into()];
        let mut written = HeaderLines::default();
        let sent = map(&["csrf_P80=1; csrf_P = 2; csrf_=3; csrf_P9; xcsrf_P1=4; x=5; x*=6; csrf_P*=7"]);
        write_kept([&b"kept=0"[..]].into_iter(), &sent, &names, &mut written);
        let headers = parsed(&written);
        assert_eq!(headers.get(COOKIE).unwrap(), "kept=0; csrf_P80=1; csrf_P = 2; x=5; csrf_P*=7");
        let mut written = HeaderLines::default();
        let kept = [&b"csrf_P80=old"[..], b"csrf_P81=kept", b"sid=kept"];
        write_kept(kept.into_iter(), &map(&["csrf_P80=new; sid=mine"]), &names, &mut written);
        let newer = "csrf_P81=kept; sid=kept; csrf_P80=new";
        assert_eq!(
            parsed(&written).get(COOKIE).unwrap(),
            newer,
            "of each name that a star means the client's own counts"
        );
        for (line, sets) in
            [("csrf_P80=1; Path=/", true), ("csrf=1", false), ("csrf_P80", false), ("a=csrf_P1=", false)]
        {
            assert_eq!(sets_one_of(&HeaderValue::from_static(line), "csrf_P*"), sets, "{line}");
        }
    }

    #[test]
    fn only_our_cookie_is_taken_out() {
        assert_eq!(rest(&["sessionid=x"]), None);
        assert_eq!(rest(&["a=1; sessionid=x; b=\"2 3\""]).as_deref(), Some("a=1; b=\"2 3\""));
        assert_eq!(rest(&["a=1;b=2"]).as_deref(), Some("a=1; b=2"));
        assert_eq!(rest(&["a=1", "b=2; sessionid=x", "c=3"]).as_deref(), Some("a=1; b=2; c=3"));
        assert_eq!(rest(&[]), None);
    }

    #[test]
    fn a_set_cookie_of_our_name_is_recognised() {
        assert!(sets(&HeaderValue::from_static("sessionid=x; Path=/"), "sessionid"));
        assert!(sets(&HeaderValue::from_static(" sessionid =; Max-Age=0"), "sessionid"));
        assert!(!sets(&HeaderValue::from_static("a=sessionid=x"), "sessionid"));
    }

    proptest! {
        #[test]
        fn after_removal_nothing_of_the_name_is_left(line in "[a-z=; \t\"]{0,60}") {
            let mut written = HeaderLines::default();
            write_others(&map(&[&line, "sessionid=z"]), &["sessionid".into()], &mut written);
            prop_assert_eq!(values(&parsed(&written), "sessionid").count(), 0);
        }
    }
}
