//! The server at a glance, its last hour, and a drain.

use crate::support::{ALICE, BOB, Client, Request, Server};

#[test]
fn the_status_counts_what_is_live() {
    let server = Server::start(|config| _ = config.set("listen.shards", 2));
    let mut alice = Client::tcp(&server).user(ALICE);
    alice.allocate();
    let (code, status) = server.api("GET", "/api/status");
    assert_eq!(code, 200);
    assert_eq!(status["state"], "serving");
    assert_eq!(status["allocations"]["tcp"], 1, "{status:#}");
    assert_eq!(status["relays"][0]["ports_used"], 1);
    assert_eq!(status["shards"].as_array().expect("a list").len(), 2);
    assert!(status["shards"][0]["cpu_seconds"].as_f64() > Some(0.0), "{status:#}");
    // A challenge is a step of every login.
    assert_eq!(status["counts"]["errors"]["401"], 1);
    assert_eq!(status["listeners"].as_array().expect("a list").len(), 4);
}

#[test]
fn a_drain_refuses_the_new_and_keeps_the_live() {
    let server = Server::start(|_| {});
    let mut alice = Client::udp(&server).user(ALICE);
    alice.allocate();
    assert_eq!(server.api("POST", "/api/drain").0, 200);
    assert_eq!(server.get("/readyz").0, 503);
    assert_eq!(server.api("GET", "/api/status").1["state"], "draining");
    assert_eq!(Client::udp(&server).user(BOB).call(Request::allocate()).code(), 508);
    alice.call(Request::refresh(600)).ok();
}

#[test]
fn the_last_hour_begins_with_the_start() {
    let server = Server::start(|_| {});
    let (code, history) = server.api("GET", "/api/history");
    assert_eq!(code, 200);
    assert_eq!(history["interval"], 5);
    let series = history["series"].as_object().expect("an object");
    let lengths: Vec<_> = series.values().map(|values| values.as_array().expect("a list").len()).collect();
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{history:#}");
    assert_eq!(server.api("GET", "/api/history?since=x").0, 400);
}
