//! What the engine answers: where the bytes of a packet go, and what is to be
//! done in the world. Values only; `net` carries them out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use super::address::{Family, FiveTuple, PeerAddr, RelayAddr};
use super::tcp_relay::{ConnectionId, Origin};
use super::time::Instant;
use super::world::TokenFault;

/// The caller's handle of a client's side: one of a shard's UDP sockets or one
/// of its TCP connections. The engine keeps it and hands it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Link(pub u32);

/// One way to a client: the 5-tuple, and the socket it came in by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientPath {
    /// The caller's socket or connection.
    pub link: Link,
    /// Whose it is.
    pub five_tuple: FiveTuple,
    /// The shard that this client's datagrams come in at, when it is not the one
    /// that has the allocation (RFC 8016).
    pub via: Option<ShardId>,
}

impl ClientPath {
    /// A way that begins and ends at one shard, as nearly all do.
    pub const fn new(link: Link, five_tuple: FiveTuple) -> Self {
        Self { link, five_tuple, via: None }
    }
}

/// Names an allocation within its shard. Never reused for another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AllocationId {
    /// Place in the engine's table, reused.
    pub index: u32,
    /// Counts all allocations of the engine, so that no two share a name.
    pub generation: u32,
}

impl fmt::Display for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.index, self.generation)
    }
}

/// Names one relay socket: an allocation has one per address family at most.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RelayId {
    /// Whose it is.
    pub allocation: AllocationId,
    /// Which of its sockets.
    pub family: Family,
}

/// Names an effect that the engine waits for: at most one of each of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum EffectId {
    /// An Allocate waits for it.
    Allocation(AllocationId),
    /// A Connect waits for it.
    Connection(ConnectionId),
}

/// Names a shard, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShardId(pub u8);

/// Where a packet goes. `payload` is a range of the buffer the packet came in;
/// `message` and `header` are ranges of [`Output::bytes`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// Nothing to send: taken in, or parked until an effect is complete.
    Nothing,
    /// A STUN message made here, to a client.
    Reply {
        /// To whom, and from which socket: not always those of the request
        /// (RFC 5780).
        to: ClientPath,
        /// The whole message.
        message: Range<usize>,
    },
    /// A relayed packet to a client: header, payload, then `padding` zero bytes.
    /// Without a payload it is a Data indication that tells of an ICMP error.
    ToClient {
        /// To whom.
        to: ClientPath,
        /// ChannelData header, or a Data indication up to its payload.
        header: Range<usize>,
        /// The peer's bytes.
        payload: Range<usize>,
        /// 0 to 3 zero bytes behind the payload.
        padding: u8,
    },
    /// A relayed packet to a peer: the payload alone, from this relay socket.
    ToPeer {
        /// Out of which socket.
        relay: RelayId,
        /// To whom.
        peer: PeerAddr,
        /// The client's bytes.
        payload: Range<usize>,
        /// With DF set, or over IPv6 not to be fragmented here (RFC 8656 §14,
        /// §15); all others are fragmented where they must be.
        dont_fragment: bool,
    },
    /// A relayed packet to an allocation of another shard, which is given it as
    /// [`Engine::hairpin_datagram`](super::Engine::hairpin_datagram).
    ToShard {
        /// Whose allocation it is.
        shard: ShardId,
        /// The relayed address it was sent to.
        to: RelayAddr,
        /// The relayed address of the sender, its peer there.
        from: PeerAddr,
        /// The client's bytes.
        payload: Range<usize>,
    },
    /// The whole packet, to the shard that has this client's allocation, which is
    /// given it as [`Engine::passed_datagram`](super::Engine::passed_datagram).
    ToOwner {
        /// Whose allocation it is.
        shard: ShardId,
        /// The way it came in here.
        from: ClientPath,
    },
    /// The whole packet, back to the shard that has passed it on and is given it as
    /// [`Engine::returned_datagram`](super::Engine::returned_datagram): this client
    /// has no allocation here any more.
    Returned {
        /// Where it came in.
        shard: ShardId,
        /// By which way.
        from: ClientPath,
    },
    /// Dropped and counted.
    Drop(DropReason),
}

/// What one call to the engine leaves behind besides its [`Route`]. The caller
/// keeps one, drains it, and clears it after each batch; nothing is allocated
/// once it has grown to the batch's size.
#[derive(Debug, Default)]
pub struct Output {
    /// Messages and headers that routes point into.
    pub bytes: Vec<u8>,
    /// To be carried out in order.
    pub effects: Vec<Effect>,
}

