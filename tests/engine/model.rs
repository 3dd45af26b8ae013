//! What RFC 8656 says, once more and as simply as can be: no timers, no sweeps,
//! no index. [`super::sequences`] holds the engine against it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::relay::{AllocationId, Family, Instant};

use super::client::{Client, Heard};
use super::world::{RELAY_V4, RELAY_V6};

/// A timer fires at most this late.
const TICK: Duration = Duration::from_millis(250);
/// What has expired is swept at most this late.
const SWEEP: Duration = Duration::from_millis(5_250);

pub(crate) const PERMISSION: Duration = Duration::from_secs(300);
pub(crate) const CHANNEL: Duration = Duration::from_secs(600);
pub(crate) const HOLD: Duration = Duration::from_secs(30);

/// One allocation. What has expired stays in here until the engine must have
/// let go of it as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allocation {
    /// IPv4, then IPv6.
    pub(crate) relays: [Option<(SocketAddr, Instant)>; 2],
    pub(crate) permissions: BTreeMap<IpAddr, Instant>,
    pub(crate) channels: BTreeMap<u16, (SocketAddr, Instant)>,
}

impl Allocation {
    pub(crate) fn expires(&self) -> Instant {
        self.relays.iter().flatten().map(|relay| relay.1).max().unwrap_or_default()
    }

    pub(crate) fn relay(&self, family: Family, now: Instant) -> Option<SocketAddr> {
        let (address, expires) = self.relays[family.index()]?;
        (now < expires).then_some(address)
    }

    pub(crate) fn permits(&self, peer: IpAddr, now: Instant) -> bool {
        self.permissions.get(&peer).is_some_and(|expires| now < *expires)
    }

    pub(crate) fn channel(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        self.channels.get(&number).filter(|channel| now < channel.1).map(|channel| channel.0)
    }

    pub(crate) fn channel_to(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let mut bound = self.channels.iter().filter(|(_, channel)| channel.0 == peer && now < channel.1);
        bound.next().map(|(number, _)| *number)
    }

    /// The family's relay and all that leads through it.
    fn drop_family(&mut self, family: Family) {
        self.relays[family.index()] = None;
        self.permissions.retain(|peer, _| Family::of(*peer) != family);
        self.channels.retain(|_, (peer, _)| Family::of(peer.ip()) != family);
    }
}

/// An Allocate that waits for its sockets.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) id: (usize, AllocationId),
    pub(crate) wish: Wish,
    pub(crate) abandoned: bool,
}

/// What an Allocate asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) families: Vec<Family>,
    pub(crate) even: bool,
    pub(crate) pair: bool,
    pub(crate) held: Option<Held>,
    pub(crate) lifetime: u32,
}

/// A port held for a RESERVATION-TOKEN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) token: [u8; 8],
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
    pub(crate) expires: Instant,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    Nothing,
    Opening(Opening),
    Live(Allocation),
}

/// One client and what it has.
pub(crate) struct Actor {
    pub(crate) client: Client,
    pub(crate) state: State,
    /// The Allocate that its state comes from, and when its nonce was given.
    pub(crate) allocate: (Vec<u8>, Instant),
    /// The last request of any kind.
    pub(crate) last: Vec<u8>,
    pub(crate) nonce_at: Instant,
}

impl Actor {
    pub(crate) fn live(&self, now: Instant) -> Option<&Allocation> {
        match &self.state {
            State::Live(allocation) if now < allocation.expires() => Some(allocation),
            _ => None,
        }
    }

    pub(crate) fn live_mut(&mut self, now: Instant) -> Option<&mut Allocation> {
        match &mut self.state {
            State::Live(allocation) if now < allocation.expires() => Some(allocation),
            _ => None,
        }
    }
}

/// What is to become of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    Dropped,
    ToPeer(SocketAddr, SocketAddr),
    /// To this actor.
    ToClient(usize, Heard),
}

pub(crate) struct Model {
    pub(crate) actors: Vec<Actor>,
    pub(crate) held: Vec<Held>,
    pub(crate) ports: std::ops::RangeInclusive<u16>,
    pub(crate) compat: bool,
    pub(crate) draining: bool,
    /// When the engines were last woken.
    pub(crate) woken: Instant,
}

pub(crate) fn is_own(ip: IpAddr) -> bool {
    [RELAY_V4, RELAY_V6].iter().any(|own| own.parse() == Ok(ip))
}

