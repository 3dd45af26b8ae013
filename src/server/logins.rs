//! Who may log in: secrets, users and keys out of `[auth]`, and the credentials
//! that are minted with them.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::runtime::places;
use super::{Access, StartError};
use crate::admin::{self, Grants, Mint, Minted, random_token};
use crate::auth::{self, Directory, DirectorySettings, Revocations, Secret};
use crate::config::{Config, Loaded};
use crate::net::{Clock, OsRandom};
use crate::relay::UnixTime;
use crate::relay::world::Random as _;

/// How long the credentials hold that are shown at the start.
const SHOWN_CREDENTIALS: Duration = Duration::from_secs(24 * 3600);
/// Whom they are for.
const SHOWN_USER: &str = "floe";

/// What this run has made up, and keeps through reloads: credentials and nonces
/// out of it go on being good.
pub(super) struct Kept {
    /// The shared secret where nobody could log in otherwise.
    secret: Zeroizing<String>,
    /// For nonces where no secret makes one.
    nonce_key: [u8; 32],
    /// No allocation outlives the process, and so no ticket.
    pub(super) ticket_key: [u8; 32],
}

impl Kept {
    pub(super) fn new(random: &mut OsRandom) -> Self {
        let mut kept =
            Self { secret: Zeroizing::new(random_token()), nonce_key: [0; 32], ticket_key: [0; 32] };
        random.fill(&mut kept.nonce_key);
        random.fill(&mut kept.ticket_key);
        kept
    }

    /// The first signs, all are good.
    pub(super) fn nonce_keys(&self, config: &Config, secrets: &[Secret]) -> Vec<[u8; 32]> {
        let nonce_secret = config.auth.nonce_secret.expose();
        auth::nonce_keys(nonce_secret, secrets).unwrap_or_else(|| vec![self.nonce_key])
    }
}

/// The shared secrets, and whether they were made up for this run because nobody
/// could log in otherwise: without a login there would be an open relay.
pub(super) fn secrets(config: &Config, kept: &Kept) -> (Vec<Secret>, bool) {
    if config.auth.is_empty() {
        return (vec![Secret::new("this run", &kept.secret)], true);
    }
    let secrets = config.auth.secrets.iter().enumerate();
    let named = secrets.map(|(at, entry)| Secret::new(config.auth.secret_name(at), entry.secret.expose()));
    (named.collect(), false)
}

/// The limit for time-limited credentials is one for `auth.users` too where it is
/// set: an operator knows those by name.
pub(super) fn directory(
    loaded: &Loaded,
    realm: &str,
    secrets: &[Secret],
    random: &mut OsRandom,
) -> Result<Directory, StartError> {
    let config = &loaded.config;
    let most = config.limits.allocations_per_user;
    let max_allocations = if loaded.is_default("limits.allocations-per-user") { 0 } else { most };
    let users = config.auth.users.iter().map(|(name, password)| auth::User {
        name: name.clone(),
        password: Zeroizing::new(password.expose().to_owned()),
        max_allocations,
    });
    let settings = DirectorySettings {
        realm: realm.to_owned(),
        users: users.collect(),
        secrets: secrets.to_vec(),
        max_allocations: most,
        own_limits: vec![(admin::TEST_USER.to_owned(), admin::TEST_ALLOCATIONS)],
        third_party: auth::ThirdPartySettings {
            server_name: config.oauth_server_name().to_owned(),
            keys: oauth_keys(config)?,
            max_allocations: most,
        },
    };
    Directory::new(settings, random).map_err(|error| StartError::Configuration(format!("auth: {error}")))
}

fn oauth_keys(config: &Config) -> Result<Vec<auth::OauthKey>, StartError> {
    let wrong = |error| StartError::Configuration(format!("auth.oauth-keys: {error}"));
    config.auth.oauth_keys.iter().map(|key| auth::OauthKey::new(&key.settings()).map_err(wrong)).collect()
}

fn mint(secret: Secret) -> Arc<dyn Mint> {
    Arc::new(move |user: &str, ttl: Duration, now: UnixTime| {
        auth::mint(&secret, Some(user), ttl, now)
            .map(|made| Minted { username: made.username, password: made.password })
            .map_err(|error| error.to_string())
    })
}

/// How clients log in, to be shown.
pub(super) fn access(
    config: &Config,
    secrets: &[Secret],
    made_up: bool,
    now: UnixTime,
) -> Result<Access, StartError> {
    match secrets.first() {
        Some(secret) => minted(secret, made_up, now),
        None if config.auth.users.is_empty() => Ok(Access::Tokens(config.auth.oauth_keys.len())),
        None => Ok(Access::Users(config.auth.users.len())),
    }
}

/// Who may ask the admin room for what.
pub(super) fn grants(config: &Config, secrets: &[Secret]) -> Grants {
    Grants {
        api_keys: api_keys(config),
        mint: secrets.first().cloned().map(mint),
        tenants: secrets.iter().map(|secret| (secret.name().to_owned(), mint(secret.clone()))).collect(),
        cors: config.admin.cors.clone(),
    }
}

fn api_keys(config: &Config) -> Vec<admin::ApiKey> {
    let keys = config.admin.api_keys.iter().zip(1..);
    keys.map(|(entry, number)| admin::ApiKey {
        name: entry.name.clone().unwrap_or_else(|| format!("key {number}")),
        key: entry.key.expose().to_owned(),
        terms: admin::Terms {
            id: entry.terms.id.clone(),
            secret: entry.terms.secret.clone(),
            max_lifetime: entry.terms.max_lifetime,
            quota: entry.terms.quota,
            per_second: entry.terms.per_second,
        },
    })
    .collect()
}

fn minted(secret: &Secret, this_run: bool, now: UnixTime) -> Result<Access, StartError> {
    let minted = auth::mint(secret, Some(SHOWN_USER), SHOWN_CREDENTIALS, now)
        .map_err(|error| StartError::System(error.to_string()))?;
    Ok(Access::Minted {
        username: minted.username,
        credential: minted.password,
        lasts: SHOWN_CREDENTIALS,
        this_run,
    })
}

/// Those of the state directory, where there is one.
pub(super) fn revocations(config: &Config) -> Result<Arc<Revocations>, StartError> {
    let directory = places(config.state_directory.clone()).state_directory;
    Revocations::open(directory.as_deref(), Clock::start().now().unix)
        .map(Arc::new)
        .map_err(|error| StartError::System(format!("cannot read what is revoked: {error}")))
}
