//! Signals that operators send.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::Command;

use floe::wire::{AttributeType, Method};

use crate::support::{ALICE, Client, Config, PATIENCE, Peer, Request, Server};

pub(crate) fn signal(server: &Server, name: &str) {
    let pid = server.runtime().pid.to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs").success());
}

#[test]
fn usr1_drains_until_the_last_allocation_is_gone() {
    let mut server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    signal(&server, "USR1");
    server.wait_until("it drains", || server.get("/readyz").0 == 503);
    assert_eq!(Client::udp(&server).user(ALICE).call(Request::allocate()).code(), 508);
    client.call(Request::refresh(0)).ok();
    assert!(server.ended().success());
}

/// Permission, channel and TCP connection of a peer that is denied end; its
/// neighbour's go on.
// H-012
#[test]
fn hup_reads_the_peers_again() {
    let denying = |denied: &'static str| {
        move |config: &mut Config| {
            config.set("relay.tcp", true).set("peers.deny", vec![denied]);
        }
    };
    let mut server = Server::start(denying("127.9.0.0/16"));
    let [denied, kept] = ["127.0.0.2", "127.0.0.3"].map(Peer::at);
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    client.bind(0x4000, denied.address());
    client.bind(0x4001, kept.address());
    let mut control = Client::tcp(&server).user(ALICE);
    let tcp = Request::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    control.call(tcp).ok();
    let listeners = ["127.0.0.2:0", "127.0.0.3:0"].map(|at| TcpListener::bind(at).unwrap());
    let mut connections = listeners.map(|listener| {
        let peer = listener.local_addr().unwrap();
        control.call(Request::new(Method::CONNECT).peer(peer)).ok();
        listener.accept().unwrap().0
    });
    client.exchange_on(0x4000, relayed, &denied);

    // A mistake changes nothing.
    server.rewrite(|config| _ = config.set("peers.deny", vec!["127.0.0.2/33"]));
    signal(&server, "HUP");
    server.wait_until("it complains", || server.log().contains("peers.deny"));
    client.exchange_on(0x4000, relayed, &denied);

    server.rewrite(denying("127.0.0.2/32"));
    signal(&server, "HUP");
    connections[0].set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(connections[0].read(&mut [0; 8]).unwrap(), 0);
    server.expect_metric("floe_channels", &[], 1.0);
    client.send_channel(0x4000, b"late");
    denied.send(relayed, b"late");
    client.exchange_on(0x4001, relayed, &kept);
    assert_eq!(client.call(Request::permission(&[denied.ip()])).code(), 403);
    connections[1].set_nonblocking(true).unwrap();
    assert_eq!(connections[1].read(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // And back.
    server.rewrite(denying("127.9.0.0/16"));
    signal(&server, "HUP");
    server.wait_until("it may be reached again", || {
        client.call(Request::permission(&[denied.ip()])).is_success()
    });
    signal(&server, "TERM");
    assert!(server.ended().success());
}
