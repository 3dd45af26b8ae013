//! Cloudflare's TURN service. `POST …/generate-ice-servers` with
//! `{"ttl": 86400, "customIdentifier": "…"}` answers 201 and `{"iceServers": […]}`;
//! `…/generate`, its older form, 201 and one object in place of the array.
//! `POST …/credentials/{username}/revoke` answers 204: that name can't log in any
//! more, and its live allocations end. It takes an administrator's key: a name does
//! not say which secret it was made with, and one tenant must not hang up another's.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::NotRevoked;
use super::grant::{Granted, access, grant, refused, same_id};
use super::ice::ice_servers;
use super::parameters::Parameters;
use crate::admin::Shared;
use crate::admin::access::bearer;
use crate::admin::reply::Refused;
use crate::admin::server::Source;

/// 201, with what was made.
type Created = (StatusCode, Json<Value>);

pub(super) async fn generate_ice_servers(
    State(shared): State<Arc<Shared>>,
    Extension(source): Extension<Source>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Created, Refused> {
    let granted = asked(&shared, source, path, request).await?;
    let reach = shared.live.reach();
    let servers = ice_servers(&reach, &granted);
    Ok((StatusCode::CREATED, Json(json!({ "iceServers": servers }))))
}

pub(super) async fn generate(
    State(shared): State<Arc<Shared>>,
    Extension(source): Extension<Source>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Created, Refused> {
    let Granted { username, password, .. } = asked(&shared, source, path, request).await?;
    let reach = shared.live.reach();
    let server = json!({ "urls": reach.urls, "username": username, "credential": password });
    Ok((StatusCode::CREATED, Json(json!({ "iceServers": server }))))
}

async fn asked(
    shared: &Arc<Shared>,
    Source(source): Source,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Granted, Refused> {
    let (head, parameters) = Parameters::of(shared, request).await?;
    let key = access(shared, source, bearer(&head.headers))?;
    let Path(id) = path.map_err(|_| unreadable())?;
    same_id(&key, &id)?;
    grant(shared, &key, &parameters.wish()?)
}

pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let key = shared.live.access().administrator(Instant::now(), source, bearer(&headers))?;
    // Its id may be any: an administrator's key has none of its own.
    let Path((_, username)) = path.map_err(|_| unreadable())?;
    let Some(revocations) = shared.revocations.clone() else {
        return Err(refused(StatusCode::NOT_IMPLEMENTED, "nothing can be revoked on this server"));
    };
    let name: Arc<str> = username.as_str().into();
    // It waits for a disk.
    let revoking = tokio::task::spawn_blocking(move || revocations.revoke(&username));
    let answer = match revoking.await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(NotRevoked::Refused(text))) => return Err(refused(StatusCode::BAD_REQUEST, &text)),
        Ok(Err(NotRevoked::Full(text))) => return Err(refused(StatusCode::INSUFFICIENT_STORAGE, &text)),
        Ok(Err(NotRevoked::NotKept(text))) => Err(refused(StatusCode::INTERNAL_SERVER_ERROR, &text)),
        Err(_) => return Err(refused(StatusCode::INTERNAL_SERVER_ERROR, "it was not revoked")),
    };
    let closed = shared.steering.kick_user(name.clone()).await;
    tracing::info!(
        target: "floe::admin",
        key = %key.name, %source, username = %name, closed, "credentials revoked"
    );
    answer
}

fn unreadable() -> Refused {
    refused(StatusCode::BAD_REQUEST, "the path is not UTF-8")
}
