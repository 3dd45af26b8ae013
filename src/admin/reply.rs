//! Answers that several handlers give.

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::access::Refusal;

/// An answer that says why not; boxed, since it is large.
pub(super) struct Refused(Box<Response>);

impl From<Response> for Refused {
    fn from(answer: Response) -> Self {
        Self(Box::new(answer))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        refused(refusal).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// `{"error": "…"}`.
pub(super) fn error(status: StatusCode, text: &str) -> Response {
    (status, Json(serde_json::json!({ "error": text }))).into_response()
}

/// What somebody without a good key is told.
fn refused(refusal: Refusal) -> Response {
    let bearer = [(header::WWW_AUTHENTICATE, "Bearer")];
    match refusal {
        Refusal::NoKey => (
            bearer,
            error(
                StatusCode::UNAUTHORIZED,
                "an API key or the run's token is needed (Authorization: Bearer …)",
            ),
        )
            .into_response(),
        Refusal::WrongKey => {
            (bearer, error(StatusCode::UNAUTHORIZED, "this key is not known")).into_response()
        }
        Refusal::TooManyWrong => (
            [(header::RETRY_AFTER, "60")],
            error(StatusCode::TOO_MANY_REQUESTS, "too many wrong keys from this address"),
        )
            .into_response(),
        Refusal::NotAdministrators => error(
            StatusCode::FORBIDDEN,
            "this key is for credentials only, since it has an id or a secret (admin.api-keys)",
        ),
    }
}

/// A request's body of at most `most` bytes.
///
/// # Errors
/// 413.
pub(super) async fn body(body: Body, most: usize) -> Result<Bytes, Refused> {
    to_bytes(body, most).await.map_err(|_| {
        let text = format!("the body is larger than {most} bytes or incomplete");
        error(StatusCode::PAYLOAD_TOO_LARGE, &text).into()
    })
}

/// A room's name that is none.
pub(super) fn bad_room() -> Response {
    error(StatusCode::BAD_REQUEST, "a room's name is 1 to 64 letters, digits, '-', '_' and '.'")
}

pub(super) async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "there is nothing at this path")
}

pub(super) async fn method_not_allowed() -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method")
}

/// Headers that every answer has, unless its handler chose its own.
pub(super) async fn harden(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}
