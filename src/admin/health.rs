//! Whether the process lives, and whether it should get traffic.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Shared, reply};

/// Whether new clients should come here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// Listeners are not served yet.
    Starting,
    /// Every listener is served.
    Serving,
    /// Live allocations go on, new ones are refused.
    Draining,
}

impl Readiness {
    /// `starting`, `serving` or `draining`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// 200 as long as this process can answer at all.
pub(super) async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

/// 200 while listeners are served and the server does not drain, else 503.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let readiness = *shared.sources.readiness.borrow();
    match readiness {
        Readiness::Serving => Json(json!({ "status": "ready" })).into_response(),
        Readiness::Starting => reply::error(StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Readiness::Draining => reply::error(StatusCode::SERVICE_UNAVAILABLE, "draining"),
    }
}
