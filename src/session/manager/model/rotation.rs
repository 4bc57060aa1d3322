//! The rules of rotation one by one, with the time moved; and browsers to which responses come in any order.

use std::sync::Mutex;

use serde_json::json;
use tracing::field::{Field, Visit as VisitFields};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::*;

/// `rotate_every` and `rotation_grace` as they are unless configured.
const DUE: u64 = 3600;
const GRACE: u64 = 30;

#[test]
fn all_parallel_requests_are_given_the_same_new_id() {
    for seed in 0..300 {
        let world = World::over(Stepped::new(true), |_| {});
        let id = world.signed_in("ann");
        let requests = (0..4).map(|n| if n == 0 { with(&id).does(count()) } else { with(&id) });
        let answers = world.race(&mut Schedule::seeded(seed), requests.map(|request| request.at(after(DUE))));
        let new = answers[0].cookie.given();
        assert_ne!(new, id);
        for answer in answers {
            assert_eq!(
                (answer.cookie, answer.user.as_deref()),
                (Cookie::Give(new.clone()), Some("ann")),
                "seed {seed}"
            );
        }
        assert_eq!((world.sessions_of("ann"), world.count()), (1, 2), "seed {seed}: a session and an alias");
    }
}

#[test]
fn a_client_that_never_receives_the_new_id_works_on_and_is_offered_it_again_and_again() {
    let world = World::with(|session| session.idle_timeout = Some(schema::Duration::seconds(2 * DUE)));
    let id = world.signed_in("ann");
    let offered = world.ask(with(&id).at(after(DUE))).cookie;
    for hour in 2..100 {
        let request = with(&id).at(after(hour * DUE));
        let answer =
            world.ask(if hour.is_multiple_of(3) { request.does(count()).does(Change::Rotate) } else { request });
        assert_eq!((answer.user.as_deref(), &answer.cookie), (Some("ann"), &offered), "hour {hour}");
        finish(world.manager.clear_expired(after(hour * DUE))).unwrap();
    }
    assert_eq!(world.ask(with(&offered.given()).at(after(100 * DUE))).data, json!({"n": 33}));
}

#[test]
fn the_grace_of_the_old_id_counts_from_the_first_use_of_the_new_one_and_then_the_family_is_dead() {
    let used = DUE + 1000;
    for the_new_one_is_used_on in [false, true] {
        let events = Events::default();
        events.during(|| {
            let world = World::new();
            let old = world.signed_in("ann");
            let new = world.ask(with(&old).at(after(DUE))).cookie.given();
            assert_eq!(world.ask(with(&old).at(after(used - 1))).cookie, Cookie::Give(new.clone()), "not used yet");

            assert_eq!(world.ask(with(&new).at(after(used))).cookie, Cookie::Keep);
            let in_grace = world.ask(with(&old).at(after(used + GRACE - 1)));
            assert_eq!((in_grace.user.as_deref(), in_grace.cookie), (Some("ann"), Cookie::Keep));
            if the_new_one_is_used_on {
                assert_eq!(world.user_of(&new, after(used + GRACE)).as_deref(), Some("ann"));
            }
            let late = world.ask(with(&old).at(after(used + GRACE)));
            assert_eq!((late.user, late.cookie), (None, Cookie::Delete));
            for id in [&new, &old, &new] {
                assert_eq!(world.user_of(id, after(used + GRACE)), None);
            }
            assert_eq!(world.count(), 0);
        });
        assert_eq!(events.of("theft_suspected"), 1);
    }
}

#[test]
fn of_two_thieves_at_once_one_is_reported() {
    for seed in 0..100 {
        let events = Events::default();
        events.during(|| {
            let world = World::over(Stepped::new(true), |_| {});
            let old = world.signed_in("ann");
            let new = world.ask(with(&old).does(Change::Rotate)).cookie.given();
            world.ask(with(&new));
            let at = after(GRACE);
            let requests = [with(&old).at(at), with(&old).at(at), with(&new).at(at).does(Change::Rotate)];
            let answers = world.race(&mut Schedule::seeded(seed), requests);
            assert_eq!((&answers[0].user, &answers[1].user), (&None, &None), "seed {seed}");
            for id in [Some(new.clone()), answers[2].cookie.kept(Some(&new))].into_iter().flatten() {
                assert_eq!(world.user_of(&id, at), None, "seed {seed}");
            }
            assert_eq!(world.sessions_of("ann"), 0, "seed {seed}");
        });
        assert_eq!(events.of("theft_suspected"), 1, "seed {seed}");
    }
}

