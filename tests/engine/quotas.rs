//! How many allocations a user and the server may have.

use floe::relay::Outcome;

use crate::client::{Client, Request};
use crate::world::{Setup, World};

fn client(name: &str, n: usize) -> Client {
    let client = Client::new(name, &format!("192.0.2.{}:{}", 1 + n % 200, 4000 + n));
    if n.is_multiple_of(2) { client } else { client.over_tcp() }
}

fn code(world: &mut World, mut client: Client) -> u16 {
    client.request(world, &Request::allocate()).code()
}

// B-045 H-040
#[test]
fn a_user_has_a_number_of_allocations_wherever_they_come_from() {
    let mut world = World::with(Setup { per_user: 3, ..Setup::default() });
    let mut first = client("alice", 0);
    first.allocate(&mut world);
    assert_eq!([1, 2, 3].map(|n| code(&mut world, client("alice", n))), [0, 0, 486]);
    assert_eq!(code(&mut world, client("bob", 4)), 0, "others are not touched");
    first.refresh(&mut world, 0);
    assert_eq!(code(&mut world, client("alice", 5)), 0, "its place is free at once");
    assert_eq!(code(&mut world, client("alice", 6)), 486);
    world.pass_secs(601);
    assert_eq!(code(&mut world, client("alice", 7)), 0);
}

// H-040
#[test]
fn the_server_has_a_number_too() {
    let mut world = World::with(Setup { in_all: 2, ..Setup::default() });
    let codes = [(0, "alice"), (1, "bob"), (2, "carol")].map(|(n, name)| code(&mut world, client(name, n)));
    assert_eq!(codes, [0, 0, 508]);
    assert_eq!(world.quota.of("carol"), 0);
}

// B-049 H-040 H-052
#[test]
fn refusals_of_every_kind_leave_nothing() {
    let mut world = World::with(Setup { per_user: 2, ports: 50_000..=50_003, v6: false, ..Setup::default() });
    let mut alice = Client::alice();
    let requests = [
        (Request::new(floe::wire::Method::ALLOCATE), 400),
        (Request::allocate().family(9), 440),
        (Request::allocate().family(2), 440),
        (Request::allocate().token(b"nonsense"), 508),
        (Request::allocate().additional(1), 400),
        (Request::allocate().with(floe::wire::AttributeType(0x7FFF), &[]), 420),
    ];
    for _ in 0..200 {
        for (request, code) in &requests {
            assert_eq!(alice.request(&mut world, request).code(), *code);
        }
        world.outcomes.push_back(Outcome::Failed);
        assert_eq!(alice.request(&mut world, &Request::allocate().even_port(0x80)).code(), 508);
        world.assert_empty();
    }
}
