//! Mobility (RFC 8016): a client keeps its allocation at another address.

use std::net::SocketAddr;

use floe::relay::{CloseReason, DropReason, FiveTuple, ShardId, Transport};

use crate::client::{Client, Heard, MODERN, Request};
use crate::world::{Sent, Setup, World, addr};

const PEER: &str = "203.0.113.1:9";
const CHANNEL: u16 = 0x4000;

fn two_shards() -> World {
    World::with(Setup { shards: 2, ..Setup::default() })
}

/// A client with a ticket, a permission and a channel to the peer.
fn settle(world: &mut World, client: &mut Client) -> (SocketAddr, Vec<u8>) {
    let (relayed, ticket) = client.allocate_mobile(world);
    assert_eq!(client.bind(world, CHANNEL, addr(PEER)), 0);
    (relayed, ticket)
}

/// What the peer sends reaches this client, and what it sends the peer.
fn assert_connected(world: &mut World, client: &Client, relayed: SocketAddr) {
    let sent = client.channel_data(world, CHANNEL, b"up");
    assert_eq!(sent, Sent::ToPeer(relayed, addr(PEER), b"up".into()));
    assert_hears(world, client, relayed);
}

fn assert_hears(world: &mut World, client: &Client, relayed: SocketAddr) {
    let sent = world.peer(addr(PEER), relayed, b"down").unwrap();
    assert_eq!(sent.heard_by(client), Heard::Channel(CHANNEL, b"down".into()));
}

// E-001 E-002
#[test]
fn an_allocate_gets_a_ticket_when_it_asks_for_one() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let answer = alice.request(&mut world, &Request::allocate().ticket(b"not empty"));
    assert_eq!((answer.code(), world.live()), (400, 0));
    let (_, ticket) = alice.allocate_mobile(&mut world);
    assert!(ticket.len() <= 32 && !ticket.contains(&0), "turnutils_uclient keeps no other");
    let mut bob = Client::bob();
    let answer = bob.request(&mut world, &Request::allocate());
    assert!(answer.code() == 0 && !answer.has(floe::wire::AttributeType::MOBILITY_TICKET));
    // The same again says the same.
    let mut carol = Client::new("carol", "192.0.2.3:4000");
    carol.greet(&mut world);
    let bytes = carol.sign(&Request::allocate().ticket(&[]));
    let first = carol.ask(&mut world, &bytes).ticket();
    assert_eq!(carol.ask(&mut world, &bytes).ticket(), first);
}

// E-001 E-004
#[test]
fn without_keys_mobility_is_forbidden() {
    let mut setup = Setup::default();
    setup.settings.ticket_key = None;
    let mut world = World::with(setup);
    let mut alice = Client::alice();
    let answer = alice.request(&mut world, &Request::allocate().ticket(&[]));
    assert_eq!((answer.code(), world.live()), (405, 0));
    alice.allocate(&mut world);
    assert_eq!(alice.come(&mut world, &[7; 32]), Err(405));
    assert!(alice.is_allocated(&mut world));
}

// E-003 E-007
#[test]
fn a_client_keeps_its_allocation_wherever_it_comes_from() {
    let ways = [
        ("192.0.2.77:5000", Transport::Udp),
        ("192.0.2.1:4001", Transport::Udp),
        ("192.0.2.77:5000", Transport::Tcp),
        ("192.0.2.77:5000", Transport::Tls),
        ("[2001:db8:7::7]:5000", Transport::Udp),
    ];
    for (from, shard) in [Transport::Udp, Transport::Tcp].into_iter().flat_map(|t| [(t, 0), (t, 1)]) {
        for (address, to) in ways {
            let mut world = two_shards();
            let mut old = Client::alice().signing(MODERN);
            if from == Transport::Tcp {
                old = old.over_tcp();
            }
            let (relayed, ticket) = settle(&mut world, &mut old);
            let mut new = match to {
                Transport::Udp => Client::new("alice", address),
                _ => Client::new("alice", address).over_tcp(),
            };
            new.path.five_tuple.transport = to;
            let mut new = new.on_shard(shard).signing(MODERN);
            let next = new.come(&mut world, &ticket).unwrap();
            assert_ne!(next, ticket);
            assert_eq!(new.bind(&mut world, CHANNEL, addr(PEER)), 0, "a request is let in at both");
            assert_hears(&mut world, &old, relayed);
            assert_connected(&mut world, &new, relayed);
            assert_eq!(world.moves, [(old.path.five_tuple, new.path.five_tuple)]);
            assert_eq!(old.channel_data(&mut world, CHANNEL, b"x"), Sent::Dropped(DropReason::NoAllocation));
            assert!(!old.is_allocated(&mut world) && new.is_allocated(&mut world));
            let gauge = |t: Transport| world.counters.iter().map(|c| c.allocations[t.index()].get()).sum();
            let counted: u64 = Transport::ALL.map(gauge).iter().sum();
            assert_eq!((gauge(to), counted), (1, 1), "counted where it is now");
            assert_eq!(world.quota.of("alice"), 1);
            assert_eq!(new.refresh(&mut world, 0).code(), 0);
            world.assert_empty_for_good();
        }
    }
}

