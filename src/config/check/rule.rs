//! Checks of rules: whether they can fire, do something, and cannot be fired by another site.

use super::Checks;
use super::syntax::{covers, is_normal_path, is_token};
use crate::config::schema::{HeaderTemplate, Piece, Route, Rule, StatusPattern, Then, When};

/// As for accounts of the sign-in form.
const LONGEST_NAME: usize = 256;

pub(super) fn check(route: &Route, key: &str, checks: &mut Checks<'_>) {
    for (index, rule) in route.rules.iter().enumerate() {
        let key = format!("{key}.rules[{index}]");
        check_when(&rule.when, route.path.as_deref().unwrap_or("/"), &format!("{key}.when"), checks);
        check_then(&rule.then, &format!("{key}.then"), checks);
        warn_of_weak(rule, &key, checks);
    }
}

fn check_when(when: &When, route: &str, key: &str, checks: &mut Checks<'_>) {
    check_methods(&when.method, &format!("{key}.method"), checks);
    if let Some(path) = &when.path {
        check_path(path, &format!("{key}.path"), route, checks);
    }
}

pub(super) fn check_methods(methods: &[String], key: &str, checks: &mut Checks<'_>) {
    for (index, method) in methods.iter().enumerate() {
        // The place of a single method is the key itself.
        let key = format!("{key}[{index}]");
        if !is_token(method) {
            checks.problem(key, "expected a method such as POST, or a list of methods");
        } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            checks.problem(key, format!("write {}: the case of methods counts", method.to_ascii_uppercase()));
        }
    }
}

/// A path that `route` serves, or the beginning of such.
pub(super) fn check_path(path: &str, key: &str, route: &str, checks: &mut Checks<'_>) {
    let plain = path.strip_suffix('*').unwrap_or(path);
    if !is_normal_path(plain) || !plain.is_ascii() || plain.contains('*') {
        checks.problem(key, "expected a plain path such as /checkout, or the beginning of paths such as /checkout/*");
    } else if !meets(plain, path.ends_with('*'), route) {
        checks.problem(key, format!("no request of this route ({route}) has such a path"));
    }
}

/// Whether a path of the route can be meant.
fn meets(path: &str, is_beginning: bool, route: &str) -> bool {
    covers(route, path) || is_beginning && route.starts_with(path)
}

fn check_then(then: &Then, key: &str, checks: &mut Checks<'_>) {
    if does_nothing(then) {
        checks.problem(key, "needs at least one of set, unset, merge, increment, flash, clear, flush, rotate, revoke_others, expiry, user");
    }
    let details = [("name", then.name.is_some()), ("email", then.email.is_some()), ("groups", !then.groups.is_empty())];
    for (field, given) in details {
        if given && then.user.is_none() {
            checks.problem(format!("{key}.{field}"), "says something about a `user`; give that too");
        }
    }
    if let Some(user) = &then.user
        && let [Piece::Text(name)] = user.0.as_slice()
        && (name.len() > LONGEST_NAME || name.trim() != name)
    {
        checks.problem(format!("{key}.user"), "expected a name of at most 256 bytes, without blanks around it");
    }
}

fn does_nothing(then: &Then) -> bool {
    let Then { set, unset, merge, increment, flash, clear, flush, rotate, revoke_others, expiry, user, .. } = then;
    let flags = [clear, flush, rotate, revoke_others].into_iter().any(|flag| *flag);
    let maps = [set, merge, flash].into_iter().any(|map| !map.is_empty());
    !flags && !maps && unset.is_empty() && increment.is_empty() && expiry.is_none() && user.is_none()
}

fn warn_of_weak(rule: &Rule, key: &str, checks: &mut Checks<'_>) {
    let Rule { when, then } = rule;
    let safe = |method: &String| matches!(method.as_str(), "GET" | "HEAD");
    let flags = [("flush", then.flush), ("rotate", then.rotate), ("revoke_others", then.revoke_others)];
    let actions: Vec<&str> =
        flags.into_iter().chain([("user", then.user.is_some())]).filter(|(_, on)| *on).map(|(name, _)| name).collect();
    if !actions.is_empty() && (when.method.is_empty() || when.method.iter().any(safe)) {
        let message = format!(
            "{} also on GET: any site can cause that with a link or a picture; write a method such as POST",
            actions.join(", ")
        );
        checks.warning(format!("{key}.when.method"), message);
    }
    let failure = |status: &StatusPattern| matches!(status, StatusPattern::Class(5) | StatusPattern::Code(500..));
    if when.status.iter().any(failure) {
        let message = "when an app fails (5xx), only flush and revoke_others are done; the rest is dropped";
        checks.warning(format!("{key}.when.status"), message);
    }
    warn_of_fixed_user(then.user.as_ref(), key, checks);
}

