//! A simulated client of the server, as real ones are: it logs in, repeats what is
//! not answered (RFC 8489 §6.2.1), renews what would expire, gets over stale nonces
//! and lost allocations, talks to its partners, and hangs up.

use std::net::SocketAddr;
use std::time::Duration;

use floe::relay::{ClientAddr, ClientPath, Instant, Link};
use floe::wire::{AttributeType, Class, Message, Method, TransactionId, channel_data};

use crate::client::{Answer, Client, Request, Signing, frame};
use crate::letters::{Letter, Letters, Party, Sheet};
use crate::manners::Manner;
use crate::network::chance;
use crate::world::{REALM, SplitMix};

/// Transmissions of one request, and how long the last is waited for, in RTOs.
const TRANSMISSIONS: u32 = 7;
const LAST_WAIT: u32 = 16;
/// RFC 8489 §6.2.2
const STREAM_TIMEOUT: Duration = Duration::from_millis(39_500);
/// After an allocation was refused.
const BACK_OFF: Duration = Duration::from_secs(8);

/// What the Allocate asks for beyond a relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    Plain,
    V6,
    Both,
    Even,
    /// An even port and the next one, for which a second client comes.
    Pair,
    Token([u8; 8]),
}

/// Where a client is with its allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Until then it does nothing.
    Idle(Instant),
    /// It logs in and allocates.
    Calling,
    /// It has an allocation, to be refreshed then.
    Up(Instant),
    /// It has hung up.
    Gone,
}

/// What somebody else has to know of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// It sends from another address from now on.
    Moved,
    /// It was given these relayed addresses.
    Relayed(Vec<SocketAddr>),
    /// It has a token for a second client.
    Token([u8; 8]),
    /// This connection of its has ended.
    Disconnected(ClientPath),
    /// Something that should not happen to an honest client in clear weather.
    Trouble(String),
}

