//! `Set-Cookie` lines, one by one.

use super::*;

fn why(text: &str) -> Option<Why> {
    line(text).err().map(|refused| refused.why)
}

#[test]
fn names_and_values_come_back_byte_for_byte() {
    for (text, pair) in [
        ("a=b", "a=b"),
        ("a=b; Path=/", "a=b"),
        (" a\t= b \t;x", "a=b"),
        ("a=b c", "a=b c"),
        ("a=b\tc", "a=b\tc"),
        ("a b=c", "a b=c"),
        ("a=b=c==", "a=b=c=="),
        ("a=!/=|:%7C%20+&,", "a=!/=|:%7C%20+&,"),
        ("a=\"b\"", "a=\"b\""),
        ("a=\"b;c\"", "a=\"b"),
        ("a=\"\"", "a=\"\""),
        ("a= \" b \" ", "a=\" b \""),
        ("a=", "a="),
        ("a = ", "a="),
        ("\"a\"=b", "\"a\"=b"),
        ("a=\u{e4}\u{20ac}", "a=\u{e4}\u{20ac}"),
        ("\u{e4}=b", "\u{e4}=b"),
        ("a=b,c=d", "a=b,c=d"),
        ("$Version=1; a=b", "$Version=1"),
        ("a", "a"),
        ("=a", "a"),
        (" = a", "a"),
        ("==a", "=a"),
        ("a; b=c", "a"),
        ("=a=b", "a=b"),
        ("path=/x", "path=/x"),
        ("a=deleted", "a=deleted"),
        ("a[b]={\"c\":1}", "a[b]={\"c\":1}"),
        ("\u{a0}a=b\u{a0}", "\u{a0}a=b\u{a0}"),
    ] {
        assert_eq!(cookie(text).pair(), pair.as_bytes(), "{text}");
    }
    let latin1 = read(b"a=\xe4\x80\xff", &Place { hosts: &["h"], paths: &["/"] }, NOW).unwrap();
    assert!(matches!(latin1, Operation::Set(cookie) if cookie.value() == b"\xe4\x80\xff"));
}

#[test]
fn lines_that_set_nothing_are_refused() {
    for text in ["", ";", "=", " = ;", "; Path=/", "\t"] {
        assert_eq!(why(text), Some(Why::Empty), "{text:?}");
    }
    for text in ["a=b\0", "a\r\n=b", "a=b; Path=/\x01", "a=b; x=\x7f", "\x1f"] {
        assert_eq!(why(text), Some(Why::ControlCharacter), "{text:?}");
    }
    assert_eq!(why(&format!("ab={}", "x".repeat(4095))), Some(Why::TooLong));
    assert_eq!(cookie(&format!("ab={}", "x".repeat(4094))).value().len(), 4094);
    assert_eq!(cookie(&"x".repeat(4096)).value().len(), 4096);
}

#[test]
fn a_refusal_names_the_cookie_and_never_its_value() {
    let refused = line("s\x1b[0mid=s3cret; Path=/").unwrap_err();
    assert_eq!(refused.to_string(), "the cookie \"s\\x1b[0mid\" is refused: the line has control characters");
    assert_eq!(line("s3cret; Domain=evil.test").unwrap_err().name, "");
}

#[test]
fn attributes_are_known_in_any_case_and_by_their_last_value() {
    let all = cookie("a=b;SECURE ; hTTPoNLY=no;PaTh = /x ;samesite=STRICT; Partitioned; Foo=bar;;=;");
    assert!(all.secure() && all.http_only() && all.partitioned());
    assert_eq!((all.path(), all.same_site()), (&b"/x"[..], SameSite::Strict));
    let last = cookie("a=b; Path=/x; Path=/y; SameSite=None; SameSite=Lax; Max-Age=5; Max-Age=7");
    assert_eq!((last.path(), last.same_site(), last.expires()), (&b"/y"[..], SameSite::Lax, Some(later(7))));
    let none = cookie("a=b; \u{a0}Secure; Http-Only; Secured; Same Site=Lax");
    assert!(!none.secure() && !none.http_only() && !none.partitioned());
    assert_eq!((none.same_site(), none.expires()), (SameSite::Default, None));
    assert_eq!(cookie("a=b; SameSite=None").same_site(), SameSite::None);
    assert_eq!(cookie("a=b; SameSite=Lax; SameSite=odd").same_site(), SameSite::Default);
}

