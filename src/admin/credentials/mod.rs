//! Time-limited credentials for applications, in the shapes of the services
//! that they ask already. Each path takes an API key; what a key may mint is in
//! [`Terms`].
//!
//! | path | shape | key |
//! |---|---|---|
//! | `GET`, `POST /turn` | TURN REST draft: [`turn_rest`] | bearer, `key=`, `api=` |
//! | `GET /ice` | `{"iceServers": […]}`: [`ice`] | bearer, `key=` |
//! | `GET /webrtc/ice_servers` | Home Assistant's bare array: [`ice`] | bearer, `key=` |
//! | `POST /v1/turn/keys/{id}/credentials/generate-ice-servers`, `…/generate` | Cloudflare: [`cloudflare`] | bearer |
//! | `POST /v1/turn/keys/{id}/credentials/{username}/revoke` | Cloudflare: [`cloudflare`] | bearer |
//! | `POST /2010-04-01/Accounts/{sid}/Tokens.json` | Twilio: [`twilio`] | Basic, the key as password |
//! | `POST /api/v1/turn/credential`, `GET /api/v1/turn/credentials` | Metered: [`metered`] | `secretKey=`, then `apiKey=` |
//!
//! `{id}` and `{sid}` may be anything unless the key has an id. Nothing is
//! stored when credentials are made; a revoked name is ([`Revocations`]).

mod allowance;
mod cloudflare;
mod grant;
mod ice;
mod metered;
mod parameters;
mod turn_rest;
mod twilio;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::routing::{MethodRouter, get, post};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub(super) use allowance::Allowance;
pub(super) use grant::{Granted, Wish, grant, mint};

use super::{Live, Shared};
use crate::relay::UnixTime;

/// Seconds that credentials are good for when nothing else is asked.
pub const DEFAULT_TTL: u64 = 86_400;
/// Most seconds that credentials are good for unless the key says otherwise; a
/// longer wish is cut to it, and the answer says so.
pub const MAX_TTL: u64 = 86_400;
/// Longest user name, bytes: with the time before it, it stays well below the
/// 508 bytes of a USERNAME (RFC 8489 §14.3).
pub const MAX_USERNAME: usize = 256;

/// Makes credentials out of a shared secret.
pub trait Mint: Send + Sync {
    /// Credentials for `user` (no control characters, 1 to [`MAX_USERNAME`]
    /// bytes) that are good until `ttl` after `now`; an error says what is wrong
    /// with the name. The same arguments give the same credentials.
    fn mint(&self, user: &str, ttl: Duration, now: UnixTime) -> Result<Minted, String>;
}

impl<F: Fn(&str, Duration, UnixTime) -> Result<Minted, String> + Send + Sync> Mint for F {
    fn mint(&self, user: &str, ttl: Duration, now: UnixTime) -> Result<Minted, String> {
        self(user, ttl, now)
    }
}

/// What a client needs to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// USERNAME as it goes on the wire: `expiry:user`.
    pub username: String,
    /// Base64.
    pub password: String,
}

/// Names that may not log in any more though their time is not over.
pub trait Revocations: Send + Sync {
    /// Refuses `username` (`expiry:user`) from now on. Kept until it would have
    /// expired anyway; on return it is on disk, if the server has a place for it.
    /// May block for as long as a disk does.
    fn revoke(&self, username: &str) -> Result<(), NotRevoked>;
}

/// Why a name is not revoked, or not for good; for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotRevoked {
    /// It can't be: it is no time-limited name.
    Refused(String),
    /// There are too many.
    Full(String),
    /// It is until the next restart, but could not be written down.
    NotKept(String),
}

/// What an API key may mint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The only `{id}` or `{sid}` that it may use; `None`: any.
    pub id: Option<String>,
    /// The secret of `auth.secrets` that it mints with; `None`: the newest.
    pub secret: Option<String>,
    /// Most seconds that its credentials are good for.
    pub max_lifetime: u64,
    /// Most of its credentials that are good at once; 0 is no limit.
    pub quota: u32,
    /// Most credentials a second, the same in a burst; 0 is no limit.
    pub per_second: u32,
}

impl Terms {
    /// Those of the run's token: no limit but [`MAX_TTL`].
    pub const fn unlimited() -> Self {
        Self { id: None, secret: None, max_lifetime: MAX_TTL, quota: 0, per_second: 0 }
    }
}

/// Every path, for pages of the origins of [`Grants::cors`](super::Grants::cors)
/// too.
pub(super) fn routes(live: &Arc<Live>) -> Router<Arc<Shared>> {
    let paths: [(&str, MethodRouter<Arc<Shared>>); 9] = [
        ("/turn", get(turn_rest::turn).post(turn_rest::turn)),
        ("/ice", get(ice::ice)),
        ("/webrtc/ice_servers", get(ice::bare)),
        ("/v1/turn/keys/{id}/credentials/generate-ice-servers", post(cloudflare::generate_ice_servers)),
        ("/v1/turn/keys/{id}/credentials/generate", post(cloudflare::generate)),
        ("/v1/turn/keys/{id}/credentials/{username}/revoke", post(cloudflare::revoke)),
        ("/2010-04-01/Accounts/{sid}/Tokens.json", post(twilio::tokens)),
        ("/api/v1/turn/credential", post(metered::credential)),
        ("/api/v1/turn/credentials", get(metered::credentials)),
    ];
    // Where OPTIONS has no handler, the answer 405 is given before the layer.
    paths
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods.options(preflight)))
        .layer(cross_origin(Arc::clone(live)))
}

/// A preflight is answered by the layer; this is for other OPTIONS.
async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// A page may show its own key; no cookie or other credential of its reader is
/// taken.
fn cross_origin(live: Arc<Live>) -> CorsLayer {
    let allowed = AllowOrigin::predicate(move |origin: &HeaderValue, _: &_| {
        let grants = live.grants();
        grants.cors.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    });
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .max_age(Duration::from_secs(600))
}
