//! Bytes that no client should send, from a seed.

use std::net::SocketAddr;

use floe::wire::AttributeType;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::support::client::channel_message;
use crate::support::request::{append_fingerprint, append_sha1, append_sha256};
use crate::support::{Login, Request};

/// What kind of noise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Random bytes of random length.
    Random,
    /// The front of a right message, from none of it to all but one byte.
    Truncated,
    /// A right message with a few bytes changed, moved, added or taken out; half
    /// of them with the length mended, half of those signed afterwards by a
    /// hostile user.
    Mutated,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Random, Self::Truncated, Self::Mutated];
}

/// The longest random bytes; above the largest MTU that tests meet elsewhere,
/// below what would fill a socket's queue with few datagrams.
const LONGEST: usize = 2048;

/// A source of noise.
pub(crate) struct Noise {
    pub(crate) random: SmallRng,
    login: Login,
    /// Right messages as they go on the wire.
    right: Vec<Vec<u8>>,
    /// The same, not yet signed.
    unsigned: Vec<Vec<u8>>,
}

/// The seed of this run, said so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("FLOE_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |seed| seed.parse().expect("a number in FLOE_TEST_SEED"));
    println!("FLOE_TEST_SEED={seed} repeats this run's bytes");
    seed
}

impl Noise {
    /// Noise around the messages of a user who has been challenged and who may
    /// reach this peer.
    pub(crate) fn new(seed: u64, login: &Login, peer: SocketAddr) -> Self {
        let requests = [
            Request::binding(),
            Request::allocate(),
            Request::allocate().lifetime(1200).even_port(true),
            Request::allocate().family(2),
            Request::allocate().additional_family(2),
            Request::refresh(600),
            Request::refresh(0),
            Request::permission(&[peer.ip()]),
            Request::channel_bind(0x4000, peer),
            Request::channel_bind(0x4001, peer).lifetime(60),
        ];
        let mut right = vec![
            Request::binding().bytes(),
            Request::binding().fingerprint().bytes(),
            Request::allocate().bytes(),
            Request::send_indication(peer, b"payload").bytes(),
            Request::send_indication(peer, &[7; 700]).put(AttributeType::DONT_FRAGMENT, &[]).bytes(),
            channel_message(0x4000, b"payload"),
            channel_message(0x4001, &[7; 900]),
        ];
        let mut unsigned = Vec::new();
        for request in requests {
            let named = login.name_on(request);
            right.push(named.sign_sha1(&login.keys.md5));
            right.push(named.sign_sha256(&login.keys.md5));
            right.push(named.clone().fingerprint().sign_sha1(&login.keys.md5));
            unsigned.push(named.bytes());
        }
        Self { random: SmallRng::seed_from_u64(seed), login: login.clone(), right, unsigned }
    }

    /// One message of this kind.
    pub(crate) fn message(&mut self, kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Random => self.bytes(),
            Kind::Truncated => {
                let mut message = pick(&mut self.random, &self.right).clone();
                message.truncate(self.random.random_range(0..message.len()));
                message
            }
            Kind::Mutated => self.mutated(),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        // Short ones are as likely as long ones: most rules are about the first
        // bytes.
        let longest = LONGEST >> self.random.random_range(0..10);
        let mut bytes = vec![0; self.random.random_range(0..longest)];
        self.random.fill_bytes(&mut bytes);
        // Half of them get past the very first rule.
        if let [first, second, ..] = bytes.as_mut_slice()
            && self.random.random()
        {
            *first &= 0x03;
            if self.random.random() {
                (*first, *second) = (*first & 0x01, *second & 0x1F);
            }
        }
        bytes
    }

    fn mutated(&mut self) -> Vec<u8> {
        let signed_after = self.random.random_range(0..4) == 0;
        let from = if signed_after { &self.unsigned } else { &self.right };
        let mut message = pick(&mut self.random, from).clone();
        for _ in 0..self.random.random_range(1..=4) {
            self.mutate(&mut message);
        }
        if message.len() >= 20 && (signed_after || self.random.random_range(0..3) == 0) {
            message.resize(message.len().next_multiple_of(4), 0);
            let length = (message.len() - 20) as u16;
            message[2..4].copy_from_slice(&length.to_be_bytes());
        }
        if signed_after && message.len() >= 20 {
            match self.random.random() {
                true => append_sha1(&mut message, &self.login.keys.md5),
                false => append_sha256(&mut message, &self.login.keys.md5),
            }
            if self.random.random() {
                append_fingerprint(&mut message);
            }
        }
        message
    }

    fn mutate(&mut self, message: &mut Vec<u8>) {
        let random = &mut self.random;
        if message.is_empty() {
            return;
        }
        let at = random.random_range(0..message.len());
        let end = random.random_range(at..=message.len().min(at + 32));
        match random.random_range(0..8) {
            0 | 1 => message[at] ^= 1 << random.random_range(0..8),
            2 => message[at] = random.random(),
            // Lengths are the numbers that parsers trip over.
            3 if at + 1 < message.len() => {
                let number = *pick(random, &[0u16, 1, 3, 4, 5, 255, 256, 763, 764, 0x7FFF, 0xFFFC, 0xFFFF]);
                message[at..at + 2].copy_from_slice(&number.to_be_bytes());
            }
            4 => drop(message.drain(at..end)),
            5 => {
                let copy = message[at..end].to_vec();
                let to = random.random_range(0..=message.len());
                message.splice(to..to, copy);
            }
            6 => {
                let mut bytes = vec![0; random.random_range(1..64)];
                random.fill_bytes(&mut bytes);
                message.splice(at..at, bytes);
            }
            _ => message[at..end].fill(0),
        }
    }
}

/// One of these.
fn pick<'a, T>(random: &mut SmallRng, of: &'a [T]) -> &'a T {
    &of[random.random_range(0..of.len())]
}
