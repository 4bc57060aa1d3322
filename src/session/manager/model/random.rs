//! Thousands of random plays: browsers, a thief and an operator, requests that take turns at the store, responses
//! that come late, in any order or never, and a clock that jumps.

use super::shadow::{IDLE_TIMEOUT, Shadow, assert_kept, mark};
use super::*;
use crate::session::manager::interleave::{Did, Effect};
use crate::store::Entry;

/// How many plays `cargo test` makes.
const PLAYS: u64 = 10_000;

const PARTS: u64 = 4;

const USERS: [&str; 2] = ["ann", "bob"];
const BROWSERS: usize = 3;
const MOST_AT_ONCE: usize = 4;
const MOST_REQUESTS: usize = 14;

#[test]
fn in_ten_thousand_random_plays_no_update_is_lost_and_nothing_comes_back() {
    // Each play has its own world, and its own order of everything; side by side they are over sooner.
    std::thread::scope(|scope| {
        for part in 0..PARTS {
            scope.spawn(move || (part..PLAYS).step_by(PARTS as usize).for_each(play));
        }
    });
}

fn play(seed: u64) {
    let world = World::over(Stepped::new(true), |session| {
        session.idle_timeout = Some(schema::Duration::seconds(IDLE_TIMEOUT.as_secs()));
        session.save_every_request = seed.is_multiple_of(4);
    });
    let mut play = Play::new(&world, seed);
    for _ in 0..120 {
        play.go_on();
    }
    play.come_to_rest();
    play.try_every_id();
}

#[derive(Clone)]
enum Sent {
    Request { from: Option<usize>, request: Request },
    Revocation,
}

enum Done {
    Answer(Answer),
    Revoked,
}

struct Play<'a> {
    world: &'a World,
    race: Race<'a, Done>,
    schedule: Schedule,
    now: u64,
    browsers: [Option<String>; BROWSERS],
    /// Every id that was ever in a response.
    issued: Vec<String>,
    sent: Vec<Sent>,
    /// Responses on their way.
    under_way: Vec<(usize, Answer)>,
    shadow: Shadow,
    journal: Journal,
}

impl<'a> Play<'a> {
    fn new(world: &'a World, seed: u64) -> Self {
        Self {
            world,
            race: Race::new(&world.store),
            schedule: Schedule::seeded(seed),
            now: 0,
            browsers: Default::default(),
            issued: Vec::new(),
            sent: Vec::new(),
            under_way: Vec::new(),
            shadow: Shadow::default(),
            journal: Journal { seed, lines: Vec::new(), keys: Vec::new() },
        }
    }

    fn go_on(&mut self) {
        let running = self.race.running();
        match self.schedule.choose(100) {
            0..25 if running.len() < MOST_AT_ONCE && self.sent.len() < MOST_REQUESTS => self.send(),
            25..35 => self.deliver(),
            35..38 => self.move_clock(),
            38..39 => self.sweep(),
            _ if running.is_empty() => {}
            _ => {
                let number = running[self.schedule.choose(running.len())];
                self.turn(number);
            }
        }
    }

    fn come_to_rest(&mut self) {
        while let [first, ..] = self.race.running()[..] {
            let running = self.race.running();
            let number = running[self.schedule.choose(running.len())];
            let number = if self.schedule.percent(50) { first } else { number };
            self.turn(number);
        }
        self.shadow.at_rest(&self.world.store, &self.issued);
    }

    /// Each id that was ever given out, and one that was not: they must not lead where they should not.
    fn try_every_id(&mut self) {
        let forged = "f".repeat(32);
        for id in self.issued.clone().into_iter().chain([forged.clone()]) {
            let request = with(&id).at(after(self.now));
            self.enter(Sent::Request { from: None, request });
            self.come_to_rest();
        }
        assert!(self.world.store.peek(key_of(&forged)).is_none(), "an id is adopted");
    }

    fn send(&mut self) {
        if self.schedule.percent(5) {
            return self.enter(Sent::Revocation);
        }
        let from = self.schedule.choose(BROWSERS);
        let is_thief = self.schedule.percent(7) && !self.issued.is_empty();
        let id = match is_thief {
            true => Some(self.issued[self.schedule.choose(self.issued.len())].clone()),
            false => self.browsers[from].clone(),
        };
        let mut request = Request { id, ..nobody() }.at(after(self.now));
        if self.schedule.percent(50) {
            request.changes = vec![count(), set(&mark(self.sent.len()))];
        }
        request.changes.extend(self.something());
        if self.schedule.percent(5) {
            request = request.fails();
        }
        self.enter(Sent::Request { from: (!is_thief).then_some(from), request });
    }

    fn something(&mut self) -> Option<Change> {
        let user = USERS[self.schedule.choose(USERS.len())];
        match self.schedule.choose(100) {
            0..50 => None,
            50..70 => Some(Change::Rotate),
            70..85 => Some(sign_in(user)),
            85..90 => Some(Change::AppSignIn { identity: Box::new(Identity::named(user)), vault: None }),
            90..97 => Some(Change::Flush),
            _ => Some(Change::RevokeOthers),
        }
    }

