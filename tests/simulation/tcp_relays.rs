//! TCP relays (RFC 6062) over several shards: control connections ask for peers and
//! hear of them, data connections come in at whatever shard the kernel chooses and
//! are passed on to the one that can bind them, while either side hangs up, thieves
//! try the ids of others, and control connections break. Who is joined talks to whom
//! he wanted to talk to; in the end every connection is closed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use floe::relay::{ConnectionId, Effect, EffectId, Link, Outcome};
use floe::wire::{AttributeType, Class, Message, Method};

use crate::client::{Answer, Client, Request};
use crate::network::{Agenda, Weather, chance};
use crate::story::tell;
use crate::world::{Sent, Setup, SplitMix, World, addr};

const WEATHER: Weather = Weather { lost: 0, repeated: 0, delay: (1, 80) };
const USERS: [&str; 3] = ["alice", "bob", "carol"];

enum Event {
    /// A control connection does something new, and will do so again.
    Act(usize),
    /// A request reaches the shard where its connection is.
    ToServer(Way, usize, Vec<u8>),
    /// A message reaches a control or data connection.
    ToClient(Way, Vec<u8>),
    /// A peer's kernel answers, or it does not.
    Connected(usize, EffectId, Outcome),
    HangUp(ConnectionId),
}

/// A connection of a client's: a control connection, or one for data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Way {
    Control(usize),
    Data(usize),
}

/// Somebody with a control connection.
struct Control {
    client: Client,
    relayed: SocketAddr,
    /// Whom each Connect was for, by its transaction.
    asked: BTreeMap<[u8; 12], SocketAddr>,
}

/// A connection that is to be, or is, joined to a peer's.
struct Data {
    client: Client,
    id: ConnectionId,
    /// Whom it is to reach; `None` for a thief's, which is to reach nobody.
    wanted: Option<SocketAddr>,
    joined: bool,
}

/// A connection to a peer, as the shard's sockets have it.
struct Open {
    shard: usize,
    peer: SocketAddr,
    /// Whose allocation it belongs to.
    owner: String,
}

struct Deployment {
    world: World,
    agenda: Agenda<Event>,
    random: SplitMix,
    controls: Vec<Control>,
    data: Vec<Data>,
    open: BTreeMap<ConnectionId, Open>,
    passed_on: u64,
    joined: u64,
    refused: u64,
}

// C-008 C-013 C-014 C-018 H-052
#[test]
fn data_connections_meet_whom_they_are_for() {
    tell("data_connections_meet_whom_they_are_for", 3, |seed| {
        let mut deployment = Deployment::new(seed);
        deployment.run(Duration::from_secs(600));
        let Deployment { passed_on, joined, refused, .. } = deployment;
        assert!(passed_on > 10 && joined > 50 && refused > 10, "{passed_on} {joined} {refused}");
    });
}

impl Deployment {
    fn new(seed: u64) -> Self {
        let mut setup = Setup { seed, shards: 3, ..Setup::default() };
        setup.settings.tcp_relay = true;
        setup.settings.data_connections_per_user = 24;
        let mut world = World::with(setup);
        let mut random = SplitMix(seed ^ 0x7C9);
        let mut agenda = Agenda::default();
        let control = |n: usize| {
            let client = Client::new(USERS[n % 3], &format!("192.0.2.{}:4000", n + 1)).over_tcp();
            let mut client = client.on_shard(n % 3);
            client.path.link = Link(n as u32 + 1);
            let relayed = allocate(&mut world, &mut client);
            let start = world.now.instant + WEATHER.delay(&mut random);
            agenda.plan(start, Event::Act(n));
            Control { client, relayed, asked: BTreeMap::new() }
        };
        let controls = (0..6).map(control).collect();
        Self {
            world,
            agenda,
            random,
            controls,
            data: Vec::new(),
            open: BTreeMap::new(),
            passed_on: 0,
            joined: 0,
            refused: 0,
        }
    }

    fn run(&mut self, length: Duration) {
        let end = self.world.now.instant + length;
        while let Some(at) = self.agenda.next() {
            self.world.pass(at.since(self.world.now.instant));
            self.carry_out();
            match self.agenda.pop() {
                // Nobody begins anything after the end.
                Some(Event::Act(_)) if self.world.now.instant >= end => {}
                Some(event) => self.happen(event),
                None => {}
            }
            self.carry_out();
            let counted: u64 =
                self.world.counters.iter().map(|counters| counters.data_connections.get()).sum();
            assert!(counted >= self.open.len() as u64, "an open connection that is not counted");
        }
        self.world.close_all();
        self.carry_out();
        assert!(self.open.is_empty(), "connections that nobody closes");
        let counted: u64 = self.world.counters.iter().map(|counters| counters.data_connections.get()).sum();
        assert_eq!(counted, 0);
        self.world.assert_empty_for_good();
    }

