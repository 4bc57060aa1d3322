//! The examples of the RFCs, and what servers of their time send.

use proptest::prelude::*;

use super::*;

fn headers(lines: &[&str]) -> HeaderMap {
    lines.iter().map(|line| (WWW_AUTHENTICATE, HeaderValue::from_str(line).unwrap())).collect()
}

fn challenge(line: &str) -> Challenge {
    Challenge::read(&headers(&[line])).unwrap_or_else(|| panic!("{line}"))
}

fn typed(user: &str, password: &str) -> Typed {
    Typed { user: user.to_owned().into(), password: password.to_owned().into() }
}

fn answer(challenge: &Challenge, target: &str, cnonce: &str, credentials: &Typed) -> String {
    let asked = Asked { method: &Method::GET, target, has_body: false };
    let value = challenge.answer(asked, 1, cnonce, credentials).unwrap();
    assert_eq!(format!("{value:?}"), "Sensitive");
    String::from_utf8(value.as_bytes().to_vec()).unwrap()
}

const RFC_7616: &str = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";

/// RFC 7616 §3.9.1, where the app prefers SHA-256 and takes MD5 too.
#[test]
fn the_example_of_rfc_7616_comes_out() {
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    let both = format!("Digest {RFC_7616}, algorithm=SHA-256, Digest {RFC_7616}, algorithm=MD5");
    let mufasa = typed("Mufasa", "Circle of Life");
    let line = answer(&challenge(&both), "/dir/index.html", cnonce, &mufasa);
    assert_eq!(
        line,
        format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", uri=\"/dir/index.html\", \
             response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", algorithm=SHA-256, \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", qop=auth, nc=00000001, cnonce=\"{cnonce}\""
        )
    );
    let lines = headers(&[
        &format!("Digest {RFC_7616}, algorithm=SHA3-512"),
        "Negotiate",
        &format!("Digest {RFC_7616}, algorithm=MD5"),
    ]);
    let line = answer(&Challenge::read(&lines).unwrap(), "/dir/index.html", cnonce, &mufasa);
    assert!(line.contains("response=\"8ca523f5e9506fed4657c9700eebdbec\", algorithm=MD5"), "{line}");
}

/// RFC 7616 §3.9.2, with the values of erratum 4897.
#[test]
fn a_name_can_be_hashed_or_spelled_beyond_ascii() {
    let line = "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
                nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
                opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true";
    let (cnonce, doe) = ("NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", typed("Jäsøn Doe", "Secret, or not?"));
    let response = "response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\"";
    for (line, name) in [
        (
            line.to_owned(),
            "username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\", userhash=true",
        ),
        (line.replace("true", "false"), "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"),
        (line.replace("charset=UTF-8, userhash=true", "stale=false"), "username=\"Jäsøn Doe\""),
    ] {
        let answer = answer(&challenge(&line), "/doe.json", cnonce, &doe);
        assert!(answer.starts_with(&format!("Digest {name}, realm=")) && answer.contains(response), "{answer}");
    }
}

/// RFC 2617 §3.5 and RFC 2069 §2.4 (with the value of erratum 749): no algorithm is named, so none is in the answer.
#[test]
fn servers_of_old_get_what_they_know() {
    let old = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
               opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    let line = answer(
        &challenge(&format!("{old}, qop=auth")),
        "/dir/index.html",
        "0a4f113b",
        &typed("Mufasa", "Circle Of Life"),
    );
    assert!(
        line.contains("response=\"6629fae49393a05397450978507c4ef1\", opaque")
            && line.contains("qop=auth, nc=00000001")
    );
    for line in [old.to_owned(), format!("{old}, qop=\"\"")] {
        let line = answer(&challenge(&line), "/dir/index.html", "unused", &typed("Mufasa", "CircleOfLife"));
        assert!(
            line.ends_with(
                "response=\"1949323746fe6a43ef61f9606e7febea\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""
            )
        );
    }
}

