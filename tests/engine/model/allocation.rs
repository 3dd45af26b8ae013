//! One allocation as the model has it, and what moves it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::relay::{Family, Instant};

use super::Seat;

/// How long a used ticket is known (RFC 8016 §3.2.2).
const USED: Duration = Duration::from_secs(30);
const FOR_EVER: Instant = Instant::from_micros(u64::MAX);

/// What an allocation has that may move (RFC 8016).
#[derive(Clone, Debug)]
pub(crate) struct Mobility {
    /// The good ticket, and the one that made the last move.
    pub(crate) ticket: Vec<u8>,
    pub(crate) used: Option<(Vec<u8>, Instant)>,
    /// Where data is awaited from, besides where the client is.
    pub(crate) next: Option<Seat>,
    pub(crate) unconfirmed: bool,
}

/// One allocation. What has expired stays in here until the engine must have
/// let go of it as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allocation {
    /// Where its client is; nowhere when the connection is gone.
    pub(crate) seat: Option<Seat>,
    pub(crate) mobility: Option<Mobility>,
    /// IPv4, then IPv6.
    pub(crate) relays: [Option<(SocketAddr, Instant)>; 2],
    pub(crate) permissions: BTreeMap<IpAddr, Instant>,
    pub(crate) channels: BTreeMap<u16, (SocketAddr, Instant)>,
}

impl Allocation {
    pub(crate) fn expires(&self) -> Instant {
        self.relays.iter().flatten().map(|relay| relay.1).max().unwrap_or_default()
    }

    /// Whether its client may come from there.
    pub(crate) fn is_at(&self, seat: Seat) -> bool {
        self.seat == Some(seat) || self.next() == Some(seat)
    }

    fn next(&self) -> Option<Seat> {
        self.mobility.as_ref().and_then(|mobility| mobility.next)
    }

    /// Where its client was last seen.
    pub(crate) fn newest(&self) -> Option<Seat> {
        self.next().or(self.seat)
    }

    /// RFC 8016 §3.2.2: data from the newer 5-tuple leaves the old one behind.
    pub(crate) fn heard_from(&mut self, seat: Seat) {
        let newest = self.newest();
        let Some(mobility) = &mut self.mobility else { return };
        if mobility.unconfirmed && newest == Some(seat) {
            (mobility.unconfirmed, mobility.used) = (false, None);
            self.seat = mobility.next.take().or(self.seat);
        }
    }

    /// A connection has ended. True when the allocation ends with it.
    pub(super) fn cut_off(&mut self, seat: Seat) -> bool {
        let Some(mobility) = &mut self.mobility else { return true };
        if mobility.next == Some(seat) {
            // It may have been heard of the next ticket, or not.
            (mobility.next, mobility.unconfirmed) = (None, false);
            if let Some((_, until)) = &mut mobility.used {
                *until = FOR_EVER;
            }
        } else {
            self.seat = mobility.next.take();
        }
        false
    }

    /// The client has come with a ticket, and has the next one.
    pub(crate) fn arrive(&mut self, now: Instant, seat: Seat, with: &[u8], ticket: Vec<u8>) {
        let Some(mobility) = &mut self.mobility else { return };
        mobility.used = Some((with.to_vec(), now + USED));
        (mobility.ticket, mobility.unconfirmed) = (ticket, true);
        match self.seat {
            None => self.seat = Some(seat),
            Some(_) => mobility.next = Some(seat),
        }
    }

    pub(crate) fn relay(&self, family: Family, now: Instant) -> Option<SocketAddr> {
        let (address, expires) = self.relays[family.index()]?;
        (now < expires).then_some(address)
    }

    pub(crate) fn permits(&self, peer: IpAddr, now: Instant) -> bool {
        self.permissions.get(&peer).is_some_and(|expires| now < *expires)
    }

    pub(crate) fn channel(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let (peer, _) = self.channels.get(&number).filter(|channel| self.leads(channel, now))?;
        Some(*peer)
    }

    pub(crate) fn channel_to(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let mut bound =
            self.channels.iter().filter(|(_, channel)| channel.0 == peer && self.leads(channel, now));
        bound.next().map(|(number, _)| *number)
    }

    /// Whether a channel is there, and the relay that it leads through.
    fn leads(&self, (peer, expires): &(SocketAddr, Instant), now: Instant) -> bool {
        now < *expires && self.relay(Family::of(peer.ip()), now).is_some()
    }

    /// The family's relay and all that leads through it.
    pub(super) fn drop_family(&mut self, family: Family) {
        self.relays[family.index()] = None;
        self.permissions.retain(|peer, _| Family::of(*peer) != family);
        self.channels.retain(|_, (peer, _)| Family::of(peer.ip()) != family);
    }
}
