//! What one worker thread has for all its requests, and its own view of the generation in force.
//!
//! `app` makes one for each worker; `pipeline::handle` asks it for the generation, once in each request. Stays on its
//! thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::ties::Ties;
use crate::clock::Clock;
use crate::gateway::{Current, Gateway};
use crate::proxy::Pools;
use crate::telemetry::access::AccessLog;
use crate::telemetry::traffic::{Seat, Tally};
use crate::timers::Timers;

/// What one worker thread has for all its requests.
pub struct Worker {
    /// Deadlines.
    pub(super) timers: Timers,
    /// The time.
    pub(super) clock: Arc<dyn Clock>,
    /// What is open, by session.
    pub(super) ties: Ties,
    current: Arc<Current>,
    generation: RefCell<Rc<Generation>>,
    access: AccessLog,
    seat: Seat,
}

/// A generation of the gateway, and what of this worker goes with it.
pub(super) struct Generation {
    pub gateway: Arc<Gateway>,
    /// Connections to its apps.
    pub pools: Pools,
    /// Counts what goes through.
    pub tally: Tally,
    /// The access log; off where it says so.
    pub access: AccessLog,
}

impl Worker {
    /// A worker that serves what is in force; `pools` are its connections to the apps.
    #[must_use]
    pub fn new(current: Arc<Current>, pools: &Pools, timers: Timers, clock: Arc<dyn Clock>, access: AccessLog) -> Self {
        let gateway = current.load();
        let seat = gateway.traffic.join();
        let generation = RefCell::new(Rc::new(Generation::new(gateway, pools, &access, seat)));
        Self { timers, clock, ties: Ties::default(), current, generation, access, seat }
    }

    /// The generation in force, for a request that keeps it to its end.
    ///
    /// PERF: each worker holds one reference to the shared generation and counts its own requests by an `Rc`, so that
    /// what a request adds is a read of [`Current::number`] and a count that no other core writes: no lock, and no
    /// cache line that goes about.
    pub(super) fn generation(&self) -> Rc<Generation> {
        let generation = Rc::clone(&self.generation.borrow());
        match generation.gateway.number == self.current.number() {
            true => generation,
            false => self.renew(&generation),
        }
    }

    /// Takes up a reload, also where no request does: what is out of force is let go of.
    pub fn keep_up(&self) {
        drop(self.generation());
    }

    #[cold]
    fn renew(&self, before: &Generation) -> Rc<Generation> {
        let next = Rc::new(Generation::new(self.current.load(), &before.pools, &self.access, self.seat));
        // Bound to a name: what is dropped at the end of this is out of the cell by then.
        let _before = self.generation.replace(Rc::clone(&next));
        next
    }
}

impl Generation {
    fn new(gateway: Arc<Gateway>, pools: &Pools, access: &AccessLog, seat: Seat) -> Self {
        let pools = pools.renewed(gateway.routes.iter().map(|route| &route.upstream));
        let tally = gateway.traffic.tally(seat, gateway.routes.iter().map(|route| &route.name));
        let access = if gateway.log_access { access.clone() } else { AccessLog::default() };
        Self { gateway, pools, tally, access }
    }
}
