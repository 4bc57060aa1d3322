//! Two or more requests at once, in every order in which the store can see their calls.

use serde_json::json;

use super::super::super::changes::Expiry;
use super::super::interleave::{Did, in_every_order};
use super::*;

#[test]
fn four_parallel_writers_all_survive() {
    for seed in 0..500 {
        let world = World::new();
        let id = world.anonymous();
        let writers = ["a", "b", "c", "d"].map(|key| with(&id).does(set(key)).does(count()));
        world.race(&mut Schedule::seeded(seed), writers);
        let expected = json!({"born": true, "a": true, "b": true, "c": true, "d": true, "n": 4});
        assert_eq!(sorted(world.data_of(&id)), sorted(expected), "seed {seed}");
    }
}

#[test]
fn two_parallel_writers_survive_in_every_order() {
    let orders = in_every_order(|schedule| {
        let world = World::new();
        let id = world.anonymous();
        world.race(schedule, [with(&id).does(set("a")).does(count()), with(&id).does(set("b")).does(count())]);
        assert_eq!(sorted(world.data_of(&id)), sorted(json!({"born": true, "a": true, "b": true, "n": 2})));
    });
    assert!(orders > 10, "{orders}");
}

#[test]
fn a_slow_reader_with_save_every_request_erases_nothing() {
    in_every_order(|schedule| {
        let world = World::with(|session| session.save_every_request = true);
        let id = world.anonymous();
        let answers = world.race(schedule, [with(&id).at(after(5)), with(&id).does(set("a")).does(count())]);
        assert!(answers.iter().all(|answer| answer.cookie == Cookie::Give(id.clone())), "both renew the cookie");
        assert_eq!(sorted(world.data_of(&id)), sorted(json!({"born": true, "a": true, "n": 1})));
    });
}

#[test]
fn who_signs_out_during_a_write_stays_signed_out() {
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.signed_in("ann");
        world.race(schedule, [with(&id).does(set("a")), with(&id).does(Change::Flush)]);
        assert_eq!(world.user_of(&id, START), None);
        assert_eq!(world.sessions_of("ann"), 0);
    });
}

#[test]
fn who_signs_out_during_a_rotation_stays_signed_out_under_both_ids() {
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.signed_in("ann");
        let answers = world.race(schedule, [with(&id).does(Change::Rotate), with(&id).does(Change::Flush)]);
        for id in std::iter::once(id).chain(answers[0].cookie.kept(None)) {
            assert_eq!(world.user_of(&id, START), None);
        }
        assert_eq!(world.count(), 0, "neither session nor alias is left");
    });
}

#[test]
fn who_signs_out_while_others_write_and_rotate_stays_signed_out() {
    for seed in 0..1000 {
        let world = World::over(Stepped::new(true), |_| {});
        let id = world.signed_in("ann");
        let requests = [
            with(&id).does(Change::Rotate),
            with(&id).does(set("a")),
            with(&id).does(Change::Flush),
            with(&id).does(Change::Rotate).does(set("b")),
        ];
        let answers = world.race(&mut Schedule::seeded(seed), requests);
        for id in answers.iter().filter_map(|answer| answer.cookie.kept(Some(&id))) {
            assert_eq!(world.user_of(&id, START), None, "seed {seed}");
        }
        assert_eq!(world.sessions_of("ann"), 0, "seed {seed}");
    }
}

#[test]
fn who_signs_out_during_many_rotations_stays_signed_out() {
    let world = World::new();
    let id = world.signed_in("ann");
    let mut race = Race::new(&world.store);
    let sign_out = race.enter(world.serve(with(&id).does(Change::Flush)));
    race.turn(sign_out);
    race.turn(sign_out);
    let mut newest = id;
    for _ in 0..20 {
        newest = world.ask(with(&newest).does(Change::Rotate)).cookie.given();
    }
    race.finish(sign_out);
    assert_eq!(world.user_of(&newest, START), None);
    assert_eq!(world.sessions_of("ann"), 0);
}

