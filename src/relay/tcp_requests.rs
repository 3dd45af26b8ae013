//! Connect and ConnectionBind (RFC 6062 §5.2, §5.4), and what an Allocate for a
//! TCP relay may not ask for (§5.1).

use std::sync::Arc;

use super::access::Access;
use super::address::PeerAddr;
use super::allocate::bad_request;
use super::allocation::Relay;
use super::authenticate::{Identity, Refusal};
use super::engine::{Engine, Timer, World};
use super::nonce::NonceState;
use super::ports::Claim;
use super::reply::{self, Asked};
use super::requests::owned;
use super::route::{Effect, EffectId, Output, Route, ShardId};
use super::tcp_relay::{Asker, Connection, ConnectionId, Origin, PATIENCE, State};
use super::time::Now;
use super::world::Reach;
use crate::wire::attribute::{first_of_four, u32_value};
use crate::wire::{AttributeType, ErrorCode, Message, Method};

/// Protocol number of TCP in REQUESTED-TRANSPORT.
pub(super) const TCP: u8 = 6;

/// Ids drawn for a connection before it is given up: with the most connections
/// there can be, one in thousands is taken.
const DRAWS: usize = 8;

/// RFC 6062 §5.1: a TCP relay is had over a stream only, and with nothing that is
/// for datagrams. Whether an attribute is known otherwise does not matter.
pub(super) fn is_contradiction(asked: Asked, message: &Message<'_>) -> bool {
    const FOR_DATAGRAMS: [AttributeType; 3] =
        [AttributeType::DONT_FRAGMENT, AttributeType::EVEN_PORT, AttributeType::RESERVATION_TOKEN];
    let requested = message.get(AttributeType::REQUESTED_TRANSPORT);
    let tcp = requested.is_some_and(|value| first_of_four(value) == Ok(TCP));
    asked.method == Method::ALLOCATE
        && tcp
        && (!asked.by.five_tuple.transport.is_stream() || FOR_DATAGRAMS.iter().any(|kind| message.has(*kind)))
}