/// A thief would otherwise be given it, and neither he nor the browser could be told apart from then on.
#[test]
fn whatever_the_holder_of_the_old_id_does_in_the_grace_they_are_not_given_the_new_one() {
    let expiry = || Change::Expiry(super::super::Expiry::Sliding(Duration::from_secs(900)));
    for changes in [vec![], vec![count()], vec![Change::Rotate], vec![expiry()], vec![count(), Change::Rotate]] {
        let world = World::with(|session| session.save_every_request = true);
        let old = world.signed_in("ann");
        let new = world.ask(with(&old).does(Change::Rotate)).cookie.given();
        world.ask(with(&new).does(expiry()));
        let mut request = with(&old).at(after(GRACE - 1));
        request.changes = changes.clone();
        let answer = world.ask(request);
        assert_eq!((answer.user.as_deref(), answer.cookie), (Some("ann"), Cookie::Keep), "{changes:?}");
        let counted = json!({"n": 1});
        assert_eq!(world.data_of(&new), if changes.contains(&count()) { counted } else { json!({}) });
    }
}

#[test]
fn the_old_id_after_sign_in_is_nobodys_and_within_the_grace_no_response_touches_the_cookie() {
    for before in [None, Some("ann")] {
        let world = World::new();
        let old = before.map_or_else(|| world.anonymous(), |user| world.signed_in(user));
        let new = world.ask(with(&old).does(sign_in("ann"))).cookie.given();
        for change in [count(), Change::Rotate, Change::Flush, Change::RevokeOthers, Change::Clear] {
            let answer = world.ask(with(&old).at(after(GRACE - 1)).does(change.clone()));
            assert_eq!((answer.user, answer.cookie), (None, Cookie::Keep), "{change:?}");
        }
        assert_eq!(world.ask(with(&old).at(after(GRACE - 1))).cookie, Cookie::Keep);
        let late = world.ask(with(&old).at(after(GRACE)));
        assert_eq!((late.user, late.cookie), (None, Cookie::Delete));
        assert_eq!(world.user_of(&new, after(GRACE)).as_deref(), Some("ann"), "all that is nothing to the new one");
    }
}

#[test]
fn a_touch_on_its_way_does_not_prolong_the_grace_after_sign_in() {
    let world = World::with(|session| session.save_every_request = true);
    let old = world.anonymous();
    let mut race = Race::new(&world.store);
    let touch = race.enter(world.serve(with(&old).at(after(1))));
    race.turn(touch);
    race.turn(touch);
    world.ask(with(&old).does(sign_in("ann")));
    race.finish(touch);
    assert_eq!(world.ask(with(&old).at(after(GRACE))).cookie, Cookie::Delete);
}

#[test]
fn a_stolen_id_of_before_the_sign_in_ends_nothing_after_it() {
    let events = Events::default();
    events.during(|| {
        let world = World::new();
        let first = world.anonymous();
        let second = world.ask(with(&first).does(Change::Rotate)).cookie.given();
        let third = world.ask(with(&second).does(sign_in("ann"))).cookie.given();
        assert_eq!(world.user_of(&first, after(GRACE)), None);
        assert_eq!(world.user_of(&third, after(GRACE)).as_deref(), Some("ann"));
    });
}

#[test]
fn when_the_app_fails_the_rotation_it_asked_for_is_dropped_and_an_end_is_not() {
    let world = World::new();
    let id = world.signed_in("ann");
    assert_eq!(world.ask(with(&id).does(Change::Rotate).fails()).cookie, Cookie::Keep);
    assert_eq!(world.ask(with(&id).at(after(DUE)).fails()).cookie, Cookie::Keep, "nor is it the time to rotate");
    let new = world.ask(with(&id).at(after(DUE)).does(Change::RevokeOthers).fails()).cookie.given();
    assert_eq!(world.user_of(&new, after(DUE)).as_deref(), Some("ann"));
    assert_eq!(world.ask(with(&new).at(after(DUE)).does(Change::Flush).fails()).cookie, Cookie::Delete);
    assert_eq!(world.user_of(&new, after(DUE)), None);
}

/// The second click comes with the id from before the sign-in.
#[test]
fn a_sign_in_form_may_be_sent_in_twice_and_its_page_takes_no_cookie_away() {
    let world = World::new();
    let open = |id: &str, at| {
        let mut headers = HeaderMap::new();
        headers.append("cookie", format!("sessionid={id}").parse().unwrap());
        finish(world.manager.open(&headers, &Recall::default(), [192, 0, 2, 1].into(), at)).unwrap()
    };
    let visit = |at| Visit { now: at, address: [192, 0, 2, 1].into(), agent: None, https: true };
    let id = world.anonymous();
    let secret = open(&id, START).csrf().copied();
    world.ask(with(&id).does(sign_in("ann")));

    let mut again = open(&id, after(1));
    assert_eq!(again.csrf().copied(), secret);
    assert_eq!(Some(again.csrf_or_begin(after(1)).unwrap()), secret);
    let committed = finish(world.manager.commit(again, visit(after(1)), StatusCode::OK)).unwrap();
    assert!(committed.set_cookie.is_empty());

    let second = world.ask(with(&id).at(after(1)).does(sign_in("ann"))).cookie.given();
    assert_eq!(world.data_of(&second), json!({"born": true}));
    assert_ne!(open(&second, after(1)).csrf().copied(), secret);
}

