//! `limits.bits-per-second…`: data above them is dropped, control is not.

use std::time::Instant;

use floe::wire::channel_data;

use crate::support::{ALICE, BOB, Client, Peer, Request, Server};

/// Bits per second: 125,000 bytes.
const RATE: i64 = 1_000_000;

/// Floods one allocation and says how many bytes came through in which time.
fn flood(server: &Server) -> (usize, f64) {
    let mut client = Client::udp(server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    let start = Instant::now();
    let (mut bytes, mut sent) = (0, 0u32);
    while start.elapsed().as_secs_f64() < 1.5 || sent < 1000 {
        for _ in 0..50 {
            peer.send(relayed, &[1; 1000]);
            sent += 1;
        }
        // Control is answered all the while; what data there is comes first.
        for packet in client.receive_until_pinged() {
            bytes += channel_data::parse(&packet).expect("ChannelData").1.len();
        }
    }
    client.call(Request::refresh(600)).ok();
    (bytes, start.elapsed().as_secs_f64())
}

// B-163 H-047
#[test]
fn more_than_the_limit_does_not_pass() {
    for key in ["limits.bits-per-second-per-allocation", "limits.bits-per-second"] {
        let server = Server::start(|config| {
            config.set(key, RATE);
        });
        let (bytes, seconds) = flood(&server);
        let rate = RATE as f64 / 8.0;
        let most = rate * seconds + 65_535.0;
        assert!((bytes as f64) <= most, "{key}: {bytes} bytes in {seconds} s");
        assert!((bytes as f64) > rate * seconds * 0.5, "{key}: {bytes} bytes in {seconds} s");
        server.expect_some("floe_dropped_packets_total", &["reason=\"bandwidth\""]);
        // The next allocation has a budget of its own, unless it is the server's.
        if key.ends_with("per-allocation") {
            let mut other = Client::udp(&server).user(BOB);
            let relayed = other.allocate();
            let peer = Peer::new();
            other.permit(peer.ip());
            other.exchange(relayed, &peer);
        }
    }
}