// E-007
#[test]
fn both_five_tuples_are_good_until_data_comes_from_the_new_one() {
    for shard in [0, 1] {
        for by_channel in [true, false] {
            let mut world = two_shards();
            let mut old = Client::alice();
            let (relayed, ticket) = settle(&mut world, &mut old);
            let mut new = old.at("192.0.2.77:5000", shard);
            new.come(&mut world, &ticket).unwrap();
            // However long it takes.
            for _ in 0..3 {
                world.pass_secs(400);
                assert_eq!(old.refresh(&mut world, 600).code(), 0);
                assert_eq!(old.bind(&mut world, CHANNEL, addr(PEER)), 0);
                assert_eq!(new.permit(&mut world, &[addr(PEER)]), 0);
                assert_connected(&mut world, &old, relayed);
                assert_eq!(world.moves, []);
            }
            let sent = match by_channel {
                true => new.channel_data(&mut world, CHANNEL, b"x"),
                false => new.send(&mut world, addr(PEER), b"x"),
            };
            assert_eq!(sent, Sent::ToPeer(relayed, addr(PEER), b"x".into()), "and nothing is lost");
            assert_eq!(world.moves.len(), 1);
            assert_hears(&mut world, &new, relayed);
            // The old 5-tuple is free for anybody.
            let mut bob = Client::bob();
            bob.path = old.path;
            assert_ne!(bob.allocate(&mut world), relayed);
            assert_connected(&mut world, &new, relayed);
        }
    }
}

// E-007
#[test]
fn the_end_of_the_old_connection_moves_the_allocation_at_once() {
    for shard in [0, 1] {
        let mut world = two_shards();
        let mut old = Client::alice().over_tcp();
        let (relayed, ticket) = settle(&mut world, &mut old);
        let mut new = old.at("192.0.2.77:5000", shard);
        let next = new.come(&mut world, &ticket).unwrap();
        world.gone(0, old.path);
        assert_eq!(world.moves.len(), 1);
        assert_hears(&mut world, &new, relayed);
        // And the end of the new one leaves nothing but a ticket.
        world.gone(shard, new.path);
        assert_eq!(world.peer(addr(PEER), relayed, b"x"), Some(Sent::Dropped(DropReason::ClientAway)));
        let mut third = old.at("192.0.2.78:5000", 0);
        third.come(&mut world, &next).unwrap();
        assert_hears(&mut world, &third, relayed);
        assert_eq!((world.live(), world.quota.of("alice"), &world.closed[..]), (1, 1, &[][..]));
    }
}

// E-007 E-008
#[test]
fn a_move_to_a_connection_that_breaks_is_none() {
    // Nobody knows whether the answer was heard: either ticket is good.
    for heard in [true, false] {
        let mut world = World::new();
        let mut old = Client::alice();
        let (relayed, ticket) = settle(&mut world, &mut old);
        let mut broken = old.at("192.0.2.77:5000", 0).over_tcp();
        let next = broken.come(&mut world, &ticket).unwrap();
        world.gone(0, broken.path);
        assert_connected(&mut world, &old, relayed);
        world.pass_secs(100);
        let mut new = old.at("192.0.2.78:5000", 0);
        new.come(&mut world, if heard { &next } else { &ticket }).unwrap();
        assert_connected(&mut world, &new, relayed);
        assert_eq!(world.moves, [(old.path.five_tuple, new.path.five_tuple)]);
    }
}

