//! The long-term credential mechanism (RFC 8489 §9.2.4), check by check in the
//! order the RFC asks for.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::address::FiveTuple;
use super::nonce::{Features, Nonce, NonceState, Nonces};
use super::route::LoginFault;
use super::time::Now;
use super::world::{Account, Standing, Throttle, Users};
use crate::wire::integrity::PasswordAlgorithm;
use crate::wire::{AttributeType, ErrorCode, Message, MessageWriter, Method};

/// Longest USERNAME in bytes (RFC 8489 §14.3); a parser must stand 763.
const MAX_USERNAME: usize = 508;
const MAX_USERNAME_PARSED: usize = 763;

/// How the answers to an authenticated request are signed.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    key: ArrayVec<u8, 32>,
    sha256: bool,
}

impl Signer {
    /// The client has used MESSAGE-INTEGRITY-SHA256, and so knows RFC 8489.
    pub(super) const fn is_sha256(&self) -> bool {
        self.sha256
    }

    pub(super) fn sign(&self, message: &mut MessageWriter<'_>) {
        if self.sha256 {
            message.sign_sha256(&self.key);
        } else {
            message.sign_sha1(&self.key);
        }
    }
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) username: Arc<str>,
    pub(super) account: Arc<Account>,
    pub(super) signer: Signer,
}

/// Why a request is not let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// 401 or 438, with REALM, NONCE and PASSWORD-ALGORITHMS.
    Challenge(ErrorCode),
    /// 438 to somebody who is who he says: his nonce was good once. Not one of
    /// the answers that a forged source could have us send.
    Stale,
    /// 400, bare.
    BadRequest,
    /// Wrong credentials: 401 as a challenge, or no answer when this source has
    /// failed too often.
    Login { username: Arc<str>, fault: LoginFault, answer: bool },
}

pub(super) struct Authenticator {
    users: Arc<dyn Users>,
    throttle: Arc<dyn Throttle>,
    nonces: Nonces,
    features: Features,
    realm: Box<str>,
    strict_expiry: bool,
}

impl Authenticator {
    pub(super) fn new(
        users: Arc<dyn Users>,
        throttle: Arc<dyn Throttle>,
        nonce_keys: &[[u8; 32]],
        realm: &str,
        strict_expiry: bool,
    ) -> Self {
        let features = Features { password_algorithms: true, username_anonymity: users.enumerable() };
        Self {
            users,
            throttle,
            nonces: Nonces::new(nonce_keys, realm),
            features,
            realm: realm.into(),
            strict_expiry,
        }
    }

    /// Adds what a client needs to try again: REALM, NONCE, PASSWORD-ALGORITHMS.
    pub(super) fn challenge(&self, now: Now, client: FiveTuple, message: &mut MessageWriter<'_>) {
        let nonce: Nonce = self.nonces.issue(now.unix, client, self.features);
        message
            .put(AttributeType::REALM, self.realm.as_bytes())
            .put(AttributeType::NONCE, &nonce)
            .put(AttributeType::PASSWORD_ALGORITHMS, &PasswordAlgorithm::LIST);
    }

    pub(super) fn check(
        &self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
    ) -> Result<Identity, Refusal> {
        self.check_with(now, client, message, |nonce| self.nonce_of(now, client, nonce))
    }

    /// Whether a nonce was given to this client and is still good.
    pub(super) fn nonce_of(&self, now: Now, client: FiveTuple, nonce: &[u8]) -> NonceState {
        self.nonces.check(now.unix, client, nonce)
    }

    /// The same with a word of the caller's on which nonces are good.
    pub(super) fn check_with(
        &self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
        judge: impl Fn(&[u8]) -> NonceState,
    ) -> Result<Identity, Refusal> {
        if !message.has_sha1() && !message.has_sha256() {
            return Err(Refusal::Challenge(ErrorCode::UNAUTHENTICATED));
        }
        let claim = Claim::read(message)?;
        let (algorithm, named) = password_algorithm(message, claim.nonce)?;

        let username = self.username(&claim);
        let account = self.users.account(now.unix, &username);
        let key = matching_key(message, &account, algorithm);
        let fault = match &key {
            _ if claim.realm != self.realm.as_bytes() => Some(LoginFault::Realm),
            _ if account.standing == Standing::Unknown => Some(LoginFault::User),
            None => Some(LoginFault::Password),
            Some(_) if self.has_expired(now, &account, message.method()) => Some(LoginFault::Expired),
            Some(_) => None,
        };
        let (Some(key), None) = (key, fault) else {
            let fault = fault.unwrap_or(LoginFault::Password);
            let answer = self.throttle.failed_login(now.instant, client.client.ip());
            return Err(Refusal::Login { username, fault, answer });
        };
        match judge(claim.nonce) {
            NonceState::Fresh => {}
            NonceState::Old => return Err(Refusal::Stale),
            NonceState::Foreign => return Err(Refusal::Challenge(ErrorCode::STALE_NONCE)),
        }
        Ok(Identity { username, account, signer: Signer { key, sha256: named } })
    }

