//! ConnectionBind (RFC 6062 §5.4): who may bind what.

use floe::wire::{AttributeType, Method};

use super::parties::{Peer, Refused as _, bind, connected, connection_bind, control, exchange, server};
use crate::support::{ALICE, BOB, Client, Request, Scheme, User};

// C-013
#[test]
fn not_over_udp() {
    let server = server();
    let (mut control, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    Client::udp(&server).user(ALICE).call(connection_bind(id)).refused(400);
    exchange(&bind(&server, id), &peer.accept().0);
}

// C-013
#[test]
fn not_without_a_right_id() {
    let server = server();
    let (mut control, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    let mut client = Client::tcp(&server).user(ALICE);
    client.call(Request::new(Method::CONNECTION_BIND)).refused(400);
    let short = Request::new(Method::CONNECTION_BIND).put(AttributeType::CONNECTION_ID, &[1, 2]);
    client.call(short).refused(400);
    // Nobody's, of every shard and of one that there is not. Each may have moved
    // the connection to another thread, and it goes on there.
    for other in [id ^ 1, id ^ 0x0100_0000, id ^ 0x0200_0000, id ^ 0xFF00_0000] {
        client.call(connection_bind(other)).refused(400);
    }
    client.ping();
    let data = bind(&server, id);
    client.call(connection_bind(id)).refused(400);
    exchange(&data, &peer.accept().0);
}

// C-013
#[test]
fn a_control_connection_stays_one() {
    let server = server();
    let (mut control, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    control.call(connection_bind(id)).refused(400);
    control.call(Request::refresh(600)).ok();
    exchange(&bind(&server, id), &peer.accept().0);
}

// C-014
#[test]
fn only_for_whose_allocation_it_is() {
    let server = server();
    let (mut control, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    Client::tcp(&server).ask(&connection_bind(id)).assert_challenge(401);
    Client::tcp(&server).user(BOB).call(connection_bind(id)).refused(441);
    let guess = User { name: ALICE.name, password: "a guess" };
    Client::tcp(&server).user(guess).call(connection_bind(id)).assert_challenge(401);
    exchange(&bind(&server, id), &peer.accept().0);
}

// C-014
#[test]
fn with_a_sha256_login_too() {
    let server = server();
    for scheme in [Scheme::Sha256, Scheme::UserHash] {
        let (mut control, _) = control(&server);
        let peer = Peer::new();
        let id = connected(&mut control, peer.address());
        let mut client = Client::tcp(&server).user_by(ALICE, scheme);
        client.call(connection_bind(id)).ok();
        exchange(client.stream(), &peer.accept().0);
    }
}

// C-013 C-014
#[test]
fn wherever_the_connection_comes_in() {
    let server = server();
    // With three shards, forty connections have met each pair of them.
    let (mut control, _) = control(&server);
    for _ in 0..40 {
        let peer = Peer::new();
        let id = connected(&mut control, peer.address());
        exchange(&bind(&server, id), &peer.accept().0);
    }
}
