//! Channels last ten minutes, and the permission that comes with one five (RFC
//! 8656 §12); by `relay.compat-permission-lifetime` it lasts as long.

use crate::clock::{Time, Timed};
use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Config, Peer, Request};

const CHANNEL: u16 = 0x4000;

/// A client with a channel that was bound just now.
fn bound(
    time: Time,
    change: impl FnOnce(&mut Config),
) -> Option<(Timed, Client, Peer, std::net::SocketAddr)> {
    let mut timed = Timed::start(time, change)?;
    let mut client = Client::udp(&timed.server).user(ALICE);
    let relayed = client.call(Request::allocate().lifetime(3600)).ok().relayed();
    let peer = Peer::at("127.0.0.2");
    client.bind(CHANNEL, peer.address());
    timed.begin();
    Some((timed, client, peer, relayed))
}

pub(crate) fn lasts_600_seconds(time: Time) {
    let Some((timed, mut client, peer, relayed)) = bound(time, |_| {}) else { return };
    let up = |client: &mut Client| {
        client.send_channel(CHANNEL, b"up");
        peer.expect(b"up", relayed);
    };
    for seconds in [150, 299] {
        timed.until(seconds);
        up(&mut client);
        peer.send(relayed, b"down");
        client.expect_channel(CHANNEL, b"down");
    }
    timed.until(301);
    // The permission is over; what the client sends needs none.
    peer.send(relayed, b"late");
    up(&mut client);
    client.ping();
    timed.until(599);
    up(&mut client);
    client.permit(peer.ip());
    peer.send(relayed, b"down");
    client.expect_channel(CHANNEL, b"down");
    timed.until(601);
    client.expect_silence(&channel_message(CHANNEL, b"late"));
    peer.send(relayed, b"down");
    client.expect_data(peer.address(), b"down");
    // Number and peer are free for others, and for each other.
    let other = Peer::at("127.0.0.3");
    client.bind(CHANNEL, other.address());
    client.bind(CHANNEL + 1, peer.address());
    for (channel, peer) in [(CHANNEL, &other), (CHANNEL + 1, &peer)] {
        client.send_channel(channel, b"up");
        peer.expect(b"up", relayed);
        peer.send(relayed, b"down");
        client.expect_channel(channel, b"down");
    }
}

pub(crate) fn keeps_its_permission(time: Time) {
    let kind = |config: &mut Config| _ = config.set("relay.compat-permission-lifetime", true);
    let Some((timed, mut client, peer, relayed)) = bound(time, kind) else { return };
    for seconds in [299, 301, 599] {
        timed.until(seconds);
        peer.send(relayed, b"down");
        client.expect_channel(CHANNEL, b"down");
    }
    timed.until(601);
    peer.send(relayed, b"late");
    client.expect_silence(&channel_message(CHANNEL, b"late"));
    let dropped = || timed.server.metric("floe_dropped_packets_total", &["no_permission"]);
    timed.server.wait_until("it is dropped", || dropped() == 1.0);
}
