//! Permissions: who may reach a client through its relay (RFC 8656 §9, §10.2).

use std::net::{IpAddr, Ipv4Addr};

use floe::wire::{AttributeType, Method};

use crate::support::{ALICE, Client, Peer, Request, Server};

fn peer_attribute(value: &[u8]) -> Request {
    Request::new(Method::CREATE_PERMISSION).put(AttributeType::XOR_PEER_ADDRESS, value)
}

// B-070
#[test]
fn a_permission_needs_an_address() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    assert_eq!(client.call(Request::new(Method::CREATE_PERMISSION)).code(), 400);
    let too_long_for_v4 = [[0, 1, 0, 9].as_slice(), &[0; 16]].concat();
    for value in [
        [].as_slice(),
        &[0, 1, 0, 9],
        &[0, 0, 0, 9, 1, 2, 3, 4],
        &[0, 3, 0, 9, 1, 2, 3, 4],
        &[0, 2, 0, 9, 1, 2, 3, 4],
        &too_long_for_v4,
    ] {
        assert_eq!(client.call(peer_attribute(value)).code(), 400, "{value:?}");
    }
}

// B-071 B-081
#[test]
fn ten_peers_can_be_permitted_at_once_and_again() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let peers: Vec<Peer> = (10..20).map(|n| Peer::at(&format!("127.0.0.{n}"))).collect();
    let ips: Vec<IpAddr> = peers.iter().map(Peer::ip).collect();
    let request = client.login().sign(Request::permission(&ips));
    for _ in 0..2 {
        client.call_bytes(&request).ok();
    }
    for peer in &peers {
        client.exchange(relayed, peer);
    }
    server.expect_metric("floe_permissions", &[], 10.0);
}

// B-072 B-074
#[test]
fn one_forbidden_peer_spoils_the_request() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let [first, last, later] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(Peer::at);
    let forbidden: IpAddr = "10.0.0.1".parse().unwrap();
    let other_family: IpAddr = "::1".parse().unwrap();
    for (bad, code) in [(forbidden, 403), (other_family, 443)] {
        assert_eq!(client.call(Request::permission(&[first.ip(), bad, last.ip()])).code(), code);
    }
    let malformed = Request::permission(&[first.ip()]).put(AttributeType::XOR_PEER_ADDRESS, &[0, 9]);
    assert_eq!(client.call(malformed).code(), 400);

    first.send(relayed, b"first");
    last.send(relayed, b"last");
    client.permit(later.ip());
    later.send(relayed, b"later");
    client.expect_data(later.address(), b"later");
}

// B-075
#[test]
fn a_permission_is_for_an_address_not_a_port() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let [one, two] = ["127.0.0.2", "127.0.0.2"].map(Peer::at);
    client.call(Request::new(Method::CREATE_PERMISSION).peer((one.ip(), 1).into())).ok();
    client.exchange(relayed, &one);
    client.exchange(relayed, &two);
}

// B-078 H-046
#[test]
fn a_stranger_reaches_nobody() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::tcp(&server)] {
        let mut client = client.user(ALICE);
        let relayed = client.allocate();
        let [stranger, friend] = ["127.0.0.2", "127.0.0.3"].map(Peer::at);
        client.permit(friend.ip());
        for _ in 0..100 {
            stranger.send(relayed, b"let me in");
        }
        friend.send(relayed, b"hello");
        client.expect_data(friend.address(), b"hello");
    }
    server.expect_metric("floe_dropped_packets_total", &["no_permission"], 200.0);
}

// B-080 H-041
#[test]
fn permissions_are_bounded() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    let refused = (0..200u32).find_map(|round| {
        let base = u32::from(Ipv4Addr::new(127, 1, 0, 0)) + round * 20;
        let peers: Vec<IpAddr> = (base..base + 20).map(|bits| Ipv4Addr::from(bits).into()).collect();
        let reply = client.call(Request::permission(&peers));
        (!reply.is_success()).then(|| reply.code())
    });
    assert_eq!(refused, Some(508), "4,000 permissions for one allocation");
    client.call(Request::refresh(600)).ok();
}
