//! Who is let in: the long-term credential mechanism (RFC 8489 §9.2.4) once more, for
//! the [`referee`](crate::referee), with every nonce that the server has given.

use std::time::Duration;

use floe::relay::{FiveTuple, UnixTime};
use floe::wire::integrity::{LongTermKeys, PasswordAlgorithm, userhash};
use floe::wire::{AttributeType, Message, Method};
use foldhash::{HashMap, HashMapExt as _};

use crate::client::Answer;
use crate::world::{NAMES, REALM, Sent, password};

/// RFC 8656 §5
const NONCE_LIFE: Duration = Duration::from_secs(3600);

pub(crate) struct Doorkeeper {
    nonces: HashMap<Vec<u8>, (FiveTuple, UnixTime)>,
    /// By name, and whether it is for SHA-256.
    keys: HashMap<(&'static str, bool), Vec<u8>>,
    hashes: HashMap<[u8; 32], &'static str>,
}

/// What login makes of a request.
pub(crate) enum Login {
    In(&'static str),
    /// With one of these codes.
    Out(&'static [u16]),
}

impl Doorkeeper {
    pub(crate) fn new() -> Self {
        let derive = |name: &'static str, modern: bool| {
            let algorithm = if modern { PasswordAlgorithm::Sha256 } else { PasswordAlgorithm::Md5 };
            LongTermKeys::derive(name, REALM, &password(name)).key(algorithm).to_vec()
        };
        let keys =
            NAMES.iter().flat_map(|name| [false, true].map(|modern| ((*name, modern), derive(name, modern))));
        let hashes = NAMES.iter().map(|name| (userhash(name, REALM), *name)).collect();
        Self { nonces: HashMap::new(), keys: keys.collect(), hashes }
    }

    /// RFC 8489 §9.2.4, as far as the order of its checks goes.
    pub(crate) fn login(&self, now: UnixTime, from: FiveTuple, message: &Message<'_>) -> Login {
        if !message.has_sha1() && !message.has_sha256() {
            return Login::Out(&[401]);
        }
        let name = match (message.get(AttributeType::USERNAME), message.get(AttributeType::USERHASH)) {
            (Some(name), None) => NAMES.iter().find(|known| known.as_bytes() == name).copied(),
            (None, Some(hash)) => {
                hash.try_into().ok().and_then(|hash: [u8; 32]| self.hashes.get(&hash).copied())
            }
            _ => None,
        };
        let nonce = message.get(AttributeType::NONCE);
        let modern = message.has(AttributeType::PASSWORD_ALGORITHM);
        let named = message.get(AttributeType::PASSWORD_ALGORITHM)
            == Some(&PasswordAlgorithm::Sha256.value())
            && message.get(AttributeType::PASSWORD_ALGORITHMS) == Some(&PasswordAlgorithm::LIST);
        let plain = !modern && !message.has(AttributeType::PASSWORD_ALGORITHMS);
        let (Some(name), Some(nonce), true) = (name, nonce, named || plain) else {
            return Login::Out(&[400, 401]);
        };
        let key = &self.keys[&(name, modern)];
        let signed = if message.has_sha256() { message.verify_sha256(key) } else { message.verify_sha1(key) };
        if !signed || message.get(AttributeType::REALM) != Some(REALM.as_bytes()) {
            return Login::Out(&[400, 401]);
        }
        let expiry = name.split_once(':').map(|(expiry, _)| expiry.parse::<u64>().unwrap());
        if message.method() == Method::ALLOCATE && expiry.is_some_and(|expiry| now.secs() >= expiry) {
            return Login::Out(&[401]);
        }
        let fresh = self.nonces.get(nonce).is_some_and(|(given_to, at)| {
            *given_to == from && now.millis().abs_diff(at.millis()) < NONCE_LIFE.as_millis() as u64
        });
        if fresh { Login::In(name) } else { Login::Out(&[438]) }
    }

    /// The newest that was given to this client.
    pub(crate) fn nonce_of(&self, client: FiveTuple) -> Option<Vec<u8>> {
        let given = self.nonces.iter().filter(|(_, (to, _))| *to == client);
        given.max_by_key(|(nonce, (_, at))| (at.millis(), *nonce)).map(|(nonce, _)| nonce.clone())
    }

    pub(crate) fn note_nonce(&mut self, to: FiveTuple, at: UnixTime, sent: &Sent) {
        if let Sent::Reply(_, bytes) = sent
            && let Some(nonce) = (Answer { bytes: bytes.clone() }).get(AttributeType::NONCE)
        {
            self.nonces.insert(nonce, (to, at));
        }
    }
}
