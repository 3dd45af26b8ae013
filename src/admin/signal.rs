//! `GET /signal/{room}`: a WebSocket by which two peers find each other. What
//! one sends the other gets, byte for byte, if it is one of
//! `{"offer": …}`, `{"answer": …}`, `{"new-ice-candidate": … | null}`. From the
//! server come `{"peers": n}` when somebody enters or leaves, `{"left": true}`
//! when the other has gone, and `{"error": "…"}` before the server closes. Who
//! saw `{"peers": 1}` first was there first, and makes the offer. A message to
//! an empty room is lost.
//!
//! An open relay for messages would be abused, so a room takes a key, or an
//! invitation to it: as `Authorization: Bearer …`, as `?token=…`, or from a
//! browser that wants it out of the URL as a subprotocol `token.…` beside
//! `floe-signal`. A browser must come from a page of this very origin. Keys with an
//! `id` or a `secret` have rooms of their own: tenants don't meet, nor do they meet
//! administrators.
//!
//! [`events`](super::events) is the same over plain HTTP.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::Shared;
use super::access::bearer;
use super::reply::{self, Refused};
use super::rooms::{Inbox, Membership, Rooms};
use super::server::{Limits, Source};

/// The subprotocol's name.
const PROTOCOL: &str = "floe-signal";
/// Before a key among the subprotocols.
const PROTOCOL_KEY: &str = "token.";
/// Longest message, bytes.
pub(super) const MAX_MESSAGE: usize = 64 * 1024;
/// Longest message that is read at all: up to here the sender is told why.
const MAX_READ: usize = 2 * MAX_MESSAGE;
/// Read at once, bytes: descriptions are some thousand. Every peer has a buffer of this
/// size, which would be 128 KiB.
const READ_AT_ONCE: usize = 8 * 1024;
/// Frames that one peer may send in a second, pings included.
const FRAMES_PER_SECOND: u32 = 100;
/// Longest room name, bytes.
const MAX_NAME: usize = 64;
/// Pings that may go unanswered before a peer is taken for gone.
const UNANSWERED: u32 = 2;

/// Why a peer is closed, or a message refused.
pub(super) const TOO_SLOW: &str = "messages were read too slowly";
pub(super) const TOO_MANY: &str = "too many messages";
pub(super) const TOO_LARGE: &str = "a message is at most 64 KiB";
pub(super) const IDLE: &str = "nothing was said for too long";
pub(super) const STOPS: &str = "the server stops";

/// How long a closed peer may take to read why.
const GOODBYE: Duration = Duration::from_secs(2);