#[test]
fn a_slow_write_follows_many_rotations() {
    let world = World::new();
    let id = world.signed_in("ann");
    let mut race = Race::new(&world.store);
    let slow = race.enter(world.serve(with(&id).does(set("slow"))));
    race.turn(slow);
    race.turn(slow);
    let mut newest = id;
    for _ in 0..20 {
        newest = world.ask(with(&newest).does(Change::Rotate)).cookie.given();
    }
    race.finish(slow);
    assert_eq!(world.data_of(&newest), json!({"slow": true}));
}

#[test]
fn two_parallel_rotations_give_one_new_id() {
    let asked = |id: &str| with(id).does(Change::Rotate);
    let due = |id: &str| with(id).at(after(3600));
    let one_of_each = [asked as fn(&str) -> Request, due];
    for first in one_of_each {
        for second in one_of_each {
            in_every_order(|schedule| {
                let world = World::new();
                let id = world.signed_in("ann");
                let answers = world.race(schedule, [first(&id).at(after(3600)), second(&id).at(after(3600))]);
                assert_eq!(answers[0].cookie, answers[1].cookie);
                assert_ne!(answers[0].cookie.given(), id);
                assert_eq!(world.user_of(&answers[0].cookie.given(), after(3600)).as_deref(), Some("ann"));
                assert_eq!((world.sessions_of("ann"), world.count()), (1, 2), "a session and an alias");
            });
        }
    }
}

#[test]
fn a_write_that_meets_a_rotation_is_in_the_rotated_session() {
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.signed_in("ann");
        let answers = world.race(schedule, [with(&id).does(Change::Rotate), with(&id).does(count())]);
        assert_eq!(world.data_of(&answers[0].cookie.given()), json!({"n": 1}));
    });
}

#[test]
fn what_an_anonymous_holder_writes_reaches_the_signed_in_session_only_if_it_came_first() {
    let mut landed = [0, 0];
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.anonymous();
        world.store.take_effects();
        let answers = world.race(schedule, [with(&id).does(sign_in("ann")), with(&id).does(set("late"))]);
        let effects = world.store.take_effects();
        let update_by =
            |number| effects.iter().position(|effect| effect.by == number && matches!(effect.did, Did::Update(..)));
        let (replaced, written) = (update_by(0).unwrap(), update_by(1));
        let came_first = written.is_some();
        assert!(written.is_none_or(|written| written < replaced), "after the sign-in there is nothing to write to");
        landed[usize::from(came_first)] += 1;

        let new = answers[0].cookie.given();
        assert_eq!(world.data_of(&new).get("late").is_some(), came_first);
        assert!(world.data_of(&new).get("born").is_some());
        assert_eq!(answers[1].user, None);
        match &answers[1].cookie {
            Cookie::Keep => assert!(!came_first),
            Cookie::Give(given) => assert!(came_first && *given == id, "its own id again"),
            Cookie::Delete => panic!("the new cookie would be wiped"),
        }
        assert_eq!(world.user_of(&id, START), None);
    });
    assert!(landed.iter().all(|orders| *orders > 0), "{landed:?}");
}

#[test]
fn a_double_click_on_sign_in_signs_in_with_the_data_whichever_response_comes_last() {
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.anonymous();
        let answers = world.race(schedule, [with(&id).does(sign_in("ann")), with(&id).does(sign_in("ann"))]);
        for answer in answers {
            let id = answer.cookie.given();
            assert_eq!(world.user_of(&id, START).as_deref(), Some("ann"));
            assert_eq!(world.data_of(&id), json!({"born": true}));
        }
        assert_eq!(world.user_of(&id, START), None);
    });
}

