use super::*;

use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn networks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap_or_else(|_| IpNet::from(ip(text)))).collect()
}

fn filter(allow: &[&str], deny: &[&str]) -> PeerFilter {
    PeerFilter::new(&networks(allow), &networks(deny), &OwnAddresses::default())
}

/// A host behind a 1:1 NAT with a second interface.
fn host(allow: &[&str]) -> PeerFilter {
    let own = OwnAddresses {
        relays: vec![(ip("10.0.0.5"), ip("8.8.4.4"))],
        local: ["127.0.0.1", "::1", "10.0.0.5", "8.8.8.8", "2a00:1::5"].map(ip).to_vec(),
        protected: ["0.0.0.0:3478", "10.0.0.5:5349", "127.0.0.1:8080", "9.9.9.9:6379"].map(socket).to_vec(),
    };
    PeerFilter::new(&networks(allow), &[], &own)
}

fn assert_all(filter: &PeerFilter, reach: Reach, addresses: &[&str]) {
    for address in addresses {
        assert_eq!(filter.reach(ip(address)), reach, "{address}");
    }
}

fn may_send(filter: &PeerFilter, peer: &str) -> bool {
    filter.may_send(PeerAddr::new(socket(peer)))
}

#[test]
fn public_addresses_are_open() {
    let filter = filter(&[], &[]);
    assert_all(&filter, Reach::Open, &["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.32.0.0"]);
    assert_all(&filter, Reach::Open, &["2a00:1450::1", "2001:4860:4860::8888", "2620:fe::fe", "2001:1::1"]);
    assert!(may_send(&filter, "8.8.8.8:53") && may_send(&filter, "[2620:fe::fe]:443"));
}

// H-001
#[test]
fn loopback_is_denied() {
    assert_all(&filter(&[], &[]), Reach::Denied, &["127.0.0.1", "127.1.2.3", "127.255.255.255", "::1"]);
}

