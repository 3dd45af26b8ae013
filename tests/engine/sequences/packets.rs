//! What clients and peers say to each other.

use super::super::model::{Expected, State};
use super::super::world::Sent;
use super::{Stage, channel};

impl Stage {
    pub(super) fn send(&mut self, who: usize, peer: u8, port: u8, size: u8) {
        let mut peer = self.address(peer);
        if port.is_multiple_of(4) {
            peer.set_port(port.into());
        }
        let data = vec![port; size.into()];
        let sent = self.model.actors[who].client.send(&mut self.world, peer, &data);
        let expected = self.model.send(self.model.actors[who].seat, self.now(), peer, &data);
        self.compare(&sent, &expected, &data);
    }

    pub(super) fn channel_data(&mut self, who: usize, number: u8, size: u8) {
        let data = vec![number; size.into()];
        let sent = self.model.actors[who].client.channel_data(&mut self.world, channel(number), &data);
        let expected =
            self.model.channel_data(self.model.actors[who].seat, self.now(), channel(number), &data);
        self.compare(&sent, &expected, &data);
    }

    pub(super) fn peer(&mut self, who: usize, family: u8, peer: u8, size: u8) {
        let now = self.now();
        let from = self.address(peer);
        let State::Live(allocation) = &self.model.actors[who].state else { return };
        let Some((relayed, expires)) = allocation.relays[usize::from(family) % 2] else { return };
        if relayed.is_ipv4() != from.is_ipv4() {
            return;
        }
        let data = vec![peer; size.into()];
        // The kernel brings nothing in from this server's own addresses (H-013):
        // allocations talk to each other without it.
        let expected = match self.world.pool.owns(from.ip()) {
            true => Expected::Dropped,
            false => self.model.down(now, relayed, from, &data),
        };
        match self.world.peer(from, relayed, &data) {
            Some(sent) => self.compare(&sent, &expected, &data),
            None => assert!(expires <= now, "the socket is closed too early"),
        }
    }

    fn compare(&self, sent: &Sent, expected: &Expected, data: &[u8]) {
        match expected {
            Expected::Dropped => assert!(sent.is_dropped(), "{sent:?}"),
            Expected::ToPeer(relayed, peer) => {
                assert_eq!(*sent, Sent::ToPeer(*relayed, *peer, data.to_vec()))
            }
            Expected::ToClient(seat, heard) => {
                let mut there = self.model.actors[0].client.clone();
                there.path = self.places[*seat].path;
                assert_eq!(sent.heard_by(&there), *heard);
            }
        }
    }
}
