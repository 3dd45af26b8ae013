//! Reading the configuration again, and what is logged. It takes a key.
//!
//! `POST /api/reload` answers a [`Reloaded`](super::Reloaded), or 422 and why
//! nothing was changed. `GET /api/log-level` answers `{"level": "info"}`, `PUT`
//! takes the same and answers with it; 400 when it can't be read.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::{self, Refused};
use super::{Reloaded, Shared};

pub(super) async fn reload(State(shared): State<Arc<Shared>>) -> Result<Json<Reloaded>, Refused> {
    let reloaded = shared.steering.reload().await;
    Ok(Json(reloaded.map_err(|why| reply::error(StatusCode::UNPROCESSABLE_ENTITY, &why))?))
}

pub(super) async fn log_level(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({ "level": shared.steering.log_level() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    level: String,
}

pub(super) async fn set_log_level(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Json<Value>, Refused> {
    let body = reply::body(request.into_body(), shared.limits.body).await?;
    let wrong = |text: &str| reply::error(StatusCode::BAD_REQUEST, text);
    let wanted = serde_json::from_slice(&body);
    let Wanted { level } = wanted.map_err(|_| wrong("the body must be {\"level\": \"…\"}"))?;
    shared.steering.set_log_level(&level).map_err(|why| wrong(&why))?;
    Ok(log_level(State(shared)).await)
}

#[cfg(test)]
mod tests {
    use super::super::harness::Server;
    use super::*;

    const KEY: &str = "Authorization: Bearer run-token\r\n";

    #[tokio::test]
    async fn a_reload_says_what_has_changed_or_why_nothing_has() {
        let server = Server::start();
        let answer = server.ask("POST", "/api/reload", KEY, "").await;
        let told = json!({
            "changed": ["auth.users"],
            "needs_restart": ["realm"],
            "certificates": [],
            "warnings": [],
        });
        assert_eq!((answer.status, answer.json()), (200, told));
        let answer = server.ask("POST", "/api/reload", KEY, "").await;
        assert_eq!((answer.status, answer.json()), (422, json!({ "error": "the file is broken" })));
        assert_eq!(server.ask("POST", "/api/reload", "", "").await.status, 401);
        assert_eq!(server.get("/api/reload", KEY).await.status, 405);
    }

    #[tokio::test]
    async fn the_log_level_can_be_seen_and_set() {
        let server = Server::start();
        let level = server.get("/api/log-level", KEY).await;
        assert_eq!((level.status, level.json()), (200, json!({ "level": "info" })));
        let set = server.ask("PUT", "/api/log-level", KEY, "{\"level\": \"debug\"}").await;
        assert_eq!((set.status, set.json()), (200, json!({ "level": "debug" })));
        assert_eq!(server.get("/api/log-level", KEY).await.json(), json!({ "level": "debug" }));
        for body in ["", "{}", "debug", "{\"level\": \"loud\"}", "{\"level\": 7}"] {
            assert_eq!(server.ask("PUT", "/api/log-level", KEY, body).await.status, 400, "{body}");
        }
        assert_eq!(server.get("/api/log-level", "").await.status, 401);
    }
}
