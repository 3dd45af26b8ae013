//! `iceServers` as a browser takes them. `GET /ice` answers
//! `{"iceServers": […], "iceTransportPolicy": "all"}`, which goes into
//! `new RTCPeerConnection(…)` as it is; `GET /webrtc/ice_servers` the array alone,
//! as Home Assistant asks for it. Both take `username` and `ttl`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::grant::{Granted, access, grant};
use super::parameters::Parameters;
use crate::admin::reply::Refused;
use crate::admin::server::Source;
use crate::admin::{Reach, Shared};

/// An entry of `iceServers`.
#[derive(Serialize)]
pub(super) struct IceServer<'a> {
    urls: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
}

/// STUN first, without credentials, then TURN with them.
pub(super) fn ice_servers<'a>(reach: &'a Reach, granted: &'a Granted) -> Vec<IceServer<'a>> {
    let stun = reach.urls.iter().map(String::as_str).filter(|url| url.starts_with("stun")).collect();
    let (username, credential) = (Some(&*granted.username), Some(&*granted.password));
    let stun = IceServer { urls: stun, username: None, credential: None };
    [stun, IceServer { urls: reach.turn(), username, credential }]
        .into_iter()
        .filter(|server| !server.urls.is_empty())
        .collect()
}

pub(super) async fn ice(
    State(shared): State<Arc<Shared>>,
    Extension(source): Extension<Source>,
    request: Request,
) -> Result<Response, Refused> {
    let granted = asked(&shared, source, request).await?;
    let reach = shared.live.reach();
    let servers = ice_servers(&reach, &granted);
    Ok(Json(json!({ "iceServers": servers, "iceTransportPolicy": "all" })).into_response())
}

pub(super) async fn bare(
    State(shared): State<Arc<Shared>>,
    Extension(source): Extension<Source>,
    request: Request,
) -> Result<Response, Refused> {
    let granted = asked(&shared, source, request).await?;
    Ok(Json(ice_servers(&shared.live.reach(), &granted)).into_response())
}

async fn asked(shared: &Arc<Shared>, Source(source): Source, request: Request) -> Result<Granted, Refused> {
    let (head, parameters) = Parameters::of(shared, request).await?;
    let key = access(shared, source, parameters.key(&head).as_deref())?;
    grant(shared, &key, &parameters.wish()?)
}
