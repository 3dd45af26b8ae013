//! Who may log in: secrets, users and keys out of `[auth]`, and the credentials
//! that are minted with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::runtime::places;
use super::{Access, StartError};
use crate::admin::{self, Mint, Minted, random_token};
use crate::auth::{self, Directory, DirectorySettings, Revocations, Secret};
use crate::config::{Config, Loaded};
use crate::net::OsRandom;
use crate::relay::UnixTime;

/// How long the credentials hold that are shown at the start.
const SHOWN_CREDENTIALS: Duration = Duration::from_secs(24 * 3600);
/// Whom they are for.
const SHOWN_USER: &str = "floe";

/// The shared secrets, and whether they were made up for this run because nobody
/// could log in otherwise (DESIGN.md §5.11).
pub(super) fn secrets(config: &Config) -> (Vec<Secret>, bool) {
    if config.auth.is_empty() {
        return (vec![Secret::new("this run", &random_token())], true);
    }
    let secrets = config.auth.secrets.iter().enumerate();
    let named = secrets.map(|(at, entry)| Secret::new(config.auth.secret_name(at), entry.secret.expose()));
    (named.collect(), false)
}

/// The limit for time-limited credentials is one for `auth.users` too where it is
/// set: an operator knows those by name.
pub(super) fn directory(
    loaded: &Loaded,
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
        realm: config.realm.clone(),
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

pub(super) fn mint(secret: Secret) -> Box<dyn Mint> {
    Box::new(move |user: &str, ttl: Duration, now: UnixTime| {
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

/// What makes credentials, by the name of its secret.
pub(super) fn tenants(secrets: &[Secret]) -> HashMap<String, Box<dyn Mint>> {
    secrets.iter().map(|secret| (secret.name().to_owned(), mint(secret.clone()))).collect()
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
    let now = UnixTime::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    Revocations::open(directory.as_deref(), now)
        .map(Arc::new)
        .map_err(|error| StartError::System(format!("cannot read what is revoked: {error}")))
}
