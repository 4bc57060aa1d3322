//! The limit of sessions per user: at one gateway, and at several that share a store, in every order of their calls.

use super::super::interleave::in_every_order;
use super::*;
use crate::config::schema::OnLimit;

const POLICIES: [OnLimit; 2] = [OnLimit::EvictOldest, OnLimit::Deny];

/// So many gateways on one store.
fn gateways<const N: usize>(most: u32, on_limit: OnLimit) -> [World; N] {
    let store = Stepped::new(false);
    std::array::from_fn(|_| {
        World::over(Arc::clone(&store), |session| {
            session.max_per_user = Some(most);
            session.on_limit = on_limit;
        })
    })
}

/// One request at each gateway, which take turns.
fn race_at<const N: usize>(schedule: &mut Schedule, worlds: &[World; N], requests: [Request; N]) -> [Answer; N] {
    let mut race = Race::new(&worlds[0].store);
    for (world, request) in worlds.iter().zip(requests) {
        race.enter(world.serve(request));
    }
    race.run(schedule).try_into().unwrap()
}

fn remembered(user: &str) -> Change {
    Change::SignIn { identity: Box::new(Identity::named(user)), remember: true, vault: None }
}

/// Those of the ids with which somebody is signed in.
fn living<'a>(world: &World, ids: impl IntoIterator<Item = &'a String>) -> usize {
    ids.into_iter().filter(|id| world.user_of(id, START).is_some()).count()
}

fn given(answers: &[Answer]) -> Vec<String> {
    answers.iter().filter_map(|answer| answer.cookie.kept(None)).collect()
}

#[test]
fn of_two_sign_ins_at_two_gateways_as_many_stay_as_there_is_room_for() {
    for (on_limit, most, before) in POLICIES.into_iter().flat_map(|on| [(on, 1, 0), (on, 2, 1), (on, 2, 0), (on, 2, 2)])
    {
        let orders = in_every_order(|schedule| {
            let worlds = gateways(most, on_limit);
            let old: Vec<_> = (0..before).map(|_| worlds[0].signed_in("ann")).collect();
            let requests = [nobody().does(sign_in("ann")).at(after(1)), nobody().does(sign_in("ann")).at(after(1))];
            let answers = race_at(schedule, &worlds, requests);
            let admitted = answers.iter().filter(|answer| !answer.denied).count();
            let new = given(&answers);
            assert_eq!(new.len(), admitted);
            let left = usize::try_from(most).unwrap().min(before + 2);
            match on_limit {
                OnLimit::EvictOldest => {
                    assert_eq!((admitted, living(&worlds[1], &new)), (2, left.min(2)), "the old ones went first");
                }
                OnLimit::Deny => {
                    assert_eq!(admitted, left - before);
                    assert_eq!(living(&worlds[1], old.iter().chain(&new)), left);
                }
            }
            assert_eq!(worlds[0].sessions_of("ann"), left);
        });
        assert!(orders > 10, "{orders}");
    }
}

#[test]
fn of_many_sign_ins_at_three_gateways_as_many_stay_as_there_is_room_for() {
    for on_limit in POLICIES {
        for seed in 0..100 {
            let worlds: [World; 3] = gateways(2, on_limit);
            let mut race = Race::new(&worlds[0].store);
            for number in 0..12 {
                race.enter(worlds[number % 3].serve(nobody().does(sign_in("ann"))));
            }
            let answers = race.run(&mut Schedule::seeded(seed));
            let ids = given(&answers);
            assert_eq!(ids.len(), if on_limit == OnLimit::Deny { 2 } else { 12 }, "seed {seed}");
            assert_eq!((living(&worlds[0], &ids), worlds[0].sessions_of("ann")), (2, 2), "seed {seed}");
        }
    }
}

#[test]
fn a_sign_in_that_another_gateways_leaves_no_room_for_changes_nothing() {
    in_every_order(|schedule| {
        let worlds = gateways(1, OnLimit::Deny);
        let ids = [worlds[0].anonymous(), worlds[1].anonymous()];
        let requests = ids.each_ref().map(|id| with(id).does(sign_in("ann")).does(set("late")));
        let answers = race_at(schedule, &worlds, requests);
        let denied = answers.iter().position(|answer| answer.denied).unwrap();
        assert_eq!(answers[denied].cookie, Cookie::Keep);
        let later = worlds[denied].ask(with(&ids[denied]));
        assert_eq!((later.user, later.cookie), (None, Cookie::Keep));
        assert_eq!(later.data, serde_json::json!({"born": true}));
        assert_eq!(worlds[0].user_of(&answers[1 - denied].cookie.given(), START).as_deref(), Some("ann"));
        assert_eq!(worlds[0].count(), 4, "two sessions, the way to one of them, and the counter");
    });
}

