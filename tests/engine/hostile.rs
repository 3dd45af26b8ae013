//! The engine against bytes that mean nothing, and against bytes that almost mean
//! something: it does not panic, and only who knows a password changes anything.

use std::net::SocketAddr;

use floe::relay::Instant;
use floe::wire::{AttributeType, Class, Method};

use crate::client::{Answer, Client, MODERN, Request, Signing};
use crate::world::{Sent, Setup, SplitMix, World, addr};

const PEER: &str = "203.0.113.1:9";

/// What an engine holds; an unauthenticated packet changes none of it.
fn held(world: &World) -> (usize, u64, u64, usize, u32, Option<Instant>) {
    let next = world.engines[0].next_timeout();
    (world.live(), world.permissions(), world.channels(), world.ports_used(), world.quota.total(), next)
}

/// A client with an allocation, a permission and a channel.
fn settled(world: &mut World, signing: Signing) -> (Client, SocketAddr) {
    let mut alice = Client::alice().signing(signing);
    let relayed = alice.allocate(world);
    assert_eq!(alice.bind(world, 0x4000, addr(PEER)), 0);
    (alice, relayed)
}

/// A success to nobody in particular is an answer to a Binding.
fn assert_harmless(sent: &Sent) {
    if let Sent::Reply(_, bytes) = sent {
        let answer = Answer { bytes: bytes.clone() };
        let message = answer.message();
        assert!(message.class() == Class::Error || message.method() == Method::BINDING);
        assert!(!answer.is_signed(), "signed, and for whom?");
    }
}

// H-045 A-015 A-033 A-001 A-007 A-008 A-010
#[test]
fn random_bytes_change_nothing() {
    let mut world = World::new();
    let (alice, relayed) = settled(&mut world, Signing::Legacy);
    let stranger = Client::new("nobody", "192.0.2.66:4000");
    let before = held(&world);
    let mut random = SplitMix(1);
    for n in 0..40_000 {
        let mut bytes: Vec<u8> = (0..random.below(120)).map(|_| random.next() as u8).collect();
        // Three of four look like STUN, so that more than the first byte is read.
        if n % 4 != 0 && bytes.len() >= 20 {
            bytes.truncate(bytes.len() / 4 * 4);
            let length = (bytes.len() - 20) as u16;
            bytes[0] &= 0x01;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&floe::wire::MAGIC_COOKIE.to_be_bytes());
            // And some have attributes of a likely size.
            for at in (20..bytes.len().saturating_sub(4)).step_by(8) {
                bytes[at + 2..at + 4].copy_from_slice(&[0, random.below(9) as u8]);
            }
        }
        let sent = if n % 2 == 0 { &stranger } else { &alice }.raw(&mut world, &bytes);
        assert_harmless(&sent);
        assert!(world.peer(addr("203.0.113.2:9"), relayed, &bytes).unwrap().is_dropped());
    }
    assert_eq!(held(&world), before);
}

// H-045 H-060 A-054
#[test]
fn a_signed_message_with_a_byte_changed_or_cut_off_changes_nothing() {
    for signing in [Signing::Legacy, MODERN, Signing::Hashed] {
        let mut world = World::new();
        let (mut alice, _) = settled(&mut world, signing);
        let peer = addr("203.0.113.7:9");
        let messages = [
            Request::allocate().lifetime(900).even_port(0x80),
            Request::refresh().lifetime(0),
            Request::create_permission(&[peer, addr(PEER)]),
            Request::channel_bind(0x4001, peer),
        ]
        .map(|request| alice.sign(&request));
        let before = held(&world);
        let mut random = SplitMix(2);
        for message in &messages {
            for cut in 0..message.len() {
                assert_harmless(&alice.raw(&mut world, &message[..cut]));
            }
            for _ in 0..5_000 {
                let mut changed = message.clone();
                for _ in 0..1 + random.below(4) {
                    let at = random.below(changed.len());
                    changed[at] ^= 1 << random.below(8);
                }
                // A changed type may be ChannelData's, which needs no password.
                if changed[0] < 4 && changed != *message {
                    assert_harmless(&alice.raw(&mut world, &changed));
                }
            }
            assert_eq!(held(&world), before);
        }
        for (message, code) in messages.iter().zip([437, 0, 437, 437]) {
            assert_eq!(alice.ask(&mut world, message).code(), code, "as they were, they are as good as ever");
        }
        world.assert_empty();
    }
}

// H-045 H-041
#[test]
fn whatever_a_user_signs_stays_within_bounds() {
    let mut world = World::with(Setup { per_user: 8, ..Setup::default() });
    let mut random = SplitMix(3);
    let mut clients: Vec<Client> =
        (0..8).map(|n| Client::new("alice", &format!("192.0.2.{n}:4000")).signing(MODERN)).collect();
    let methods = [
        Method::ALLOCATE,
        Method::ALLOCATE,
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
    ];
    for _ in 0..15_000 {
        let mut request = Request::new(methods[random.below(methods.len())]);
        for _ in 0..random.below(5) {
            let kind = match random.below(8) {
                0 => AttributeType(random.next() as u16),
                _ => AttributeType::ALL[random.below(AttributeType::ALL.len())],
            };
            let length = if random.below(2) == 0 { 4 } else { random.below(24) };
            let value: Vec<u8> =
                (0..length).map(|_| [0, 1, 2, 17, 64, random.next() as u8][random.below(6)]).collect();
            // These would say that the message ends here.
            if !(kind.0 == 8 || kind.0 == 0x1C || kind.0 == 0x8028) {
                request = request.with(kind, &value);
            }
        }
        if random.below(2) == 0 {
            request = request.with(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        }
        if random.below(8) == 0 {
            request = request.lifetime(0);
        }
        if random.below(2) == 0 {
            request = request.peer(addr(&format!("203.0.113.{}:9", random.below(200))));
        }
        let client = random.below(clients.len());
        let client = &mut clients[client];
        if client.nonce.is_empty() {
            client.greet(&mut world);
        }
        let bytes = client.sign(&request);
        let sent = client.raw(&mut world, &bytes);
        assert!(matches!(sent, Sent::Reply(..)), "every request is answered");
        assert!(world.quota.total() <= 8 && world.ports_used() <= 16 && world.permissions() <= 8 * 200);
    }
    assert!(world.opened > 10, "some of it made sense");
    world.close_all();
    world.assert_empty();
}

// H-046 B-078
#[test]
fn a_flood_from_strangers_reaches_no_client() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    alice.permit(&mut world, &[addr(PEER)]);
    let before = held(&world);
    for n in 0..20_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let stranger = SocketAddr::from(([203, 1 + a, b, c], 9));
        assert!(world.peer(stranger, relayed, b"flood").unwrap().is_dropped());
    }
    assert_eq!(held(&world), before);
    assert!(!world.peer(addr(PEER), relayed, b"friend").unwrap().is_dropped());
}
