//! What RFC 8656 says, once more and as simply as can be: no timers, no sweeps,
//! no index. [`super::sequences`] holds the engine against it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::relay::ports::RelayPool;
use floe::relay::{AllocationId, Family, Instant, PeerAddr};
use floe::wire::AttributeType;

use super::client::{Answer, Client, Heard};
use super::world::{RELAY_V4, RELAY_V6};

#[path = "model/allocation.rs"]
mod allocation;

pub(crate) use allocation::{Allocation, Mobility};

/// A timer fires at most this late.
const TICK: Duration = Duration::from_millis(250);
/// What has expired is swept at most this late.
const SWEEP: Duration = Duration::from_millis(5_250);

pub(crate) const PERMISSION: Duration = Duration::from_secs(300);
pub(crate) const CHANNEL: Duration = Duration::from_secs(600);
const HOLD: Duration = Duration::from_secs(30);

/// A 5-tuple, by its number.
pub(crate) type Seat = usize;

/// An Allocate that waits for its sockets.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) id: (usize, AllocationId),
    pub(crate) seat: Seat,
    pub(crate) wish: Wish,
    pub(crate) abandoned: bool,
}

impl Opening {
    /// Whether it holds a 5-tuple whose packets this shard reads. A connection that
    /// was handed over begins anew where it came in: what it has left in the other
    /// shard is not in its way.
    fn is_at(&self, seat: Seat, shard: usize) -> bool {
        self.seat == seat && self.id.0 == shard
    }
}

/// What an Allocate asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) families: Vec<Family>,
    pub(crate) even: bool,
    pub(crate) pair: bool,
    pub(crate) held: Option<Held>,
    pub(crate) lifetime: u32,
    pub(crate) mobile: bool,
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
    /// Where it speaks from.
    pub(crate) seat: Seat,
    pub(crate) state: State,
    /// The Allocate that its state comes from, when its nonce was given, and where.
    pub(crate) allocate: (Vec<u8>, Instant, Seat),
    /// The last request of any kind.
    pub(crate) last: Vec<u8>,
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

    /// Whether it has something elsewhere than where it speaks from, which is this
    /// shard's.
    pub(crate) fn is_elsewhere(&self, shard: usize) -> bool {
        match &self.state {
            State::Nothing => false,
            State::Opening(opening) => !opening.is_at(self.seat, shard),
            State::Live(allocation) => !allocation.is_at(self.seat),
        }
    }
}

/// What is to become of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    Dropped,
    ToPeer(SocketAddr, SocketAddr),
    /// To whom is there.
    ToClient(Seat, Heard),
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
    own(Family::of(ip)) == ip
}

pub(crate) fn own(family: Family) -> IpAddr {
    [RELAY_V4, RELAY_V6][family.index()].parse().unwrap()
}

pub(crate) fn is_denied(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.octets()[0] == 0xFD,
    }
}

impl Model {
    /// Whose allocation is at this 5-tuple.
    pub(crate) fn holder(&self, seat: Seat, now: Instant) -> Option<usize> {
        let is_there = |actor: &Actor| actor.live(now).is_some_and(|allocation| allocation.is_at(seat));
        self.actors.iter().position(is_there)
    }

    /// Whose Allocate waits there, in this shard.
    pub(crate) fn opener(&self, seat: Seat, shard: usize) -> Option<usize> {
        let waits =
            |actor: &Actor| matches!(&actor.state, State::Opening(opening) if opening.is_at(seat, shard));
        self.actors.iter().position(waits)
    }

    /// Whose allocation somebody may touch from where he is.
    fn owned(&self, who: usize, now: Instant) -> Result<usize, u16> {
        let holder = self.holder(self.actors[who].seat, now).ok_or(437_u16)?;
        let is_his = self.actors[holder].client.name == self.actors[who].client.name;
        if is_his { Ok(holder) } else { Err(441) }
    }

    /// Data comes from there: whose it is.
    pub(crate) fn heard_from(&mut self, seat: Seat, now: Instant) -> Option<usize> {
        let holder = self.holder(seat, now)?;
        self.actors[holder].live_mut(now)?.heard_from(seat);
        Some(holder)
    }

