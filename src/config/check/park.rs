//! Checks of which forms are kept when the session has ended.

use super::Checks;
use crate::config::schema::{Access, Config, Duration, Park, Route, Size, StoreType};

/// A sign-in takes less.
const SHORTEST: Duration = Duration::minutes(1);
/// Nobody remembers after that what they were sending.
const LONGEST: Duration = Duration::minutes(60);

/// An export of the store has lines of 4 MiB at most, and two thirds of that for the form.
const LARGEST: Size = Size::mib(2);

pub(super) fn check(route: &Route, key: &str, config: &Config, checks: &mut Checks<'_>) {
    let Some(park) = route.park else { return };
    if !(Size::kib(1)..=LARGEST).contains(&park.max_size) {
        let message = format!("must be from 1KiB to 2MiB, found {}; write `park: null` to keep nothing", park.max_size);
        checks.problem(format!("{key}.park.max_size"), message);
    }
    if !(SHORTEST..=LONGEST).contains(&park.ttl) {
        checks.problem(format!("{key}.park.ttl"), format!("must be from 1m to 1h, found {}", park.ttl));
    }
    // As it is by default, it is left out where there is no store: `check::store` says so once.
    let is_wanted = park != Park::default();
    if is_wanted && config.store.kind == StoreType::Cookie {
        let message = "a form needs a store to be kept in; with `store.type: cookie` write `park: null`";
        checks.problem(format!("{key}.park"), message);
    }
    if is_wanted && route.access == Access::Public {
        checks.warning(format!("{key}.park"), "has no effect with `access: public`: nobody is asked to sign in");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{each_is_refused, problems, warnings};

    fn route(park: &str) -> String {
        let observe = "observe: { login: { path: /login, location_not: /login, user: { form: name } } }";
        format!("routes: [{{ access: user, upstream: http://a, {observe}, park: {park} }}]")
    }

    #[test]
    fn size_and_time_have_bounds() {
        for (park, words) in [
            ("{ max_size: 1023B }", "routes[0].park.max_size: must be from 1KiB to 2MiB, found 1023B"),
            ("{ max_size: 3MiB }", "routes[0].park.max_size: must be from 1KiB to 2MiB"),
            ("{ ttl: 59s }", "routes[0].park.ttl: must be from 1m to 1h, found 59s"),
            ("{ ttl: 2h }", "routes[0].park.ttl: must be from 1m to 1h"),
        ] {
            each_is_refused(&[(&route(park), words)]);
        }
        for park in ["null", "{}", "{ max_size: 2MiB, ttl: 1h }", "{ max_size: 1KiB, ttl: 1m }"] {
            assert_eq!(problems(&route(park)), [""; 0], "{park}");
        }
    }

    #[test]
    fn where_nothing_can_be_kept_nobody_is_promised_that_it_is() {
        let in_cookies = |park: &str| format!("store: {{ type: cookie }}\n{}", route(park));
        each_is_refused(&[(&in_cookies("{ ttl: 5m }"), "routes[0].park: a form needs a store")]);
        assert!(warnings(&in_cookies("{}")).concat().contains("is not kept"));
        assert!(!warnings(&in_cookies("null")).concat().contains("is not kept"));
        let public = "routes: [{ access: public, upstream: http://a, park: { ttl: 5m } }]";
        assert!(warnings(public).concat().contains("routes[0].park: has no effect"));
    }
}
