//! Rules: when they fire, what they record, whom they sign in.

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rules(config: Value) -> Rules {
    Rules::from_config(&serde_json::from_value::<Vec<schema::Rule>>(config).unwrap()).unwrap()
}

fn changes(rules: &Rules, method: Method, path: &str, status: u16, headers: &[(&'static str, &str)]) -> Vec<Change> {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let response = headers.iter().map(pair).collect();
    let status = StatusCode::from_u16(status).unwrap();
    rules.changes(&Asked { method: &method, path }, status, &response, Timestamp(1000))
}

fn fires(when: Value, method: &str, path: &str, status: u16) -> bool {
    let rules = rules(json!([{ "when": when, "then": { "clear": true } }]));
    !changes(&rules, method.parse().unwrap(), path, status, &[]).is_empty()
}

#[test]
fn a_rule_without_conditions_fires_on_success_and_redirects() {
    for (status, expected) in [(200, true), (302, true), (404, false), (500, false), (101, false)] {
        assert_eq!(fires(json!({}), "PROPFIND", "/any", status), expected, "{status}");
    }
}

#[test]
fn methods_paths_and_statuses_must_all_fit() {
    let when = json!({ "method": ["POST", "PUT"], "path": "/pay", "status": ["201", "4xx"] });
    assert!(fires(when.clone(), "PUT", "/pay", 201) && fires(when.clone(), "POST", "/pay", 499));
    assert!(!fires(when.clone(), "GET", "/pay", 201));
    assert!(!fires(when.clone(), "POST", "/pay/", 201) && !fires(when.clone(), "POST", "/Pay", 201));
    assert!(!fires(when, "POST", "/pay", 200));
}

#[test]
fn a_star_stands_for_the_rest_of_the_path() {
    let at = |pattern: &str, path: &str| fires(json!({ "path": pattern }), "GET", path, 200);
    assert!(at("/a/*", "/a/b/c") && at("/a/*", "/a/") && !at("/a/*", "/a") && !at("/a/*", "/ab"));
    assert!(at("/a*", "/a") && at("/a*", "/ab") && at("/*", "/"));
}

#[test]
fn operations_come_in_one_order_and_rules_in_theirs() {
    let all = rules(json!([
        { "then": {
            "revoke_others": true, "rotate": true, "expiry": "30m", "flash": { "f": [1] }, "increment": { "i": 2, "r": 0.5 },
            "unset": "u", "set": { "s": null }, "merge": { "m": null }, "user": "ann", "clear": true, "flush": true,
        } },
        { "then": { "set": { "last": 1 } } },
    ]));
    let ann = Claims { user: "ann".into(), ..Claims::default() }.identity(Timestamp(1000));
    let key = |key: &str| Box::<str>::from(key);
    assert_eq!(
        changes(&all, Method::POST, "/", 200, &[]),
        [
            Change::Flush,
            Change::Clear,
            Change::AppSignIn { identity: ann, vault: None },
            Change::Merge(json!({ "m": null }).as_object().cloned().unwrap()),
            Change::Set(key("s"), Value::Null),
            Change::Unset(key("u")),
            Change::Increment(key("i"), Step::Whole(2)),
            Change::Increment(key("r"), Step::Real(0.5)),
            Change::Flash(key("f"), json!([1])),
            Change::Expiry(Expiry::Sliding(std::time::Duration::from_secs(1800))),
            Change::Rotate,
            Change::RevokeOthers,
            Change::Set(key("last"), json!(1)),
        ]
    );
}

#[test]
fn a_moment_that_has_passed_ends_the_session() {
    let at = |moment: &str| changes(&rules(json!([{ "then": { "expiry": moment } }])), Method::GET, "/", 200, &[]);
    assert_eq!(at("1970-01-01T00:00:01Z"), [Change::Flush]);
    assert_eq!(at("1970-01-01T00:00:02Z"), [Change::Expiry(Expiry::At(Timestamp(2000)))]);
    assert_eq!(at("browser"), [Change::Expiry(Expiry::Browser)]);
    assert_eq!(at("default"), [Change::Expiry(Expiry::Policy)]);
}

fn signed_in(headers: &[(&'static str, &str)]) -> Option<Box<crate::identity::Identity>> {
    let rules = rules(json!([{ "then": {
        "user": "app:{header.X-User}", "name": "{header.X-Name}", "email": "{header.X-Mail}",
        "groups": ["all", "{header.X-Roles}"],
    } }]));
    match changes(&rules, Method::POST, "/login", 302, headers).pop() {
        Some(Change::AppSignIn { identity, .. }) => Some(identity),
        _ => None,
    }
}

#[test]
fn the_app_names_its_user_in_headers_of_its_own() {
    let ann = signed_in(&[("x-user", "ann"), ("x-name", "UTF-8''%C3%84nn"), ("x-roles", "staff, ops")]).unwrap();
    assert_eq!((&*ann.user, ann.name.as_deref(), ann.email), ("app:ann", Some("Änn"), None));
    assert_eq!(ann.groups.iter().map(|group| &**group).collect::<Vec<_>>(), ["all", "staff", "ops"]);
    assert_eq!(signed_in(&[("x-user", "ann")]).unwrap().groups.len(), 1);
}

#[test]
fn an_absent_broken_or_contradictory_name_signs_nobody_in() {
    assert_eq!(signed_in(&[("x-name", "Ann")]), None);
    assert_eq!(signed_in(&[("x-user", "UTF-8''%00")]), None);
    assert_eq!(signed_in(&[("x-user", "ann"), ("x-user", "bob")]), None);
    assert!(signed_in(&[("x-user", "ann"), ("x-user", "ann")]).is_some());
    let empty = rules(json!([{ "then": { "user": "{header.X-User}" } }]));
    assert_eq!(changes(&empty, Method::POST, "/", 200, &[("x-user", "")]), []);
}

#[test]
fn what_cannot_be_compiled_is_an_error() {
    let compile = |config| Rules::from_config(&serde_json::from_value::<Vec<schema::Rule>>(config).unwrap());
    assert_eq!(compile(json!([{}])).unwrap_err(), RuleError::Empty(0));
    let method = json!([{ "when": { "method": "A B" }, "then": { "clear": true } }]);
    assert_eq!(compile(method).unwrap_err(), RuleError::Method("A B".into()));
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic(user in any::<Vec<u8>>(), roles in any::<Vec<u8>>()) {
        let rules = rules(json!([{ "then": { "user": "{header.X-User}", "groups": "{header.X-Roles}" } }]));
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap_or(HeaderValue::from_static("a"));
        let mut response = HeaderMap::new();
        response.append("x-user", value(&user));
        response.append("x-roles", value(&roles));
        let asked = Asked { method: &Method::POST, path: "/" };
        let _ = rules.changes(&asked, StatusCode::OK, &response, Timestamp(0));
    }
}
