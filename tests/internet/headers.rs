//! Fields of the IP header (RFC 8656 §13, §14): DF as asked, and the alternate
//! behaviour for the rest: DSCP best effort, ECN not-ECT, the system's TTL.

use std::net::SocketAddr;

use floe::wire::AttributeType;

use crate::packets::{Header, Labelled, datagrams_to, flow_label_of, header_of, links, raw_v6};
use crate::support::{ALICE, Client, Peer, Request, Server};

const PLAIN: Header = Header { tos: 0, ttl: 64, dont_fragment: false };

// B-026 B-110 B-119 B-120
#[test]
fn df_is_set_where_the_client_asks_and_nothing_else_is_copied() {
    let [client_ip, peer_ip] = ["127.0.0.70", "127.0.0.71"].map(|ip| ip.parse().unwrap());
    let (Some(to_client), Some(to_peer)) = (datagrams_to(client_ip), datagrams_to(peer_ip)) else { return };
    let server = Server::start(|_| {});
    for client in [Client::udp_from(client_ip, server.udp()), Client::tcp(&server)] {
        let mut client = client.user(ALICE);
        // Expedited forwarding, ECT(1), and a TTL of its own.
        client.mark(0xB9, 7);
        let asking = Request::allocate().put(AttributeType::DONT_FRAGMENT, b"");
        let relayed = client.call(asking).ok().relayed();
        let peer = Peer::at(&peer_ip.to_string());
        client.permit(peer.ip());
        client.bind(0x4000, peer.address());
        for round in 0..3u8 {
            // Of growing sizes, so that the kernel is not handed two as one, which
            // is how it would be seen here.
            let (with, without, channel) = ([round, 1], [round, 2], [round, 3, 3]);
            let send = Request::send_indication(peer.address(), &with);
            client.send(&send.put(AttributeType::DONT_FRAGMENT, b"").bytes());
            client.send_to(peer.address(), &without);
            client.send_channel(0x4000, &channel);
            let df = Header { dont_fragment: true, ..PLAIN };
            assert_eq!(header_of(&to_peer, peer.address(), &with), df);
            assert_eq!(header_of(&to_peer, peer.address(), &without), PLAIN);
            assert_eq!(header_of(&to_peer, peer.address(), &channel), PLAIN);
            for payload in [&with[..], &without, &channel] {
                peer.expect(payload, relayed);
            }
        }
        if client.is_udp() {
            peer.mark(0xB9, 7);
            peer.send(relayed, b"down");
            let packet = [0x40, 0, 0, 4, b'd', b'o', b'w', b'n'];
            assert_eq!(header_of(&to_client, client.local(), &packet), PLAIN);
        }
    }
}

// B-110
#[test]
fn packets_keep_their_order_whatever_they_ask_for() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    for number in 0..200u8 {
        let mut send = Request::send_indication(peer.address(), &[number]);
        if number % 3 == 0 {
            send = send.put(AttributeType::DONT_FRAGMENT, b"");
        }
        client.send(&send.bytes());
    }
    for number in 0..200 {
        peer.expect(&[number], relayed);
    }
}

// B-111 B-112
#[test]
fn other_pairs_of_families_ignore_it_or_refuse_it() {
    let server = Server::start(|_| {});
    let asking = |family| Request::allocate().family(family).put(AttributeType::DONT_FRAGMENT, b"");
    let refused = Client::udp(&server).user(ALICE).call(asking(2));
    assert_eq!((refused.code(), refused.get(AttributeType::UNKNOWN_ATTRIBUTES)), (420, Some(&[0, 0x1A][..])));
    for (family, ip) in [(1, "127.0.0.72"), (2, "::1")] {
        let mut client = Client::udp6(&server).user(ALICE);
        let relayed = client.call(asking(family)).ok().relayed();
        let peer = Peer::at(ip);
        client.permit(peer.ip());
        // Larger than loopback carries in one piece over IPv6.
        let large = vec![7; 65_400];
        let send = Request::send_indication(peer.address(), &large);
        client.send(&send.put(AttributeType::DONT_FRAGMENT, b"").bytes());
        peer.expect(&large, relayed);
    }
}

// B-099 B-100 B-122
#[test]
fn the_largest_datagrams_are_relayed_whole() {
    let server = Server::start(|_| {});
    for (family, ip, largest) in [(1, "127.0.0.73", 65_507), (2, "::1", 65_527)] {
        for client in [Client::tcp(&server), Client::tcp6(&server)] {
            let mut client = client.user(ALICE);
            let relayed = client.call(Request::allocate().family(family)).ok().relayed();
            let peer = Peer::at(ip);
            client.bind(0x4000, peer.address());
            for length in [largest, 3000, 0, largest - 1] {
                let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
                client.send_channel(0x4000, &payload);
                peer.expect(&payload, relayed);
                peer.send(relayed, &payload);
                client.expect_channel(0x4000, &payload);
            }
        }
        let mut client = Client::udp6(&server).user(ALICE);
        let relayed = client.call(Request::allocate().family(family)).ok().relayed();
        let peer = Peer::at(ip);
        client.bind(0x4000, peer.address());
        let payload = vec![9; 65_500];
        client.send_channel(0x4000, &payload);
        peer.expect(&payload, relayed);
        peer.send(relayed, &payload);
        client.expect_channel(0x4000, &payload);
    }
}

/// Linux makes one of its own for each flow, or zero.
// B-121
#[test]
fn a_flow_label_is_not_copied_and_fragments_are_put_together() {
    let (Some(forger), Some(links)) = (raw_v6(), links()) else { return };
    let server = Server::start(|_| {});
    let v6 = |address| match address {
        SocketAddr::V6(address) => address,
        SocketAddr::V4(address) => panic!("{address}"),
    };
    let mut client = Client::udp6(&server).user(ALICE);
    let relayed = client.call(Request::allocate().family(2)).ok().relayed();
    let peer = Peer::at("::1");
    client.permit(peer.ip());
    client.bind(0x4000, peer.address());
    let labels = [0x1_2345, 0xA_BCDE].map(|flow_label| {
        let payload = flow_label.to_string().into_bytes();
        let packet = [&[0x40, 0, 0, payload.len() as u8][..], &payload].concat();
        let (from, to) = (v6(client.local()), v6(server.udp6()));
        Labelled { flow_label, from, to, payload: &packet }.send(&forger);
        peer.expect(&payload, relayed);
        let up = flow_label_of(&links, peer.address(), &payload);

        let (from, to) = (v6(peer.address()), v6(relayed));
        Labelled { flow_label, from, to, payload: &payload }.send(&forger);
        client.expect_channel(0x4000, &payload);
        let down = flow_label_of(&links, client.local(), &packet);
        assert_ne!((up, down), (flow_label, flow_label));
        (up, down)
    });
    assert_eq!(labels[0], labels[1], "the label is that of the flow");

    let payload: Vec<u8> = (0..3000u32).map(|at| (at % 251) as u8).collect();
    let whole = Labelled { flow_label: 9, from: v6(peer.address()), to: v6(relayed), payload: &payload };
    whole.send_in_fragments(&forger, 1232);
    client.expect_channel(0x4000, &payload);
}
