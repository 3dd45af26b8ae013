//! A whole deployment: the server's engines, everybody who sends to them, and the
//! network between, on one clock. What happens next is taken from the agenda until
//! nothing is left; the [`referee`](crate::referee) sees every packet go in and come
//! out.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::relay::{ClientPath, DropReason, Engine, FiveTuple, Instant, Outcome};
use foldhash::{HashMap, HashMapExt as _};

use crate::caller::{Caller, News, Wish};
use crate::letters::{Letter, Letters, Party, Sheet, letter_of};
use crate::network::{Agenda, CLEAR, Weather, chance};
use crate::peers::Peer;
use crate::referee::Referee;
use crate::world::{Crossing, Sent, Setup, SplitMix, Waiting, World};

mod cast;
mod ways;

/// Between two looks at every gauge and counter.
const CHECK: Duration = Duration::from_secs(2);
/// The longest that anything lasts once everybody has hung up: an allocation.
const AFTERMATH: Duration = Duration::from_secs(3_700);

/// Something that is going to happen.
enum Event {
    ToServer(ClientPath, Vec<u8>, Option<Letter>),
    ToCaller(FiveTuple, Vec<u8>, Option<Letter>),
    ToRelay(SocketAddr, SocketAddr, Vec<u8>, Option<Letter>),
    ToPeer(SocketAddr, SocketAddr, Vec<u8>, Letter),
    Ring,
    Bind(Waiting),
    /// An alarm, and for when it was set.
    Caller(usize, Instant),
    Peer(usize),
    Act(usize),
    Gone(ClientPath),
}

/// A client's packet, as somebody on the way has seen it.
#[derive(Clone)]
pub(crate) struct Overheard {
    pub(crate) path: ClientPath,
    pub(crate) bytes: Vec<u8>,
    pub(crate) letter: Option<Letter>,
}

/// Somebody, or something, that interferes: what it does, and how long until it does
/// the next thing; `None` when it is done.
pub(crate) type Deed = Box<dyn FnMut(&mut Deployment) -> Option<Duration>>;

pub(crate) struct Deployment {
    pub(crate) world: World,
    pub(crate) referee: Referee,
    pub(crate) letters: Letters,
    pub(crate) callers: Vec<Caller>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) weather: Weather,
    pub(crate) random: SplitMix,
    /// Packets that the engines were given.
    pub(crate) packets: u64,
    /// What went wrong for whom, in clear words.
    pub(crate) troubles: Vec<(Party, String)>,
    /// Words that the server has dropped between two that were both there.
    pub(crate) wronged: Vec<(Instant, Sheet, DropReason)>,
    pub(crate) overheard: VecDeque<Overheard>,
    /// How long a relay socket takes to be bound; `None` binds at once.
    pub(crate) bind_delay: Option<Duration>,
    /// Of 10,000 binds so many find their port taken, or fail.
    pub(crate) bind_mishaps: usize,
    /// Packets wait that long in a ring.
    pub(crate) ring_delay: Duration,
    /// Nobody talks any more from then on.
    pub(crate) closing: Instant,
    agenda: Agenda<Event>,
    deeds: Vec<Option<Deed>>,
    /// When each caller is woken next.
    alarms: Vec<Option<Instant>>,
    /// Who sends from where.
    at: HashMap<FiveTuple, usize>,
    /// Whose relay an address is, as far as its caller knows.
    pub(crate) relays: HashMap<SocketAddr, usize>,
    /// Callers who talk to each other.
    couples: BTreeMap<usize, usize>,
    /// Streams deliver in order: when the last thing arrives, each way.
    streams: HashMap<(FiveTuple, bool), Instant>,
    shards: usize,
    armed: Vec<Option<Instant>>,
    check_at: Instant,
    next_link: u32,
}