    /// RFC 8016 §3.2.2: who comes with a ticket, to whose allocation, and whether
    /// it moves.
    pub(crate) fn ticket(
        &self,
        seat: Seat,
        shard: usize,
        name: &str,
        now: Instant,
        ticket: &[u8],
    ) -> Result<(usize, bool), u16> {
        let known = |mobility: &Mobility| {
            mobility.ticket == ticket || mobility.used.as_ref().is_some_and(|used| used.0 == ticket)
        };
        let is_of = |actor: &Actor| {
            actor.live(now).and_then(|allocation| allocation.mobility.as_ref()).is_some_and(known)
        };
        let of = self.actors.iter().position(is_of).ok_or(437_u16)?;
        if self.opener(seat, shard).is_some() || self.holder(seat, now).is_some_and(|holder| holder != of) {
            return Err(437);
        }
        if self.actors[of].client.name != name {
            return Err(441);
        }
        let Some(allocation) = self.actors[of].live(now) else { return Err(437) };
        let Some(mobility) = &allocation.mobility else { return Err(437) };
        let used = mobility.used.as_ref().is_some_and(|(used, until)| used == ticket && now < *until);
        match allocation.is_at(seat) {
            true if used && allocation.newest() == Some(seat) => Ok((of, false)),
            true => Err(400),
            false if mobility.ticket == ticket || (used && mobility.next.is_none()) => Ok((of, true)),
            false => Err(437),
        }
    }

    /// RFC 8656 §8.2. Returns the code of the answer, 0 for success.
    pub(crate) fn refresh(&mut self, who: usize, now: Instant, lifetime: u32, family: Option<Family>) -> u16 {
        match self.owned(who, now) {
            Ok(holder) => self.refresh_of(holder, now, lifetime, family),
            Err(code) => code,
        }
    }

