//! A nonce is good for an hour (RFC 8656 §5). Nobody waits for that: the server's
//! clock is moved. And a wall clock that is set, either way, ends and prolongs
//! nothing that is measured in seconds.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use crate::clock::{Time, Timed};
use crate::support::{ALICE, Client, Peer, Reply, Request, SECRET, User};

/// Asks again with the nonce that came with a 438.
fn call_again(client: &mut Client, refusal: &Reply, request: Request) -> Reply {
    refusal.assert_challenge(438);
    client.login().nonce = refusal.nonce().to_owned();
    client.call(request)
}

// A-079 B-009 B-066 Q-3
#[test]
fn it_lasts_an_hour_and_the_call_goes_on() {
    let Some(mut timed) = Timed::start(Time::Moved, |_| {}) else { return };
    let mut client = Client::udp(&timed.server).user(ALICE);
    client.challenge();
    timed.begin();
    let relayed = client.call(Request::allocate().lifetime(3600)).ok().relayed();
    let peer = Peer::at("127.0.0.2");
    timed.until(3590);
    client.call(Request::refresh(600)).ok();
    client.permit(peer.ip());
    timed.until(3610);
    client.exchange(relayed, &peer);
    // Refused, it changes nothing: the allocation neither ends nor lasts longer.
    let refusal = client.call(Request::refresh(0));
    client.exchange(relayed, &peer);
    assert_eq!(call_again(&mut client, &refusal, Request::permission(&[peer.ip()])).code(), 0);
    client.exchange(relayed, &peer);
    timed.until(3590 + 599);
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
    timed.until(3590 + 601);
    assert_eq!(client.call(Request::refresh(600)).code(), 437);
}

// B-167 F-002
#[test]
fn a_wall_clock_that_is_set_ends_no_call() {
    let expiry = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1800;
    let name = format!("{expiry}:carol");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
    let password = BASE64_STANDARD.encode(hmac::sign(&key, name.as_bytes()));
    let carol = User { name: &name, password: &password };
    for (step, admitted) in [(3600, false), (-3600, true)] {
        let started = Timed::start(Time::WallClock, |config| {
            config.secret_only().set("auth.strict-expiry", false);
        });
        let Some(timed) = started else { return };
        let mut client = Client::udp(&timed.server).user(carol);
        let relayed = client.allocate();
        let peer = Peer::at("127.0.0.2");
        client.bind(0x4000, peer.address());
        timed.set_wall_clock(step);
        client.send_channel(0x4000, b"up");
        peer.expect(b"up", relayed);
        peer.send(relayed, b"down");
        client.expect_channel(0x4000, b"down");
        // The nonce may be too old now, or of the future.
        let answer = client.call(Request::refresh(600));
        let answer = if answer.is_success() {
            answer
        } else {
            call_again(&mut client, &answer, Request::refresh(600))
        };
        assert_eq!(answer.ok().lifetime(), 600);
        client.send_channel(0x4000, b"up");
        peer.expect(b"up", relayed);
        // A credential ends by the wall clock.
        let another = Client::udp(&timed.server).user(carol).call(Request::allocate());
        assert_eq!(another.is_success(), admitted, "{step}");
    }
}
