//! Whose PROXY header is believed, and what hangs on the address in it.

use std::net::{Ipv4Addr, SocketAddr};

use super::proxy_header::{SIGNATURE, balanced, begin, version_1};
use crate::support::{ALICE, Client, Request, Server};

/// Not a balancer.
const STRANGER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

// E-050 E-051
#[test]
fn a_header_is_required_of_balancers_and_refused_of_all_others() {
    let server = Server::start(balanced);
    // A balancer without one.
    let mut bare = Client::tcp(&server);
    bare.send(&Request::binding().bytes());
    bare.expect_closed();
    // Someone else, with one and without.
    for header in [version_1("192.0.2.7:12345"), [SIGNATURE, &[0x20, 0, 0, 0]].concat()] {
        let mut client = Client::tcp_on(STRANGER, server.tcp());
        client.send(&header);
        client.expect_closed();
    }
    let mut client = Client::tcp_on(STRANGER, server.tcp());
    assert_eq!(client.ping().mapped(), client.local());
}

// E-050
#[test]
fn without_balancers_a_header_is_refused() {
    let server = Server::start(|_| {});
    for header in [version_1("192.0.2.7:12345"), [SIGNATURE, &[0x20, 0, 0, 0]].concat()] {
        Client::over(begin(server.tcp(), &header)).expect_closed();
    }
}

// E-055 H-021
#[test]
fn limits_are_those_of_the_client_and_not_of_the_balancer() {
    let server = Server::start(|config| {
        balanced(config);
        config.set("limits.tcp-connections-per-address", 1);
    });
    let connect = |client: &str| Client::over(begin(server.tcp(), &version_1(client)));
    let mut first = connect("192.0.2.7:1001");
    first.ping();
    connect("192.0.2.7:1002").expect_closed();
    connect("192.0.2.8:1001").ping();
    first.ping();
    drop(first);
    server.expect_metric("floe_tcp_connections", &[], 0.0);
    connect("192.0.2.7:1003").ping();
}

// E-055 H-032
#[test]
fn a_nonce_is_good_for_its_client_alone() {
    let server = Server::start(balanced);
    let connect = |client: &str| Client::over(begin(server.tcp(), &version_1(client))).user(ALICE);
    let stolen = connect("192.0.2.7:1001").login().clone();
    let mut other = connect("192.0.2.8:1001");
    let request = stolen.sign(Request::allocate());
    assert_eq!(other.ask_bytes(&request).code(), 438);
    drop(other);
    let mut own = connect("192.0.2.7:1001");
    own.login().nonce.clone_from(&stolen.nonce);
    own.call(Request::allocate()).ok();
}
