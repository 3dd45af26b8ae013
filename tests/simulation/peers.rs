//! Peers without a relay: they talk to the relayed addresses that they were told,
//! and answer what they hear.

use std::net::SocketAddr;
use std::time::Duration;

use floe::relay::Instant;

use crate::letters::{Letter, Letters, Party, Sheet};
use crate::network::chance;
use crate::world::SplitMix;

/// A letter for a relayed address.
pub(crate) type Said = (SocketAddr, Vec<u8>, Letter);

pub(crate) struct Peer {
    pub(crate) party: Party,
    pub(crate) address: SocketAddr,
    /// Relayed addresses of those it talks to.
    pub(crate) friends: Vec<SocketAddr>,
    pub(crate) pace: Duration,
    /// Of 10,000 payloads that it hears it answers so many.
    pub(crate) answers: usize,
    pub(crate) heard: u64,
    pub(crate) out: Vec<Said>,
    pub(crate) next_wake: Instant,
    random: SplitMix,
}

impl Peer {
    pub(crate) fn new(party: Party, address: SocketAddr, seed: u64) -> Self {
        Self {
            party,
            address,
            friends: Vec::new(),
            pace: Duration::from_millis(500),
            answers: 2_500,
            heard: 0,
            out: Vec::new(),
            next_wake: Instant::default(),
            random: SplitMix(seed),
        }
    }

    pub(crate) fn wake(&mut self, now: Instant, letters: &mut Letters) {
        let jitter = self.random.below(self.pace.as_micros() as usize / 2 + 1) as u64;
        self.next_wake = now + self.pace * 3 / 4 + Duration::from_micros(jitter);
        if !self.friends.is_empty() {
            let friend = self.friends[self.random.below(self.friends.len())];
            self.say(friend, letters);
        }
    }

    /// A payload out of a relay.
    pub(crate) fn hear(&mut self, from: SocketAddr, payload: &[u8], letters: &mut Letters) {
        let Sheet { from: author, to, .. } = letters.arrived(payload).clone();
        assert_eq!(to, self.address, "{:?} has heard what was said to {to}", self.party);
        assert!(letters.lives_at(author, from), "{from} did not say what {author:?} has said");
        self.heard += 1;
        if chance(&mut self.random, self.answers) {
            self.say(from, letters);
        }
    }

    fn say(&mut self, to: SocketAddr, letters: &mut Letters) {
        let more = if chance(&mut self.random, 200) { 1_200 } else { self.random.below(160) };
        let (letter, payload) = letters.write(self.party, to, more);
        self.out.push((to, payload, letter));
    }
}
