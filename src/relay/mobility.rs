//! Mobility (RFC 8016): a client that has come to another 5-tuple keeps its
//! allocation by a ticket. Until data comes from there, the old 5-tuple stays good,
//! and data for the client goes to it; where its connection is gone, the client
//! may still come back as long as the allocation lives.

use std::time::Duration;

use super::allocate::is_tunnel;
use super::authenticate::Identity;
use super::engine::Engine;
use super::reply::Asked;
use super::route::{AllocationId, ClientPath, CloseReason, Effect, Output};
use super::ticket::{Place, Serial, Ticket};
use super::time::{Instant, Now};
use crate::wire::{AttributeType, ErrorCode, Message, Method, TransactionId};

/// RFC 8016 §3.2.2: so long is a used ticket known, for who has not heard of the
/// next one.
const RETRANSMISSIONS: Duration = Duration::from_secs(30);

/// What an allocation has besides when its client may move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mobility {
    /// Of the ticket that is good.
    serial: Serial,
    /// Of the one that made the last move, and until when it is known.
    used: Option<(Serial, Instant)>,
    /// The Refresh that made it: the same again is a retransmission.
    moved_by: Option<TransactionId>,
    /// Where the client was last seen, as long as the old 5-tuple stands as well.
    pub(super) next: Option<ClientPath>,
    /// No data has come since the last move.
    pub(super) unconfirmed: bool,
    /// The client's connection is gone.
    pub(super) away: bool,
}

/// What a Refresh with a ticket comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// The client comes from a new 5-tuple, with this ticket.
    New(Serial),
    /// It has come from there before, and has not heard of it.
    Again,
}

impl Engine {
    /// What an allocation begins with that has a ticket; `None` where no ticket
    /// can name it.
    pub(super) fn mobility(&mut self, id: AllocationId) -> Option<Mobility> {
        let serial = self.tickets.draw(self.place(id), &mut *self.world.random)?;
        Some(Mobility { serial, used: None, moved_by: None, next: None, unconfirmed: false, away: false })
    }

    /// The ticket that is good.
    pub(super) fn ticket(&self, id: AllocationId, mobility: &Mobility) -> Option<Ticket> {
        self.tickets.seal(self.place(id), mobility.serial)
    }

