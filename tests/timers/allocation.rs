//! An allocation lasts ten minutes when nobody asks for more (RFC 8656 §6).

use std::net::UdpSocket;

use crate::clock::{Time, Timed};
use crate::support::{ALICE, Client, Peer, Request};

/// Of one that is not refreshed and one that is, after half a minute.
pub(crate) fn lasts_600_seconds(time: Time) {
    let Some(mut timed) = Timed::start(time, |_| {}) else { return };
    let peer = Peer::at("127.0.0.2");
    let mut both = [Client::udp(&timed.server), Client::udp(&timed.server)].map(|client| {
        let mut client = client.user(ALICE);
        let relayed = client.allocate();
        (client, relayed)
    });
    timed.begin();
    for seconds in [30, 250, 450, 599] {
        timed.until(seconds);
        // Neither packets nor permissions make it last longer.
        for (client, relayed) in &mut both {
            client.permit(peer.ip());
            client.exchange(*relayed, &peer);
        }
        if seconds == 30 {
            assert_eq!(both[1].0.call(Request::refresh(0xFFFF_FFFF)).ok().lifetime(), 3600);
            assert_eq!(both[1].0.call(Request::refresh(600)).ok().lifetime(), 600);
        }
    }
    let mut end = |at: u64, which: usize| {
        timed.until(at);
        let (client, relayed) = &mut both[which];
        client.expect_silence(&Request::send_indication(peer.address(), b"late").bytes());
        assert_eq!(client.call(Request::refresh(600)).code(), 437);
        timed.server.wait_until("the relay port is free", || UdpSocket::bind(*relayed).is_ok());
        client.allocate();
    };
    end(601, 0);
    timed.until(629);
    end(631, 1);
    let ended = timed.server.metric("floe_allocations_closed_total", &["expired"]);
    assert_eq!(ended, 2.0);
}
