//! TCP relays by an access token (RFC 7635), whose key alone signs Connect and
//! ConnectionBind.

use super::parties::{Peer, Refused as _, allocate, connected, connection_bind, exchange, read_message};
use crate::support::access::{FIRST, SECOND};
use crate::support::{Access, Client, Reply, Request, Scheme, Server};

fn server() -> Server {
    Server::start(|config| {
        config.tokens([FIRST.entry(), SECOND.entry()]);
        config.set("relay.tcp", true).set("listen.shards", 3);
    })
}

fn data_connection(server: &Server, access: &Access) -> Client {
    Client::tcp(server).access(access.clone())
}

/// The kernel brings a dozen connections to each of the shards.
// C-011 E-024
#[test]
fn data_connections_are_bound_at_any_shard() {
    let server = server();
    let access = FIRST.access();
    let mut control = data_connection(&server, &access);
    control.call(allocate()).ok();
    for _ in 0..12 {
        let peer = Peer::new();
        let id = connected(&mut control, peer.address());
        let mut client = data_connection(&server, &access);
        let request = client.login().sign(connection_bind(id));
        client.send(&request);
        let mut stream = client.stream().try_clone().unwrap();
        Reply::to(&request, read_message(&mut stream)).ok();
        exchange(&stream, &peer.accept().0);
    }
}

// C-014 E-025
#[test]
fn only_by_the_token_that_was_shown_last() {
    let server = server();
    let mut control = data_connection(&server, &FIRST.access());
    control.call(allocate()).ok();
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    for _ in 0..6 {
        // Of the same key, and shown.
        let other = FIRST.access();
        let shown = connection_bind(id).put(floe::wire::AttributeType::ACCESS_TOKEN, &other.token);
        data_connection(&server, &other).call(shown).refused(441);
        data_connection(&server, &other).call(connection_bind(id)).assert_challenge(401);
    }
    let next = SECOND.access();
    control.renew(next.clone(), Scheme::Legacy);
    control.call(Request::refresh(600)).ok();
    let mut client = data_connection(&server, &next);
    let request = client.login().sign(connection_bind(id));
    client.send(&request);
    let mut stream = client.stream().try_clone().unwrap();
    Reply::to(&request, read_message(&mut stream)).ok();
    exchange(&stream, &peer.accept().0);
    // What the allocation took is given back, whichever token it was taken by.
    control.call(Request::refresh(0)).ok();
    server.expect_metric("floe_data_connections", &[], 0.0);
}
