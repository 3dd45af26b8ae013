use std::time::Duration;

use super::super::hello::tests::{FIRST, Made};
use super::*;
use crate::net::OsRandom;
use crate::relay::{ClientAddr, ServerAddr, Transport};

fn client(text: &str) -> FiveTuple {
    FiveTuple {
        client: ClientAddr::new(text.parse().unwrap()),
        server: ServerAddr::new("192.0.2.1:5349".parse().unwrap()),
        transport: Transport::Dtls,
    }
}

fn cookies() -> Cookies {
    Cookies::new(&mut OsRandom::new().unwrap())
}

fn is_good(cookies: &Cookies, now: Instant, from: FiveTuple, made: Made<'_>) -> bool {
    let datagram = made.datagram();
    cookies.is_good(now, from, &ClientHello::parse(&datagram).unwrap())
}

// E-033
#[test]
fn a_cookie_is_good_for_its_hello_and_client_alone() {
    let (cookies, now, from) = (cookies(), Instant::from_micros(0), client("198.51.100.2:4000"));
    let first = FIRST.datagram();
    let cookie = cookies.make(now, from, &ClientHello::parse(&first).unwrap());
    let again = Made { sequence: 1, message_sequence: 1, cookie: &cookie, ..FIRST };
    assert!(is_good(&cookies, now, from, again));
    assert!(!is_good(&cookies, now, client("198.51.100.2:4001"), again));
    assert!(!is_good(&cookies, now, client("198.51.100.3:4000"), again));
    assert!(!is_good(&cookies, now, from, Made { random: 8, ..again }));
    assert!(!is_good(&self::cookies(), now, from, again), "another server's");
    assert!(!is_good(&cookies, now, from, FIRST), "none at all");
    for at in 0..COOKIE {
        let mut forged = cookie;
        forged[at] ^= 1;
        assert!(!is_good(&cookies, now, from, Made { cookie: &forged, ..again }), "byte {at}");
    }
    assert!(!is_good(&cookies, now, from, Made { cookie: &cookie[..COOKIE - 1], ..again }));
}

#[test]
fn a_cookie_gets_old() {
    let (cookies, from) = (cookies(), client("[2001:db8::2]:4000"));
    let made = Instant::from_micros(0) + Duration::from_secs(WINDOW * 256 + 1);
    let first = FIRST.datagram();
    let cookie = cookies.make(made, from, &ClientHello::parse(&first).unwrap());
    let again = Made { sequence: 1, message_sequence: 1, cookie: &cookie, ..FIRST };
    let after = |seconds| is_good(&cookies, made + Duration::from_secs(seconds), from, again);
    assert!(after(WINDOW));
    assert!(!after(2 * WINDOW));
    assert!(!after(256 * WINDOW), "windows are told apart by more than a byte");
}
