//! What stays open: how many WebSockets there are, and how much ended because its session did.
//!
//! Counted by `pipeline` and held by `proxy`, for all workers together; `admin` asks. Openings and endings are rare
//! enough for shared counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The numbers.
#[derive(Debug, Default)]
pub struct Lasting {
    websockets: Arc<()>,
    ended: [AtomicU64; Kind::ALL.len()],
}

/// One WebSocket, counted as long as this lives.
#[derive(Debug)]
pub struct OpenWebSocket(#[expect(dead_code, reason = "counted by being there")] Arc<()>);

/// What can stay open after its head has gone out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A WebSocket.
    WebSocket,
    /// `text/event-stream`: it has no end of its own, so that any is its end.
    EventStream,
    /// Any other response: without its end it must not look whole.
    Download,
}

impl Lasting {
    /// One more WebSocket, open or about to be.
    #[must_use]
    pub fn websocket(&self) -> OpenWebSocket {
        OpenWebSocket(Arc::clone(&self.websockets))
    }

    /// How many there are.
    #[must_use]
    pub fn websockets(&self) -> usize {
        Arc::strong_count(&self.websockets) - 1
    }

    /// One was ended with its session.
    pub fn ended(&self, kind: Kind) {
        self.ended[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many of each kind were.
    pub fn all_ended(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(&self.ended).map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::EventStream, Self::Download];

    /// Its name in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
            Self::Download => "download",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_counts_while_it_lives() {
        let lasting = Lasting::default();
        let both = [lasting.websocket(), lasting.websocket()];
        assert_eq!(lasting.websockets(), 2);
        drop(both);
        assert_eq!(lasting.websockets(), 0);
    }

    #[test]
    fn each_kind_has_its_own_counter() {
        let lasting = Lasting::default();
        lasting.ended(Kind::EventStream);
        let counted: Vec<_> = lasting.all_ended().collect();
        assert_eq!(counted, [(Kind::WebSocket, 0), (Kind::EventStream, 1), (Kind::Download, 0)]);
    }
}
