//! An allocation is of one 5-tuple and one user (RFC 8656 §5, §6).

use std::net::{IpAddr, SocketAddr};

use crate::support::client::channel_message;
use crate::support::{ALICE, BOB, Client, Peer, Request, Server, own_address};

fn requests_on_an_allocation() -> [Request; 3] {
    let peer: IpAddr = "127.0.0.2".parse().unwrap();
    [Request::refresh(0), Request::permission(&[peer]), Request::channel_bind(0x4000, (peer, 9).into())]
}

// B-002 H-060
#[test]
fn another_user_may_not_touch_an_allocation() {
    let server = Server::start(|_| {});
    let mut alice = Client::udp(&server).user(ALICE);
    let relayed = alice.allocate();

    let mut bob = alice.user(BOB);
    bob.challenge();
    for request in requests_on_an_allocation() {
        assert_eq!(bob.call(request).code(), 441);
    }

    let mut alice = bob.user(ALICE);
    let peer = Peer::new();
    alice.permit(peer.ip());
    alice.exchange(relayed, &peer);
}

// B-003 H-061
#[test]
fn without_an_allocation_it_is_a_mismatch() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::tcp(&server)] {
        let mut client = client.user(ALICE);
        for request in requests_on_an_allocation() {
            assert_eq!(client.call(request).code(), 437);
        }
    }
}

// B-004
#[test]
fn packets_without_an_allocation_vanish() {
    let server = Server::start(|_| {});
    let peer = Peer::new();
    for mut client in [Client::udp(&server), Client::tcp(&server)] {
        client.expect_silence(&Request::send_indication(peer.address(), b"1234").bytes());
        client.expect_silence(&channel_message(0x4000, b"1234"));
    }
}

// B-006
#[test]
fn the_transport_is_part_of_the_tuple() {
    let [listener, client] = [own_address(), own_address()].map(|ip| SocketAddr::new(ip.into(), 20_000));
    let server = Server::start(|config| {
        config.set("listen.udp", vec![listener.to_string()]).set("listen.tcp", vec![listener.to_string()]);
    });
    let mut tcp = Client::tcp_on(client, listener).user(ALICE);
    let mut udp = Client::udp_on(client, listener).user(ALICE);
    let (tcp_relay, udp_relay) = (tcp.allocate(), udp.allocate());
    assert_ne!(tcp_relay, udp_relay);

    udp.call(Request::refresh(0)).ok();
    let peer = Peer::new();
    tcp.permit(peer.ip());
    tcp.exchange(tcp_relay, &peer);
    server.expect_metric("floe_allocations", &[], 1.0);
}

// B-006
#[test]
fn the_servers_address_is_part_of_the_tuple() {
    let server = Server::start(|config| _ = config.set("listen.udp", vec!["127.0.0.1:0", "127.0.0.2:0"]));
    let [first, second] = server.all("udp").try_into().expect("two listeners");
    let mut client = Client::udp_from("127.0.0.1".parse().unwrap(), first).user(ALICE);
    let relayed = client.allocate();
    client.turn_to(second);
    assert_ne!(client.allocate(), relayed);
    client.call(Request::refresh(0)).ok();
    client.turn_to(first);
    client.call(Request::refresh(600)).ok();
}

// B-079
#[test]
fn a_permission_is_of_one_allocation() {
    let server = Server::start(|_| {});
    let mut alice = Client::udp(&server).user(ALICE);
    let mut also_alice = Client::udp(&server).user(ALICE);
    let (first, second) = (alice.allocate(), also_alice.allocate());
    let [friend, other] = ["127.0.0.2", "127.0.0.3"].map(Peer::at);
    alice.permit(friend.ip());
    also_alice.permit(other.ip());

    friend.send(second, b"not permitted here");
    other.send(second, b"permitted here");
    also_alice.expect_data(other.address(), b"permitted here");
    alice.exchange(first, &friend);
}

// B-138
#[test]
fn a_channel_is_of_one_allocation() {
    let server = Server::start(|_| {});
    let mut alice = Client::udp(&server).user(ALICE);
    let mut bob = Client::udp(&server).user(BOB);
    let (alices, bobs) = (alice.allocate(), bob.allocate());
    let [one, two] = ["127.0.0.2", "127.0.0.3"].map(Peer::at);
    alice.bind(0x4000, one.address());
    bob.bind(0x4000, two.address());
    alice.send_channel(0x4000, b"to one");
    bob.send_channel(0x4000, b"to two");
    one.expect(b"to one", alices);
    two.expect(b"to two", bobs);
}
