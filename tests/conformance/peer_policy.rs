//! Which addresses a client may relay to (CONFORMANCE H1): by default none that
//! could be somebody's inside, in whatever way it is written.

use std::net::IpAddr;

use crate::support::{ALICE, Client, Config, Peer, Request, Server};

const DENIED_V4: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.2",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
];

const DENIED_V6: &[&str] = &[
    "::",
    // IPv4 inside: compatible, NAT64 (both prefixes), ISATAP, 6to4, Teredo.
    "::127.0.0.1",
    "::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::10.0.0.1",
    "2a00::5efe:10.0.0.1",
    "2a00::200:5efe:127.0.0.1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2001:0:808:808::1",
    // Not of the public network.
    "100::1",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
];

/// As strict as a fresh installation.
fn defaults(config: &mut Config) {
    config.set("peers.allow", Vec::<String>::new());
}

fn client_of(server: &Server, ip: IpAddr) -> Client {
    let mut client = Client::udp(server).user(ALICE);
    client.call(Request::allocate().family(if ip.is_ipv4() { 1 } else { 2 })).ok();
    client
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

// H-001 H-002 H-004 H-005 H-006 H-007 H-008 B-074 B-134
#[test]
fn the_built_in_list_is_forbidden() {
    let server = Server::start(defaults);
    for list in [DENIED_V4, DENIED_V6] {
        let mut client = client_of(&server, ip(list[0]));
        for peer in list.iter().map(|text| ip(text)) {
            assert_eq!(client.call(Request::permission(&[peer])).code(), 403, "{peer}");
            assert_eq!(client.call(Request::channel_bind(0x4000, (peer, 9).into())).code(), 403, "{peer}");
        }
    }
    server.expect_metric("floe_permissions", &[], 0.0);
}

// H-003
#[test]
fn an_ipv4_address_in_ipv6_clothes_is_seen_through() {
    let server = Server::start(defaults);
    for families in [Request::allocate().family(2), Request::allocate().additional_family(2)] {
        let mut client = Client::udp(&server).user(ALICE);
        client.call(families).ok();
        for mapped in ["::ffff:127.0.0.2", "::ffff:0.0.0.0", "::ffff:10.0.0.1"] {
            for code in [
                client.call(Request::permission(&[ip(mapped)])).code(),
                client.call(Request::channel_bind(0x4000, (ip(mapped), 9).into())).code(),
            ] {
                assert!(code == 403 || code == 400, "{mapped}: {code}");
            }
        }
    }
    server.expect_metric("floe_permissions", &[], 0.0);
}

// H-003 H-004
#[test]
fn allowing_an_ipv4_network_opens_no_ipv6_form_of_it() {
    let server = Server::start(|config| _ = config.set("peers.allow", vec!["127.0.0.0/8"]));
    let mut client = client_of(&server, ip("::1"));
    for peer in ["::ffff:127.0.0.1", "2002:7f00:1::1"] {
        assert!([400, 403].contains(&client.call(Request::permission(&[ip(peer)])).code()), "{peer}");
    }
}

// H-001
#[test]
fn the_public_network_is_open() {
    let server = Server::start(defaults);
    for peer in ["8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2a00:1450::1", "2606:4700::1"] {
        client_of(&server, ip(peer)).permit(ip(peer));
    }
}

// H-011
#[test]
fn the_most_specific_rule_wins_and_deny_on_a_tie() {
    let server = Server::start(|config| {
        config.set("peers.allow", vec!["127.0.0.0/8", "127.1.2.0/24", "127.3.0.1/32", "2001:db8:1::/48"]);
        config.set("peers.deny", vec!["127.1.0.0/16", "127.3.0.1/32", "8.8.0.0/16", "2001:db8:1:8::/61"]);
    });
    for (peer, code) in [
        ("127.0.0.2", 0),
        ("127.1.0.1", 403),
        ("127.1.2.1", 0),
        ("127.1.3.1", 403),
        ("127.3.0.1", 403),
        ("127.3.0.2", 0),
        ("8.8.8.8", 403),
        ("8.9.8.8", 0),
        ("2001:db8:1:7:ffff::1", 0),
        ("2001:db8:1:8::1", 403),
        ("2001:db8:1:f::1", 403),
        ("2001:db8:1:10::1", 0),
        ("2001:db8:2::1", 403),
    ] {
        let answer = client_of(&server, ip(peer)).call(Request::permission(&[ip(peer)]));
        assert_eq!(answer.code(), code, "{peer}");
    }
}

/// A host name is none either: no name is looked up.
// H-011 H-014
#[test]
fn a_rule_that_is_none_stops_the_start() {
    for rule in ["127.0.0.0/33", "10.0.0.1-10.0.0.2x", "localhost", "127.0.0.1/", ""] {
        let (status, log) = Server::refused(|config| _ = config.set("peers.deny", vec![rule]));
        assert_eq!(status, Some(2), "{rule}: {log}");
        assert!(log.contains("peers.deny"), "{rule}: {log}");
    }
}

// H-010
#[test]
fn port_zero_is_nobodys() {
    let server = Server::start(|_| {});
    let mut client = client_of(&server, ip("127.0.0.1"));
    let zero = (ip("127.0.0.2"), 0).into();
    let code = client.call(Request::channel_bind(0x4000, zero)).code();
    assert!(code == 400 || code == 403, "{code}");
    client.permit(zero.ip());
    client.expect_silence(&Request::send_indication(zero, b"to nobody").bytes());
}

// H-001 B-093
#[test]
fn a_forbidden_peer_gets_nothing_by_send_either() {
    let server = Server::start(|config| _ = config.set("peers.allow", vec!["127.0.0.2/32"]));
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let [allowed, forbidden] = ["127.0.0.2", "127.0.0.3"].map(Peer::at);
    client.permit(allowed.ip());
    client.expect_silence(&Request::send_indication(forbidden.address(), b"no").bytes());
    forbidden.send(relayed, b"no");
    client.exchange(relayed, &allowed);
    forbidden.send(forbidden.address(), b"to itself");
    forbidden.expect(b"to itself", forbidden.address());
}