#[test]
fn a_browser_keeps_a_living_cookie_in_whatever_order_the_responses_of_a_rotation_arrive() {
    for seed in 0..100 {
        let world = World::over(Stepped::new(true), |_| {});
        let id = world.signed_in("ann");
        let requests = [with(&id), with(&id).does(count()), with(&id).does(Change::Rotate), with(&id)];
        let early = world.ask(with(&id).does(count())).cookie;
        let requests = requests.map(|request| request.at(after(DUE)));
        let mut answers = world.race(&mut Schedule::seeded(seed), requests);
        // One was answered before it was time, and is the slowest on its way.
        answers[3].cookie = early;
        for order in orders_of_four() {
            let kept = arrived(&id, &answers, order);
            assert_eq!(world.user_of(&kept, after(DUE)).as_deref(), Some("ann"), "seed {seed}, {order:?}");
        }
    }
}

#[test]
fn a_browser_keeps_the_cookie_of_its_sign_in_in_whatever_order_late_anonymous_responses_arrive() {
    for seed in 0..200 {
        let world = World::over(Stepped::new(true), |_| {});
        let id = world.anonymous();
        let late = world.race(&mut Schedule::seeded(seed), [with(&id).does(sign_in("ann")), with(&id), with(&id)]);
        let mut answers = late;
        // This one has found the session signed in.
        answers.push(world.ask(with(&id).does(count())));
        for order in orders_of_four() {
            let kept = arrived(&id, &answers, order);
            assert_eq!(kept, answers[0].cookie.given(), "seed {seed}, {order:?}");
        }
    }
}

/// When a write or a rotation comes first, and its response last, the browser ends with an id of before the sign-in:
/// that one must not lead to the identity, so there is nothing for it but to sign in again. Nothing else goes wrong.
#[test]
fn only_a_cookie_that_sign_in_overtakes_on_the_way_to_the_browser_costs_the_sign_in() {
    for change in [Change::Rotate, count()] {
        let mut overtaken = 0;
        for seed in 0..200 {
            let world = World::over(Stepped::new(true), |_| {});
            let id = world.anonymous();
            let requests = [with(&id).does(sign_in("ann")), with(&id).does(change.clone()), with(&id), with(&id)];
            let answers = world.race(&mut Schedule::seeded(seed), requests);
            for order in orders_of_four() {
                let kept = arrived(&id, &answers, order);
                let place = |number| order.iter().position(|at| *at == number);
                let was_overtaken = (1..4).any(|n| answers[n].cookie != Cookie::Keep && place(n) > place(0));
                overtaken += usize::from(was_overtaken);
                let answer = world.ask(with(&kept).at(after(1)));
                let expected = if was_overtaken { None } else { Some("ann") };
                assert_eq!((answer.user.as_deref(), answer.cookie), (expected, Cookie::Keep), "seed {seed}, {order:?}");
            }
            assert_eq!(world.user_of(&answers[0].cookie.given(), after(1)).as_deref(), Some("ann"));
        }
        assert!(overtaken > 0);
    }
}

/// What a browser that had `id` holds when the answers have arrived in this order.
fn arrived(id: &str, answers: &[Answer], order: [usize; 4]) -> String {
    let mut kept = Some(id.to_owned());
    for at in order {
        kept = answers[at].cookie.kept(kept.as_deref());
    }
    kept.expect("a cookie was taken away")
}

fn orders_of_four() -> impl Iterator<Item = [usize; 4]> {
    let all = (0..256).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3]);
    all.filter(|order| (0..4).all(|n| order.contains(&n)))
}

/// The security events that were logged.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    pub fn during<T>(&self, what: impl FnOnce() -> T) -> T {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(self.clone()), what)
    }

    pub fn of(&self, name: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|event| *event == name).count()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Name<'a>(&'a Events);
        impl VisitFields for Name<'_> {
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "event" {
                    self.0.0.lock().unwrap().push(value.to_owned());
                }
            }
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
        }
        event.record(&mut Name(self));
    }
}
