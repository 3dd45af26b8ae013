//! The web page: its files, which are part of the binary, and what it asks for
//! besides the rest of this room. Off with `admin.page = false`.
//!
//! | path | answer |
//! |---|---|
//! | `GET /`, `/page/{file}` | the page; open, it holds no secret |
//! | `GET /api/page` | `{"version", "access", "administrator", "mint"}`: `access` is `key` with a good key in the header, `loopback` for who may mint for the Test page without one, else `none`; `administrator` is whether the key is for the dashboard too; `mint` is whether there is a secret to mint with |
//! | `POST /api/page/ice` | `{"iceServers": […], "ttl"}` for `RTCPeerConnection`; a key, an invitation with `?room=`, or `loopback` access. Without a secret the URLs alone, and `ttl` is null |
//! | `POST /api/page/invitation?room=NAME` | `{"invitation", "ttl"}`; a key |
//!
//! What a key mints here keeps to its terms, and so do those whom it has invited.
//!
//! Without a key, only a browser on this very machine may mint, for the Test page:
//! the connection is from loopback, the page was asked for at a loopback name, so
//! that no foreign name rebound to this address will do, and nothing forwarded the
//! request. Such credentials hold for five minutes and all of them together for
//! eight allocations. A reverse proxy that hides all of that
//! is not seen: docs/security.md says so.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{self, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::Shared;
use super::access::{Key, Refusal, bearer};
use super::credentials::{Granted, Terms, Wish, grant, mint};
use super::invitation;
use super::query::Query;
use super::reply::{self, Refused};
use super::server::Source;
use super::signal::{is_room_name, same_origin};

/// Whom the Test page's credentials are for when it mints without a key, how long
/// they hold, and how many allocations they make together.
pub const TEST_USER: &str = "floe-test";
const TEST_TTL: Duration = Duration::from_secs(300);
/// See [`TEST_USER`].
pub const TEST_ALLOCATIONS: u32 = 8;

/// Whom credentials are for that the page mints with a key, and for how long.
const PAGE_USER: &str = "floe-page";
const PAGE_TTL: Duration = Duration::from_secs(3600);

/// Nothing but this origin's own files, and no script or style within a page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// Name, type and content of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("index.html", HTML, include_str!("page/index.html")),
    ("icon.svg", PICTURE, include_str!("page/icon.svg")),
    ("style.css", STYLE, include_str!("page/style.css")),
    ("app.js", SCRIPT, include_str!("page/app.js")),
    ("access.js", SCRIPT, include_str!("page/access.js")),
    ("call.js", SCRIPT, include_str!("page/call.js")),
    ("chat.js", SCRIPT, include_str!("page/chat.js")),
    ("dashboard.js", SCRIPT, include_str!("page/dashboard.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("ice.js", SCRIPT, include_str!("page/ice.js")),
    ("loop.js", SCRIPT, include_str!("page/loop.js")),
    ("media.js", SCRIPT, include_str!("page/media.js")),
    ("peer.js", SCRIPT, include_str!("page/peer.js")),
    ("plot.js", SCRIPT, include_str!("page/plot.js")),
    ("share.js", SCRIPT, include_str!("page/share.js")),
    ("signaling.js", SCRIPT, include_str!("page/signaling.js")),
    ("test.js", SCRIPT, include_str!("page/test.js")),
    ("uqr.js", SCRIPT, include_str!("page/uqr.js")),
    ("words.js", SCRIPT, include_str!("page/words.js")),
    ("uqr.LICENSE", TEXT, include_str!("page/uqr.LICENSE")),
];

/// The page's own files.
pub(super) fn files() -> Router<Arc<Shared>> {
    Router::new().route("/", get(index)).route("/page/{file}", get(file))
}

/// What the page asks for, below `/api`.
pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/page", get(hello))
        .route("/page/ice", post(ice))
        .route("/page/invitation", post(invite))
        .method_not_allowed_fallback(reply::method_not_allowed)
}

async fn index() -> Response {
    content("index.html").await
}

async fn file(name: Result<Path<String>, PathRejection>) -> Response {
    match name {
        Ok(Path(name)) => content(&name).await,
        Err(_) => reply::not_found().await,
    }
}

async fn content(name: &str) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ];
            (headers, *text).into_response()
        }
        None => reply::not_found().await,
    }
}

/// What a visitor may do here.
enum Visitor {
    /// What its key may.
    Keyed(Arc<Key>),
    /// Be in one room, for so long, as a guest of whose key this is.
    Invited(Arc<Key>, Duration),
    /// Mint for the Test page: it sits at this machine.
    Local,
}