    fn plan(&mut self, event: Event) {
        let delay = WEATHER.delay(&mut self.random);
        self.agenda.plan(self.world.now.instant + delay, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Act(who) => {
                self.act(who);
                let pause = Duration::from_millis(200 + self.random.below(1_500) as u64);
                self.agenda.plan(self.world.now.instant + pause, Event::Act(who));
            }
            Event::ToServer(way, shard, bytes) => self.serve(way, shard, bytes),
            Event::ToClient(Way::Control(who), bytes) => self.hear(who, &bytes),
            Event::ToClient(Way::Data(which), bytes) => self.bound(which, &bytes),
            Event::Connected(shard, id, outcome) => {
                let EffectId::Connection(connection) = id else { unreachable!() };
                if outcome != Outcome::Connected {
                    self.open.remove(&connection);
                }
                let sent = self.world.connected(shard, id, outcome);
                self.reply(sent);
            }
            Event::HangUp(id) => {
                if let Some(Open { shard, .. }) = self.open.remove(&id) {
                    self.world.engines[shard].peer_connection_closed(id);
                }
            }
        }
    }

    /// One thing that a client, or somebody around it, does.
    fn act(&mut self, who: usize) {
        let peers = ["203.0.113.1:80", "203.0.113.2:80", "203.0.113.3:443", "203.0.113.3:80"];
        let peer = addr(peers[self.random.below(peers.len())]);
        match self.random.below(20) {
            0..=8 => self.ask(who, Request::new(Method::CONNECT).peer(peer), Some(peer)),
            9 => self.ask(who, Request::create_permission(&[peer]), None),
            10 => self.ask(who, Request::refresh().lifetime(600), None),
            11..=13 => self.peer_connects(who, peer),
            14 | 15 => self.steal(who),
            16 | 17 => {
                let at = self.random.below(self.open.len().max(1));
                if let Some(id) = self.open.keys().nth(at).copied() {
                    self.plan(Event::HangUp(id));
                }
            }
            18 if chance(&mut self.random, 1_000) => {
                let Client { shard, path, .. } = self.controls[who].client;
                self.world.gone(shard, path);
                // It connects anew.
                let client = &mut self.controls[who].client;
                let port = client.path.five_tuple.client.port() + 1;
                let ip = client.path.five_tuple.client.ip();
                client.path.five_tuple.client = floe::relay::ClientAddr::new(SocketAddr::new(ip, port));
                client.path.link = Link(client.path.link.0 + 100);
                self.carry_out();
                self.controls[who].relayed = allocate(&mut self.world, &mut self.controls[who].client);
            }
            _ => {}
        }
    }

    fn ask(&mut self, who: usize, request: Request, peer: Option<SocketAddr>) {
        let control = &mut self.controls[who];
        let bytes = control.client.sign(&request);
        peer.map(|peer| control.asked.insert(bytes[8..20].try_into().unwrap(), peer));
        let shard = control.client.shard;
        self.plan(Event::ToServer(Way::Control(who), shard, bytes));
    }

    fn peer_connects(&mut self, who: usize, peer: SocketAddr) {
        let Some((shard, id, sent)) = self.world.peer_connects(peer, self.controls[who].relayed) else {
            return;
        };
        match id {
            Some(id) => {
                let owner = self.controls[who].client.name.clone();
                assert!(self.open.insert(id, Open { shard, peer, owner }).is_none());
                self.reply(sent);
            }
            None => assert_eq!(sent, Sent::Nothing),
        }
    }

    /// Somebody of another name has overheard an id, or guesses.
    fn steal(&mut self, who: usize) {
        let at = self.random.below(self.open.len().max(1));
        let id = self.open.keys().nth(at).copied().unwrap_or(ConnectionId(self.random.next() as u32));
        let thief = self.controls[who].client.clone();
        if self.open.get(&id).is_none_or(|open| open.owner != thief.name) {
            self.bind(thief, id, None);
        }
    }

    /// A new connection from the same host, which comes in at any shard.
    fn bind(&mut self, mut client: Client, id: ConnectionId, wanted: Option<SocketAddr>) {
        let which = self.data.len();
        let ip = client.path.five_tuple.client.ip();
        let from = SocketAddr::new(ip, 20_000 + (which % 40_000) as u16);
        client.path.five_tuple.client = floe::relay::ClientAddr::new(from);
        client.path.link = Link(100_000 + which as u32);
        client.shard = self.random.below(3);
        let request =
            Request::new(Method::CONNECTION_BIND).with(AttributeType::CONNECTION_ID, &id.0.to_be_bytes());
        let bytes = client.sign(&request);
        self.plan(Event::ToServer(Way::Data(which), client.shard, bytes));
        self.data.push(Data { client, id, wanted, joined: false });
    }

