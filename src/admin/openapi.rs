//! `GET /api/openapi.json`: what this room answers, for programs (OpenAPI 3.1).
//! The document is a file beside this one and holds no secret. A path that is not
//! in it fails the test below, and `tests/admin` asks a running server whether it
//! keeps to it.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

pub(super) async fn document() -> Response {
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (json, include_str!("openapi.json")).into_response()
}

#[cfg(test)]
#[path = "openapi_test.rs"]
mod tests;
