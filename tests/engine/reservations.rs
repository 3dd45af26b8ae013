//! Ports in pairs: EVEN-PORT, and RESERVATION-TOKEN for the one held back.

use std::time::Duration;

use floe::relay::Outcome;
use floe::wire::AttributeType;

use crate::client::{Client, Request};
use crate::world::{Sent, Setup, World};

fn pair() -> Request {
    Request::allocate().even_port(0x80)
}

fn redeem(token: [u8; 8]) -> Request {
    Request::allocate().token(&token)
}

/// A client's first allocation, its relayed port and its token.
fn reserve(world: &mut World, client: &mut Client) -> (u16, [u8; 8]) {
    let answer = client.request(world, &pair());
    let port = answer.relayed()[0].port();
    assert_eq!(port % 2, 0);
    (port, answer.token().expect("RESERVATION-TOKEN"))
}

// B-031 B-034
#[test]
fn an_even_port_alone_holds_nothing_back() {
    for flags in [0, 0x7F] {
        let mut world = World::new();
        let answer = Client::alice().request(&mut world, &Request::allocate().even_port(flags));
        assert_eq!(answer.relayed()[0].port() % 2, 0);
        assert_eq!((answer.token(), world.ports_used()), (None, 1));
    }
    let mut world = World::new();
    let malformed = Request::allocate().with(AttributeType::EVEN_PORT, &[0x80, 0]);
    assert_eq!(Client::alice().request(&mut world, &malformed).code(), 400);
}

// B-029 B-032
#[test]
fn the_next_port_is_held_for_the_same_user_wherever_he_comes_from() {
    let mut elsewhere = Client::alice();
    elsewhere.path.five_tuple.server = floe::relay::ServerAddr::new("198.51.100.2:3478".parse().unwrap());
    for mut second in [
        Client::new("alice", "192.0.2.1:4001"),
        Client::alice().over_tcp(),
        elsewhere,
        Client::new("alice", "[2001:db8::77]:4000").on_shard(1),
    ] {
        let mut world = World::with(Setup { shards: 2, ..Setup::default() });
        let mut alice = Client::alice();
        let (port, token) = reserve(&mut world, &mut alice);
        world.pass_secs(29);
        let relayed = second.allocate_as(&mut world, &redeem(token));
        assert_eq!(relayed.port(), port + 1);
        assert_eq!((world.live(), world.ports_used(), world.quota.of("alice")), (2, 2, 2));
        // It is a port like any other now.
        let peer = "203.0.113.1:9".parse().unwrap();
        second.permit(&mut world, &[peer]);
        assert!(!world.peer(peer, relayed, b"x").unwrap().is_dropped());
        let mut bob = Client::bob();
        bob.allocate(&mut world);
        bob.permit(&mut world, &[relayed]);
        second.permit(&mut world, &[relayed]);
        assert!(matches!(bob.send(&mut world, relayed, b"hairpin"), Sent::ToClient(..)));
        world.close_all();
        world.assert_empty_for_good();
    }
}

// B-028
#[test]
fn a_token_is_good_once_for_half_a_minute() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let mut second = Client::new("alice", "192.0.2.1:4001");
    let (_, token) = reserve(&mut world, &mut alice);
    for wrong in [&b"nonsense"[..], &[0; 8]] {
        assert_eq!(second.request(&mut world, &Request::allocate().token(wrong)).code(), 508);
    }
    for malformed in [&token[..7], &[], &[0; 9]] {
        assert_eq!(second.request(&mut world, &Request::allocate().token(malformed)).code(), 400);
    }
    second.allocate_as(&mut world, &redeem(token));
    let mut third = Client::new("alice", "192.0.2.1:4002");
    assert_eq!(third.request(&mut world, &redeem(token)).code(), 508);
    let (_, token) = reserve(&mut world, &mut third);
    world.pass_secs(31);
    let mut fourth = Client::new("alice", "192.0.2.1:4003");
    assert_eq!(fourth.request(&mut world, &redeem(token)).code(), 508);
}

// B-028
#[test]
fn the_timer_of_a_hold_ends_with_it() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let mut second = Client::new("alice", "192.0.2.1:4001");
    let (_, token) = reserve(&mut world, &mut alice);
    second.allocate_as(&mut world, &redeem(token));
    alice.refresh(&mut world, 0);
    second.refresh(&mut world, 0);
    world.assert_empty();
    world.assert_no_timer();

    reserve(&mut world, &mut alice);
    world.close_all();
    world.assert_empty();
    world.assert_no_timer();
}

// B-028
#[test]
fn a_token_has_its_time_whatever_the_timers_do() {
    for shard in [0, 1] {
        let mut world = World::with(Setup { shards: 2, ..Setup::default() });
        let (_, token) = reserve(&mut world, &mut Client::alice());
        world.stall(Duration::from_secs(30));
        let mut second = Client::new("alice", "192.0.2.1:4001").on_shard(shard);
        assert_eq!(second.request(&mut world, &redeem(token)).code(), 508);
        assert_eq!((world.ports_used(), world.quota.of("alice")), (1, 1), "nor is the port held any more");
        world.close_all();
        world.assert_empty_for_good();
    }
}