// E-008
#[test]
fn a_used_ticket_is_known_for_30_seconds() {
    for shard in [0, 1] {
        let mut world = two_shards();
        let mut old = Client::alice();
        let (_, ticket) = settle(&mut world, &mut old);
        let mut new = old.at("192.0.2.77:5000", shard);
        new.greet(&mut world);
        let request = Request::refresh().ticket(&ticket);
        let bytes = new.sign(&request);
        let next = new.ask(&mut world, &bytes).ticket();
        world.pass_secs(1);
        assert_eq!(new.ask(&mut world, &bytes).ticket(), next, "the same message");
        world.pass_secs(28);
        assert_eq!(new.come(&mut world, &ticket), Ok(next.clone()), "another one");
        let mut third = old.at("192.0.2.78:5000", 0);
        assert_eq!(third.come(&mut world, &ticket), Err(437), "from elsewhere it takes the next one");
        world.pass_secs(2);
        assert_eq!(new.come(&mut world, &ticket), Err(400));
        assert_eq!(third.come(&mut world, &ticket), Err(437));
        assert_eq!(new.ask(&mut world, &bytes).ticket(), next, "of whatever age");
        third.come(&mut world, &next).unwrap();
        assert!(!new.is_allocated(&mut world), "one at a time may wait");
        assert!(old.is_allocated(&mut world) && third.is_allocated(&mut world));
    }
}

// E-008
#[test]
fn data_ends_the_time_of_the_old_ticket() {
    let mut world = World::new();
    let mut old = Client::alice();
    let (relayed, ticket) = settle(&mut world, &mut old);
    let mut new = old.at("192.0.2.77:5000", 0);
    new.greet(&mut world);
    let bytes = new.sign(&Request::refresh().ticket(&ticket));
    let next = new.ask(&mut world, &bytes).ticket();
    assert_connected(&mut world, &new, relayed);
    for address in ["192.0.2.78:5000", "192.0.2.1:4000"] {
        assert_eq!(old.at(address, 0).come(&mut world, &ticket), Err(437));
    }
    assert_eq!(new.ask(&mut world, &bytes).ticket(), next, "what the network repeats does no harm");
    assert_connected(&mut world, &new, relayed);
}

// E-008
#[test]
fn who_has_no_other_way_may_try_once_more() {
    let mut world = World::new();
    let mut old = Client::alice().over_tcp();
    let (relayed, ticket) = settle(&mut world, &mut old);
    world.gone(0, old.path);
    // The answer is lost, and the next network is another one.
    Client::new("alice", "192.0.2.77:5000").come(&mut world, &ticket).unwrap();
    let mut third = Client::new("alice", "192.0.2.78:5000");
    third.come(&mut world, &ticket).unwrap();
    assert_connected(&mut world, &third, relayed);
    assert_eq!(Client::new("alice", "192.0.2.79:5000").come(&mut world, &ticket), Err(437));
}

// E-005
#[test]
fn who_has_not_moved_is_told_so() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let (relayed, ticket) = settle(&mut world, &mut alice);
    assert_eq!(alice.come(&mut world, &ticket), Err(400));
    let mut new = alice.at("192.0.2.77:5000", 0);
    let next = new.come(&mut world, &ticket).unwrap();
    for client in [&mut alice, &mut new] {
        assert_eq!(client.come(&mut world, &next), Err(400));
    }
    assert_connected(&mut world, &new, relayed);
    assert_eq!(new.come(&mut world, &next), Err(400));
}

// E-004
#[test]
fn a_ticket_that_is_none_is_refused() {
    let mut world = two_shards();
    let mut alice = Client::alice();
    let (relayed, ticket) = settle(&mut world, &mut alice);
    let mut other = World::with({
        let mut setup = Setup::default();
        setup.settings.ticket_key = Some([8; 32]);
        setup
    });
    let foreign = Client::alice().allocate_mobile(&mut other).1;
    let mut new = alice.at("192.0.2.77:5000", 0);
    for bad in [&[][..], &[1; 32], &ticket[..31], &[&ticket[..], &[1]].concat(), &foreign] {
        assert_eq!(new.come(&mut world, bad), Err(400));
    }
    for bit in 0..ticket.len() * 8 {
        let mut changed = ticket.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(new.come(&mut world, &changed), Err(400));
    }
    assert_eq!((world.crossings, &world.moves[..]), (0, &[][..]));
    assert_connected(&mut world, &alice, relayed);
}

