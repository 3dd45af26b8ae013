//! Allocate (RFC 8656 §7.2): checked, parked while its relay sockets are opened,
//! and finished by [`Engine::complete`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use smallvec::SmallVec;

use super::address::{Family, FiveTuple};
use super::allocation::{Allocation, Relay};
use super::authenticate::Identity;
use super::bandwidth::Bucket;
use super::channels::Channels;
use super::engine::{Engine, Settings, Timer};
use super::ports::Claim;
use super::reply::{self, Asked};
use super::route::{AllocationId, DropReason, Effect, EffectId, Outcome, Output, RelayId, Route, Traffic};
use super::table::Entry;
use super::tcp_relay::TcpRelay;
use super::tcp_requests::TCP;
use super::time::{Instant, Now};
use super::world::QuotaExceeded;
use crate::wire::attribute::{MalformedValue, even_port_value, first_of_four, u32_value};
use crate::wire::{AttributeType, ErrorCode, Message};

/// RFC 8656 §3.2; also the most that Refresh gives while draining.
pub(super) const DEFAULT_LIFETIME: u32 = 600;
/// Protocol number of UDP in REQUESTED-TRANSPORT.
const UDP: u8 = 17;
/// Ports that another process may hold before the Allocate is given up.
const MAX_TRIES: u8 = 16;

/// Which port is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PortWish {
    Any,
    Even,
    /// An even one, and the next one held for later.
    Pair,
    /// The one that a RESERVATION-TOKEN stands for.
    Held(Claim),
}

/// An Allocate that waits for its sockets.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) asked: Asked,
    identity: Identity,
    /// Seconds.
    lifetime: u32,
    wish: PortWish,
    /// Families still to be opened; the first is being worked on.
    families: ArrayVec<Family, 2>,
    /// With ADDITIONAL-ADDRESS-FAMILY one of two is enough.
    one_is_enough: bool,
    opened: [Option<Claim>; 2],
    address_error: Option<(Family, ErrorCode)>,
    waiting_for: Option<Claim>,
    /// The odd port of a pair.
    odd: Option<Claim>,
    tries: u8,
    /// The relay is to take TCP connections (RFC 6062).
    tcp: bool,
    /// A ticket is asked for (RFC 8016).
    mobile: bool,
    /// The client left meanwhile.
    abandoned: bool,
}

/// What an Allocate asks for, once its attributes have been read.
struct Wishes {
    lifetime: u32,
    families: ArrayVec<Family, 2>,
    even_port: Option<bool>,
    token: Option<[u8; 8]>,
    dont_fragment: bool,
    tcp: bool,
    mobile: bool,
}

