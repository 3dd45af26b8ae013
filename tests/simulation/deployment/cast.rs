//! Who takes part in a deployment, and how they came off.

use std::time::Duration;

use floe::relay::Link;

use super::{Deployment, Event};
use crate::caller::{Caller, Phase};
use crate::client::Client;
use crate::letters::{Party, Sheet};
use crate::manners::{ALL, Manner};
use crate::peers::Peer;
use crate::world::addr;

impl Deployment {
    /// A new client of this user's, who calls at some time in the next seconds.
    pub(crate) fn caller(&mut self, name: &str, manner: Manner) -> usize {
        let who = self.callers.len();
        let ip = format!("100.64.{}.{}", who / 250, who % 250 + 1);
        let client = Client::new(name, &format!("{ip}:{}", 2_000 + who));
        self.add_caller(client, manner)
    }

    pub(crate) fn tcp_caller(&mut self, name: &str, manner: Manner) -> usize {
        let who = self.callers.len();
        let mut client =
            Client::new(name, &format!("100.64.{}.{}:{}", who / 250, who % 250 + 1, 2_000 + who));
        client = client.over_tcp();
        self.next_link += 1 << 10;
        client.path.link = Link(self.next_link);
        self.add_caller(client, manner)
    }

    pub(crate) fn v6_caller(&mut self, name: &str, manner: Manner) -> usize {
        let who = self.callers.len();
        let client = Client::new(name, &format!("[2001:db8:64::{:x}]:{}", who + 1, 2_000 + who));
        self.add_caller(client, manner)
    }

    fn add_caller(&mut self, client: Client, manner: Manner) -> usize {
        let who = self.callers.len();
        let mut caller = Caller::new(Party::Caller(who), client, manner, self.random.next());
        let start = self.now() + Duration::from_millis(self.random.below(5_000) as u64);
        caller.phase = Phase::Idle(start);
        caller.pace = Duration::from_millis(100 + self.random.below(900) as u64);
        self.callers.push(caller);
        self.alarms.push(None);
        self.moved(who);
        self.arm(who);
        who
    }

    pub(crate) fn peer(&mut self, address: &str) -> usize {
        let which = self.peers.len();
        let mut peer = Peer::new(Party::Peer(which), addr(address), self.random.next());
        peer.pace = Duration::from_millis(100 + self.random.below(900) as u64);
        self.letters.lives(peer.party, peer.address);
        self.agenda.plan(self.now() + peer.pace, Event::Peer(which));
        self.peers.push(peer);
        which
    }

    /// A caller and a peer are to talk.
    pub(crate) fn introduce(&mut self, caller: usize, peer: usize) {
        let address = self.peers[peer].address;
        self.callers[caller].meet(address);
    }

    /// Two callers are to talk, relay to relay.
    pub(crate) fn couple(&mut self, one: usize, other: usize) {
        self.couples.insert(one, other);
        self.couples.insert(other, one);
    }

    /// Callers of every kind, three by three, who talk to as many peers; who they are.
    pub(crate) fn usual_calls(&mut self, count: usize) -> Vec<usize> {
        let peers: Vec<_> =
            (1..=count.div_ceil(3)).map(|n| self.peer(&format!("203.0.113.{n}:9000"))).collect();
        let names = ["alice", "bob", "alice"];
        let caller = |n: usize| {
            let caller = self.caller(names[n % 3], ALL[n % ALL.len()]);
            self.introduce(caller, peers[n / 3]);
            caller
        };
        (0..count).map(caller).collect()
    }

    /// Each of these has been talked to.
    pub(crate) fn assert_heard(&self, callers: &[usize]) {
        for who in callers {
            let Caller { heard, manner, partners, .. } = &self.callers[*who];
            assert!(*heard > 0, "caller {who} ({}) has heard nothing: {partners:?}", manner.name);
        }
    }

    /// No word of or to one of these was dropped, and none has had trouble.
    pub(crate) fn assert_untroubled(&self, callers: &[usize]) {
        let of = |party: &Party| callers.iter().any(|who| *party == Party::Caller(*who));
        let troubles: Vec<_> = self.troubles.iter().filter(|(party, _)| of(party)).collect();
        assert!(troubles.is_empty(), "{troubles:?}");
        let wronged = |sheet: &Sheet| {
            of(&sheet.from) || self.relays.get(&sheet.to).is_some_and(|who| callers.contains(who))
        };
        let wronged: Vec<_> = self.wronged.iter().filter(|(_, sheet, _)| wronged(sheet)).collect();
        assert!(wronged.is_empty(), "{wronged:?}");
    }
}