    fn enter(&mut self, sent: Sent) {
        let world = self.world;
        let number = match &sent {
            Sent::Request { request, .. } => {
                let request = request.clone();
                self.race.enter(async move { Done::Answer(world.serve(request).await) })
            }
            Sent::Revocation => self.race.enter(async move {
                world.manager.revoke_user(USERS[0]).await.unwrap();
                Done::Revoked
            }),
        };
        self.journal.lines.push(Line::Sent(number, sent.clone()));
        self.sent.push(sent);
    }

    fn turn(&mut self, number: usize) {
        self.race.turn(number);
        for effect in self.world.store.take_effects() {
            self.journal.lines.push(Line::Effect(effect.clone()));
            if let Did::Update(before, after) = &effect.did
                && let (Some(Stored::Session(before)), Some(Stored::Alias(alias))) =
                    (stored_in(before), stored_in(after))
                && let Some(successor) = self.world.store.peek(Key(alias.successor))
                && let Some(Stored::Session(record)) = stored_in(&successor)
            {
                assert_kept(before, record);
            }
            self.shadow.see(&effect);
        }
        match (self.race.take(number), &self.sent[number]) {
            (Some(Done::Answer(answer)), Sent::Request { from, request }) => {
                self.journal.lines.push(Line::Answered(number, answer.clone()));
                self.shadow.acknowledged(number, request, after(self.now), &answer);
                self.issued.extend(answer.cookie.kept(None));
                self.under_way.extend(from.map(|from| (from, answer)));
            }
            (Some(_), _) => self.shadow.revoked(number, None),
            (None, _) => {}
        }
    }

    /// One response arrives, or is lost.
    fn deliver(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let (browser, answer) = self.under_way.remove(self.schedule.choose(self.under_way.len()));
        if !self.schedule.percent(15) {
            self.browsers[browser] = answer.cookie.kept(self.browsers[browser].as_deref());
        }
    }

    fn move_clock(&mut self) {
        self.now += [1, 29, 31, 100, 3600, 2 * 3600][self.schedule.choose(6)];
        self.journal.lines.push(Line::Clock(self.now));
    }

    fn sweep(&mut self) {
        finish(self.world.manager.clear_expired(after(self.now))).unwrap();
        self.journal.lines.push(Line::Swept);
        self.shadow.swept(&self.world.store);
    }
}

/// What happened, shown when the play fails.
struct Journal {
    seed: u64,
    lines: Vec<Line>,
    /// In the order of their appearance, so that they have names.
    keys: Vec<Key>,
}

enum Line {
    Sent(usize, Sent),
    Effect(Effect),
    Answered(usize, Answer),
    Clock(u64),
    Swept,
}

impl Journal {
    fn told(&mut self, line: &Line) -> String {
        match line {
            Line::Sent(number, Sent::Revocation) => format!("request {number} revokes {}", USERS[0]),
            Line::Sent(number, Sent::Request { request, .. }) => {
                let key = request.id.as_ref().map_or_else(|| "nothing".into(), |id| self.name(key_of(id)));
                format!("request {number} comes with {key}: {:?} {}", request.changes, request.status)
            }
            Line::Effect(effect) => self.effect(effect),
            Line::Answered(number, answer) => {
                let cookie = match &answer.cookie {
                    Cookie::Give(id) => self.name(key_of(id)),
                    other => format!("{other:?}"),
                };
                format!("request {number} was {:?} and gets {cookie}", answer.user)
            }
            Line::Clock(now) => format!("it is {now}"),
            Line::Swept => "swept".into(),
        }
    }

    fn effect(&mut self, effect: &Effect) -> String {
        let key = self.name(effect.key);
        let did = match &effect.did {
            Did::Load(found) => format!("loads {}", self.content(found.as_ref())),
            Did::Create(entry) => format!("creates {}", self.content(Some(entry))),
            Did::Update(before, after) => format!("{} → {}", self.content(Some(before)), self.content(Some(after))),
            Did::Conflict => "is beaten".into(),
            Did::Touch => "touches".into(),
            Did::Delete(gone) => format!("deletes {}", self.content(gone.as_ref())),
            Did::List(listed) => format!("lists {}", listed.len()),
        };
        format!("  {} {key}: {did}", effect.by)
    }

    fn content(&mut self, entry: Option<&Arc<Entry>>) -> String {
        match entry.and_then(|entry| stored_in(entry)) {
            None => "nothing".into(),
            Some(Stored::Session(record)) => {
                let user = record.identity.as_ref().map(|identity| &identity.user);
                format!("session of {user:?} {}", record.data.text())
            }
            Some(Stored::Alias(alias)) => format!("alias of {} used {:?}", self.name(Key(alias.successor)), alias.used),
        }
    }

    fn name(&mut self, key: Key) -> String {
        let known = self.keys.iter().position(|known| *known == key);
        let place = known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        format!("k{place}")
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = std::mem::take(&mut self.lines);
            let lines: Vec<_> = lines.iter().map(|line| self.told(line)).collect();
            eprintln!("seed {}\n{}", self.seed, lines.join("\n"));
        }
    }
}
