//! Clients that come to another place with a ticket (RFC 8016).

use std::time::Duration;

use floe::relay::{Family, Instant};
use floe::wire::AttributeType;

use super::super::client::{Answer, Request};
use super::super::model::{Actor, Seat};
use super::super::world::Sent;
use super::{Stage, code_is};

/// A Refresh that has moved an allocation.
pub(super) struct Move {
    who: usize,
    of: usize,
    seat: Seat,
    bytes: Vec<u8>,
    nonce_at: Instant,
    lifetime: u32,
    /// What it was answered with.
    ticket: Vec<u8>,
}

impl Stage {
    /// A ticket that no answer has had before.
    pub(super) fn new_ticket(&mut self, answer: &Answer) -> Vec<u8> {
        let ticket = answer.ticket();
        assert!(!self.old_tickets.contains(&ticket));
        self.old_tickets.push(ticket.clone());
        ticket
    }

    /// Somebody comes to a place with a ticket: mostly his own and good, else one
    /// that is used, somebody else's, old or none at all.
    pub(super) fn come(&mut self, who: usize, [seat, choice, lifetime]: [u8; 3]) {
        let now = self.now();
        self.sit(who, usize::from(seat) % self.places.len());
        let of = if choice % 8 == 6 { usize::from(choice / 8) } else { who } % self.model.actors.len();
        let mobility = self.model.actors[of].live(now).and_then(|allocation| allocation.mobility.as_ref());
        let good = mobility.map(|mobility| mobility.ticket.clone());
        let used = mobility.and_then(|mobility| mobility.used.as_ref()).map(|used| used.0.clone());
        let old = self.old_tickets.get(usize::from(choice / 8) % self.old_tickets.len().max(1)).cloned();
        let ticket = match choice % 8 {
            0..=3 | 6 => good,
            4 => used.or(good),
            5 => old,
            _ => good.map(|mut ticket| {
                let at = usize::from(choice / 8) % ticket.len();
                ticket[at] ^= 1 << (lifetime % 8);
                ticket
            }),
        };
        let Some(ticket) = ticket else { return };
        let mut request = Request::refresh().ticket(&ticket);
        let seconds = match lifetime % 16 {
            0 => 0,
            n => u32::from(n) * 100,
        };
        if lifetime % 16 != 1 {
            request = request.lifetime(seconds);
        }
        let seconds = if lifetime % 16 == 1 { 600 } else { seconds };
        let family = match lifetime / 16 {
            n @ (1 | 2) => {
                request = request.family(n);
                Some(Family::BOTH[usize::from(n) - 1])
            }
            _ => None,
        };
        let sent = self.ask(who, &request);
        if choice % 8 == 7 {
            return code_is(&sent, 400);
        }
        let Actor { seat, client, .. } = &self.model.actors[who];
        let (of, is_new) = match self.model.ticket(*seat, self.reader(*seat), &client.name, now, &ticket) {
            Ok(arrival) => arrival,
            Err(refused) => return code_is(&sent, refused),
        };
        let expected = self.model.refresh_of(of, now, seconds, family);
        code_is(&sent, expected);
        let Sent::Reply(_, bytes) = sent else { unreachable!() };
        let answer = Answer { bytes };
        let seat = self.model.actors[who].seat;
        if expected != 0 || self.model.actors[of].live(now).is_none() {
            assert!(!answer.has(AttributeType::MOBILITY_TICKET));
        } else if is_new {
            let next = self.new_ticket(&answer);
            let bytes = self.model.actors[who].last.clone();
            let nonce_at = self.places[seat].nonce_at;
            let ticket_of_move = next.clone();
            let allocation = self.model.actors[of].live_mut(now).expect("it has just moved");
            allocation.arrive(now, seat, &ticket, next);
            let family_alone = family.is_some();
            self.last_move = (!family_alone && seconds != 0).then_some(Move {
                who,
                of,
                seat,
                bytes,
                nonce_at,
                lifetime: seconds,
                ticket: ticket_of_move,
            });
        } else {
            let mobility = self.model.actors[of].live(now).and_then(|a| a.mobility.as_ref());
            assert_eq!(Some(answer.ticket()), mobility.map(|mobility| mobility.ticket.clone()));
        }
    }

    /// The network repeats the last Refresh that has moved something.
    pub(super) fn come_again(&mut self) {
        let now = self.now();
        let Some(Move { who, of, seat, nonce_at, lifetime, .. }) = self.last_move else { return };
        let Some(Move { bytes, ticket, .. }) = &self.last_move else { return };
        let allocation = self.model.actors[of].live(now);
        let mobility = allocation.and_then(|allocation| allocation.mobility.as_ref());
        // Only while that move is the last, and the nonce has its time.
        let is_last = mobility.is_some_and(|mobility| mobility.ticket == *ticket)
            && allocation.is_some_and(|allocation| allocation.newest() == Some(seat));
        if !is_last || now.since(nonce_at) >= Duration::from_secs(3600) {
            return;
        }
        let (bytes, ticket) = (bytes.clone(), ticket.clone());
        self.sit(who, seat);
        let sent = self.model.actors[who].client.raw(&mut self.world, &bytes);
        code_is(&sent, self.model.refresh_of(of, now, lifetime, None));
        let Sent::Reply(_, bytes) = sent else { unreachable!() };
        assert_eq!(Answer { bytes }.ticket(), ticket);
    }
}
