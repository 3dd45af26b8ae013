//! Two clients, both relayed by this server: the packet goes from one
//! allocation to the other without meeting the kernel (CONFORMANCE B-164).

use std::net::SocketAddr;

use crate::support::{ALICE, BOB, Client, Config, Peer, Request, Server};

/// No peer is allowed but what always is: this server's own relays.
fn nobody_else(config: &mut Config) {
    config.set("peers.allow", Vec::<String>::new());
}

fn pair(server: &Server) -> [(Client, SocketAddr); 2] {
    [(Client::udp(server), ALICE), (Client::tcp(server), BOB)].map(|(client, user)| {
        let mut client = client.user(user);
        let relayed = client.allocate();
        (client, relayed)
    })
}

// B-164 Q-17
#[test]
fn both_ends_may_be_relayed_here() {
    let server = Server::start(nobody_else);
    // Several pairs, so that some meet on one shard and some on two.
    for _ in 0..8 {
        let [(mut alice, alices), (mut bob, bobs)] = pair(&server);
        alice.permit(bobs.ip());
        bob.permit(alices.ip());
        alice.send_to(bobs, b"Send to Data");
        bob.expect_data(alices, b"Send to Data");
        bob.send_to(alices, b"and back");
        alice.expect_data(bobs, b"and back");

        alice.bind(0x4000, bobs);
        bob.bind(0x4001, alices);
        alice.send_channel(0x4000, b"channel to channel");
        bob.expect_channel(0x4001, b"channel to channel");
        bob.send_channel(0x4001, b"");
        alice.expect_channel(0x4000, b"");
        for client in [&mut alice, &mut bob] {
            client.call(Request::refresh(0)).ok();
        }
    }
}

// B-164
#[test]
fn ipv6_relays_meet_too() {
    let server = Server::start(nobody_else);
    let [mut alice, mut bob] = [ALICE, BOB].map(|user| Client::udp6(&server).user(user));
    let [alices, bobs] =
        [&mut alice, &mut bob].map(|client| client.call(Request::allocate().family(2)).ok().relayed());
    alice.permit(bobs.ip());
    bob.permit(alices.ip());
    alice.send_to(bobs, b"hello");
    bob.expect_data(alices, b"hello");
}

// B-164 H-015
#[test]
fn both_ends_must_permit() {
    let server = Server::start(nobody_else);
    let [(mut alice, alices), (mut bob, bobs)] = pair(&server);
    alice.permit(bobs.ip());
    alice.send_to(bobs, b"bob has not permitted this");
    let dropped = || server.metric("floe_dropped_packets_total", &["no_permission"]);
    server.wait_until("it is dropped", || dropped() == 1.0);
    bob.permit(alices.ip());
    alice.send_to(bobs, b"bob has");
    bob.expect_data(alices, b"bob has");
}

// B-164
#[test]
fn a_client_may_talk_to_itself() {
    let server = Server::start(nobody_else);
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    client.permit(relayed.ip());
    client.send_to(relayed, b"echo");
    client.expect_data(relayed, b"echo");
}

// H-009 H-013
#[test]
fn what_else_lives_at_a_relay_address_is_not_reached() {
    let server = Server::start(nobody_else);
    let service = Peer::at("127.0.0.1");
    let [(mut alice, alices), (mut bob, bobs)] = pair(&server);
    alice.permit(service.ip());
    bob.permit(alices.ip());
    alice.expect_silence(&Request::send_indication(service.address(), b"let me in").bytes());
    service.send(alices, b"nor the other way");

    let dropped = || server.metric("floe_dropped_packets_total", &[]);
    server.wait_until("both are dropped", || dropped() == 2.0);
    bob.send_to(alices, b"hello");
    alice.expect_data(bobs, b"hello");
    service.send(service.address(), b"to itself");
    service.expect(b"to itself", service.address());
}

// H-009 H-015
#[test]
fn the_servers_own_listeners_are_no_peers() {
    // Even where their address is allowed.
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    let loops = Request::binding().bytes();
    let admin = server.admin();
    for listener in [server.udp(), server.tcp(), admin] {
        client.expect_silence(&Request::send_indication(listener, &loops).bytes());
    }
    client.exchange(relayed, &peer);
    assert_eq!(client.call(Request::channel_bind(0x4000, server.udp())).code(), 403);
    client.exchange(relayed, &peer);
    server.expect_metric("floe_requests_total", &["binding"], 3.0);
}
