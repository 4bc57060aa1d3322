//! What the parts of one client connection tell each other: its IO, its requests and its deadlines.
//!
//! `io` reports phases and stalls, `service` counts open requests, `deadlines` reads both. Everything
//! happens on one thread; the cells are atomic only because hyper demands that an IO it may hand over
//! on an upgrade is `Send`. So all of it is relaxed: loads and stores, no locked instruction.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::guard::{Phase, Violation};

/// Shared by the parts of one connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    phase: AtomicU8,
    heads: AtomicU64,
    requests: AtomicU64,
    open: AtomicU32,
    blocked: AtomicBool,
    writes: AtomicU64,
    lingering: AtomicBool,
    head_expired: AtomicBool,
    violation: OnceLock<Violation>,
}

/// What the client is doing, as far as its bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Not a byte so far.
    Silent,
    /// In one of the guard's phases; HTTP/2 is `Idle` once a byte has come.
    In(Phase),
}

const PHASES: [Phase; 5] = [Phase::Idle, Phase::Head, Phase::Body, Phase::Opaque, Phase::Refused];

impl ConnectionState {
    pub(super) fn reading(&self) -> Reading {
        let phase = usize::from(self.phase.load(Relaxed)).checked_sub(1);
        phase.and_then(|phase| PHASES.get(phase)).map_or(Reading::Silent, |phase| Reading::In(*phase))
    }

    /// Notes where the bytes read so far end.
    pub(super) fn read(&self, phase: Phase, heads: u64) {
        self.phase.store(1 + phase as u8, Relaxed);
        self.heads.store(heads, Relaxed);
    }

    /// Notes why the stream is not read as HTTP any more.
    pub(super) fn refuse(&self, why: Violation) {
        let _ = self.violation.set(why);
    }

    /// Notes that what follows an upgrade nobody granted is only to be read away.
    pub(super) fn refuse_upgrade(&self) {
        self.read(Phase::Refused, self.heads());
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.get().copied()
    }

    /// Notes that an HTTP/2 client has sent something.
    pub(super) fn read_some(&self) {
        self.phase.store(1 + Phase::Idle as u8, Relaxed);
    }

    /// Complete heads read; tells one wait for a head from the next.
    pub(super) fn heads(&self) -> u64 {
        self.heads.load(Relaxed)
    }

    /// Requests begun; tells one idle time from the next.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Requests whose answer is not complete yet.
    pub(super) fn open_requests(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Notes that the client does not take the bytes it is offered.
    pub(super) fn write_blocked(&self) {
        self.blocked.store(true, Relaxed);
    }

    /// Notes that the client took some bytes.
    pub(super) fn write_progressed(&self) {
        if self.blocked.load(Relaxed) {
            self.blocked.store(false, Relaxed);
            self.writes.store(self.writes.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    pub(super) fn is_write_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Tells one stall from the next.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    /// Whether an answer of our own may be written without cutting into another.
    pub(super) fn nothing_in_flight(&self) -> bool {
        self.open_requests() == 0 && !self.is_write_blocked()
    }

    /// Notes that only leftovers of the client are being read away.
    pub(super) fn linger(&self) {
        self.lingering.store(true, Relaxed);
    }

    pub(super) fn is_lingering(&self) -> bool {
        self.lingering.load(Relaxed)
    }

    /// Tells the IO to answer 408 at the next read.
    pub(super) fn expire_head(&self) {
        self.head_expired.store(true, Relaxed);
    }

    pub(super) fn is_head_expired(&self) -> bool {
        self.head_expired.load(Relaxed)
    }
}

/// Counts one request as open until it is dropped: with the last of its answer, or its handler.
#[derive(Debug)]
pub(super) struct OpenRequest(Arc<ConnectionState>);

impl OpenRequest {
    pub(super) fn begin(state: &Arc<ConnectionState>) -> Self {
        state.requests.store(state.requests().wrapping_add(1), Relaxed);
        state.open.store(state.open_requests() + 1, Relaxed);
        Self(state.clone())
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.store(self.0.open_requests().saturating_sub(1), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_survives_its_cell() {
        let state = ConnectionState::default();
        assert_eq!(state.reading(), Reading::Silent);
        for phase in PHASES {
            state.read(phase, 7);
            assert_eq!((state.reading(), state.heads()), (Reading::In(phase), 7));
        }
    }

    #[test]
    fn a_request_is_open_until_it_is_dropped() {
        let state = Arc::new(ConnectionState::default());
        let (one, two) = (OpenRequest::begin(&state), OpenRequest::begin(&state));
        drop(one);
        assert!(!state.nothing_in_flight());
        drop(two);
        assert!(state.nothing_in_flight());
    }
}
