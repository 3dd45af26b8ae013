//! Access tokens of third-party authorization (RFC 7635).

use std::sync::atomic::Ordering::Relaxed;

use floe::relay::world::TokenFault;
use floe::relay::{DropReason, LoginFault, UnixTime};
use floe::wire::{AttributeType, Method};

use crate::client::{Access, Answer, Client, Heard, MODERN, Request, Signing, frame};
use crate::world::{SERVER_NAME, START, Sent, Setup, World, addr};

const KID: &str = "key 1";
const PEER: &str = "203.0.113.1:9";

fn world() -> World {
    World::with(Setup { tokens: true, ..Setup::default() })
}

/// A client at this port with a token of its own, made now.
fn client_at(world: &World, kid: &str, port: u16, lifetime: u32) -> Client {
    let access = Access::numbered(port.into(), kid, world.now.unix, lifetime);
    Client::new(kid, &format!("192.0.2.8:{port}")).with(access)
}

fn client(world: &World, lifetime: u32) -> Client {
    client_at(world, KID, 4000, lifetime)
}

/// The client's next token.
fn renew(client: &mut Client, world: &World, kid: &str, lifetime: u32) {
    let number = 1_000_000 + u32::try_from(world.now.unix.secs() - START.secs()).unwrap();
    client.name = kid.into();
    client.access = Some(Access::numbered(number, kid, world.now.unix, lifetime));
}

/// The answer to an Allocate with this for a token.
fn allocate_with(world: &mut World, kid: &str, access: Access) -> Answer {
    let mut client = Client::new(kid, "192.0.2.8:4000").with(access);
    client.request(world, &Request::allocate())
}

/// The types of an answer's attributes and their lengths: all that a stranger can
/// tell two challenges apart by.
fn shape(answer: &Answer) -> Vec<(AttributeType, usize)> {
    answer.message().attributes().map(|a| (a.kind, a.value.len())).collect()
}

// E-020
#[test]
fn a_challenge_names_the_server_where_tokens_are_taken() {
    let challenge = Client::alice().greet(&mut world());
    assert_eq!(challenge.code(), 401);
    assert_eq!(challenge.get(AttributeType::THIRD_PARTY_AUTHORIZATION), Some(SERVER_NAME.into()));
    for kind in [AttributeType::REALM, AttributeType::NONCE, AttributeType::PASSWORD_ALGORITHMS] {
        assert!(challenge.has(kind));
    }
    let challenge = Client::alice().greet(&mut World::new());
    assert!(!challenge.has(AttributeType::THIRD_PARTY_AUTHORIZATION));
}

// E-024
#[test]
fn a_token_is_shown_once_and_its_key_signs_the_rest() {
    for signing in [Signing::Legacy, Signing::Sha256, MODERN, Signing::Hashed] {
        for shown_always in [false, true] {
            let mut world = world();
            let mut client = client(&world, 3600).signing(signing);
            let token = client.access.clone().unwrap().token;
            let peer = addr(PEER);
            let relayed = client.allocate(&mut world);
            let shown = |request: Request| match shown_always {
                true => request.with(AttributeType::ACCESS_TOKEN, &token),
                false => request,
            };
            for request in [Request::create_permission(&[peer]), Request::channel_bind(0x4000, peer)] {
                assert_eq!(client.request(&mut world, &shown(request)).code(), 0, "{signing:?}");
            }
            let sent = client.channel_data(&mut world, 0x4000, b"there");
            assert_eq!(sent, Sent::ToPeer(relayed, peer, b"there".into()));
            let back = world.peer(peer, relayed, b"back").unwrap();
            assert_eq!(back.heard_by(&client), Heard::Channel(0x4000, b"back".into()));
            assert_eq!(client.refresh(&mut world, 0).code(), 0);
            world.assert_empty();
        }
    }
}

// E-024
#[test]
fn its_key_may_have_the_length_of_any_hash() {
    for length in [16, 20, 32, 48, 64] {
        let mut world = world();
        let mac_key: Vec<u8> = (0..length).collect();
        let access = Access::made(SERVER_NAME, KID, &mac_key, START, 60);
        let mut client = Client::new(KID, "192.0.2.8:4000").with(access).signing(Signing::Sha256);
        client.allocate(&mut world);
        assert_eq!(client.permit(&mut world, &[addr(PEER)]), 0);
    }
}

