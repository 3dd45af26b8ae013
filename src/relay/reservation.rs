//! Ports held for a second allocation (EVEN-PORT with R, RESERVATION-TOKEN;
//! RFC 8656 §7.2).

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::engine::{Engine, Timer};
use super::ports::Claim;
use super::time::Instant;
use super::timers::TimerId;

/// How long a port is held (RFC 8656 §7.2: at least 30 s).
const HOLD: Duration = Duration::from_secs(30);

pub(super) type Token = [u8; 8];

/// A held port. It counts towards its user's quota until it is redeemed or let go.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) claim: Claim,
    /// Only this name may redeem the token (B-030).
    pub(super) username: Arc<str>,
    pub(super) user: Arc<str>,
    timer: TimerId,
}

/// Bounded by the ports there are and by the quota of their users.
#[derive(Debug)]
pub(super) struct Reservations(HashMap<Token, Reservation, FixedState>);

impl Reservations {
    pub(super) fn new(hash: FixedState) -> Self {
        Self(HashMap::with_hasher(hash))
    }
}

impl Engine {
    pub(super) fn reserve(
        &mut self,
        now: Instant,
        claim: Claim,
        username: &Arc<str>,
        user: &Arc<str>,
    ) -> Token {
        let mut token = [0; 8];
        self.world.random.fill(&mut token);
        let timer = self.timers.insert(now + HOLD, Timer::Reservation(token));
        let reservation =
            Reservation { claim, username: Arc::clone(username), user: Arc::clone(user), timer };
        self.reservations.0.insert(token, reservation);
        token
    }

    /// Takes a port out of its hold, for the user it is held for.
    pub(super) fn redeem(&mut self, token: Token, username: &str) -> Option<Reservation> {
        if *self.reservations.0.get(&token)?.username != *username {
            return None;
        }
        let reservation = self.reservations.0.remove(&token)?;
        self.timers.cancel(reservation.timer);
        Some(reservation)
    }

    /// Nobody came for it.
    pub(super) fn end_reservation(&mut self, token: Token) {
        if let Some(reservation) = self.reservations.0.remove(&token) {
            self.world.pool.release(reservation.claim);
            self.world.quota.release(&reservation.user);
        }
    }
}
