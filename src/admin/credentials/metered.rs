//! Metered's two steps. `POST /api/v1/turn/credential?secretKey=…` with
//! `{"expiryInSeconds": 14400, "label": "…"}` answers `{"username", "password",
//! "apiKey", "expiryInSeconds", "label"}`; the application hands `apiKey` to its
//! page, which asks `GET /api/v1/turn/credentials?apiKey=…` and gets the array of
//! ICE servers, one URL an entry.
//!
//! An `apiKey` is the name it is for with an HMAC under the key that made it, so
//! nothing is stored. It ends with the credential, and a key that is taken out of
//! the configuration takes its own with it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::grant::{access, grant, mint, refused};
use super::parameters::Parameters;
use crate::admin::Shared;
use crate::admin::reply::Refused;
use crate::admin::server::Source;
use crate::relay::UnixTime;

pub(super) async fn credential(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    request: Request,
) -> Result<Json<Value>, Refused> {
    let (head, parameters) = Parameters::of(&shared, request).await?;
    let key = access(&shared, source, parameters.key(&head).as_deref())?;
    let wish = parameters.wish()?;
    let granted = grant(&shared, &key, &wish)?;
    let tag = key.sign(granted.username.as_bytes());
    let name = URL_SAFE_NO_PAD.encode(&granted.username);
    let api_key = format!("{name}.{}", URL_SAFE_NO_PAD.encode(tag));
    Ok(Json(json!({
        "username": granted.username,
        "password": granted.password,
        "apiKey": api_key,
        "expiryInSeconds": granted.ttl,
        "label": wish.user,
    })))
}

pub(super) async fn credentials(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    request: Request,
) -> Result<Json<Vec<Value>>, Refused> {
    let (_, parameters) = Parameters::of(&shared, request).await?;
    let shown = parameters.text("apiKey").unwrap_or_default();
    let username =
        parts(shown).and_then(|(name, tag)| Some((shared.live.access().signer(&name, &tag)?, name)));
    let Some((key, username)) = username else {
        // Counted like any other wrong key.
        return Err(access(&shared, source, Some(shown)).err().unwrap_or_else(no_api_key));
    };
    let named = username.split_once(':').and_then(|(expiry, user)| Some((expiry.parse().ok()?, user)));
    let (expiry, user) = named.ok_or_else(no_api_key)?;
    if expiry <= shared.steering.now().unix.secs() {
        return Err(refused(StatusCode::UNAUTHORIZED, "this apiKey has expired"));
    }
    let mint = mint(&shared, key.allowance.terms())?;
    let minted = mint.mint(user, Duration::from_secs(expiry), UnixTime::from_secs(0));
    let minted = minted.map_err(|text| refused(StatusCode::BAD_REQUEST, &text))?;
    let server = |url: &String| match url.starts_with("stun") {
        true => json!({ "urls": url }),
        false => json!({ "urls": url, "username": minted.username, "credential": minted.password }),
    };
    Ok(Json(shared.live.reach().urls.iter().map(server).collect()))
}

fn no_api_key() -> Refused {
    refused(StatusCode::UNAUTHORIZED, "apiKey must be one that POST /api/v1/turn/credential gave")
}

/// The name and the tag of an `apiKey`.
fn parts(shown: &str) -> Option<(String, Vec<u8>)> {
    let (name, tag) = shown.split_once('.')?;
    let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    Some((name, URL_SAFE_NO_PAD.decode(tag).ok()?))
}
