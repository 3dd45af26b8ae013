//! Which family a relay is of, one relay of each, and what passes between the
//! families (RFC 8656 §7.2, §8.2).

use std::net::{IpAddr, SocketAddr};

use floe::wire::AttributeType;

use crate::support::{ALICE, Client, Config, Peer, Request, Server};

const V4: u8 = 1;
const V6: u8 = 2;

fn v4_only(config: &mut Config) {
    config.set("relay.addresses", vec!["127.0.0.1"]);
}

fn v6_only(config: &mut Config) {
    config.set("relay.addresses", vec!["::1"]);
}

/// A client with a relay of each family.
fn dual(server: &Server) -> (Client, SocketAddr, SocketAddr) {
    let mut client = Client::udp(server).user(ALICE);
    let reply = client.call(Request::allocate().additional_family(V6)).ok();
    let [v4, v6] = reply.all_relayed().try_into().expect("two relayed addresses");
    assert!(v4.is_ipv4() && v6.is_ipv6(), "{v4} {v6}");
    (client, v4, v6)
}

// B-036
#[test]
fn a_family_may_be_asked_for() {
    let server = Server::start(|_| {});
    let ask = |request: Request| Client::udp(&server).user(ALICE).call(request);
    assert!(ask(Request::allocate().family(V4)).ok().relayed().is_ipv4());
    assert!(ask(Request::allocate().family(V6)).ok().relayed().is_ipv6());
    for unknown in [0, 3, 0xFF] {
        assert_eq!(ask(Request::allocate().family(unknown)).code(), 440, "{unknown}");
    }
    let kind = AttributeType::REQUESTED_ADDRESS_FAMILY;
    assert!(ask(Request::allocate().put(kind, &[V6, 0xFF, 0xFF, 0xFF])).ok().relayed().is_ipv6());
    assert_eq!(ask(Request::allocate().put(kind, &[V6])).code(), 400);
}

// B-036
#[test]
fn a_family_without_a_relay_address_is_not_supported() {
    let server = Server::start(v4_only);
    let mut client = Client::udp(&server).user(ALICE);
    assert_eq!(client.call(Request::allocate().family(V6)).code(), 440);
    client.allocate();
}

// B-037
#[test]
fn ipv4_is_meant_when_nothing_is_said() {
    let server = Server::start(|_| {});
    assert!(Client::udp6(&server).user(ALICE).allocate().is_ipv4());
    let server = Server::start(v6_only);
    assert_eq!(Client::udp6(&server).user(ALICE).call(Request::allocate()).code(), 440);
}

// B-038 B-040
#[test]
fn only_ipv6_can_be_additional() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    assert_eq!(client.call(Request::allocate().family(V4).additional_family(V6)).code(), 400);
    assert_eq!(client.call(Request::allocate().additional_family(V4)).code(), 400);
    client.allocate();
}

// B-039 B-073
#[test]
fn one_allocation_may_have_a_relay_of_each_family() {
    let server = Server::start(|_| {});
    let (mut client, v4, v6) = dual(&server);
    let [peer4, peer6] = ["127.0.0.2", "::1"].map(Peer::at);
    client.call(Request::permission(&[peer4.ip(), peer6.ip()])).ok();
    client.exchange(v4, &peer4);
    client.exchange(v6, &peer6);
}

// B-041
#[test]
fn half_of_what_was_asked_is_better_than_nothing() {
    let server = Server::start(v4_only);
    let mut client = Client::udp(&server).user(ALICE);
    let reply = client.call(Request::allocate().additional_family(V6)).ok();
    assert!(reply.all_relayed().iter().all(SocketAddr::is_ipv4));
    let error = reply.get(AttributeType::ADDRESS_ERROR_CODE).expect("ADDRESS-ERROR-CODE");
    assert_eq!(error[..4], [V6, 0, 4, 40]);
}

// B-063
#[test]
fn a_refresh_of_the_other_family_is_a_mismatch() {
    let server = Server::start(|_| {});
    for (family, other) in [(V4, V6), (V6, V4)] {
        let mut client = Client::udp(&server).user(ALICE);
        client.call(Request::allocate().family(family)).ok();
        assert_eq!(client.call(Request::refresh(600).family(other)).code(), 443);
        client.call(Request::refresh(600).family(family)).ok();
    }
}

// B-064
#[test]
fn one_family_can_be_given_back_alone() {
    let server = Server::start(|_| {});
    let (mut client, v4, v6) = dual(&server);
    let [peer4, peer6] = ["127.0.0.2", "::1"].map(Peer::at);
    client.call(Request::permission(&[peer4.ip(), peer6.ip()])).ok();
    client.exchange(v6, &peer6);

    assert_eq!(client.call(Request::refresh(0).family(V6)).ok().lifetime(), 0);
    client.exchange(v4, &peer4);
    assert_eq!(client.call(Request::permission(&[peer6.ip()])).code(), 443);

    assert_eq!(client.call(Request::refresh(0)).ok().lifetime(), 0);
    assert_eq!(client.call(Request::refresh(600)).code(), 437);
}

// B-064
#[test]
fn without_a_family_both_are_given_back() {
    let server = Server::start(|_| {});
    let (mut client, ..) = dual(&server);
    client.call(Request::refresh(0)).ok();
    assert_eq!(client.call(Request::refresh(600)).code(), 437);
}

// B-160
#[test]
fn any_family_of_client_reaches_any_family_of_peer() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::udp6(&server), Client::tcp(&server), Client::tcp6(&server)] {
        let mut client = client.user(ALICE);
        for (family, peer) in [(V4, "127.0.0.2"), (V6, "::1")] {
            let relayed = client.call(Request::allocate().family(family)).ok().relayed();
            let peer = Peer::at(peer);
            client.permit(peer.ip());
            client.exchange(relayed, &peer);
            client.bind(0x4000, peer.address());
            client.send_channel(0x4000, b"by channel");
            peer.expect(b"by channel", relayed);
            client.call(Request::refresh(0)).ok();
        }
    }
}

// B-073 B-134
#[test]
fn a_peer_of_the_other_family_is_a_mismatch() {
    let server = Server::start(|_| {});
    for (family, other) in [(V4, "::1"), (V6, "127.0.0.1")] {
        let other: IpAddr = other.parse().unwrap();
        let mut client = Client::udp(&server).user(ALICE);
        client.call(Request::allocate().family(family)).ok();
        assert_eq!(client.call(Request::permission(&[other])).code(), 443);
        assert_eq!(client.call(Request::channel_bind(0x4000, (other, 9).into())).code(), 443);
    }
}
