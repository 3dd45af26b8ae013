//! ICMP errors reach the client (RFC 8656 §11.5), from the kernel's error queue.

use std::net::{Ipv4Addr, SocketAddr};

use floe::wire::{AttributeType, Class, Message, Method};

use crate::packets::{Forged, router};
use crate::support::ports::unused;
use crate::support::{ALICE, Client, Peer, Request, Server};

/// Peer and ICMP attribute of the next thing that comes.
fn told(client: &mut Client) -> (SocketAddr, Vec<u8>) {
    let packet = client.receive();
    let message = Message::parse(&packet).expect("well-formed STUN");
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA), "{packet:02x?}");
    assert!(!message.has(AttributeType::DATA));
    let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).expect("XOR-PEER-ADDRESS");
    (peer.expect("a right address"), message.get(AttributeType::ICMP).expect("ICMP").to_vec())
}

/// A peer's address at which nobody is.
fn nobody(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().expect("an address"), unused())
}

// B-113 B-115 B-116 B-117
#[test]
fn a_closed_port_is_told() {
    let server = Server::start(|_| {});
    let clients: [fn(&Server) -> Client; 4] = [Client::udp, Client::udp6, Client::tcp, Client::tcp6];
    for client in clients {
        for (family, ip, attribute) in
            [(1, "127.0.0.1", [0, 0, 3, 3, 0, 0, 0, 0]), (2, "::1", [0, 0, 1, 4, 0, 0, 0, 0])]
        {
            let mut client = client(&server).user(ALICE);
            let relayed = client.call(Request::allocate().family(family)).ok().relayed();
            let closed = nobody(ip);
            client.permit(closed.ip());
            client.send_to(closed, b"anyone?");
            assert_eq!(told(&mut client), (closed, attribute.to_vec()));
            client.bind(0x4000, closed);
            client.send_channel(0x4000, b"anyone?");
            assert_eq!(told(&mut client), (closed, attribute.to_vec()));
            // The relay is as good as before.
            client.exchange(relayed, &Peer::at(ip));
        }
    }
    server.expect_metric("floe_icmp_errors_total", &[], 16.0);
}

// B-113 B-114 B-116 B-118
#[test]
fn a_routers_error_is_told_by_the_permission_of_the_peer() {
    const ROUTER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 61);
    let Some(router) = router(ROUTER) else { return };
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::at("127.0.0.62");
    let stranger: SocketAddr = "127.0.0.63:9".parse().unwrap();
    client.permit(peer.ip());
    let forge = |kind, code, to| Forged { kind, code, mtu: 1400, protocol: 17, from: relayed, to };
    for (kind, code, data) in [(3, 0, 0u32), (3, 1, 0), (3, 4, 1400), (3, 13, 0), (11, 0, 0)] {
        forge(kind, code, peer.address()).send(&router);
        let mut attribute = vec![0, 0, kind, code];
        attribute.extend(data.to_be_bytes());
        assert_eq!(told(&mut client), (peer.address(), attribute));
    }
    // A router that is permitted itself changes nothing.
    client.permit(ROUTER.into());
    forge(3, 1, stranger).send(&router);
    forge(12, 0, peer.address()).send(&router);
    forge(4, 0, peer.address()).send(&router);
    Forged { protocol: 6, ..forge(3, 1, peer.address()) }.send(&router);
    let mut nobodys = relayed;
    nobodys.set_port(9);
    Forged { from: nobodys, ..forge(3, 1, peer.address()) }.send(&router);
    forge(3, 2, peer.address()).send(&router);
    assert_eq!(told(&mut client).1[..4], [0, 0, 3, 2], "nothing of these came before");
}

// B-118
#[test]
fn a_flood_of_errors_ends_nothing() {
    let Some(router) = router(Ipv4Addr::new(127, 0, 0, 64)) else { return };
    let server = Server::start(|_| {});
    let mut client = Client::tcp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::at("127.0.0.65");
    client.permit(peer.ip());
    let to = "127.0.0.66:9".parse().unwrap();
    let error = Forged { kind: 3, code: 3, mtu: 0, protocol: 17, from: relayed, to };
    for number in 0..2000u32 {
        for _ in 0..10 {
            error.send(&router);
        }
        if number.is_multiple_of(100) {
            client.exchange(relayed, &peer);
        }
    }
    client.exchange(relayed, &peer);
    let dropped = || server.metric("floe_dropped_packets_total", &["reason=\"no_permission\""]);
    server.wait_until("errors were seen", || dropped() > 0.0);
    server.expect_metric("floe_dropped_packets_total", &["reason=\"send_failed\""], 0.0);
}
