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
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::NotRevoked;
use super::grant::{Granted, Refused, access, grant, refused, same_id};
use super::ice::ice_servers;
use super::parameters::Parameters;
use crate::admin::access::bearer;
use crate::admin::server::Source;
use crate::admin::{Shared, reply};

pub(super) async fn generate_ice_servers(
    State(shared): State<Arc<Shared>>,
    Extension(source): Extension<Source>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    match asked(&shared, source, path, request).await {
        Ok(granted) => {
            let servers = ice_servers(&shared, &granted);
            (StatusCode::CREATED, Json(json!({ "iceServers": servers }))).into_response()
        }
        Err(Refused(refusal)) => *refusal,
    }
}

pub(super) async fn generate(
    State(shared): State<Arc<Shared>>,
    Extension(source): Extension<Source>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    match asked(&shared, source, path, request).await {
        Ok(Granted { username, password, .. }) => {
            let urls = &shared.sources.urls;
            let server = json!({ "urls": urls, "username": username, "credential": password });
            (StatusCode::CREATED, Json(json!({ "iceServers": server }))).into_response()
        }
        Err(Refused(refusal)) => *refusal,
    }
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
) -> Response {
    let revoked = async {
        let key = shared.live.access().administrator(Instant::now(), source, bearer(&headers));
        let key = key.map_err(reply::refused)?;
        // Its id may be any: an administrator's key has none of its own.
        let Path((_, username)) = path.map_err(|_| unreadable())?;
        let Some(revocations) = shared.revocations.clone() else {
            return Err(refused(StatusCode::NOT_IMPLEMENTED, "nothing can be revoked on this server"));
        };
        let name: Arc<str> = username.as_str().into();
        // It waits for a disk.
        let revoking = tokio::task::spawn_blocking(move || revocations.revoke(&username));
        let kept = match revoking.await {
            Ok(Ok(())) => Ok(()),
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
        kept
    };
    match revoked.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Refused(refusal)) => *refusal,
    }
}

fn unreadable() -> Refused {
    refused(StatusCode::BAD_REQUEST, "the path is not UTF-8")
}