// E-004
#[test]
fn a_ticket_ends_with_its_allocation() {
    for shard in [0, 1] {
        let mut world = two_shards();
        let (mut alice, mut bob) = (Client::alice(), Client::bob());
        let (_, deleted) = alice.allocate_mobile(&mut world);
        alice.refresh(&mut world, 0);
        let mut new = alice.at("192.0.2.77:5000", shard);
        assert_eq!(new.come(&mut world, &deleted), Err(437));
        // Another one is in its place.
        let (_, expired) = bob.allocate_mobile(&mut world);
        assert_eq!(new.come(&mut world, &deleted), Err(437));
        world.stall(std::time::Duration::from_secs(600));
        assert_eq!(bob.at("192.0.2.77:5000", shard).come(&mut world, &expired), Err(437));
        world.expire();
        world.assert_empty_for_good();
    }
}

// E-006 H-060
#[test]
fn a_ticket_is_worth_nothing_to_anybody_else() {
    for shard in [0, 1] {
        let mut world = two_shards();
        let mut alice = Client::alice();
        let (relayed, ticket) = settle(&mut world, &mut alice);
        let mut mallory = Client::new("bob", "192.0.2.66:4000").on_shard(shard);
        for request in [Request::refresh(), Request::refresh().lifetime(0), Request::refresh().family(1)] {
            assert_eq!(mallory.request(&mut world, &request.ticket(&ticket)).code(), 441);
        }
        // At an address that has an allocation of its own, and at alice's.
        mallory.allocate(&mut world);
        assert_eq!(mallory.come(&mut world, &ticket), Err(437));
        let mut behind = alice.clone();
        behind.name = "bob".into();
        behind.password = "bob".into();
        behind.nonce.clear();
        assert_eq!(behind.come(&mut world, &ticket), Err(441));
        // And without a login it is not even looked at.
        let mut stranger = alice.at("192.0.2.67:4000", shard);
        stranger.password = "wrong".into();
        assert_eq!(stranger.come(&mut world, &ticket), Err(401));
        assert_connected(&mut world, &alice, relayed);
        assert_eq!(world.moves, []);
        let mut new = alice.at("192.0.2.77:5000", shard);
        new.come(&mut world, &ticket).expect("still good");
        // A message of hers, sent from elsewhere.
        let bytes = new.sign(&Request::refresh().lifetime(0).ticket(&ticket));
        let answer = mallory.at("192.0.2.68:4000", shard).ask(&mut world, &bytes);
        assert_eq!(answer.code(), 438);
        assert!(alice.is_allocated(&mut world));
    }
}

#[test]
fn nobody_moves_to_where_an_allocation_is() {
    for shard in [0, 1] {
        let mut world = two_shards();
        let mut alice = Client::alice();
        let (relayed, ticket) = settle(&mut world, &mut alice);
        let mut second = alice.at("192.0.2.77:5000", shard);
        let (other, _) = settle(&mut world, &mut second);
        assert_eq!(second.come(&mut world, &ticket), Err(437));
        // Nor to where one waits for its socket.
        world.hold_binds = true;
        let mut third = alice.at("192.0.2.78:5000", shard);
        third.greet(&mut world);
        let allocate = third.sign(&Request::allocate());
        assert_eq!(third.raw(&mut world, &allocate), Sent::Nothing);
        assert_eq!(third.come(&mut world, &ticket), Err(437));
        assert_connected(&mut world, &alice, relayed);
        assert_connected(&mut world, &second, other);
        // One that has had its time holds no place.
        second.refresh(&mut world, 600);
        alice.refresh(&mut world, 3600);
        world.stall(std::time::Duration::from_secs(600));
        second.come(&mut world, &ticket).unwrap();
        assert_eq!(second.bind(&mut world, CHANNEL, addr(PEER)), 0);
        assert_connected(&mut world, &second, relayed);
    }
}

