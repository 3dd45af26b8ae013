//! Mobility tickets (RFC 8016 §3.3): which allocation of which shard a client may
//! come back to, sealed so that nobody else can read one or make one.
//!
//! ChaCha20-Poly1305 of ring, which signs and hashes everything else here (the
//! `chacha20poly1305` crate would be a second implementation of the same). A nonce
//! that came up twice would do no harm: it is good for the one allocation that
//! remembers it, and a ticket says nothing that its holder may not know.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::route::ShardId;
use super::world::Random;

/// Serial, place, tag. What `turnutils_uclient` keeps of a ticket is no longer.
const LENGTH: usize = NONCE_LEN + PLACE + 16;
const PLACE: usize = 4;
/// One of eight serials makes a ticket with a zero byte in it.
const DRAWS: usize = 64;

/// A ticket as it stands in the attribute.
pub(super) type Ticket = [u8; LENGTH];

/// Tells the tickets of an allocation from each other, and from those of every
/// other allocation; the nonce of its encryption. Unpredictable, so that not even
/// who has the key can make a ticket that is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Serial([u8; NONCE_LEN]);

/// Where an allocation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) shard: ShardId,
    /// In the shard's table; below 2^24.
    pub(super) index: u32,
}

/// Seals and opens tickets; without a key there are none.
pub(super) struct Tickets(Option<LessSafeKey>);

impl Tickets {
    pub(super) fn new(key: Option<&[u8; 32]>) -> Self {
        Self(key.and_then(|key| UnboundKey::new(&CHACHA20_POLY1305, key).ok()).map(LessSafeKey::new))
    }

    /// Whether there are tickets at all.
    pub(super) const fn exist(&self) -> bool {
        self.0.is_some()
    }

    /// The serial of a new ticket. `None` for a place that no ticket can name.
    pub(super) fn draw(&self, place: Place, random: &mut dyn Random) -> Option<Serial> {
        let mut serial = Serial([0; NONCE_LEN]);
        for _ in 0..DRAWS {
            random.fill(&mut serial.0);
            // There are clients that keep a ticket as a C string: those of coturn.
            if !self.seal(place, serial)?.contains(&0) {
                break;
            }
        }
        Some(serial)
    }

    /// The ticket of this serial, the same each time.
    pub(super) fn seal(&self, place: Place, serial: Serial) -> Option<Ticket> {
        let key = self.0.as_ref()?;
        let [0, index @ ..] = place.index.to_be_bytes() else { return None };
        let mut ticket = [0; LENGTH];
        let (nonce, rest) = ticket.split_at_mut(NONCE_LEN);
        let (text, tag) = rest.split_at_mut(PLACE);
        nonce.copy_from_slice(&serial.0);
        text[0] = place.shard.0;
        text[1..].copy_from_slice(&index);
        let nonce = Nonce::assume_unique_for_key(serial.0);
        let made = key.seal_in_place_separate_tag(nonce, Aad::empty(), text).ok()?;
        tag.copy_from_slice(made.as_ref());
        Some(ticket)
    }

    /// What a ticket of ours says; whether it is still good is the allocation's to
    /// know.
    pub(super) fn open(&self, ticket: &[u8]) -> Option<(Place, Serial)> {
        let ticket: &Ticket = ticket.try_into().ok()?;
        let (nonce, sealed) = ticket.split_first_chunk()?;
        let mut sealed: [u8; LENGTH - NONCE_LEN] = sealed.try_into().ok()?;
        let key = self.0.as_ref()?;
        let text = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut sealed).ok()?;
        let [shard, high, middle, low] = *text.as_array()?;
        let index = u32::from_be_bytes([0, high, middle, low]);
        Some((Place { shard: ShardId(shard), index }, Serial(*nonce)))
    }
}

#[cfg(test)]
#[path = "ticket_test.rs"]
mod tests;
