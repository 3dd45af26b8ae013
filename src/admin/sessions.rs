//! Live allocations, for people and programs: who relays what, and an end to it.
//! Times are seconds; `opened` is since 1970-01-01 UTC. All of it takes a key.
//!
//! | path | answer |
//! |---|---|
//! | `GET /api/sessions` | `{"total", "matched", "sessions": [`[`Session`]`]}`: at most `limit` (100, up to 1,000) from `offset` on, newest first or by `sort=bytes`; `user=` is exact, `search=` finds text in id, user and addresses |
//! | `GET /api/sessions/{id}` | a [`Detail`], or 404 |
//! | `DELETE /api/sessions/{id}` | ends it: `{"closed": 1}`, or 404 |
//! | `GET /api/users` | `{"total", "users": [`[`User`]`]}`: at most `limit` (10, up to 1,000), by bytes of live sessions |
//! | `DELETE /api/users/{user}/sessions` | ends all of a user: `{"closed": n}` |
//!
//! An ended session's client is not told; its next request gets 437 (Allocation
//! Mismatch), and it may allocate anew as long as its credentials are good.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};

use super::Shared;
use super::access::Asker;
use super::query::Query;
use super::reply::{self, Refused};
use crate::relay::{
    AllocationDetail, AllocationId, AllocationSummary, FiveTuple, Instant, Now, ShardId, Traffic,
};

/// Sessions of one answer, when nothing else is asked, and at most.
const SESSIONS: u64 = 100;
const USERS: u64 = 10;
const MOST: u64 = 1000;

/// Names a session: the shard, then the allocation there, as logs do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SessionId(ShardId, AllocationId);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.0, self.1)
    }
}

impl FromStr for SessionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let mut part = |radix| u32::from_str_radix(parts.next().ok_or(())?, radix).map_err(|_| ());
        let shard = u8::try_from(part(10)?).map_err(|_| ())?;
        let id = AllocationId { index: part(16)?, generation: part(16)? };
        let id = Self(ShardId(shard), id);
        // One name each: no signs, no zeros in front.
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// One live allocation.
#[derive(Serialize)]
struct Session {
    /// `shard-allocation`, as logs name it.
    id: String,
    /// USERNAME as it was sent.
    username: String,
    /// What quotas count: the user part of a time-limited name, or the whole.
    user: String,
    /// `udp`, `tcp`, `tls` or `dtls`.
    transport: &'static str,
    client: String,
    server: String,
    /// The client's connection is gone, and it may come back by its ticket (RFC
    /// 8016): `client` is where it was.
    away: bool,
    /// One or two, IPv4 first.
    relays: Vec<String>,
    opened: u64,
    /// Since then.
    seconds: u64,
    /// Seconds until it ends unless it is refreshed.
    expires_in: u64,
    permissions: usize,
    channels: usize,
    /// From the client to peers: packets and bytes of payload.
    up: Carried,
    /// From peers to the client.
    down: Carried,
}

#[derive(Serialize)]
struct Carried {
    packets: u64,
    bytes: u64,
}

/// One live allocation, and whom it may talk to.
#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    session: Session,
    permission_list: Vec<Permission>,
    channel_list: Vec<Channel>,
    /// TCP connections with peers (RFC 6062).
    connection_list: Vec<Connection>,
}

#[derive(Serialize)]
struct Permission {
    peer: String,
    expires_in: u64,
}

#[derive(Serialize)]
struct Channel {
    /// `0x4000`
    number: String,
    peer: String,
    expires_in: u64,
}

#[derive(Serialize)]
struct Connection {
    id: String,
    peer: String,
}

/// All live sessions of one user together.
#[derive(Serialize)]
struct User {
    user: String,
    sessions: u64,
    up_bytes: u64,
    down_bytes: u64,
}

impl Session {
    fn new(now: Now, shard: ShardId, summary: &AllocationSummary) -> Self {
        let Traffic { up_packets, up_bytes, down_packets, down_bytes } = summary.traffic;
        let age = now.instant.since(summary.opened);
        Self {
            id: SessionId(shard, summary.id).to_string(),
            username: summary.username.to_string(),
            user: summary.user.to_string(),
            transport: summary.five_tuple.transport.name(),
            client: summary.five_tuple.client.to_string(),
            server: summary.five_tuple.server.to_string(),
            away: summary.away,
            relays: summary.relays.iter().flatten().map(ToString::to_string).collect(),
            opened: now.unix.secs().saturating_sub(age.as_secs()),
            seconds: age.as_secs(),
            expires_in: left(now, summary.expires),
            permissions: summary.permissions,
            channels: summary.channels,
            up: Carried { packets: up_packets, bytes: up_bytes },
            down: Carried { packets: down_packets, bytes: down_bytes },
        }
    }
}

/// Finds text in ids, names and addresses of all live sessions.
struct Search {
    /// In lower case.
    text: String,
    /// Where each field is written: there may be a hundred thousand sessions.
    field: String,
}

impl Search {
    fn finds(&mut self, shard: ShardId, summary: &AllocationSummary) -> bool {
        let FiveTuple { client, server, .. } = summary.five_tuple;
        self.is_in(&SessionId(shard, summary.id))
            || self.is_in(&summary.username)
            || self.is_in(&client)
            || self.is_in(&server)
            || summary.relays.iter().flatten().any(|relay| self.is_in(relay))
    }

    fn is_in(&mut self, field: &dyn fmt::Display) -> bool {
        self.field.clear();
        // A String takes all that is written to it.
        let _ = write!(self.field, "{field}");
        if self.field.is_ascii() {
            self.field.make_ascii_lowercase();
            self.field.contains(&self.text)
        } else {
            self.field.to_lowercase().contains(&self.text)
        }
    }
}

