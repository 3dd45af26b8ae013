//! NAT behaviour discovery (RFC 5780) and clients of RFC 3489.

use std::net::SocketAddr;

use floe::relay::{
    ClientAddr, ClientPath, DropReason, FiveTuple, Link, NatDiscovery, Now, Output, Route, ServerAddr,
    Transport,
};
use floe::wire::attribute::error_code_value;
use floe::wire::{AttributeType, Message, Method, TransactionId, address};

use crate::client::Request;
use crate::world::{Setup, World, addr};

const CLIENT: &str = "192.0.2.1:4000";
const POINTS: [[&str; 2]; 2] =
    [["198.51.100.1:3478", "198.51.100.1:3479"], ["198.51.100.2:3478", "198.51.100.2:3479"]];
const CHANGE: AttributeType = AttributeType::CHANGE_REQUEST;

/// Point and link: link 10 times the address plus the port.
fn world(change: impl FnOnce(&mut Setup)) -> World {
    let mut setup = Setup::default();
    let point = |a: usize, p: usize| (ServerAddr::new(addr(POINTS[a][p])), Link((10 * a + p) as u32));
    let points = [[point(0, 0), point(0, 1)], [point(1, 0), point(1, 1)]];
    setup.settings.nat_discovery = vec![NatDiscovery::new(points)];
    setup.settings.classic = true;
    change(&mut setup);
    World::with(setup)
}

/// What these bytes are answered with, and how, when they come in at `server`.
fn ask(world: &mut World, server: &str, transport: Transport, bytes: &[u8]) -> (Route, Vec<u8>) {
    let five_tuple =
        FiveTuple { client: ClientAddr::new(addr(CLIENT)), server: ServerAddr::new(addr(server)), transport };
    let now: Now = world.now;
    let mut out = Output::default();
    let from = ClientPath::new(Link(99), five_tuple);
    let route = world.engines[0].client_datagram(now, from, bytes, &mut out);
    let bytes = match &route {
        Route::Reply { message, .. } => out.bytes[message.clone()].to_vec(),
        _ => Vec::new(),
    };
    (route, bytes)
}

fn way(route: &Route) -> (SocketAddr, SocketAddr, u32) {
    let Route::Reply { to, .. } = route else { panic!("{route:?}") };
    (to.five_tuple.server.socket(), to.five_tuple.client.socket(), to.link.0)
}

fn binding() -> Request {
    Request::new(Method::BINDING)
}

fn bytes(request: &Request) -> Vec<u8> {
    request.unsigned(TransactionId([5; 12]))
}

fn code(answer: &[u8]) -> u16 {
    let message = Message::parse(answer).unwrap();
    message.get(AttributeType::ERROR_CODE).map_or(0, |value| error_code_value(value).unwrap().0.number())
}

fn plain(answer: &[u8], kind: AttributeType) -> SocketAddr {
    address::decode(Message::parse(answer).unwrap().get(kind).expect("there")).unwrap()
}

// D-001 D-002 D-008
#[test]
fn the_answer_leaves_from_where_it_was_asked_for() {
    let mut world = world(|_| {});
    for a in 0..2 {
        for p in 0..2 {
            for (flags, ca, cp) in [
                (None, 0, 0),
                (Some(0), 0, 0),
                (Some(2), 0, 1),
                (Some(4), 1, 0),
                (Some(6), 1, 1),
                (Some(0xF9), 0, 0),
            ] {
                let request = match flags {
                    None => binding(),
                    Some(flags) => binding().with(CHANGE, &[0xFF, 0, 0x80, flags]),
                };
                let (route, answer) = ask(&mut world, POINTS[a][p], Transport::Udp, &bytes(&request));
                let origin = addr(POINTS[a ^ ca][p ^ cp]);
                assert_eq!(way(&route), (origin, addr(CLIENT), (10 * (a ^ ca) + (p ^ cp)) as u32));
                assert_eq!(plain(&answer, AttributeType::RESPONSE_ORIGIN), origin);
                assert_eq!(plain(&answer, AttributeType::OTHER_ADDRESS), addr(POINTS[a ^ 1][p ^ 1]));
                assert_eq!(plain(&answer, AttributeType::MAPPED_ADDRESS), addr(CLIENT));
                let mapped = Message::parse(&answer).unwrap().xor_address(AttributeType::XOR_MAPPED_ADDRESS);
                assert_eq!(mapped, Some(Ok(addr(CLIENT))));
                assert!(answer.len() <= 68, "D-011");
            }
        }
    }
}

