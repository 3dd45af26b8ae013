//! Who relays what, and an end to it.

use floe::wire::Method;
use serde_json::json;

use crate::support::{ALICE, BOB, Client, Peer, Request, Server};

/// Several shards, so that answers are gathered from all.
fn server() -> Server {
    Server::start(|config| _ = config.set("listen.shards", 3))
}

#[test]
fn a_live_allocation_is_listed_shown_and_ended() {
    let server = server();
    let peer = Peer::new();
    let (mut alice, mut bob) = (Client::udp(&server).user(ALICE), Client::tcp(&server).user(BOB));
    let relayed = alice.allocate();
    alice.bind(0x4000, peer.address());
    alice.send_channel(0x4000, b"twelve bytes");
    peer.expect(b"twelve bytes", relayed);
    bob.allocate();

    let (status, list) = server.api("GET", "/api/sessions");
    assert_eq!((status, list["total"].as_u64()), (200, Some(2)), "{list:#}");
    let (_, found) = server.api("GET", &format!("/api/sessions?search={relayed}"));
    let session = &found["sessions"][0];
    assert_eq!(session["user"], ALICE.name);
    assert_eq!(session["transport"], "udp");
    assert_eq!(session["client"], alice.local().to_string());
    assert_eq!(session["relays"], json!([relayed.to_string()]));
    assert_eq!(session["up"], json!({"packets": 1, "bytes": 12}));
    let id = session["id"].as_str().expect("an id").to_owned();
    let (status, detail) = server.api("GET", &format!("/api/sessions/{id}"));
    assert_eq!(status, 200);
    assert_eq!(detail["permission_list"][0]["peer"], peer.ip().to_string());
    assert_eq!(detail["channel_list"][0]["number"], "0x4000");
    // Logs know it by the same name.
    server.logs(&id);

    assert_eq!(server.api("DELETE", &format!("/api/sessions/{id}")), (200, json!({"closed": 1})));
    assert_eq!(server.api("GET", &format!("/api/sessions/{id}")).0, 404);
    assert_eq!(alice.call(Request::refresh(600)).code(), 437);
    server.expect_metric("floe_allocations_closed_total", &["kicked"], 1.0);
    // Nobody else notices, and whoever was ended may begin anew.
    assert_eq!(bob.call(Request::new(Method::REFRESH)).ok().lifetime(), 600);
    alice.allocate();
}

#[test]
fn all_of_a_user_are_ended_at_once() {
    let server = server();
    let mut clients: Vec<_> = (0..12).map(|_| Client::udp(&server).user(ALICE)).collect();
    clients.iter_mut().for_each(|client| _ = client.allocate());
    let mut bob = Client::udp(&server).user(BOB);
    bob.allocate();
    let (_, users) = server.api("GET", "/api/users");
    assert_eq!(users["total"], 2);
    assert_eq!(server.api("DELETE", "/api/users/alice/sessions"), (200, json!({"closed": 12})));
    for client in &mut clients {
        assert_eq!(client.call(Request::refresh(600)).code(), 437);
    }
    assert_eq!(server.api("GET", "/api/sessions").1["total"], 1);
    bob.call(Request::refresh(600)).ok();
}
