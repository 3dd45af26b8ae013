//! What becomes of data connections (RFC 6062 §5.2, §5.3, §5.5): peers answer or
//! don't, connect by themselves, hang up; and time runs out.

use super::address::{Family, PeerAddr};
use super::allocation::Allocation;
use super::engine::{Engine, Timer};
use super::reply;
use super::route::{AllocationId, ClientPath, Effect, EffectId, Outcome, Output, RelayId, Route};
use super::tcp_relay::{Asker, Connection, ConnectionId, Origin, PATIENCE, State};
use super::time::{Instant, Now};
use super::world::Reach;
use crate::wire::{AttributeType, ErrorCode, Method};

impl Engine {
    /// A peer has connected to the relayed transport address of a TCP allocation
    /// (RFC 6062 §5.3). Without an id it is to be closed at once; with one, its
    /// bytes are kept until [`Effect::Join`] or [`Effect::ClosePeer`], and the
    /// route tells the client.
    pub fn peer_connection(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
        out: &mut Output,
    ) -> (Option<ConnectionId>, Route) {
        // Another client's relay is known by what that client was told.
        let pool = &self.world.pool;
        let advertised = pool.tcp_relay(peer).map(|claim| PeerAddr::new(pool.advertised(claim).socket()));
        let peer = advertised.unwrap_or(peer);
        match self.take_in(now.instant, relay, peer, advertised.is_some()) {
            Some((id, path)) => {
                self.world.counters.data_connections_opened[Origin::Peer.index()].add(1);
                let random = &mut *self.world.random;
                let mut message = reply::indication(Method::CONNECTION_ATTEMPT, peer, random, out);
                message.put_u32(AttributeType::CONNECTION_ID, id.0);
                (Some(id), Route::Reply { to: path, message: message.finish() })
            }
            None => {
                self.world.counters.data_connections_refused.add(1);
                (None, Route::Nothing)
            }
        }
    }

    fn take_in(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: PeerAddr,
        is_relay: bool,
    ) -> Option<(ConnectionId, ClientPath)> {
        let id = self.new_connection_id()?;
        let allocation = self.table.live_mut(relay.allocation)?;
        allocation.relay(relay.family, now)?;
        let permission = allocation.permission(peer.ip(), now)?;
        // What `peers.allow` does not open is not let in either (H-013).
        let guarded = permission.reach == Reach::SomePorts && !is_relay;
        if guarded && !self.world.peers.may_send(peer) {
            return None;
        }
        let tcp = allocation.tcp.as_ref()?;
        let max = self.settings.data_connections_per_user;
        if !tcp.may_accept()
            || tcp.is_connected_to(peer)
            || !self.world.pool.tcp().enter(&allocation.user, max)
        {
            return None;
        }
        let path = allocation.reach()?;
        let timer = Some(self.timers.insert(now + PATIENCE, Timer::Connection(id)));
        let connection = Connection { peer, origin: Origin::Peer, state: State::Pending, timer };
        self.add_connection(relay.allocation, id, connection);
        Some((id, path))
    }

    /// A data connection has ended by itself: either side hung up, or more came
    /// than is kept for a client. Nothing happens when the engine has ended it.
    pub fn peer_connection_closed(&mut self, id: ConnectionId) {
        self.remove_connection(id);
    }

    /// Bytes have gone over a data connection: `up` to the peer, `down` to the
    /// client. For the counts alone.
    pub fn data_relayed(&mut self, id: ConnectionId, up: usize, down: usize) {
        let allocation = self.connections.get(&id).copied().and_then(|id| self.table.live_mut(id));
        let Some(allocation) = allocation else { return };
        if up > 0 {
            allocation.traffic.up(up);
            self.world.counters.data_bytes_up.add(up as u64);
        }
        if down > 0 {
            allocation.traffic.down(down);
            self.world.counters.data_bytes_down.add(down as u64);
        }
    }