#[test]
fn who_signs_in_as_somebody_else_at_once_gets_nothing_of_the_first() {
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.signed_in("ann");
        world.ask(with(&id).does(set("anns")));
        let answers = world.race(schedule, [with(&id).does(sign_in("bob")), with(&id).does(sign_in("eve"))]);
        for (answer, user) in answers.iter().zip(["bob", "eve"]) {
            assert_eq!(world.user_of(&answer.cookie.given(), START).as_deref(), Some(user));
            assert_eq!(world.data_of(&answer.cookie.given()), json!({}));
        }
        assert_eq!(world.sessions_of("ann"), 0);
    });
}

#[test]
fn an_app_that_signs_in_twice_at_once_signs_in_once() {
    let says_ann = || Change::AppSignIn { identity: Box::new(Identity::named("ann")), vault: None };
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.anonymous();
        let answers = world.race(schedule, [with(&id).does(says_ann()), with(&id).does(says_ann())]);
        let given: Vec<_> = answers.iter().filter_map(|answer| answer.cookie.kept(None)).collect();
        assert_eq!(given.len(), 1, "the other response must not take it away");
        assert_eq!(world.user_of(&given[0], START).as_deref(), Some("ann"));
        assert_eq!(world.sessions_of("ann"), 1);
    });
}

/// Whoever is second wins: either the sign-in came after the revocation, or it was revoked.
#[test]
fn a_revocation_ends_what_was_there_when_it_looked() {
    for change in [sign_in("ann"), Change::Rotate, set("a"), Change::RevokeOthers] {
        let signs_in = matches!(change, Change::SignIn { .. });
        in_every_order(|schedule| {
            let world = World::new();
            let id = world.signed_in("ann");
            world.store.take_effects();
            let mut race = Race::new(&world.store);
            let request = with(&id).does(change.clone());
            race.enter(async { Some(world.serve(request).await) });
            race.enter(async { world.manager.revoke_user("ann").await.map(|_| None).unwrap() });
            let answers = race.run(schedule);
            let given = answers[0].as_ref().unwrap().cookie.kept(Some(&id)).unwrap_or_default();
            let lives = Id::parse(given.as_bytes()).is_some() && world.user_of(&given, START).is_some();
            assert!(!lives || signs_in, "{change:?}");
            assert_eq!(world.sessions_of("ann"), usize::from(lives), "{change:?}");
        });
    }
}

#[test]
fn what_is_told_once_is_told_to_one_of_two_readers() {
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.ask(nobody().does(Change::Flash("note".into(), "saved".into()))).cookie.given();
        let answers = world.race(schedule, [with(&id).taking_flash(), with(&id).taking_flash()]);
        assert_eq!(told(&answers), 1);
        assert_eq!(world.ask(with(&id).taking_flash()).flash, json!({}));
    });
}

#[test]
fn what_is_told_once_is_not_lost_over_a_rotation_or_a_write() {
    for change in [Change::Rotate, set("a"), sign_in("ann"), Change::Clear] {
        in_every_order(|schedule| {
            let world = World::new();
            let id = world.signed_in("ann");
            world.ask(with(&id).does(Change::Flash("note".into(), "saved".into())));
            let mut answers = world.race(schedule, [with(&id).taking_flash(), with(&id).does(change.clone())]);
            let last = answers[1].cookie.given();
            answers.push(world.ask(with(&last).taking_flash()));
            assert_eq!(told(&answers), 1, "{change:?}");
        });
    }
}

#[test]
fn an_expiry_that_meets_a_write_or_a_rotation_ends_the_session_for_good() {
    let idle = 7200;
    for change in [set("a"), Change::Rotate] {
        in_every_order(|schedule| {
            let world = World::with(|session| session.idle_timeout = Some(schema::Duration::seconds(idle)));
            let id = world.signed_in("ann");
            // The one came just in time, and is served while the other finds it too late.
            let requests = [with(&id).at(after(idle - 1)).does(change.clone()), with(&id).at(after(idle))];
            let answers = world.race(schedule, requests);
            let ids = answers.iter().filter_map(|answer| answer.cookie.kept(Some(&id)));
            let living = ids.filter(|id| world.user_of(id, after(idle)).is_some()).count();
            assert_eq!(living > 0, world.sessions_of("ann") == 1);
            if answers[1].cookie == Cookie::Delete {
                assert_eq!(world.sessions_of("ann"), 0);
            }
        });
    }
}