impl Deployment {
    pub(crate) fn new(setup: Setup) -> Self {
        let (shards, seed) = (usize::from(setup.shards), setup.seed);
        let referee = Referee::new(&setup, Instant::from_micros(1_000_000));
        let mut world = World::with(setup);
        if shards > 1 {
            world.ring_size = Some(64);
        }
        let now = world.now.instant;
        Self {
            world,
            referee,
            letters: Letters::default(),
            callers: Vec::new(),
            peers: Vec::new(),
            weather: CLEAR,
            random: SplitMix(seed ^ 0x5EED),
            packets: 0,
            troubles: Vec::new(),
            wronged: Vec::new(),
            overheard: VecDeque::new(),
            bind_delay: None,
            bind_mishaps: 0,
            ring_delay: Duration::from_micros(50),
            closing: Instant::from_micros(u64::MAX),
            agenda: Agenda::default(),
            deeds: Vec::new(),
            alarms: Vec::new(),
            at: HashMap::new(),
            relays: HashMap::new(),
            couples: BTreeMap::new(),
            streams: HashMap::new(),
            shards,
            armed: vec![None; shards],
            check_at: now + CHECK,
            next_link: 1 << 20,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now.instant
    }

    /// The kernel's flow hash.
    pub(crate) fn shard_of(&self, five_tuple: FiveTuple) -> usize {
        let last = match five_tuple.client.ip() {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[15],
        };
        (usize::from(last) ^ usize::from(five_tuple.client.port()).wrapping_mul(0x9E37) >> 8) % self.shards
    }

    /// From the start on, somebody interferes.
    pub(crate) fn interfere(&mut self, after: Duration, deed: Deed) {
        self.deeds.push(Some(deed));
        self.agenda.plan(self.now() + after, Event::Act(self.deeds.len() - 1));
    }

    /// Something at a certain time, once.
    pub(crate) fn at(&mut self, after: Duration, mut deed: impl FnMut(&mut Self) + 'static) {
        self.interfere(
            after,
            Box::new(move |deployment| {
                deed(deployment);
                None
            }),
        );
    }

    /// Everybody talks for so long, then hangs up, and nothing is left of it.
    pub(crate) fn run(&mut self, length: Duration) {
        self.closing = self.now() + length;
        for caller in &mut self.callers {
            // Some hang up in the middle.
            let early = chance(&mut self.random, 2_000);
            let at = if early {
                self.random.below(length.as_secs() as usize + 1) as u64
            } else {
                length.as_secs()
            };
            caller.hang_up = caller.hang_up.min(self.world.now.instant + Duration::from_secs(at));
        }
        for who in 0..self.callers.len() {
            self.arm(who);
        }
        self.go_on_until(self.closing);
        self.go_on_until(self.closing + AFTERMATH);
        self.end();
    }

    /// All that is on the agenda up to a time.
    fn go_on_until(&mut self, end: Instant) {
        loop {
            let event = self.agenda.next();
            let tick = self.armed.iter().flatten().min().copied();
            let Some(next) = [event, tick].into_iter().flatten().min().filter(|next| *next <= end) else {
                break;
            };
            self.turn_to(next);
            // After a pause both are late, and either may come first.
            let both_late = event.is_some_and(|at| at < self.now()) && tick.is_some_and(|at| at < self.now());
            let tick_first = if both_late { chance(&mut self.random, 5_000) } else { tick == Some(next) };
            if tick_first {
                self.tick();
            } else if let Some(event) = self.agenda.pop() {
                self.happen(event);
            }
            if self.now() >= self.check_at {
                self.check();
            }
        }
        self.turn_to(end);
        self.tick();
        self.check();
    }

    /// The clocks go on to this time; they may be past it after a pause.
    fn turn_to(&mut self, at: Instant) {
        let length = at.since(self.now());
        if !length.is_zero() {
            self.world.stall(length);
        }
    }

    /// The engines whose time has come are woken.
    fn tick(&mut self) {
        for shard in 0..self.shards {
            if self.armed[shard].is_some_and(|at| at <= self.now()) {
                self.world.expire_shard(shard);
                self.armed[shard] = self.world.engines[shard].next_timeout();
            }
        }
    }

    /// An engine's timers may have changed by a packet that another one has passed on.
    fn rearm(&mut self) {
        for (armed, engine) in self.armed.iter_mut().zip(&self.world.engines) {
            *armed = engine.next_timeout();
        }
    }

    fn check(&mut self) {
        self.check_at = self.now() + CHECK;
        if self.armed.iter().flatten().all(|at| *at > self.now()) {
            self.referee.model.wake(self.now());
        }
        self.referee.check(&self.world);
        self.letters.tidy();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToServer(path, bytes, letter) => self.serve(path, &bytes, letter),
            Event::ToCaller(five_tuple, bytes, letter) => self.deliver(five_tuple, &bytes, letter),
            Event::ToRelay(from, to, bytes, letter) => self.knock(from, to, &bytes, letter),
            Event::ToPeer(from, to, bytes, letter) => {
                match self.peers.iter().position(|peer| peer.address == to) {
                    Some(which) => {
                        self.peers[which].hear(from, &bytes, &mut self.letters);
                        self.post(which);
                    }
                    None => self.lose(Some(letter)),
                }
            }
            Event::Ring => self.uncross(),
            Event::Bind(waiting) => self.bind(waiting),
            Event::Caller(who, at) if self.alarms[who] != Some(at) => {}
            Event::Caller(who, _) => {
                self.alarms[who] = None;
                self.callers[who].wake(self.world.now.instant, &mut self.letters);
                self.listen_to(who);
            }
            Event::Peer(which) => {
                if self.now() < self.closing {
                    self.peers[which].wake(self.world.now.instant, &mut self.letters);
                    self.post(which);
                    self.agenda.plan(self.peers[which].next_wake, Event::Peer(which));
                }
            }
            Event::Act(which) => self.act(which),
            Event::Gone(path) => {
                let shard = self.shard_of(path.five_tuple);
                let reader = self.world.reader(shard, path.five_tuple);
                self.world.gone(shard, path);
                self.referee.gone(path.five_tuple, reader, self.world.now.instant);
                self.at.remove(&path.five_tuple);
                self.rearm();
            }
        }
    }

