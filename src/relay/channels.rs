//! The channel bindings of one allocation (RFC 8656 §12), found by number and by
//! peer. Sorted vectors, since nearly all allocations have a few: two hash tables
//! would take as much memory as everything else of an allocation. The first channel
//! stands in the allocation itself, where a packet looks anyhow.

use smallvec::SmallVec;

use super::address::PeerAddr;
use super::time::Instant;
use super::world::Reach;
use crate::wire::ChannelNumber;

#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) number: ChannelNumber,
    pub(super) peer: PeerAddr,
    pub(super) expires: Instant,
    pub(super) reach: Reach,
}

/// No two have the same number or the same peer.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// By number.
    bound: SmallVec<[Channel; 1]>,
    /// Their numbers, by peer.
    by_peer: SmallVec<[ChannelNumber; 8]>,
}

impl Channels {
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    /// By number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.bound.iter()
    }

    pub(super) fn get(&self, number: ChannelNumber) -> Option<&Channel> {
        self.bound.get(self.place(number).ok()?)
    }

    pub(super) fn to(&self, peer: PeerAddr) -> Option<&Channel> {
        self.get(*self.by_peer.get(self.place_of(peer).ok()?)?)
    }

    /// In place of those that have its number or its peer.
    pub(super) fn bind(&mut self, channel: Channel) {
        self.retain(|other| other.number != channel.number && other.peer != channel.peer);
        if let (Err(at), Err(among_peers)) = (self.place(channel.number), self.place_of(channel.peer)) {
            self.by_peer.insert(among_peers, channel.number);
            self.bound.insert(at, channel);
        }
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Channel) -> bool) {
        let before = self.len();
        self.bound.retain_mut(keep);
        if self.len() < before {
            let mut by_peer = std::mem::take(&mut self.by_peer);
            by_peer.retain(|number| self.get(*number).is_some());
            self.by_peer = by_peer;
        }
    }

    fn place(&self, number: ChannelNumber) -> Result<usize, usize> {
        self.bound.binary_search_by_key(&number, |channel| channel.number)
    }

    fn place_of(&self, peer: PeerAddr) -> Result<usize, usize> {
        let peer_of = |number: &ChannelNumber| self.get(*number).map(|channel| channel.peer);
        self.by_peer.binary_search_by_key(&Some(peer), peer_of)
    }
}

#[cfg(test)]
#[path = "channels_test.rs"]
mod tests;
