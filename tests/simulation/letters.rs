//! What people say to each other, and an account of every copy of it: each that the
//! network makes is delivered, dropped by the server, or lost by the network.

use std::collections::VecDeque;
use std::net::SocketAddr;

use foldhash::HashSet;

/// Who says something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Party {
    Caller(usize),
    Peer(usize),
}

/// Names one payload.
pub(crate) type Letter = u64;

/// One payload, from where it was said to where it was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sheet {
    pub(crate) from: Party,
    /// A peer, or the relayed transport address of a caller.
    pub(crate) to: SocketAddr,
    /// Copies under way.
    afloat: u32,
    length: usize,
}

/// Every payload of one deployment.
#[derive(Default)]
pub(crate) struct Letters {
    sheets: VecDeque<Sheet>,
    /// The letter that `sheets` begins with.
    first: Letter,
    /// Who is, or was, to be found where.
    homes: HashSet<(Party, SocketAddr)>,
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    pub(crate) lost: u64,
}

/// Bytes of a payload that say which letter it is.
const NAME: usize = size_of::<Letter>();

impl Letters {
    /// Somebody is to be found at this address: a peer at its own, a caller at its
    /// relay's.
    pub(crate) fn lives(&mut self, party: Party, at: SocketAddr) {
        self.homes.insert((party, at));
    }

    pub(crate) fn lives_at(&self, party: Party, at: SocketAddr) -> bool {
        self.homes.contains(&(party, at))
    }

    /// Something new to say, `more` bytes longer than it must be.
    pub(crate) fn write(&mut self, from: Party, to: SocketAddr, more: usize) -> (Letter, Vec<u8>) {
        let letter = self.first + self.sheets.len() as u64;
        let length = NAME + more;
        self.sheets.push_back(Sheet { from, to, afloat: 1, length });
        (letter, text(letter, length))
    }

    /// The network carries so many copies of one.
    pub(crate) fn carried(&mut self, letter: Letter, copies: usize) {
        let sheet = self.sheet(letter);
        sheet.afloat = sheet.afloat + copies as u32 - 1;
        self.lost += u64::from(copies == 0);
    }

    /// Whether it is remembered; of those long settled only their number is.
    pub(crate) fn knows(&self, letter: Letter) -> bool {
        letter >= self.first
    }

    /// Somebody who has overheard one sends it once more.
    pub(crate) fn replayed(&mut self, letter: Letter) {
        self.sheet(letter).afloat += 1;
    }

    /// The server, or a connection that has ended, has dropped a copy.
    pub(crate) fn drop_one(&mut self, letter: Letter, by_server: bool) -> Sheet {
        self.sink(letter);
        if by_server {
            self.dropped += 1;
        } else {
            self.lost += 1;
        }
        self.sheet(letter).clone()
    }

    /// A copy has come to where it says; it is whole, and one of those under way.
    pub(crate) fn arrived(&mut self, payload: &[u8]) -> &Sheet {
        let letter = letter_of(payload).expect("somebody's words");
        assert_eq!(payload, text(letter, self.sheet(letter).length), "not a word of it is changed");
        self.sink(letter);
        self.delivered += 1;
        self.sheet(letter)
    }

    /// Nothing is under way any more: every copy is accounted for.
    pub(crate) fn assert_settled(&self) {
        for (letter, sheet) in (self.first..).zip(&self.sheets) {
            assert_eq!(sheet.afloat, 0, "letter {letter} has vanished: {sheet:?}");
        }
    }

    /// Forgets those at the front that are accounted for.
    pub(crate) fn tidy(&mut self) {
        while self.sheets.len() > 100_000 && self.sheets.front().is_some_and(|sheet| sheet.afloat == 0) {
            self.sheets.pop_front();
            self.first += 1;
        }
    }

    fn sink(&mut self, letter: Letter) {
        let sheet = self.sheet(letter);
        let left = sheet.afloat.checked_sub(1);
        sheet.afloat = left.unwrap_or_else(|| panic!("letter {letter} has come more often than it was sent"));
    }

    fn sheet(&mut self, letter: Letter) -> &mut Sheet {
        let at = letter.checked_sub(self.first).expect("a letter that is under way");
        self.sheets.get_mut(at as usize).expect("a letter that was written")
    }
}

/// The letter that a payload is.
pub(crate) fn letter_of(payload: &[u8]) -> Option<Letter> {
    payload.first_chunk().map(|name| Letter::from_be_bytes(*name))
}

fn text(letter: Letter, length: usize) -> Vec<u8> {
    let mut bytes = letter.to_be_bytes().to_vec();
    bytes.resize(length, (letter % 251) as u8);
    bytes
}
