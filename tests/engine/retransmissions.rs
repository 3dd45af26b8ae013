//! Requests that come again: the network repeats them, the client does too.

use floe::relay::{DropReason, Outcome};

use crate::client::{Client, Request};
use crate::world::{Sent, World, addr};

// B-021
#[test]
fn an_allocate_again_gets_the_same_addresses_again() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.greet(&mut world);
    let bytes = alice.sign(&Request::allocate().even_port(0x80).lifetime(900));
    let first = alice.ask(&mut world, &bytes);
    world.pass_secs(10);
    let again = alice.ask(&mut world, &bytes);
    assert_eq!(again.relayed(), first.relayed());
    assert_eq!(again.token(), first.token());
    assert!(again.token().is_some() && again.is_signed_for(&alice));
    assert_eq!((first.lifetime(), again.lifetime()), (900, 890), "what is left of it");
    assert_eq!((world.live(), world.ports_used(), world.quota.of("alice")), (1, 2, 2));
}

// B-021
#[test]
fn an_allocate_again_while_the_first_is_worked_on_is_taken_in() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.greet(&mut world);
    world.hold_binds = true;
    let bytes = alice.sign(&Request::allocate());
    assert_eq!(alice.raw(&mut world, &bytes), Sent::Nothing);
    assert_eq!(alice.raw(&mut world, &bytes), Sent::Dropped(DropReason::Retransmission));
    assert_eq!((world.waiting.len(), world.ports_used()), (1, 1));
    // Another Allocate meanwhile is too early, and everything else too.
    assert_eq!(alice.request(&mut world, &Request::allocate()).code(), 437);
    assert_eq!(alice.refresh(&mut world, 600).code(), 437);
    let waiting = world.waiting[0];
    assert!(matches!(world.finish(waiting, Outcome::Bound), Sent::Reply(..)));
    assert_eq!(world.live(), 1);
    assert!(alice.ask(&mut world, &bytes).code() == 0 && world.ports_used() == 1);
}

// B-022
#[test]
fn another_allocate_on_a_live_five_tuple_is_a_mismatch() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let peer = addr("203.0.113.1:9");
    let relayed = alice.allocate(&mut world);
    alice.permit(&mut world, &[peer]);
    assert_eq!(alice.request(&mut world, &Request::allocate()).code(), 437);
    bob.path = alice.path;
    assert_eq!(bob.request(&mut world, &Request::allocate()).code(), 437);
    assert_eq!(world.live(), 1);
    assert_eq!(alice.send(&mut world, peer, b"on"), Sent::ToPeer(relayed, peer, b"on".into()));
}

// B-022 H-063
#[test]
fn another_user_with_the_same_transaction_is_not_taken_for_a_retransmission() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    alice.allocate(&mut world);
    bob.path = alice.path;
    bob.nonce = alice.nonce.clone();
    let same = bob.sign_as(&Request::allocate(), alice.id);
    assert_eq!(bob.ask(&mut world, &same).code(), 437);
}

// B-023
#[test]
fn a_refused_allocate_again_is_refused_again_and_leaves_no_ghost() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let id = alice.next_id();
    for _ in 0..3 {
        assert_eq!(alice.ask(&mut world, &Request::allocate().unsigned(id)).code(), 401);
    }
    alice.greet(&mut world);
    let bytes = alice.sign(&Request::allocate().token(b"nonsense"));
    for _ in 0..3 {
        assert_eq!(alice.ask(&mut world, &bytes).code(), 508);
    }
    world.assert_empty();
}

// B-062
#[test]
fn a_delete_again_finds_nothing() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let bytes = alice.sign(&Request::refresh().lifetime(0));
    assert_eq!(alice.ask(&mut world, &bytes).code(), 0);
    assert_eq!(alice.ask(&mut world, &bytes).code(), 437);
    world.assert_empty();
}

// B-081 B-149 B-133
#[test]
fn permissions_and_channels_again_are_refreshed_and_not_doubled() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let peer = addr("203.0.113.1:9");
    let permit = alice.sign(&Request::create_permission(&[peer]));
    let bind = alice.sign(&Request::channel_bind(0x4000, peer));
    for _ in 0..7 {
        assert_eq!(alice.ask(&mut world, &permit).code(), 0);
        assert_eq!(alice.ask(&mut world, &bind).code(), 0);
    }
    assert_eq!((world.permissions(), world.channels()), (1, 1));
}

//
#[test]
fn a_binding_again_is_answered_again() {
    let mut world = World::new();
    let alice = Client::alice();
    let bytes = Request::new(floe::wire::Method::BINDING).unsigned(alice.id);
    let first = alice.ask(&mut world, &bytes);
    assert_eq!(first.code(), 0);
    for _ in 0..6 {
        assert_eq!(alice.ask(&mut world, &bytes), first);
    }
}
