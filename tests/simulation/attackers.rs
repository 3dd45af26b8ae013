//! Hostile senders, as deeds for a [`Deployment`](crate::deployment::Deployment): what each does again and again.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use floe::relay::Instant;
use floe::relay::world::Throttle;
use floe::wire::{AttributeType, Message, Method, TransactionId};

use crate::client::{Client, Request, frame};
use crate::deployment::{Deed, Overheard};
use crate::network::chance;
use crate::world::{RELAY_V4, SplitMix, addr, password};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Looks for open ports where relays are, from an address that nobody has permitted,
/// and says whatever it is that scanners say.
pub(crate) fn port_scanner() -> Deed {
    Box::new(|deployment| {
        let from = SocketAddr::new([192, 0, 2, 66].into(), 1_024 + deployment.random.below(60_000) as u16);
        for _ in 0..8 {
            let ports = deployment.referee.model.ports.clone();
            let port =
                ports.start() + deployment.random.below(usize::from(ports.end() - ports.start()) + 1) as u16;
            let words = noise(&mut deployment.random, 64);
            deployment.throw(from, SocketAddr::new(RELAY_V4.parse().unwrap(), port), words);
        }
        // And where relays are known to be.
        if let Some(local) = deployment.world.sockets.values().next_back().filter(|local| local.is_ipv4()) {
            let port = local.port();
            deployment.throw(from, SocketAddr::new(RELAY_V4.parse().unwrap(), port), vec![0; 9]);
        }
        Some(millis(40))
    })
}

/// Sends again what it has overheard: from an address of its own, or as if it were
/// the client once more.
pub(crate) fn replayer() -> Deed {
    let mut kept: Vec<Overheard> = Vec::new();
    Box::new(move |deployment| {
        // Old ones too.
        if let Some(heard) = pick(&mut deployment.random, &deployment.overheard) {
            if kept.len() < 256 {
                kept.push(heard);
            } else {
                let at = deployment.random.below(kept.len());
                kept[at] = heard;
            }
        }
        let at = deployment.random.below(kept.len().max(1));
        if let Some(Overheard { path, bytes, letter }) = kept.get(at).cloned() {
            let own = deployment.path_from(addr("192.0.2.77:7777"));
            let path = if chance(&mut deployment.random, 5_000) { own } else { path };
            // What was said long ago is accounted for.
            if letter.is_none_or(|letter| deployment.letters.knows(letter)) {
                deployment.inject(path, bytes, letter);
            }
        }
        Some(millis(30))
    })
}

/// Sends nonsense from everywhere: noise, requests with one bit changed, and unsigned
/// requests, in the name of clients and of nobody.
pub(crate) fn forger() -> Deed {
    Box::new(|deployment| {
        let heard = pick(&mut deployment.random, &deployment.overheard);
        let own = deployment.path_from(SocketAddr::new([192, 0, 2, 88].into(), 8_888));
        let path = heard.as_ref().map_or(own, |heard| heard.path);
        let random = &mut deployment.random;
        let bytes = match (random.below(4), heard) {
            (0, _) => {
                let mut words = noise(random, 200);
                // A channel's number would be as good as the client's own.
                words[0] |= 0x80;
                words
            }
            (1, Some(heard)) if is_request(&heard.bytes) => {
                let mut bytes = heard.bytes;
                let bit = 8 + random.below(8 * (bytes.len() - 1));
                bytes[bit / 8] ^= 1 << (bit % 8);
                // Who is on the way can end any transaction; that is another story.
                bytes[8..20].copy_from_slice(&transaction(random).0);
                bytes
            }
            (2, _) => {
                let id = transaction(random);
                let peer = addr("203.0.113.1:9000");
                let requests = [
                    Request::allocate(),
                    Request::refresh().lifetime(0),
                    Request::create_permission(&[peer]),
                    Request::channel_bind(0x4000, peer),
                    Request::new(Method::BINDING),
                ];
                requests[random.below(requests.len())].unsigned(id)
            }
            // With a password that is not the user's.
            _ => {
                let mut mallory = Client::new("alice", "192.0.2.88:8888");
                mallory.password = "guessed".into();
                mallory.nonce = b"obMatJos2AAAAnonsense".to_vec();
                let id = transaction(random);
                mallory.sign_as(&Request::refresh().lifetime(0), id)
            }
        };
        deployment.inject(path, bytes, None);
        Some(millis(25))
    })
}