#[test]
fn attributes_longer_than_1024_bytes_are_as_if_not_there() {
    let long = "x".repeat(1024);
    assert_eq!(cookie(&format!("a=b; Path=/y; Path=/{long}; Secure={long}x; Domain={long}x")).path(), b"/y");
    assert!(!cookie(&format!("a=b; Secure={long}x")).secure());
    assert!(cookie(&format!("a=b; Secure={long}")).secure());
    assert_eq!(cookie(&format!("a=b; Path=/{}", &long[1..])).path().len(), 1024);
    let deep = format!("/{long}/x");
    let refused = read(b"a=b", &Place { hosts: &["h"], paths: &[&deep] }, NOW).unwrap_err();
    assert_eq!(refused.why, Why::TooLong);
}

#[test]
fn max_age_goes_before_expires_and_what_is_no_number_is_ignored() {
    const FUTURE: &str = "Expires=Fri, 06 Mar 2026 05:06:07 GMT";
    const PAST: &str = "Expires=Thu, 01-Jan-1970 00:00:01 GMT";
    for (attributes, expires) in [
        ("", None),
        ("Max-Age=60", Some(60)),
        ("Max-Age=060", Some(60)),
        ("Max-Age=99999999999999999999999", Some(400 * DAY)),
        (&format!("{PAST}; Max-Age=60"), Some(60)),
        (&format!("Max-Age=60; {PAST}"), Some(60)),
        (FUTURE, Some(2 * DAY)),
        ("Expires=Fri, 06 Mar 2099 05:06:07 GMT", Some(400 * DAY)),
        (&format!("{FUTURE}; Max-Age="), Some(2 * DAY)),
        (&format!("{FUTURE}; Max-Age=+5"), Some(2 * DAY)),
        (&format!("{FUTURE}; Max-Age=5.0"), Some(2 * DAY)),
        (&format!("{FUTURE}; Max-Age=-"), Some(2 * DAY)),
        (&format!("{FUTURE}; Max-Age=5; Max-Age=x"), Some(5)),
        ("Expires=0", None),
        ("Expires=", None),
        ("Expires=Session", None),
        (&format!("{PAST}; {FUTURE}"), Some(2 * DAY)),
        (&format!("{FUTURE}; Expires=soon"), Some(2 * DAY)),
    ] {
        assert_eq!(cookie(&format!("a=b; {attributes}")).expires(), expires.map(later), "{attributes}");
    }
}

#[test]
fn a_deletion_is_what_max_age_or_expires_say_and_no_value_alone() {
    for text in [
        "a=b; Max-Age=0",
        "a=; Max-Age=-1",
        "a=\"\"; Max-Age=-99999999999999999999",
        "a=deleted; Expires=Thu, 01-Jan-1970 00:00:01 GMT",
        "a=b; Expires=Wed, 04 Mar 2026 05:06:07 GMT",
        "a=b; Expires=Fri, 06 Mar 2099 05:06:07 GMT; Max-Age=0",
        "a=b; Expires=Mon, 01 Jan 1601 00:00:00 GMT",
        "a=b; Max-Age=-0",
    ] {
        assert!(matches!(line(text), Ok(Operation::Delete(key)) if key.name() == b"a"), "{text}");
    }
    for text in ["a=", "a=\"\"", "a=deleted", "a=deleted; Expires=never"] {
        assert!(matches!(line(text), Ok(Operation::Set(_))), "{text}");
    }
}

#[test]
fn a_domain_is_one_that_the_host_lies_in() {
    for (attribute, expected) in [
        ("", Ok(("app.example.com", true))),
        ("Domain", Ok(("app.example.com", true))),
        ("Domain=", Ok(("app.example.com", true))),
        ("Domain=.", Ok(("app.example.com", true))),
        ("Domain=example.com; Domain=", Ok(("app.example.com", true))),
        ("Domain=app.example.com", Ok(("app.example.com", false))),
        ("Domain=.App.Example.COM", Ok(("app.example.com", false))),
        ("Domain=example.com", Ok(("example.com", false))),
        ("Domain=evil.test; Domain=example.com", Ok(("example.com", false))),
        ("Domain=example.com; Domain=evil.test", Err(Why::ForeignDomain)),
        ("Domain=..example.com", Err(Why::ForeignDomain)),
        ("Domain=example.com.", Err(Why::ForeignDomain)),
        ("Domain=example.com:80", Err(Why::ForeignDomain)),
        ("Domain=ample.com", Err(Why::ForeignDomain)),
        ("Domain=b.app.example.com", Err(Why::ForeignDomain)),
        ("Domain=\u{e4}.example.com", Err(Why::ForeignDomain)),
        ("Domain=\"example.com\"", Err(Why::ForeignDomain)),
        ("Domain=com", Err(Why::PublicSuffix)),
        ("Domain=.com", Err(Why::PublicSuffix)),
        ("Domain=co.uk", Err(Why::PublicSuffix)),
    ] {
        let found = line(&format!("a=b; {attribute}"));
        let found = found.map(|operation| match operation {
            Operation::Set(cookie) => (cookie.domain().to_owned(), cookie.host_only()),
            Operation::Delete(_) => unreachable!(),
        });
        let expected = expected.map(|(domain, host_only)| (domain.to_owned(), host_only));
        assert_eq!(found.map_err(|refused| refused.why), expected, "{attribute}");
    }
}

