//! What all of these tests begin with.

use std::net::{IpAddr, SocketAddr};

use floe::wire::AttributeType;

use crate::support::{ALICE, Authority, Client, Config, Peer, Reply, Request, Server};

pub(crate) const CHANNEL: u16 = 0x4000;

/// Shards of each server here: whoever moves to and fro lands on another one
/// nearly always.
pub(crate) const SHARDS: i64 = 4;

pub(crate) fn mobile(config: &mut Config) {
    config.set("relay.mobility", true).set("listen.shards", SHARDS);
}

/// How a client reaches the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Over {
    Udp,
    Tcp,
    Tls,
    Dtls,
}

/// A server with every listener, and who issued its certificate.
pub(crate) struct Stage {
    pub(crate) authority: Authority,
    pub(crate) server: Server,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let authority = Authority::new();
        let server = Server::start(|config| {
            mobile(config);
            authority.secure(config);
            config.set("listen.dtls", vec!["127.0.0.1:0"]);
            change(config);
        });
        Self { authority, server }
    }

    /// Alice, on a new port; over UDP at the `n`th of a few addresses.
    pub(crate) fn alice(&self, over: Over, n: u8) -> Client {
        let client = match over {
            Over::Udp => Client::udp_from(IpAddr::from([127, 0, 0, 1 + n % 50]), self.server.udp()),
            Over::Tcp => Client::tcp(&self.server),
            Over::Tls => self.authority.over_tls(self.server.all("tls")[0]),
            Over::Dtls => self.authority.over_dtls(self.server.all("dtls")[0]),
        };
        client.user(ALICE)
    }
}

/// An allocation with a ticket and a channel to this peer.
pub(crate) fn settle(client: &mut Client, peer: &Peer) -> (SocketAddr, Vec<u8>) {
    let reply = client.call(allocate()).ok();
    client.bind(CHANNEL, peer.address());
    (reply.relayed(), ticket(&reply))
}

pub(crate) fn allocate() -> Request {
    Request::allocate().put(AttributeType::MOBILITY_TICKET, &[])
}

pub(crate) fn refresh(ticket: &[u8]) -> Request {
    Request::refresh(600).put(AttributeType::MOBILITY_TICKET, ticket)
}

pub(crate) fn ticket(reply: &Reply) -> Vec<u8> {
    reply.get(AttributeType::MOBILITY_TICKET).expect("MOBILITY-TICKET").to_vec()
}

/// Comes with a ticket: the next one.
pub(crate) fn come(client: &mut Client, with: &[u8]) -> Vec<u8> {
    ticket(&client.call(refresh(with)).ok())
}

/// Data goes both ways, by the channel.
pub(crate) fn exchange(client: &mut Client, relayed: SocketAddr, peer: &Peer, payload: &[u8]) {
    client.send_channel(CHANNEL, payload);
    peer.expect(payload, relayed);
    hear(client, relayed, peer, payload);
}

/// What the peer sends reaches this client.
pub(crate) fn hear(client: &mut Client, relayed: SocketAddr, peer: &Peer, payload: &[u8]) {
    peer.send(relayed, payload);
    client.expect_channel(CHANNEL, payload);
}
