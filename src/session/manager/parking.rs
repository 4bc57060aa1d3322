//! Forms that wait for somebody to sign in: into the store, and out of it once.
//!
//! Called by `pipeline` and by the page that asks. SECURITY: sealed in every store, under a key that only the session
//! has; and it is the delete that hands a form out, so of two who ask for it one gets it.

use std::net::IpAddr;

use super::super::parked::{Errand, Form, Ticket};
use super::super::room::Place;
use super::{Error, Manager};
use crate::clock::Timestamp;
use crate::store::{Entry, Handle, Meta};

/// A ticket, and the place where its form will lie.
#[derive(Debug)]
pub struct Parking {
    ticket: Ticket,
    place: Place,
}

impl Manager {
    /// Finds a place for a form of up to `size` bytes; `None` when there is no more room, or no store to keep it in.
    ///
    /// # Errors
    /// When no secret can be drawn.
    pub fn find_parking(
        &self,
        errand: Errand,
        size: u64,
        address: IpAddr,
        (now, ends): (Timestamp, Timestamp),
    ) -> Result<Option<Parking>, Error> {
        if self.traveling.is_some() {
            return Ok(None);
        }
        let ticket = Ticket::new(errand, size, ends)?;
        let place = self.room.reserve(ticket.store_key(), address, size, now, ends);
        Ok(place.map(|place| Parking { ticket, place }))
    }

    /// Keeps the form, and returns the ticket for it.
    ///
    /// # Errors
    /// When the store is unreachable or full: nothing is kept then.
    pub async fn park(&self, parking: Parking, form: &Form, now: Timestamp) -> Result<Ticket, Error> {
        let Parking { mut ticket, place } = parking;
        let size = form.body.len() as u64;
        let meta = Meta { handle: Handle([0; 8]), user: None, created: now, address: None, agent: None, alias: true };
        let entry = Entry::new(meta, ticket.seal(form)?, now, ticket.ends);
        self.store.create(ticket.store_key(), entry).await?;
        place.take(size);
        ticket.size = size;
        Ok(ticket)
    }

    /// Takes the form out of the store: who gets it is the only one.
    ///
    /// # Errors
    /// When the store is unreachable: nobody knows then whether it is still there.
    pub async fn take_parked(&self, ticket: &Ticket) -> Result<Option<Form>, Error> {
        let key = ticket.store_key();
        let taken = self.store.delete(key).await?;
        self.room.give_back(key);
        Ok(taken.and_then(|entry| ticket.open(&entry.bytes())))
    }

    /// Forgets the form. What the store does not do now, its sweep does when the form's time is over; nobody can send it
    /// meanwhile, since its ticket is marked.
    pub async fn discard_parked(&self, ticket: &Ticket) {
        if let Err(error) = self.take_parked(ticket).await {
            tracing::warn!(%error, "a discarded form could not be deleted before its time");
        }
    }
}