pub(crate) fn is_denied(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.octets()[0] == 0xFD,
    }
}

impl Model {
    /// RFC 8656 §8.2. Returns the code of the answer, 0 for success.
    pub(crate) fn refresh(&mut self, who: usize, now: Instant, lifetime: u32, family: Option<Family>) -> u16 {
        let longest = if self.draining { 600 } else { 3600 };
        let actor = &mut self.actors[who];
        let Some(allocation) = actor.live_mut(now) else { return 437 };
        if family.is_some_and(|family| allocation.relay(family, now).is_none()) {
            return 443;
        }
        let until = now + Duration::from_secs(lifetime.clamp(600, longest).into());
        for each in Family::BOTH {
            if family.is_some_and(|family| family != each) || allocation.relay(each, now).is_none() {
                continue;
            }
            if lifetime == 0 {
                allocation.drop_family(each);
            } else if let Some(relay) = &mut allocation.relays[each.index()] {
                relay.1 = until;
            }
        }
        if Family::BOTH.iter().all(|family| allocation.relay(*family, now).is_none()) {
            actor.state = State::Nothing;
        }
        0
    }

    /// RFC 8656 §10.2
    pub(crate) fn permit(&mut self, who: usize, now: Instant, peers: &[SocketAddr]) -> u16 {
        let Some(allocation) = self.actors[who].live_mut(now) else { return 437 };
        for peer in peers {
            if allocation.relay(Family::of(peer.ip()), now).is_none() {
                return 443;
            }
            if is_denied(peer.ip()) {
                return 403;
            }
        }
        for peer in peers {
            let expires = allocation.permissions.entry(peer.ip()).or_default();
            *expires = (*expires).max(now + PERMISSION);
        }
        if peers.is_empty() { 400 } else { 0 }
    }

    /// RFC 8656 §12.2
    pub(crate) fn bind(&mut self, who: usize, now: Instant, number: u16, peer: SocketAddr) -> u16 {
        let Some(allocation) = self.actors[who].live_mut(now) else { return 437 };
        let taken = allocation.channel(number, now).is_some_and(|bound| bound != peer);
        let elsewhere = allocation.channel_to(peer, now).is_some_and(|bound| bound != number);
        if !(0x4000..=0x4FFF).contains(&number) || taken || elsewhere {
            return 400;
        }
        if allocation.relay(Family::of(peer.ip()), now).is_none() {
            return 443;
        }
        let no_relay = is_own(peer.ip()) && !self.ports.contains(&peer.port());
        if is_denied(peer.ip()) || no_relay || peer.port() == 0 {
            return 403;
        }
        allocation.channels.retain(|_, (bound, _)| *bound != peer);
        allocation.channels.insert(number, (peer, now + CHANNEL));
        let lasts = if self.compat { CHANNEL } else { PERMISSION };
        let expires = allocation.permissions.entry(peer.ip()).or_default();
        *expires = (*expires).max(now + lasts);
        0
    }

    /// RFC 8656 §11.2
    pub(crate) fn send(&self, who: usize, now: Instant, peer: SocketAddr, data: &[u8]) -> Expected {
        match self.actors[who].live(now) {
            Some(allocation) if peer.port() != 0 && allocation.permits(peer.ip(), now) => {
                self.up(allocation, now, peer, data)
            }
            _ => Expected::Dropped,
        }
    }

    /// RFC 8656 §12.6
    pub(crate) fn channel_data(&self, who: usize, now: Instant, number: u16, data: &[u8]) -> Expected {
        let Some(allocation) = self.actors[who].live(now) else { return Expected::Dropped };
        match allocation.channel(number, now) {
            Some(peer) => self.up(allocation, now, peer, data),
            None => Expected::Dropped,
        }
    }

    fn up(&self, from: &Allocation, now: Instant, peer: SocketAddr, data: &[u8]) -> Expected {
        match from.relay(Family::of(peer.ip()), now) {
            None => Expected::Dropped,
            Some(relayed) if is_own(peer.ip()) => self.down(now, peer, relayed, data),
            Some(relayed) => Expected::ToPeer(relayed, peer),
        }
    }

