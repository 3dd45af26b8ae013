//! Static users, shared secrets and authorization servers, as keys.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use ring::hmac;
use zeroize::Zeroizing;

use super::opaque::{NotOpaque, opaque_string};
use super::third_party::{AuthorizationServers, MAX_OAUTH_KEYS, SERVER_NAME_BYTES, ThirdPartySettings};
use super::time_limited::{self, NAME_BYTES, Secret};
use crate::relay::time::UnixTime;
use crate::relay::world::{Account, Random, Standing, ThirdParty, Users};
use crate::wire::integrity::{LongTermKeys, userhash};

/// Most shared secrets at once: a request with a wrong password costs one HMAC
/// for each.
pub const MAX_SECRETS: usize = 16;

/// Accounts kept at hand, of known and unknown names together.
const CACHED_ACCOUNTS: usize = 8192;

/// Most characters of a realm (RFC 8489 §14.9).
const REALM_CHARACTERS: usize = 127;

/// A user of `[auth.users]`.
pub struct User {
    /// USERNAME, 1 to 508 bytes.
    pub name: String,
    /// Used to derive keys, then wiped.
    pub password: Zeroizing<String>,
    /// Most allocations at once; 0 is no limit.
    pub max_allocations: u32,
}

/// What a [`Directory`] is made from.
pub struct DirectorySettings {
    /// REALM, part of every key.
    pub realm: String,
    /// Users with a password of their own.
    pub users: Vec<User>,
    /// Secrets of time-limited credentials, newest first; at most
    /// [`MAX_SECRETS`].
    pub secrets: Vec<Secret>,
    /// Most allocations at once of one user of a time-limited credential; 0 is
    /// no limit.
    pub max_allocations: u32,
    /// Users of time-limited credentials with a limit of their own, where it is
    /// the lower one.
    pub own_limits: Vec<(String, u32)>,
    /// Authorization servers and their keys; without keys it is off.
    pub third_party: ThirdPartySettings,
}

/// Why a [`Directory`] can't be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The realm can't be sent or hashed.
    #[error("the realm {0}")]
    Realm(NotOpaque),
    /// The realm's form is not RFC 8489 §14.9's.
    #[error("the realm must have at most {REALM_CHARACTERS} characters, and no `\"` or `\\`")]
    RealmForm,
    /// A user name can't be sent or hashed.
    #[error("the user name {0:?} {1}")]
    Name(String, NotOpaque),
    /// A user name doesn't fit into USERNAME.
    #[error("the user name {0:?} has more than {NAME_BYTES} bytes")]
    LongName(String),
    /// Two users of one name (after normalisation).
    #[error("the user {0:?} is there twice")]
    Twice(String),
    /// A password can't be hashed.
    #[error("the password of user {0:?} {1}")]
    Password(String, NotOpaque),
    /// More secrets than a request may cost.
    #[error("there are {0} shared secrets; at most {MAX_SECRETS} may be current")]
    TooManySecrets(usize),
    /// More keys of authorization servers than anyone has.
    #[error("there are {0} oauth keys; at most {MAX_OAUTH_KEYS} may be current")]
    TooManyOauthKeys(usize),
    /// Nobody could tell which one a token is by, or who is meant.
    #[error("the kid {0:?} is there twice, or is a user's name too")]
    Kid(Arc<str>),
    /// Empty, or too long to be sent.
    #[error("the server name of access tokens must have 1 to {SERVER_NAME_BYTES} bytes")]
    ServerName,
}

/// Everyone who may allocate in one realm. Passwords and secrets are not kept,
/// only keys.
///
/// A USERNAME is first looked for among the static users, else read as a
/// time-limited one. What comes out has the same shape whoever asks: as many
/// key candidates as there are secrets (one when there are none), those of
/// nobody made from a random key of this process, so that a wrong name costs
/// what a wrong password costs (H-033).
///
/// Accounts are derived once and cached, at most 8,192 of them, 2 KB each with
/// the longest names and all 16 secrets. The names of strangers share that bound,
/// since the cache is asked before anyone is verified. Random names don't grow
/// it, and asked once don't drive out who is in use, since the cache is resistant
/// to scans; asked twice they may, and then a user in use costs one more
/// derivation: per secret an HMAC-SHA1, an MD5 and a SHA-256 of a short string.
/// Whether a name was asked lately shows in the time of one answer, which caches
/// it: nobody gets a second sample.
///
/// `quick_cache` for that: concurrent and scan-resistant in itself, where `lru`
/// would need locks around it and loses everything to a scan, and `moka` has the
/// `crossbeam` crates and a queue of deferred work behind the same.
pub struct Directory {
    realm: String,
    users: HashMap<Arc<str>, StaticUser>,
    names: HashMap<[u8; 32], Arc<str>>,
    password_keys: Vec<hmac::Key>,
    /// Makes the keys of nobody; random.
    decoy: hmac::Key,
    max_allocations: u32,
    own_limits: Vec<(String, u32)>,
    accounts: Cache<Arc<str>, Arc<Account>>,
    third_party: Option<AuthorizationServers>,
}

struct StaticUser {
    keys: LongTermKeys,
    max_allocations: u32,
}