    fn act(&mut self, which: usize) {
        let Some(mut deed) = self.deeds[which].take().filter(|_| self.now() < self.closing) else { return };
        if let Some(pause) = deed(self) {
            self.deeds[which] = Some(deed);
            self.agenda.plan(self.now() + pause, Event::Act(which));
        }
    }

    /// A client's packet at a listener.
    fn serve(&mut self, path: ClientPath, bytes: &[u8], letter: Option<Letter>) {
        // A stream that has ended carries nothing more.
        if path.five_tuple.transport.is_stream() && !self.at.contains_key(&path.five_tuple) {
            return self.lose(letter);
        }
        let shard = self.shard_of(path.five_tuple);
        self.packets += 1;
        self.world.hold_binds = self.bind_delay.is_some();
        let waiting = self.world.waiting.len();
        let sent = self.world.client(shard, path, bytes);
        self.referee.client(&self.world, shard, path.five_tuple, bytes, &sent);
        for (five_tuple, relayed) in std::mem::take(&mut self.referee.given) {
            self.given(five_tuple, relayed);
        }
        self.plan_binds(waiting);
        let honest = self.at.get(&path.five_tuple).is_some_and(|who| self.callers[*who].client.path == path);
        self.follow(sent, letter, honest);
        self.rearm();
    }

