use proptest::prelude::*;

use super::*;

const SECRET: &str = "gateway-test-secret";
/// Written by Django 6.1.3 at 1700000000.
const TOM: &str = "eyJ1c2VyIjoidG9tIn0:1r31eq:dt5TL5o9oU0KKlboK6YhNpO-bhA3Kog635VPL0BGmJs";
const PACKED: &str = ".eJyrVspWslJKHCZAqRYAlOZN7g:1r31eq:R09Ra__k4gewLBEpdekGEkyJa4xYiViERps3XHHm1OQ";
/// The same session by `crypto.salted_hmac` of Django 3.0.
const LEGACY: &str = "ODBkNGViOGY0MGQ2MDI4NTc3NjA2MTc3YzkzZGNlZTQzNGE5MGY2Nzp7InVzZXIiOiJ0b20ifQ==";

fn keys(secrets: &[&str]) -> Keys {
    Keys::new(secrets.iter().copied(), "SessionStore")
}

#[test]
fn what_django_has_written_is_read_and_written_alike() {
    let keys = keys(&[SECRET]);
    let tom = Signed { bytes: br#"{"user":"tom"}"#.to_vec(), at: Some(1_700_000_000) };
    assert_eq!(keys.dumps(&tom.bytes, 1_700_000_000).as_deref(), Some(TOM));
    assert_eq!(keys.loads(TOM), Ok(tom));
}

#[test]
fn what_gets_smaller_is_compressed() {
    let keys = keys(&[SECRET]);
    let text = format!(r#"{{"k":"{}"}}"#, "a".repeat(200));
    assert_eq!(keys.loads(PACKED).map(|signed| signed.bytes), Ok(text.clone().into_bytes()));
    assert_eq!(keys.dumps(text.as_bytes(), 1_700_000_000).as_deref(), Some(PACKED));
}

#[test]
fn sessions_from_before_django_3_1_are_read_too() {
    let tom = Signed { bytes: br#"{"user":"tom"}"#.to_vec(), at: None };
    assert_eq!(keys(&[SECRET]).loads(LEGACY), Ok(tom));
    assert_eq!(keys(&["another"]).loads(LEGACY), Err(Flaw::Signature));
}

#[test]
fn fallback_keys_verify_and_the_first_signs() {
    let keys_now = keys(&["the new one", SECRET]);
    assert!(keys_now.loads(TOM).is_ok());
    let signed = keys_now.dumps(b"{}", 1).unwrap();
    assert!(keys(&["the new one"]).loads(&signed).is_ok());
    assert_eq!(keys(&[SECRET]).loads(&signed), Err(Flaw::Signature));
    assert_eq!(keys(&[]).loads(TOM), Err(Flaw::Signature));
}

#[test]
fn a_store_of_another_class_signs_otherwise() {
    assert_eq!(Keys::new([SECRET], "MyStore").loads(TOM), Err(Flaw::Signature));
    let cookie = "eyJ1c2VyIjoidG9tIn0:1r31eq:u4c_GZnN1h6_vGZw6_vdUuovlRnm1kFkx8OcrLFuLDg";
    assert_eq!(keys(&[SECRET]).loads(cookie), Err(Flaw::Signature), "a cookie of the signed_cookies engine");
}

#[test]
fn any_changed_character_is_found() {
    for text in [TOM, PACKED, LEGACY] {
        for at in 0..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys(&[SECRET]).loads(&changed).is_err(), "{changed}");
        }
    }
}

#[test]
fn a_pickle_is_refused_by_its_name() {
    let keys = keys(&[SECRET]);
    let signed = keys.dumps(b"\x80\x05}\x94.", 1).unwrap();
    assert_eq!(keys.loads(&signed), Err(Flaw::Pickle));
}

#[test]
fn a_bomb_is_unpacked_no_further_than_needed_to_see_it() {
    let keys = keys(&[SECRET]);
    let most = MOST_BYTES as usize;
    assert_eq!(keys.loads(&keys.dumps(&vec![b' '; most], 1).unwrap()).unwrap().bytes.len(), most);
    assert_eq!(keys.loads(&keys.dumps(&vec![b' '; most + 1], 1).unwrap()), Err(Flaw::Large));
}

/// By `salted_hmac` of Django: SHA-256 since 3.1, SHA-1 before.
#[test]
fn a_session_knows_the_password_that_it_began_under() {
    let password = "pbkdf2_sha256$1000000$salt$hash";
    for said in
        ["330f6be742cbe96ba1712175d24eb453b1f5aad140707663d6a2ac3e2051a3cd", "9413ab3f0d6910a8f3c744764b5a16a4d686af84"]
    {
        assert!(keys(&["new", SECRET]).know_password(password, said), "{said}");
        assert!(!keys(&[SECRET]).know_password("another", said));
        assert!(!keys(&["new"]).know_password(password, said));
    }
    assert!(!keys(&[SECRET]).know_password(password, ""));
}

proptest! {
    #[test]
    fn what_is_signed_is_read(bytes in proptest::collection::vec(0_u8..0x80, 0..300), at: u64) {
        let keys = keys(&[SECRET]);
        let text = keys.dumps(&bytes, at).unwrap();
        prop_assert_eq!(keys.loads(&text), Ok(Signed { bytes, at: Some(at) }));
    }

    #[test]
    fn arbitrary_text_is_refused(text in "[a-zA-Z0-9:._=-]{0,80}|.*") {
        prop_assert!(keys(&[SECRET]).loads(&text).is_err());
    }

    #[test]
    fn numbers_have_digits_only(text in ".{0,14}") {
        if let Some(number) = number(&text) {
            let back = base62(number);
            prop_assert_eq!(back.trim_start_matches('0'), text.trim_start_matches('0'));
        }
    }
}
