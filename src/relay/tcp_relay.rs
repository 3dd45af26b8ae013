//! A TCP allocation's data connections (RFC 6062 §4), as plain values: to whom,
//! how far each has come, and how many there may be.

use std::fmt;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::address::PeerAddr;
use super::authenticate::Signer;
use super::reply::Asked;
use super::route::ShardId;
use super::timers::TimerId;
use super::world::Random;

/// RFC 6062 §5.2: a Connect that has had no answer from the peer for so long has
/// failed; §5.2, §5.3: so long does a connection wait for its ConnectionBind.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Connect requests of one allocation that wait for their peers.
pub(super) const MAX_CONNECTING: usize = 16;
/// Connections of peers that wait for their ConnectionBind, in one allocation.
pub(super) const MAX_ACCEPTED: usize = 16;
/// Data connections of one allocation in whatever state.
pub(super) const MAX_CONNECTIONS: usize = 128;

/// CONNECTION-ID (RFC 6062 §6.2.1). Its first byte names the shard whose engine
/// has the connection, since the client may bind it at any; the rest is random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnectionId(pub u32);

impl ConnectionId {
    /// A new one of this shard.
    pub(super) fn new(shard: ShardId, random: &mut dyn Random) -> Self {
        let mut bytes = [0; 4];
        random.fill(&mut bytes);
        bytes[0] = shard.0;
        Self(u32::from_be_bytes(bytes))
    }

    /// The shard that made it, if any did.
    pub(super) const fn shard(self) -> ShardId {
        ShardId((self.0 >> 24) as u8)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Who began a data connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// The client, by a Connect request.
    Client,
    /// The peer, by connecting to the relayed transport address.
    Peer,
}

impl Origin {
    /// Both, in order; `ALL[o.index()] == o`.
    pub const ALL: [Self; 2] = [Self::Client, Self::Peer];

    /// Its place in [`Origin::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// `client` or `peer`, for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Peer => "peer",
        }
    }
}

/// How far a data connection has come.
#[derive(Debug)]
pub(super) enum State {
    /// The peer has not answered yet; the Connect waits.
    Connecting(Box<Asker>),
    /// Waits for its ConnectionBind.
    Pending,
    /// Joined to a connection of the client.
    Bound,
}

/// The Connect request to be answered.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) asked: Asked,
    pub(super) signer: Signer,
}

#[derive(Debug)]
pub(super) struct Connection {
    /// As the client knows it: another relay of this server by its advertised
    /// address.
    pub(super) peer: PeerAddr,
    pub(super) origin: Origin,
    pub(super) state: State,
    /// For all but bound ones.
    pub(super) timer: Option<TimerId>,
}

/// What an allocation has besides when it relays TCP.
#[derive(Debug)]
pub(super) struct TcpRelay {
    pub(super) connections: HashMap<ConnectionId, Connection, FixedState>,
}

impl TcpRelay {
    pub(super) const fn new(hash: FixedState) -> Self {
        Self { connections: HashMap::with_hasher(hash) }
    }

    pub(super) fn is_connected_to(&self, peer: PeerAddr) -> bool {
        self.connections.values().any(|connection| connection.peer == peer)
    }

    pub(super) fn may_connect(&self) -> bool {
        let waits = |connection: &&Connection| matches!(connection.state, State::Connecting(_));
        self.connections.len() < MAX_CONNECTIONS
            && self.connections.values().filter(waits).count() < MAX_CONNECTING
    }

    pub(super) fn may_accept(&self) -> bool {
        let waits = |connection: &&Connection| {
            connection.origin == Origin::Peer && matches!(connection.state, State::Pending)
        };
        self.connections.len() < MAX_CONNECTIONS
            && self.connections.values().filter(waits).count() < MAX_ACCEPTED
    }
}