impl Engine {
    /// RFC 6062 §5.2: parked until the peer has answered, or has not for 30 s.
    pub(super) fn connect(
        &mut self,
        now: Now,
        asked: Asked,
        identity: &Identity,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Result<Route, ErrorCode> {
        let (allocation_id, allocation) = owned(&mut self.table, now.instant, asked, identity)?;
        // A UDP allocation is none to connect from.
        let Some(tcp) = &allocation.tcp else { return Err(ErrorCode::ALLOCATION_MISMATCH) };
        let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).ok_or(ErrorCode::BAD_REQUEST)?;
        let peer = PeerAddr::from_wire(peer.map_err(bad_request)?).ok_or(ErrorCode::FORBIDDEN)?;
        let relay = allocation.relay(peer.family(), now.instant);
        let relay = relay.ok_or(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH)?;
        let (exists, room) = (tcp.is_connected_to(peer), tcp.may_connect());
        // The allocation's, whichever token is shown now: so it is given back.
        let user = Arc::clone(&allocation.user);
        let to = self.destination(peer, relay).ok_or(ErrorCode::FORBIDDEN)?;
        if exists {
            return Err(ErrorCode::CONNECTION_ALREADY_EXISTS);
        }
        let id = self.new_connection_id().filter(|_| room).ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        let max = self.settings.data_connections_per_user;
        if !self.world.pool.tcp().enter(&user, max) {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let asker = Asker { asked, signer: identity.signer.clone() };
        let connection = Connection {
            peer,
            origin: Origin::Client,
            state: State::Connecting(Box::new(asker)),
            timer: Some(self.timers.insert(now.instant + PATIENCE, Timer::Connection(id))),
        };
        self.add_connection(allocation_id, id, connection);
        out.effects.push(Effect::ConnectPeer {
            id: EffectId::Connection(id),
            connection: id,
            local: self.world.pool.local(relay.claim),
            peer: to,
        });
        Ok(Route::Nothing)
    }

    /// RFC 6062 §5.4: from the success response on, this connection of the client
    /// carries the peer's bytes and nothing else.
    pub(super) fn connection_bind(
        &mut self,
        now: Now,
        asked: Asked,
        identity: &Identity,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Result<Route, ErrorCode> {
        let five_tuple = asked.by.five_tuple;
        // A control connection goes on being one (§4.3).
        if !five_tuple.transport.is_stream() || self.table.find(five_tuple).is_some() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let id = connection_id(message).ok_or(ErrorCode::BAD_REQUEST)?;
        let allocation_id = *self.connections.get(&id).ok_or(ErrorCode::BAD_REQUEST)?;
        let allocation = self.table.live_mut(allocation_id).filter(|a| a.is_live(now.instant));
        let allocation = allocation.ok_or(ErrorCode::BAD_REQUEST)?;
        if !identity.owns_from_elsewhere(allocation) {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        let connection = allocation.tcp.as_mut().and_then(|tcp| tcp.connections.get_mut(&id));
        let connection = connection.filter(|connection| matches!(connection.state, State::Pending));
        let connection = connection.ok_or(ErrorCode::BAD_REQUEST)?;
        connection.state = State::Bound;
        let (timer, peer, origin) = (connection.timer.take(), connection.peer, connection.origin);
        timer.into_iter().for_each(|timer| self.timers.cancel(timer));
        out.effects.push(Effect::Join {
            client: asked.by,
            connection: id,
            allocation: allocation_id,
            peer,
            origin,
        });
        Ok(reply::success(asked, &identity.signer, &self.world.counters, out, |_| {}))
    }

    /// The other shard whose connection a ConnectionBind is about.
    pub(super) fn connection_elsewhere(&self, asked: Asked, message: &Message<'_>) -> Option<ShardId> {
        let five_tuple = asked.by.five_tuple;
        let may_move = asked.method == Method::CONNECTION_BIND
            && five_tuple.transport.is_stream()
            && self.table.find(five_tuple).is_none();
        let shard = connection_id(message).filter(|_| may_move)?.shard();
        (shard != self.shard && shard.0 < self.settings.shards).then_some(shard)
    }

    /// The client of a data connection is known from its control connection, whose
    /// nonce is as good here: RFC 6062 knows no other, and clients (turnutils_uclient
    /// among them) take a 438 for the end. From the same IP address only, so that
    /// nobody who has overheard the request can send it first.
    pub(super) fn check_connection_bind(
        &mut self,
        now: Now,
        asked: Asked,
        message: &Message<'_>,
    ) -> Result<Identity, Refusal> {
        let client = asked.by.five_tuple;
        let allocation = connection_id(message).and_then(|id| self.connections.get(&id).copied());
        let control = allocation
            .and_then(|id| self.table.live_mut(id))
            .map(|allocation| allocation.path.five_tuple)
            .filter(|control| control.client.ip() == client.client.ip());
        let held = self.access_of_connection(message);
        self.authenticator.check_with(now, client, message, held, |nonce| {
            let own = self.authenticator.nonce_of(now, client, nonce);
            let control = control.map(|control| self.authenticator.nonce_of(now, control, nonce));
            match (own, control) {
                (NonceState::Fresh, _) | (_, Some(NonceState::Fresh)) => NonceState::Fresh,
                (NonceState::Old, _) | (_, Some(NonceState::Old)) => NonceState::Old,
                _ => NonceState::Foreign,
            }
        })
    }

    /// Sends a connection to the shard that can bind it, where its ConnectionBind
    /// is read again, and its nonce judged. Only for who can log in: nobody else
    /// may push connections around.
    pub(super) fn pass_on_connection(
        &mut self,
        now: Now,
        asked: Asked,
        message: &Message<'_>,
        shard: ShardId,
        out: &mut Output,
    ) -> Route {
        let held = self.access_of_connection(message);
        match self.authenticator.check_with(now, asked.by.five_tuple, message, held, |_| NonceState::Fresh) {
            Ok(_) => {
                out.effects.push(Effect::PassOn { client: asked.by, shard });
                Route::Nothing
            }
            Err(refusal) => self.refuse(now, asked, &refusal, out),
        }
    }

    /// The access, of whichever shard, that a ConnectionBind without a token is
    /// signed for.
    fn access_of_connection(&self, message: &Message<'_>) -> Option<Arc<Access>> {
        let id = connection_id(message).filter(|_| self.authenticator.takes_tokens())?;
        self.world.pool.tcp().access(id)
    }

    /// Where the kernel is to connect to for `peer`; `None` when the client may
    /// not. Of this server's own addresses that is another TCP allocation's relay,
    /// or what `peers.allow` names; never the own relay, a connection to itself.
    fn destination(&self, peer: PeerAddr, own: Relay) -> Option<PeerAddr> {
        let World { peers, pool, .. } = &self.world;
        let reach = peers.reach(peer.ip());
        if reach == Reach::Denied || peer.port() == 0 {
            return None;
        }
        let relay: Option<Claim> = pool.tcp_relay(peer);
        match (reach, relay) {
            (Reach::Open, _) => Some(peer),
            (_, Some(claim)) if claim == own.claim => None,
            (_, Some(claim)) => Some(PeerAddr::new(pool.local(claim))),
            (_, None) => peers.may_send(peer).then_some(peer),
        }
    }

    /// One that no connection here has.
    pub(super) fn new_connection_id(&mut self) -> Option<ConnectionId> {
        (0..DRAWS)
            .map(|_| ConnectionId::new(self.shard, &mut *self.world.random))
            .find(|id| !self.connections.contains_key(id))
    }
}

fn connection_id(message: &Message<'_>) -> Option<ConnectionId> {
    message.get(AttributeType::CONNECTION_ID).and_then(|value| u32_value(value).ok()).map(ConnectionId)
}