impl Detail {
    fn new(now: Now, shard: ShardId, detail: &AllocationDetail) -> Self {
        let permission = |&(peer, until)| Permission {
            peer: std::net::IpAddr::to_string(&peer),
            expires_in: left(now, until),
        };
        Self {
            session: Session::new(now, shard, &detail.summary),
            permission_list: detail.permissions.iter().map(permission).collect(),
            channel_list: detail
                .channels
                .iter()
                .map(|(number, peer, until)| Channel {
                    number: format!("{number:?}"),
                    peer: peer.to_string(),
                    expires_in: left(now, *until),
                })
                .collect(),
            connection_list: detail
                .connections
                .iter()
                .map(|(id, peer)| Connection { id: id.to_string(), peer: peer.to_string() })
                .collect(),
        }
    }
}

/// Whole seconds until then, rounded up.
fn left(now: Now, until: Instant) -> u64 {
    until.since(now.instant).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refused> {
    let query = Query::parse(query.as_deref());
    let limit = usize::try_from(query.number("limit", SESSIONS, MOST)?).unwrap_or(usize::MAX);
    let offset = usize::try_from(query.number("offset", 0, u64::from(u32::MAX))?).unwrap_or(usize::MAX);
    let by_bytes = match query.text("sort") {
        None | Some("opened") => false,
        Some("bytes") => true,
        Some(_) => return Err(reply::error(StatusCode::BAD_REQUEST, "sort is by opened or bytes").into()),
    };
    let mut search =
        query.text("search").map(|text| Search { text: text.to_lowercase(), field: String::new() });
    let user = query.text("user");
    let mut found = shared.steering.sessions().await;
    let now = shared.steering.now();
    let total = found.len();
    found.retain(|(shard, summary)| {
        let is_users = user.is_none_or(|user| *summary.user == *user || *summary.username == *user);
        is_users && search.as_mut().is_none_or(|search| search.finds(*shard, summary))
    });
    if by_bytes {
        found
            .sort_by_key(|(_, s)| std::cmp::Reverse(s.traffic.up_bytes.saturating_add(s.traffic.down_bytes)));
    } else {
        found.sort_by_key(|(_, summary)| std::cmp::Reverse(summary.opened));
    }
    let matched = found.len();
    let page = found.iter().skip(offset).take(limit);
    let sessions: Vec<_> = page.map(|(shard, summary)| Session::new(now, *shard, summary)).collect();
    Ok(Json(json!({ "total": total, "matched": matched, "sessions": sessions })))
}

type Named<T> = Result<Path<T>, PathRejection>;

pub(super) async fn show(State(shared): State<Arc<Shared>>, id: Named<String>) -> Response {
    let Some(SessionId(shard, id)) = parse(id) else { return no_such_session() };
    match shared.steering.session(shard, id).await {
        Some(detail) => Json(Detail::new(shared.steering.now(), shard, &detail)).into_response(),
        None => no_such_session(),
    }
}

pub(super) async fn kick(
    State(shared): State<Arc<Shared>>,
    Extension(Asker { key, source }): Extension<Asker>,
    id: Named<String>,
) -> Response {
    let Some(SessionId(shard, id)) = parse(id) else { return no_such_session() };
    if !shared.steering.kick(shard, id).await {
        return no_such_session();
    }
    tracing::info!(target: "floe::admin", %key, %source, session = %SessionId(shard, id), "session ended");
    closed(1)
}

pub(super) async fn users(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refused> {
    let limit = Query::parse(query.as_deref()).number("limit", USERS, MOST)?;
    let mut users = by_user(&shared.steering.sessions().await);
    let total = users.len();
    users.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Json(json!({ "total": total, "users": users })))
}

/// Whoever has moved most comes first.
fn by_user(sessions: &[(ShardId, AllocationSummary)]) -> Vec<User> {
    let mut users: HashMap<&Arc<str>, User> = HashMap::new();
    for (_, AllocationSummary { user, traffic, .. }) in sessions {
        let entry = users.entry(user).or_insert_with(|| User {
            user: user.to_string(),
            sessions: 0,
            up_bytes: 0,
            down_bytes: 0,
        });
        entry.sessions += 1;
        entry.up_bytes = entry.up_bytes.saturating_add(traffic.up_bytes);
        entry.down_bytes = entry.down_bytes.saturating_add(traffic.down_bytes);
    }
    let mut users: Vec<_> = users.into_values().collect();
    let moved = |user: &User| user.up_bytes.saturating_add(user.down_bytes);
    users.sort_by(|a, b| {
        (moved(b), b.sessions).cmp(&(moved(a), a.sessions)).then_with(|| a.user.cmp(&b.user))
    });
    users
}

pub(super) async fn kick_user(
    State(shared): State<Arc<Shared>>,
    Extension(Asker { key, source }): Extension<Asker>,
    user: Named<String>,
) -> Response {
    let Ok(Path(user)) = user else {
        return reply::error(StatusCode::BAD_REQUEST, "the user's name is not UTF-8");
    };
    let count = shared.steering.kick_user(user.as_str().into()).await;
    tracing::info!(target: "floe::admin", %key, %source, user, closed = count, "sessions of a user ended");
    closed(count)
}

fn parse(id: Named<String>) -> Option<SessionId> {
    id.ok()?.0.parse().ok()
}

fn closed(count: usize) -> Response {
    Json(json!({ "closed": count })).into_response()
}

fn no_such_session() -> Response {
    reply::error(StatusCode::NOT_FOUND, "there is no session of this id")
}

#[cfg(test)]
#[path = "sessions_test.rs"]
mod tests;
