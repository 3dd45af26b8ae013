//! Clients whose datagrams come in at this shard and whose allocation is another
//! one's: they have moved (RFC 8016), and the kernel's flow hash knows nothing of
//! allocations. Looked at only for a 5-tuple that is not known here.

use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::address::{FiveTuple, Transport};
use super::engine::{Engine, Timer, World};
use super::reply::{self, Asked};
use super::route::{ClientPath, DropReason, Effect, Link, Output, Route, ShardId};
use super::time::{Instant, Now};
use super::timers::TimerId;
use crate::wire::{ErrorCode, Message, Method, PacketKind, packet_kind};

/// Such clients of one shard.
const MAX_ELSEWHERE: usize = 65_536;
/// Those that nobody has heard of for long are looked for this often.
const SWEEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Owner {
    shard: ShardId,
    /// The last time that a datagram went there.
    heard: Instant,
}

#[derive(Debug)]
pub(super) struct Elsewhere {
    owners: HashMap<FiveTuple, Owner, FixedState>,
    sweep: Option<TimerId>,
}

impl Elsewhere {
    pub(super) const fn new(hash: FixedState) -> Self {
        Self { owners: HashMap::with_hasher(hash), sweep: None }
    }

    /// Who has the allocation of this client. Nothing is passed on twice.
    pub(super) fn owner(&mut self, now: Instant, from: ClientPath) -> Option<ShardId> {
        if self.owners.is_empty() || from.via.is_some() {
            return None;
        }
        let owner = self.owners.get_mut(&from.five_tuple)?;
        owner.heard = now;
        Some(owner.shard)
    }
}

impl Engine {
    /// What becomes of a packet from a client without an allocation here.
    #[cold]
    pub(super) fn no_allocation(&mut self, now: Instant, from: ClientPath) -> Route {
        match self.elsewhere.owner(now, from) {
            Some(shard) => self.to_owner(shard, from),
            None => self.drop_packet(DropReason::NoAllocation),
        }
    }

    pub(super) fn to_owner(&self, shard: ShardId, from: ClientPath) -> Route {
        self.world.counters.passed_on.add(1);
        Route::ToOwner { shard, from }
    }

    /// A datagram that another shard's engine routed here ([`Route::ToOwner`]);
    /// `from` is the way it came in there, with that shard in [`ClientPath::via`].
    pub fn passed_datagram(&mut self, now: Now, from: ClientPath, packet: &[u8], out: &mut Output) -> Route {
        self.bury(now.instant, from.five_tuple, out);
        let was_ours = self.table.find(from.five_tuple).is_some();
        // What begins anew begins where it came in.
        if let Some(via) = from.via
            && !was_ours
            && !self.is_ticket_for_here(packet)
        {
            return Route::Returned { shard: via, from };
        }
        let route = self.client_datagram(now, from, packet, out);
        if !was_ours && self.table.find(from.five_tuple).is_none() {
            out.effects.push(Effect::Departed(from));
        }
        route
    }

    /// A datagram that this engine passed on and got back ([`Route::Returned`]) from
    /// `shard`, by the way it came in here.
    pub fn returned_datagram(
        &mut self,
        now: Now,
        shard: ShardId,
        from: ClientPath,
        packet: &[u8],
        out: &mut Output,
    ) -> Route {
        self.owned_elsewhere(now, from.five_tuple, shard, false);
        self.client_datagram(now, from, packet, out)
    }

    fn is_ticket_for_here(&self, packet: &[u8]) -> bool {
        let message = (packet_kind(packet) == Some(PacketKind::Stun)).then(|| Message::parse(packet));
        let place = message.and_then(|message| self.place_of_ticket(&message.ok()?));
        place.is_some_and(|place| place.shard == self.shard)
    }