/// Coturn and its clients cut 20 bytes to the length of an MD5.
// E-024
#[test]
fn sixteen_bytes_of_twenty_sign_for_sha1_as_with_coturn() {
    let cut = |signing, length, used: usize| {
        let mut world = world();
        let mac_key: Vec<u8> = (0..length).collect();
        let mut access = Access::made(SERVER_NAME, KID, &mac_key, START, 60);
        access.mac_key.truncate(used);
        let mut client = Client::new(KID, "192.0.2.8:4000").with(access).signing(signing);
        match client.request(&mut world, &Request::allocate()).code() {
            0 => client.permit(&mut world, &[addr(PEER)]),
            code => code,
        }
    };
    assert_eq!(cut(Signing::Legacy, 20, 16), 0);
    for (signing, length, used) in [
        (Signing::Sha256, 20, 16),
        (Signing::Legacy, 20, 15),
        (Signing::Legacy, 20, 19),
        (Signing::Legacy, 32, 16),
        (Signing::Legacy, 19, 16),
    ] {
        assert_eq!(cut(signing, length, used), 401, "{signing:?} {length} {used}");
    }
}

// E-021 A-038
#[test]
fn where_none_are_taken_the_attribute_is_unknown() {
    let mut world = World::new();
    let token = Access::numbered(1, KID, START, 60).token;
    let mut alice = Client::alice();
    let request = Request::allocate().with(AttributeType::ACCESS_TOKEN, &token);
    let id = alice.next_id();
    assert_eq!(alice.ask(&mut world, &request.unsigned(id)).code(), 401);
    let answer = alice.request(&mut world, &request);
    assert_eq!(answer.code(), 420);
    assert_eq!(answer.get(AttributeType::UNKNOWN_ATTRIBUTES), Some(vec![0x00, 0x1B]));
    // Who signs with a token's key is nobody.
    assert_eq!(client(&world, 60).request(&mut world, &Request::allocate()).code(), 401);
    assert_eq!(world.faults, [LoginFault::User]);
}

// E-021
#[test]
fn outside_of_turn_requests_it_is_unknown_anyway() {
    let mut world = world();
    let mut client = client(&world, 60);
    let binding = Request::new(Method::BINDING).with(AttributeType::ACCESS_TOKEN, &[1]);
    let id = client.next_id();
    assert_eq!(client.ask(&mut world, &binding.unsigned(id)).code(), 420);
    client.allocate(&mut world);
    client.permit(&mut world, &[addr(PEER)]);
    let send = Request::send(addr(PEER), b"x").with(AttributeType::ACCESS_TOKEN, &[1]);
    let sent = client.raw(&mut world, &send.unsigned(id));
    assert_eq!(sent, Sent::Dropped(DropReason::UnknownAttribute));
}

// E-022 E-023 E-024 E-028
#[test]
fn what_is_wrong_with_a_login_is_for_the_log_alone() {
    let mut world = world();
    let now = world.now.unix;
    let ago = |secs: u64| UnixTime::from_secs(now.secs() - secs);
    let key = [7; 20];
    let mut answers = Vec::new();
    for (kid, access) in [
        // No such key.
        ("key 9", Access::made(SERVER_NAME, KID, &key, now, 60)),
        // Another key's.
        ("key 2", Access::made(SERVER_NAME, KID, &key, now, 60)),
        // Another server's.
        (KID, Access::made("other.example.org", KID, &key, now, 60)),
        (KID, Access::made(SERVER_NAME, KID, &key, ago(65), 60)),
        (KID, Access::made(SERVER_NAME, KID, &key, UnixTime::from_secs(now.secs() + 65), 60)),
        // Its token, but not its key.
        (KID, Access { mac_key: vec![8; 20], ..Access::made(SERVER_NAME, KID, &key, now, 60) }),
        (KID, Access { token: Vec::new(), mac_key: key.into() }),
    ] {
        answers.push(allocate_with(&mut world, kid, access));
    }
    assert_eq!(
        world.faults,
        [
            LoginFault::Token(TokenFault::UnknownKey),
            LoginFault::Token(TokenFault::Sealed),
            LoginFault::Token(TokenFault::Sealed),
            LoginFault::Token(TokenFault::Expired),
            LoginFault::Token(TokenFault::Early),
            LoginFault::MacKey,
            LoginFault::Token(TokenFault::Sealed),
        ]
    );
    for answer in &answers {
        assert_eq!(answer.code(), 401);
        assert!(!answer.is_signed());
        assert_eq!(shape(answer), shape(&answers[0]));
    }
    assert_eq!(shape(&answers[0]), shape(&Client::alice().greet(&mut world)), "the same as for nobody");
    // The realm is asked for with a token too.
    let mut client = client(&world, 60);
    client.realm = b"elsewhere".into();
    assert_eq!(client.request(&mut world, &Request::allocate()).code(), 401);
    assert_eq!(world.faults.last(), Some(&LoginFault::Realm));
    world.assert_empty();
}

