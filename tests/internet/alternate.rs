//! ALTERNATE-SERVER while the server drains (RFC 8489 §10).

use std::net::SocketAddr;

use floe::wire::{AttributeType, address};

use crate::support::{ALICE, BOB, Client, Peer, Reply, Request, Server};

fn alternates(reply: &Reply) -> Vec<SocketAddr> {
    let message = reply.message();
    let attributes = message.attributes().filter(|a| a.kind == AttributeType::ALTERNATE_SERVER);
    attributes.map(|a| address::decode(a.value).expect("a right address")).collect()
}

// A-090 A-091 A-092 B-166
#[test]
fn new_clients_are_sent_elsewhere_and_old_ones_stay() {
    let others = ["203.0.113.5:3478", "[2001:db8:5::1]:3478", "203.0.113.6:3478"];
    let server = Server::start(|config| {
        config.set("drain-timeout", 600).set("relay.alternate-servers", others.to_vec());
    });
    let [one, six, two] = others.map(|other| other.parse::<SocketAddr>().expect("an address"));
    let mut old = Client::udp(&server).user(ALICE);
    let relayed = old.allocate();
    let mut tcp = Client::tcp(&server).user(BOB);
    tcp.challenge();
    let pid = rustix::process::Pid::from_raw(server.runtime().pid as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
    server.wait_until("it drains", || server.get("/readyz").0 != 200);

    // `call` sees to it that the reply is signed.
    let mut new = Client::udp(&server).user(BOB);
    let mut seen = Vec::new();
    server.wait_until("every shard knows", || {
        let reply = new.call(Request::allocate());
        if reply.is_success() {
            new.call(Request::refresh(0)).ok();
            return false;
        }
        assert_eq!(reply.code(), 300);
        seen.push(alternates(&reply));
        seen.len() == 4
    });
    assert!(seen.iter().all(|list| [vec![one, six], vec![two, six]].contains(list)), "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "in turns: {seen:?}");
    let reply = Client::udp6(&server).user(BOB).call(Request::allocate());
    assert_eq!((reply.code(), alternates(&reply)[0]), (300, six));
    new.ping();
    let peer = Peer::new();
    old.permit(peer.ip());
    old.exchange(relayed, &peer);
    old.call(Request::refresh(600)).ok();
}

// B-166
#[test]
fn an_address_that_leads_nowhere_is_refused_at_the_start() {
    let named = |domain: &str| {
        let fields = [("address", "203.0.113.5:5349"), ("domain", domain)];
        toml::Table::from_iter(fields.map(|(key, value)| (key.to_owned(), value.into()))).into()
    };
    let addresses = ["203.0.113.5:0", "0.0.0.0:3478", "224.0.0.1:3478"].map(toml::Value::from);
    for wrong in addresses.into_iter().chain(["", "two words", "turn2..example.org"].map(named)) {
        let (status, said) = Server::refused(|config| {
            config.set("relay.alternate-servers", vec![wrong]);
        });
        assert!(status == Some(2) && said.contains("relay.alternate-servers"), "{said}");
    }
}