/// Bytes for the server, the way they go, and the letter in them.
pub(crate) type Outgoing = (ClientPath, Vec<u8>, Option<Letter>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Purpose {
    Allocate,
    Refresh,
    /// For these partners.
    Permit(Vec<SocketAddr>),
    Bind(u16, SocketAddr),
    /// To go on from another address (RFC 8016).
    Move,
    Delete,
}

struct Transaction {
    id: TransactionId,
    purpose: Purpose,
    request: Request,
    bytes: Vec<u8>,
    sent: u32,
    rto: Duration,
    again: Instant,
    stale: u8,
}

/// Somebody a client talks to.
#[derive(Clone, Debug)]
pub(crate) struct Partner {
    pub(crate) address: SocketAddr,
    /// When its permission was last granted.
    permitted: Option<Instant>,
    channel: Option<(u16, Instant)>,
    /// The server will not relay to it.
    refused: bool,
}

pub(crate) struct Caller {
    pub(crate) party: Party,
    pub(crate) client: Client,
    pub(crate) manner: Manner,
    pub(crate) wish: Wish,
    /// The one family of two that it refreshes.
    pub(crate) keeps: Option<u8>,
    pub(crate) phase: Phase,
    pub(crate) partners: Vec<Partner>,
    /// Between two things it says.
    pub(crate) pace: Duration,
    pub(crate) hang_up: Instant,
    /// Payloads that it has heard.
    pub(crate) heard: u64,
    pub(crate) news: Vec<News>,
    pub(crate) out: Vec<Outgoing>,
    transactions: Vec<Transaction>,
    talk_at: Instant,
    next_channel: u16,
    /// Every channel that it has asked for on this socket.
    channels: Vec<(u16, SocketAddr)>,
    /// By which it may move.
    ticket: Option<Vec<u8>>,
    retries: u32,
    random: SplitMix,
}

impl Caller {
    pub(crate) fn new(party: Party, client: Client, manner: Manner, seed: u64) -> Self {
        let signing = manner.signing;
        Self {
            party,
            client: client.signing(signing),
            manner,
            wish: Wish::Plain,
            keeps: None,
            phase: Phase::Idle(Instant::default()),
            partners: Vec::new(),
            pace: Duration::from_millis(500),
            hang_up: Instant::from_micros(u64::MAX),
            heard: 0,
            news: Vec::new(),
            out: Vec::new(),
            transactions: Vec::new(),
            talk_at: Instant::default(),
            next_channel: 0x4000,
            channels: Vec::new(),
            ticket: None,
            retries: 0,
            random: SplitMix(seed),
        }
    }

    /// Somebody to talk to, by signaling.
    pub(crate) fn meet(&mut self, address: SocketAddr) {
        let known = self.partners.iter().any(|partner| partner.address == address);
        if !known && self.partners.len() < 8 {
            self.partners.push(Partner { address, permitted: None, channel: None, refused: false });
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up(_))
    }

    fn is_stream(&self) -> bool {
        self.client.path.five_tuple.transport.is_stream()
    }

    /// When it has something to do next.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let again = self.transactions.iter().map(|transaction| transaction.again);
        let phase = match self.phase {
            Phase::Idle(until) => Some(until.min(self.hang_up)),
            Phase::Calling => Some(self.hang_up),
            Phase::Up(_) if self.is_asking(|purpose| *purpose == Purpose::Move) => Some(self.hang_up),
            Phase::Up(refresh) => Some(self.talk_at.min(self.hang_up).min(refresh.max(self.talk_at))),
            Phase::Gone => None,
        };
        again.chain(phase).min()
    }

    /// Does all that is due.
    pub(crate) fn wake(&mut self, now: Instant, letters: &mut Letters) {
        self.repeat(now);
        if self.phase != Phase::Gone && now >= self.hang_up {
            return self.end(now);
        }
        match self.phase {
            Phase::Idle(until) if now >= until => self.call(now),
            // It has nothing here yet.
            Phase::Up(_) if self.is_asking(|purpose| *purpose == Purpose::Move) => {}
            Phase::Up(refresh) => {
                if now >= refresh && !self.is_asking(|purpose| *purpose == Purpose::Refresh) {
                    let request = self.with_lifetime(Request::refresh());
                    let request = self.keeps.map_or(request.clone(), |family| request.family(family));
                    self.ask(now, Purpose::Refresh, request);
                }
                self.renew(now);
                if now >= self.talk_at {
                    self.talk(letters);
                    let jitter = self.random.below(self.pace.as_micros() as usize / 2 + 1) as u64;
                    self.talk_at = now + self.pace * 3 / 4 + Duration::from_micros(jitter);
                }
            }
            _ => {}
        }
    }

    fn call(&mut self, now: Instant) {
        self.phase = Phase::Calling;
        self.client.nonce.clear();
        let mut request = self.with_lifetime(Request::allocate());
        request = match self.wish {
            Wish::Plain => request,
            Wish::V6 => request.family(2),
            Wish::Both => request.additional(2),
            Wish::Even => request.even_port(0),
            Wish::Pair => request.even_port(0x80),
            Wish::Token(token) => request.token(&token),
        };
        if self.manner.roams {
            request = request.ticket(&[]);
        }
        self.ask(now, Purpose::Allocate, request);
    }

    fn with_lifetime(&self, request: Request) -> Request {
        match self.manner.lifetime {
            Some(lifetime) => request.lifetime(lifetime),
            None => request,
        }
    }

    /// Asks for permissions and channels that it lacks or that are old.
    fn renew(&mut self, now: Instant) {
        let is_old = |since: Option<Instant>, age: Duration| since.is_none_or(|at| now.since(at) >= age);
        if let Some(age) = self.manner.permissions
            && !self.is_asking(|purpose| matches!(purpose, Purpose::Permit(_)))
        {
            let bound_is_enough = self.manner.channel_is_enough;
            let wanted = |partner: &&Partner| {
                !partner.refused
                    && is_old(partner.permitted, age)
                    && !(bound_is_enough && partner.channel.is_some())
            };
            let due: Vec<_> = self.partners.iter().filter(wanted).map(|partner| partner.address).collect();
            if !due.is_empty() {
                self.ask(now, Purpose::Permit(due.clone()), Request::create_permission(&due));
            }
        }
        let Some(age) = self.manner.channels else { return };
        if self.is_asking(|purpose| matches!(purpose, Purpose::Bind(..))) {
            return;
        }
        let due = |partner: &&mut Partner| !partner.refused && is_old(partner.channel.map(|c| c.1), age);
        if let Some(partner) = self.partners.iter_mut().find(due) {
            let address = partner.address;
            // It may have been bound by a request whose answer was lost.
            let asked_for = self.channels.iter().find(|channel| channel.1 == address);
            let number = asked_for.map_or(self.next_channel, |channel| channel.0);
            if number == self.next_channel {
                self.next_channel += 1;
                self.channels.push((number, address));
            }
            self.ask(now, Purpose::Bind(number, address), Request::channel_bind(number, address));
        }
    }

    fn talk(&mut self, letters: &mut Letters) {
        let Some(at) = self.partners.len().checked_sub(1) else { return };
        let partner = &self.partners[self.random.below(at + 1)];
        // Few wait for nobody's leave.
        let hasty = chance(&mut self.random, 300);
        let may = partner.permitted.is_some() || hasty;
        let channel = partner.channel.map(|channel| channel.0);
        if partner.refused || channel.is_none() && (!may || self.manner.channels_only) {
            return;
        }
        let more = if chance(&mut self.random, 200) { 1_200 } else { self.random.below(160) };
        let (letter, payload) = letters.write(self.party, partner.address, more);
        let bytes = match channel {
            Some(number) => frame(number, &payload),
            None => Request::send(partner.address, &payload).unsigned(self.client.next_id()),
        };
        self.out.push((self.client.path, bytes, Some(letter)));
    }

    /// It hangs up: by a last word, or none.
    fn end(&mut self, now: Instant) {
        let was_up = self.is_up();
        self.phase = Phase::Gone;
        self.transactions.clear();
        if was_up && self.manner.deletes {
            self.ask(now, Purpose::Delete, Request::refresh().lifetime(0));
            // Nobody waits for its answer.
            self.transactions.clear();
        }
        if self.is_stream() {
            self.news.push(News::Disconnected(self.client.path));
        }
    }

    fn is_asking(&self, is: impl Fn(&Purpose) -> bool) -> bool {
        self.transactions.iter().any(|transaction| is(&transaction.purpose))
    }

    fn ask(&mut self, now: Instant, purpose: Purpose, request: Request) {
        self.ask_again(now, purpose, request, 0);
    }

    fn ask_again(&mut self, now: Instant, purpose: Purpose, request: Request, stale: u8) {
        let bytes = if self.client.nonce.is_empty() {
            let id = self.client.next_id();
            request.unsigned(id)
        } else {
            self.client.sign(&request)
        };
        let id = self.client.id;
        let rto = if self.is_stream() { STREAM_TIMEOUT } else { self.manner.rto };
        self.out.push((self.client.path, bytes.clone(), None));
        self.transactions.push(Transaction {
            id,
            purpose,
            request,
            bytes,
            sent: 1,
            rto,
            again: now + rto,
            stale,
        });
    }

    /// RFC 8489 §6.2.1
    fn repeat(&mut self, now: Instant) {
        let is_stream = self.is_stream();
        let mut lost = None;
        for at in 0..self.transactions.len() {
            let transaction = &mut self.transactions[at];
            if now < transaction.again {
                continue;
            }
            if is_stream || transaction.sent == TRANSMISSIONS {
                lost.get_or_insert(at);
                continue;
            }
            self.out.push((self.client.path, transaction.bytes.clone(), None));
            transaction.sent += 1;
            transaction.rto *= 2;
            let last = transaction.sent == TRANSMISSIONS;
            let wait = if last { self.manner.rto * LAST_WAIT } else { transaction.rto };
            transaction.again = now + wait;
        }
        if let Some(at) = lost {
            let Transaction { purpose, .. } = self.transactions.remove(at);
            self.news.push(News::Trouble(format!("no answer to {purpose:?}")));
            if matches!(purpose, Purpose::Allocate | Purpose::Refresh | Purpose::Move) {
                self.start_over(now, Duration::ZERO);
            }
        }
    }

    /// Another socket, and all from the beginning.
    fn start_over(&mut self, now: Instant, pause: Duration) {
        if self.is_stream() {
            self.news.push(News::Disconnected(self.client.path));
        }
        self.new_socket();
        self.phase = Phase::Idle(now + pause);
    }

    fn new_socket(&mut self) {
        self.transactions.clear();
        self.channels.clear();
        self.ticket = None;
        for partner in &mut self.partners {
            (partner.permitted, partner.channel) = (None, None);
        }
        self.rebind();
        self.client.nonce.clear();
    }

    /// Its connection breaks; it sees that at once.
    pub(crate) fn lose_connection(&mut self, now: Instant) {
        if self.is_stream() && self.phase != Phase::Gone {
            self.start_over(now, Duration::from_millis(200));
        }
    }

    /// The NAT in front gives it another address, unseen by the client itself.
    pub(crate) fn rebind(&mut self) {
        let path = &mut self.client.path;
        let mut address = path.five_tuple.client.socket();
        address.set_port(1024 + (address.port() - 1024 + 7) % 60_000);
        path.five_tuple.client = ClientAddr::new(address);
        if path.five_tuple.transport.is_stream() {
            path.link = Link(path.link.0 + 1);
        }
        self.news.push(News::Moved);
    }

    /// Its network gives it another address, and it sees that.
    pub(crate) fn roam(&mut self, now: Instant) {
        match self.ticket.clone().filter(|_| self.is_up()) {
            Some(ticket) => {
                let left = self.client.path;
                // What it was asking for it asks for again from there.
                self.transactions.clear();
                self.rebind();
                let request = self.with_lifetime(Request::refresh().ticket(&ticket));
                self.ask(now, Purpose::Move, request);
                if self.is_stream() {
                    self.news.push(News::Disconnected(left));
                }
            }
            None if self.phase == Phase::Gone => {}
            None => self.start_over(now, Duration::ZERO),
        }
    }

    /// Something from the server.
    pub(crate) fn hear(&mut self, now: Instant, bytes: &[u8], letters: &mut Letters) {
        if bytes.first().is_some_and(|first| first >> 6 == 1) {
            let (number, payload) = channel_data::parse(bytes).expect("ChannelData");
            return self.hear_channel(number.0, &bytes[payload], letters);
        }
        let message = Message::parse(bytes).expect("a STUN message");
        match (message.class(), message.method()) {
            (Class::Indication, Method::DATA) => self.hear_data(&message, letters),
            (Class::Success | Class::Error, _) => {
                let id = message.transaction_id();
                let Some(at) = self.transactions.iter().position(|transaction| transaction.id == id) else {
                    // The answer to a repeated request, or to one given up.
                    return;
                };
                let transaction = self.transactions.remove(at);
                self.answered(now, transaction, Answer { bytes: bytes.to_vec() });
            }
            other => panic!("{other:?} is nothing for a client"),
        }
    }

    /// ChannelData comes from whom the channel was bound to, on this socket.
    fn hear_channel(&mut self, number: u16, payload: &[u8], letters: &mut Letters) {
        let channel = self.channels.iter().find(|channel| channel.0 == number);
        self.take(payload, channel.expect("a channel of its own").1, letters);
    }

    fn hear_data(&mut self, message: &Message<'_>, letters: &mut Letters) {
        let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).unwrap().unwrap();
        self.take(message.get(AttributeType::DATA).expect("DATA"), peer, letters);
    }

    /// It was sent to this client, and by whom the server says.
    fn take(&mut self, payload: &[u8], peer: SocketAddr, letters: &mut Letters) {
        let Sheet { from, to, .. } = letters.arrived(payload).clone();
        assert!(letters.lives_at(self.party, to), "{:?} has heard what was said to {to}", self.party);
        assert!(letters.lives_at(from, peer), "{peer} did not say what {from:?} has said");
        self.heard += 1;
    }

    fn answered(&mut self, now: Instant, transaction: Transaction, answer: Answer) {
        let Transaction { purpose, request, stale, .. } = transaction;
        let had_nonce = !self.client.nonce.is_empty();
        let code = answer.code();
        if ![401, 438].contains(&code) && had_nonce {
            assert!(answer.is_signed_for(&self.client), "{code} to {purpose:?} is not signed");
        }
        match code {
            0 => self.granted(now, purpose, &answer),
            401 if !had_nonce => {
                self.challenged(&answer);
                self.ask_again(now, purpose, request, stale);
            }
            438 if stale < self.manner.patience
                && !(self.manner.fresh_allocate_only && purpose == Purpose::Allocate) =>
            {
                self.challenged(&answer);
                self.ask_again(now, purpose, request, stale + 1);
            }
            _ => self.refused(now, purpose, code),
        }
    }

    fn challenged(&mut self, answer: &Answer) {
        self.client.nonce = answer.get(AttributeType::NONCE).expect("NONCE");
        assert_eq!(answer.get(AttributeType::REALM).as_deref(), Some(REALM.as_bytes()));
        let named = self.client.signing != Signing::Legacy;
        assert!(!named || answer.has(AttributeType::PASSWORD_ALGORITHMS));
    }

    fn granted(&mut self, now: Instant, purpose: Purpose, answer: &Answer) {
        match purpose {
            Purpose::Allocate => {
                assert!(answer.has(AttributeType::XOR_MAPPED_ADDRESS));
                let after = (self.manner.refresh_after)(answer.lifetime());
                self.phase = Phase::Up(now + Duration::from_secs(after.into()));
                self.talk_at = now;
                self.retries = 0;
                self.news.push(News::Relayed(answer.relayed()));
                self.news.extend(answer.token().map(News::Token));
                assert_eq!(answer.has(AttributeType::MOBILITY_TICKET), self.manner.roams);
                self.ticket = self.manner.roams.then(|| answer.ticket());
            }
            Purpose::Move => {
                self.ticket = Some(answer.ticket());
                let after = (self.manner.refresh_after)(answer.lifetime());
                self.phase = Phase::Up(now + Duration::from_secs(after.into()));
            }
            Purpose::Refresh => {
                let after = (self.manner.refresh_after)(answer.lifetime());
                self.phase = Phase::Up(now + Duration::from_secs(after.into()));
            }
            Purpose::Permit(peers) => {
                for partner in &mut self.partners {
                    if peers.contains(&partner.address) {
                        partner.permitted = Some(now);
                    }
                }
            }
            Purpose::Bind(number, peer) => {
                if let Some(partner) = self.partners.iter_mut().find(|partner| partner.address == peer) {
                    partner.channel = Some((number, now));
                }
            }
            Purpose::Delete => {}
        }
    }

    fn refused(&mut self, now: Instant, purpose: Purpose, code: u16) {
        self.news.push(News::Trouble(format!("{code} to {purpose:?}")));
        match (purpose, code) {
            // A token is good once and not for long.
            (Purpose::Allocate, _) if matches!(self.wish, Wish::Token(_)) => self.phase = Phase::Gone,
            (Purpose::Allocate, 437 | 438) if self.retries < 2 => {
                self.retries += 1;
                self.start_over(now, Duration::ZERO);
            }
            (Purpose::Allocate, _) => self.start_over(now, BACK_OFF),
            // Its allocation is gone, or it is another one's now.
            (_, 437 | 438 | 441) => self.start_over(now, Duration::from_millis(100)),
            (Purpose::Refresh | Purpose::Move, _) => self.start_over(now, BACK_OFF),
            (Purpose::Permit(peers), _) => self.give_up(&peers),
            (Purpose::Bind(_, peer), _) => self.give_up(&[peer]),
            (Purpose::Delete, _) => {}
        }
    }

    fn give_up(&mut self, peers: &[SocketAddr]) {
        for partner in self.partners.iter_mut().filter(|partner| peers.contains(&partner.address)) {
            partner.refused = true;
        }
    }
}
