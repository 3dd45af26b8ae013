//! Send and Data: packets in indications (RFC 8656 §11).

use floe::wire::{AttributeType, Class, Method};

use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Peer, Request, Server};

/// A client with a relay and a peer it may reach.
fn connected(server: &Server) -> (Client, std::net::SocketAddr, Peer) {
    connected_client(Client::udp(server))
}

fn connected_client(client: Client) -> (Client, std::net::SocketAddr, Peer) {
    let mut client = client.user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    (client, relayed, peer)
}

// B-090 B-096 B-100
#[test]
fn payloads_pass_as_they_are() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::tcp(&server)] {
        let (mut client, relayed, peer) = connected_client(client);
        for length in (0..40).chain([171, 172, 1200, 1400, 1500, 4000, 9000]) {
            let payload: Vec<u8> = (0..length).map(|n: usize| (n * 7 + length) as u8).collect();
            client.send_to(peer.address(), &payload);
            peer.expect(&payload, relayed);
            peer.send(relayed, &payload);
            client.expect_data(peer.address(), &payload);
        }
    }
}

// B-092 B-097
#[test]
fn nothing_can_be_sent_too() {
    let server = Server::start(|_| {});
    let (mut client, relayed, peer) = connected(&server);
    client.send_to(peer.address(), b"");
    peer.expect(b"", relayed);
    peer.send(relayed, b"");
    client.expect_data(peer.address(), b"");
}

// B-091 B-094
#[test]
fn an_indication_that_is_not_right_is_dropped() {
    let server = Server::start(|_| {});
    let (mut client, relayed, peer) = connected(&server);
    let send = || Request::new(Method::SEND).class(Class::Indication);
    let wrong = [
        send().peer(peer.address()),
        send().put(AttributeType::DATA, b"no peer"),
        send().put(AttributeType::XOR_PEER_ADDRESS, &[0, 9, 0, 9, 1, 2, 3, 4]).put(AttributeType::DATA, b"?"),
        send().put(AttributeType::XOR_PEER_ADDRESS, &[0, 1, 0]).put(AttributeType::DATA, b"?"),
        Request::send_indication(peer.address(), b"unknown").put(AttributeType(0x7FFE), b""),
        Request::send_indication("[::1]:9".parse().unwrap(), b"wrong family"),
    ];
    for indication in wrong {
        client.expect_silence(&indication.bytes());
    }
    client.send_to(peer.address(), b"right");
    peer.expect(b"right", relayed);
}

// B-093
#[test]
fn without_permission_nothing_is_sent() {
    let server = Server::start(|_| {});
    let (mut client, relayed, _) = connected(&server);
    let peer = Peer::at("127.0.0.2");
    client.expect_silence(&Request::send_indication(peer.address(), b"too early").bytes());
    client.permit(peer.ip());
    client.send_to(peer.address(), b"permitted");
    peer.expect(b"permitted", relayed);
}

// B-096
#[test]
fn each_data_indication_has_an_id_of_its_own() {
    let server = Server::start(|_| {});
    let (mut client, relayed, peer) = connected(&server);
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        peer.send(relayed, b"again");
        ids.insert(client.receive()[8..20].to_vec());
    }
    assert_eq!(ids.len(), 100);
}

// B-098
#[test]
fn send_works_beside_a_channel() {
    let server = Server::start(|_| {});
    let (mut client, relayed, peer) = connected(&server);
    client.bind(0x4000, peer.address());
    client.send_to(peer.address(), b"by Send");
    peer.expect(b"by Send", relayed);
    peer.send(relayed, b"by channel");
    client.expect_channel(0x4000, b"by channel");
}

// B-099
#[test]
fn a_datagram_too_large_to_wrap_is_dropped_whole() {
    let server = Server::start(|_| {});
    let (mut client, relayed, peer) = connected(&server);
    peer.send(relayed, &[7; 65_507]);
    peer.send(relayed, b"small");
    client.expect_data(peer.address(), b"small");
    client.bind(0x4000, peer.address());
    peer.send(relayed, &[7; 65_507]);
    peer.send(relayed, b"small");
    client.expect_channel(0x4000, b"small");
}

// B-099 B-122
#[test]
fn large_datagrams_pass_where_they_fit() {
    let server = Server::start(|_| {});
    let (mut client, relayed, peer) = connected_client(Client::tcp(&server));
    for length in [3000, 20_000, 65_000, 65_500] {
        let payload = vec![7; length];
        peer.send(relayed, &payload);
        client.expect_data(peer.address(), &payload);
    }
    client.bind(0x4000, peer.address());
    peer.send(relayed, &[8; 65_507]);
    client.expect_channel(0x4000, &[8; 65_507]);
}

// B-099
#[test]
fn a_payload_larger_than_a_datagram_is_dropped() {
    let server = Server::start(|_| {});
    let (mut client, relayed, peer) = connected_client(Client::tcp(&server));
    client.bind(0x4000, peer.address());
    client.expect_silence(&padded(channel_message(0x4000, &[1; 65_535])));
    client.send_channel(0x4000, b"small");
    peer.expect(b"small", relayed);
}

fn padded(mut packet: Vec<u8>) -> Vec<u8> {
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet
}
