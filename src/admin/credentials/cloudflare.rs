//! Cloudflare's TURN service. `POST …/generate-ice-servers` with
//! `{"ttl": 86400, "customIdentifier": "…"}` answers 201 and `{"iceServers": […]}`;
//! `…/generate`, its older form, 201 and one object in place of the array.
//! `POST …/credentials/{username}/revoke` answers 204: that name can't log in any
//! more, and its live allocations end.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::NotRevoked;
use super::grant::{Granted, Refused, access, grant, mint, refused, same_id};
use super::ice::ice_servers;
use super::parameters::Parameters;
use crate::admin::Shared;
use crate::admin::access::bearer;
use crate::admin::server::Source;

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
    same_id(key, &id)?;
    grant(shared, key, &parameters.wish()?)
}

pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let revoked = async {
        let key = access(&shared, source, bearer(&headers))?;
        let Path((id, username)) = path.map_err(|_| unreadable())?;
        same_id(key, &id)?;
        // Its password proves nothing here, but the key must be able to mint it.
        mint(&shared, key)?;
        let Some(revocations) = &shared.revocations else {
            return Err(refused(StatusCode::NOT_IMPLEMENTED, "nothing can be revoked on this server"));
        };
        let kept = match revocations.revoke(&username) {
            Err(NotRevoked::Refused(text)) => return Err(refused(StatusCode::BAD_REQUEST, &text)),
            Err(NotRevoked::NotKept(text)) => Err(refused(StatusCode::INTERNAL_SERVER_ERROR, &text)),
            Ok(()) => Ok(()),
        };
        let closed = shared.steering.kick_user(username.as_str().into()).await;
        tracing::info!(target: "floe::admin", key = key.name, username, closed, "credentials revoked");
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