    fn serve(&mut self, way: Way, shard: usize, bytes: Vec<u8>) {
        let path = match way {
            Way::Control(who) => self.controls[who].client.path,
            Way::Data(which) => self.data[which].client.path,
        };
        let before = self.world.tcp.len();
        let sent = self.world.client(shard, path, &bytes);
        if let Some((_, Effect::PassOn { client, shard: other })) = self.world.tcp.get(before) {
            assert_eq!((*client, &sent), (path, &Sent::Nothing));
            let other = usize::from(other.0);
            assert_ne!(other, shard, "it would go round for ever");
            self.world.tcp.truncate(before);
            self.passed_on += 1;
            // The same message is read again there.
            return self.plan(Event::ToServer(way, other, bytes));
        }
        self.reply(sent);
    }

    fn reply(&mut self, sent: Sent) {
        let (to, bytes) = match sent {
            Sent::Reply(to, bytes) => (to, bytes),
            Sent::Nothing => return,
            other => panic!("{other:?}"),
        };
        let control = self.controls.iter().position(|control| control.client.path.five_tuple == to);
        let data = self.data.iter().rposition(|data| data.client.path.five_tuple == to);
        if let Some(way) = control.map(Way::Control).or(data.map(Way::Data)) {
            self.plan(Event::ToClient(way, bytes));
        }
    }

    /// Something on a control connection.
    fn hear(&mut self, who: usize, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        let id = message
            .get(AttributeType::CONNECTION_ID)
            .map(|id| ConnectionId(u32::from_be_bytes(id.try_into().unwrap())));
        let control = &mut self.controls[who];
        let peer = match (message.class(), message.method()) {
            (Class::Indication, Method::CONNECTION_ATTEMPT) => {
                Some(message.xor_address(AttributeType::XOR_PEER_ADDRESS).unwrap().unwrap())
            }
            (_, Method::CONNECT) => control.asked.remove(&message.transaction_id().0),
            _ => return,
        };
        // Of an allocation that its control connection has left, or a refusal.
        let (Some(id), Some(peer)) = (id, peer) else { return };
        if chance(&mut self.random, 9_000) {
            let client = self.controls[who].client.clone();
            self.bind(client, id, Some(peer));
        }
    }

    /// The answer to a ConnectionBind.
    fn bound(&mut self, which: usize, bytes: &[u8]) {
        let data = &self.data[which];
        let code = Answer { bytes: bytes.to_vec() }.code();
        assert_eq!(code == 0, data.joined, "told {code}");
        self.refused += u64::from(code != 0);
    }

    /// What the engines want done with connections.
    fn carry_out(&mut self) {
        for (shard, effect) in std::mem::take(&mut self.world.tcp) {
            match effect {
                Effect::ConnectPeer { id, connection, peer, local, .. } => {
                    let peer = peer.socket();
                    let asks = |control: &&Control| control.relayed.port() == local.port();
                    let owner =
                        self.controls.iter().find(asks).expect("somebody has this relay").client.name.clone();
                    assert!(self.open.insert(connection, Open { shard, peer, owner }).is_none());
                    let outcome = match self.random.below(10) {
                        0 => Outcome::Refused,
                        // It never answers: the engine gives it up.
                        1 => continue,
                        _ => Outcome::Connected,
                    };
                    self.plan(Event::Connected(shard, id, outcome));
                }
                Effect::GiveUpConnect { id, connection } => {
                    self.open.remove(&connection).expect("it was being made");
                    let sent = self.world.connected(shard, id, Outcome::NoAnswer);
                    self.reply(sent);
                }
                Effect::ClosePeer { connection } => {
                    // A peer may have hung up, or refused, at the same time.
                    self.open.remove(&connection);
                }
                Effect::Join { client, connection, peer, .. } => {
                    let joining = self.data.iter_mut().rfind(|data| data.client.path == client).unwrap();
                    let open = &self.open[&connection];
                    assert_eq!(
                        (joining.id, joining.wanted),
                        (connection, Some(open.peer)),
                        "joined to another"
                    );
                    assert_eq!((open.peer, open.shard), (peer.socket(), shard));
                    assert!(!joining.joined, "joined twice");
                    joining.joined = true;
                    self.joined += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A TCP allocation on a connection of its own.
fn allocate(world: &mut World, client: &mut Client) -> SocketAddr {
    client.nonce.clear();
    let request = Request::new(Method::ALLOCATE).with(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    client.allocate_as(world, &request.lifetime(3600))
}
