//! Nonces: to whom they belong, how long they last, and what a forged one gets.

use std::collections::BTreeSet;

use floe::wire::{AttributeType, TransactionId};

use crate::client::{Client, MODERN, Request, Signing};
use crate::world::{Setup, World};

// A-079 B-009 B-066
#[test]
fn after_an_hour_a_new_one_is_asked_for_and_the_allocation_goes_on() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate_as(&mut world, &Request::allocate().lifetime(3600));
    world.pass_secs(1800);
    assert_eq!(alice.refresh(&mut world, 3600).code(), 0);
    world.pass_secs(1801);
    let answer = alice.refresh(&mut world, 0);
    assert_eq!(answer.code(), 438);
    assert!(answer.has(AttributeType::REALM) && answer.has(AttributeType::PASSWORD_ALGORITHMS));
    assert_eq!(world.live(), 1, "it was not deleted");
    alice.nonce = answer.get(AttributeType::NONCE).unwrap();
    assert_eq!(alice.refresh(&mut world, 600).code(), 0);
}

// A-080 A-065 H-032
#[test]
fn one_that_was_given_to_somebody_else_is_stale() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.greet(&mut world);
    let mut nonces = BTreeSet::from([alice.nonce.clone()]);
    let captured = alice.sign(&Request::allocate());
    for elsewhere in [
        Client::new("alice", "192.0.2.1:4001"),
        Client::new("alice", "192.0.2.9:4000"),
        Client::alice().over_tcp(),
    ] {
        assert_eq!(elsewhere.ask(&mut world, &captured).code(), 438);
        assert_eq!(world.live(), 0);
        let mut elsewhere = elsewhere;
        elsewhere.greet(&mut world);
        assert!(nonces.insert(elsewhere.nonce.clone()), "each has its own");
        elsewhere.allocate(&mut world);
        elsewhere.refresh(&mut world, 0);
    }
}

//
#[test]
fn one_that_nobody_gave_is_stale_and_the_answer_holds_a_good_one() {
    for nonce in [&b"random"[..], b"", b"obMatJos2", b"obMatJos2gAAAshort", &[0xFF; 200]] {
        let mut world = World::new();
        let mut alice = Client { nonce: nonce.to_vec(), ..Client::alice() };
        let bytes = alice.sign(&Request::allocate());
        let answer = alice.ask(&mut world, &bytes);
        assert_eq!(answer.code(), 438);
        alice.nonce = answer.get(AttributeType::NONCE).unwrap();
        alice.allocate(&mut world);
    }
}

// A-081 H-048
#[test]
fn a_wrong_password_comes_before_a_stale_nonce() {
    let mut world = World::new();
    let mut alice = Client { nonce: b"stale".to_vec(), ..Client::alice() };
    alice.password = "guess".into();
    let bytes = alice.sign(&Request::allocate());
    assert_eq!(alice.ask(&mut world, &bytes).code(), 401);
}

// A-075 H-037
#[test]
fn the_features_it_names_cannot_be_taken_off() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.greet(&mut world);
    alice.nonce[9..13].copy_from_slice(b"AAAA");
    let bytes = alice.sign(&Request::allocate());
    assert_eq!(alice.ask(&mut world, &bytes).code(), 438);
}

// H-031
#[test]
fn a_flipped_bit_anywhere_is_a_forgery() {
    let mut world = World::new();
    for signing in [Signing::Legacy, MODERN] {
        let mut alice = Client::alice().signing(signing);
        alice.greet(&mut world);
        let given = alice.nonce.clone();
        for bit in 0..given.len() * 8 {
            alice.nonce = given.clone();
            alice.nonce[bit / 8] ^= 1 << (bit % 8);
            let bytes = alice.sign_as(&Request::allocate(), TransactionId([3; 12]));
            let code = alice.ask(&mut world, &bytes).code();
            assert!([401, 438, 400].contains(&code), "bit {bit}: {code}");
            assert!(signing == MODERN || code == 438, "bit {bit}: {code}");
        }
        for cut in 0..given.len() {
            alice.nonce = given[..cut].to_vec();
            let bytes = alice.sign_as(&Request::allocate(), TransactionId([3; 12]));
            assert!([401, 438, 400].contains(&alice.ask(&mut world, &bytes).code()));
        }
    }
    world.assert_empty();
}

// H-030
#[test]
fn no_two_are_alike() {
    let mut world = World::new();
    let mut seen = BTreeSet::new();
    for host in 0..2_000u32 {
        let mut client = Client::new("alice", &format!("192.0.2.{}:{}", host % 250, 1024 + host));
        client.greet(&mut world);
        assert!(seen.insert(client.nonce), "to another client");
    }
    let mut alice = Client::alice();
    for _ in 0..2_000 {
        world.stall(std::time::Duration::from_millis(1));
        alice.greet(&mut world);
        assert!(seen.insert(alice.nonce.clone()), "at another time");
    }
}

// A-089 H-030
#[test]
fn they_outlive_a_restart_and_a_change_of_keys_and_no_key_of_strangers_makes_them() {
    let with_keys = |keys: Vec<[u8; 32]>| {
        let mut setup = Setup::default();
        setup.settings.nonce_keys = keys;
        World::with(setup)
    };
    let mut alice = Client::alice();
    alice.greet(&mut with_keys(vec![[1; 32]]));
    for (keys, code) in [(vec![[1; 32]], 0), (vec![[2; 32], [1; 32]], 0), (vec![[2; 32]], 438)] {
        let mut world = with_keys(keys);
        world.pass_secs(59);
        let bytes = alice.sign(&Request::allocate());
        assert_eq!(alice.ask(&mut world, &bytes).code(), code);
    }
}

// B-167
#[test]
fn a_clock_that_is_set_back_or_forward_costs_one_more_round_at_most() {
    for seconds in [-7200, -3600, -1800, 1800, 3600, 7200] {
        let mut world = World::new();
        let mut alice = Client::alice();
        alice.allocate(&mut world);
        world.set_wall_clock(seconds);
        let answer = alice.refresh(&mut world, 600);
        if seconds.abs() >= 3600 {
            assert_eq!(answer.code(), 438);
            alice.nonce = answer.get(AttributeType::NONCE).unwrap();
            assert_eq!(alice.refresh(&mut world, 600).code(), 0);
        } else {
            assert_eq!(answer.code(), 0);
        }
        assert_eq!(world.live(), 1);
    }
}

// H-032
#[test]
fn a_delete_that_was_captured_is_worth_nothing_after_the_nonce_or_elsewhere() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate_as(&mut world, &Request::allocate().lifetime(3600));
    let captured = alice.sign(&Request::refresh().lifetime(0));
    let mut thief = Client::new("bob", "192.0.2.66:4000");
    thief.allocate(&mut world);
    assert_eq!(thief.ask(&mut world, &captured).code(), 438);
    world.pass_secs(3000);
    alice.refresh(&mut world, 3600);
    world.pass_secs(601);
    assert_eq!(alice.ask(&mut world, &captured).code(), 438);
    alice.greet(&mut world);
    assert!(alice.is_allocated(&mut world));
}