/// Something to be done in the world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Open a UDP relay socket bound to exactly this local address, and answer
    /// with [`Engine::complete`](super::Engine::complete).
    BindRelay {
        /// To complete.
        id: EffectId,
        /// What the socket will be known by.
        relay: RelayId,
        /// Local address and port.
        local: SocketAddr,
    },
    /// Listen for peers' TCP connections at exactly this local address, in a way
    /// that [`Effect::ConnectPeer`] can connect from it, and answer with
    /// [`Engine::complete`](super::Engine::complete). Each connection goes to
    /// [`Engine::peer_connection`](super::Engine::peer_connection).
    BindTcpRelay {
        /// To complete.
        id: EffectId,
        /// What the socket will be known by.
        relay: RelayId,
        /// Local address and port.
        local: SocketAddr,
    },
    /// Close this relay socket. Its port may be claimed again already; until the
    /// socket is closed, a bind of it comes out as [`Outcome::PortTaken`].
    CloseRelay {
        /// Which.
        relay: RelayId,
    },
    /// Somebody could not log in, and was told so: a log line now and then.
    LoginFailed {
        /// From where.
        client: FiveTuple,
        /// As it was sent, any text; empty when it was none.
        username: Arc<str>,
        /// Why not.
        fault: LoginFault,
    },
    /// A client may hear from a peer that it could not hear from before: a log
    /// line where that is asked for.
    Permitted {
        /// Whose permission it is.
        allocation: AllocationId,
        /// For whom.
        peer: IpAddr,
    },
    /// Connect to a peer over TCP, and answer with
    /// [`Engine::complete`](super::Engine::complete). What the peer then sends is
    /// kept until [`Effect::Join`] or [`Effect::ClosePeer`].
    ConnectPeer {
        /// To complete.
        id: EffectId,
        /// What the connection will be known by.
        connection: ConnectionId,
        /// Local address and port to connect from.
        local: SocketAddr,
        /// Whom to connect to.
        peer: PeerAddr,
    },
    /// The peer has had its time to answer: stop connecting, and complete with
    /// [`Outcome::NoAnswer`].
    GiveUpConnect {
        /// To complete.
        id: EffectId,
        /// Which.
        connection: ConnectionId,
    },
    /// Close a peer's connection, and the client's that it is joined to.
    ClosePeer {
        /// Which.
        connection: ConnectionId,
    },
    /// From behind the bytes that have been taken from this client connection on,
    /// all that comes is the peer's, and the other way round; what the peer has
    /// sent already comes first, behind the reply to this very request.
    Join {
        /// The client's connection.
        client: ClientPath,
        /// The peer's.
        connection: ConnectionId,
        /// Whose it is.
        allocation: AllocationId,
        /// Whom it goes to.
        peer: PeerAddr,
        /// Who began it.
        origin: Origin,
    },
    /// Hand this client connection to another shard, with its unread bytes from
    /// the message on that had this effect.
    PassOn {
        /// The connection.
        client: ClientPath,
        /// To whom.
        shard: ShardId,
    },
    /// A client has come by a new way to an allocation it has (RFC 8016). When
    /// [`ClientPath::via`] is another shard, that one is told so by
    /// [`Engine::owned_elsewhere`](super::Engine::owned_elsewhere).
    Arrived(ClientPath),
    /// A way that a client had to its allocation besides the last one, or one by
    /// way of another shard, leads there no more; that shard is told so likewise.
    Departed(ClientPath),
    /// A client is gone that came by way of this shard to its allocation, which is
    /// that shard's: to be told there by
    /// [`Engine::client_gone`](super::Engine::client_gone).
    GoneFrom {
        /// The way it had.
        client: ClientPath,
        /// Whose the allocation is.
        shard: ShardId,
    },
    /// An allocation is its client's at another 5-tuple from now on: one log line.
    Moved {
        /// The 5-tuple before.
        from: FiveTuple,
        /// As it is now.
        to: Arc<AllocationSummary>,
    },
    /// An allocation was made: one log line.
    Opened(Arc<AllocationSummary>),
    /// An allocation has ended: one log line.
    Closed(Arc<AllocationSummary>, CloseReason),
}

/// What was wrong with a login. The client is not told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoginFault {
    /// REALM is not this server's.
    Realm,
    /// Nobody of this name: no static user, and no time-limited name either.
    User,
    /// A password that was not the user's, or made from another secret.
    Password,
    /// A time-limited credential or an access token that has had its time.
    Expired,
    /// An access token that is worth nothing.
    Token(TokenFault),
    /// Not signed with the access token's key.
    MacKey,
}

impl LoginFault {
    /// For logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Realm => "wrong realm",
            Self::User => "unknown user",
            Self::Password => "wrong password or secret",
            Self::Expired | Self::Token(TokenFault::Expired) => "expired",
            Self::Token(TokenFault::UnknownKey) => "unknown kid",
            Self::Token(TokenFault::KeyOutOfTime) => "oauth key not valid now",
            Self::Token(TokenFault::Sealed) => "access token of another key or server name, or damaged",
            Self::Token(TokenFault::Contents) => "access token with wrong contents",
            Self::Token(TokenFault::Early) => "access token from the future",
            Self::MacKey => "not signed with the access token's key",
        }
    }
}

