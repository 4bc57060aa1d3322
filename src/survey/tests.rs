//! Judgements on journals that are written by hand.

use http::header::HeaderValue;
use http::{HeaderMap, Request, header};

use super::attempts::{self, Attempts};
use super::leaving;
use super::login_page;
use super::sighting::{Journal, Kind, Said, Sighting};
use crate::clock::Timestamp;
use crate::config::schema::{Expired, StatusPattern};
use crate::jar::{self, Place};

/// What is sent, what is answered: `POST /login u=ann&p=x`, `302 /home`, cookies.
fn journal(lines: &[(&str, &str, &[&str])]) -> Journal {
    let mut journal = Journal::default();
    for line in lines {
        let place = journal.reserve();
        let sighting = sighting(&journal, line);
        journal.fill(place, sighting);
    }
    journal
}

pub(super) fn sighting(journal: &Journal, (asked, said, cookies): &(&str, &str, &[&str])) -> Sighting {
    let mut words = asked.split(' ');
    let (method, target, body) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
    let kind = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
    let mut request = Request::builder().method(method).uri(target).header("content-type", kind);
    if let Some(token) = words.next() {
        request = request.header("authorization", format!("Basic {token}"));
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let (status, rest) = said.split_once(' ').unwrap_or((said, ""));
    let mut headers = HeaderMap::new();
    let body = match status.starts_with('3') {
        true => {
            headers.insert(header::LOCATION, HeaderValue::from_str(rest).unwrap());
            ""
        }
        false => rest,
    };
    let at = Place { hosts: &["a"], paths: &["/"] };
    let cookies = cookies.iter().map(|line| jar::read(line.as_bytes(), &at, Timestamp(1)).unwrap()).collect();
    let said = Said { status: status.parse().unwrap(), headers, cookies, body: Some(body.to_owned().into()) };
    Sighting { asked: journal.read(&parts, false, asked.split(' ').nth(2).unwrap_or_default().as_bytes()), said }
}

const TRY: &str = "POST /login u=ann&p=x";

#[test]
fn whoever_goes_to_work_or_signs_out_was_right() {
    let (no, yes, out) = ((TRY, "302 /login", &[][..]), (TRY, "302 /", &[][..]), ("GET /logout", "302 /", &[][..]));
    for (lines, good, bad) in [
        (vec![no, yes], vec![1], vec![0]),
        (vec![no, no, yes, out], vec![2], vec![0, 1]),
        (vec![yes, out, no], vec![0], vec![2]),
        (vec![yes, out, yes], vec![0], vec![]),
        (vec![no, yes, out, yes, out], vec![1, 3], vec![0]),
        (vec![yes], vec![0], vec![]),
    ] {
        let judged = attempts::judge(&journal(&lines));
        assert_eq!(judged, Some(Attempts { good, bad, basic: false }), "{lines:?}");
    }
    assert_eq!(attempts::judge(&journal(&[out])), None);
}

#[test]
fn basic_is_right_only_where_strangers_were_refused() {
    let wrong = ("GET /a - YW5uOng=", "401", &[][..]);
    let right = ("GET /a - YW5uOnk=", "200", &[][..]);
    let open = ("GET /open - YW5uOnk=", "200", &[][..]);
    let judged = attempts::judge(&journal(&[("GET /a", "401", &[]), wrong, right, open]));
    assert_eq!(judged, Some(Attempts { good: vec![2], bad: vec![1], basic: true }));
    assert_eq!(attempts::judge(&journal(&[open])), None);
}

#[test]
fn names_and_passwords_are_told_from_the_rest_of_a_form() {
    let page = "200 <input type=hidden name=do value=login><input name=x1 value=ann><input name=username value=ann>\
                <input type=hidden name=login value=ann><input type=password name=x2><button name=go value=in>";
    for (body, user, names) in [
        ("csrf=1&username=ann&password=x", "ann", "username"),
        ("x1=ann&x2=y", "ann", "x1"),
        ("do=login&u=ann&p=x&go=in", "ann", "u"),
        ("{\"a\":{\"login\":\"ann\",\"pwd\":\"x\"}}", "ann", "/a/login"),
        ("id=start&grant=password&login=ann&pass=x&email=", "ann", "login"),
    ] {
        let line = format!("POST /login {body}");
        let journal = journal(&[("GET /login", page, &[]), (&line, "302 /", &[])]);
        let asked = &journal.at(1).unwrap().asked;
        let field = asked.fields.iter().find(|field| field.kind == Kind::User).map(|field| field.name.as_str());
        assert_eq!((asked.user.as_deref(), field), (Some(user), Some(names)), "{body}: {:?}", asked.fields);
        assert!(journal.at(1).unwrap().is_attempt(), "{body}");
        let fixed = journal.at(1).unwrap().fixed_fields();
        assert!(fixed.iter().all(|(_, word)| word != "ann"), "{fixed:?}");
    }
}

#[test]
fn a_change_of_password_is_no_sign_in() {
    let journal = journal(&[("POST /profile name=ann&pass=x&newpass=y", "302 /", &[])]);
    assert!(attempts::judge(&journal).is_none());
}

#[test]
fn a_sign_out_is_known_by_its_name_or_by_the_cookie_that_it_takes() {
    let yes = (TRY, "302 /", &["s=1"][..]);
    let gone = &["s=; Max-Age=0"][..];
    for (lines, expected) in [
        (vec![("GET /logout", "302 /", &[][..])], Some("/logout")),
        (vec![("GET /x?do=logout&t=81", "302 /", &[][..])], Some("/x")),
        (vec![("GET /x?logout", "302 /", &[][..])], Some("/x")),
        (vec![("POST /users/sign_out a=b", "303 /", &[][..])], Some("/users/sign_out")),
        (vec![("DELETE /session", "204", &[][..])], Some("/session")),
        (vec![("GET /bye", "302 /", gone)], Some("/bye")),
        (vec![("GET /page", "200 x", &[][..]), ("GET /page", "200 x", gone)], None),
        (vec![("GET /logout", "200 <form method=post><button>Sure?</form>", &[][..])], None),
        (vec![("GET /logout", "403", &[][..]), ("DELETE /api/tokens/5", "204", &[][..])], None),
    ] {
        let lines: Vec<_> = [yes].into_iter().chain(lines).collect();
        let journal = journal(&lines);
        let attempts = attempts::judge(&journal).unwrap();
        let found = leaving::logout(&journal, &attempts).map(|found| found.value.path);
        assert_eq!(found.as_deref(), expected, "{lines:?}");
    }
}

#[test]
fn a_stranger_shows_how_the_app_forgets() {
    let asked = |said: &str, cookies: &[&str]| {
        let stranger = sighting(&Journal::default(), &("GET /page", said, cookies)).said;
        leaving::expired("/page", &stranger, "/in?next={path}", &[b"DW81"]).map(|found| found.value)
    };
    let by_place = |place: &str| Some(Expired { location: Some(place.into()), ..Expired::default() });
    let by_cookie = Some(Expired { delete_cookie: Some("DW81".into()), ..Expired::default() });
    let refused = Some(Expired { status: vec![StatusPattern::Code(401)], ..Expired::default() });
    for (said, cookies, expected) in [
        ("302 /in?next=/page", &[][..], None),
        ("302 /door", &[], by_place("/door")),
        ("401", &["DW81=; Max-Age=0"], refused.clone()),
        ("200 hello", &["DW81=; Max-Age=0"], by_cookie.clone()),
        ("403 no", &["x=1", "DW81=deleted; Max-Age=0"], by_cookie),
        ("200 hello", &["other=; Max-Age=0", "DW81=new"], None),
    ] {
        assert_eq!(asked(said, cookies), expected, "{said} {cookies:?}");
    }
    let ask = ("GET /api", "401", &[][..]);
    for (after, expected) in [(("GET /api", "200 {}", &[][..]), refused), (("GET /other", "200 {}", &[][..]), None)] {
        let journal = journal(&[ask, (TRY, "200 {}", &[]), after]);
        assert_eq!(leaving::refusal(&journal, 1).map(|found| found.value), expected);
    }
}

#[test]
fn where_people_work_on_the_page_that_they_signed_in_on_another_is_looked_for() {
    let form = "200 <form><input type=hidden name=do value=login><input type=password name=p></form>\
                <a href=\"/a.php?id=start&amp;do=login&amp;t=81\">in</a><a href='/signin'>in</a>";
    let lines =
        |after| [("GET /a.php?id=start", form, &[][..]), ("POST /a.php u=ann&p=x&do=login", "302 /", &[]), after];
    let worked_on = journal(&lines(("GET /a.php?id=start", "200 <p>Start", &[])));
    assert_eq!(login_page::candidates(&worked_on), ["/a.php?do=login", "/signin"]);
    let left = journal(&lines(("GET /a.php?id=other", "200 <p>Other", &[])));
    assert!(login_page::candidates(&left).is_empty());
}
