//! Who has said that it forgot its copy: a write opens a receipt, other gateways sign it through the channel.
//!
//! `postgres` waits here before it answers; `channel` brings the signatures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Receipts(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    by_number: HashMap<u64, Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    signed: Vec<u64>,
    changed: Arc<Notify>,
}

/// Until it is dropped, signatures are kept.
#[derive(Debug)]
pub(super) struct Receipt<'a> {
    receipts: &'a Receipts,
    pub number: u64,
    changed: Arc<Notify>,
}

impl Receipts {
    /// Before the statement is sent: the first signature may arrive before the statement's own answer.
    pub fn open(&self) -> Receipt<'_> {
        let mut open = self.lock();
        open.last += 1;
        let (number, changed) = (open.last, Arc::default());
        open.by_number.insert(number, Slot { signed: Vec::new(), changed: Arc::clone(&changed) });
        Receipt { receipts: self, number, changed }
    }

    /// A signature that nobody waits for any longer is dropped.
    pub fn sign(&self, number: u64, who: u64) {
        if let Some(slot) = self.lock().by_number.get_mut(&number) {
            slot.signed.push(who);
            slot.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receipt<'_> {
    /// Until each of `listeners` has signed.
    pub async fn signed_by(&self, listeners: &[u64]) {
        while self.missing(listeners) > 0 {
            // A signature since the look above has left its mark in there.
            self.changed.notified().await;
        }
    }

    pub fn missing(&self, listeners: &[u64]) -> usize {
        let open = self.receipts.lock();
        let signed = open.by_number.get(&self.number).map_or(&[][..], |slot| &slot.signed);
        listeners.iter().filter(|listener| !signed.contains(listener)).count()
    }
}

impl Drop for Receipt<'_> {
    fn drop(&mut self) {
        self.receipts.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn it_is_whole_when_everybody_has_signed_in_any_order() {
        let receipts = Receipts::default();
        let (receipt, other) = (receipts.open(), receipts.open());
        receipts.sign(receipt.number, 2);
        let mut whole = pin!(receipt.signed_by(&[1, 2]));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(whole.as_mut().poll(&mut cx).is_pending());
        receipts.sign(receipt.number, 2);
        receipts.sign(other.number, 1);
        assert!(whole.as_mut().poll(&mut cx).is_pending(), "twice the same, and another's");
        receipts.sign(receipt.number, 1);
        assert!(whole.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn nothing_stays_of_a_receipt_that_is_dropped() {
        let receipts = Receipts::default();
        let number = receipts.open().number;
        receipts.sign(number, 1);
        assert!(receipts.lock().by_number.is_empty());
    }
}
