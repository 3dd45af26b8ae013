//! The long-term credential mechanism (RFC 8489 §9.2.4), check by check in the
//! order the RFC asks for.

use std::sync::Arc;

use super::access::Access;
use super::address::FiveTuple;
use super::allocation::Allocation;
use super::nonce::{Features, Nonce, NonceState, Nonces};
use super::route::LoginFault;
use super::time::{Instant, Now};
use super::world::{Account, MacKey, Standing, Throttle, Users};
use crate::wire::integrity::PasswordAlgorithm;
use crate::wire::{AttributeType, ErrorCode, Message, MessageWriter, Method};

/// Longest USERNAME in bytes (RFC 8489 §14.3); a parser must stand 763.
const MAX_USERNAME: usize = 508;
const MAX_USERNAME_PARSED: usize = 763;

/// How the answers to an authenticated request are signed.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    key: MacKey,
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
    /// USERNAME; with an access token the kid of its key.
    pub(super) username: Arc<str>,
    /// What quotas count.
    pub(super) user: Arc<str>,
    /// Most allocations at once; 0 is no limit.
    pub(super) max_allocations: u32,
    pub(super) signer: Signer,
    /// There with an access token.
    pub(super) access: Option<Arc<Access>>,
}

impl Identity {
    /// Whether an allocation is this client's to touch: made by the same USERNAME,
    /// or by a token of the same authorization server, which the client has had
    /// renewed meanwhile (RFC 7635 §9).
    pub(super) fn owns(&self, allocation: &Allocation) -> bool {
        let authority = allocation.access.as_ref().map(|access| &access.authority);
        self.is(&allocation.username, authority)
    }

    /// Whether it is of this USERNAME, or with a token of this authorization server.
    pub(super) fn is(&self, username: &Arc<str>, authority: Option<&Arc<str>>) -> bool {
        match (&self.access, authority) {
            (None, None) => self.username == *username,
            (Some(access), Some(authority)) => access.authority == *authority,
            _ => false,
        }
    }

    /// The same for a request from another 5-tuple, about what its ticket or
    /// CONNECTION-ID names: by the very token that was shown last, since either may
    /// have been overheard, and all users of an authorization server have tokens.
    pub(super) fn owns_from_elsewhere(&self, allocation: &Allocation) -> bool {
        let (shown, last) = (self.access.as_ref(), allocation.access.as_ref());
        self.owns(allocation) && shown.map(|access| &access.user) == last.map(|access| &access.user)
    }

    /// Seconds that an allocation may be given of those that were asked for: not
    /// more than the token has left (RFC 7635 §9).
    pub(super) fn bounded(&self, now: Instant, lifetime: u32) -> u32 {
        self.access.as_ref().map_or(lifetime, |access| access.bound(now, lifetime))
    }
}

