//! Checks of the session's times and keys, and of the store.

use super::Checks;
use crate::config::schema::{Config, Duration, Session};

/// Fewer characters could be guessed offline, whatever they are.
const MIN_KEY_CHARACTERS: usize = 32;

pub(super) fn check(config: &Config, checks: &mut Checks<'_>) {
    let session = &config.session;
    check_times(session, checks);
    check_keys(session, checks);
    if config.store.max_sessions == 0 {
        checks.problem("store.max_sessions", "must be more than 0");
    }
}

fn check_times(session: &Session, checks: &mut Checks<'_>) {
    let Session { idle_timeout, absolute_timeout, touch_interval, .. } = *session;
    checks.more_than_zero("session.absolute_timeout", absolute_timeout);
    checks.more_than_zero("session.touch_interval", touch_interval);
    if absolute_timeout > Duration::days(30) {
        checks.warning("session.absolute_timeout", "a stolen cookie works for more than 30 days");
    }
    let Some(idle) = idle_timeout else { return };
    if idle.get().is_zero() {
        checks.problem("session.idle_timeout", "must be more than 0; write null for no idle timeout");
    } else if idle > absolute_timeout {
        let message = format!("must be at least idle_timeout ({idle}), found {absolute_timeout}");
        checks.problem("session.absolute_timeout", message);
    } else if touch_interval >= idle {
        let message = format!("must be less than idle_timeout ({idle}), or sessions in use would end");
        checks.problem("session.touch_interval", message);
    }
}

fn check_keys(session: &Session, checks: &mut Checks<'_>) {
    for (index, key) in session.keys.iter().enumerate() {
        if key.reveal().chars().count() >= MIN_KEY_CHARACTERS {
            continue;
        }
        let message = format!("is shorter than {MIN_KEY_CHARACTERS} characters; `openssl rand -base64 33` makes a key");
        match session.keys_file {
            None => checks.problem(format!("session.keys[{index}]"), format!("the key {message}")),
            Some(_) => checks.problem("session.keys_file", format!("key {} of the file {message}", index + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PUBLIC, each_is_refused, problems, warnings};

    #[test]
    fn times_must_fit_together() {
        each_is_refused(&[
            ("session: { idle_timeout: 0s }", "write null for no idle timeout"),
            (
                "session: { absolute_timeout: 1h }",
                "session.absolute_timeout: must be at least idle_timeout (1d), found 1h",
            ),
            ("session: { touch_interval: 0s }", "session.touch_interval: must be more than 0"),
            ("session: { touch_interval: 1d }", "session.touch_interval: must be less than idle_timeout"),
            ("store: { max_sessions: 0 }", "store.max_sessions: must be more than 0"),
        ]);
        assert_eq!(problems(&format!("session: {{ idle_timeout: null, absolute_timeout: 1h }}\n{PUBLIC}")), [""; 0]);
    }

    #[test]
    fn short_keys_are_refused_without_repeating_them() {
        let all = problems(&format!("session: {{ keys: [{}, hunter2] }}\n{PUBLIC}", "k".repeat(32)));
        assert!(all[0].starts_with("session.keys[1]: the key is shorter than 32 characters"), "{all:?}");
        assert!(!all.concat().contains("hunter2"));
    }

    #[test]
    fn a_session_of_more_than_a_month_is_warned_of() {
        let warned = warnings(&format!("session: {{ absolute_timeout: 31d }}\n{PUBLIC}"));
        assert!(warned.iter().any(|one| one.contains("more than 30 days")));
    }
}