// E-003 B-064
#[test]
fn a_ticket_can_come_with_a_lifetime_or_the_end() {
    for shard in [0, 1] {
        let mut world = two_shards();
        let mut alice = Client::alice();
        let answer = alice.request(&mut world, &Request::allocate().additional(2).ticket(&[]));
        let mut new = alice.at("192.0.2.77:5000", shard);
        let with = |request: Request| request.ticket(&answer.ticket());
        assert_eq!(new.request(&mut world, &with(Request::refresh().family(9))).code(), 443);
        assert!(!new.is_allocated(&mut world), "what is refused moves nothing");
        // One family ends, and the rest comes along.
        let half = new.request(&mut world, &with(Request::refresh().lifetime(0).family(1)));
        assert_eq!((half.code(), half.lifetime(), world.sockets.len()), (0, 0, 1));
        let whole = alice.at("192.0.2.78:5000", shard);
        let whole = whole.clone().request(&mut world, &Request::refresh().lifetime(0).ticket(&half.ticket()));
        assert_eq!((whole.code(), whole.lifetime()), (0, 0));
        assert!(!whole.has(floe::wire::AttributeType::MOBILITY_TICKET), "there is nothing to come back to");
        assert_eq!(world.closed, [CloseReason::Deleted]);
        world.assert_empty_for_good();
        let (_, ticket) = alice.allocate_mobile(&mut world);
        let answer = new.request(&mut world, &Request::refresh().lifetime(1800).ticket(&ticket));
        assert_eq!(answer.lifetime(), 1800);
        world.pass_secs(1799);
        assert!(new.is_allocated(&mut world));
    }
}

// E-010 B-161
#[test]
fn who_is_away_still_has_what_it_has() {
    let mut world = World::with(Setup { per_user: 3, ..Setup::default() });
    for n in 0..10 {
        let mut client = Client::new("alice", &format!("192.0.2.1:{}", 4000 + n)).over_tcp();
        let answer = client.request(&mut world, &Request::allocate().ticket(&[]));
        assert_eq!(answer.code(), if n < 3 { 0 } else { 486 });
        world.gone(0, client.path);
    }
    assert_eq!((world.live(), world.quota.of("alice")), (3, 3));
    world.pass_secs(601);
    assert_eq!(world.closed, [CloseReason::Expired; 3]);
    world.assert_empty_for_good();
    // Without a ticket there is no coming back.
    let mut bob = Client::bob().over_tcp();
    bob.allocate(&mut world);
    world.gone(0, bob.path);
    assert_eq!((world.live(), world.closed[3]), (0, CloseReason::Disconnected));
}

// E-010
#[test]
fn who_comes_back_from_the_same_port_is_let_in() {
    let mut world = World::new();
    let mut alice = Client::alice().over_tcp();
    let (relayed, ticket) = settle(&mut world, &mut alice);
    world.gone(0, alice.path);
    // The port may be somebody else's by then.
    let mut bob = Client::bob().over_tcp();
    bob.path = alice.path;
    bob.allocate(&mut world);
    assert_eq!(alice.come(&mut world, &ticket), Err(437));
    world.gone(0, bob.path);
    alice.come(&mut world, &ticket).unwrap();
    assert_connected(&mut world, &alice, relayed);
}

// E-010 H-052
#[test]
fn however_often_a_client_moves_it_holds_two_five_tuples() {
    let mut world = two_shards();
    let mut first = Client::alice();
    let (relayed, mut ticket) = settle(&mut world, &mut first);
    let clients: Vec<Client> =
        (0..50).map(|n| first.at(&format!("192.0.2.9:{}", 5000 + n), usize::from(n % 3 != 0))).collect();
    for round in 0..20 {
        for client in &clients {
            let mut client = client.clone();
            ticket = client.come(&mut world, &ticket).unwrap();
            // Some never send anything.
            if client.path.five_tuple.client.port() % 5 == 0 {
                assert_connected(&mut world, &client, relayed);
            }
        }
        let held = clients.iter().filter(|client| (*client).clone().is_allocated(&mut world)).count();
        assert!(held <= 2, "{held} in round {round}");
    }
    assert_eq!((world.live(), world.quota.of("alice"), world.sockets.len()), (1, 1, 1));
    world.close_all();
    world.assert_empty_for_good();
}

