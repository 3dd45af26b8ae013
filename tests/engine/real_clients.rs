//! The habits of real clients, for hours: what each of them sends and when, as its
//! source has it, and that no packet is lost meanwhile. The engine follows the
//! RFC to the letter here unless a test says otherwise.

use std::net::SocketAddr;

use floe::wire::AttributeType;

use crate::client::{Answer, Client, Heard, MODERN, Request, Signing};
use crate::world::{Sent, Setup, World, addr};

const PEER: &str = "203.0.113.1:9";
const HOURS: u64 = 3;
/// Seconds between two packets each way.
const STEP: u64 = 5;

/// When a client asks for what; seconds.
#[derive(Clone, Copy)]
struct Habit {
    /// LIFETIME of Allocate and Refresh; `None` without the attribute.
    lifetime: Option<u32>,
    refresh: u64,
    permission: Option<u64>,
    channel: Option<u64>,
}

const LIBWEBRTC: Habit = Habit { lifetime: None, refresh: 540, permission: None, channel: Some(240) };
const FIREFOX: Habit = Habit { lifetime: Some(3600), refresh: 3590, permission: Some(290), channel: None };
const AIOICE: Habit = Habit { lifetime: Some(600), refresh: 500, permission: None, channel: Some(500) };
const PION: Habit = Habit { lifetime: None, refresh: 300, permission: Some(120), channel: Some(300) };
const LIBNICE: Habit = Habit { lifetime: None, refresh: 540, permission: Some(240), channel: Some(540) };

/// Packets that did not arrive.
#[derive(Default, PartialEq, Eq, Debug)]
struct Lost {
    up: Vec<u64>,
    down: Vec<u64>,
}

/// A transaction as these clients do it: one more try with the nonce of a 438.
fn ask(client: &mut Client, world: &mut World, request: &Request) -> Answer {
    let answer = client.request(world, request);
    if answer.code() != 438 {
        return answer;
    }
    assert!(answer.has(AttributeType::REALM));
    client.nonce = answer.get(AttributeType::NONCE).unwrap();
    client.request(world, request)
}

/// Lives by its habit beside a peer that sends and is sent to all the time.
fn live(mut world: World, habit: Habit) -> (World, Lost) {
    let peer = addr(PEER);
    let mut client = Client::alice();
    let with_lifetime = |request: Request| match habit.lifetime {
        Some(seconds) => request.lifetime(seconds),
        None => request,
    };
    let relayed = ask(&mut client, &mut world, &with_lifetime(Request::allocate())).relayed()[0];
    let refresh = with_lifetime(Request::refresh());
    let due = |every: Option<u64>, at: u64| every.is_some_and(|every| at.is_multiple_of(every));
    let mut lost = Lost::default();
    for at in (0..HOURS * 3600).step_by(STEP as usize) {
        if at > 0 && at.is_multiple_of(habit.refresh) {
            let answer = ask(&mut client, &mut world, &refresh);
            assert_eq!((answer.code(), answer.lifetime()), (0, habit.lifetime.unwrap_or(600)));
        }
        for (every, request) in [
            (habit.permission, Request::create_permission(&[peer])),
            (habit.channel, Request::channel_bind(0x4000, peer)),
        ] {
            if due(every, at) {
                assert_eq!(ask(&mut client, &mut world, &request).code(), 0);
            }
        }
        talk(&mut client, &mut world, relayed, habit.channel.is_some(), at, &mut lost);
        world.pass_secs(STEP);
    }
    assert_eq!(ask(&mut client, &mut world, &Request::refresh().lifetime(0)).lifetime(), 0);
    world.assert_empty();
    (world, lost)
}

fn talk(
    client: &mut Client,
    world: &mut World,
    relayed: SocketAddr,
    by_channel: bool,
    at: u64,
    lost: &mut Lost,
) {
    let (peer, payload) = (addr(PEER), at.to_be_bytes());
    let (sent, expected) = if by_channel {
        (client.channel_data(world, 0x4000, &payload), Heard::Channel(0x4000, payload.into()))
    } else {
        (client.send(world, peer, &payload), Heard::Data(peer, payload.into()))
    };
    if sent != Sent::ToPeer(relayed, peer, payload.into()) {
        lost.up.push(at);
    }
    if world.peer(peer, relayed, &payload).unwrap().heard_by(client) != expected {
        lost.down.push(at);
    }
}

// Q-3 Q-4
#[test]
fn libwebrtc_binds_every_four_minutes_and_asks_for_no_permission_then() {
    assert_eq!(live(World::new(), LIBWEBRTC).1, Lost::default());
}

