//! What becomes of a jar over many lines.

use super::*;

#[test]
fn longer_paths_are_sent_first_then_older_cookies() {
    let jar = jar(&["a=1; Path=/", "b=2; Path=/a/b", "c=3; Path=/", "d=4", "b=5; Path=/a", "e=6; Path=/a/b/c"]);
    assert_eq!(sent(&jar, "app.example.com", "/a/b", NOW), "b=2; d=4; b=5; a=1; c=3");
    assert_eq!(sent(&jar, "app.example.com", "/", NOW), "a=1; c=3");
    assert_eq!(sent(&jar, "example.com", "/a/b", NOW), "");
    assert_eq!(sent(&jar, "b.app.example.com", "/a/b", NOW), "");
}

#[test]
fn a_replaced_cookie_keeps_its_place_and_a_deleted_one_loses_it() {
    let mut jar = jar(&["a=1", "b=2", "c=3", "a=4"]);
    assert_eq!(sent(&jar, "app.example.com", "/a", NOW), "a=4; b=2; c=3");
    for text in ["a=; Max-Age=0", "a=5"] {
        jar.apply(&line(text).unwrap(), NOW);
    }
    assert_eq!(sent(&jar, "app.example.com", "/a", NOW), "b=2; c=3; a=5");
}

#[test]
fn cookies_differ_by_name_domain_host_and_path() {
    let mut jar = jar(&["a=1", "A=2", "a=3; Path=/", "a=4; Domain=app.example.com", "a=5; Domain=example.com"]);
    assert_eq!(jar.len(), 5);
    jar.apply(&line("a=; Domain=app.example.com; Max-Age=0").unwrap(), NOW);
    assert_eq!(sent(&jar, "app.example.com", "/a", NOW), "a=1; A=2; a=5; a=3");
    assert_eq!(sent(&jar, "b.example.com", "/a", NOW), "a=5");
}

#[test]
fn of_the_same_cookie_twice_in_one_response_the_last_stands() {
    assert_eq!(sent(&jar(&["a=1", "a=2"]), "app.example.com", "/a", NOW), "a=2");
    assert_eq!(sent(&jar(&["a=1; Secure; SameSite=None", "a=2"]), "app.example.com", "/a", NOW), "a=2");
    assert_eq!(sent(&jar(&["a=1", "a=; Max-Age=0"]), "app.example.com", "/a", NOW), "");
    assert_eq!(sent(&jar(&["a=; Max-Age=0", "a=1"]), "app.example.com", "/a", NOW), "a=1");
}

#[test]
fn what_has_expired_is_not_sent_and_goes_with_the_next_operation() {
    let mut jar = jar(&["a=1; Max-Age=10", "b=2"]);
    assert_eq!(sent(&jar, "app.example.com", "/a", later(9)), "a=1; b=2");
    assert_eq!(sent(&jar, "app.example.com", "/a", later(10)), "b=2");
    assert_eq!(jar.len(), 2);
    jar.apply(&line("c=3").unwrap(), later(10));
    assert_eq!(jar.len(), 2);
}

#[test]
fn an_operation_that_comes_to_be_applied_after_its_expiry_deletes() {
    let mut jar = jar(&["a=1"]);
    jar.apply(&line("a=2; Max-Age=1").unwrap(), later(2));
    assert!(jar.is_empty());
}