/// How an effect came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The socket is bound.
    Bound,
    /// Another process holds the port; another one may do.
    PortTaken,
    /// Nothing of the kind will do now (descriptors, memory, no such address).
    Failed,
    /// The peer's connection stands.
    Connected,
    /// The peer refused it, or can't be reached.
    Refused,
    /// The peer did not answer in time.
    NoAnswer,
}

/// One allocation, for logs and session lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllocationSummary {
    /// Which.
    pub id: AllocationId,
    /// Client, server and transport.
    pub five_tuple: FiveTuple,
    /// The client's connection is gone, and it may come back by its ticket (RFC
    /// 8016): the 5-tuple is the last one, and may be somebody else's by now.
    pub away: bool,
    /// USERNAME as it was sent.
    pub username: Arc<str>,
    /// What quotas count: the user part of a time-limited name, or the whole.
    pub user: Arc<str>,
    /// Relayed transport addresses, IPv4 then IPv6.
    pub relays: [Option<RelayAddr>; 2],
    /// When it was made.
    pub opened: Instant,
    /// When it is over, if it has ended; else the time of the summary.
    pub until: Instant,
    /// When it ends unless it is refreshed.
    pub expires: Instant,
    /// Permissions it has.
    pub permissions: usize,
    /// Channels it has bound.
    pub channels: usize,
    /// What it has carried.
    pub traffic: Traffic,
}

/// Relayed packets and payload bytes, each way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Client to peer.
    pub up_packets: u64,
    /// Client to peer, payload only.
    pub up_bytes: u64,
    /// Peer to client.
    pub down_packets: u64,
    /// Peer to client, payload only.
    pub down_bytes: u64,
}

impl Traffic {
    /// Counts a packet from the client.
    pub const fn up(&mut self, bytes: usize) {
        self.up_packets += 1;
        self.up_bytes += bytes as u64;
    }

    /// Counts a packet to the client.
    pub const fn down(&mut self, bytes: usize) {
        self.down_packets += 1;
        self.down_bytes += bytes as u64;
    }
}

/// Why an allocation ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// Refresh with lifetime 0.
    Deleted,
    /// Not refreshed in time.
    Expired,
    /// The client's connection is gone.
    Disconnected,
    /// The server stops.
    Shutdown,
    /// An operator ended it.
    Kicked,
}

impl CloseReason {
    /// For logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::Shutdown => "shutdown",
            Self::Kicked => "kicked",
        }
    }
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal),+ $(,)?) => {
        /// Why a packet went nowhere; each has a counter.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum DropReason { $($(#[$doc])* $name),+ }

        impl DropReason {
            /// Every reason, in order; `ALL[r.index()] == r`.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its place in [`DropReason::ALL`].
            pub const fn index(self) -> usize { self as usize }

            /// The metric's label.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }
        }
    };
}

drop_reasons! {
    /// The first byte is neither STUN's nor ChannelData's (RFC 8656 Table 3).
    NotStun = "not_stun",
    /// Plaintext where only DTLS is spoken.
    NotDtls = "not_dtls",
    /// A DTLS record from a client without a session.
    NoSession = "no_session",
    /// A STUN message, ChannelData or DTLS record that breaks its format.
    Malformed = "malformed",
    /// A method or class this server has no use for.
    Unsupported = "unsupported",
    /// A response nobody asked for.
    UnexpectedResponse = "unexpected_response",
    /// The FINGERPRINT does not match.
    BadFingerprint = "bad_fingerprint",
    /// ChannelData or a Send indication without an allocation.
    NoAllocation = "no_allocation",
    /// ChannelData on a number that is not bound.
    NoChannel = "no_channel",
    /// No permission for the peer's address.
    NoPermission = "no_permission",
    /// The peer is one this server does not relay to.
    DeniedPeer = "denied_peer",
    /// A relayed address of this server that no allocation holds.
    NoSuchRelay = "no_such_relay",
    /// The relay of the peer's family is not there.
    WrongFamily = "wrong_family",
    /// An indication asks for what it can't have (RFC 8489 §6.3.2).
    UnknownAttribute = "unknown_attribute",
    /// An ICMP error that is none of a client's business (RFC 8656 §11.5).
    Icmp = "icmp",
    /// Too large for a datagram, to be wrapped for the client, or for a request.
    TooLarge = "too_large",
    /// More data than the allocation, or the server, may relay.
    Bandwidth = "bandwidth",
    /// An unauthenticated source asked too often, or began too many handshakes.
    Throttled = "throttled",
    /// A retransmission of a request that is being worked on.
    Retransmission = "retransmission",
    /// A relayed packet to a TCP client that does not read.
    SlowClient = "slow_client",
    /// Another shard's ring was full.
    RingFull = "ring_full",
    /// For a client whose connection is gone and that has yet to come back (RFC
    /// 8016).
    ClientAway = "client_away",
    /// The kernel would not take it (full buffer, no route, message size).
    SendFailed = "send_failed",
}
