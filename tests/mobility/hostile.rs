//! Tickets in the wrong hands, at the wrong time, or of nobody.

use floe::wire::AttributeType;

use crate::party::{Over, Stage, allocate, come, exchange, refresh, settle};
use crate::support::{ALICE, BOB, Client, Peer, Request, Server, User};

// E-001 E-002 E-004
#[test]
fn mobility_is_off_unless_it_is_asked_for() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    assert_eq!(client.call(allocate()).code(), 405);
    client.allocate();
    assert_eq!(client.call(refresh(&[1; 32])).code(), 405);

    let stage = Stage::new();
    let mut client = stage.alice(Over::Udp, 0);
    let filled = Request::allocate().put(AttributeType::MOBILITY_TICKET, b"something");
    assert_eq!(client.call(filled).code(), 400);
    assert!(!client.call(Request::allocate()).ok().has(AttributeType::MOBILITY_TICKET));
}

// E-004 E-009
#[test]
fn what_is_no_ticket_moves_nothing() {
    let stage = Stage::new();
    let peer = Peer::new();
    let mut client = stage.alice(Over::Udp, 0);
    let (relayed, with) = settle(&mut client, &peer);
    let mut new = stage.alice(Over::Udp, 1);
    let mut refused = |ticket: &[u8]| assert_eq!(new.call(refresh(ticket)).code(), 400);
    for bit in 0..with.len() * 8 {
        let mut changed = with.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        refused(&changed);
    }
    (0..with.len()).for_each(|length| refused(&with[..length]));
    refused(&[&with[..], &[1]].concat());
    refused(&[0xFF; 700]);
    // Of another run of the same server.
    let other = Stage::new();
    refused(&settle(&mut other.alice(Over::Udp, 0), &peer).1);
    stage.server.expect_metric("floe_allocation_moves_total", &[], 0.0);
    exchange(&mut client, relayed, &peer, b"undisturbed");
}

// E-006 H-060 H-061
#[test]
fn a_stolen_ticket_is_worth_nothing() {
    let stage = Stage::new();
    let peer = Peer::new();
    let mut client = stage.alice(Over::Udp, 0);
    let (relayed, with) = settle(&mut client, &peer);
    // From wherever the hash brings it, over whatever.
    for (n, over) in (1..12).zip([Over::Udp, Over::Tcp, Over::Tls].into_iter().cycle()) {
        let mut bob = stage.alice(over, n).user(BOB);
        assert_eq!(bob.call(refresh(&with)).code(), 441);
        assert_eq!(bob.call(Request::refresh(600)).code(), 437, "and leaves no trace");
        let theft = refresh(&with).with(AttributeType::LIFETIME, &[0; 4]);
        assert_eq!(bob.call(theft).code(), 441);
        bob.allocate();
        assert_eq!(bob.call(refresh(&with)).code(), 437, "one allocation a 5-tuple");
        let mut nobody = stage.alice(over, n).user(User { password: "guessed", ..ALICE });
        assert_eq!(nobody.call(refresh(&with)).code(), 401);
        let mut stranger = stage.alice(over, n);
        stranger.ask(&refresh(&with)).assert_challenge(401);
        // Alice's own message, overheard and sent from elsewhere.
        let overheard = stage.alice(over, n).login().sign(refresh(&with));
        stranger.ask_bytes(&overheard).assert_challenge(438);
    }
    exchange(&mut client, relayed, &peer, b"undisturbed");
    stage.server.expect_metric("floe_allocation_moves_total", &[], 0.0);
    come(&mut stage.alice(Over::Udp, 13), &with);
}

// E-004 E-005 E-008
#[test]
fn a_ticket_has_its_time() {
    let stage = Stage::new();
    let peer = Peer::new();
    for round in 0..6 {
        let mut client = stage.alice(Over::Udp, 10 * round);
        let (relayed, first) = settle(&mut client, &peer);
        assert_eq!(client.call(refresh(&first)).code(), 400, "it has not moved");
        let mut new = stage.alice(Over::Udp, 10 * round + 1);
        let second = come(&mut new, &first);
        exchange(&mut new, relayed, &peer, b"heard");
        assert_eq!(new.call(refresh(&second)).code(), 400);
        for (n, over) in (2..).zip([Over::Udp, Over::Tcp, Over::Tls]) {
            let mut replayed = stage.alice(over, 10 * round + n);
            assert_eq!(replayed.call(refresh(&first)).code(), 437);
        }
        assert_eq!(client.call(refresh(&first)).code(), 437);
        exchange(&mut new, relayed, &peer, b"undisturbed");
        new.call(Request::refresh(0)).ok();
        for (n, over) in (5..).zip([Over::Udp, Over::Tcp, Over::Tls]) {
            let mut late = stage.alice(over, 10 * round + n);
            assert_eq!(late.call(refresh(&second)).code(), 437);
            late.allocate();
            assert_eq!(late.call(refresh(&second)).code(), 437);
        }
    }
}

// E-004
#[test]
#[ignore = "slow: an allocation lives for ten minutes at least"]
fn a_ticket_ends_with_the_time_of_its_allocation() {
    let stage = Stage::new();
    let peer = Peer::new();
    let mut udp = stage.alice(Over::Udp, 0);
    let mut tcp = stage.alice(Over::Tcp, 0);
    let tickets = [settle(&mut udp, &peer).1, settle(&mut tcp, &peer).1];
    drop((udp, tcp));
    std::thread::sleep(std::time::Duration::from_secs(601));
    stage.server.expect_metric("floe_allocations", &[], 0.0);
    for (n, ticket) in (1..).zip(&tickets) {
        assert_eq!(stage.alice(Over::Udp, n).call(refresh(ticket)).code(), 437);
    }
}