// E-003
#[test]
fn a_tunnel_is_no_place_to_come_from() {
    let mut world = two_shards();
    let mut alice = Client::alice();
    let (_, ticket) = alice.allocate_mobile(&mut world);
    for address in ["[2002:c000:204::1]:4000", "[2001:0:1::1]:4000"] {
        for shard in [0, 1] {
            assert_eq!(alice.at(address, shard).come(&mut world, &ticket), Err(403));
        }
    }
    assert!(alice.is_allocated(&mut world));
}

// E-007
#[test]
fn two_moved_clients_reach_each_other() {
    let mut world = two_shards();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let ((a, of_alice), (b, of_bob)) = (alice.allocate_mobile(&mut world), bob.allocate_mobile(&mut world));
    alice.bind(&mut world, 0x4001, b);
    bob.bind(&mut world, 0x4002, a);
    let (mut alice, mut bob) = (alice.at("192.0.2.77:1", 1), bob.at("[2001:db8:7::7]:1", 1));
    alice.come(&mut world, &of_alice).unwrap();
    bob.come(&mut world, &of_bob).unwrap();
    for _ in 0..2 {
        bob.channel_data(&mut world, 0x4002, b"x");
        let heard = alice.channel_data(&mut world, 0x4001, b"ping").heard_by(&bob);
        assert_eq!(heard, Heard::Channel(0x4002, b"ping".into()));
        let heard = bob.channel_data(&mut world, 0x4002, b"pong").heard_by(&alice);
        assert_eq!(heard, Heard::Channel(0x4001, b"pong".into()));
    }
    assert!(world.counters[1].passed_on.get() > 0);
}

fn stray(n: usize) -> FiveTuple {
    let mut five_tuple = Client::alice().path.five_tuple;
    let ip = std::net::Ipv4Addr::from_bits(0x0A00_0000 + n as u32);
    five_tuple.client = floe::relay::ClientAddr::new((ip, 1).into());
    five_tuple
}

// E-010
#[test]
fn a_shard_knows_so_many_clients_of_others_and_no_more() {
    const MOST: usize = 65_536;
    let mut world = two_shards();
    let mut alice = Client::alice();
    let (_, ticket) = alice.allocate_mobile(&mut world);
    for n in 0..MOST {
        world.engines[1].owned_elsewhere(world.now, stray(n), ShardId(0), true);
    }
    let mut new = alice.at("192.0.2.77:5000", 1);
    assert_eq!(new.come(&mut world, &ticket), Err(508));
    // Only who said it may take it back.
    world.engines[1].owned_elsewhere(world.now, stray(7), ShardId(1), false);
    assert_eq!(new.come(&mut world, &ticket), Err(508));
    world.engines[1].owned_elsewhere(world.now, stray(7), ShardId(0), false);
    new.come(&mut world, &ticket).unwrap();
    // A word that was lost is not missed for ever.
    for _ in 0..8 {
        world.pass_secs(500);
        new.greet(&mut world);
        assert_eq!(new.refresh(&mut world, 600).code(), 0);
    }
    let crossings = world.crossings;
    let forgotten = alice.at("10.0.0.3:1", 1).channel_data(&mut world, CHANNEL, b"x");
    assert_eq!((forgotten, world.crossings), (Sent::Dropped(DropReason::NoAllocation), crossings));
    new.refresh(&mut world, 0);
    world.assert_empty_for_good();
}

// E-010
#[test]
fn a_datagram_that_was_passed_on_in_error_comes_back() {
    let mut world = two_shards();
    let mut bob = Client::bob().on_shard(1);
    bob.greet(&mut world);
    world.engines[1].owned_elsewhere(world.now, bob.path.five_tuple, ShardId(0), true);
    let bytes = bob.sign(&Request::allocate());
    assert_eq!(bob.ask(&mut world, &bytes).code(), 0);
    assert_eq!((world.crossings, world.engines[1].len()), (1, 1));
    // A client of this shard is nobody else's, whoever says so.
    world.engines[1].owned_elsewhere(world.now, bob.path.five_tuple, ShardId(0), true);
    assert!(bob.is_allocated(&mut world));
}
