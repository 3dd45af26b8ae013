//! A connection that vanishes and comes back from the same port at once: the
//! old one's allocation is gone, and nothing of its end befalls the new one.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;

use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Peer, Server, own_address};

/// The two meet in the server in any order.
const TIMES: u16 = 2000;

/// More than the server reads from clients without an allocation.
const LARGE: usize = 20_000;

// H-063 H-043
#[test]
fn over_tcp() {
    let server = Server::start(|_| {});
    let local = SocketAddr::new(own_address().into(), 20_000);
    let peer = Peer::new();
    let mut client = Client::tcp_on(local, server.tcp()).user(ALICE);
    for _ in 0..TIMES {
        let relayed = client.allocate();
        client.bind(0x4000, peer.address());
        // The server reads so long a frame because it knows of the allocation.
        client.send(&channel_message(0x4000, &[7; LARGE]));
        peer.expect(&[7; LARGE], relayed);
        // Some of what follows is unread when the reset comes, so that the server
        // is in the middle of the old connection when the new one arrives.
        client.send(&channel_message(0x4001, &[7; LARGE]).repeat(40));
        SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
        drop(client);
        client = Client::tcp_on(local, server.tcp()).user(ALICE);
    }
    client.ping();
    server.expect_metric("floe_allocations", &[], 0.0);
    server.expect_metric("floe_relay_ports_used", &[], 0.0);
    server.expect_metric("floe_tcp_connections", &[], 1.0);
}