// D-003 D-007 D-010
#[test]
fn elsewhere_and_over_streams_its_attributes_are_unknown() {
    let mut world = world(|_| {});
    for (server, transport) in [("198.51.100.3:3478", Transport::Udp), (POINTS[0][0], Transport::Tcp)] {
        let padding = AttributeType::PADDING;
        let request = binding()
            .with(CHANGE, &[0; 4])
            .with(padding, &[0; 8])
            .with(AttributeType::RESPONSE_PORT, &[9; 4]);
        let (_, answer) = ask(&mut world, server, transport, &bytes(&request));
        assert_eq!(code(&answer), 420);
        let unknown = Message::parse(&answer).unwrap().get(AttributeType::UNKNOWN_ATTRIBUTES).unwrap();
        assert_eq!(unknown, [0, 3, 0, 0x26, 0, 0x27]);
        let (_, answer) = ask(&mut world, server, transport, &bytes(&binding()));
        let message = Message::parse(&answer).unwrap();
        for kind in
            [AttributeType::OTHER_ADDRESS, AttributeType::RESPONSE_ORIGIN, AttributeType::MAPPED_ADDRESS]
        {
            assert!(!message.has(kind));
        }
    }
}

// D-004 D-005 D-008 D-009 D-012
#[test]
fn a_response_port_is_obeyed_unless_it_could_harm() {
    let mut world = world(|_| {});
    let mut asked = |request: &Request| ask(&mut world, POINTS[0][0], Transport::Udp, &bytes(request));
    let port = |value: &[u8]| binding().with(AttributeType::RESPONSE_PORT, value);
    for value in [&[0x1F, 0x90, 0, 0][..], &[0x1F, 0x90]] {
        let (route, answer) = asked(&port(value).with(CHANGE, &[0, 0, 0, 6]));
        assert_eq!(way(&route), (addr(POINTS[1][1]), addr("192.0.2.1:8080"), 11));
        assert_eq!(
            plain(&answer, AttributeType::MAPPED_ADDRESS),
            addr(CLIENT),
            "where the request came from"
        );
    }
    for wrong in [
        port(&[0, 0, 0, 0]),
        port(&[0x03, 0xFF, 0, 0]),
        port(&[0x1F]),
        port(&[0x1F, 0x90, 0, 0]).with(AttributeType::PADDING, &[0; 16]),
        binding().with(CHANGE, &[0, 0, 6]),
        binding().with(CHANGE, &[0, 0, 0, 6, 0]),
        port(&[0x1F, 0x90, 0, 0]).with(CHANGE, &[]),
    ] {
        let (route, answer) = asked(&wrong);
        assert_eq!((code(&answer), way(&route)), (400, (addr(POINTS[0][0]), addr(CLIENT), 99)));
    }
    let (route, answer) = asked(&port(&[0x1F, 0x90, 0, 0]).with(AttributeType(0x7FFE), &[]));
    assert_eq!((code(&answer), way(&route).1), (420, addr(CLIENT)));
}

// D-006
#[test]
fn padding_is_answered_with_padding_and_never_more_of_it() {
    let mut world = world(|_| {});
    for (length, padded) in [(0, 0), (4, 0), (99, 0), (500, 404), (1600, 1500), (60_000, 1500)] {
        let request = bytes(&binding().with(AttributeType::PADDING, &vec![1; length]));
        let (_, answer) = ask(&mut world, POINTS[0][0], Transport::Udp, &request);
        let value = Message::parse(&answer).unwrap().get(AttributeType::PADDING).unwrap().len();
        assert_eq!(value, padded, "{length}");
        assert!(answer.len() <= request.len().max(72));
    }
}

// D-011
#[test]
fn answers_are_limited() {
    let mut world = world(|_| {});
    world.throttle.no_answers.store(true, std::sync::atomic::Ordering::Relaxed);
    for request in [bytes(&binding()), classic(&[])] {
        let (route, _) = ask(&mut world, POINTS[0][0], Transport::Udp, &request);
        assert_eq!(route, Route::Drop(DropReason::Throttled));
    }
}

