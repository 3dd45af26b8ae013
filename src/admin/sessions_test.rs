use super::super::harness::Server;
use super::*;

const KEY: &str = "Authorization: Bearer run-token\r\n";

#[test]
fn a_session_has_one_name() {
    let id = SessionId(ShardId(3), AllocationId { index: 0x2a, generation: 0xff });
    assert_eq!(id.to_string(), "3-2a-ff");
    assert_eq!("3-2a-ff".parse(), Ok(id));
    for wrong in [
        "",
        "3",
        "3-2a",
        "3-2a-ff-0",
        "03-2a-ff",
        "3-2A-ff",
        "+3-2a-ff",
        "256-2a-ff",
        "3--ff",
        "3-2a-100000000",
    ] {
        assert_eq!(wrong.parse::<SessionId>(), Err(()), "{wrong}");
    }
}

#[tokio::test]
async fn sessions_are_listed_newest_first_or_by_bytes() {
    let server = Server::start();
    let json = server.get("/api/sessions", KEY).await.json();
    assert_eq!((json["total"].as_u64(), json["matched"].as_u64()), (Some(2), Some(2)));
    let bob = &json["sessions"][0];
    assert_eq!(
        *bob,
        json!({
            "id": "1-2-1f", "username": "1790000000:bob", "user": "bob", "transport": "udp",
            "client": "198.51.100.2:5000", "server": "192.0.2.1:3478", "away": true,
            "relays": ["192.0.2.1:50002"], "opened": 1_756_200_200, "seconds": 200,
            "expires_in": 600, "permissions": 1, "channels": 1,
            "up": {"packets": 1, "bytes": 700}, "down": {"packets": 2, "bytes": 0},
        })
    );
    let first = |answer: &serde_json::Value| answer["sessions"][0]["user"].as_str().map(str::to_owned);
    let by_bytes = server.get("/api/sessions?sort=bytes", KEY).await.json();
    assert_eq!(first(&by_bytes).as_deref(), Some("alice"));
    let second = server.get("/api/sessions?limit=1&offset=1", KEY).await.json();
    assert_eq!((first(&second).as_deref(), second["sessions"].as_array().unwrap().len()), (Some("alice"), 1));
}

#[tokio::test]
async fn sessions_are_searched() {
    let server = Server::start();
    for (query, users) in [
        ("search=ALI", vec!["alice"]),
        ("search=198.51.100.2", vec!["bob"]),
        ("search=50001", vec!["alice"]),
        ("search=1-2-1f", vec!["bob"]),
        ("search=nobody", vec![]),
        ("user=bob", vec!["bob"]),
        ("user=1790000000%3Aalice", vec!["alice"]),
        ("user=bo", vec![]),
    ] {
        let json = server.get(&format!("/api/sessions?{query}"), KEY).await.json();
        let found: Vec<_> =
            json["sessions"].as_array().unwrap().iter().map(|s| s["user"].as_str().unwrap()).collect();
        assert_eq!(found, users, "{query}");
        assert_eq!((json["total"].as_u64(), json["matched"].as_u64()), (Some(2), Some(users.len() as u64)));
    }
    for wrong in ["limit=x", "limit=1001", "limit=-1", "offset=1e3", "sort=name"] {
        let answer = server.get(&format!("/api/sessions?{wrong}"), KEY).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(!answer.error().is_empty());
    }
}

#[tokio::test]
async fn one_session_is_shown_with_all_it_may_reach() {
    let server = Server::start();
    let json = server.get("/api/sessions/0-1-1f", KEY).await.json();
    assert_eq!(json["user"], "alice");
    assert_eq!(json["permission_list"], json!([{"peer": "203.0.113.9", "expires_in": 100}]));
    let channel = json!([{"number": "0x4000", "peer": "203.0.113.9:7000", "expires_in": 100}]);
    assert_eq!(json["channel_list"], channel);
    assert_eq!(json["connection_list"][0]["peer"], "203.0.113.9:7000");
    for missing in ["0-2-1f", "x", "%FF", "0-1-1F"] {
        let answer = server.get(&format!("/api/sessions/{missing}"), KEY).await;
        assert_eq!(answer.status, 404, "{missing}");
        assert!(!answer.error().is_empty());
    }
}

#[tokio::test]
async fn sessions_are_ended_by_id_and_by_user() {
    let server = Server::start();
    let end = async |path: &str| server.ask("DELETE", path, KEY, "").await;
    let answer = end("/api/sessions/0-1-1f").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"closed": 1})));
    assert_eq!(end("/api/sessions/0-1-1f").await.status, 404);
    assert_eq!(end("/api/users/alice/sessions").await.json(), json!({"closed": 0}));
    assert_eq!(end("/api/users/bob/sessions").await.json(), json!({"closed": 1}));
    assert_eq!(end("/api/users/%FF/sessions").await.status, 400);
    assert_eq!(server.get("/api/sessions", KEY).await.json()["total"], 0);
}

#[tokio::test]
async fn users_are_summed_up() {
    let server = Server::start();
    let alice = json!({"user": "alice", "sessions": 1, "up_bytes": 900, "down_bytes": 0});
    let json = server.get("/api/users?limit=1", KEY).await.json();
    assert_eq!(json, json!({"total": 2, "users": [alice]}));
}

#[tokio::test]
async fn nothing_under_api_is_open() {
    let server = Server::start();
    for (method, path) in [
        ("GET", "/api/sessions"),
        ("GET", "/api/sessions/0-1-1f"),
        ("DELETE", "/api/sessions/0-1-1f"),
        ("GET", "/api/users"),
        ("DELETE", "/api/users/alice/sessions"),
        ("GET", "/api/status"),
        ("GET", "/api/history"),
        ("POST", "/api/drain"),
        ("GET", "/api/nothing"),
        ("PUT", "/api/status"),
    ] {
        // Not by a URL either: those end up in logs and histories.
        for path in [path.to_owned(), format!("{path}?token=run-token&key=run-token")] {
            assert_eq!(server.ask(method, &path, "", "").await.status, 401, "{method} {path}");
        }
        let wrong = "Authorization: Bearer wrong\r\n";
        assert_eq!(server.ask(method, path, wrong, "").await.status, 401, "{method} {path}");
    }
    assert_eq!(server.get("/api/nothing", KEY).await.status, 404);
    assert_eq!(server.ask("PUT", "/api/status", KEY, "").await.status, 405);
    let key = "Authorization: Bearer janus-key\r\n";
    assert_eq!(server.get("/api/status", key).await.status, 200);
}
