//! What DTLS means for a shard: its part of the packet path, and the task that
//! hears of handshakes and closes sessions that are silent too long.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::handshake::Report;
use super::sessions::{Arrival, Read, SessionSlot};
use crate::net::shard::Shard;
use crate::net::thread::Common;
use crate::net::udp::Received;
use crate::relay::{ClientPath, FiveTuple, Now};

/// How often silent sessions are looked for.
const LOOK: Duration = Duration::from_secs(5);

/// The datagrams of a batch, changed in place.
pub(in crate::net) trait Batch {
    fn datagram(&self, at: usize) -> &[u8];
    fn datagram_mut(&mut self, at: usize) -> &mut [u8];
}

impl Batch for Received {
    fn datagram(&self, at: usize) -> &[u8] {
        self.bytes(at)
    }

    fn datagram_mut(&mut self, at: usize) -> &mut [u8] {
        self.packet(at).1
    }
}

/// One datagram, whatever its number.
impl Batch for Vec<u8> {
    fn datagram(&self, _: usize) -> &[u8] {
        self
    }

    fn datagram_mut(&mut self, _: usize) -> &mut [u8] {
        self
    }
}

/// Hears of a shard's handshakes, and ends its silent sessions.
pub(in crate::net) async fn take_in(
    common: Rc<Common>,
    mut reports: mpsc::Receiver<Report>,
) -> io::Result<()> {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let report = select! {
            report = reports.recv() => match report {
                Some(report) => Some(report),
                // No listener takes DTLS.
                None => return Ok(()),
            },
            _ = look.tick() => None,
        };
        let shard = &mut *common.shard.borrow_mut();
        let now = shard.clock.now();
        match report {
            Some(report) => shard.dtls_report(now, report),
            None => {
                for slot in shard.dtls.overdue(now.instant) {
                    shard.dtls_close(now, slot);
                }
            }
        }
    }
}

impl Shard {
    /// A DTLS datagram, number `at` of a batch, from a client by a UDP listener.
    /// Behind it, [`Shard::flush`].
    pub(in crate::net) fn dtls_datagram(
        &mut self,
        now: Now,
        (listener, client): (u32, FiveTuple),
        at: usize,
        batch: &mut impl Batch,
    ) {
        match self.dtls.arrived(now.instant, (listener, client), batch.datagram(at)) {
            Arrival::Dropped(reason) => self.counters.dropped(reason),
            Arrival::Challenged(answer) => self.note_datagram(listener, client, &answer),
            Arrival::Taken => {}
            Arrival::Session(slot) => self.dtls_messages(now, slot, at, batch),
        }
    }

    /// Hands the engine what the datagram holds that has come for a session.
    fn dtls_messages(&mut self, now: Now, slot: SessionSlot, at: usize, batch: &mut impl Batch) {
        // Bytes at the front of the datagram that routes may point to.
        let mut noted = 0;
        while let Some((listener, path)) = self.dtls.path(slot) {
            let before = self.dtls.leaving().len();
            let read = self.dtls.read(now.instant, slot, &mut batch.datagram_mut(at)[noted..]);
            self.note_leaving(listener, path.five_tuple, before);
            match read {
                Read::Nothing => return,
                Read::Message(length) => {
                    if noted > 0 {
                        self.settle(now, |packet| batch.datagram(packet));
                        batch.datagram_mut(at).copy_within(noted..noted + length, 0);
                    }
                    noted = length;
                    if self.client(now, path, at, &mut batch.datagram_mut(at)[..length]) {
                        self.settle(now, |packet| batch.datagram(packet));
                    }
                }
                Read::End => {
                    // What is noted so far points into the batch.
                    self.settle(now, |packet| batch.datagram(packet));
                    self.dtls_gone(now, path);
                }
            }
        }
    }

    /// Ends every session, each with a word of it.
    pub(in crate::net) fn dtls_close_all(&mut self, now: Now) {
        for slot in self.dtls.slots() {
            self.dtls_close(now, slot);
        }
    }

    fn dtls_close(&mut self, now: Now, slot: SessionSlot) {
        let Some((listener, path)) = self.dtls.path(slot) else { return };
        let before = self.dtls.leaving().len();
        self.dtls.close(slot);
        self.note_leaving(listener, path.five_tuple, before);
        self.dtls_gone(now, path);
    }

    fn dtls_gone(&mut self, now: Now, path: ClientPath) {
        self.counters.dtls_sessions.sub(1);
        self.client_gone(now, path);
    }

    fn dtls_report(&mut self, now: Now, report: Report) {
        match report {
            Report::Flight { client, listener, flight } => {
                (0..flight.len()).for_each(|at| self.note_datagram(listener, client, flight.datagram(at)));
            }
            Report::Failed { client, id } => self.dtls.failed(client, id),
            Report::Done(done) => {
                let Some((slot, before, mut inbox)) = self.dtls.established(now.instant, *done) else {
                    return;
                };
                self.counters.dtls_sessions.add(1);
                if let Some(path) = before {
                    self.dtls_gone(now, path);
                }
                while let Ok(mut datagram) = inbox.try_recv() {
                    self.dtls.put(&datagram);
                    self.dtls_messages(now, slot, 0, &mut datagram);
                    self.settle(now, |_| &datagram);
                }
            }
        }
        self.flush(now, |_| &[]);
    }
}
