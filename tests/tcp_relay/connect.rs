//! Connect (RFC 6062 §5.2).

use floe::wire::{AttributeType, Method};

use super::parties::{
    BlackHole, Peer, Refused as _, allocate, attempt, bind, connect, connect_from, connected,
    connection_bind, control, exchange, read, server, write,
};
use crate::support::{ALICE, BOB, Client, Request, Server};

// C-005
#[test]
fn not_without_a_tcp_allocation() {
    let server = server();
    let peer = Peer::new();
    let mut client = Client::tcp(&server).user(ALICE);
    client.call(connect(peer.address())).refused(437);
    client.allocate();
    client.call(connect(peer.address())).refused(437);
    let mut udp = Client::udp(&server).user(ALICE);
    udp.call(connect(peer.address())).refused(437);
}

// C-005
#[test]
fn not_by_another_user() {
    let server = server();
    let (client, _) = control(&server);
    client.user(BOB).call(connect(Peer::new().address())).refused(441);
}

// C-006
#[test]
fn not_without_a_right_peer() {
    let server = server();
    let (mut client, _) = control(&server);
    client.call(Request::new(Method::CONNECT)).refused(400);
    client.call(Request::new(Method::CONNECT).put(AttributeType::XOR_PEER_ADDRESS, &[0, 1, 2])).refused(400);
    client.call(connect("[::1]:9".parse().unwrap())).refused(443);
    client.call(connect("127.0.0.1:0".parse().unwrap())).refused(403);
}

// C-006 C-021
#[test]
fn not_to_forbidden_peers() {
    let server = Server::start(|config| {
        config
            .set("relay.tcp", true)
            .set("peers.allow", vec!["127.0.0.1"])
            .set("peers.deny", vec!["203.0.113.0/24"]);
    });
    let (mut client, relayed) = control(&server);
    for peer in ["10.0.0.1:80", "169.254.169.254:80", "0.0.0.0:80", "203.0.113.5:80", "224.0.0.1:80"] {
        client.call(connect(peer.parse().unwrap())).refused(403);
    }
    // Own listeners and the admin address, though 127.0.0.1 is allowed; and the
    // own relay, which would be connected to itself.
    for own in [server.tcp(), server.udp(), server.admin(), relayed] {
        client.call(connect(own)).refused(403);
    }
    connected(&mut client, Peer::new().address());
}

// C-006
#[test]
fn own_relays_of_others_only_where_nothing_is_allowed() {
    let server = Server::start(|config| {
        config.set("relay.tcp", true).set("peers.allow", Vec::<String>::new());
    });
    let (mut alice, _) = control(&server);
    let mut bob = Client::tcp(&server).user(BOB);
    let relayed = bob.call(allocate()).ok().relayed();
    let mut carol = Client::udp(&server).user(BOB);
    let datagrams = carol.allocate();
    // A service of this host, and a relay that is not for TCP.
    alice.call(connect(Peer::new().address())).refused(403);
    alice.call(connect(datagrams)).refused(403);
    let id = connected(&mut alice, relayed);
    // Bob has given no permission: it ends.
    super::parties::expect_end(&bind(&server, id));
}

// C-007
#[test]
fn one_connection_to_a_peer_at_a_time() {
    let server = server();
    let (mut client, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut client, peer.address());
    client.call(connect(peer.address())).refused(446);
    let data = bind(&server, id);
    client.call(connect(peer.address())).refused(446);
    // The peer hangs up first, so that nothing lingers on our side.
    let (accepted, _) = peer.accept();
    drop(accepted);
    super::parties::expect_end(&data);
    drop(data);
    server.expect_metric("floe_data_connections", &[], 0.0);
    let again = connected(&mut client, peer.address());
    assert_ne!(again, id);
}

// C-007
#[test]
fn nor_while_one_is_being_opened() {
    let server = server();
    let (mut client, _) = control(&server);
    let peer = BlackHole::new();
    let first = client.login().sign(connect(peer.address()));
    client.send(&first);
    client.call(connect(peer.address())).refused(446);
}

// C-007 C-012
#[test]
fn nor_to_a_peer_that_has_connected() {
    let server = server();
    let (mut client, relayed) = control(&server);
    client.permit("127.0.0.2".parse().unwrap());
    let peer = connect_from("127.0.0.2", relayed);
    attempt(&client.receive());
    client.call(connect(peer.local_addr().unwrap())).refused(446);
}

// C-008
#[test]
fn the_source_is_the_relayed_address_and_ids_differ() {
    let server = server();
    for family in [1, 2] {
        let mut client = Client::tcp(&server).user(ALICE);
        let relayed = client.call(allocate().family(family)).ok().relayed();
        let ip = if family == 1 { "127.0.0.1" } else { "::1" };
        let mut ids: Vec<u32> = (0..20)
            .map(|_| {
                let peer = Peer::at(ip);
                let id = connected(&mut client, peer.address());
                assert_eq!(peer.accept().1, relayed);
                id
            })
            .collect();
        // No counter: the differences differ.
        let mut steps: Vec<u32> = ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        for list in [&mut ids, &mut steps] {
            let count = list.len();
            list.sort_unstable();
            list.dedup();
            assert!(list.len() >= count - 1);
        }
    }
}

// C-009
#[test]
fn a_refusal_is_told() {
    let server = server();
    let (mut client, _) = control(&server);
    let nobody = ([127, 0, 0, 1], crate::support::ports::unused()).into();
    client.call(connect(nobody)).refused(447);
    // And may be tried again.
    client.call(connect(nobody)).refused(447);
}

// C-009
#[test]
fn others_are_served_while_a_peer_is_silent() {
    let server = server();
    let (mut client, _) = control(&server);
    let silent = BlackHole::new();
    let waiting = client.login().sign(connect(silent.address()));
    client.send(&waiting);
    client.ping();
    client.call(Request::refresh(600)).ok();
    let peer = Peer::new();
    let id = connected(&mut client, peer.address());
    let data = bind(&server, id);
    exchange(&data, &peer.accept().0);
    client.ping();
}

// C-009
#[test]
#[ignore = "slow: 30 s"]
fn silence_is_told_after_30_seconds() {
    let server = server();
    let (mut client, _) = control(&server);
    let silent = BlackHole::new();
    let start = std::time::Instant::now();
    let waiting = client.login().sign(connect(silent.address()));
    client.send(&waiting);
    client.stream().set_read_timeout(Some(std::time::Duration::from_secs(40))).unwrap();
    let reply = crate::support::Reply::to(&waiting, client.receive());
    reply.refused(447);
    assert!(start.elapsed() >= std::time::Duration::from_secs(30));
}

// C-021
#[test]
fn no_permission_is_needed_to_connect() {
    let server = server();
    let (mut client, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut client, peer.address());
    exchange(&bind(&server, id), &peer.accept().0);
}

// C-006 C-012
#[test]
fn relay_to_relay() {
    let server = server();
    let (mut alice, relayed_alice) = control(&server);
    let mut bob = Client::tcp(&server).user(BOB);
    let relayed_bob = bob.call(allocate()).ok().relayed();
    bob.permit(relayed_alice.ip());
    let id = connected(&mut alice, relayed_bob);
    let (peer, bobs_id) = attempt(&bob.receive());
    assert_eq!(peer, relayed_alice);
    let data = bind(&server, id);
    let mut bobs = Client::tcp(&server).user(BOB);
    bobs.call(connection_bind(bobs_id)).ok();
    write(&data, b"through both");
    assert_eq!(read(bobs.stream(), 12), b"through both");
}