impl Engine {
    pub(super) fn allocate(
        &mut self,
        now: Now,
        asked: Asked,
        identity: &Identity,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Result<Route, ErrorCode> {
        let five_tuple = asked.by.five_tuple;
        match self.table.find(five_tuple) {
            Some((_, Entry::Opening(opening))) if opening.asked.id == asked.id => {
                return Ok(self.drop_packet(DropReason::Retransmission));
            }
            Some((id, Entry::Live(allocation)))
                if allocation.allocate_id == asked.id && identity.owns(allocation) =>
            {
                return Ok(self.allocated(now.instant, asked, identity, (id, allocation), out));
            }
            Some(_) => return Err(ErrorCode::ALLOCATION_MISMATCH),
            None => {}
        }

        let wishes = Wishes::read(message, &self.settings)?;
        if is_tunnel(five_tuple.client.ip()) {
            return Err(ErrorCode::FORBIDDEN);
        }
        if self.draining {
            return Ok(self.try_alternate(asked, &identity.signer, out));
        }
        let one_is_enough = wishes.families.len() > 1;
        let held = wishes.token.and_then(|token| self.world.pool.reservations().family(token));
        if wishes.dont_fragment && translates_blindly(five_tuple, wishes.families.iter().copied().chain(held))
        {
            let code = ErrorCode::UNKNOWN_ATTRIBUTE;
            return Ok(reply::error(asked, code, &identity.signer, &self.world.counters, out, |reply| {
                reply.put_unknown_attributes(&[AttributeType::DONT_FRAGMENT]);
            }));
        }
        if let [family] = wishes.families[..]
            && wishes.token.is_none()
            && !self.world.pool.has(family)
        {
            return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
        }
        let mut families = wishes.families;
        let mut identity = identity.clone();
        let wish = match (wishes.token, wishes.even_port) {
            (Some(token), _) => {
                let reservation =
                    self.redeem(now.instant, token, &identity).ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
                families = [Family::of(self.world.pool.local(reservation.claim).ip())].into_iter().collect();
                // Who has been charged for it gets it back in the end.
                identity.user = reservation.user;
                PortWish::Held(reservation.claim)
            }
            (None, Some(true)) => PortWish::Pair,
            (None, Some(false)) => PortWish::Even,
            (None, None) => PortWish::Any,
        };
        match self.charge(&identity, wish) {
            Ok(()) => {}
            Err(QuotaExceeded::User) => return Err(ErrorCode::ALLOCATION_QUOTA_REACHED),
            Err(QuotaExceeded::Server) => return Ok(self.try_alternate(asked, &identity.signer, out)),
        }

        let lifetime = wishes.lifetime.clamp(DEFAULT_LIFETIME, self.settings.max_lifetime);
        let opening = Opening {
            asked,
            identity,
            lifetime,
            wish,
            families,
            one_is_enough,
            opened: [None; 2],
            address_error: None,
            waiting_for: None,
            odd: None,
            tries: 0,
            tcp: wishes.tcp,
            mobile: wishes.mobile,
            abandoned: false,
        };
        let id = self.table.open(five_tuple, opening);
        Ok(self.open_next(now, id, out))
    }

    /// An effect was carried out; finishes the request that waited for it. The
    /// route is a `Reply` or `Nothing`, and `out.effects` may hold a next try.
    pub fn complete(&mut self, now: Now, id: EffectId, outcome: Outcome, out: &mut Output) -> Route {
        let id = match id {
            EffectId::Allocation(id) => id,
            EffectId::Connection(id) => return self.connected(now, id, outcome, out),
        };
        let Some(opening) = self.table.opening_mut(id) else { return Route::Nothing };
        let Some(claim) = opening.waiting_for.take() else { return Route::Nothing };
        let Some(family) = opening.families.first().copied() else { return Route::Nothing };
        if outcome == Outcome::Bound {
            opening.opened[family.index()] = Some(claim);
            opening.families.remove(0);
            return self.open_next(now, id, out);
        }
        self.world.pool.release(claim);
        opening.odd.take().into_iter().for_each(|odd| self.world.pool.release(odd));
        let is_held = matches!(opening.wish, PortWish::Held(_));
        if outcome == Outcome::PortTaken && opening.tries < MAX_TRIES && !is_held {
            opening.tries += 1;
        } else if let Some(code) = opening.give_up(family, ErrorCode::INSUFFICIENT_CAPACITY) {
            return self.fail(id, code, out);
        }
        self.open_next(now, id, out)
    }

    /// The client of an [`Opening`] is gone; it ends with its next step.
    pub(super) fn abandon(&mut self, id: AllocationId) {
        if let Some(opening) = self.table.opening_mut(id) {
            opening.abandoned = true;
        }
    }

    /// Asks for the next socket, or finishes the request when there is none left
    /// to ask for.
    fn open_next(&mut self, now: Now, id: AllocationId, out: &mut Output) -> Route {
        loop {
            let Some(opening) = self.table.opening_mut(id) else { return Route::Nothing };
            let Some(family) = opening.families.first().copied() else {
                return self.opened(now, id, out);
            };
            if opening.abandoned {
                return self.fail(id, ErrorCode::INSUFFICIENT_CAPACITY, out);
            }
            let pool = &self.world.pool;
            let random = &mut *self.world.random;
            let claimed = match opening.wish {
                PortWish::Any => pool.claim(family, self.shard, random).map(|claim| (claim, None)),
                PortWish::Even => pool.claim_even(family, self.shard, false, random),
                PortWish::Pair => pool.claim_even(family, self.shard, true, random),
                PortWish::Held(claim) => Some((claim, None)),
            };
            if let Some((claim, odd)) = claimed {
                opening.waiting_for = Some(claim);
                opening.odd = odd;
                let relay = RelayId { allocation: id, family };
                let (tcp, local) = (opening.tcp, pool.local(claim));
                let id = EffectId::Allocation(id);
                out.effects.push(match tcp {
                    true => Effect::BindTcpRelay { id, relay, local },
                    false => Effect::BindRelay { id, relay, local },
                });
                return Route::Nothing;
            }
            let code = match pool.has(family) {
                true => ErrorCode::INSUFFICIENT_CAPACITY,
                false => ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
            };
            if let Some(code) = opening.give_up(family, code) {
                return self.fail(id, code, out);
            }
        }
    }

    fn opened(&mut self, now: Now, id: AllocationId, out: &mut Output) -> Route {
        let Some(opening) = self.table.opening_mut(id) else { return Route::Nothing };
        if opening.abandoned {
            return self.fail(id, ErrorCode::INSUFFICIENT_CAPACITY, out);
        }
        let Opening { asked, lifetime, opened, address_error, tcp, mobile, .. } = *opening;
        let identity = opening.identity.clone();
        let mobility = if mobile { self.mobility(id).map(Box::new) } else { None };
        if mobile && mobility.is_none() {
            return self.fail(id, ErrorCode::INSUFFICIENT_CAPACITY, out);
        }
        let odd = self.table.opening_mut(id).and_then(|opening| opening.odd.take());
        let expires = now.instant + Duration::from_secs(identity.bounded(now.instant, lifetime).into());
        let relays = opened.map(|claim| {
            claim.map(|claim| Relay { claim, address: self.world.pool.advertised(claim), expires })
        });
        let user = &identity.user;
        if tcp {
            opened.into_iter().flatten().for_each(|claim| self.world.pool.tcp().add_relay(claim));
        }
        let reservation_token = odd.map(|claim| self.reserve(now.instant, claim, &identity));
        let rate = self.settings.bits_per_second_per_allocation;
        let allocation = Allocation {
            path: asked.by,
            mobility,
            username: Arc::clone(&identity.username),
            user: Arc::clone(user),
            relays,
            opened: now.instant,
            allocate_id: asked.id,
            reservation_token,
            address_error,
            permissions: SmallVec::new(),
            channels: Channels::default(),
            traffic: Traffic::default(),
            bandwidth: Bucket::limiting(rate, now.instant),
            tcp: tcp.then(|| Box::new(TcpRelay::new(self.hash.clone()))),
            access: identity.access.clone(),
            timer: self.timers.insert(expires, Timer::Allocation(id)),
            timer_at: expires,
        };
        let transport = asked.by.five_tuple.transport.index();
        self.world.counters.opened[transport].add(1);
        self.world.counters.allocations[transport].add(1);
        out.effects.push(Effect::Opened(Arc::new(allocation.summary(id, now.instant))));
        let route = self.allocated(now.instant, asked, &identity, (id, &allocation), out);
        self.table.go_live(id, allocation);
        route
    }

    /// The success response (RFC 8656 §7.2), first or again.
    fn allocated(
        &self,
        now: Instant,
        asked: Asked,
        identity: &Identity,
        (id, allocation): (AllocationId, &Allocation),
        out: &mut Output,
    ) -> Route {
        let ticket = allocation.mobility.as_ref().and_then(|mobility| self.ticket(id, mobility));
        let left = allocation.expires().since(now).as_secs();
        reply::success(asked, &identity.signer, &self.world.counters, out, |reply| {
            for relay in allocation.relays.iter().flatten().filter(|relay| now < relay.expires) {
                reply.put_xor_address(AttributeType::XOR_RELAYED_ADDRESS, relay.address.socket());
            }
            reply.put_u32(AttributeType::LIFETIME, u32::try_from(left).unwrap_or(u32::MAX));
            reply.put_xor_address(AttributeType::XOR_MAPPED_ADDRESS, asked.by.five_tuple.client.socket());
            if let Some(token) = allocation.reservation_token {
                reply.put(AttributeType::RESERVATION_TOKEN, &token);
            }
            if let Some(ticket) = ticket {
                reply.put(AttributeType::MOBILITY_TICKET, &ticket);
            }
            if let Some((family, code)) = allocation.address_error {
                let [class, number] = code.class_and_number();
                reply.put(AttributeType::ADDRESS_ERROR_CODE, &[family.number(), 0, class, number]);
            }
        })
    }

    /// Gives back what an Allocate had so far, and says why.
    fn fail(&mut self, id: AllocationId, code: ErrorCode, out: &mut Output) -> Route {
        let Some(Entry::Opening(opening)) = self.table.remove(id) else { return Route::Nothing };
        for claim in opening.opened.into_iter().flatten() {
            let family = Family::of(self.world.pool.local(claim).ip());
            out.effects.push(Effect::CloseRelay { relay: RelayId { allocation: id, family } });
            self.world.pool.release(claim);
        }
        opening.odd.into_iter().for_each(|odd| self.world.pool.release(odd));
        let user = &opening.identity.user;
        self.world.quota.release(user);
        if opening.wish == PortWish::Pair {
            self.world.quota.release(user);
        }
        if opening.abandoned {
            return Route::Nothing;
        }
        let Opening { asked, identity, .. } = *opening;
        // A held port that can't be had is no sign of a full server.
        if code == ErrorCode::INSUFFICIENT_CAPACITY && !matches!(opening.wish, PortWish::Held(_)) {
            return self.try_alternate(asked, &identity.signer, out);
        }
        reply::error(asked, code, &identity.signer, &self.world.counters, out, |_| {})
    }

    /// Counts the allocation, and the port held beside it, towards the quota
    /// (B-035). A redeemed reservation has been counted when it was made.
    fn charge(&mut self, identity: &Identity, wish: PortWish) -> Result<(), QuotaExceeded> {
        let wanted = match wish {
            PortWish::Held(_) => 0,
            PortWish::Any | PortWish::Even => 1,
            PortWish::Pair => 2,
        };
        for had in 0..wanted {
            if let Err(exceeded) = self.world.quota.acquire(&identity.user, identity.max_allocations) {
                (0..had).for_each(|_| self.world.quota.release(&identity.user));
                return Err(exceeded);
            }
        }
        Ok(())
    }
}

impl Opening {
    /// This family can't be had. Returns the error that ends the request, unless
    /// the other family may do (RFC 8656 §7.2, ADDRESS-ERROR-CODE).
    fn give_up(&mut self, family: Family, code: ErrorCode) -> Option<ErrorCode> {
        self.families.retain(|f| *f != family);
        if !self.one_is_enough {
            return Some(code);
        }
        if self.address_error.replace((family, code)).is_some() {
            return Some(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        None
    }
}

impl Wishes {
    /// The checks of RFC 8656 §7.2, in its order.
    fn read(message: &Message<'_>, settings: &Settings) -> Result<Self, ErrorCode> {
        let protocol = message.get(AttributeType::REQUESTED_TRANSPORT).ok_or(ErrorCode::BAD_REQUEST)?;
        let tcp = match first_of_four(protocol).map_err(bad_request)? {
            UDP => false,
            TCP if settings.tcp_relay => true,
            _ => return Err(ErrorCode::UNSUPPORTED_TRANSPORT),
        };
        // RFC 8016 §3.1.2
        let mobile = match message.get(AttributeType::MOBILITY_TICKET) {
            None => false,
            Some(_) if settings.ticket_key.is_none() => return Err(ErrorCode::MOBILITY_FORBIDDEN),
            Some([]) => true,
            Some(_) => return Err(ErrorCode::BAD_REQUEST),
        };
        let requested = optional(message, AttributeType::REQUESTED_ADDRESS_FAMILY, first_of_four)?;
        let additional = optional(message, AttributeType::ADDITIONAL_ADDRESS_FAMILY, first_of_four)?;
        let even_port = optional(message, AttributeType::EVEN_PORT, even_port_value)?;
        let token = optional(message, AttributeType::RESERVATION_TOKEN, |value| {
            value.try_into().map_err(|_| MalformedValue)
        })?;
        let lifetime = optional(message, AttributeType::LIFETIME, u32_value)?;
        if token.is_some() && (even_port.is_some() || requested.is_some() || additional.is_some()) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let mut families = ArrayVec::new();
        match (requested, additional) {
            (Some(_), Some(_)) => return Err(ErrorCode::BAD_REQUEST),
            (Some(number), None) => {
                families.push(Family::from_number(number).ok_or(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?);
            }
            // Only the second family may be asked for in this way (§7.2).
            (None, Some(_)) if even_port == Some(true) => return Err(ErrorCode::BAD_REQUEST),
            (None, Some(number)) => {
                if Family::from_number(number) != Some(Family::V6) {
                    return Err(ErrorCode::BAD_REQUEST);
                }
                families.extend(Family::BOTH);
            }
            (None, None) => families.push(Family::V4),
        }
        let dont_fragment = message.has(AttributeType::DONT_FRAGMENT);
        let lifetime = lifetime.unwrap_or(DEFAULT_LIFETIME);
        Ok(Self { lifetime, families, even_port, token, dont_fragment, tcp, mobile })
    }
}

/// An attribute that may be missing but not malformed.
pub(super) fn optional<T>(
    message: &Message<'_>,
    kind: AttributeType,
    read: impl Fn(&[u8]) -> Result<T, MalformedValue>,
) -> Result<Option<T>, ErrorCode> {
    message.get(kind).map(read).transpose().map_err(bad_request)
}

pub(super) const fn bad_request(_: MalformedValue) -> ErrorCode {
    ErrorCode::BAD_REQUEST
}

/// Whether datagrams would go from IPv4 to IPv6, where DF is to be looked at and
/// can't be: DONT-FRAGMENT is then refused (RFC 8656 §3.7).
fn translates_blindly(client: FiveTuple, mut relays: impl Iterator<Item = Family>) -> bool {
    let from_v4 = client.client.family() == Family::V4 && !client.transport.is_stream();
    from_v4 && relays.any(|family| family == Family::V6)
}

/// 6to4 and Teredo: a relay behind either may loop (RFC 8656 §21.4).
pub(super) fn is_tunnel(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => matches!(ip.segments(), [0x2002, ..] | [0x2001, 0x0000, ..]),
    }
}
