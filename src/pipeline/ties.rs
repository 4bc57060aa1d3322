//! What stays open after its head has gone out, and ends with the session of whoever opened it: WebSockets, event
//! streams, downloads.
//!
//! One [`Ties`] for each worker. `pipeline` ties what a signed-in user opens; [`watch_over`] asks which of the sessions
//! still live. SECURITY: as many loads as sessions with something open, each twice a second: what ends a session
//! anywhere is noticed by every gateway that shares the store, without a message between them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, coop};
use tokio::time::MissedTickBehavior;

use super::Worker;
use crate::proxy::{Cutter, Tether};
use crate::session::Held;
use crate::store::Key;
use crate::telemetry::lasting::Kind;

/// What has ended is closed within a second.
const EVERY: Duration = Duration::from_millis(500);

/// So many questions to a store that is not near are under way at a time.
const ASKERS: usize = 16;

/// What is open in sessions.
///
/// PERF: nothing here is touched for what is answered whole, for strangers, or for downloads of public routes.
#[derive(Default)]
pub(super) struct Ties(RefCell<HashMap<(Key, IpAddr), Tied>>);

/// What is open in one session from one address.
struct Tied {
    held: Held,
    ends: Vec<End>,
}

struct End {
    cutter: Cutter,
    /// Whether what passes keeps the session alive.
    is_activity: bool,
}

impl Ties {
    /// Ties what is about to be open to the session.
    pub fn tie(&self, held: Held, kind: Kind, is_activity: bool) -> Tether {
        let (tether, cutter) = Tether::new(kind);
        self.put(Tied { held, ends: vec![End { cutter, is_activity }] });
        tether
    }

    /// Those of one session come together again when its id has been replaced.
    fn put(&self, tied: Tied) {
        let mut all = self.0.borrow_mut();
        match all.get_mut(&tied.held.mark()) {
            Some(known) => known.ends.extend(tied.ends),
            None => drop(all.insert(tied.held.mark(), tied)),
        }
    }

    fn take(&self) -> Vec<Tied> {
        let all = std::mem::take(&mut *self.0.borrow_mut());
        all.into_values().filter_map(Tied::still_open).collect()
    }
}

impl Tied {
    /// Without what has ended by itself; `None` when nothing is left.
    fn still_open(mut self) -> Option<Self> {
        self.ends.retain(|end| end.cutter.is_held());
        (!self.ends.is_empty()).then_some(self)
    }

    fn was_active(&self) -> bool {
        // Of all of them: what is asked is told once.
        self.ends.iter().filter(|end| end.cutter.take_moved() && end.is_activity).count() > 0
    }
}

/// Runs for ever: ends what was opened in a session that lives no more. One for each worker.
pub async fn watch_over(worker: Rc<Worker>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        look_around(&worker).await;
    }
}

/// One look at all of them.
async fn look_around(worker: &Rc<Worker>) {
    let open = worker.ties.take();
    if open.is_empty() {
        return;
    }
    let round = Rc::new(Round { open: RefCell::new(open), is_cut_off: Cell::new(false) });
    let mut askers = JoinSet::new();
    for _ in 0..ASKERS.min(round.open.borrow().len()) {
        askers.spawn_local(ask(Rc::clone(worker), Rc::clone(&round)));
    }
    while askers.join_next().await.is_some() {}
}

struct Round {
    open: RefCell<Vec<Tied>>,
    /// The store did not answer: the others are not asked about.
    is_cut_off: Cell<bool>,
}

impl Round {
    fn next(&self) -> Option<Tied> {
        self.open.borrow_mut().pop()
    }
}

async fn ask(worker: Rc<Worker>, round: Rc<Round>) {
    let generation = worker.generation();
    while let Some(mut tied) = round.next() {
        // PERF: where the answers are near, a thousand of them must not keep requests waiting.
        coop::consume_budget().await;
        let (active, now) = (tied.was_active(), worker.clock.now());
        let lives = match round.is_cut_off.get() {
            true => Ok(true),
            false => generation.gateway.sessions.still_lives(&mut tied.held, active, now).await,
        };
        match lives {
            Ok(true) => worker.ties.put(tied),
            Ok(false) => {
                let lasting = &generation.gateway.traffic.lasting;
                tied.ends.into_iter().filter_map(|end| end.cutter.cut()).for_each(|kind| lasting.ended(kind));
            }
            // Nobody is signed out by a store that does not answer.
            Err(error) => {
                tracing::debug!(%error, "what is open stays open");
                round.is_cut_off.set(true);
                worker.ties.put(tied);
            }
        }
    }
}