/// Has a password of his own, and uses it on other people's allocations: he reads
/// their nonces on the way and sends as if from their addresses.
pub(crate) fn impostor() -> Deed {
    Box::new(|deployment| {
        let heard = pick(&mut deployment.random, &deployment.overheard);
        if let Some(heard) = heard
            && let Some(nonce) = value_of(&heard, AttributeType::NONCE)
        {
            let mut mallory = Client::new("carol", "192.0.2.99:9999");
            (mallory.password, mallory.nonce) = (password("carol"), nonce);
            let id = transaction(&mut deployment.random);
            let evil = addr("192.0.2.99:9999");
            let requests = [
                Request::refresh().lifetime(0),
                Request::create_permission(&[evil]),
                Request::channel_bind(0x4FFF, evil),
            ];
            let which = deployment.random.below(requests.len());
            deployment.inject(heard.path, mallory.sign_as(&requests[which], id), None);
        }
        Some(millis(200))
    })
}

/// Has a password of his own, reads the tickets of those who move (RFC 8016), and
/// comes with them himself: mostly late, and perhaps for an allocation that is not his.
pub(crate) fn ticket_thief(name: &'static str) -> Deed {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    Box::new(move |deployment| {
        for heard in &deployment.overheard {
            let ticket = value_of(heard, AttributeType::MOBILITY_TICKET);
            if let Some(ticket) = ticket.filter(|ticket| !ticket.is_empty() && !kept.contains(ticket)) {
                kept.push(ticket);
            }
        }
        kept.drain(..kept.len().saturating_sub(32));
        let port = 1_111 + deployment.random.below(20) as u16;
        let mut thief = Client::new(name, &format!("192.0.2.111:{port}"));
        deployment.referee.knows(&thief, deployment.world.now.instant);
        let id = transaction(&mut deployment.random);
        let ticket = kept.get(deployment.random.below(kept.len().max(1)));
        let request = ticket.map(|ticket| Request::refresh().ticket(ticket));
        let bytes = match (request, deployment.referee.doorkeeper.nonce_of(thief.path.five_tuple)) {
            (Some(request), Some(nonce)) => {
                thief.nonce = nonce;
                thief.sign_as(&request, id)
            }
            _ => Request::refresh().unsigned(id),
        };
        deployment.inject(thief.path, bytes, None);
        Some(millis(900))
    })
}

/// Has a password of his own, reads the tokens of others' reserved ports, and comes
/// with each of them first.
pub(crate) fn token_thief(name: &'static str) -> Deed {
    let (mut is_known, mut tried) = (false, Vec::<Vec<u8>>::new());
    Box::new(move |deployment| {
        let held = &deployment.referee.model.held;
        let is_anothers = |token: &[u8]| held.iter().any(|held| held.token == token && held.name != name);
        let token = deployment.overheard.iter().find_map(|heard| {
            let token = value_of(heard, AttributeType::RESERVATION_TOKEN)?;
            (is_anothers(&token) && !tried.contains(&token)).then_some(token)
        });
        let mut thief = Client::new(name, "192.0.2.112:1112");
        let id = transaction(&mut deployment.random);
        if !std::mem::replace(&mut is_known, true) {
            deployment.referee.knows(&thief, deployment.world.now.instant);
            deployment.inject(thief.path, Request::refresh().unsigned(id), None);
        } else if let Some(token) = token
            && let Some(nonce) = deployment.referee.doorkeeper.nonce_of(thief.path.five_tuple)
        {
            thief.nonce = nonce;
            let request = Request::allocate().token(&token);
            deployment.inject(thief.path, thief.sign_as(&request, id), None);
            tried.push(token);
        }
        Some(millis(20))
    })
}