/// Why a request is not let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// 401 or 438, with what [`Authenticator::challenge`] adds.
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

    /// Adds what a client needs to try again: REALM, NONCE, PASSWORD-ALGORITHMS,
    /// and THIRD-PARTY-AUTHORIZATION where access tokens are taken.
    pub(super) fn challenge(&self, now: Now, client: FiveTuple, message: &mut MessageWriter<'_>) {
        let nonce: Nonce = self.nonces.issue(now.unix, client, self.features);
        message
            .put(AttributeType::REALM, self.realm.as_bytes())
            .put(AttributeType::NONCE, &nonce)
            .put(AttributeType::PASSWORD_ALGORITHMS, &PasswordAlgorithm::LIST);
        if let Some(third_party) = self.users.third_party() {
            message.put(AttributeType::THIRD_PARTY_AUTHORIZATION, third_party.server_name().as_bytes());
        }
    }

    /// Whether access tokens are taken (RFC 7635).
    pub(super) fn takes_tokens(&self) -> bool {
        self.users.third_party().is_some()
    }

    /// `held` is the access of the allocation that the request is about: a client
    /// shows its token with Allocate and Refresh, and signs all else with its key
    /// (RFC 7635 §9).
    pub(super) fn check(
        &self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
        held: Option<Arc<Access>>,
    ) -> Result<Identity, Refusal> {
        self.check_with(now, client, message, held, |nonce| self.nonce_of(now, client, nonce))
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
        held: Option<Arc<Access>>,
        judge: impl Fn(&[u8]) -> NonceState,
    ) -> Result<Identity, Refusal> {
        if !message.has_sha1() && !message.has_sha256() {
            return Err(Refusal::Challenge(ErrorCode::UNAUTHENTICATED));
        }
        let claim = Claim::read(message)?;
        let (algorithm, named) = password_algorithm(message, claim.nonce)?;

        let username = self.username(&claim);
        let login = match self.access(now, &username, message, held) {
            Some(access) => access.and_then(|access| by_access(now, message, &username, access)),
            None => self.by_password(now, message, &username, algorithm, named),
        };
        let login = if claim.realm == self.realm.as_bytes() { login } else { Err(LoginFault::Realm) };
        let identity = login.map_err(|fault| {
            let answer = self.throttle.failed_login(now.instant, client.client.ip());
            Refusal::Login { username, fault, answer }
        })?;
        match judge(claim.nonce) {
            NonceState::Fresh => Ok(identity),
            NonceState::Old => Err(Refusal::Stale),
            NonceState::Foreign => Err(Refusal::Challenge(ErrorCode::STALE_NONCE)),
        }
    }

    /// The access that a request is signed for, when it is one of an access token.
    fn access(
        &self,
        now: Now,
        kid: &Arc<str>,
        message: &Message<'_>,
        held: Option<Arc<Access>>,
    ) -> Option<Result<Arc<Access>, LoginFault>> {
        let third_party = self.users.third_party()?;
        match message.get(AttributeType::ACCESS_TOKEN) {
            Some(token) => {
                let granted = third_party.grant(now.unix, kid, token).map_err(LoginFault::Token);
                Some(granted.map(|grant| Arc::new(Access::new(now.instant, kid, grant))))
            }
            None => held.filter(|access| access.kid == *kid).map(Ok),
        }
    }

    fn by_password(
        &self,
        now: Now,
        message: &Message<'_>,
        username: &Arc<str>,
        algorithm: PasswordAlgorithm,
        named: bool,
    ) -> Result<Identity, LoginFault> {
        let account = self.users.account(now.unix, username);
        let key = matching_key(message, &account, algorithm);
        if account.standing == Standing::Unknown {
            return Err(LoginFault::User);
        }
        let key = key.ok_or(LoginFault::Password)?;
        if self.has_expired(now, &account, message.method()) {
            return Err(LoginFault::Expired);
        }
        Ok(Identity {
            username: Arc::clone(username),
            user: Arc::clone(&account.user),
            max_allocations: account.max_allocations,
            signer: Signer { key, sha256: named },
            access: None,
        })
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

    /// An expired credential makes no allocation, but one that is there may be kept,
    /// unless `auth.strict-expiry`: a call outlasts the credentials it began with.
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

/// RFC 7635 §7: the token's key is that of the message, whichever of the two
/// integrity attributes it has; the answer gets the same.
fn by_access(
    now: Now,
    message: &Message<'_>,
    kid: &Arc<str>,
    access: Arc<Access>,
) -> Result<Identity, LoginFault> {
    let key = access.keys(message.has_sha256()).find(|key| is_signed_with(message, key));
    let key = key.and_then(|key| MacKey::try_from(key).ok()).ok_or(LoginFault::MacKey)?;
    if access.is_over(now.instant) {
        return Err(LoginFault::Expired);
    }
    Ok(Identity {
        username: Arc::clone(kid),
        user: Arc::clone(&access.user),
        max_allocations: access.max_allocations,
        signer: Signer { key, sha256: message.has_sha256() },
        access: Some(access),
    })
}

/// The key that the message was signed with. Every candidate is tried, so that
/// the time says nothing about which one fits.
fn matching_key(message: &Message<'_>, account: &Account, algorithm: PasswordAlgorithm) -> Option<MacKey> {
    let mut found = None;
    for keys in &account.keys {
        let key = keys.key(algorithm);
        if is_signed_with(message, key) && found.is_none() {
            found = MacKey::try_from(key).ok();
        }
    }
    found
}

fn is_signed_with(message: &Message<'_>, key: &[u8]) -> bool {
    if message.has_sha256() { message.verify_sha256(key) } else { message.verify_sha1(key) }
}