    /// How a [`Effect::ConnectPeer`] has come out, or a [`Effect::GiveUpConnect`].
    pub(super) fn connected(
        &mut self,
        now: Now,
        id: ConnectionId,
        outcome: Outcome,
        out: &mut Output,
    ) -> Route {
        let Some(connection) = self.connection_mut(id) else { return Route::Nothing };
        let State::Connecting(_) = &connection.state else { return Route::Nothing };
        let state = std::mem::replace(&mut connection.state, State::Pending);
        let timer = connection.timer.take();
        let State::Connecting(asker) = state else { return Route::Nothing };
        let Asker { asked, signer } = *asker;
        timer.into_iter().for_each(|timer| self.timers.cancel(timer));
        if outcome != Outcome::Connected {
            self.remove_connection(id);
            let code = match outcome {
                // Not the peer's doing: no descriptors, no memory.
                Outcome::Failed => ErrorCode::INSUFFICIENT_CAPACITY,
                _ => ErrorCode::CONNECTION_TIMEOUT_OR_FAILURE,
            };
            return reply::error(asked, code, &signer, &self.world.counters, out, |_| {});
        }
        let timer = self.timers.insert(now.instant + PATIENCE, Timer::Connection(id));
        if let Some(connection) = self.connection_mut(id) {
            connection.timer = Some(timer);
        }
        self.world.counters.data_connections_opened[Origin::Client.index()].add(1);
        reply::success(asked, &signer, &self.world.counters, out, |reply| {
            reply.put_u32(AttributeType::CONNECTION_ID, id.0);
        })
    }

    /// The client's connection that asked for them is no more the allocation's:
    /// there is nobody to answer.
    pub(super) fn abandon_connects(&mut self, of: AllocationId, by: ClientPath, out: &mut Output) {
        let is_his = |connection: &Connection| match &connection.state {
            State::Connecting(asker) => asker.asked.by.five_tuple == by.five_tuple,
            State::Pending | State::Bound => false,
        };
        self.close_connections_if(of, is_his, out);
    }

    /// A connection's 30 s are over.
    pub(super) fn connection_timeout(&mut self, id: ConnectionId, out: &mut Output) {
        let Some(connection) = self.connection_mut(id) else { return };
        // The timer is spent.
        connection.timer = None;
        match connection.state {
            State::Connecting(_) => {
                out.effects.push(Effect::GiveUpConnect { id: EffectId::Connection(id), connection: id });
            }
            State::Pending => {
                self.remove_connection(id);
                out.effects.push(Effect::ClosePeer { connection: id });
            }
            State::Bound => {}
        }
    }

    pub(super) fn add_connection(&mut self, of: AllocationId, id: ConnectionId, connection: Connection) {
        let Some(allocation) = self.table.live_mut(of) else { return };
        let Some(tcp) = &mut allocation.tcp else { return };
        tcp.connections.insert(id, connection);
        self.connections.insert(id, of);
        self.world.counters.data_connections.add(1);
        if let Some(access) = &allocation.access {
            self.world.pool.tcp().set_access(id, access);
        }
    }

    /// Ends the data connections of an allocation that is gone (RFC 6062 §5.5).
    pub(super) fn close_connections(&mut self, allocation: &mut Allocation, out: &mut Output) {
        let Some(tcp) = allocation.tcp.take() else { return };
        for (id, connection) in tcp.connections {
            connection.timer.into_iter().for_each(|timer| self.timers.cancel(timer));
            self.connections.remove(&id);
            self.world.pool.tcp().leave(&allocation.user);
            if allocation.access.is_some() {
                self.world.pool.tcp().forget_access(id);
            }
            self.world.counters.data_connections.sub(1);
            out.effects.push(Effect::ClosePeer { connection: id });
        }
    }

    /// The same for one relay of an allocation that goes on.
    pub(super) fn close_connections_of(&mut self, of: AllocationId, family: Family, out: &mut Output) {
        self.close_connections_if(of, |connection| connection.peer.family() == family, out);
    }

    pub(super) fn close_connections_if(
        &mut self,
        of: AllocationId,
        ends: impl Fn(&Connection) -> bool,
        out: &mut Output,
    ) {
        let tcp = self.table.live_mut(of).and_then(|allocation| allocation.tcp.as_ref());
        let ended: Vec<ConnectionId> = tcp
            .iter()
            .flat_map(|tcp| &tcp.connections)
            .filter(|(_, connection)| ends(connection))
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            self.remove_connection(id);
            out.effects.push(Effect::ClosePeer { connection: id });
        }
    }

    fn remove_connection(&mut self, id: ConnectionId) {
        let Some(allocation) = self.connections.remove(&id) else { return };
        self.world.counters.data_connections.sub(1);
        let Some(allocation) = self.table.live_mut(allocation) else { return };
        self.world.pool.tcp().leave(&allocation.user);
        if allocation.access.is_some() {
            self.world.pool.tcp().forget_access(id);
        }
        let connection = allocation.tcp.as_mut().and_then(|tcp| tcp.connections.remove(&id));
        if let Some(timer) = connection.and_then(|connection| connection.timer) {
            self.timers.cancel(timer);
        }
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let allocation = *self.connections.get(&id)?;
        self.table.live_mut(allocation)?.tcp.as_mut()?.connections.get_mut(&id)
    }
}
