use std::net::UdpSocket;

use super::*;

fn listener(address: &str) -> Listener {
    Listener { address: address.parse().unwrap(), required: true }
}

/// The port of the first UDP listener, and of the first TCP one.
fn ports(sockets: &Sockets) -> (Option<u16>, Option<u16>) {
    (
        sockets.udp.first().map(|(s, _)| s.local_addr().unwrap().port()),
        sockets.tcp.first().map(|s| s.local_addr().unwrap().port()),
    )
}

fn message(result: Result<Vec<Sockets>, BindError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn port_0_becomes_one_port_for_all_shards() {
    let any = [listener("127.0.0.1:0")];
    let shards = open(&any, &[], &any, 3, 0).unwrap();
    assert_eq!(shards.len(), 3);
    let (udp, tcp) = ports(&shards[0]);
    assert!(udp.is_some_and(|p| p != 0) && tcp.is_some_and(|p| p != 0));
    assert!(shards.iter().all(|s| ports(s) == (udp, tcp)));
}

#[test]
fn a_port_that_a_plain_socket_holds_is_taken() {
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let text = message(open(&[listener(&address)], &[], &[], 2, 0));
    assert!(text.starts_with(&format!("listen.udp: {address} is taken by another program")), "{text}");

    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let text = message(open(&[], &[], &[listener(&address)], 2, 0));
    assert!(text.starts_with(&format!("listen.tcp: {address} is taken by another program")), "{text}");
}

#[test]
fn a_second_server_does_not_join_silently() {
    let any = [listener("127.0.0.1:0")];
    let first = open(&any, &[], &any, 2, 0).unwrap();
    let (udp, tcp) = ports(&first[0]);
    for all in ["127.0.0.1", "0.0.0.0"] {
        let udp = listener(&format!("{all}:{}", udp.unwrap()));
        let tcp = listener(&format!("{all}:{}", tcp.unwrap()));
        assert!(message(open(&[udp], &[], &[], 2, 0)).contains("is taken"));
        assert!(message(open(&[], &[], &[tcp], 2, 0)).contains("is taken"));
    }
}

#[test]
fn an_address_of_another_host_is_not_local() {
    // TEST-NET-1, RFC 5737: nobody has it.
    let foreign = listener("192.0.2.1:3478");
    for result in [open(&[foreign], &[], &[], 1, 0), open(&[], &[], &[foreign], 1, 0)] {
        let text = message(result);
        assert!(text.contains("192.0.2.1:3478 is not an address of this host"), "{text}");
    }
    let error = prove_relay_addresses(["192.0.2.1".parse().unwrap()].into_iter()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("relay.addresses: 192.0.2.1 is not an address of this host"), "{text}");
    prove_relay_addresses(["127.0.0.1".parse().unwrap()].into_iter()).unwrap();
}

#[test]
fn a_default_address_that_the_host_lacks_is_left_out() {
    let default = Listener { required: false, ..listener("192.0.2.1:3478") };
    let shards = open(&[default, listener("127.0.0.1:0")], &[], &[], 1, 0).unwrap();
    assert_eq!(shards[0].udp.len(), 1);
    assert!(open(&[default], &[], &[], 1, 0).unwrap()[0].udp.is_empty());
}

#[test]
fn the_same_address_twice_is_an_error() {
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let twice = listener(&held.local_addr().unwrap().to_string());
    drop(held);
    assert!(message(open(&[twice, twice], &[], &[], 1, 0)).contains("is listed twice"));
}

#[test]
fn an_address_in_both_lists_serves_both() {
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let both = listener(&held.local_addr().unwrap().to_string());
    let text = message(open(&[], &[both], &[], 1, 0));
    assert!(text.starts_with("listen.dtls: ") && text.contains("is taken by another program"), "{text}");
    drop(held);
    let any = listener("127.0.0.1:0");
    let shards = open(&[both, any], &[any, both], &[], 2, 0).unwrap();
    for shard in &shards {
        let takes: Vec<_> = shard.udp.iter().map(|(_, takes)| (takes.plain, takes.secured)).collect();
        assert_eq!(takes, [(true, true), (true, false), (false, true)], "port 0 is another in each list");
    }
}

#[test]
fn both_families_share_a_port() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let shards = open(&[listener("0.0.0.0:0")], &[], &[listener("0.0.0.0:0")], 1, 0).unwrap();
    let (udp, tcp) = ports(&shards[0]);
    let udp = listener(&format!("[::]:{}", udp.unwrap()));
    let tcp = listener(&format!("[::]:{}", tcp.unwrap()));
    open(&[udp], &[], &[tcp], 1, 0).expect("IPV6_V6ONLY keeps the families apart");
}

#[test]
fn an_address_in_both_lists_is_one_door() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let both = listener(&held.local_addr().unwrap().to_string());
    drop(held);
    let any = listener("127.0.0.1:0");
    let mut tcp = vec![any, both];
    let doors = open_doors(&mut tcp, &[any, both], &[], false).unwrap();
    assert_eq!(
        doors.iter().map(|door| (door.plain, door.tls)).collect::<Vec<_>>(),
        [(false, true), (true, true)]
    );
    assert_eq!(tcp, [any], "the rest is the shards'");
    drop(doors);

    let doors = open_doors(&mut tcp, &[], &[], true).unwrap();
    assert_eq!(doors.iter().map(|door| (door.plain, door.tls)).collect::<Vec<_>>(), [(true, false)]);
    assert_eq!(tcp, []);
}
