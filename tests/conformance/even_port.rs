//! EVEN-PORT and RESERVATION-TOKEN: two ports in a row, for RTP and RTCP
//! (RFC 8656 §7.2, §18.7, §18.10).

use floe::wire::AttributeType;

use crate::support::{ALICE, BOB, Client, Request, Server, own_address};

const TOKEN: AttributeType = AttributeType::RESERVATION_TOKEN;

/// An allocation on an even port, and the token for the next.
fn reserve(client: &mut Client) -> (std::net::SocketAddr, Vec<u8>) {
    let reply = client.call(Request::allocate().even_port(true)).ok();
    (reply.relayed(), reply.get(TOKEN).expect("a token").to_vec())
}

// B-027
#[test]
fn a_token_stands_alone() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let (_, token) = reserve(&mut Client::udp(&server).user(ALICE));
    let request = Request::allocate().put(TOKEN, &token);
    assert_eq!(client.call(request.clone().even_port(false)).code(), 400);
    assert_eq!(client.call(request.clone().even_port(true)).code(), 400);
    assert_eq!(client.call(request.clone().family(1)).code(), 400);
    assert_eq!(client.call(request.additional_family(2)).code(), 400);
}

// B-028
#[test]
fn a_token_is_good_once() {
    let server = Server::start(|_| {});
    let (_, token) = reserve(&mut Client::udp(&server).user(ALICE));
    let ask = |token: &[u8]| Client::udp(&server).user(ALICE).call(Request::allocate().put(TOKEN, token));
    assert_eq!(ask(&[7; 8]).code(), 508);
    for length in [0, 4, 7, 9, 16] {
        assert_eq!(ask(&vec![7; length]).code(), 400, "{length} bytes");
    }
    ask(&token).ok();
    assert_eq!(ask(&token).code(), 508);
}

// B-029 B-032
#[test]
fn a_token_gives_the_next_port() {
    let server = Server::start(|_| {});
    for other in [Client::udp(&server), Client::udp6(&server), Client::tcp(&server)] {
        let mut first = Client::udp(&server).user(ALICE);
        let (even, token) = reserve(&mut first);
        assert_eq!((even.port() % 2, token.len()), (0, 8));
        let odd = other.user(ALICE).call(Request::allocate().put(TOKEN, &token)).ok().relayed();
        assert_eq!(odd, std::net::SocketAddr::new(even.ip(), even.port() + 1));
    }
}

// B-030
#[test]
fn a_token_is_of_its_user() {
    let server = Server::start(|_| {});
    let (even, token) = reserve(&mut Client::udp(&server).user(ALICE));
    let request = || Request::allocate().put(TOKEN, &token);
    assert_eq!(Client::udp(&server).user(BOB).call(request()).code(), 508);
    let odd = Client::udp(&server).user(ALICE).call(request()).ok().relayed();
    assert_eq!(odd.port(), even.port() + 1);
}

// B-031
#[test]
fn an_even_port_alone_keeps_nothing_back() {
    let ip = own_address();
    let server = Server::start(|config| {
        config.set("relay.addresses", vec![ip.to_string()]).set("relay.ports", "20000-20003");
    });
    let mut clients: Vec<Client> = (0..4).map(|_| Client::udp(&server).user(ALICE)).collect();
    for client in &mut clients[..2] {
        let reply = client.call(Request::allocate().even_port(false)).ok();
        assert_eq!(reply.relayed().port() % 2, 0);
        assert!(!reply.has(TOKEN));
    }
    for client in &mut clients[2..] {
        assert_eq!(client.allocate().port() % 2, 1);
    }
}

// B-032 B-033
#[test]
fn a_reserved_port_is_kept_for_its_token() {
    let ip = own_address();
    let server = Server::start(|config| {
        config.set("relay.addresses", vec![ip.to_string()]).set("relay.ports", "20000-20003");
    });
    let client = || Client::udp(&server).user(ALICE);
    let (_, token) = reserve(&mut client());
    reserve(&mut client());
    assert_eq!(client().call(Request::allocate()).code(), 508);
    assert_eq!(client().call(Request::allocate().even_port(true)).code(), 508);
    client().call(Request::allocate().put(TOKEN, &token)).ok();
}

// B-033
#[test]
fn a_pair_is_of_one_family() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    assert_eq!(client.call(Request::allocate().even_port(true).additional_family(2)).code(), 400);
}

// B-034
#[test]
fn even_port_is_one_byte_whose_other_bits_mean_nothing() {
    let server = Server::start(|_| {});
    let ask = |value: &[u8]| {
        Client::udp(&server).user(ALICE).call(Request::allocate().put(AttributeType::EVEN_PORT, value))
    };
    assert!(!ask(&[0x7F]).ok().has(TOKEN));
    assert!(ask(&[0xFF]).ok().has(TOKEN));
    for value in [[].as_slice(), &[0x80, 0], &[0x80, 0, 0, 0]] {
        assert_eq!(ask(value).code(), 400, "{value:?}");
    }
}
