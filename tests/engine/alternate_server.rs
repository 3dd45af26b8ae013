//! 300 and ALTERNATE-SERVER (RFC 8489 §10).

use std::net::SocketAddr;

use floe::relay::{AlternateServer, Transport};
use floe::wire::{AttributeType, address};

use crate::client::{Answer, Client, MODERN, Request};
use crate::world::{Setup, World, addr};

const OTHERS: [&str; 4] = ["203.0.113.5:3478", "[2001:db8:5::1]:3478", "203.0.113.6:3479", "203.0.113.7:80"];

fn with(others: &[&str], change: impl FnOnce(&mut Setup)) -> World {
    let mut setup = Setup::default();
    setup.settings.alternate_servers =
        others.iter().map(|text| AlternateServer { address: addr(text), domain: None }).collect();
    change(&mut setup);
    World::with(setup)
}

fn alternates(answer: &Answer) -> Vec<SocketAddr> {
    let message = answer.message();
    let attributes = message.attributes().filter(|a| a.kind == AttributeType::ALTERNATE_SERVER);
    attributes.map(|a| address::decode(a.value).unwrap()).collect()
}

// A-090 A-091 A-092 B-166
#[test]
fn who_has_logged_in_is_sent_elsewhere_while_the_server_drains() {
    let mut world = with(&OTHERS, |_| {});
    let mut old = Client::new("bob", "192.0.2.9:4000");
    old.allocate(&mut world);
    world.engines[0].drain();
    let mut v4 = Client::alice();
    let challenge = v4.greet(&mut world);
    assert_eq!(challenge.code(), 401, "first who asks");
    assert!(!challenge.has(AttributeType::ALTERNATE_SERVER));
    for first in [OTHERS[0], OTHERS[2], OTHERS[3], OTHERS[0]] {
        // `request` sees to it that it is signed.
        let answer = v4.request(&mut world, &Request::allocate());
        assert_eq!((answer.code(), alternates(&answer)), (300, vec![addr(first), addr(OTHERS[1])]));
    }
    let mut v6 = Client::new("alice", "[2001:db8:1::1]:4000");
    let answer = v6.request(&mut world, &Request::allocate());
    assert_eq!((answer.code(), alternates(&answer)), (300, vec![addr(OTHERS[1]), addr(OTHERS[2])]));
    // The order of answers stays: what is wrong is said first.
    let strange = Request::allocate().with(AttributeType(0x7FFE), &[]);
    assert_eq!(v4.request(&mut world, &strange).code(), 420);
    let id = v4.next_id();
    let binding = v4.ask(&mut world, &Request::new(floe::wire::Method::BINDING).unsigned(id));
    assert_eq!(binding.code(), 0);
    // Who has an allocation keeps it.
    assert_eq!(old.refresh(&mut world, 600).code(), 0);
    assert_eq!(old.request(&mut world, &Request::allocate()).code(), 437);
}

// A-092 B-166
#[test]
fn nobody_is_sent_to_a_server_of_another_family() {
    for others in [&OTHERS[1..2], &[]] {
        let mut world = with(others, |_| {});
        world.engines[0].drain();
        let answer = Client::alice().request(&mut world, &Request::allocate());
        assert_eq!((answer.code(), alternates(&answer)), (508, vec![]));
    }
}

//
#[test]
fn a_full_server_sends_clients_elsewhere_too() {
    let mut by_limit = with(&OTHERS, |setup| setup.in_all = 1);
    let mut by_ports = with(&OTHERS, |setup| setup.ports = 50_000..=50_000);
    for world in [&mut by_limit, &mut by_ports] {
        Client::alice().allocate(world);
        let answer = Client::bob().request(world, &Request::allocate());
        assert_eq!((answer.code(), alternates(&answer)[0]), (300, addr(OTHERS[0])));
        assert_eq!(world.quota.total(), 1);
    }
    // A user's own limit is met everywhere, and a token is good here only.
    let mut by_user = with(&OTHERS, |setup| setup.per_user = 1);
    Client::alice().allocate(&mut by_user);
    let mut again = Client::new("alice", "192.0.2.1:4001");
    assert_eq!(again.request(&mut by_user, &Request::allocate()).code(), 486);
    let mut world = with(&OTHERS, |_| {});
    assert_eq!(Client::alice().request(&mut world, &Request::allocate().token(&[7; 8])).code(), 508);
}

/// A client checks the certificate of the server that it is sent to by the name
/// that it is told, and by the old one when it is told none.
//
#[test]
fn the_name_of_another_certificate_is_told_to_who_can_use_it() {
    let encrypted: Vec<Transport> = Transport::ALL.into_iter().filter(|t| t.is_encrypted()).collect();
    assert!(encrypted.contains(&Transport::Tls));
    for transport in Transport::ALL {
        for modern in [false, true] {
            let mut world = with(&OTHERS, |setup| {
                let servers = &mut setup.settings.alternate_servers;
                servers[0].domain = Some("turn2.example.org".into());
                servers[1].domain = Some("turn2.example.org".into());
                servers[2].domain = Some("turn3.example.org".into());
            });
            world.engines[0].drain();
            let mut alice = Client::alice();
            alice.path.five_tuple.transport = transport;
            if modern {
                alice = alice.signing(MODERN);
            }
            let mut told = Vec::new();
            for _ in 0..3 {
                let answer = alice.request(&mut world, &Request::allocate());
                assert_eq!(answer.code(), 300);
                told.push((alternates(&answer), answer.get(AttributeType::ALTERNATE_DOMAIN)));
            }
            let [one, six, two, bare] = OTHERS.map(addr);
            let expected = if modern && transport.is_encrypted() {
                // The server of IPv6 has the first one's name and no other's.
                [
                    (vec![one, six], Some(b"turn2.example.org".to_vec())),
                    (vec![two], Some(b"turn3.example.org".to_vec())),
                    (vec![bare], None),
                ]
            } else {
                [one, two, bare].map(|first| (vec![first, six], None))
            };
            assert_eq!(told, expected, "{transport:?}, modern {modern}");
        }
    }
}
