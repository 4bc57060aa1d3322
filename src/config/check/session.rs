//! Checks of the session's times and keys.

use super::Checks;
use crate::config::schema::{Config, Duration, Session, Size};

/// Fewer characters could be guessed offline, whatever they are.
const MIN_KEY_CHARACTERS: usize = 32;

/// More often, and pages with many parts would do nothing else.
const SHORTEST_ROTATION: Duration = Duration::seconds(10);

pub(super) fn check(config: &Config, checks: &mut Checks<'_>) {
    let session = &config.session;
    check_times(session, checks);
    check_remember_me(session, checks);
    check_rotation(session, checks);
    check_sizes(session, checks);
    check_keys(session, checks);
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

fn check_remember_me(session: &Session, checks: &mut Checks<'_>) {
    let Some(remember_me) = session.remember_me else { return };
    let absolute = session.absolute_timeout;
    checks.more_than_zero("session.remember_me", remember_me);
    if remember_me < absolute {
        let message = format!("who ticks the box is signed in for less time than who does not ({absolute})");
        checks.warning("session.remember_me", message);
    }
}

fn check_rotation(session: &Session, checks: &mut Checks<'_>) {
    let Session { rotate_every, rotation_grace: grace, .. } = *session;
    checks.more_than_zero("session.rotation_grace", grace);
    if grace > Duration::minutes(5) {
        checks.warning("session.rotation_grace", "a stolen cookie works so much longer after it was replaced");
    }
    let Some(every) = rotate_every else { return };
    if every < SHORTEST_ROTATION {
        let message = format!("must be at least {SHORTEST_ROTATION}; write null for no rotation by time");
        checks.problem("session.rotate_every", message);
    } else if every <= grace {
        let message = format!("must be more than rotation_grace ({grace}), or several old ids would work at once");
        checks.problem("session.rotate_every", message);
    }
}

fn check_sizes(session: &Session, checks: &mut Checks<'_>) {
    if session.max_per_user == Some(0) {
        checks.problem("session.max_per_user", "must be more than 0; write null for no bound");
    }
    let size = session.max_data_size;
    if !(Size::kib(1)..=Size::mib(1)).contains(&size) {
        checks.problem("session.max_data_size", format!("must be from 1KiB to 1MiB, found {size}"));
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
    fn rotation_leaves_time_for_its_grace() {
        each_is_refused(&[
            ("session: { rotate_every: 9s, rotation_grace: 1s }", "session.rotate_every: must be at least 10s"),
            ("session: { rotate_every: 30s }", "session.rotate_every: must be more than rotation_grace (30s)"),
            ("session: { rotation_grace: 0s }", "session.rotation_grace: must be more than 0"),
        ]);
        let warned = |grace: &str| warnings(&format!("session: {{ rotation_grace: {grace} }}\n{PUBLIC}")).concat();
        assert!(warned("6m").contains("session.rotation_grace: a stolen cookie works"));
        assert!(!warned("5m").contains("rotation_grace"));
        assert_eq!(problems(&format!("session: {{ rotate_every: null, rotation_grace: 2h }}\n{PUBLIC}")), [""; 0]);
    }

    #[test]
    fn sessions_are_bounded_in_number_and_size() {
        each_is_refused(&[
            ("session: { max_per_user: 0 }", "session.max_per_user: must be more than 0; write null"),
            ("session: { max_data_size: 1023B }", "session.max_data_size: must be from 1KiB to 1MiB, found 1023B"),
            ("session: { max_data_size: 2MiB }", "session.max_data_size: must be from 1KiB to 1MiB"),
        ]);
        assert_eq!(problems(&format!("session: {{ max_per_user: 1, on_limit: deny }}\n{PUBLIC}")), [""; 0]);
    }

    #[test]
    fn remembering_for_less_time_than_usual_is_warned_of() {
        let warned = |time: &str| warnings(&format!("session: {{ remember_me: {time} }}\n{PUBLIC}")).concat();
        assert!(warned("7d").contains("session.remember_me: who ticks the box"));
        assert!(!warned("30d").contains("remember_me"));
        each_is_refused(&[("session: { remember_me: 0s }", "session.remember_me: must be more than 0")]);
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