    /// The name to look up. One that can be nobody's is looked up all the same,
    /// so that it takes as long as any other.
    fn username(&self, claim: &Claim<'_>) -> Arc<str> {
        let nobody = || Arc::from("");
        match claim.name {
            Name::Plain(name) if name.len() <= MAX_USERNAME => {
                std::str::from_utf8(name).map_or_else(|_| nobody(), Arc::from)
            }
            Name::Plain(_) => nobody(),
            Name::Hash(hash) => self.users.name_of_hash(hash).unwrap_or_else(nobody),
        }
    }

    /// DESIGN.md §5.7: an expired credential makes no allocation, but one that is
    /// there may be kept, unless `auth.strict-expiry`.
    fn has_expired(&self, now: Now, account: &Account, method: Method) -> bool {
        match account.standing {
            Standing::Unknown | Standing::Permanent => false,
            Standing::Until(expiry) => {
                now.unix >= expiry && (method == Method::ALLOCATE || self.strict_expiry)
            }
        }
    }
}

/// Who a request says it is from.
struct Claim<'a> {
    name: Name<'a>,
    realm: &'a [u8],
    nonce: &'a [u8],
}

enum Name<'a> {
    Plain(&'a [u8]),
    Hash(&'a [u8; 32]),
}

impl<'a> Claim<'a> {
    /// All three have to be there, and the name in one form only.
    fn read(message: &Message<'a>) -> Result<Self, Refusal> {
        let name = match (message.get(AttributeType::USERNAME), message.get(AttributeType::USERHASH)) {
            (Some(name), None) if name.len() <= MAX_USERNAME_PARSED => Name::Plain(name),
            (None, Some(hash)) => Name::Hash(hash.try_into().map_err(|_| Refusal::BadRequest)?),
            _ => return Err(Refusal::BadRequest),
        };
        let realm = message.get(AttributeType::REALM).ok_or(Refusal::BadRequest)?;
        let nonce = message.get(AttributeType::NONCE).ok_or(Refusal::BadRequest)?;
        Ok(Self { name, realm, nonce })
    }
}

/// The algorithm of the key, and whether the request named it. A request that
/// names one has to repeat our list unchanged, so that nobody on the way can have
/// taken the better ones off it (RFC 8489 §9.2.1).
fn password_algorithm(message: &Message<'_>, nonce: &[u8]) -> Result<(PasswordAlgorithm, bool), Refusal> {
    if !Features::of(nonce).password_algorithms {
        return Ok((PasswordAlgorithm::Md5, false));
    }
    let list = message.get(AttributeType::PASSWORD_ALGORITHMS);
    let chosen = message.get(AttributeType::PASSWORD_ALGORITHM);
    match (list, chosen) {
        (None, None) => Ok((PasswordAlgorithm::Md5, false)),
        (Some(list), Some(chosen)) if list == PasswordAlgorithm::LIST => {
            let algorithm = PasswordAlgorithm::from_value(chosen).ok_or(Refusal::BadRequest)?;
            Ok((algorithm, true))
        }
        _ => Err(Refusal::BadRequest),
    }
}

/// The key that the message was signed with. Every candidate is tried, so that
/// the time says nothing about which one fits.
fn matching_key(
    message: &Message<'_>,
    account: &Account,
    algorithm: PasswordAlgorithm,
) -> Option<ArrayVec<u8, 32>> {
    let mut found = None;
    for keys in &account.keys {
        let key = keys.key(algorithm);
        let fits = if message.has_sha256() { message.verify_sha256(key) } else { message.verify_sha1(key) };
        if fits && found.is_none() {
            found = ArrayVec::try_from(key).ok();
        }
    }
    found
}