const CLASSIC_ID: [u8; 16] = [0xAB; 16];

fn classic(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(*value);
    }
    [&[0, 1][..], &(body.len() as u16).to_be_bytes(), &CLASSIC_ID, &body].concat()
}

fn answered(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), &CLASSIC_ID, body].concat()
}

//
#[test]
fn a_classic_client_is_told_its_address_in_the_old_way() {
    let mut world = world(|setup| setup.settings.nat_discovery.clear());
    let mapped = [0, 1, 0, 8, 0, 1, 0x0F, 0xA0, 192, 0, 2, 1];
    for attributes in [&[][..], &[(0x0006, &[b'u'; 4][..]), (0x0008, &[0; 20]), (0x8022, b"name")]] {
        let (route, answer) = ask(&mut world, POINTS[0][0], Transport::Udp, &classic(attributes));
        assert_eq!(way(&route), (addr(POINTS[0][0]), addr(CLIENT), 99));
        assert_eq!(answer, answered(0x0101, &mapped));
    }
}

// A-002 A-003 A-005
#[test]
fn only_a_binding_over_datagrams_is_classic_and_only_where_it_is_on() {
    let mut on = world(|_| {});
    let mut off = world(|setup| setup.settings.classic = false);
    let mut allocate = classic(&[]);
    allocate[1] = 3;
    let mut indication = classic(&[]);
    indication[1] = 0x11;
    let mut odd = classic(&[(6, b"odd")]);
    odd[3] = 8;
    odd.push(0);
    let longer = [classic(&[]), vec![0; 4]].concat();
    for bytes in [&allocate, &indication, &odd, &longer] {
        assert_eq!(ask(&mut on, POINTS[0][0], Transport::Udp, bytes).0, Route::Drop(DropReason::Malformed));
    }
    for (world, transport) in [(&mut on, Transport::Tcp), (&mut off, Transport::Udp)] {
        let (route, _) = ask(world, POINTS[0][0], transport, &classic(&[]));
        assert_eq!(route, Route::Drop(DropReason::Malformed));
    }
}

//
#[test]
fn a_classic_answer_is_sent_to_nobody_else() {
    let mut world = world(|setup| setup.settings.nat_discovery.clear());
    let victim = [0, 1, 0x1F, 0x90, 203, 0, 113, 9];
    for (attributes, unknown) in [
        (vec![(0x0002, &victim[..])], [0, 2, 0, 2]),
        (vec![(0x0003, &[0, 0, 0, 6][..])], [0, 3, 0, 3]),
        (vec![(0x0002, &victim[..]), (0x0003, &[0; 4][..])], [0, 2, 0, 3]),
    ] {
        let (route, answer) = ask(&mut world, POINTS[0][0], Transport::Udp, &classic(&attributes));
        assert_eq!(way(&route), (addr(POINTS[0][0]), addr(CLIENT), 99));
        let body = [&[0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 4][..], &unknown].concat();
        assert_eq!(answer, answered(0x0111, &body));
    }
}

// A-003 D-002
#[test]
fn with_two_addresses_a_classic_client_may_ask_for_the_other() {
    let mut world = world(|_| {});
    let request = classic(&[(0x0003, &[0, 0, 0, 6])]);
    let (route, answer) = ask(&mut world, POINTS[0][0], Transport::Udp, &request);
    assert_eq!(way(&route), (addr(POINTS[1][1]), addr(CLIENT), 11));
    let mapped = [0, 1, 0, 8, 0, 1, 0x0F, 0xA0, 192, 0, 2, 1];
    let source = [0, 4, 0, 8, 0, 1, 0x0D, 0x97, 198, 51, 100, 2];
    let changed = [0, 5, 0, 8, 0, 1, 0x0D, 0x97, 198, 51, 100, 2];
    assert_eq!(answer, answered(0x0101, &[mapped, source, changed].concat()));
    let victim = classic(&[(0x0002, &[0, 1, 0x1F, 0x90, 203, 0, 113, 9])]);
    let (_, answer) = ask(&mut world, POINTS[0][0], Transport::Udp, &victim);
    assert_eq!(answer[..2], [1, 0x11], "never");
}
