//! What goes over the network of a deployment: between clients, peers and the
//! server, and out of an attacker's hands.

use std::net::SocketAddr;
use std::time::Duration;

use floe::relay::{ClientAddr, ClientPath, FiveTuple, Link, ServerAddr, Transport};

use super::{Deployment, Event, Overheard};
use crate::caller::Phase;
use crate::letters::Letter;
use crate::world::{SERVER_V4, SERVER_V6, addr};

/// Packets that somebody on the way remembers.
const OVERHEARD: usize = 64;

impl Deployment {
    pub(super) fn lose(&mut self, letter: Option<Letter>) {
        letter.map(|letter| self.letters.drop_one(letter, false));
    }

    /// From the server to a client.
    pub(super) fn send_down(&mut self, to: FiveTuple, bytes: Vec<u8>, letter: Option<Letter>) {
        for delay in self.carry(to, false, letter) {
            self.agenda.plan(self.now() + delay, Event::ToCaller(to, bytes.clone(), letter));
        }
    }

    /// When each copy of a client's packet arrives; a stream's arrives once, behind
    /// what went before it.
    fn carry(&mut self, of: FiveTuple, up: bool, letter: Option<Letter>) -> Vec<Duration> {
        let copies = if of.transport.is_stream() {
            let at = self.now() + self.weather.delay(&mut self.random);
            let last = self.streams.entry((of, up)).or_default();
            *last = at.max(*last);
            vec![last.since(self.world.now.instant)]
        } else {
            self.weather.carry(&mut self.random)
        };
        letter.into_iter().for_each(|letter| self.letters.carried(letter, copies.len()));
        copies
    }

    /// From a client to the server, past whoever listens in.
    pub(super) fn send_up(&mut self, path: ClientPath, bytes: Vec<u8>, letter: Option<Letter>) {
        for delay in self.carry(path.five_tuple, true, letter) {
            self.agenda.plan(self.now() + delay, Event::ToServer(path, bytes.clone(), letter));
        }
        if path.five_tuple.transport == Transport::Udp {
            self.overheard.push_back(Overheard { path, bytes, letter });
            self.overheard.truncate(OVERHEARD.max(self.overheard.len() - 1));
            if self.overheard.len() > OVERHEARD {
                self.overheard.pop_front();
            }
        }
    }

    /// At a client, if it still sends from there.
    pub(super) fn deliver(&mut self, to: FiveTuple, bytes: &[u8], letter: Option<Letter>) {
        let Some(who) =
            self.at.get(&to).copied().filter(|who| self.callers[*who].client.path.five_tuple == to)
        else {
            return self.lose(letter);
        };
        if self.callers[who].phase == Phase::Gone {
            return self.lose(letter);
        }
        self.callers[who].hear(self.world.now.instant, bytes, &mut self.letters);
        self.listen_to(who);
    }

    /// A stream has ended; the server hears of it behind what it carried.
    pub(super) fn disconnected(&mut self, path: ClientPath) {
        let last = self.streams.get(&(path.five_tuple, true)).copied().unwrap_or_default();
        self.agenda.plan(last.max(self.now()), Event::Gone(path));
    }

    pub(super) fn post(&mut self, which: usize) {
        let from = self.peers[which].address;
        for (to, bytes, letter) in std::mem::take(&mut self.peers[which].out) {
            let copies = self.weather.carry(&mut self.random);
            self.letters.carried(letter, copies.len());
            for delay in copies {
                self.agenda.plan(self.now() + delay, Event::ToRelay(from, to, bytes.clone(), Some(letter)));
            }
        }
    }

    /// A packet of an attacker's reaches a listener.
    pub(crate) fn inject(&mut self, path: ClientPath, bytes: Vec<u8>, letter: Option<Letter>) {
        letter.into_iter().for_each(|letter| self.letters.replayed(letter));
        self.agenda.plan(self.now(), Event::ToServer(path, bytes, letter));
    }

    /// A packet of an attacker's reaches a relayed address.
    pub(crate) fn throw(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.agenda.plan(self.now(), Event::ToRelay(from, to, bytes, None));
    }

    /// The way of UDP packets that seem to come from here.
    pub(crate) fn path_from(&self, from: SocketAddr) -> ClientPath {
        let server = addr(if from.is_ipv4() { SERVER_V4 } else { SERVER_V6 });
        let (client, server) = (ClientAddr::new(from), ServerAddr::new(server));
        ClientPath::new(Link(0), FiveTuple { client, server, transport: Transport::Udp })
    }
}