// A password's user has no token, whatever he shows.
// E-022
#[test]
fn a_user_with_a_token_is_no_user() {
    let mut world = world();
    let mut alice = Client::alice();
    let token = Access::numbered(1, KID, START, 60).token;
    for token in [&token[..], &[]] {
        let request = Request::allocate().with(AttributeType::ACCESS_TOKEN, token);
        assert_eq!(alice.request(&mut world, &request).code(), 401);
    }
    alice.allocate(&mut world);
}

// E-023
#[test]
fn clocks_may_differ_by_the_lifetime_and_five_seconds() {
    let mut world = world();
    let now = world.now.unix.millis();
    for (ago, lifetime, code) in [
        (0, 0, 0),
        (4_999, 0, 0),
        (5_000, 0, 401),
        (-4_999, 0, 0),
        (-5_000, 0, 401),
        (604_999, 600, 0),
        (605_000, 600, 401),
        (-604_999, 600, 0),
        (-605_000, 600, 401),
    ] {
        let made = UnixTime::from_millis(now.checked_add_signed(-ago).unwrap());
        let answer = allocate_with(&mut world, KID, Access::made(SERVER_NAME, KID, &[7; 20], made, lifetime));
        assert_eq!(answer.code(), code, "{ago} ms ago, good for {lifetime} s");
        world.close_all();
    }
}

// E-025
#[test]
fn an_allocation_does_not_outlive_its_token() {
    let mut world = world();
    let mut client = client(&world, 100);
    let answer = client.request(&mut world, &Request::allocate().lifetime(3600));
    assert_eq!(answer.lifetime(), 105, "five seconds for the clocks are in it");
    world.pass_secs(60);
    assert_eq!(client.refresh(&mut world, 600).lifetime(), 45);
    // Without the token shown again it is no longer.
    let token = client.access.clone().unwrap();
    let mut bare = client.clone();
    let request = Request::refresh().lifetime(600).with(AttributeType::SOFTWARE, b"x");
    bare.access = Some(Access { token: Vec::new(), ..token });
    let bytes = signed_without_token(&mut bare, &request);
    assert_eq!(bare.ask(&mut world, &bytes).lifetime(), 45);
    client.id = bare.id;
    world.pass(std::time::Duration::from_millis(44_500));
    assert_eq!(client.refresh(&mut world, 600).lifetime(), 1);
    world.pass_secs(1);
    assert_eq!(client.refresh(&mut world, 600).code(), 401);
    assert_eq!(world.live(), 0);
    world.assert_empty_for_good();
}

/// A request that has no ACCESS-TOKEN, whatever its method.
fn signed_without_token(client: &mut Client, request: &Request) -> Vec<u8> {
    let access = client.access.take().unwrap();
    let id = client.next_id();
    let mut message = request
        .clone()
        .with(AttributeType::USERNAME, client.name.as_bytes())
        .with(AttributeType::REALM, &client.realm)
        .with(AttributeType::NONCE, &client.nonce)
        .unsigned(id);
    let length = message.len();
    let mut out = Vec::new();
    let parsed = floe::wire::Message::parse(&message).unwrap();
    let mut writer =
        floe::wire::MessageWriter::new(&mut out, parsed.class(), parsed.method(), parsed.transaction_id());
    parsed.attributes().for_each(|a| _ = writer.put(a.kind, a.value));
    writer.sign_sha1(&access.mac_key);
    message.truncate(length);
    client.access = Some(access);
    out
}