    pub(crate) fn refresh_of(
        &mut self,
        holder: usize,
        now: Instant,
        lifetime: u32,
        family: Option<Family>,
    ) -> u16 {
        let longest = if self.draining { 600 } else { 3600 };
        let actor = &mut self.actors[holder];
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

    /// RFC 8656 §7.2, §7.3: with a success, everything that it says has to be true.
    pub(crate) fn opened(&mut self, who: usize, seat: Seat, now: Instant, wish: &Wish, answer: &Answer) {
        let lifetime = wish.lifetime.clamp(600, 3600);
        assert_eq!(answer.lifetime(), lifetime);
        let expires = now + Duration::from_secs(lifetime.into());
        let mut allocation = Allocation { seat: Some(seat), ..Allocation::default() };
        assert_eq!(answer.has(AttributeType::MOBILITY_TICKET), wish.mobile);
        allocation.mobility = wish.mobile.then(|| Mobility {
            ticket: answer.ticket(),
            used: None,
            next: None,
            unconfirmed: false,
        });
        for relayed in answer.relayed() {
            let family = Family::of(relayed.ip());
            assert!(wish.families.contains(&family) && is_own(relayed.ip()));
            assert!(self.ports.contains(&relayed.port()));
            assert!(!wish.even || relayed.port() % 2 == 0);
            assert!(wish.held.as_ref().is_none_or(|held| held.address == relayed));
            assert!(allocation.relays[family.index()].replace((relayed, expires)).is_none());
            let others = self.actors.iter().filter_map(|actor| actor.live(now));
            let taken: Vec<_> = others.filter_map(|other| other.relay(family, now)).collect();
            assert!(!taken.contains(&relayed), "{relayed} is one of {taken:?}");
            assert!(self.held.iter().all(|held| held.address != relayed || held.expires <= now));
        }
        let missing =
            wish.families.len().checked_sub(answer.relayed().len()).expect("no more than asked for");
        assert!(missing < wish.families.len());
        assert_eq!(missing == 1, answer.has(AttributeType::ADDRESS_ERROR_CODE));
        assert_eq!(wish.pair, answer.token().is_some());
        if let Some(token) = answer.token() {
            let mut address = answer.relayed()[0];
            address.set_port(address.port() + 1);
            let name = self.actors[who].client.name.clone();
            self.held.push(Held { token, address, name, expires: now + HOLD });
        }
        self.actors[who].state = State::Live(allocation);
    }

    /// Whether a port of this kind is to be had.
    pub(crate) fn is_free(&self, pool: &RelayPool, family: Family, wish: &Wish) -> bool {
        let free = |port: u16| {
            let address = PeerAddr::new(SocketAddr::new(own(family), port));
            self.ports.contains(&port) && pool.holder(address).is_none()
        };
        pool.has(family)
            && self.ports.clone().any(|port| {
                free(port) && (!wish.even || port % 2 == 0) && (!wish.pair || free(port.saturating_add(1)))
            })
    }

    /// RFC 8656 §10.2
    pub(crate) fn permit(&mut self, who: usize, now: Instant, peers: &[SocketAddr]) -> u16 {
        match self.owned(who, now) {
            Ok(holder) => self.permit_of(holder, now, peers),
            Err(code) => code,
        }
    }

    pub(crate) fn permit_of(&mut self, holder: usize, now: Instant, peers: &[SocketAddr]) -> u16 {
        let Some(allocation) = self.actors[holder].live_mut(now) else { return 437 };
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
        match self.owned(who, now) {
            Ok(holder) => self.bind_of(holder, now, number, peer),
            Err(code) => code,
        }
    }

    pub(crate) fn bind_of(&mut self, holder: usize, now: Instant, number: u16, peer: SocketAddr) -> u16 {
        let Some(allocation) = self.actors[holder].live_mut(now) else { return 437 };
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
    pub(crate) fn send(&mut self, seat: Seat, now: Instant, peer: SocketAddr, data: &[u8]) -> Expected {
        let Some(who) = self.heard_from(seat, now) else { return Expected::Dropped };
        match self.actors[who].live(now) {
            Some(allocation) if peer.port() != 0 && allocation.permits(peer.ip(), now) => {
                self.up(allocation, now, peer, data)
            }
            _ => Expected::Dropped,
        }
    }

    /// RFC 8656 §12.6
    pub(crate) fn channel_data(&mut self, seat: Seat, now: Instant, number: u16, data: &[u8]) -> Expected {
        // Table 3: below, it is no ChannelData.
        if number < 0x4000 {
            return Expected::Dropped;
        }
        let Some(who) = self.heard_from(seat, now) else { return Expected::Dropped };
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
        for allocation in self.actors.iter().filter_map(|actor| actor.live(now)) {
            if allocation.relay(family, now) == Some(to) && allocation.permits(peer.ip(), now) {
                let Some(seat) = allocation.seat else { break };
                let heard = match allocation.channel_to(peer, now) {
                    Some(number) => Heard::Channel(number, data.to_vec()),
                    None => Heard::Data(peer, data.to_vec()),
                };
                return Expected::ToClient(seat, heard);
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

    /// The connection of this 5-tuple has ended, in this shard.
    pub(crate) fn gone(&mut self, seat: Seat, shard: usize, now: Instant) {
        let is_there = |actor: &Actor| match &actor.state {
            State::Live(allocation) => allocation.is_at(seat),
            _ => false,
        };
        // One that has had its time is there only if nobody else is.
        let holder = self.opener(seat, shard).or_else(|| self.holder(seat, now));
        let Some(who) = holder.or_else(|| self.actors.iter().position(is_there)) else { return };
        match &mut self.actors[who].state {
            State::Opening(opening) => opening.abandoned = true,
            State::Live(allocation) => {
                if allocation.cut_off(seat) {
                    self.actors[who].state = State::Nothing;
                }
            }
            State::Nothing => {}
        }
    }

    pub(crate) fn close_all(&mut self) {
        for actor in &mut self.actors {
            match &mut actor.state {
                State::Opening(opening) => opening.abandoned = true,
                state => *state = State::Nothing,
            }
        }
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
