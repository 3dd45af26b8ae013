//! What an engine is given of the world, as plain values: users, peers, quotas, a
//! throttle and chance.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use floe::relay::world::{
    Account, PeerPolicy, Quota, QuotaExceeded, Random, Reach, Standing, ThirdParty, Throttle, Users,
};
use floe::relay::{Instant, PeerAddr, UnixTime};
use floe::wire::integrity::{LongTermKeys, userhash};

use super::{NAMES, REALM, RELAY_V4, RELAY_V6, SERVER_NAME, password};

/// Sebastiano Vigna's generator: small, fast and the same everywhere.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

impl Random for SplitMix {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A key by which tokens are sealed: `kid`, authorization server, and the byte it
/// is made of.
pub(crate) const TOKEN_KEYS: [(&str, &str, u8); 3] =
    [("key 1", "one", 1), ("key 2", "one", 2), ("key 3", "another", 3)];

/// Users with passwords; whoever is not [`NAMES`] is nobody. Tokens are opened as
/// the server does.
pub(crate) struct Directory {
    accounts: BTreeMap<&'static str, Arc<Account>>,
    nobody: Arc<Account>,
    hashes: BTreeMap<[u8; 32], Arc<str>>,
    enumerable: bool,
    tokens: Option<floe::auth::Directory>,
}

impl Directory {
    pub(crate) fn new(max_allocations: u32, enumerable: bool, tokens: bool) -> Self {
        let account = |name: &str| {
            let (standing, user) = match name.split_once(':') {
                Some((expiry, user)) => (Standing::Until(UnixTime::from_secs(expiry.parse().unwrap())), user),
                None => (Standing::Permanent, name),
            };
            let keys = vec![LongTermKeys::derive(name, REALM, &password(name))];
            Arc::new(Account { keys, standing, user: user.into(), max_allocations })
        };
        let nobody = Account {
            keys: vec![LongTermKeys::derive("nobody", "nowhere", "nothing")],
            standing: Standing::Unknown,
            user: "".into(),
            max_allocations: 0,
        };
        let kids = TOKEN_KEYS.iter().map(|(kid, ..)| kid);
        Self {
            accounts: NAMES.iter().map(|name| (*name, account(name))).collect(),
            nobody: Arc::new(nobody),
            hashes: NAMES.iter().chain(kids).map(|name| (userhash(name, REALM), Arc::from(*name))).collect(),
            enumerable,
            tokens: tokens.then(|| authorization_servers(max_allocations)),
        }
    }
}

fn authorization_servers(max_allocations: u32) -> floe::auth::Directory {
    let key = |(kid, authority, byte): (&str, &str, u8)| {
        floe::auth::OauthKey::new(&floe::auth::OauthKeySettings {
            kid: kid.into(),
            key: BASE64_STANDARD.encode([byte; 32]).into(),
            algorithm: floe::auth::Algorithm::A256Gcm,
            not_before: UnixTime::from_secs(0),
            lifetime: 0,
            authority: authority.into(),
        })
    };
    let settings = floe::auth::DirectorySettings {
        realm: REALM.into(),
        users: Vec::new(),
        secrets: Vec::new(),
        max_allocations: 0,
        own_limits: Vec::new(),
        third_party: floe::auth::ThirdPartySettings {
            server_name: SERVER_NAME.into(),
            keys: TOKEN_KEYS.map(|entry| key(entry).unwrap()).into(),
            max_allocations,
        },
    };
    floe::auth::Directory::new(settings, &mut SplitMix(1)).unwrap()
}

impl Users for Directory {
    fn account(&self, _: UnixTime, name: &str) -> Arc<Account> {
        self.accounts.get(name).unwrap_or(&self.nobody).clone()
    }

    fn name_of_hash(&self, hash: &[u8; 32]) -> Option<Arc<str>> {
        self.hashes.get(hash).cloned()
    }

    fn enumerable(&self) -> bool {
        self.enumerable
    }

    fn third_party(&self) -> Option<&dyn ThirdParty> {
        self.tokens.as_ref()?.third_party()
    }
}

/// 10.0.0.0/8 and fd00::/8 are denied, the relay addresses are this server's own.
pub(crate) struct Policy;

impl PeerPolicy for Policy {
    fn reach(&self, peer: IpAddr) -> Reach {
        if [RELAY_V4, RELAY_V6].iter().any(|own| own.parse() == Ok(peer)) {
            return Reach::SomePorts;
        }
        match peer {
            IpAddr::V4(ip) if ip.octets()[0] == 10 => Reach::Denied,
            IpAddr::V6(ip) if ip.octets()[0] == 0xFD => Reach::Denied,
            _ => Reach::Open,
        }
    }

    fn may_send(&self, _: PeerAddr) -> bool {
        false
    }
}

/// Allocations by user; giving back what was not taken is a bug.
pub(crate) struct Ledger {
    in_all: u32,
    used: Mutex<BTreeMap<Arc<str>, u32>>,
}

impl Ledger {
    pub(crate) fn new(in_all: u32) -> Self {
        Self { in_all, used: Mutex::default() }
    }

    pub(crate) fn total(&self) -> u32 {
        self.used.lock().unwrap().values().sum()
    }

    pub(crate) fn of(&self, user: &str) -> u32 {
        self.used.lock().unwrap().get(user).copied().unwrap_or(0)
    }

    /// Of a user, or of all tokens by a key.
    pub(crate) fn of_any(&self, name: &str) -> u32 {
        let used = self.used.lock().unwrap();
        let is_of =
            |user: &str| user.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
        used.iter().filter(|(user, _)| is_of(user)).map(|(_, count)| count).sum()
    }
}

impl Quota for Ledger {
    fn acquire(&self, user: &Arc<str>, max: u32) -> Result<(), QuotaExceeded> {
        let mut used = self.used.lock().unwrap();
        let total: u32 = used.values().sum();
        let mine = used.entry(user.clone()).or_default();
        if max != 0 && *mine >= max {
            return Err(QuotaExceeded::User);
        }
        if self.in_all != 0 && total >= self.in_all {
            return Err(QuotaExceeded::Server);
        }
        *mine += 1;
        Ok(())
    }

    fn release(&self, user: &Arc<str>) {
        let mut used = self.used.lock().unwrap();
        let mine = used.get_mut(user).expect("released by somebody who has none");
        *mine = mine.checked_sub(1).expect("released more often than acquired");
    }
}

/// The throttle, worked by hand.
#[derive(Default)]
pub(crate) struct Switches {
    pub(crate) no_answers: AtomicBool,
    pub(crate) no_more_logins: AtomicBool,
}

impl Throttle for Switches {
    fn may_answer(&self, _: Instant, _: IpAddr) -> bool {
        !self.no_answers.load(Relaxed)
    }

    fn failed_login(&self, _: Instant, _: IpAddr) -> bool {
        !self.no_more_logins.load(Relaxed)
    }
}
