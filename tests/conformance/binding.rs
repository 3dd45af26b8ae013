//! Binding: tells a client its own address (RFC 8489 §6.3.1, §14.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use floe::wire::AttributeType;

use crate::support::reply::raw_attributes;
use crate::support::{Client, Request, Server};

// A-013 A-031 A-035
#[test]
fn the_reply_is_the_address_the_request_came_from() {
    let server = Server::start(|_| {});
    for mut client in
        [Client::udp(&server), Client::udp6(&server), Client::tcp(&server), Client::tcp6(&server)]
    {
        let reply = client.ping();
        assert_eq!(reply.mapped(), client.local());
        assert_eq!(reply.get(AttributeType::XOR_MAPPED_ADDRESS).unwrap()[0], 0);
        assert_eq!(raw_attributes(&reply.bytes).len(), 1);
    }
}

//
#[test]
fn a_retransmission_gets_the_same_reply() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let binding = Request::binding().bytes();
    let first = client.ask_bytes(&binding).ok();
    for _ in 1..7 {
        assert_eq!(client.ask_bytes(&binding).bytes, first.bytes);
    }
}

//
#[test]
fn the_reply_leaves_from_the_address_that_was_asked() {
    let server = Server::start(|config| {
        config.set("listen.udp", vec!["0.0.0.0:0", "[::]:0"]);
    });
    // A client is connected, so it would not see a reply from elsewhere.
    for ip in ["127.0.0.1", "127.0.0.2", "127.4.5.6"] {
        let asked = SocketAddr::new(ip.parse().unwrap(), server.udp().port());
        let mut client = Client::udp_from(Ipv4Addr::LOCALHOST.into(), asked);
        for _ in 0..4 {
            assert_eq!(client.ping().mapped(), client.local());
        }
    }
    let asked = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), server.udp6().port());
    Client::udp_from(Ipv6Addr::LOCALHOST.into(), asked).ping();
}

//
#[test]
fn an_ipv4_client_is_never_shown_as_ipv6() {
    let server = Server::start(|config| {
        config.set("listen.udp", vec!["0.0.0.0:0", "[::]:0"]);
        config.set("listen.tcp", vec!["0.0.0.0:0", "[::]:0"]);
    });
    let v4: IpAddr = Ipv4Addr::LOCALHOST.into();
    let mut udp = Client::udp_from(v4, SocketAddr::new(v4, server.udp().port()));
    assert_eq!(udp.ping().mapped(), udp.local());
    let mut tcp = Client::tcp_to(SocketAddr::new(v4, server.tcp().port()));
    assert_eq!(tcp.ping().mapped(), tcp.local());
}

//
#[test]
fn nobody_has_to_log_in() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let signed = Request::binding()
        .put(AttributeType::USERNAME, b"nobody")
        .put(AttributeType::REALM, b"nowhere")
        .put(AttributeType::NONCE, b"never")
        .sign_sha1(b"no key");
    let reply = client.ask_bytes(&signed).ok();
    assert!(!reply.is_signed());
}