/// For a moment the user's list has both its old and its new id.
#[test]
fn a_session_that_gets_a_new_id_at_one_gateway_counts_once_at_the_other() {
    for change in [sign_in("ann"), remembered("ann"), Change::Rotate, Change::RevokeOthers] {
        for on_limit in POLICIES {
            in_every_order(|schedule| {
                let worlds = gateways(2, on_limit);
                let id = worlds[0].signed_in("ann");
                let requests =
                    [with(&id).does(change.clone()).at(after(1)), nobody().does(sign_in("ann")).at(after(1))];
                let answers = race_at(schedule, &worlds, requests);
                assert!(!answers.iter().any(|answer| answer.denied), "{change:?}");
                let living = living(&worlds[1], &given(&answers));
                // Whoever ends the others ends a sign-in that came before.
                let others_end = change == Change::RevokeOthers && living == 1;
                assert!(living == 2 || others_end, "{change:?}");
                assert_eq!(worlds[0].sessions_of("ann"), living, "{change:?}");
            });
        }
    }
}

#[test]
fn a_sign_in_that_is_sent_twice_to_two_gateways_counts_twice_and_no_more() {
    for on_limit in POLICIES {
        // There are too many orders for every run.
        for seed in 0..1000 {
            let (worlds, schedule) = (gateways(1, on_limit), &mut Schedule::seeded(seed));
            let id = worlds[0].signed_in("ann");
            let requests =
                [with(&id).does(sign_in("ann")).at(after(1)), with(&id).does(remembered("ann")).at(after(1))];
            let answers = race_at(schedule, &worlds, requests);
            assert_eq!((living(&worlds[0], &given(&answers)), worlds[0].sessions_of("ann")), (1, 1), "seed {seed}");
        }
    }
}

#[test]
fn a_gateway_that_dies_at_a_sign_in_leaves_no_more_sessions_than_allowed() {
    for on_limit in POLICIES {
        for turns in 0..12 {
            let worlds: [World; 2] = gateways(1, on_limit);
            let mut race = Race::new(&worlds[0].store);
            let dying = race.enter(worlds[0].serve(nobody().does(sign_in("ann"))));
            for _ in 0..turns {
                race.turn(dying);
            }
            let other = race.enter(worlds[1].serve(nobody().does(sign_in("ann")).at(after(1))));
            race.finish(other);
            let answer = race.take(other).unwrap();
            drop(race);
            assert_eq!(worlds[1].sessions_of("ann"), 1, "{turns}");
            if !answer.denied {
                assert_eq!(worlds[1].user_of(&answer.cookie.given(), after(1)).as_deref(), Some("ann"), "{turns}");
            }
            assert!(on_limit == OnLimit::Deny || !answer.denied);
        }
    }
}

#[test]
fn a_user_without_sessions_signs_in_long_after_the_counter_was_swept() {
    let worlds: [World; 2] = gateways(1, OnLimit::Deny);
    let id = worlds[0].signed_in("ann");
    worlds[1].ask(with(&id).does(Change::Flush));
    let later = START.plus(Duration::from_secs(30 * 86_400));
    finish(worlds[0].manager.clear_expired(later)).unwrap();
    assert_eq!(worlds[0].count(), 0);
    let again = worlds[1].ask(nobody().does(sign_in("ann")).at(later)).cookie.given();
    assert_eq!(worlds[0].user_of(&again, later).as_deref(), Some("ann"));
}

#[test]
fn no_more_sessions_than_allowed_are_left_of_200_parallel_sign_ins() {
    for (on_limit, admitted) in [(OnLimit::EvictOldest, 200), (OnLimit::Deny, 3)] {
        for seed in 0..2 {
            let world = World::over(Stepped::new(true), |session| {
                session.max_per_user = Some(3);
                session.on_limit = on_limit;
            });
            let sign_ins = (0..200).map(|_| nobody().does(sign_in("ann")));
            let answers = world.race(&mut Schedule::seeded(seed), sign_ins);
            assert_eq!(answers.iter().filter(|answer| !answer.denied).count(), admitted);
            assert_eq!(world.sessions_of("ann"), 3);
            let living = answers.iter().filter_map(|answer| answer.cookie.kept(None));
            assert_eq!(living.filter(|id| world.user_of(id, START).is_some()).count(), 3);
        }
    }
}

#[test]
fn a_session_that_is_being_rotated_counts_once() {
    for on_limit in [OnLimit::EvictOldest, OnLimit::Deny] {
        in_every_order(|schedule| {
            let world = World::with(|session| {
                session.max_per_user = Some(2);
                session.on_limit = on_limit;
            });
            let id = world.signed_in("ann");
            let answers = world.race(schedule, [with(&id).does(Change::Rotate), nobody().does(sign_in("ann"))]);
            for answer in answers {
                assert!(!answer.denied);
                assert_eq!(world.user_of(&answer.cookie.given(), START).as_deref(), Some("ann"));
            }
            assert_eq!(world.sessions_of("ann"), 2);
        });
    }
}

#[test]
fn sessions_that_have_expired_are_not_counted() {
    let world = World::with(|session| {
        session.max_per_user = Some(1);
        session.on_limit = OnLimit::Deny;
        session.idle_timeout = Some(schema::Duration::seconds(3600));
    });
    world.signed_in("ann");
    assert!(world.ask(nobody().does(sign_in("ann")).at(after(3599))).denied);
    assert!(!world.ask(nobody().does(sign_in("ann")).at(after(3600))).denied);
}