    /// A peer's packet at a relay socket.
    fn knock(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], letter: Option<Letter>) {
        self.packets += 1;
        let sent = self.world.peer(from, to, bytes);
        self.referee.peer(self.world.now, from, to, bytes, sent.as_ref());
        match sent {
            Some(sent) => self.follow(sent, letter, true),
            // Nobody listens there.
            None => self.lose(letter),
        }
    }

    fn uncross(&mut self) {
        let Some((crossing, sent)) = self.world.arrive() else { return };
        self.packets += 1;
        self.referee.crossed(self.world.now, &crossing, &sent);
        let Crossing { payload, .. } = crossing;
        self.follow(sent, letter_of(&payload), true);
    }

    /// The server has given a caller this relayed address; he may never hear of it.
    fn given(&mut self, five_tuple: FiveTuple, relayed: SocketAddr) {
        if let Some(who) = self.at.get(&five_tuple) {
            self.letters.lives(self.callers[*who].party, relayed);
        }
    }

    fn plan_binds(&mut self, before: usize) {
        let Some(delay) = self.bind_delay else { return };
        for at in before..self.world.waiting.len() {
            let jitter = self.random.below(delay.as_micros() as usize + 1) as u64;
            let at_time = self.now() + Duration::from_micros(jitter);
            self.agenda.plan(at_time, Event::Bind(self.world.waiting[at]));
        }
    }

    fn bind(&mut self, waiting: Waiting) {
        let outcome = match chance(&mut self.random, self.bind_mishaps) {
            false => Outcome::Bound,
            true if chance(&mut self.random, 8_000) => Outcome::PortTaken,
            true => Outcome::Failed,
        };
        let before = self.world.waiting.len() - 1;
        let sent = self.world.finish(waiting, outcome);
        self.referee.finished(&self.world, waiting, outcome, &sent);
        for (five_tuple, relayed) in std::mem::take(&mut self.referee.given) {
            self.given(five_tuple, relayed);
        }
        self.plan_binds(before);
        self.follow(sent, None, true);
        self.rearm();
    }

    /// Where a packet goes that has come out of the server. `letter` is what went in,
    /// `honest` who says it sends it.
    fn follow(&mut self, sent: Sent, letter: Option<Letter>, honest: bool) {
        match sent {
            Sent::Nothing => assert_eq!(letter, None, "a letter is not kept"),
            Sent::Reply(to, bytes) => {
                assert_eq!(letter, None, "a letter is no request");
                self.send_down(to, bytes, None);
            }
            Sent::ToClient(to, bytes) => self.send_down(to, bytes, Some(letter.expect("something was said"))),
            Sent::ToPeer(from, to, payload) => {
                assert_eq!(letter_of(&payload), letter, "what came in goes out");
                let letter = letter.expect("something was said");
                let copies = self.weather.carry(&mut self.random);
                self.letters.carried(letter, copies.len());
                for delay in copies {
                    self.agenda.plan(self.now() + delay, Event::ToPeer(from, to, payload.clone(), letter));
                }
            }
            Sent::ToShard(_) => self.agenda.plan(self.now() + self.ring_delay, Event::Ring),
            Sent::Dropped(reason) => {
                let Some(letter) = letter else { return };
                let sheet = self.letters.drop_one(letter, true);
                let both_there = match sheet.from {
                    Party::Caller(who) => self.callers[who].is_up(),
                    Party::Peer(_) => true,
                } && self.relays.get(&sheet.to).is_none_or(|who| self.callers[*who].is_up());
                if both_there && honest {
                    self.wronged.push((self.now(), sheet, reason));
                }
            }
        }
    }

    /// What a caller has left to be sent and told.
    fn listen_to(&mut self, who: usize) {
        for (path, bytes, letter) in std::mem::take(&mut self.callers[who].out) {
            self.send_up(path, bytes, letter);
        }
        for news in std::mem::take(&mut self.callers[who].news) {
            match news {
                News::Moved => self.moved(who),
                News::Relayed(addresses) => self.relayed(who, &addresses),
                News::Token(token) => self.second(who, token),
                News::Disconnected(path) => self.disconnected(path),
                News::Trouble(what) => self.troubles.push((Party::Caller(who), what)),
            }
        }
        self.arm(who);
    }

    /// A stream breaks off, and its client connects anew.
    pub(crate) fn break_connection(&mut self, who: usize) {
        self.callers[who].lose_connection(self.world.now.instant);
        self.listen_to(who);
    }

    fn arm(&mut self, who: usize) {
        let Some(at) = self.callers[who].next_wake().map(|at| at.max(self.now())) else { return };
        if self.alarms[who].is_none_or(|alarm| at < alarm) {
            self.alarms[who] = Some(at);
            self.agenda.plan(at, Event::Caller(who, at));
        }
    }

    /// A caller sends from its address; from another than before, perhaps.
    pub(crate) fn moved(&mut self, who: usize) {
        let path = self.callers[who].client.path;
        let shard = self.shard_of(path.five_tuple);
        self.callers[who].client.shard = shard;
        self.at.insert(path.five_tuple, who);
        let client = self.callers[who].client.clone();
        self.referee.knows(&client, self.now());
    }

    /// A client's network gives it another address, and it sees that: it goes on with
    /// its allocation where it has a ticket, else it begins anew.
    pub(crate) fn roam(&mut self, who: usize) {
        self.callers[who].roam(self.world.now.instant);
        self.listen_to(who);
    }

    /// Signaling: whoever talks to this caller hears of its relays.
    fn relayed(&mut self, who: usize, addresses: &[SocketAddr]) {
        for address in addresses {
            self.relays.insert(*address, who);
            let partners: Vec<_> = self.callers[who].partners.iter().map(|partner| partner.address).collect();
            for peer in self.peers.iter_mut().filter(|peer| partners.contains(&peer.address)) {
                if peer.address.is_ipv4() == address.is_ipv4() {
                    peer.friends.push(*address);
                    // It forgets the oldest.
                    if peer.friends.len() > 16 {
                        peer.friends.remove(0);
                    }
                }
            }
            if let Some(other) = self.couples.get(&who) {
                self.callers[*other].meet(*address);
                self.arm(*other);
            }
        }
    }

    /// A second client of the same user's, for the port held beside the first's.
    fn second(&mut self, who: usize, token: [u8; 8]) {
        let (name, manner) = (self.callers[who].client.name.clone(), self.callers[who].manner);
        let second = self.caller(&name, manner);
        let partners = self.callers[who].partners.clone();
        let hang_up = self.callers[who].hang_up;
        let caller = &mut self.callers[second];
        (caller.wish, caller.hang_up) = (Wish::Token(token), hang_up);
        partners.into_iter().for_each(|partner| caller.meet(partner.address));
        self.arm(second);
    }

    /// The server stops: it ends what there is.
    pub(crate) fn stop(&mut self) {
        self.world.close_all();
        self.referee.model.close_all();
        self.rearm();
    }

    /// From now on the server takes nobody in.
    pub(crate) fn drain(&mut self) {
        self.world.engines.iter_mut().for_each(Engine::drain);
        self.referee.model.draining = true;
    }

    /// The machine sleeps, or is kept from working: both clocks go on, and nobody
    /// wakes the engines.
    pub(crate) fn pause(&mut self, length: Duration) {
        self.world.stall(length);
    }

    /// Everything has ended: the state of a server before its first packet.
    fn end(&mut self) {
        self.letters.assert_settled();
        assert_eq!(self.agenda.next(), None, "something is still to happen");
        self.world.assert_empty();
        self.world.assert_no_timer();
    }
}