pub(super) async fn join(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    room: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refused> {
    let query = query.unwrap_or_default();
    let Admitted { name, permit, .. } = admit(&shared, source, room, &query, &headers)?;
    let no_socket = |_| reply::error(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket (version 13)");
    let upgrade = upgrade.map_err(no_socket)?;
    let (rooms, limits, stopping) = (shared.rooms.clone(), shared.limits, shared.stopping.clone());
    let upgrade = upgrade.protocols([PROTOCOL]).read_buffer_size(READ_AT_ONCE);
    Ok(upgrade.max_message_size(MAX_READ).max_frame_size(MAX_READ).on_upgrade(move |mut socket| async move {
        let end = converse(&mut socket, &rooms, &name, limits, stopping).await;
        goodbye(&mut socket, end).await;
        drop(permit);
    }))
}

/// Somebody who may enter a room.
pub(super) struct Admitted {
    /// The room as it was asked for.
    pub(super) room: String,
    /// As it is told from those of other tenants, who may have the same idea.
    pub(super) name: String,
    /// A place to talk from.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Lets somebody into a room, or says why not.
pub(super) fn admit(
    shared: &Shared,
    source: IpAddr,
    room: Result<Path<String>, PathRejection>,
    query: &str,
    headers: &HeaderMap,
) -> Result<Admitted, Refused> {
    if !same_origin(headers) {
        return Err(other_origin().into());
    }
    let key = shown_key(headers, query);
    let room = room.map(|Path(room)| room).ok().filter(|room| is_room_name(room));
    let (shown, now) = (key.as_deref(), shared.steering.now().unix);
    let invited = shown.zip(room.as_deref()).and_then(|(shown, room)| shared.invited(shown, room, now));
    let key = match invited {
        Some((key, _)) => key,
        None => shared.live.access().key(std::time::Instant::now(), source, shown)?,
    };
    let room = room.ok_or_else(reply::bad_room)?;
    let full = |_| reply::error(StatusCode::SERVICE_UNAVAILABLE, "too many peers are in rooms");
    let permit = shared.sockets.clone().try_acquire_owned().map_err(full)?;
    Ok(Admitted { name: format!("{:?} {room}", key.tenant()), room, permit })
}

pub(super) fn other_origin() -> Response {
    reply::error(StatusCode::FORBIDDEN, "signaling from a page of another origin is not allowed")
}

/// Why a conversation is over.
enum End {
    /// The peer closed, or can't be reached any more.
    Gone,
    /// The server stops.
    Stopping,
    /// The peer is told, then closed.
    Error(&'static str),
}

async fn converse(
    socket: &mut WebSocket,
    rooms: &Arc<Rooms>,
    room: &str,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) -> End {
    let (membership, mut inbox): (Membership, Inbox) = match rooms.join(room) {
        Ok(joined) => joined,
        Err(closed) => return End::Error(closed.text()),
    };
    let start = Instant::now();
    let mut ping = interval_at(start + limits.ping, limits.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = 0;
    let mut pace = Pace::new(start);
    let mut idle = start + limits.idle;
    loop {
        let message = tokio::select! {
            message = inbox.next() => match message {
                Some(text) => {
                    idle = Instant::now() + limits.idle;
                    Message::Text(text)
                }
                None => return End::Error(TOO_SLOW),
            },
            frame = socket.recv() => {
                let Some(Ok(frame)) = frame else { return End::Gone };
                unanswered = 0;
                let now = Instant::now();
                if !pace.may(now) {
                    return End::Error(TOO_MANY);
                }
                match frame {
                    Message::Text(text) => match check_signal(&text) {
                        Ok(()) => {
                            idle = now + limits.idle;
                            membership.relay(text);
                        }
                        Err(wrong) => return End::Error(wrong),
                    },
                    Message::Binary(_) => return End::Error("messages are text"),
                    Message::Close(_) => return End::Gone,
                    Message::Ping(_) | Message::Pong(_) => {}
                }
                continue;
            }
            _ = ping.tick() => {
                if unanswered == UNANSWERED {
                    return End::Gone;
                }
                unanswered += 1;
                Message::Ping(Default::default())
            }
            _ = stopping.wait_for(|stopping| *stopping) => return End::Stopping,
            () = sleep_until(idle) => return End::Error(IDLE),
        };
        if !matches!(timeout(limits.write, socket.send(message)).await, Ok(Ok(()))) {
            return End::Gone;
        }
    }
}

/// Says why and closes. Then reads on for a moment: that sends the answer to a
/// peer's own close, and closing with unread bytes would reset the connection,
/// so that the reason is lost on the way.
async fn goodbye(socket: &mut WebSocket, end: End) {
    let reason = match end {
        End::Gone => None,
        End::Stopping => Some((STOPS, close_code::AWAY)),
        End::Error(reason) => Some((reason, close_code::POLICY)),
    };
    let _ = timeout(GOODBYE, async {
        if let Some((reason, code)) = reason {
            let error = serde_json::json!({ "error": reason }).to_string();
            socket.send(Message::text(error)).await.ok()?;
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            socket.send(Message::Close(Some(frame))).await.ok()?;
        }
        while socket.recv().await?.is_ok() {}
        Some(())
    })
    .await;
}

/// What peers may say to each other: an object with exactly one of these keys.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "read only to be checked; the text itself is passed on")]
enum Word {
    Offer(IgnoredAny),
    Answer(IgnoredAny),
    NewIceCandidate(IgnoredAny),
}

/// Whether one peer's message is passed on to the other; why not, else.
pub fn check_signal(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_MESSAGE {
        return Err(TOO_LARGE);
    }
    match serde_json::from_str::<Word>(text) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err("a message is a JSON object with one key: \"offer\", \"answer\" or \"new-ice-candidate\"")
        }
    }
}

/// Counts the frames of the current second.
pub(super) struct Pace {
    second: Instant,
    frames: u32,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { second: now, frames: 0 }
    }

    pub(super) fn may(&mut self, now: Instant) -> bool {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        self.frames += 1;
        self.frames <= FRAMES_PER_SECOND
    }
}

pub(super) fn is_room_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn shown_key(headers: &HeaderMap, query: &str) -> Option<String> {
    let in_query = || {
        form_urlencoded::parse(query.as_bytes())
            .find_map(|(name, value)| matches!(&*name, "token" | "key").then(|| value.into_owned()))
    };
    let in_protocols = || {
        headers
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|protocol| protocol.trim().strip_prefix(PROTOCOL_KEY).map(str::to_owned))
    };
    bearer(headers).map(str::to_owned).or_else(in_query).or_else(in_protocols)
}

/// Whether this is no browser, or one that shows a page of this origin: a page
/// of another one must not use what its reader may.
pub(super) fn same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let (Ok(origin), Some(host)) = (origin.to_str(), host) else { return false };
    let origin = origin.to_ascii_lowercase();
    let (authority, default_port) = match origin.split_once("://") {
        Some(("http", authority)) => (authority, ":80"),
        Some(("https", authority)) => (authority, ":443"),
        _ => return false,
    };
    let host = host.to_ascii_lowercase();
    let without_default = |name: &str| name.strip_suffix(default_port).unwrap_or(name).to_owned();
    without_default(authority) == without_default(&host)
}

#[cfg(test)]
#[path = "signal_test.rs"]
mod tests;