//
#[test]
fn libwebrtc_sends_indications_until_its_channel_is_there() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let peer = addr(PEER);
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, &[peer]), 0);
    for _ in 0..3 {
        assert_eq!(alice.send(&mut world, peer, b"x"), Sent::ToPeer(relayed, peer, b"x".into()));
        let heard = world.peer(peer, relayed, b"y").unwrap().heard_by(&alice);
        assert_eq!(heard, Heard::Data(peer, b"y".into()));
    }
    assert_eq!(alice.bind(&mut world, 0x4000, peer), 0);
    // What was on its way as an indication still arrives.
    assert_eq!(alice.send(&mut world, peer, b"x"), Sent::ToPeer(relayed, peer, b"x".into()));
    let heard = world.peer(peer, relayed, b"y").unwrap().heard_by(&alice);
    assert_eq!(heard, Heard::Channel(0x4000, b"y".into()));
    // It never uses a number twice; behind the last one comes an error.
    assert_eq!(alice.bind(&mut world, 0x4FFF, addr("203.0.113.2:9")), 0);
    assert_eq!(alice.bind(&mut world, 0x5000, addr("203.0.113.3:9")), 400);
    assert_eq!(alice.send(&mut world, peer, b"x"), Sent::ToPeer(relayed, peer, b"x".into()));
}

//
#[test]
fn firefox_relays_for_hours_by_indications_alone() {
    assert_eq!(live(World::new(), FIREFOX).1, Lost::default());
}

/// It sends again after 100 ms, follows one 401 or 438 a transaction, and gives up
/// at any error of CreatePermission but 403.
//
#[test]
fn firefox_repeats_itself_and_is_answered_the_same() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let id = alice.next_id();
    let first = Request::allocate().lifetime(3600).unsigned(id);
    for _ in 0..4 {
        let challenge = alice.ask(&mut world, &first);
        assert_eq!(challenge.code(), 401);
        alice.nonce = challenge.get(AttributeType::NONCE).unwrap();
    }
    let signed = alice.sign(&Request::allocate().lifetime(3600));
    let answers: Vec<Answer> = (0..4).map(|_| alice.ask(&mut world, &signed)).collect();
    assert!(answers.iter().all(|answer| answer.code() == 0 && answer.relayed() == answers[0].relayed()));
    assert_eq!(answers[0].lifetime(), 3600);
    assert_eq!((world.live(), world.ports_used()), (1, 1));
    let denied = ["10.0.0.1:9", "203.0.113.9:0", "198.51.100.1:3478"];
    let codes = denied.map(|peer| alice.permit(&mut world, &[addr(peer)]));
    assert!(codes.iter().all(|code| [0, 403].contains(code)), "{codes:?}");
    assert_eq!(alice.permit(&mut world, &[addr(PEER)]), 0, "the allocation goes on");
    // One Refresh of 0, sent once.
    assert_eq!(alice.refresh(&mut world, 0).code(), 0);
    world.assert_empty();
}

// Q-9 Q-10
#[test]
fn aioice_binds_every_500_seconds_and_loses_nothing_by_default() {
    let mut setup = Setup::default();
    setup.settings.compat_permission_lifetime = true;
    assert_eq!(live(World::with(setup), AIOICE).1, Lost::default());
}

/// Its channel has no permission from 300 seconds on, as RFC 8656 §12.2 has it.
//
#[test]
fn aioice_hears_nothing_for_a_while_where_the_rfc_is_followed_to_the_letter() {
    let (_, lost) = live(World::new(), AIOICE);
    assert!(lost.up.is_empty());
    let silent = |at: &u64| at % 500 >= 300;
    let all: Vec<u64> = (0..HOURS * 3600).step_by(STEP as usize).filter(silent).collect();
    assert_eq!(lost.down, all);
}

//
#[test]
fn pion_and_webrtc_rs_bind_at_the_very_end_of_a_permission() {
    assert_eq!(live(World::new(), PION).1, Lost::default());
}

/// Old ones fall back to Send for good at a 438 on ChannelBind.
//
#[test]
fn a_nonce_outlives_the_first_binds_of_old_clients() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate_as(&mut world, &Request::allocate().lifetime(3600));
    for _ in 0..11 {
        assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER)), 0);
        world.pass_secs(300);
    }
}

//
#[test]
fn libnice_renews_permissions_and_channels_apart() {
    assert_eq!(live(World::new(), LIBNICE).1, Lost::default());
}

/// It reads the bits of the nonce cookie from the other end, and so may or may not
/// see that passwords can be hashed by SHA-256, and names be hidden.
//
#[test]
fn libjuice_gets_in_whatever_it_makes_of_the_cookie() {
    for enumerable in [false, true] {
        for signing in [Signing::Legacy, MODERN, Signing::Hashed] {
            let mut world = World::with(Setup { enumerable, ..Setup::default() });
            let mut alice = Client::alice().signing(signing);
            alice.allocate(&mut world);
            assert_eq!(alice.permit(&mut world, &[addr(PEER)]), 0);
        }
    }
}
