//! From a key and a wish to credentials, whatever shape they then take.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::allowance::UsedUp;
use super::{DEFAULT_TTL, MAX_USERNAME, Mint, Minted, Terms};
use crate::admin::access::Key;
use crate::admin::reply::{self, Refused};
use crate::admin::{Readiness, Shared};

/// For whom, and for how long.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::admin) struct Wish {
    /// Empty: a random name.
    pub(in crate::admin) user: String,
    /// Seconds, 1 or more.
    pub(in crate::admin) ttl: Option<u64>,
}

/// Credentials, and for how long they are good.
pub(in crate::admin) struct Granted {
    pub(in crate::admin) username: String,
    pub(in crate::admin) password: String,
    pub(in crate::admin) ttl: u64,
    /// Unix seconds.
    pub(super) made: u64,
}

/// A refusal in words.
pub(super) fn refused(status: StatusCode, text: &str) -> Refused {
    reply::error(status, text).into()
}

/// Who shows this key; else the answer that says why not.
pub(super) fn access(shared: &Shared, source: IpAddr, shown: Option<&str>) -> Result<Arc<Key>, Refused> {
    Ok(shared.live.access().key(Instant::now(), source, shown)?)
}

/// Refuses a key that may use another id only.
pub(super) fn same_id(key: &Key, id: &str) -> Result<(), Refused> {
    match &key.allowance.terms().id {
        Some(own) if own != id => Err(refused(StatusCode::FORBIDDEN, "this key is not for this id")),
        _ => Ok(()),
    }
}

/// What makes credentials with the secret of these terms, while they are of use.
pub(in crate::admin) fn mint(shared: &Shared, terms: &Terms) -> Result<Arc<dyn Mint>, Refused> {
    let grants = shared.live.grants();
    let mint = match &terms.secret {
        Some(tenant) => grants.tenants.get(tenant),
        None => grants.mint.as_ref(),
    };
    let mint = mint.ok_or_else(|| {
        refused(
            StatusCode::NOT_IMPLEMENTED,
            "no shared secret is configured (auth.secrets), so no time-limited credentials can be made",
        )
    })?;
    if *shared.sources.readiness.borrow() == Readiness::Draining {
        return Err(refused(StatusCode::SERVICE_UNAVAILABLE, "draining: no new allocations are made here"));
    }
    Ok(Arc::clone(mint))
}

/// Credentials within the key's terms.
pub(in crate::admin) fn grant(shared: &Shared, key: &Key, wish: &Wish) -> Result<Granted, Refused> {
    let terms = key.allowance.terms();
    let mint = mint(shared, terms)?;
    let user = checked(&wish.user)?;
    let ttl = wish.ttl.unwrap_or(DEFAULT_TTL).min(terms.max_lifetime);
    let now = shared.steering.now().unix;
    let made = now.secs();
    let minted = mint.mint(&user, Duration::from_secs(ttl), now);
    let Minted { username, password } = minted.map_err(|text| refused(StatusCode::BAD_REQUEST, &text))?;
    key.allowance.take(Instant::now(), made, made.saturating_add(ttl)).map_err(used_up)?;
    tracing::debug!(key = %key.name, ttl, "credentials minted");
    Ok(Granted { username, password, ttl, made })
}

fn checked(user: &str) -> Result<String, Refused> {
    let wrong = |text| Err(refused(StatusCode::BAD_REQUEST, text));
    if user.is_empty() {
        return Ok(format!("{:016x}", rand::random::<u64>()));
    }
    if user.len() > MAX_USERNAME {
        return wrong("username is longer than 256 bytes");
    }
    if user.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        return wrong("username has a control character, or is not UTF-8");
    }
    Ok(user.to_owned())
}

fn used_up(used: UsedUp) -> Refused {
    let (seconds, text) = match used {
        UsedUp::Rate => (1, "this key asks too often"),
        UsedUp::Quota(seconds) => (seconds, "as many credentials of this key are good as it may have"),
    };
    let after = [(header::RETRY_AFTER, seconds.to_string())];
    (after, reply::error(StatusCode::TOO_MANY_REQUESTS, text)).into_response().into()
}