/// A request that took an hour must not make the session look an hour older than it is.
#[test]
fn what_a_slow_request_writes_does_not_bring_the_sweep_forward() {
    let world = World::with(|session| session.idle_timeout = Some(schema::Duration::seconds(7200)));
    let id = world.signed_in("ann");
    let mut race = Race::new(&world.store);
    let slow = race.enter(world.serve(with(&id).does(set("a"))));
    race.turn(slow);
    race.turn(slow);
    world.ask(with(&id).at(after(7000)));
    race.finish(slow);
    assert_eq!(finish(world.manager.clear_expired(after(8000))).unwrap(), 0);
    assert_eq!(world.user_of(&id, after(8000)).as_deref(), Some("ann"));
}

/// However often it is applied again because others write first.
#[test]
fn data_that_is_too_large_is_counted_once_for_each_request() {
    let world = World::with(|session| session.max_data_size = schema::Size::kib(1));
    let id = world.anonymous();
    let mut race = Race::new(&world.store);
    let large = Change::Set("large".into(), "x".repeat(2000).into());
    let slow = race.enter(world.serve(with(&id).does(large).does(Change::Expiry(Expiry::Browser))));
    race.turn(slow);
    race.turn(slow);
    for key in ["a", "b", "c"] {
        world.ask(with(&id).does(set(key)));
        race.turn(slow);
        race.turn(slow);
    }
    race.finish(slow);
    assert_eq!(world.manager.counters().too_large(), 1);
    assert!(world.data_of(&id).get("large").is_none());
    let conflicts = world.store.take_effects().iter().filter(|effect| matches!(effect.did, Did::Conflict)).count();
    assert_eq!(conflicts, 3);
}

/// Settling a rotation, and telling what is told once, are no activity; but a touch may come in between.
#[test]
fn what_is_no_activity_does_not_bring_the_sweep_forward_either() {
    for seed in 0..300 {
        let world = World::with(|session| session.idle_timeout = Some(schema::Duration::seconds(7200)));
        let id = world.signed_in("ann");
        let new = world.ask(with(&id).does(Change::Rotate).does(Change::Flash("a".into(), 1.into()))).cookie.given();
        let requests = [with(&new).at(after(7000)), with(&new).taking_flash().at(after(7000))];
        world.race(&mut Schedule::seeded(seed), requests);
        finish(world.manager.clear_expired(after(8000))).unwrap();
        assert_eq!(world.user_of(&new, after(8000)).as_deref(), Some("ann"), "seed {seed}");
    }
}

/// The successor of a rotation that another was faster than stands in the user's list for a moment.
#[test]
fn ending_a_rotation_that_was_beaten_leaves_the_way_of_the_one_that_won() {
    in_every_order(|schedule| {
        let world = World::new();
        let id = world.signed_in("ann");
        let answers = world.race(schedule, [with(&id).does(Change::RevokeOthers), with(&id).does(Change::Rotate)]);
        assert_ne!(world.ask(with(&id)).cookie, Cookie::Delete, "it would take the new one away");
        assert_eq!(world.user_of(&answers[0].cookie.given(), START).as_deref(), Some("ann"));
    });
}

fn told(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.flash == json!({"note": "saved"})).count()
}

fn sorted(data: Value) -> Vec<(String, Value)> {
    let mut data: Vec<_> = data.as_object().cloned().unwrap_or_default().into_iter().collect();
    data.sort_by(|a, b| a.0.cmp(&b.0));
    data
}