    /// The allocation that a ticket stands for, when it is who asks whose it is
    /// (RFC 8016 §3.2.2).
    pub(super) fn arrival(
        &mut self,
        now: Now,
        asked: Asked,
        identity: &Identity,
        ticket: &[u8],
    ) -> Result<(AllocationId, Arrival), ErrorCode> {
        if !self.tickets.exist() {
            return Err(ErrorCode::MOBILITY_FORBIDDEN);
        }
        let (place, serial) = self.tickets.open(ticket).ok_or(ErrorCode::BAD_REQUEST)?;
        let client = asked.by.five_tuple;
        let here = self.table.find(client).map(|(id, _)| id);
        let id = self.table.at(place.index).filter(|_| place.shard == self.shard);
        let id = id.ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let allocation = self.table.live_mut(id).filter(|allocation| allocation.is_live(now.instant));
        let allocation = allocation.ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let mobility = allocation.mobility.as_ref().ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let newest = mobility.next.unwrap_or(allocation.path).five_tuple;
        let comes_again = here == Some(id) && newest == client;
        let is_repeated = comes_again && mobility.moved_by == Some(asked.id);
        let used = mobility.used.filter(|(used, _)| *used == serial);
        // One that is neither is of another allocation, now or in this one's past.
        if (serial != mobility.serial && used.is_none() && !is_repeated)
            || here.is_some_and(|here| here != id)
        {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        if !identity.owns_from_elsewhere(allocation) {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        let was_used = used.is_some_and(|(_, until)| now.instant < until);
        if comes_again && (is_repeated || was_used) {
            return Ok((id, Arrival::Again));
        }
        // There is nothing to move.
        if here.is_some() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        // A used ticket is for retransmissions, unless its holder has no other way.
        if serial != mobility.serial && (!was_used || mobility.next.is_some()) {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        if is_tunnel(client.client.ip()) {
            return Err(ErrorCode::FORBIDDEN);
        }
        // RFC 6062 §4: a TCP allocation is had over TCP alone.
        if allocation.tcp.is_some() && client.transport != allocation.path.five_tuple.transport {
            return Err(ErrorCode::BAD_REQUEST);
        }
        Ok((id, Arrival::New(serial)))
    }

    /// A client has come with a good ticket. Its old way stands until it is clear
    /// that it has heard of the next one.
    pub(super) fn arrive(
        &mut self,
        now: Instant,
        id: AllocationId,
        with: Serial,
        asked: Asked,
        out: &mut Output,
    ) {
        let by = asked.by;
        let serial = self.tickets.draw(self.place(id), &mut *self.world.random);
        let Some(allocation) = self.table.live_mut(id) else { return };
        let (Some(mobility), Some(serial)) = (&mut allocation.mobility, serial) else { return };
        mobility.used = Some((with, now + RETRANSMISSIONS));
        mobility.serial = serial;
        mobility.moved_by = Some(asked.id);
        mobility.unconfirmed = true;
        // No data comes from the client of a TCP allocation.
        let at_once = mobility.away || allocation.tcp.is_some();
        let given_up = mobility.next.replace(by);
        if let Some(given_up) = given_up {
            self.depart(id, given_up, out);
        }
        self.table.join(by.five_tuple, id);
        out.effects.push(Effect::Arrived(by));
        if at_once {
            self.leave_old_path(now, id, out);
        }
    }

    /// Data has come from a client that has moved: it has heard of its new ticket.
    /// From its old 5-tuple it changes nothing.
    #[cold]
    pub(super) fn confirm(&mut self, now: Instant, from: ClientPath, id: AllocationId, out: &mut Output) {
        let Some(allocation) = self.table.live_mut(id) else { return };
        let Some(mobility) = &mut allocation.mobility else { return };
        let newest = mobility.next.unwrap_or(allocation.path);
        if newest.five_tuple == from.five_tuple {
            mobility.unconfirmed = false;
            mobility.used = None;
            self.leave_old_path(now, id, out);
        }
    }

    /// The connection of an allocation's client is gone.
    pub(super) fn path_gone(&mut self, now: Instant, path: ClientPath, id: AllocationId, out: &mut Output) {
        let Some(allocation) = self.table.live_mut(id) else { return };
        let is_it = |other: ClientPath| other.link == path.link && other.five_tuple == path.five_tuple;
        let is_last = is_it(allocation.path);
        match &mut allocation.mobility {
            Some(mobility) if mobility.next.is_some_and(is_it) => {
                mobility.withdraw();
                self.depart(id, path, out);
            }
            // The same client has made a newer one.
            _ if !is_last => {}
            None => self.close(now, id, CloseReason::Disconnected, out),
            Some(mobility) if mobility.next.is_some() => self.leave_old_path(now, id, out),
            Some(mobility) => {
                mobility.away = true;
                self.depart(id, path, out);
                self.abandon_connects(id, path, out);
            }
        }
    }

    /// The allocation is its client's at the newer of two 5-tuples from now on.
    fn leave_old_path(&mut self, now: Instant, id: AllocationId, out: &mut Output) {
        let Some(allocation) = self.table.live_mut(id) else { return };
        let Some(mobility) = &mut allocation.mobility else { return };
        let Some(next) = mobility.next.take() else { return };
        let was_away = std::mem::take(&mut mobility.away);
        let old = std::mem::replace(&mut allocation.path, next);
        let to = allocation.summary(id, now);
        if !was_away {
            self.depart(id, old, out);
            self.abandon_connects(id, old, out);
        }
        let counters = &self.world.counters;
        counters.moves.add(1);
        counters.allocations[old.five_tuple.transport.index()].sub(1);
        counters.allocations[next.five_tuple.transport.index()].add(1);
        out.effects.push(Effect::Moved { from: old.five_tuple, to: to.into() });
    }

    fn depart(&mut self, id: AllocationId, path: ClientPath, out: &mut Output) {
        self.table.leave(path.five_tuple, id);
        out.effects.push(Effect::Departed(path));
    }

    fn place(&self, id: AllocationId) -> Place {
        Place { shard: self.shard, index: id.index }
    }

    /// Where the allocation is that a Refresh has a ticket for.
    pub(super) fn place_of_ticket(&self, message: &Message<'_>) -> Option<Place> {
        let ticket = message.get(AttributeType::MOBILITY_TICKET);
        let ticket = ticket.filter(|_| message.method() == Method::REFRESH && self.tickets.exist())?;
        Some(self.tickets.open(ticket)?.0)
    }
}

impl Mobility {
    /// The last move has led to nothing, and the client may have heard of its new
    /// ticket or not: both are good.
    fn withdraw(&mut self) {
        self.next = None;
        self.unconfirmed = false;
        self.used = self.used.map(|(serial, _)| (serial, Instant::from_micros(u64::MAX)));
    }
}