// E-025
#[test]
fn the_next_token_goes_on_with_the_allocation() {
    let mut world = world();
    let mut client = client(&world, 600);
    let relayed = client.allocate(&mut world);
    let old = client.clone();
    for kid in [KID, "key 2", KID] {
        world.pass_secs(500);
        renew(&mut client, &world, kid, 600);
        // It is the new key's from the Refresh on, not before.
        assert_eq!(client.permit(&mut world, &[addr(PEER)]), 401, "{kid}");
        assert_eq!(client.refresh(&mut world, 600).lifetime(), 600);
        assert_eq!(client.permit(&mut world, &[addr(PEER)]), 0);
        let mut old = Client { id: client.id, ..old.clone() };
        assert_eq!(old.permit(&mut world, &[addr(PEER)]), 401);
        client.id = old.id;
    }
    assert!(!world.peer(addr(PEER), relayed, b"x").unwrap().is_dropped());
    assert_eq!(client.refresh(&mut world, 0).code(), 0);
    world.assert_empty_for_good();
}

// E-025 B-002
#[test]
fn nobody_elses_credentials_go_on_with_it() {
    let mut world = world();
    let mut client = client(&world, 600);
    client.allocate(&mut world);
    let mut other = client.clone();
    renew(&mut other, &world, "key 3", 600);
    assert_eq!(other.refresh(&mut world, 0).code(), 441, "of another authorization server");
    let token = other.access.clone().unwrap().token;
    for request in [Request::create_permission(&[addr(PEER)]), Request::channel_bind(0x4000, addr(PEER))] {
        let request = request.with(AttributeType::ACCESS_TOKEN, &token);
        assert_eq!(other.request(&mut world, &request).code(), 441);
    }
    assert_eq!(other.request(&mut world, &Request::allocate()).code(), 437);
    let mut alice = Client { access: None, name: "alice".into(), password: "ecila".into(), ..other.clone() };
    assert_eq!(alice.refresh(&mut world, 0).code(), 441);
    assert_eq!(alice.permit(&mut world, &[addr(PEER)]), 441);

    // And the other way round.
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let mut token = Client { name: KID.into(), access: client.access.clone(), ..alice.clone() };
    assert_eq!(token.refresh(&mut world, 0).code(), 441);
    assert_eq!(token.permit(&mut world, &[addr(PEER)]), 401, "a kid alone is nobody's name");
    assert_eq!(world.live(), 2);
}

// Quotas count the token.
// B-045
#[test]
fn a_token_has_so_many_allocations() {
    let mut world = World::with(Setup { tokens: true, per_user: 2, ..Setup::default() });
    let mut clients: Vec<Client> = (0..4).map(|n| client_at(&world, KID, 4000 + n, 600)).collect();
    let shared = clients[0].access.clone();
    clients[1].access = shared.clone();
    clients[2].access = shared;
    clients[0].allocate(&mut world);
    clients[1].allocate(&mut world);
    assert_eq!(clients[2].request(&mut world, &Request::allocate()).code(), 486);
    clients[3].allocate(&mut world);
    // One that goes on with another token is counted where it was made.
    let mut first = clients[0].clone();
    world.pass_secs(1);
    renew(&mut first, &world, "key 2", 600);
    first.refresh(&mut world, 600);
    assert_eq!(clients[2].request(&mut world, &Request::allocate()).code(), 486);
    assert_eq!(first.refresh(&mut world, 0).code(), 0);
    clients[2].allocate(&mut world);
    world.pass_secs(606);
    world.assert_empty_for_good();
}

// B-029 B-030
#[test]
fn a_port_held_for_a_token_is_for_the_next_one_too() {
    for (kid, may) in [(KID, true), ("key 2", true), ("key 3", false), ("alice", false)] {
        let mut world = World::with(Setup { tokens: true, per_user: 2, ..Setup::default() });
        let mut first = client_at(&world, KID, 4000, 600);
        let answer = first.request(&mut world, &Request::allocate().even_port(0x80));
        let held = Request::allocate().token(&answer.token().unwrap());
        let mut second = match kid {
            "alice" => Client::alice(),
            kid => client_at(&world, kid, 4001, 600),
        };
        let answer_to_second = second.request(&mut world, &held);
        assert_eq!(answer_to_second.code(), if may { 0 } else { 508 }, "{kid}");
        if may {
            assert_eq!(answer_to_second.relayed()[0].port(), answer.relayed()[0].port() + 1);
        }
        // The first token has been charged for both.
        let mut third = client_at(&world, KID, 4002, 600);
        third.access = first.access.clone();
        assert_eq!(third.request(&mut world, &Request::allocate()).code(), 486);
        world.pass_secs(606);
        world.assert_empty_for_good();
    }
}

