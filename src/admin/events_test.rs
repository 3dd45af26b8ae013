use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::super::harness::{self, PATIENCE, Server};
use super::super::{ApiKey, Grants, Live, Terms};
use super::*;

const OFFER: &str = r#"{"offer": {"type":"offer", "sdp":"v=0"}}"#;
const CANDIDATE: &str = r#"{"new-ice-candidate":null}"#;

/// A peer that came over HTTP.
struct Peer {
    stream: BufReader<TcpStream>,
    room: String,
    member: String,
}

impl Peer {
    async fn join(server: &Server, room: &str) -> Self {
        Self::join_with(server, room, "run-token").await
    }

    async fn join_with(server: &Server, room: &str, key: &str) -> Self {
        let mut stream = BufReader::new(server.connect().await);
        let request = format!(
            "GET /signal/{room}/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\r\n",
            server.address
        );
        stream.get_mut().write_all(request.as_bytes()).await.unwrap();
        let mut peer = Self { stream, room: room.to_owned(), member: String::new() };
        assert_eq!(peer.line().await.unwrap(), "HTTP/1.1 200 OK");
        while !peer.line().await.unwrap().is_empty() {}
        assert_eq!(peer.next().await.unwrap(), "event: joined");
        let json: serde_json::Value = serde_json::from_str(&peer.hear().await).unwrap();
        peer.member = json["member"].as_str().unwrap().to_owned();
        peer
    }

    /// One line of the answer, whatever it is; `None` at its end.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await.unwrap().unwrap();
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next line of an event, past chunk sizes and empty lines.
    async fn next(&mut self) -> Option<String> {
        loop {
            let line = self.line().await?;
            if line.starts_with(':') || line.starts_with("data:") || line.starts_with("event:") {
                return Some(line);
            }
        }
    }

    async fn hear(&mut self) -> String {
        loop {
            let line = self.next().await.expect("an event");
            if let Some(data) = line.strip_prefix("data: ") {
                return data.to_owned();
            }
        }
    }

    /// Hears an error, and that it is the last.
    async fn hear_error(&mut self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.hear().await).unwrap();
        assert_eq!(self.next().await, None);
        json["error"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
    }

    async fn say(&self, server: &Server, text: &str) -> u16 {
        say(server, &self.room, &self.member, text).await
    }
}

async fn say(server: &Server, room: &str, member: &str, text: &str) -> u16 {
    let headers = format!("Floe-Member: {member}\r\n");
    server.ask("POST", &format!("/signal/{room}/messages"), &headers, text).await.status
}