// B-027
#[test]
fn a_token_asks_for_one_port_and_nothing_besides() {
    let mut world = World::new();
    let (_, token) = reserve(&mut world, &mut Client::alice());
    let mut second = Client::new("alice", "192.0.2.1:4001");
    for request in [redeem(token).even_port(0), redeem(token).family(1), redeem(token).additional(2)] {
        assert_eq!(second.request(&mut world, &request).code(), 400);
    }
    second.allocate_as(&mut world, &redeem(token));
}

// B-030
#[test]
fn a_stolen_token_is_worth_nothing_and_stays_good_for_its_owner() {
    let mut world = World::new();
    let (_, token) = reserve(&mut world, &mut Client::alice());
    assert_eq!(Client::bob().request(&mut world, &redeem(token)).code(), 508);
    Client::new("alice", "192.0.2.1:4001").allocate_as(&mut world, &redeem(token));
}

// B-032
#[test]
fn a_held_port_is_nobody_elses_until_it_is_let_go() {
    let mut world = World::with(Setup { ports: 50_000..=50_001, v6: false, ..Setup::default() });
    let mut alice = Client::alice();
    assert_eq!(reserve(&mut world, &mut alice).0, 50_000);
    let mut bob = Client::bob();
    assert_eq!(bob.request(&mut world, &Request::allocate()).code(), 508);
    // The hold does not end with the allocation that asked for it.
    alice.refresh(&mut world, 0);
    assert_eq!(bob.allocate(&mut world).port(), 50_000);
    bob.refresh(&mut world, 0);
    world.pass_secs(29);
    assert_eq!(world.ports_used(), 1);
    world.pass_secs(2);
    world.assert_empty();
}

// B-033
#[test]
fn a_pair_has_to_be_free_as_a_pair() {
    let mut world = World::with(Setup { ports: 50_000..=50_003, v6: false, ..Setup::default() });
    let mut clients: Vec<Client> =
        (0..4).map(|n| Client::new("alice", &format!("192.0.2.1:400{n}"))).collect();
    let mut ports: Vec<u16> = clients.iter_mut().map(|c| c.allocate(&mut world).port()).collect();
    for odd in [50_001, 50_003] {
        let at = ports.iter().position(|port| *port == odd).unwrap();
        ports.remove(at);
        clients.remove(at).refresh(&mut world, 0);
    }
    let mut bob = Client::bob();
    assert_eq!(bob.request(&mut world, &pair()).code(), 508, "two free ports are no pair");
    assert_eq!(bob.request(&mut world, &pair().additional(2)).code(), 400);
    assert_eq!((world.ports_used(), world.quota.of("bob")), (2, 0));
    clients.iter_mut().for_each(|client| assert_eq!(client.refresh(&mut world, 0).code(), 0));
    reserve(&mut world, &mut bob);
}

// B-035 B-028 H-052
#[test]
fn held_ports_count_towards_the_quota() {
    let mut world = World::with(Setup { per_user: 4, ..Setup::default() });
    let client = |n: u16| Client::new("alice", &format!("192.0.2.1:{}", 4000 + n));
    for n in 0..2 {
        reserve(&mut world, &mut client(n));
    }
    for n in 2..50 {
        assert_eq!(client(n).request(&mut world, &pair()).code(), 486);
    }
    assert_eq!((world.quota.of("alice"), world.ports_used()), (4, 4));
    world.pass_secs(31);
    // One is left: a pair wants two, and the one charged first is given back.
    client(7).allocate(&mut world);
    assert_eq!(client(8).request(&mut world, &pair()).code(), 486);
    client(9).allocate(&mut world);
    assert_eq!(world.quota.of("alice"), 4);
    world.close_all();
    world.assert_empty();
}

// B-028 H-052
#[test]
fn a_held_port_that_cannot_be_bound_is_given_back_once() {
    for outcome in [Outcome::PortTaken, Outcome::Failed] {
        let mut world = World::new();
        let mut alice = Client::alice();
        let (_, token) = reserve(&mut world, &mut alice);
        let mut second = Client::new("alice", "192.0.2.1:4001");
        world.outcomes.push_back(outcome);
        assert_eq!(second.request(&mut world, &redeem(token)).code(), 508);
        assert_eq!((world.ports_used(), world.quota.of("alice")), (1, 1));
        assert_eq!(second.request(&mut world, &redeem(token)).code(), 508, "and the token is spent");
        alice.refresh(&mut world, 0);
        world.assert_empty();
    }
}

// H-052
#[test]
fn a_client_that_leaves_while_its_held_port_is_bound_leaves_nothing() {
    for outcome in [Outcome::Bound, Outcome::PortTaken, Outcome::Failed] {
        let mut world = World::new();
        let mut alice = Client::alice();
        let (_, token) = reserve(&mut world, &mut alice);
        let mut second = Client::new("alice", "192.0.2.1:4001").over_tcp();
        second.greet(&mut world);
        world.hold_binds = true;
        let bytes = second.sign(&redeem(token));
        second.raw(&mut world, &bytes);
        let path = second.path;
        world.gone(0, path);
        let waiting = world.waiting[0];
        assert_eq!(world.finish(waiting, outcome), Sent::Nothing);
        assert_eq!((world.ports_used(), world.quota.of("alice")), (1, 1));
        alice.refresh(&mut world, 0);
        world.assert_empty();
    }
}