    /// The word of another shard on a client whose datagrams come in here: they are
    /// to be passed on to it from now on ([`Effect::Arrived`]), or no more
    /// ([`Effect::Departed`]). False when it changes nothing.
    pub fn owned_elsewhere(&mut self, now: Now, client: FiveTuple, shard: ShardId, owned: bool) -> bool {
        match owned {
            true => self.table.find(client).is_none() && self.note_owner(now.instant, client, shard),
            false => {
                let was = self.elsewhere.owners.get(&client).is_some_and(|owner| owner.shard == shard);
                was && self.forget_owner(client).is_some()
            }
        }
    }

    /// The shard that had the allocation of this client, who is gone.
    pub(super) fn forget_owner(&mut self, client: FiveTuple) -> Option<ShardId> {
        let owner = self.elsewhere.owners.remove(&client)?;
        if self.elsewhere.owners.is_empty() {
            self.elsewhere.sweep.take().into_iter().for_each(|timer| self.timers.cancel(timer));
        }
        Some(owner.shard)
    }

    /// False when there is no room for it.
    fn note_owner(&mut self, now: Instant, client: FiveTuple, shard: ShardId) -> bool {
        let owners = &mut self.elsewhere.owners;
        if owners.len() >= MAX_ELSEWHERE && !owners.contains_key(&client) {
            return false;
        }
        owners.insert(client, Owner { shard, heard: now });
        let timers = &mut self.timers;
        self.elsewhere.sweep.get_or_insert_with(|| timers.insert(now + SWEEP, Timer::Elsewhere));
        true
    }

    /// Forgets clients that can have no allocation any more, since none has lived
    /// so long without a request. Their shard has said so, but a word may be lost.
    pub(super) fn sweep_elsewhere(&mut self, now: Instant, out: &mut Output) {
        let longest = Duration::from_secs(self.settings.max_lifetime.into());
        self.elsewhere.owners.retain(|client, owner| {
            let may_live = now.since(owner.heard) <= longest;
            if !may_live {
                out.effects.push(Effect::Departed(ClientPath::new(Link(0), *client)));
            }
            may_live
        });
        let is_empty = self.elsewhere.owners.is_empty();
        self.elsewhere.sweep = (!is_empty).then(|| self.timers.insert(now + SWEEP, Timer::Elsewhere));
    }

    /// The other shard whose allocation a Refresh has a ticket for.
    pub(super) fn ticket_elsewhere(&self, asked: Asked, message: &Message<'_>) -> Option<ShardId> {
        if asked.method != Method::REFRESH || asked.by.via.is_some() {
            return None;
        }
        let shard = self.place_of_ticket(message)?.shard;
        let is_new_here = self.table.find(asked.by.five_tuple).is_none();
        (is_new_here && shard != self.shard && shard.0 < self.settings.shards).then_some(shard)
    }

    /// Sends who comes with a ticket to the shard whose it is, where the Refresh is
    /// read again: a connection goes there for good, a datagram alone. (A session
    /// of DTLS stays where its datagrams come in; what it holds goes.) Only for who
    /// has logged in: nobody else makes work for another shard.
    pub(super) fn pass_on_ticket(
        &mut self,
        now: Now,
        asked: Asked,
        message: &Message<'_>,
        shard: ShardId,
        out: &mut Output,
    ) -> Route {
        let identity = match self.authenticator.check(now, asked.by.five_tuple, message, None) {
            Ok(identity) => identity,
            Err(refusal) => return self.refuse(now, asked, &refusal, out),
        };
        match asked.by.five_tuple.transport {
            Transport::Tcp | Transport::Tls => {
                out.effects.push(Effect::PassOn { client: asked.by, shard });
                Route::Nothing
            }
            Transport::Udp | Transport::Dtls if self.note_owner(now.instant, asked.by.five_tuple, shard) => {
                self.to_owner(shard, asked.by)
            }
            Transport::Udp | Transport::Dtls => {
                let World { counters, .. } = &self.world;
                let code = ErrorCode::INSUFFICIENT_CAPACITY;
                counters.request(asked.method);
                reply::error(asked, code, &identity.signer, counters, out, |_| {})
            }
        }
    }
}