/// Asks for little, often, in the name of one victim: an answer each would be a flood.
pub(crate) fn reflector(victim: IpAddr, pause: Duration) -> Deed {
    Box::new(move |deployment| {
        let port = 1_024 + deployment.random.below(60_000) as u16;
        let path = deployment.path_from(SocketAddr::new(victim, port));
        let random = &mut deployment.random;
        let id = transaction(random);
        let requests = [Request::new(Method::BINDING), Request::allocate(), Request::refresh()];
        let bytes = requests[random.below(requests.len())].unsigned(id);
        deployment.inject(path, bytes, None);
        Some(pause)
    })
}

/// A client of ours who asks for as many permissions and channels as there are
/// addresses.
pub(crate) fn permission_spammer(who: usize) -> Deed {
    let mut next = 0_u32;
    let mut channel = 0x4800;
    Box::new(move |deployment| {
        let client = deployment.callers[who].client.clone();
        if deployment.callers[who].is_up() && !client.nonce.is_empty() {
            let peers: Vec<_> = (next..next + 25)
                .map(|n| SocketAddr::new(IpAddr::from((0xCB00_7200_u32 + n % 5_000).to_be_bytes()), 9))
                .collect();
            next += 25;
            let id = transaction(&mut deployment.random);
            deployment.inject(client.path, client.sign_as(&Request::create_permission(&peers), id), None);
            let id = transaction(&mut deployment.random);
            channel = if channel == 0x4FFF { 0x4800 } else { channel + 1 };
            deployment.inject(
                client.path,
                client.sign_as(&Request::channel_bind(channel, peers[0]), id),
                None,
            );
            // And talks on numbers that are not his.
            deployment.inject(client.path, frame(0x47FF, b"no channel"), None);
        }
        Some(millis(150))
    })
}

/// So many unauthenticated answers a second for one address, twice as many at once;
/// the same in every run.
pub(crate) struct Budget {
    per_second: u64,
    sources: Mutex<BTreeMap<IpAddr, (u64, Instant)>>,
}

impl Budget {
    pub(crate) fn new(per_second: u64) -> Arc<Self> {
        Arc::new(Self { per_second, sources: Mutex::default() })
    }
}

impl Throttle for Budget {
    fn may_answer(&self, now: Instant, source: IpAddr) -> bool {
        let most = 2 * self.per_second * 1_000_000;
        let mut sources = self.sources.lock().unwrap();
        let (left, filled) = sources.entry(source).or_insert((most, now));
        *left = (*left + now.since(*filled).as_micros() as u64 * self.per_second).min(most);
        *filled = now;
        let may = *left >= 1_000_000;
        *left -= if may { 1_000_000 } else { 0 };
        may
    }

    fn failed_login(&self, now: Instant, source: IpAddr) -> bool {
        self.may_answer(now, source)
    }
}

fn pick(random: &mut SplitMix, from: &std::collections::VecDeque<Overheard>) -> Option<Overheard> {
    let at = random.below(from.len().max(1));
    from.get(at).cloned()
}

/// What an attribute of a message says.
fn value_of(heard: &Overheard, kind: AttributeType) -> Option<Vec<u8>> {
    Message::parse(&heard.bytes).ok()?.get(kind).map(<[u8]>::to_vec)
}

fn is_request(bytes: &[u8]) -> bool {
    bytes[0] == 0 && Message::parse(bytes).is_ok_and(|m| m.has(AttributeType::MESSAGE_INTEGRITY))
}

fn noise(random: &mut SplitMix, most: usize) -> Vec<u8> {
    (0..1 + random.below(most)).map(|_| random.next() as u8).collect()
}

fn transaction(random: &mut SplitMix) -> TransactionId {
    let mut id = TransactionId::default();
    id.0[..8].copy_from_slice(&random.next().to_be_bytes());
    id.0[8] = 0xEE;
    id
}
