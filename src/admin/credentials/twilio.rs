//! Twilio's Network Traversal Service: `POST /2010-04-01/Accounts/{sid}/Tokens.json`
//! with Basic authentication (the API key as password) and a form `Ttl=3600`
//! answers 201. Its clients expect `ttl` as a text, one URL an entry, both as `url`
//! and `urls`, and dates as in mail.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::grant::{Granted, access, grant, refused, same_id};
use super::parameters::Parameters;
use crate::admin::Shared;
use crate::admin::reply::Refused;
use crate::admin::server::Source;

pub(super) async fn tokens(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let (head, parameters) = Parameters::of(&shared, request).await?;
    let key = access(&shared, source, basic(&head.headers).as_deref())?;
    let Path(sid) = path.map_err(|_| refused(StatusCode::BAD_REQUEST, "the path is not UTF-8"))?;
    same_id(&key, &sid)?;
    let granted = grant(&shared, &key, &parameters.wish()?)?;
    Ok((StatusCode::CREATED, Json(token(&shared, &sid, &granted))))
}

fn token(shared: &Shared, sid: &str, granted: &Granted) -> Value {
    let Granted { username, password, ttl, made } = granted;
    let server = |url: &String| match url.starts_with("stun") {
        true => json!({ "url": url, "urls": url }),
        false => json!({ "url": url, "urls": url, "username": username, "credential": password }),
    };
    let made = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(*made)).replace("GMT", "+0000");
    json!({
        "account_sid": sid,
        "date_created": made,
        "date_updated": made,
        "ttl": ttl.to_string(),
        "username": username,
        "password": password,
        "ice_servers": shared.live.reach().urls.iter().map(server).collect::<Vec<_>>(),
    })
}

/// The password of `Authorization: Basic …`.
fn basic(headers: &HeaderMap) -> Option<String> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (_, password) = decoded.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| password.to_owned())
}