#[test]
fn challenges_are_read_however_they_are_written() {
    let read =
        challenge("digest  Realm = \"a \\\"b\\\"\",NONCE=n1,algorithm=\"md5-SESS\" , stale=TRUE,qop=\"auth-int\"");
    assert_eq!((read.nonce(), read.is_stale(), read.per_session, read.qop), ("n1", true, true, Qop::Integrity));
    assert!(
        answer(&read, "/", "c", &typed("a\\b", "")).starts_with("Digest username=\"a\\\\b\", realm=\"a \\\"b\\\"\"")
    );
    for line in [
        "Basic realm=\"x\"",
        "Digest realm=\"x\"",
        "Digest nonce=\"x\"",
        "Digest realm=x, nonce=y, algorithm=TOKEN",
        "Digest realm=x, nonce=y, qop=other",
        "Digest",
        "",
    ] {
        assert_eq!(Challenge::read(&headers(&[line])), None, "{line}");
    }
    let long = format!("Digest realm=x, nonce=\"{}\"", "n".repeat(LONGEST));
    assert_eq!(Challenge::read(&headers(&[&long])), None);
}

#[test]
fn a_body_that_passes_cannot_be_hashed_and_no_name_breaks_the_line() {
    let integrity = challenge("Digest realm=x, nonce=y, qop=auth-int");
    let asked = Asked { method: &Method::POST, target: "/", has_body: true };
    assert_eq!(integrity.answer(asked, 1, "c", &typed("a", "b")), Err(NoAnswer::Integrity));
    let plain = challenge("Digest realm=x, nonce=y, qop=\"auth,auth-int\"");
    assert!(plain.answer(asked, 1, "c", &typed("a", "b")).is_ok());
    assert_eq!(plain.answer(asked, 1, "c", &typed("a\r\nb", "b")), Err(NoAnswer::Name));
}

#[test]
fn the_next_nonce_replaces_the_one_before() {
    let first = challenge("Digest realm=x, nonce=n1, qop=auth, stale=true");
    let info = |text: &str| HeaderMap::from_iter([(AUTHENTICATION_INFO, HeaderValue::from_str(text).unwrap())]);
    let next =
        first.followed_by(&info("rspauth=\"1\", cnonce=\"c\", nc=00000001, qop=auth, nextnonce=\"n2\"")).unwrap();
    assert_eq!((next.nonce(), next.is_stale(), next.realm.as_str()), ("n2", false, "x"));
    for text in ["nextnonce=\"n1\"", "rspauth=\"1\"", "", "nextnonce"] {
        assert_eq!(first.followed_by(&info(text)), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_challenge_makes_it_panic(line in "(Digest|Digest realm=x, nonce=y|Basic|realm|nonce|qop|algorithm|=|\"|\\\\|,| |auth|MD5|[ -~]){0,30}") {
        if let Some(challenge) = Challenge::read(&headers(&[&line])) {
            let asked = Asked { method: &Method::GET, target: "/", has_body: false };
            prop_assert!(challenge.answer(asked, 1, "c", &typed("a", "b")).is_ok());
        }
    }

    /// What goes into the line is what a server reads out of it.
    #[test]
    fn the_line_is_read_back(user in "[ -~é]{0,12}", target in "/[ -~]{0,20}", realm in "[ -~]{0,12}") {
        let escaped = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = challenge(&format!("Digest realm=\"{escaped}\", nonce=\"n\", charset=UTF-8, qop=auth"));
        let line = answer(&challenge, &target, "c", &typed(&user, "p"));
        let read = http_auth::parse_challenges(&line).unwrap();
        prop_assert_eq!(read.len(), 1);
        prop_assert_eq!(parameter(&read[0], "realm"), Some(realm));
        prop_assert_eq!(parameter(&read[0], "uri"), Some(target));
        match user.is_ascii() {
            true => prop_assert_eq!(parameter(&read[0], "username"), Some(user)),
            false => prop_assert!(parameter(&read[0], "username*").is_some()),
        }
    }
}
