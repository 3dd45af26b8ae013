//! Refresh, CreatePermission and ChannelBind (RFC 8656 §8.2, §10.2, §12.2): what
//! a client asks of an allocation it has.

use std::sync::Arc;
use std::time::Duration;

use super::address::{Family, PeerAddr};
use super::allocate::{DEFAULT_LIFETIME, bad_request, optional};
use super::allocation::{Allocation, CHANNEL_LIFETIME, MAX_PER_ALLOCATION, PERMISSION_LIFETIME, Relay};
use super::authenticate::Identity;
use super::channels::Channel;
use super::engine::{Engine, World};
use super::mobility::Arrival;
use super::reconfigure::channel_reach;
use super::reply::{self, Asked};
use super::route::{AllocationId, CloseReason, Effect, Output, Route};
use super::table::Table;
use super::time::{Instant, Now};
use super::world::Reach;
use crate::wire::attribute::{channel_number_value, first_of_four, u32_value};
use crate::wire::{AttributeType, ChannelNumber, ErrorCode, Message, address};

/// RFC 8656 §12
const FIRST_CHANNEL: u16 = 0x4000;
const LAST_CHANNEL: u16 = 0x4FFF;
/// RFC 5766 §11
const LAST_LEGACY_CHANNEL: u16 = 0x7FFF;