impl Directory {
    /// Derives all static keys. `random` makes those of unknown names.
    pub fn new(settings: DirectorySettings, random: &mut dyn Random) -> Result<Self, DirectoryError> {
        let realm = realm(&settings.realm)?;
        if settings.secrets.len() > MAX_SECRETS {
            return Err(DirectoryError::TooManySecrets(settings.secrets.len()));
        }
        let mut users = HashMap::new();
        let mut names = HashMap::new();
        for user in settings.users {
            let (name, known) = static_user(&realm, user)?;
            names.insert(userhash(&name, &realm), name.clone());
            if users.insert(name.clone(), known).is_some() {
                return Err(DirectoryError::Twice(name.to_string()));
            }
        }
        let mut decoy = [0; 32];
        random.fill(&mut decoy);
        let third_party = third_party(settings.third_party, random)?;
        for kid in third_party.iter().flat_map(AuthorizationServers::kids) {
            if users.contains_key(kid) {
                return Err(DirectoryError::Kid(kid.clone()));
            }
            names.insert(userhash(kid, &realm), kid.clone());
        }
        Ok(Self {
            realm,
            users,
            names,
            password_keys: settings.secrets.iter().map(|secret| secret.password_key().clone()).collect(),
            decoy: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &decoy),
            max_allocations: settings.max_allocations,
            own_limits: settings.own_limits,
            accounts: Cache::new(CACHED_ACCOUNTS),
            third_party,
        })
    }

    /// The realm as it enters the keys, and is to be sent.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Accounts in the cache now; at most 8,192.
    pub fn cached(&self) -> usize {
        self.accounts.len()
    }

    /// The same work for every name: each candidate is derived, then a static
    /// user's key takes the first place.
    fn derive(&self, name: &str) -> Account {
        let known = self.users.get(name);
        let time_limited =
            time_limited::parse(name).filter(|_| known.is_none() && !self.password_keys.is_empty());
        let candidates = self.password_keys.len().max(1);
        let mut keys: Vec<_> = (0..candidates)
            .map(|place| {
                let secret = self.password_keys.get(place).filter(|_| time_limited.is_some());
                let password = time_limited::password(secret.unwrap_or(&self.decoy), name);
                LongTermKeys::derive(name, &self.realm, &password)
            })
            .collect();
        if let (Some(known), Some(first)) = (known, keys.first_mut()) {
            *first = known.keys;
        }
        let (standing, user) = match (known, time_limited) {
            (Some(_), _) => (Standing::Permanent, name),
            (None, Some((expiry, user))) => (Standing::Until(expiry), user),
            (None, None) => (Standing::Unknown, name),
        };
        let max_allocations = known.map_or_else(|| self.limit_of(user), |known| known.max_allocations);
        Account { keys, standing, user: user.into(), max_allocations }
    }

    /// Of a user of time-limited credentials.
    fn limit_of(&self, user: &str) -> u32 {
        let own = self.own_limits.iter().find(|(name, _)| name == user).map(|(_, limit)| *limit);
        [own, Some(self.max_allocations)].into_iter().flatten().filter(|limit| *limit > 0).min().unwrap_or(0)
    }
}

impl Users for Directory {
    fn account(&self, _now: UnixTime, name: &str) -> Arc<Account> {
        if let Some(account) = self.accounts.get(name) {
            return account;
        }
        let account = Arc::new(self.derive(name));
        self.accounts.insert(name.into(), account.clone());
        account
    }

    fn name_of_hash(&self, hash: &[u8; 32]) -> Option<Arc<str>> {
        self.names.get(hash).cloned()
    }

    fn enumerable(&self) -> bool {
        !self.names.is_empty() && self.password_keys.is_empty()
    }

    fn third_party(&self) -> Option<&dyn ThirdParty> {
        self.third_party.as_ref().map(|third_party| third_party as &dyn ThirdParty)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (users, secrets) = (self.users.len(), self.password_keys.len());
        let kids = self.third_party.iter().flat_map(AuthorizationServers::kids).count();
        write!(f, "Directory({:?}, {users} users, {secrets} secrets, {kids} oauth keys)", self.realm)
    }
}

fn third_party(
    settings: ThirdPartySettings,
    random: &mut dyn Random,
) -> Result<Option<AuthorizationServers>, DirectoryError> {
    if settings.keys.len() > MAX_OAUTH_KEYS {
        return Err(DirectoryError::TooManyOauthKeys(settings.keys.len()));
    }
    if !settings.keys.is_empty() && !(1..=SERVER_NAME_BYTES).contains(&settings.server_name.len()) {
        return Err(DirectoryError::ServerName);
    }
    AuthorizationServers::new(settings, random).map_err(DirectoryError::Kid)
}

fn realm(text: &str) -> Result<String, DirectoryError> {
    let realm = opaque_string(text).map_err(DirectoryError::Realm)?;
    if realm.chars().count() > REALM_CHARACTERS || realm.contains(['"', '\\']) {
        return Err(DirectoryError::RealmForm);
    }
    Ok(realm.into_owned())
}

fn static_user(realm: &str, user: User) -> Result<(Arc<str>, StaticUser), DirectoryError> {
    let name = match opaque_string(&user.name) {
        Ok(name) => Arc::<str>::from(name),
        Err(why) => return Err(DirectoryError::Name(user.name, why)),
    };
    if name.len() > NAME_BYTES {
        return Err(DirectoryError::LongName(user.name));
    }
    let password = match opaque_string(&user.password) {
        Ok(password) => password,
        Err(why) => return Err(DirectoryError::Password(user.name, why)),
    };
    let keys = LongTermKeys::derive(&name, realm, &password);
    Ok((name, StaticUser { keys, max_allocations: user.max_allocations }))
}

#[cfg(test)]
#[path = "directory_test.rs"]
mod tests;
