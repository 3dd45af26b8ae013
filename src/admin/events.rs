//! A signaling room over plain HTTP, for where a WebSocket can't pass. Same rooms,
//! same messages, same bounds as [`signal`](super::signal).
//!
//! `GET /signal/{room}/events` enters and answers server-sent events: first
//! `event: joined` with `{"member": "…"}`, then each message as `data:`, in the
//! end `{"error": "…"}` if the server closes. `POST /signal/{room}/messages` with
//! that member in the header `Floe-Member` sends the body to the other peer: 204,
//! or an error that changes nothing. Whoever ends the answer has left the room.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::ws::Utf8Bytes;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::Shared;
use super::access::random_token;
use super::reply::{self, Refused};
use super::rooms::{Closed, Inbox, Membership};
use super::server::{Limits, Source, Stays};
use super::signal::{self, Admitted, MAX_MESSAGE, Pace, check_signal};

/// Who posts a message.
const MEMBER: HeaderName = HeaderName::from_static("floe-member");
/// Events on their way to one peer's connection.
const UNDER_WAY: usize = 4;

/// Members that came over HTTP, by the name they were given.
#[derive(Default)]
pub(super) struct Members(Mutex<HashMap<String, Weak<Member>>>);

/// One of them. It leaves when its stream of events ends.
struct Member {
    room: String,
    membership: Membership,
    pace: Mutex<Pace>,
    /// When it last sent something.
    spoke: watch::Sender<Instant>,
}

impl Members {
    fn add(&self, name: &str, member: &Arc<Member>) {
        self.lock().insert(name.to_owned(), Arc::downgrade(member));
    }

    fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    fn find(&self, name: &str) -> Option<Arc<Member>> {
        self.lock().get(name)?.upgrade()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Member>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn join(
    State(shared): State<Arc<Shared>>,
    Extension(Source(source)): Extension<Source>,
    Extension(stays): Extension<Stays>,
    room: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let query = query.unwrap_or_default();
    let Admitted { room, name, permit } = signal::admit(&shared, source, room, &query, &headers)?;
    let (membership, inbox) = shared.rooms.join(&name).map_err(|closed| {
        let status = match closed {
            Closed::Full => StatusCode::CONFLICT,
            Closed::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        };
        reply::error(status, closed.text())
    })?;
    let now = Instant::now();
    let (spoke, heard) = watch::channel(now);
    let member = Arc::new(Member { room, membership, pace: Mutex::new(Pace::new(now)), spoke });
    let (out, events) = mpsc::channel(UNDER_WAY);
    let talk = Talk { out, inbox, heard, limits: shared.limits, stopping: shared.stopping.clone() };
    stays.set(true);
    tokio::spawn(attend(shared, member, talk, stays, permit));
    let events = stream::unfold(events, |mut events| async {
        let event: Bytes = events.recv().await?;
        Some((Ok::<_, Infallible>(event), events))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // The connection has been exempt from its time limit for this.
        (header::CONNECTION, HeaderValue::from_static("close")),
        // nginx would keep events back to fill its buffer.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// The server's end of one stream of events.
struct Talk {
    out: mpsc::Sender<Bytes>,
    inbox: Inbox,
    heard: watch::Receiver<Instant>,
    limits: Limits,
    stopping: watch::Receiver<bool>,
}

/// Holds a member's place until its stream of events has ended.
async fn attend(
    shared: Arc<Shared>,
    member: Arc<Member>,
    talk: Talk,
    stays: Stays,
    permit: OwnedSemaphorePermit,
) {
    let name = random_token();
    shared.members.add(&name, &member);
    let joined = format!("event: joined\ndata: {}\n\n", serde_json::json!({ "member": name }));
    talk.run(joined).await;
    // Who was put out for not reading has a connection like any other.
    stays.set(false);
    shared.members.remove(&name);
    drop(member);
    drop(permit);
}

impl Talk {
    async fn run(mut self, joined: String) {
        if self.send(joined).await.is_none() {
            return;
        }
        if let Some(error) = self.converse().await {
            let error = serde_json::json!({ "error": error });
            self.send(format!("data: {error}\n\n")).await;
        }
    }

    /// Passes on what comes until there is a reason to close, which is told, or
    /// nobody to tell.
    async fn converse(&mut self) -> Option<&'static str> {
        let start = Instant::now();
        let mut ping = interval_at(start + self.limits.ping, self.limits.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut got = start;
        loop {
            let idle = got.max(*self.heard.borrow()) + self.limits.idle;
            let event = tokio::select! {
                message = self.inbox.next() => match message {
                    Some(text) => {
                        got = Instant::now();
                        event(&text)
                    }
                    None => return Some(signal::TOO_SLOW),
                },
                // A comment, which keeps proxies from giving up and finds out who is gone.
                _ = ping.tick() => ":\n\n".to_owned(),
                _ = self.stopping.wait_for(|stopping| *stopping) => return Some(signal::STOPS),
                () = sleep_until(idle) => {
                    if *self.heard.borrow() + self.limits.idle > Instant::now() {
                        continue;
                    }
                    return Some(signal::IDLE);
                }
                () = self.out.closed() => return None,
            };
            self.send(event).await?;
        }
    }

    async fn send(&self, event: String) -> Option<()> {
        timeout(self.limits.write, self.out.send(event.into())).await.ok()?.ok()
    }
}

/// One event; a line each, since an event's lines come out joined by newlines.
fn event(text: &str) -> String {
    // CR ends a line too, and within JSON it means no more than a newline.
    let lines = text.split(['\n', '\r']).map(|line| format!("data: {line}\n"));
    lines.chain(std::iter::once("\n".to_owned())).collect()
}

pub(super) async fn say(
    State(shared): State<Arc<Shared>>,
    room: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<StatusCode, Refused> {
    if !signal::same_origin(request.headers()) {
        return Err(signal::other_origin().into());
    }
    let name = request.headers().get(MEMBER).and_then(|name| name.to_str().ok());
    let member = name.and_then(|name| shared.members.find(name));
    let member = member.filter(|member| room.is_ok_and(|Path(room)| room == member.room));
    let nobody = "Floe-Member is nobody in this room: enter it by GET …/events";
    let member = member.ok_or_else(|| reply::error(StatusCode::FORBIDDEN, nobody))?;
    let now = Instant::now();
    if !member.pace.lock().unwrap_or_else(PoisonError::into_inner).may(now) {
        return Err(reply::error(StatusCode::TOO_MANY_REQUESTS, signal::TOO_MANY).into());
    }
    let too_large = |_| reply::error(StatusCode::PAYLOAD_TOO_LARGE, signal::TOO_LARGE);
    let body = to_bytes(request.into_body(), MAX_MESSAGE).await.map_err(too_large)?;
    let wrong = |text| reply::error(StatusCode::BAD_REQUEST, text);
    let text = Utf8Bytes::try_from(body).map_err(|_| wrong("messages are text"))?;
    check_signal(&text).map_err(wrong)?;
    member.spoke.send_replace(now);
    member.membership.relay(text);
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
#[path = "events_test.rs"]
mod tests;