impl Engine {
    pub(super) fn refresh(
        &mut self,
        now: Now,
        asked: Asked,
        identity: &Identity,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Result<Route, ErrorCode> {
        let longest = if self.draining { DEFAULT_LIFETIME } else { self.settings.max_lifetime };
        let (id, arrival) = match message.get(AttributeType::MOBILITY_TICKET) {
            None => (owned(&mut self.table, now.instant, asked, identity)?.0, None),
            Some(ticket) => {
                let (id, arrival) = self.arrival(now, asked, identity, ticket)?;
                (id, Some(arrival))
            }
        };
        let allocation = self.table.live_mut(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let wanted = optional(message, AttributeType::LIFETIME, u32_value)?.unwrap_or(DEFAULT_LIFETIME);
        let requested = optional(message, AttributeType::REQUESTED_ADDRESS_FAMILY, first_of_four)?;
        // §8.2: a family the allocation does not have is a mismatch.
        let requested = match requested.map(Family::from_number) {
            None => None,
            Some(Some(family)) if allocation.relay(family, now.instant).is_some() => Some(family),
            Some(_) => return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH),
        };
        let is_meant = |relay: &Relay| requested.is_none_or(|family| family == relay.address.family());
        // One that has had its time stays dead, though its timer has yet to fire.
        let is_live = |relay: &Relay| now.instant < relay.expires;
        let lifetime = match wanted {
            0 => 0,
            wanted => identity.bounded(now.instant, wanted.clamp(DEFAULT_LIFETIME, longest)),
        };
        if lifetime == 0 {
            let mut live = allocation.relays.iter().flatten().filter(|relay| is_live(relay));
            match requested.filter(|_| !live.all(is_meant)) {
                Some(family) => self.close_relay(now.instant, id, family, out),
                None => self.close(now.instant, id, CloseReason::Deleted, out),
            }
        } else {
            let expires = now.instant + Duration::from_secs(lifetime.into());
            let relays = allocation.relays.iter_mut().flatten();
            relays
                .filter(|relay| is_live(relay) && is_meant(relay))
                .for_each(|relay| relay.expires = expires);
            self.look_by(id, expires);
            self.renew_access(id, identity);
        }
        if let Some(Arrival::New(ticket)) = arrival {
            self.arrive(now.instant, id, ticket, asked, out);
        }
        let mobility = self.table.live_mut(id).and_then(|allocation| allocation.mobility.as_deref());
        let ticket = mobility.filter(|_| arrival.is_some()).copied();
        let ticket = ticket.and_then(|mobility| self.ticket(id, &mobility));
        Ok(reply::success(asked, &identity.signer, &self.world.counters, out, |reply| {
            reply.put_u32(AttributeType::LIFETIME, lifetime);
            if let Some(ticket) = ticket {
                reply.put(AttributeType::MOBILITY_TICKET, &ticket);
            }
        }))
    }

    /// From now on it is the key of this token that signs for the allocation.
    fn renew_access(&mut self, id: AllocationId, identity: &Identity) {
        let Some(access) = &identity.access else { return };
        let Some(allocation) = self.table.live_mut(id) else { return };
        allocation.access = Some(Arc::clone(access));
        for connection in allocation.tcp.iter().flat_map(|tcp| tcp.connections.keys()) {
            self.world.pool.tcp().set_access(*connection, access);
        }
    }

    /// All peers or none: what is wrong with one is wrong with the request.
    pub(super) fn create_permission(
        &mut self,
        now: Now,
        asked: Asked,
        identity: &Identity,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Result<Route, ErrorCode> {
        let World { peers, counters, .. } = &self.world;
        let (id, allocation) = owned(&mut self.table, now.instant, asked, identity)?;
        let wanted = || {
            let attributes = message.attributes();
            attributes.filter(|a| a.kind == AttributeType::XOR_PEER_ADDRESS).map(|a| {
                let peer = address::decode_xor(a.value, message.transaction_id()).map_err(bad_request)?;
                PeerAddr::from_wire(peer).ok_or(ErrorCode::FORBIDDEN)
            })
        };
        // What has expired takes no room from what is new.
        allocation.sweep(now.instant, counters);
        let mut granted = 0;
        let mut new = Vec::new();
        for peer in wanted() {
            let peer = peer?;
            check_family(allocation, peer, now.instant)?;
            if peers.reach(peer.ip()) == Reach::Denied {
                return Err(ErrorCode::FORBIDDEN);
            }
            granted += 1;
            if allocation.permission(peer.ip(), now.instant).is_none() {
                new.push(peer.ip());
            }
        }
        if granted == 0 {
            return Err(ErrorCode::BAD_REQUEST);
        }
        // Named twice is still one permission.
        new.sort_unstable();
        new.dedup();
        if allocation.permissions.len() + new.len() > MAX_PER_ALLOCATION {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let until = now.instant + PERMISSION_LIFETIME;
        for peer in wanted().flatten() {
            if allocation.permit(peer.ip(), peers.reach(peer.ip()), until) {
                counters.permissions.add(1);
                out.effects.push(Effect::Permitted { allocation: id, peer: peer.ip() });
            }
        }
        self.look_by(id, until);
        Ok(reply::success(asked, &identity.signer, &self.world.counters, out, |_| {}))
    }

    pub(super) fn channel_bind(
        &mut self,
        now: Now,
        asked: Asked,
        identity: &Identity,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Result<Route, ErrorCode> {
        let last = if self.settings.legacy_channels { LAST_LEGACY_CHANNEL } else { LAST_CHANNEL };
        let compat = self.settings.compat_permission_lifetime;
        let World { peers, pool, counters, .. } = &self.world;
        let (id, allocation) = owned(&mut self.table, now.instant, asked, identity)?;
        // Channels are for datagrams.
        if allocation.tcp.is_some() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let number = message.get(AttributeType::CHANNEL_NUMBER).ok_or(ErrorCode::BAD_REQUEST)?;
        let number = channel_number_value(number).map_err(bad_request)?;
        let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).ok_or(ErrorCode::BAD_REQUEST)?;
        let peer = PeerAddr::from_wire(peer.map_err(bad_request)?).ok_or(ErrorCode::FORBIDDEN)?;
        if !(FIRST_CHANNEL..=last).contains(&number) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let number = ChannelNumber(number);
        allocation.sweep(now.instant, counters);
        let bound = allocation.channel(number, now.instant);
        let other_peer = bound.is_some_and(|channel| channel.peer != peer);
        let other_number =
            allocation.channel_to(peer, now.instant).is_some_and(|channel| channel.number != number);
        if other_peer || other_number {
            return Err(ErrorCode::BAD_REQUEST);
        }
        check_family(allocation, peer, now.instant)?;
        let reach = channel_reach(&**peers, pool, peer).ok_or(ErrorCode::FORBIDDEN)?;
        let new_permission = allocation.permission(peer.ip(), now.instant).is_none();
        let full = |held: usize, is_new: bool| is_new && held >= MAX_PER_ALLOCATION;
        if full(allocation.channels.len(), bound.is_none())
            || full(allocation.permissions.len(), new_permission)
        {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let lasts = if compat { CHANNEL_LIFETIME } else { PERMISSION_LIFETIME };
        let expires = now.instant + CHANNEL_LIFETIME;
        allocation.channels.bind(Channel { number, peer, expires, reach });
        counters.channels.add(bound.is_none().into());
        if allocation.permit(peer.ip(), reach, now.instant + lasts) {
            counters.permissions.add(1);
            out.effects.push(Effect::Permitted { allocation: id, peer: peer.ip() });
        }
        self.look_by(id, now.instant + lasts);
        Ok(reply::success(asked, &identity.signer, &self.world.counters, out, |_| {}))
    }
}

/// The live allocation of this 5-tuple, when it belongs to who asks.
pub(super) fn owned<'t>(
    table: &'t mut Table,
    now: Instant,
    asked: Asked,
    identity: &Identity,
) -> Result<(AllocationId, &'t mut Allocation), ErrorCode> {
    let found = table.find_live(asked.by.five_tuple, now);
    let (id, allocation) = found.ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
    if !identity.owns(allocation) {
        return Err(ErrorCode::WRONG_CREDENTIALS);
    }
    Ok((id, allocation))
}

/// RFC 8656 §10.2, §12.2: 443 when no relay has the peer's family.
fn check_family(allocation: &Allocation, peer: PeerAddr, now: Instant) -> Result<(), ErrorCode> {
    match allocation.relay(peer.family(), now) {
        Some(_) => Ok(()),
        None => Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH),
    }
}