// A ticket may be overheard, and all users of an authorization server have tokens.
// E-006
#[test]
fn a_ticket_is_good_with_the_token_that_was_shown_last() {
    for shard in [0, 1] {
        let mut world = World::with(Setup { tokens: true, shards: 2, ..Setup::default() });
        let mut client = client(&world, 3600);
        let (relayed, ticket) = client.allocate_mobile(&mut world);
        world.pass_secs(1);
        let made_by = client.access.clone();
        renew(&mut client, &world, "key 2", 3600);
        assert_eq!(client.refresh(&mut world, 600).code(), 0);
        let mut moved = client.at("192.0.2.77:5000", shard);
        let another = Access::numbered(7, "key 2", world.now.unix, 3600);
        for (kid, access) in [(KID, made_by.unwrap()), ("key 2", another)] {
            (moved.name, moved.access) = (kid.into(), Some(access));
            assert_eq!(moved.come(&mut world, &ticket), Err(441));
        }
        moved.access = client.access.clone();
        assert!(moved.come(&mut world, &ticket).is_ok());
        assert_eq!(moved.bind(&mut world, 0x4000, addr(PEER)), 0);
        let sent = moved.channel_data(&mut world, 0x4000, b"up");
        assert_eq!(sent, Sent::ToPeer(relayed, addr(PEER), b"up".into()));
    }
}

// B-021
#[test]
fn an_allocate_is_repeated_as_ever() {
    let mut world = world();
    let mut client = client(&world, 600);
    client.greet(&mut world);
    let bytes = client.sign(&Request::allocate());
    let first = client.ask(&mut world, &bytes);
    assert_eq!(client.ask(&mut world, &bytes).relayed(), first.relayed());
    assert_eq!(world.live(), 1);
}

// A-079 A-081
#[test]
fn a_good_token_with_an_old_nonce_is_stale() {
    let mut world = world();
    let mut client = client(&world, 36_000);
    client.allocate(&mut world);
    world.pass_secs(300);
    client.refresh(&mut world, 3600);
    world.pass_secs(3300);
    let answer = client.refresh(&mut world, 600);
    assert_eq!(answer.code(), 438);
    assert!(answer.has(AttributeType::THIRD_PARTY_AUTHORIZATION));
    client.nonce = answer.get(AttributeType::NONCE).unwrap();
    assert_eq!(client.refresh(&mut world, 600).code(), 0);
    assert_eq!(client.permit(&mut world, &[addr(PEER)]), 0);
    client.access.as_mut().unwrap().token.pop();
    client.nonce = b"nobody's".into();
    assert_eq!(client.refresh(&mut world, 600).code(), 401, "a bad token before a bad nonce");
}

// H-036
#[test]
fn who_tries_tokens_gets_no_more_answers_and_who_has_one_does() {
    let mut world = world();
    let mut client = client(&world, 600);
    client.allocate(&mut world);
    world.throttle.no_more_logins.store(true, Relaxed);
    let mut guesser = Client { name: "key 9".into(), ..client.clone() };
    let bytes = guesser.sign(&Request::refresh());
    assert_eq!(guesser.raw(&mut world, &bytes), Sent::Dropped(DropReason::Throttled));
    assert_eq!(world.faults, [], "and no more lines in the log");
    assert_eq!(client.refresh(&mut world, 600).code(), 0);
    assert_eq!(client.permit(&mut world, &[addr(PEER)]), 0);
}

// It is the token's time that counts, not what the wall clock says of it.
// E-025
#[test]
fn a_clock_that_is_set_ends_nothing() {
    let mut world = world();
    let mut client = client(&world, 600);
    client.allocate(&mut world);
    world.set_wall_clock(7200);
    client.greet(&mut world);
    assert_eq!(client.permit(&mut world, &[addr(PEER)]), 0);
    assert_eq!(client.refresh(&mut world, 600).code(), 401, "its token looks old");
    let sent = client.raw(&mut world, &frame(0x4000, b"x"));
    assert_eq!(sent, Sent::Dropped(DropReason::NoChannel), "but the allocation is there");
}
