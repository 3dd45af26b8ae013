//! How many there may be of everything.

use super::parties::{
    BlackHole, Peer, Refused as _, attempt, connect, connect_from, connected, control, expect_end, server,
};
use crate::support::{Server, skip};

// C-022
#[test]
fn connects_that_wait_are_bounded() {
    let server = server();
    let (mut control, _) = control(&server);
    let silent: Vec<BlackHole> = (0..16).map(|_| BlackHole::new()).collect();
    for peer in &silent {
        let request = control.login().sign(connect(peer.address()));
        control.send(&request);
    }
    control.call(connect(Peer::new().address())).refused(508);
    control.ping();
}

// C-022
#[test]
fn peers_that_wait_are_bounded() {
    let server = server();
    let (mut control, relayed) = control(&server);
    control.permit("127.0.0.2".parse().unwrap());
    let before = server.descriptors();
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let peer = connect_from("127.0.0.2", relayed);
            attempt(&control.receive());
            peer
        })
        .collect();
    for _ in 0..200 {
        expect_end(&connect_from("127.0.0.2", relayed));
    }
    assert!(server.descriptors() <= before + waiting.len());
    assert_eq!(control.receive_until_pinged(), Vec::<Vec<u8>>::new());
}

// C-022
#[test]
fn connections_of_one_user_are_bounded_over_all_its_allocations() {
    let server = Server::start(|config| {
        config.set("relay.tcp", true).set("limits.data-connections-per-user", 5);
    });
    let mut controls = [control(&server), control(&server)];
    let peers: Vec<Peer> = (0..5).map(|_| Peer::new()).collect();
    for (at, peer) in peers.iter().enumerate() {
        connected(&mut controls[at % 2].0, peer.address());
    }
    let [(one, relayed), (two, _)] = &mut controls;
    let another = Peer::new();
    two.call(connect(another.address())).refused(508);
    one.permit("127.0.0.2".parse().unwrap());
    expect_end(&connect_from("127.0.0.2", *relayed));
    // One that ends makes room.
    drop(peers[0].accept());
    drop(one.call(crate::support::Request::refresh(0)));
    connected(two, another.address());
}

// C-022
#[test]
fn connections_of_one_allocation_are_bounded() {
    let server = server();
    let (mut control, _) = control(&server);
    let peers: Vec<Peer> = (0..129).map(|_| Peer::new()).collect();
    for peer in &peers[..128] {
        connected(&mut control, peer.address());
    }
    control.call(connect(peers[128].address())).refused(508);
}

// C-022
#[test]
fn no_descriptor_is_left_behind() {
    if !std::path::Path::new("/proc/self/fd").exists() {
        return skip("proc", "no /proc to count descriptors in");
    }
    let server = server();
    let before = server.descriptors();
    for _ in 0..5 {
        let (mut control, relayed) = control(&server);
        control.permit("127.0.0.2".parse().unwrap());
        let inbound = connect_from("127.0.0.2", relayed);
        let (_, id) = attempt(&control.receive());
        let data = super::parties::bind(&server, id);
        connected(&mut control, Peer::new().address());
        control.call(connect(Peer::new().address())).ok();
        drop((inbound, data, control));
    }
    server.wait_until("all are closed", || server.descriptors() <= before);
}
