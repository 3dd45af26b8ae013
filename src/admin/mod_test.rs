use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::harness::{PATIENCE, Server};
use super::server::Limits;
use super::{Admin, Readiness};

#[tokio::test]
async fn liveness_holds_and_readiness_follows_the_server() {
    let server = Server::start();
    server.readiness.send_replace(Readiness::Starting);
    for path in ["/livez", "/healthz"] {
        assert_eq!(server.get(path, "").await.status, 200, "{path}");
    }
    let answer = server.get("/readyz", "").await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "starting"));

    server.readiness.send_replace(Readiness::Serving);
    assert_eq!(server.get("/readyz", "").await.status, 200);

    server.readiness.send_replace(Readiness::Draining);
    let answer = server.get("/readyz", "").await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "draining"));
    assert_eq!(answer.body.lines().count(), 1);
    assert_eq!(server.get("/livez", "").await.status, 200);
}

#[tokio::test]
async fn every_answer_is_hardened_and_every_error_is_json() {
    let server = Server::start();
    for (method, path, status) in [
        ("GET", "/livez", 200),
        ("GET", "/metrics", 200),
        ("GET", "/nothing", 404),
        ("GET", "/../etc/passwd", 404),
        ("DELETE", "/metrics", 405),
        ("GET", "/turn?service=turn", 401),
        ("GET", "/signal/room", 401),
    ] {
        let answer = server.ask(method, path, "", "").await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert!(answer.header("content-security-policy").is_some(), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        if status != 200 {
            assert!(!answer.error().is_empty());
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_closed() {
    let server = Server::with(Limits { head: Duration::from_millis(100), ..Limits::default() }, |_| {});
    let answer = server.exchange(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow:").await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    // Nor one that says nothing at all.
    assert_eq!(server.exchange(b"").await, b"");
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_request() {
    let server = Server::with(Limits { request: Duration::from_millis(100), ..Limits::default() }, |_| {});
    let head = b"POST /turn HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nkey";
    let answer = server.exchange(head).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let server = Server::start();
    let long = "x".repeat(100_000);
    let mut stream = server.connect().await;
    // The server may close before all of it is written.
    let _ = stream.write_all(format!("GET /livez HTTP/1.1\r\nX: {long}\r\n\r\n").as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.get("/livez", "").await.status, 200);
}

#[tokio::test]
async fn a_connection_beyond_the_limit_takes_the_place_of_the_oldest() {
    let server = Server::with(Limits { connections: 1, ..Limits::default() }, |_| {});
    let mut holder = server.connect().await;
    holder.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    holder.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    assert_eq!(server.get("/livez", "").await.status, 200);
    let mut rest = Vec::new();
    // Closed, in order or not.
    let _ = timeout(PATIENCE, holder.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn it_stops_with_idle_connections_open() {
    let server = Server::start();
    let mut idle = server.connect().await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let address = server.address;
    server.stop().await;
    let mut rest = Vec::new();
    timeout(PATIENCE, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[test]
fn a_taken_default_address_gives_way_and_a_chosen_one_does_not() {
    let first = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let taken = first.address();
    assert_eq!(Admin::bind(taken).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    let second = Admin::bind_or_free(taken).unwrap();
    assert_eq!(second.address().ip(), taken.ip());
    assert_ne!(second.address().port(), taken.port());
    // Not an address of this machine: another port would not help.
    assert!(Admin::bind_or_free("192.0.2.1:8080".parse().unwrap()).is_err());
}

#[test]
fn the_url_of_an_unspecified_address_is_reachable() {
    let admin = Admin::bind("0.0.0.0:0".parse().unwrap()).unwrap();
    assert_eq!(admin.url(), format!("http://127.0.0.1:{}", admin.address().port()));
}