#[tokio::test]
async fn two_peers_talk_over_http_and_part() {
    let server = Server::start();
    let mut first = Peer::join(&server, "r").await;
    assert_eq!(first.hear().await, r#"{"peers":1}"#);
    let mut second = Peer::join(&server, "r").await;
    assert_eq!(second.hear().await, r#"{"peers":2}"#);
    assert_eq!(first.hear().await, r#"{"peers":2}"#);
    for text in [OFFER, CANDIDATE, CANDIDATE] {
        assert_eq!(first.say(&server, text).await, 204);
        assert_eq!(second.hear().await, text);
    }
    assert_eq!(second.say(&server, r#"{"answer":{}}"#).await, 204);
    assert_eq!(first.hear().await, r#"{"answer":{}}"#);
    let member = std::mem::take(&mut first.member);
    drop(first.stream);
    assert_eq!(second.hear().await, r#"{"left":true}"#);
    assert_eq!(second.hear().await, r#"{"peers":1}"#);
    // Whoever has left speaks no more.
    first = Peer::join(&server, "other").await;
    first.member = member;
    assert_eq!(first.say(&server, OFFER).await, 403);
}

#[tokio::test]
async fn tenants_have_rooms_of_their_own() {
    let server = Server::with(Limits::default(), |state| {
        let key = |key: &str, secret: Option<&str>| ApiKey {
            name: key.to_owned(),
            key: key.to_owned(),
            terms: Terms { secret: secret.map(str::to_owned), ..Terms::unlimited() },
        };
        let api_keys = vec![key("own", None), key("shop", Some("shop")), key("shop-2", Some("shop"))];
        let grants = Grants { api_keys, ..harness::grants() };
        state.live = Arc::new(Live::new("run-token", grants, harness::reach()));
    });
    let invitation = server.ask("POST", "/api/page/invitation?room=r", "Authorization: Bearer shop\r\n", "");
    let invitation = invitation.await.json()["invitation"].as_str().unwrap().to_owned();
    let mut first = Peer::join_with(&server, "r", "shop").await;
    assert_eq!(first.hear().await, r#"{"peers":1}"#);
    let mut administrator = Peer::join(&server, "r").await;
    assert_eq!(administrator.hear().await, r#"{"peers":1}"#);
    let mut other = Peer::join_with(&server, "r", "own").await;
    assert_eq!(other.hear().await, r#"{"peers":2}"#);
    for key in ["shop-2", &invitation] {
        let mut other = Peer::join_with(&server, "r", key).await;
        assert_eq!(other.hear().await, r#"{"peers":2}"#, "{key}");
        assert_eq!(other.say(&server, OFFER).await, 204);
        drop(other);
        let heard = [first.hear().await, first.hear().await, first.hear().await, first.hear().await];
        assert_eq!(heard, [r#"{"peers":2}"#, OFFER, r#"{"left":true}"#, r#"{"peers":1}"#]);
    }
}

#[tokio::test]
async fn a_message_on_several_lines_stays_one() {
    let server = Server::start();
    let first = Peer::join(&server, "r").await;
    let mut second = Peer::join(&server, "r").await;
    assert_eq!(second.hear().await, r#"{"peers":2}"#);
    assert_eq!(first.say(&server, "{\"offer\":\r\n 1}").await, 204);
    assert_eq!([second.hear().await, second.hear().await, second.hear().await], ["{\"offer\":", "", " 1}"]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_a_reason_and_changes_nothing() {
    let server = Server::start();
    let mut first = Peer::join(&server, "r").await;
    let mut second = Peer::join(&server, "r").await;
    assert_eq!(second.hear().await, r#"{"peers":2}"#);
    let large = format!(r#"{{"offer":"{}"}}"#, "x".repeat(MAX_MESSAGE));
    for (text, status) in [("hello", 400), (r#"{"peers":9}"#, 400), ("", 400), (&large, 413)] {
        assert_eq!(first.say(&server, text).await, status);
    }
    for (path, headers, status) in [
        ("/signal/r/messages", "", 403),
        ("/signal/r/messages", "Floe-Member: nobody\r\n", 403),
        ("/signal/r/messages", "Origin: http://evil.example\r\n", 403),
    ] {
        let answer = server.ask("POST", path, headers, OFFER).await;
        assert_eq!(answer.status, status, "{headers}");
        assert!(!answer.error().is_empty());
    }
    // A member of one room is nobody in another.
    first.room = "s".to_owned();
    assert_eq!(first.say(&server, OFFER).await, 403);
    first.room = "r".to_owned();
    assert_eq!(first.say(&server, OFFER).await, 204);
    assert_eq!(second.hear().await, OFFER);
    // A third finds the room full, and nobody hears of it.
    let key = "Authorization: Bearer run-token\r\n";
    let answer = server.get("/signal/r/events", key).await;
    assert_eq!((answer.status, answer.error().as_str()), (409, "this room has two peers already"));
    assert_eq!(server.get("/signal/r/events", "").await.status, 401);
    assert_eq!(server.get("/signal/a%20b/events", key).await.status, 400);
    let foreign = format!("{key}Origin: http://evil.example\r\n");
    assert_eq!(server.get("/signal/q/events", &foreign).await.status, 403);
    assert_eq!(second.say(&server, CANDIDATE).await, 204);
}

#[tokio::test]
async fn who_does_not_read_is_put_out_and_disconnected() {
    let short = Duration::from_millis(200);
    let limits = Limits { write: short, connection: short, request: short, ..Limits::default() };
    let server = Server::with(limits, |_| {});
    let mut first = Peer::join(&server, "r").await;
    let mut silent = Peer::join(&server, "r").await;
    assert_eq!(first.hear().await, r#"{"peers":1}"#);
    assert_eq!(first.hear().await, r#"{"peers":2}"#);
    // More than the queue and all buffers between hold, as fast as it is allowed.
    let large = format!(r#"{{"offer":"{}"}}"#, "x".repeat(MAX_MESSAGE - 12));
    let member = first.member.clone();
    let flood = async {
        let mut refused = 0;
        loop {
            match say(&server, "r", &member, &large).await {
                204 => {}
                // Too fast, or this machine is too slow.
                429 | 408 => {
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                status => panic!("{status} after {refused} refused"),
            }
        }
    };
    tokio::select! {
        () = flood => {}
        heard = first.hear() => assert_eq!(heard, r#"{"left":true}"#),
    }
    // Its connection is one like any other now, and has had its time.
    let closed = async {
        while silent.stream.get_mut().write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn peers_over_http_are_bounded_with_all_others() {
    let limits = Limits { sockets: 1, rooms: 5, ..Limits::default() };
    let server = Server::with(limits, |_| {});
    let first = Peer::join(&server, "r").await;
    let key = "Authorization: Bearer run-token\r\n";
    assert_eq!(server.get("/signal/r/events", key).await.status, 503);
    drop(first);
    let server = Server::with(Limits { rooms: 1, ..Limits::default() }, |_| {});
    let _first = Peer::join(&server, "r").await;
    assert_eq!(server.get("/signal/s/events", key).await.status, 503);
}

#[tokio::test]
async fn who_says_and_hears_nothing_is_closed() {
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::default() };
    let server = Server::with(limits, |_| {});
    let mut peer = Peer::join(&server, "r").await;
    assert_eq!(peer.hear().await, r#"{"peers":1}"#);
    assert_eq!(peer.hear_error().await, signal::IDLE);
}

#[tokio::test]
async fn a_stream_outlives_the_age_of_connections_and_makes_no_room() {
    let short = Duration::from_millis(50);
    let limits =
        Limits { connections: 1, connection: short, request: short, ping: short, ..Limits::default() };
    let server = Server::with(limits, |_| {});
    let mut peer = Peer::join(&server, "r").await;
    assert_eq!(peer.hear().await, r#"{"peers":1}"#);
    for _ in 0..6 {
        assert_eq!(peer.next().await.unwrap(), ":");
    }
    assert_eq!(server.get("/livez", "").await.status, 200);
    assert_eq!(server.get("/livez", "").await.status, 200);
    assert_eq!(peer.next().await.unwrap(), ":");
}

#[tokio::test]
async fn a_stopping_server_says_so_to_streams() {
    let server = Server::start();
    let mut peer = Peer::join(&server, "r").await;
    assert_eq!(peer.hear().await, r#"{"peers":1}"#);
    let (error, ()) = tokio::join!(peer.hear_error(), server.stop());
    assert_eq!(error, signal::STOPS);
}