    /// RFC 8656 §11.3, §12.5: from a peer to a relayed address.
    pub(crate) fn down(&self, now: Instant, to: SocketAddr, peer: SocketAddr, data: &[u8]) -> Expected {
        let family = Family::of(to.ip());
        for (who, actor) in self.actors.iter().enumerate() {
            let Some(allocation) = actor.live(now) else { continue };
            if allocation.relay(family, now) == Some(to) && allocation.permits(peer.ip(), now) {
                let heard = match allocation.channel_to(peer, now) {
                    Some(number) => Heard::Channel(number, data.to_vec()),
                    None => Heard::Data(peer, data.to_vec()),
                };
                return Expected::ToClient(who, heard);
            }
        }
        Expected::Dropped
    }

    /// The engines were woken: what was over a tick ago is gone for good.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.woken = now;
        self.held.retain(|held| now < held.expires + TICK);
        for actor in &mut self.actors {
            let State::Live(allocation) = &mut actor.state else { continue };
            if allocation.expires() + TICK <= now {
                actor.state = State::Nothing;
                continue;
            }
            for family in Family::BOTH {
                if allocation.relays[family.index()].is_some_and(|(_, expires)| expires + TICK <= now) {
                    allocation.drop_family(family);
                }
            }
            allocation.permissions.retain(|_, expires| now < *expires + SWEEP);
            allocation.channels.retain(|_, (_, expires)| now < *expires + SWEEP);
        }
    }

    pub(crate) fn gone(&mut self, who: usize) {
        match &mut self.actors[who].state {
            State::Opening(opening) => opening.abandoned = true,
            state => *state = State::Nothing,
        }
    }

    pub(crate) fn close_all(&mut self) {
        (0..self.actors.len()).for_each(|who| self.gone(who));
        self.held.clear();
    }

    /// How many allocations there are: surely, and at most.
    pub(crate) fn allocations(&self, now: Instant) -> [usize; 2] {
        let there = self.actors.iter().filter(|actor| matches!(actor.state, State::Live(_)));
        [self.actors.iter().filter(|actor| actor.live(now).is_some()).count(), there.count()]
    }

    /// How much of a quota a user has taken: surely, and at most.
    pub(crate) fn taken(&self, now: Instant, user: &str) -> [u32; 2] {
        let mut taken = [0; 2];
        for actor in self.actors.iter().filter(|actor| user_of(&actor.client.name) == user) {
            let [surely, at_most] = match &actor.state {
                State::Nothing => [0, 0],
                State::Opening(opening) => [1 + u32::from(opening.wish.pair); 2],
                State::Live(_) => [u32::from(actor.live(now).is_some()), 1],
            };
            taken = [taken[0] + surely, taken[1] + at_most];
        }
        for held in self.held.iter().filter(|held| user_of(&held.name) == user) {
            taken = [taken[0] + u32::from(now < held.expires), taken[1] + 1];
        }
        taken
    }

    /// Ports held back by no socket: for tokens, and beside even ones on their way.
    pub(crate) fn ports_aside(&self, now: Instant) -> [usize; 2] {
        let pairs = self.actors.iter().filter(|actor| match &actor.state {
            State::Opening(opening) => opening.wish.pair,
            _ => false,
        });
        let odd = pairs.count();
        [odd + self.held.iter().filter(|held| now < held.expires).count(), odd + self.held.len()]
    }

    /// Permissions and channels: surely, and at most.
    pub(crate) fn permissions(&self, now: Instant) -> [u64; 2] {
        self.count(now, |allocation| {
            allocation.permissions.iter().map(|(peer, expires)| (*peer, *expires)).collect()
        })
    }

    pub(crate) fn channels(&self, now: Instant) -> [u64; 2] {
        self.count(now, |allocation| {
            allocation.channels.values().map(|(peer, expires)| (peer.ip(), *expires)).collect()
        })
    }

    /// What leads to a peer goes with the relay of the peer's family, if not before.
    fn count(&self, now: Instant, ends: impl Fn(&Allocation) -> Vec<(IpAddr, Instant)>) -> [u64; 2] {
        let mut counts = [0; 2];
        for actor in &self.actors {
            let State::Live(allocation) = &actor.state else { continue };
            let ends = ends(allocation);
            let lives = |(peer, expires): &&(IpAddr, Instant)| {
                now < *expires && allocation.relay(Family::of(*peer), now).is_some()
            };
            counts[0] += ends.iter().filter(lives).count() as u64;
            counts[1] += ends.len() as u64;
        }
        counts
    }
}

/// What quotas count.
pub(crate) fn user_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, user)| user)
}
