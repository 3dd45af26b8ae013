//! Permissions last five minutes (RFC 8656 §9).

use crate::clock::{Time, Timed};
use crate::support::{ALICE, Client, Peer, Request};

pub(crate) fn lasts_300_seconds(time: Time) {
    let Some(mut timed) = Timed::start(time, |_| {}) else { return };
    let mut client = Client::udp(&timed.server).user(ALICE);
    let relayed = client.call(Request::allocate().lifetime(3600)).ok().relayed();
    let [once, again] = ["127.0.0.2", "127.0.0.3"].map(Peer::at);
    client.permit(once.ip());
    client.permit(again.ip());
    timed.begin();
    for seconds in [100, 150, 200, 299] {
        timed.until(seconds);
        // Packets of neither direction make a permission last longer.
        client.exchange(relayed, &once);
        client.exchange(relayed, &again);
        if seconds == 150 {
            client.permit(again.ip());
        }
    }
    timed.until(301);
    once.send(relayed, b"late");
    client.expect_silence(&Request::send_indication(once.address(), b"late").bytes());
    client.exchange(relayed, &again);
    timed.until(449);
    client.exchange(relayed, &again);
    timed.until(451);
    again.send(relayed, b"late");
    client.permit(once.ip());
    client.exchange(relayed, &once);
    timed.server.expect_metric("floe_dropped_packets_total", &["no_permission"], 3.0);
}
