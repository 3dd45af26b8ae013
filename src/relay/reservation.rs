//! Ports held for a second allocation (EVEN-PORT with R, RESERVATION-TOKEN;
//! RFC 8656 §7.2). They are shared by all shards, because the second allocation
//! may come in at another one; only Allocate and the end of a hold lock them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::address::Family;
use super::authenticate::Identity;
use super::engine::{Engine, Timer};
use super::ports::Claim;
use super::route::ShardId;
use super::time::Instant;
use super::timers::TimerId;

/// How long a port is held (RFC 8656 §7.2: at least 30 s).
const HOLD: Duration = Duration::from_secs(30);

pub(super) type Token = [u8; 8];

/// A held port. It counts towards its user's quota until it is redeemed or let go.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) claim: Claim,
    pub(super) family: Family,
    /// Only this name may redeem the token (B-030), or a client of this
    /// authorization server.
    username: Arc<str>,
    authority: Option<Arc<str>>,
    /// Who has been charged for it.
    pub(super) user: Arc<str>,
    until: Instant,
    /// Whose timer ends it, and which.
    shard: ShardId,
    timer: TimerId,
}

/// Bounded by the ports there are and by the quota of their users.
#[derive(Debug, Default)]
pub(super) struct Reservations(Mutex<HashMap<Token, Reservation, RandomState>>);

impl Reservations {
    pub(super) fn insert(&self, token: Token, reservation: Reservation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token, reservation);
    }

    /// The tokens of one shard.
    pub(super) fn of(&self, shard: ShardId) -> Vec<Token> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().filter(|(_, reservation)| reservation.shard == shard).map(|(token, _)| *token).collect()
    }

    /// Of the address whose port a token stands for.
    pub(super) fn family(&self, token: Token) -> Option<Family> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&token).map(|held| held.family)
    }

    pub(super) fn remove_if(
        &self,
        token: Token,
        condition: impl FnOnce(&Reservation) -> bool,
    ) -> Option<Reservation> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !condition(held.get(&token)?) {
            return None;
        }
        held.remove(&token)
    }
}

impl Engine {
    pub(super) fn reserve(&mut self, now: Instant, claim: Claim, identity: &Identity) -> Token {
        let mut token = [0; 8];
        self.world.random.fill(&mut token);
        let reservation = Reservation {
            claim,
            family: Family::of(self.world.pool.local(claim).ip()),
            username: Arc::clone(&identity.username),
            authority: identity.access.as_ref().map(|access| Arc::clone(&access.authority)),
            user: Arc::clone(&identity.user),
            until: now + HOLD,
            shard: self.shard,
            timer: self.timers.insert(now + HOLD, Timer::Reservation(token)),
        };
        self.world.pool.reservations().insert(token, reservation);
        token
    }

    /// Takes a port out of its hold for the user it is held for; it is this
    /// shard's from now on.
    pub(super) fn redeem(&mut self, now: Instant, token: Token, identity: &Identity) -> Option<Reservation> {
        // The timer may be another shard's, which has yet to look at its clock.
        self.let_go(token, |held| held.until <= now);
        let is_his = |held: &Reservation| identity.is(&held.username, held.authority.as_ref());
        let reservation = self.world.pool.reservations().remove_if(token, is_his)?;
        self.cancel(&reservation);
        self.world.pool.pass_on(reservation.claim, self.shard);
        Some(reservation)
    }

    /// The time of a hold is over.
    pub(super) fn end_reservation(&mut self, token: Token) {
        self.let_go(token, |_| true);
    }

    fn let_go(&mut self, token: Token, condition: impl FnOnce(&Reservation) -> bool) {
        if let Some(reservation) = self.world.pool.reservations().remove_if(token, condition) {
            self.world.pool.release(reservation.claim);
            self.world.quota.release(&reservation.user);
            self.cancel(&reservation);
        }
    }

    /// Another shard's timer runs out and finds nothing.
    fn cancel(&mut self, reservation: &Reservation) {
        if reservation.shard == self.shard {
            self.timers.cancel(reservation.timer);
        }
    }
}