#[test]
fn a_public_suffix_or_an_address_may_set_cookies_for_itself_alone() {
    for (host, attribute, expected) in [
        ("github.io", "github.io", Ok(true)),
        ("x.github.io", "github.io", Err(Why::PublicSuffix)),
        ("localhost", "localhost", Ok(true)),
        ("wiki", ".wiki", Ok(true)),
        ("127.0.0.1", "127.0.0.1", Ok(false)),
        ("127.0.0.1", "0.0.1", Err(Why::ForeignDomain)),
        ("::1", "::1", Ok(false)),
        ("x.xn--55qx5d.cn", "xn--55qx5d.cn", Err(Why::PublicSuffix)),
    ] {
        let place = Place { hosts: &[host], paths: &["/"] };
        let found = read(format!("a=b; Domain={attribute}").as_bytes(), &place, NOW);
        let host_only = found.map(|operation| matches!(operation, Operation::Set(cookie) if cookie.host_only()));
        assert_eq!(host_only.map_err(|refused| refused.why), expected, "{host} {attribute}");
    }
}

#[test]
fn a_cookie_is_taken_for_the_name_the_app_knows_and_for_the_one_the_browser_knows() {
    let place = Place { hosts: &["wiki", "wiki.example.com"], paths: &["/a/b", "/wiki/a/b"] };
    let mut jar = Jar::default();
    for text in
        ["own=1", "public=2; Domain=example.com; Path=/wiki", "inner=3; Path=/a", "suffix=4; Domain=wiki; Path=/"]
    {
        jar.apply(&read(text.as_bytes(), &place, NOW).unwrap(), NOW);
    }
    assert_eq!(read(b"x=1; Domain=evil.test", &place, NOW).unwrap_err().why, Why::ForeignDomain);
    let pairs: Vec<_> = jar.matching(&place, NOW).map(Cookie::pair).collect();
    assert_eq!(pairs, [&b"public=2"[..], b"own=1", b"inner=3", b"suffix=4"]);
    assert_eq!(sent(&jar, "wiki.example.com", "/wiki/x", NOW), "public=2");
}

#[test]
fn paths_that_do_not_begin_with_a_slash_are_the_default() {
    for (attribute, path) in [
        ("", "/a"),
        ("Path", "/a"),
        ("Path=", "/a"),
        ("Path=x", "/a"),
        ("Path=\"/x\"", "/a"),
        ("Path=/x; Path=x", "/a"),
        ("Path=/", "/"),
        ("Path=/a/b/", "/a/b/"),
        ("Path=/x.php", "/x.php"),
        ("Path=/elsewhere", "/elsewhere"),
        ("Path=/a?b=c", "/a?b=c"),
        ("Path=/\u{e4}", "/\u{e4}"),
    ] {
        assert_eq!(cookie(&format!("a=b; {attribute}")).path(), path.as_bytes(), "{attribute}");
    }
}

#[test]
fn prefixes_of_names_are_promises_in_any_case() {
    for text in [
        "__Secure-a=b",
        "__SECURE-a=b; Path=/",
        "__Host-a=b; Secure",
        "__Host-a=b; Path=/",
        "__host-a=b; Secure; Path=/x",
        "__Host-a=b; Secure; Path=/; Domain=app.example.com",
        "__Host-a=b; Secure; Path=x",
        "__Secure-a",
        "=__host-a; Secure; Path=/",
        "__Host-a=; Max-Age=0",
    ] {
        assert_eq!(why(text), Some(Why::Prefix), "{text}");
    }
    for text in [
        "__Secure-a=b; Secure",
        "__secure-a=b; Secure; Domain=example.com",
        "__Host-a=b; Path=/; Secure",
        "__Host-a=b; Secure; Domain=; Path=/",
        "_Host-a=b",
        "__Host=b",
        "__Secure",
        "a=__Host-b",
    ] {
        assert_eq!(why(text), None, "{text}");
    }
}

#[test]
fn without_a_host_there_is_no_cookie() {
    for hosts in [&[][..], &[""]] {
        assert_eq!(read(b"a=b", &Place { hosts, paths: &["/"] }, NOW).unwrap_err().why, Why::Nowhere);
    }
}
