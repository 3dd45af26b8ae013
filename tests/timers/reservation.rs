//! The port above an even one is held for thirty seconds (RFC 8656 §7.2).

use std::net::SocketAddr;

use floe::wire::AttributeType;

use crate::clock::{Time, Timed};
use crate::support::{ALICE, Client, Request, own_address};

pub(crate) fn lasts_30_seconds(time: Time) {
    let local = own_address();
    let four_ports = Timed::start(time, |config| {
        config.set("relay.addresses", vec![local.to_string()]).set("relay.ports", "50000-50003");
    });
    let Some(mut timed) = four_ports else { return };
    let udp = timed.server.udp();
    let client = || Client::udp_from("127.0.0.1".parse().unwrap(), udp).user(ALICE);
    let reserve = || {
        let reply = client().call(Request::allocate().even_port(true)).ok();
        (reply.relayed(), reply.get(AttributeType::RESERVATION_TOKEN).unwrap().to_vec())
    };
    let redeem =
        |token: &[u8]| client().call(Request::allocate().put(AttributeType::RESERVATION_TOKEN, token));
    let (even, in_time) = reserve();
    let (_, too_late) = reserve();
    timed.begin();
    assert_eq!(client().call(Request::allocate()).code(), 508, "two ports are taken, and two are held");
    timed.until(29);
    assert_eq!(redeem(&in_time).ok().relayed(), SocketAddr::new(even.ip(), even.port() + 1));
    assert_eq!(redeem(&in_time).code(), 508, "a token is good for once");
    timed.until(31);
    assert_eq!(redeem(&too_late).code(), 508);
    // Each shard looks at its clock when something comes; its timer sleeps in true time.
    for _ in 0..32 {
        client().ping();
    }
    client().allocate();
    assert_eq!(client().call(Request::allocate()).code(), 508, "all four are taken");
}