// H-002
#[test]
fn unspecified_addresses_are_denied_whatever_is_allowed() {
    let open = filter(&["0.0.0.0", "0.0.0.0/8", "0.1.2.3", "0.0.0.0/0", "::", "::/0", "::ffff:0.0.0.0"], &[]);
    for filter in [filter(&[], &[]), open] {
        assert_all(&filter, Reach::Denied, &["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "::0.1.2.3"]);
        assert!(!may_send(&filter, "0.0.0.0:9") && !may_send(&filter, "[::]:9"));
    }
}

// H-003
#[test]
fn a_mapped_address_is_judged_as_the_ipv4_address() {
    let filter = filter(&["10.1.0.0/16"], &[]);
    assert_all(&filter, Reach::Denied, &["::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:10.0.0.1"]);
    assert_all(&filter, Reach::Open, &["::ffff:8.8.8.8", "::ffff:10.1.0.1"]);
    assert!(!may_send(&filter, "[::ffff:127.0.0.1]:9"));
}

// H-004
#[test]
fn every_form_that_embeds_ipv4_is_denied() {
    let forms = [
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1:7f00:0:100::",
        "fe80::5efe:127.0.0.1",
        "2a00:1::5efe:10.0.0.1",
        "2a00:1::5efe:8.8.8.8",
        "2a00:1::200:5efe:127.0.0.1",
    ];
    assert_all(&filter(&[], &[]), Reach::Denied, &forms);
    assert_all(&filter(&["::/0", "2a00:1::/64"], &[]), Reach::Denied, &forms);
    assert_all(&filter(&[], &[]), Reach::Open, &["2a00:1::100:5efe:808:808", "2a00:1::5eff:808:808"]);
}

// H-004
// What is embedded must be allowed itself.
#[test]
fn an_opened_translator_does_not_open_denied_ipv4_addresses() {
    let allow =
        ["64:ff9b::/97", "64:ff9b::8000:0/97", "64:ff9b:1::/49", "::8.0.0.0/104", "2a00:1::5efe:0:0/97"];
    let filter = filter(&allow, &["9.0.0.0/8"]);
    let good = ["64:ff9b::8.8.8.8", "64:ff9b:1::8.8.8.8", "::8.8.8.8", "2a00:1::5efe:8.8.8.8"];
    assert_all(&filter, Reach::Open, &good);
    let bad = [
        "64:ff9b::127.0.0.1",
        "64:ff9b::192.168.0.1",
        "64:ff9b::9.9.9.9",
        "64:ff9b::0.0.0.0",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1:7f00:0:100::",
        "64:ff9b:1:1:7f:0:100:0",
        "2a00:1::5efe:10.0.0.1",
    ];
    assert_all(&filter, Reach::Denied, &bad);
    assert_all(&host(&["64:ff9b::/97"]), Reach::Denied, &["64:ff9b::8.8.8.8", "64:ff9b::8.8.4.4"]);
}

// H-005
// RFC 8656 §21.4, a MUST.
#[test]
fn sixtofour_and_teredo_are_denied_whatever_is_allowed() {
    let tunnels = ["2002:808:808::1", "2002:7f00:1::1", "2001::1", "2001:0:808:808::1"];
    assert_all(&filter(&[], &[]), Reach::Denied, &tunnels);
    let named: Vec<&str> = tunnels.iter().copied().chain(["2002::/17", "2001::/33"]).collect();
    assert_all(&filter(&named, &[]), Reach::Denied, &tunnels);
}

// H-006
#[test]
fn link_local_site_local_and_unique_local_are_denied() {
    let denied = ["169.254.0.1", "fe80::1", "febf::1", "fec0::1", "feff::1", "fc00::1", "fdff::1"];
    assert_all(&filter(&[], &[]), Reach::Denied, &denied);
}

// H-006
#[test]
fn metadata_services_stay_denied_when_the_network_around_them_is_allowed() {
    let around =
        filter(&["169.254.0.0/17", "169.254.128.0/17", "100.100.0.0/16", "fd00::/8", "168.0.0.0/8"], &[]);
    let metadata = [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
    ];
    assert_all(&filter(&[], &[]), Reach::Denied, &metadata);
    assert_all(&around, Reach::Denied, &metadata);
    assert_all(&around, Reach::Open, &["169.254.169.1", "100.100.100.1", "168.63.129.17", "fd00:ec2::1"]);
}

// H-007
#[test]
fn private_shared_reserved_and_documentation_ranges_are_denied() {
    let denied = [
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "240.0.0.1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "2001:2::1",
    ];
    assert_all(&filter(&[], &[]), Reach::Denied, &denied);
}

// H-008
#[test]
fn multicast_and_broadcast_are_denied() {
    let denied = ["224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1", "ff0e::1"];
    assert_all(&filter(&[], &[]), Reach::Denied, &denied);
}

// H-011
#[test]
fn the_most_specific_prefix_wins() {
    let filter = filter(&["10.1.0.0/16", "10.1.2.3"], &["10.1.2.0/24", "8.0.0.0/8"]);
    assert_all(&filter, Reach::Open, &["10.1.0.1", "10.1.2.3", "9.255.255.255"]);
    assert_all(&filter, Reach::Denied, &["10.0.0.1", "10.1.2.4", "8.8.8.8"]);
}

// H-011
#[test]
fn on_a_tie_deny_beats_allow_and_allow_the_built_in_list() {
    let filter = filter(&["8.8.8.0/24", "2a00::/16", "10.0.0.0/8"], &["8.8.8.0/24", "2a00::/16"]);
    assert_all(&filter, Reach::Denied, &["8.8.8.8", "2a00::1"]);
    assert_all(&filter, Reach::Open, &["10.0.0.1"]);
}

// H-011
#[test]
fn allowing_everything_opens_nothing_of_the_built_in_list() {
    let filter = filter(&["0.0.0.0/0", "::/0"], &[]);
    assert_all(
        &filter,
        Reach::Denied,
        &["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "ff02::1"],
    );
    assert_all(&filter, Reach::Open, &["8.8.8.8", "2a00:1::1"]);
}

// H-011
#[test]
fn denying_everything_leaves_what_is_named() {
    let filter = filter(&["8.8.8.0/24", "2a00:1::/32"], &["0.0.0.0/0", "::/0"]);
    assert_all(&filter, Reach::Open, &["8.8.8.8", "2a00:1::1"]);
    assert_all(&filter, Reach::Denied, &["8.8.9.8", "2a00:2::1"]);
}

// H-009
#[test]
fn own_addresses_are_denied_public_ones_too() {
    let own = ["127.0.0.1", "127.9.9.9", "::1", "8.8.8.8", "2a00:1::5"];
    assert_all(&host(&[]), Reach::Denied, &own);
    assert_all(&host(&["0.0.0.0/0", "::/0"]), Reach::Denied, &["127.0.0.1", "::1"]);
}

// H-009, H-015
#[test]
fn an_own_address_that_is_named_is_reached_but_for_protected_sockets() {
    let host = host(&["127.0.0.0/9", "::1", "8.8.8.8"]);
    assert_all(&host, Reach::SomePorts, &["127.0.0.1", "127.9.9.9", "::1", "8.8.8.8"]);
    for good in ["127.0.0.1:8081", "127.9.9.9:8080", "[::1]:8080", "8.8.8.8:53"] {
        assert!(may_send(&host, good), "{good}");
    }
    for protected in ["127.0.0.1:8080", "127.0.0.1:3478", "127.9.9.9:3478", "[::1]:3478", "8.8.8.8:3478"] {
        assert!(!may_send(&host, protected), "{protected}");
    }
    assert!(!may_send(&host, "[::ffff:127.0.0.1]:8080"));
}

// Two clients that are both relayed here are each other's peers; what else listens
// at that address is nobody's.
#[test]
fn a_relay_address_always_gets_a_permission_and_no_packet_by_the_kernel() {
    let unnamed = host(&[]);
    assert_all(&unnamed, Reach::SomePorts, &["10.0.0.5", "8.8.4.4", "::ffff:10.0.0.5"]);
    assert!(!may_send(&unnamed, "10.0.0.5:50000") && !may_send(&unnamed, "8.8.4.4:50000"));
    let named = host(&["10.0.0.5", "8.8.4.4"]);
    assert!(may_send(&named, "10.0.0.5:50000") && may_send(&named, "8.8.4.4:50000"));
}

// H-009
// Behind a 1:1 NAT a listener has two addresses.
#[test]
fn a_socket_is_protected_by_its_local_and_its_advertised_address() {
    let host = host(&["10.0.0.5", "8.8.4.4"]);
    assert!(!may_send(&host, "10.0.0.5:5349") && !may_send(&host, "8.8.4.4:5349"));
}

// H-009
// A store elsewhere.
#[test]
fn a_protected_socket_elsewhere_is_the_only_one_closed_there() {
    let host = host(&[]);
    assert_eq!(host.reach(ip("9.9.9.9")), Reach::SomePorts);
    assert!(!may_send(&host, "9.9.9.9:6379"));
    assert!(may_send(&host, "9.9.9.9:53") && may_send(&host, "9.9.9.9:3478"));
}

// H-010
#[test]
fn nothing_is_sent_to_port_0() {
    assert!(!may_send(&host(&["127.0.0.1"]), "127.0.0.1:0"));
    assert!(!may_send(&filter(&[], &[]), "8.8.8.8:0"));
}

// H-013
// The same judgement serves packets from peers.
#[test]
fn nothing_is_sent_where_no_permission_can_be() {
    let filter = filter(&[], &[]);
    for denied in ["10.0.0.1:9", "[fe80::1]:9", "224.0.0.1:9", "[2002::1]:9"] {
        assert!(!may_send(&filter, denied), "{denied}");
    }
}

#[test]
fn entries_of_allow_that_open_nothing_are_found() {
    let allow =
        networks(&["10.0.0.0/8", "10.0.0.0/9", "8.8.8.8", "0.0.0.0/9", "2002:1::/32", "1.0.0.0/8", "::1"]);
    let idle = without_effect(&allow, &networks(&["1.0.0.0/8"]));
    assert_eq!(idle, networks(&["0.0.0.0/9", "2002:1::/32", "1.0.0.0/8"]));
}

/// Prefixes that overlap often: few first octets, every length.
fn some_networks() -> impl Strategy<Value = Vec<IpNet>> {
    let v4 = (8u8..12, any::<u16>(), 0u8..=32).prop_map(|(a, b, length)| {
        IpNet::new(IpAddr::from([a, (b >> 8) as u8, b as u8, 0]), length).unwrap()
    });
    let v6 = (0x2a00u16..0x2a03, any::<u16>(), 0u8..=128)
        .prop_map(|(a, b, length)| IpNet::new(IpAddr::from([a, b, 0, 0, 0, 0, 0, b]), length).unwrap());
    prop::collection::vec(prop_oneof![v4, v6], 0..12)
}

fn some_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (7u8..13, any::<u16>(), any::<u8>()).prop_map(|(a, b, c)| IpAddr::from([
            a,
            (b >> 8) as u8,
            b as u8,
            c
        ])),
        (0x29ffu16..0x2a04, any::<u16>(), any::<u16>())
            .prop_map(|(a, b, c)| IpAddr::from([a, b, 0, 0, 0, 0, 0, c])),
    ]
}

/// The rule, read off its sentence.
fn reference(allow: &[IpNet], deny: &[IpNet], address: IpAddr) -> Reach {
    let longest = |networks: &mut dyn Iterator<Item = &IpNet>| {
        networks.filter(|network| network.contains(&address)).map(IpNet::prefix_len).max()
    };
    let denied = longest(&mut deny.iter());
    let allowed = longest(&mut allow.iter());
    let built_in = longest(&mut DENIED.iter());
    let denied = denied.is_some() && denied >= allowed || built_in > allowed;
    if denied { Reach::Denied } else { Reach::Open }
}

proptest! {
    // H-011
    #[test]
    fn precedence_is_that_of_the_naive_rule(
        allow in some_networks(),
        deny in some_networks(),
        addresses in prop::collection::vec(some_address(), 1..50),
    ) {
        let filter = PeerFilter::new(&allow, &deny, &OwnAddresses::default());
        let named = allow.iter().chain(&deny).map(IpNet::addr);
        for address in addresses.into_iter().chain(named) {
            prop_assert_eq!(filter.reach(address), reference(&allow, &deny, address), "{}", address);
        }
    }

    /// This holds for every address and every list.
    // H-002 H-003 H-005 H-010
    #[test]
    fn some_doors_no_list_opens(bits in any::<u128>(), length in 0u8..=128, port in any::<u16>()) {
        let address = IpAddr::V6(bits.into());
        let allow = [IpNet::new(address, length).unwrap(), IpNet::from(address)];
        let filter = PeerFilter::new(&allow, &[], &OwnAddresses::default());
        let zero = IpAddr::from([0, 0, (bits >> 8) as u8, bits as u8]);
        let tunnels = [0x2002u128 << 112 | bits >> 16, 0x2001_0000u128 << 96 | bits >> 32];
        for never in tunnels.map(|bits| IpAddr::V6(bits.into())).into_iter().chain([zero]) {
            prop_assert_eq!(filter.reach(never), Reach::Denied);
            prop_assert!(!filter.may_send(PeerAddr::new(SocketAddr::new(never, port))));
        }
        prop_assert!(!filter.may_send(PeerAddr::new(SocketAddr::new(address, 0))));
    }
}
