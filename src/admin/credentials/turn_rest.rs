//! draft-uberti-behave-turn-rest-00, which Janus and many servers ask with:
//! `GET` or `POST /turn?service=turn&username=alice&key=…&ttl=3600` answers
//! `{"username", "password", "ttl", "uris"}`. Parameters may stand in the query
//! or in a form body; Janus sends both, and the key as `api` and `key`. It also
//! dies of an IPv6 literal among the URIs (1.1.2, in Debian 12), so whoever shows
//! an `api` gets none.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::grant::{Granted, access, grant, refused};
use super::parameters::Parameters;
use crate::admin::Shared;
use crate::admin::reply::Refused;
use crate::admin::server::Source;

#[derive(Serialize)]
struct Answer<'a> {
    username: String,
    password: String,
    ttl: u64,
    uris: Vec<&'a str>,
}

pub(in crate::admin) async fn turn(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    request: Request,
) -> Result<Response, Refused> {
    let (head, parameters) = Parameters::of(&shared, request).await?;
    let key = access(&shared, source, parameters.key(&head).as_deref())?;
    if parameters.text("service") != Some("turn") {
        return Err(refused(StatusCode::BAD_REQUEST, "service must be \"turn\""));
    }
    let Granted { username, password, ttl, .. } = grant(&shared, &key, &parameters.wish()?)?;
    let is_janus = parameters.text("api").is_some();
    let reach = shared.live.reach();
    let mut uris = reach.turn();
    uris.retain(|uri| !is_janus || !uri.contains('['));
    Ok(Json(Answer { username, password, ttl, uris }).into_response())
}

#[cfg(test)]
#[path = "turn_rest_test.rs"]
mod tests;
