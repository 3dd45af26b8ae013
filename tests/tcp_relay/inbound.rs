//! Connections of peers (RFC 6062 §5.3).

use super::parties::{Peer, attempt, bind, connect_from, connected, control, exchange, expect_end, server};
use crate::support::Request;

// C-011
#[test]
fn without_permission_it_is_closed_and_nobody_hears_of_it() {
    let server = server();
    let (mut client, relayed) = control(&server);
    client.permit("127.0.0.3".parse().unwrap());
    expect_end(&connect_from("127.0.0.2", relayed));
    assert_eq!(client.receive_until_pinged(), Vec::<Vec<u8>>::new());
    server.expect_metric("floe_data_connections_refused_total", &[], 1.0);
}

// C-012 C-021
#[test]
fn with_permission_the_client_is_told() {
    let server = server();
    let (mut client, relayed) = control(&server);
    client.permit("127.0.0.2".parse().unwrap());
    let peers: Vec<_> = (0..3).map(|_| connect_from("127.0.0.2", relayed)).collect();
    let mut told: Vec<_> = (0..3).map(|_| attempt(&client.receive())).collect();
    told.sort();
    let mut sources: Vec<_> = peers.iter().map(|peer| peer.local_addr().unwrap()).collect();
    sources.sort();
    assert_eq!(told.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), sources);
    for (source, id) in told {
        let peer = peers.iter().find(|peer| peer.local_addr().unwrap() == source).unwrap();
        exchange(&bind(&server, id), peer);
    }
}

// C-012
#[test]
fn by_ipv6_too() {
    let server = server();
    let mut client = crate::support::Client::tcp6(&server).user(crate::support::ALICE);
    let relayed = client.call(super::parties::allocate().family(2)).ok().relayed();
    client.permit("::1".parse().unwrap());
    let peer = connect_from("::1", relayed);
    let (from, id) = attempt(&client.receive());
    assert_eq!(from, peer.local_addr().unwrap());
    exchange(&bind(&server, id), &peer);
}

// C-011 C-012
#[test]
fn a_relay_listens_and_connects_at_one_port() {
    let server = server();
    let (mut client, relayed) = control(&server);
    client.call(Request::permission(&["127.0.0.2".parse().unwrap()])).ok();
    let out = Peer::new();
    let out_id = connected(&mut client, out.address());
    let inward = connect_from("127.0.0.2", relayed);
    let (_, in_id) = attempt(&client.receive());
    let (accepted, source) = out.accept();
    assert_eq!(source, relayed);
    exchange(&bind(&server, in_id), &inward);
    exchange(&bind(&server, out_id), &accepted);
}
