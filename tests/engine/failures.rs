//! Relay sockets that cannot be bound, and clients that leave meanwhile.

use floe::relay::{CloseReason, Outcome};

use crate::client::{Client, Request};
use crate::world::{Sent, Setup, World};

// B-046 H-050
#[test]
fn a_port_that_another_process_has_is_passed_over() {
    let mut world = World::new();
    world.outcomes.extend([Outcome::PortTaken; 5]);
    let mut alice = Client::alice();
    let relayed = alice.allocate_as(&mut world, &Request::allocate().even_port(0x80));
    assert_eq!((relayed.port() % 2, world.ports_used(), world.quota.of("alice")), (0, 2, 2));
    world.close_all();
    world.assert_empty();
}

// H-050
#[test]
fn when_every_port_is_taken_it_gives_up() {
    for request in
        [Request::allocate(), Request::allocate().even_port(0x80), Request::allocate().additional(2)]
    {
        let mut world = World::new();
        world.outcomes.extend([Outcome::PortTaken; 100]);
        let mut alice = Client::alice();
        assert_eq!(alice.request(&mut world, &request).code(), 508);
        assert!(world.outcomes.len() > 50, "after a few tries");
        world.assert_empty();
        world.outcomes.clear();
        alice.allocate_as(&mut world, &request);
    }
}

// H-050 H-052
#[test]
fn without_descriptors_it_is_508_and_recovers() {
    let mut world = World::new();
    let mut alice = Client::alice();
    for _ in 0..100 {
        world.outcomes.push_back(Outcome::Failed);
        assert_eq!(alice.request(&mut world, &Request::allocate()).code(), 508);
        world.assert_empty();
    }
    alice.allocate(&mut world);
}

// B-161 H-052
#[test]
fn a_client_that_leaves_while_its_sockets_are_opened_leaves_nothing() {
    use Outcome::{Bound, Failed, PortTaken};
    for request in
        [Request::allocate(), Request::allocate().even_port(0x80), Request::allocate().additional(2)]
    {
        for (before, after) in [
            (None, Bound),
            (None, PortTaken),
            (None, Failed),
            (Some(Bound), Bound),
            (Some(PortTaken), Failed),
        ] {
            let mut world = World::new();
            let mut alice = Client::alice().over_tcp();
            alice.greet(&mut world);
            world.hold_binds = true;
            let bytes = alice.sign(&request);
            assert_eq!(alice.raw(&mut world, &bytes), Sent::Nothing);
            if let Some(outcome) = before {
                let waiting = world.waiting[0];
                world.finish(waiting, outcome);
            }
            let path = alice.path;
            world.gone(0, path);
            if let Some(&waiting) = world.waiting.first() {
                assert_eq!(world.finish(waiting, after), Sent::Nothing, "there is nobody to tell");
            }
            assert_eq!(world.waiting, [], "and nothing more is opened");
            world.close_all();
            world.assert_empty();
            // Whoever has the address next starts afresh.
            world.hold_binds = false;
            alice.allocate(&mut world);
        }
    }
}

// B-161
#[test]
fn a_late_or_repeated_outcome_does_nothing() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.greet(&mut world);
    world.hold_binds = true;
    let bytes = alice.sign(&Request::allocate());
    alice.raw(&mut world, &bytes);
    let waiting = world.waiting[0];
    world.finish(waiting, Outcome::Bound);
    for outcome in [Outcome::PortTaken, Outcome::Failed] {
        assert_eq!(world.finish(waiting, outcome), Sent::Nothing);
    }
    assert_eq!((world.live(), world.ports_used()), (1, 1));
    alice.refresh(&mut world, 0);
    assert_eq!(world.finish(waiting, Outcome::Failed), Sent::Nothing);
    assert_eq!(world.closed, [CloseReason::Deleted]);
    world.assert_empty();
}

// H-050
#[test]
fn the_lifetime_begins_when_the_allocation_does() {
    let mut world = World::with(Setup::default());
    let mut alice = Client::alice();
    alice.greet(&mut world);
    world.hold_binds = true;
    let bytes = alice.sign(&Request::allocate());
    alice.raw(&mut world, &bytes);
    world.pass_secs(5);
    let waiting = world.waiting[0];
    world.finish(waiting, Outcome::Bound);
    world.pass_secs(599);
    assert_eq!(world.live(), 1);
    world.pass_secs(2);
    world.assert_empty();
}