#[test]
fn a_cookie_that_is_only_renewed_changes_nothing() {
    let jar = jar(&["hour=1; Max-Age=3600", "minute=1; Max-Age=60", "session=1; Secure"]);
    let place = Place { hosts: &["app.example.com"], paths: &["/a/b"] };
    for (text, after, nothing) in [
        ("session=1; Secure", 5000, true),
        ("session=2; Secure", 0, false),
        ("session=1", 0, false),
        ("session=1; Secure; HttpOnly", 0, false),
        ("session=1; Secure; Max-Age=60", 0, false),
        ("session=1; Secure; Path=/", 0, false),
        ("new=1", 0, false),
        ("hour=1; Max-Age=3600", 0, true),
        ("hour=1; Max-Age=3600", 59, true),
        ("hour=1; Max-Age=3600", 60, false),
        ("hour=1; Max-Age=3541", 0, true),
        ("hour=1; Max-Age=3540", 0, false),
        ("hour=1; Max-Age=3600", 3600, false),
        ("hour=1", 0, false),
        ("minute=1; Max-Age=60", 5, true),
        ("minute=1; Max-Age=60", 6, false),
        ("session=; Max-Age=0", 0, false),
        ("new=; Max-Age=0", 0, true),
        ("minute=; Max-Age=0", 61, true),
    ] {
        let operation = read(text.as_bytes(), &place, later(after)).unwrap();
        assert_eq!(jar.changes_nothing(&operation, later(after)), nothing, "{text} after {after} s");
    }
}

#[test]
fn ten_thousand_cookies_leave_the_newest_fifty() {
    let mut jar = jar(&["first=1"]);
    for number in 0..10_000 {
        jar.apply(&line(&format!("c{number}=x; Path=/{}", number % 7)).unwrap(), NOW);
        jar.apply(&line("again=1").unwrap(), NOW);
    }
    assert_eq!(jar.len(), 50);
    let names: Vec<_> = jar.0.iter().map(|cookie| String::from_utf8_lossy(cookie.name()).into_owned()).collect();
    assert!(names.contains(&"again".to_owned()));
    assert!((9951..10_000).all(|number| names.contains(&format!("c{number}"))), "{names:?}");
}

#[test]
fn a_jar_of_long_cookies_stays_below_64_kibibytes() {
    let mut jar = Jar::default();
    for number in 0..40 {
        jar.apply(&line(&format!("c{number:02}={}", "x".repeat(4000))).unwrap(), NOW);
        assert!(jar.bytes() <= MOST_BYTES);
    }
    assert_eq!(jar.len(), 16);
    assert!(sent(&jar, "app.example.com", "/a", NOW).contains("c39=x"));
}

#[test]
fn expired_cookies_make_room_before_any_that_lives() {
    let mut jar = jar(&["old=1"]);
    for number in 0..49 {
        jar.apply(&line(&format!("c{number}=x; Max-Age=10")).unwrap(), NOW);
    }
    jar.apply(&line("new=1").unwrap(), later(10));
    assert_eq!(sent(&jar, "app.example.com", "/a", later(10)), "old=1; new=1");
}

#[test]
fn in_a_crowded_jar_setting_a_cookie_again_counts() {
    let mut jar = jar(&["session=1"]);
    let again = line("session=1").unwrap();
    for number in 0..200 {
        jar.apply(&line(&format!("c{number}=x")).unwrap(), NOW);
        if !jar.changes_nothing(&again, NOW) {
            jar.apply(&again, NOW);
        }
    }
    assert!(sent(&jar, "app.example.com", "/a", NOW).starts_with("session=1; "));
}

#[test]
fn three_cookies_of_an_app_are_written_in_little() {
    let jar = jar(&[
        "PHPSESSID=q3fu0v1m2n8k7j6h5g4f3d2s1a; Path=/; HttpOnly",
        "csrftoken=Zk3Jq8Yw1Lx0Vn5Rb7Ts2Pm9Hc4Gd6Fa; Max-Age=31449600; Path=/; SameSite=Lax",
        "lang=en; Max-Age=86400; Path=/",
    ]);
    let bytes = postcard::to_allocvec(&jar).unwrap();
    assert_eq!(bytes.len(), 132);
    assert_eq!(postcard::from_bytes::<Jar>(&bytes).unwrap(), jar);
    assert_eq!(postcard::to_allocvec(&Jar::default()).unwrap(), [0]);
    assert_eq!(Jar::default().0.capacity(), 0);
}
