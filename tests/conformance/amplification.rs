//! What somebody who forges his source can make this server send (CONFORMANCE
//! H2): little, and not often.

use std::net::IpAddr;

use floe::wire::{AttributeType, Method};

use crate::support::{ALICE, Client, Config, Login, Peer, Request, Server, User};

// H-017
#[test]
fn a_stranger_gets_little_more_than_he_sends() {
    let server = Server::start(|config| _ = config.set("realm", "floe"));
    for (mut client, binding) in [(Client::udp(&server), 32), (Client::udp6(&server), 44)] {
        assert_eq!(client.ping().bytes.len(), binding);
        let allocate = Request::allocate().bytes();
        assert_eq!(allocate.len(), 28);
        let challenge = client.ask_bytes(&allocate);
        assert!(challenge.bytes.len() * 10 <= 28 * 35, "{} bytes", challenge.bytes.len());
        let (_, reason) =
            floe::wire::attribute::error_code_value(challenge.get(AttributeType::ERROR_CODE).unwrap())
                .unwrap();
        assert_eq!(reason, "", "no words for strangers");
    }
}

/// Sends `packets` from `client` and counts the answers.
fn answers(server: &Server, client: &mut Client, packets: impl Iterator<Item = Vec<u8>>) -> usize {
    let before = server.metric("floe_client_packets_total", &["\"in\""]);
    let mut sent = 0;
    for packet in packets {
        client.send(&packet);
        sent += 1;
    }
    server.wait_until("everything is read", || {
        server.metric("floe_client_packets_total", &["\"in\""]) >= before + f64::from(sent)
    });
    client.count_waiting()
}

fn ten_per_second(config: &mut Config) {
    config.set("limits.unauthenticated-per-second", 10);
}

// H-018 H-020
#[test]
fn strangers_are_answered_so_often_and_no_more() {
    let server = Server::start(ten_per_second);
    let wrong = Login::new(User { password: "wrong", ..ALICE }, crate::support::REALM, "nonce");
    let kinds: [fn(&Login) -> Vec<u8>; 5] = [
        |_| Request::binding().bytes(),
        |_| Request::allocate().bytes(),
        |_| Request::binding().put(AttributeType(0x7FFE), b"").bytes(),
        |wrong| wrong.sign(Request::allocate()),
        |wrong| wrong.name_on(Request::allocate()).without(AttributeType::REALM).sign_sha1(b"key"),
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let ip: IpAddr = format!("127.0.1.{number}").parse().unwrap();
        let mut client = Client::udp_from(ip, server.udp());
        let answered = answers(&server, &mut client, (0..200).map(|_| kind(&wrong)));
        // The burst is twice the rate; a slow machine may see some seconds pass.
        assert!((20..100).contains(&answered), "kind {number}: {answered} of 200");
    }
    Client::udp_from("127.0.2.1".parse().unwrap(), server.udp()).ping();
}

// H-018
#[test]
fn an_ipv6_network_is_one_source() {
    let server = Server::start(ten_per_second);
    let mut clients = [Client::udp6(&server), Client::udp6(&server)];
    let answered: usize = clients
        .iter_mut()
        .map(|client| answers(&server, client, (0..100).map(|_| Request::binding().bytes())))
        .sum();
    assert!((20..100).contains(&answered), "{answered} of 200");
}

// H-018
#[test]
fn those_who_have_logged_in_are_not_held_back() {
    let server = Server::start(ten_per_second);
    let mut alice = Client::udp(&server).user(ALICE);
    let relayed = alice.allocate();
    let peer = Peer::new();
    alice.permit(peer.ip());
    let mut stranger = Client::udp(&server);
    answers(&server, &mut stranger, (0..200).map(|_| Request::binding().bytes()));
    for _ in 0..50 {
        alice.call(Request::refresh(600)).ok();
        alice.exchange(relayed, &peer);
    }
}

// H-021
#[test]
fn a_tcp_client_can_not_be_forged_and_is_not_held_back() {
    let server = Server::start(ten_per_second);
    let mut client = Client::tcp(&server);
    for _ in 0..200 {
        client.ping();
        client.ask(&Request::allocate()).assert_challenge(401);
    }
}

// H-020
#[test]
fn an_unsigned_request_of_twenty_bytes_gets_no_more_than_the_rest() {
    let server = Server::start(ten_per_second);
    let mut client = Client::udp(&server);
    let answered = answers(&server, &mut client, (0..200).map(|_| Request::new(Method::REFRESH).bytes()));
    assert!(answered < 100, "{answered} of 200");
}
