//! Relayed transport addresses: one for each allocation, from the range, not to
//! be guessed (RFC 8656 §6, §7.2).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use crate::support::{ALICE, Client, Config, Peer, Request, Server, own_address};

/// Makes `count` allocations and keeps them.
fn allocate_many(server: &Server, count: usize) -> (Vec<Client>, Vec<SocketAddr>) {
    (0..count)
        .map(|_| {
            let mut client = Client::udp(server).user(ALICE);
            let relayed = client.allocate();
            (client, relayed)
        })
        .unzip()
}

// B-007 B-047 B-048
#[test]
fn ports_are_in_the_range_different_and_in_no_order() {
    let server = Server::start(|_| {});
    let (_clients, relays) = allocate_many(&server, 500);
    assert_eq!(relays.iter().collect::<HashSet<_>>().len(), 500);
    assert!(relays.iter().all(|relay| relay.port() >= 49_152));

    let neighbours = relays.windows(2).filter(|pair| pair[0].port().abs_diff(pair[1].port()) <= 2).count();
    assert!(neighbours <= 5, "{neighbours} of 499 follow their predecessor");

    // Chi-square over 64 equal bins: 63 degrees of freedom; above 140 once in
    // ten million runs.
    let mut bins = [0.0; 64];
    relays.iter().for_each(|relay| bins[usize::from((relay.port() - 49_152) / 256)] += 1.0);
    let expected = 500.0 / 64.0;
    let chi_square: f64 = bins.iter().map(|seen| (seen - expected) * (seen - expected) / expected).sum();
    assert!(chi_square < 140.0, "{chi_square}");
}

// B-007
#[test]
#[ignore = "slow: ten thousand allocations"]
fn ten_thousand_allocations_have_ten_thousand_relays() {
    let server = Server::start(|_| {});
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        rustix::process::Rlimit { current: limit.maximum, ..limit }
    });
    let before = (server.descriptors(), server.memory());
    let (clients, relays) = allocate_many(&server, 10_000);
    assert_eq!(relays.iter().collect::<HashSet<_>>().len(), 10_000);
    for mut client in clients {
        client.call(Request::refresh(0)).ok();
    }
    server.wait_until("descriptors are returned", || server.descriptors() <= before.0 + 2);
    let grown = server.memory().saturating_sub(before.1);
    assert!(grown < 40_000, "{grown} KiB are not returned");
    server.expect_metric("floe_allocations", &[], 0.0);
}

// B-046 H-050
#[test]
fn a_range_that_is_used_up_is_insufficient_capacity() {
    let ip = own_address();
    let server = Server::start(|config: &mut Config| {
        config.set("relay.addresses", vec![ip.to_string()]).set("relay.ports", "20000-20003");
    });
    let (mut clients, relays) = allocate_many(&server, 4);
    let ports: HashSet<u16> = relays.iter().map(SocketAddr::port).collect();
    assert_eq!(ports, HashSet::from([20_000, 20_001, 20_002, 20_003]));
    assert_eq!(Client::udp(&server).user(ALICE).call(Request::allocate()).code(), 508);

    clients[2].call(Request::refresh(0)).ok();
    let mut next = Client::udp(&server).user(ALICE);
    server.wait_until("the port is free again", || next.call(Request::allocate()).is_success());
}

// B-046
#[test]
fn a_port_that_another_process_holds_is_passed_over() {
    let ip = own_address();
    let held = Peer::on(SocketAddr::new(IpAddr::V4(ip), 20_001));
    let server = Server::start(|config: &mut Config| {
        config.set("relay.addresses", vec![ip.to_string()]).set("relay.ports", "20000-20003");
    });
    let (_clients, relays) = allocate_many(&server, 3);
    assert!(!relays.contains(&held.address()), "{relays:?}");
}

// B-052
#[test]
fn the_external_address_is_the_one_that_is_told() {
    let (inside, outside) = (own_address(), "127.15.0.1");
    let server = Server::start(|config: &mut Config| {
        config.set("relay.addresses", vec![inside.to_string()]);
        config.set("relay.external-addresses", vec![outside]);
    });
    let mut client = Client::udp(&server).user(ALICE);
    let told = client.allocate();
    assert_eq!(told.ip().to_string(), outside);
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(SocketAddr::new(IpAddr::V4(inside), told.port()), &peer);
}