fn warn_of_fixed_user(user: Option<&HeaderTemplate>, key: &str, checks: &mut Checks<'_>) {
    if user.is_some_and(|user| user.0.iter().all(|piece| matches!(piece, Piece::Text(_)))) {
        let message = "everybody who gets this answer becomes the same user; {header.NAME} is a header of the answer";
        checks.warning(format!("{key}.then.user"), message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, warnings};

    fn with(rule: &str) -> String {
        format!("routes: [{{ access: public, upstream: http://a, path: /shop, rules: [{rule}] }}]")
    }

    #[test]
    fn a_rule_that_could_never_do_anything_is_refused_at_its_place() {
        for (rule, words) in [
            ("{ when: { path: /shop } }", "rules[0].then: needs at least one of set"),
            ("{ then: { set: {} } }", "rules[0].then: needs at least one of set"),
            ("{ when: { method: post }, then: { clear: true } }", "rules[0].when.method[0]: write POST"),
            (
                "{ when: { method: [POST, 'a b'] }, then: { clear: true } }",
                "rules[0].when.method[1]: expected a method",
            ),
            ("{ when: { path: shop }, then: { clear: true } }", "rules[0].when.path: expected a plain path"),
            ("{ when: { path: '/shop/*/x' }, then: { clear: true } }", "rules[0].when.path: expected a plain path"),
            ("{ when: { path: '*' }, then: { clear: true } }", "rules[0].when.path: expected a plain path"),
            ("{ when: { path: '/shop?x=1' }, then: { clear: true } }", "rules[0].when.path: expected a plain path"),
            ("{ when: { path: /wiki }, then: { clear: true } }", "no request of this route (/shop) has such a path"),
            ("{ when: { path: '/shopping/*' }, then: { clear: true } }", "no request of this route"),
            ("{ when: { status: 2x }, then: { clear: true } }", "rules[0].when.status: expected a status such as 200"),
            ("{ when: { status: [200, 6xx] }, then: { clear: true } }", "rules[0].when.status[1]: expected a status"),
            ("{ then: { expiry: soon } }", "rules[0].then.expiry: expected a duration such as 30m"),
            ("{ then: { increment: { n: x } } }", "rules[0].then.increment.n: expected"),
            ("{ then: { clear: true, name: x } }", "rules[0].then.name: says something about a `user`"),
            ("{ then: { user: '{user}' } }", "rules[0].then.user: `{user}` is not known"),
            ("{ then: { user: ' ann' } }", "rules[0].then.user: expected a name"),
            ("{ when: { metod: POST }, then: { clear: true } }", "unknown key; did you mean `method`?"),
        ] {
            let all = problems(&with(rule));
            assert!(all.first().is_some_and(|first| first.contains(words)), "{rule}: {all:#?}");
        }
    }

    #[test]
    fn rules_take_one_or_many_and_every_kind_of_value() {
        for rule in [
            "{ then: { set: { a: null, b: [1, 2.5, x], c: { d: true } }, unset: old } }",
            "{ when: { method: POST, path: /shop, status: 200 }, then: { unset: [a, b], increment: { n: 1, m: -0.5 } } }",
            "{ when: { method: [POST, PUT], path: '/sh*', status: [201, 3xx] }, then: { expiry: 30m, rotate: true } }",
            "{ when: { path: '/*' }, then: { flash: { saved: true } } }",
            "{ when: { method: POST }, then: { user: '{header.X-User}', groups: [a, '{header.X-Role}'], name: n } }",
            "{ when: { method: POST }, then: { user: '{header.X-User}', groups: 'a,b' } }",
        ] {
            assert_eq!(problems(&with(rule)), [""; 0], "{rule}");
        }
    }

    #[test]
    fn what_another_site_could_cause_is_warned_of() {
        let warned = |rule: &str| warnings(&with(rule)).concat();
        assert!(warned("{ then: { flush: true, rotate: true } }").contains("flush, rotate also on GET"));
        assert!(warned("{ when: { method: [POST, HEAD] }, then: { revoke_others: true } }").contains("also on GET"));
        assert!(!warned("{ when: { method: POST }, then: { flush: true } }").contains("GET"));
        assert!(!warned("{ then: { set: { a: 1 } } }").contains("GET"));
        let fixed = warned("{ when: { method: POST }, then: { user: guest } }");
        assert!(fixed.contains("rules[0].then.user: everybody who gets this answer"), "{fixed}");
        assert!(warned("{ when: { status: 5xx }, then: { clear: true } }").contains("only flush and revoke_others"));
    }
}