async fn hello(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    version: Version,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    // A wrong key is told, not refused: the page asks to learn that, and a
    // browser would show a refusal as an error of the page.
    let shown = bearer(&headers);
    let access = shared.live.access();
    let (access, administrator) = match shown.map(|key| access.key(Instant::now(), source, Some(key))) {
        Some(Ok(key)) => ("key", key.is_administrators()),
        Some(Err(refusal @ Refusal::TooManyWrong)) => return Err(refusal.into()),
        Some(Err(_)) | None if is_local(source, version, &headers) => ("loopback", false),
        Some(Err(_)) | None => ("none", false),
    };
    let (version, mint) = (env!("CARGO_PKG_VERSION"), shared.live.grants().mint.is_some());
    Ok(Json(json!({ "version": version, "access": access, "administrator": administrator, "mint": mint })))
}

async fn ice(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    version: Version,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    if !same_origin(&headers) {
        let text = "a page of another origin gets no credentials";
        return Err(reply::error(StatusCode::FORBIDDEN, text).into());
    }
    let query = Query::parse(query.as_deref());
    let visitor = visitor(&shared, source, version, &headers, query.text("room"))?;
    let reach = shared.live.reach();
    if shared.live.grants().mint.is_none() {
        return Ok(Json(json!({ "iceServers": [{ "urls": reach.urls }], "ttl": null })));
    }
    let (username, credential, ttl) = visitor.mint(&shared)?;
    let server = json!({ "urls": reach.urls, "username": username, "credential": credential });
    Ok(Json(json!({ "iceServers": [server], "ttl": ttl })))
}

impl Visitor {
    /// A name, its password, and for how many seconds they are good.
    fn mint(&self, shared: &Shared) -> Result<(String, String, u64), Refused> {
        let (key, ttl) = match self {
            Self::Keyed(key) => (key, PAGE_TTL),
            Self::Invited(key, left) => (key, PAGE_TTL.min(*left)),
            Self::Local => {
                let mint = mint(shared, &Terms::unlimited())?;
                let minted = mint.mint(TEST_USER, TEST_TTL, shared.steering.now().unix);
                let minted = minted.map_err(|text| reply::error(StatusCode::BAD_REQUEST, &text))?;
                return Ok((minted.username, minted.password, TEST_TTL.as_secs()));
            }
        };
        let wish = Wish { user: PAGE_USER.to_owned(), ttl: Some(ttl.as_secs()) };
        let Granted { username, password, ttl, .. } = grant(shared, key, &wish)?;
        Ok((username, password, ttl))
    }
}

fn visitor(
    shared: &Shared,
    source: IpAddr,
    version: Version,
    headers: &HeaderMap,
    room: Option<&str>,
) -> Result<Visitor, Refusal> {
    let shown = bearer(headers);
    // The origin is this one; who has none is no browser.
    if shown.is_none() && headers.contains_key(ORIGIN) && is_local(source, version, headers) {
        return Ok(Visitor::Local);
    }
    let now = shared.steering.now().unix;
    if let Some((key, left)) = shown.zip(room).and_then(|(shown, room)| shared.invited(shown, room, now)) {
        return Ok(Visitor::Invited(key, left));
    }
    shared.live.access().key(Instant::now(), source, shown).map(Visitor::Keyed)
}

async fn invite(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let key = shared.live.access().key(Instant::now(), source, bearer(&headers))?;
    let query = Query::parse(query.as_deref());
    let room = query.text("room").filter(|room| is_room_name(room)).ok_or_else(reply::bad_room)?;
    let invitation = shared.invitations.make(&key, room, shared.steering.now().unix);
    Ok(Json(json!({ "invitation": invitation, "ttl": invitation::LASTS.as_secs() })))
}

/// Whether a browser on this very machine asks, through nothing in between. A
/// proxy shows by the headers it adds, or by HTTP/1.0, which no browser speaks and
/// nginx does unless told otherwise.
fn is_local(source: IpAddr, version: Version, headers: &HeaderMap) -> bool {
    let forwarded = headers.keys().any(|name| {
        let name = name.as_str();
        matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-")
    });
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    source.to_canonical().is_loopback() && is_loopback_name(host) && version >= Version::HTTP_11 && !forwarded
}

/// `localhost` or a loopback address, with a port or without.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.ends_with(':') => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let ip: Option<IpAddr> = match bare {
        Some(six) => six.parse().ok().filter(IpAddr::is_ipv6),
        None => name.parse().ok().filter(IpAddr::is_ipv4),
    };
    name.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
#[path = "page_test.rs"]
mod tests;
