//! Time-limited credentials as in draft-uberti-behave-turn-rest-00:
//! `GET` or `POST /turn?service=turn&username=alice&key=…&ttl=3600` answers
//! `{"username", "password", "ttl", "uris"}`. Parameters may stand in the query
//! or in a form body; Janus sends both, and the key as `api` and `key`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Readiness;
use super::access::bearer;
use super::server::Source;
use super::{Shared, reply};
use crate::relay::UnixTime;

/// Seconds that credentials are good for when nothing else is asked.
pub const DEFAULT_TTL: u64 = 86_400;
/// Most seconds that credentials are good for; a longer wish is cut to it, and
/// the answer says so in `ttl`.
pub const MAX_TTL: u64 = 86_400;
/// Longest user name, bytes: with the time before it, it stays well below the
/// 508 bytes of a USERNAME (RFC 8489 §14.3).
pub const MAX_USERNAME: usize = 256;

/// Makes credentials out of a shared secret.
pub trait Mint: Send + Sync {
    /// Credentials for `user` (no control characters, 1 to [`MAX_USERNAME`]
    /// bytes) that are good until `ttl` after `now`; an error says what is wrong
    /// with the name.
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

#[derive(Serialize)]
struct Answer<'a> {
    username: String,
    password: String,
    ttl: u64,
    uris: &'a [String],
}

pub(super) async fn turn(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let mut parameters = Parameters::default();
    parameters.take(head.uri.query().unwrap_or_default().as_bytes());
    if head.method == Method::POST {
        let Ok(body) = to_bytes(body, shared.limits.body).await else {
            return reply::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is larger than 8 KiB or incomplete",
            );
        };
        let form = head.headers.get(CONTENT_TYPE).is_some_and(|t| {
            t.as_bytes().to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded")
        });
        if form {
            parameters.take(&body);
        } else if !body.is_empty() {
            return reply::error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "a body must be application/x-www-form-urlencoded",
            );
        }
    }

    let key = bearer(&head.headers).or(parameters.key.as_deref());
    let who = match shared.access.check(Instant::now(), source, key) {
        Ok(who) => who,
        Err(refusal) => return reply::refused(refusal),
    };
    let Some(mint) = &shared.mint else {
        return reply::error(
            StatusCode::NOT_IMPLEMENTED,
            "no shared secret is configured (auth.secrets), so no time-limited credentials can be made",
        );
    };
    if *shared.sources.readiness.borrow() == Readiness::Draining {
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, "draining: no new allocations are made here");
    }
    let (user, ttl) = match parameters.wish() {
        Ok(wish) => wish,
        Err(text) => return reply::error(StatusCode::BAD_REQUEST, text),
    };
    tracing::debug!(key = who, %source, ttl, "credentials minted");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let minted = mint.mint(&user, Duration::from_secs(ttl), UnixTime::from_secs(now));
    let Minted { username, password } = match minted {
        Ok(minted) => minted,
        Err(text) => return reply::error(StatusCode::BAD_REQUEST, &text),
    };
    Json(Answer { username, password, ttl, uris: &shared.uris }).into_response()
}

/// URIs with an IPv6 literal last: Janus splits at `:` and reads the first.
pub(super) fn in_order(mut uris: Vec<String>) -> Vec<String> {
    uris.sort_by_key(|uri| uri.contains('['));
    uris
}

/// The first value of each parameter counts.
#[derive(Default)]
struct Parameters {
    service: Option<String>,
    username: Option<String>,
    key: Option<String>,
    ttl: Option<String>,
}

impl Parameters {
    fn take(&mut self, encoded: &[u8]) {
        for (name, value) in form_urlencoded::parse(encoded) {
            let field = match &*name {
                "service" => &mut self.service,
                "username" => &mut self.username,
                "key" | "api" => &mut self.key,
                "ttl" => &mut self.ttl,
                _ => continue,
            };
            field.get_or_insert_with(|| value.into_owned());
        }
    }

    /// For whom, and for how many seconds.
    fn wish(self) -> Result<(String, u64), &'static str> {
        if self.service.as_deref() != Some("turn") {
            return Err("service must be \"turn\"");
        }
        let user = match self.username {
            Some(name) if !name.is_empty() => name,
            _ => format!("{:016x}", rand::random::<u64>()),
        };
        if user.len() > MAX_USERNAME {
            return Err("username is longer than 256 bytes");
        }
        if user.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return Err("username has a control character, or is not UTF-8");
        }
        let ttl = match self.ttl.as_deref() {
            None | Some("") => DEFAULT_TTL,
            Some(text) => match text.parse() {
                Ok(0) | Err(_) => return Err("ttl must be a whole number of seconds, 1 or more"),
                Ok(seconds) => seconds,
            },
        };
        Ok((user, ttl.min(MAX_TTL)))
    }
}

#[cfg(test)]
#[path = "credentials_test.rs"]
mod tests;
