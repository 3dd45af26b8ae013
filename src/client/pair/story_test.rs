//! Whole runs, against the `turn` crate's own server: the story itself is under
//! test here, not a server.

use super::*;
use futures_util::{SinkExt, StreamExt};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_tungstenite::tungstenite::Message;
use turn::auth::{AuthHandler, generate_auth_key};
use turn::relay::relay_static::RelayAddressGeneratorStatic;
use turn::server::Server;
use turn::server::config::{ConnConfig, ServerConfig};
use webrtc_util::vnet::net::Net;

struct OneUser;

impl AuthHandler for OneUser {
    fn auth_handle(&self, username: &str, realm: &str, _: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        Ok(generate_auth_key(username, realm, "p"))
    }
}

async fn turn_server() -> (Server, u16) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let relays = RelayAddressGeneratorStatic {
        relay_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        address: "127.0.0.1".to_owned(),
        net: Arc::new(Net::new(None)),
    };
    let config = ServerConfig {
        conn_configs: vec![ConnConfig { conn: Arc::new(socket), relay_addr_generator: Box::new(relays) }],
        realm: "test".to_owned(),
        auth_handler: Arc::new(OneUser),
        channel_bind_timeout: Duration::ZERO,
        alloc_close_notify: None,
    };
    (Server::new(config).await.unwrap(), port)
}

fn options(port: u16, policy: Policy, meeting: Meeting) -> Options {
    Options {
        server: ServerUrl { host: "127.0.0.1".to_owned(), port, transport: None },
        transport: Transport::Udp,
        ca: None,
        credentials: Credentials { username: "u".to_owned(), password: "p".to_owned() },
        policy,
        meeting,
        admin: None,
        timeout: Duration::from_secs(20),
    }
}

/// Two visitors; what one says the other hears.
async fn room() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut visitors = Vec::new();
        for count in 1..=2 {
            let (stream, _) = listener.accept().await.unwrap();
            visitors.push(tokio_tungstenite::accept_async(stream).await.unwrap());
            for visitor in &mut visitors {
                visitor.send(Message::text(format!(r#"{{"peers":{count}}}"#))).await.unwrap();
            }
        }
        let (second, first) = (visitors.pop().unwrap(), visitors.pop().unwrap());
        let ((mut to_first, from_first), (mut to_second, from_second)) = (first.split(), second.split());
        let text = |message: &Result<Message, _>| std::future::ready(matches!(message, Ok(Message::Text(_))));
        let (mut from_first, mut from_second) = (from_first.take_while(text), from_second.take_while(text));
        tokio::select! {
            _ = to_second.send_all(&mut from_first) => {}
            _ = to_first.send_all(&mut from_second) => {}
        }
        let left = Message::text(r#"{"left":true}"#);
        let _ = tokio::join!(to_first.send(left.clone()), to_second.send(left));
    });
    format!("ws://{address}")
}

fn in_room(server: &str, role: Option<Role>) -> Meeting {
    Meeting::Room { room: Room { server: server.to_owned(), name: "den".to_owned(), token: None }, role }
}

#[track_caller]
fn assert_connected(report: &Report, way: &str) {
    let text = report.render(false);
    assert!(report.ok, "{text}");
    assert!(report.verdict.starts_with(way), "{text}");
    for check in &report.checks {
        let expected = if check.step == Step::ServerBytes { Status::NotChecked } else { Status::Ok };
        assert_eq!(check.status, expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_here_see_every_step_and_leave_nothing_behind() {
    // The server on a runtime of its own, so that the pair's tasks can be counted.
    let elsewhere = tokio::runtime::Runtime::new().unwrap();
    let (server, port) = elsewhere.spawn(turn_server()).await.unwrap();
    let report = run(options(port, Policy::Relay, Meeting::Here), |_| {}).await;
    assert_connected(&report, "connected through relay (relay/relay, udp to 127.0.0.1:");
    assert!(report.adapter.is_none());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    // The last task and the server's side of the last request end in their own time.
    let mut left = (tasks(), server.get_allocations_info(None).await.unwrap().len());
    for _ in 0..3_000 {
        if left == (0, 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        left = (tasks(), server.get_allocations_info(None).await.unwrap().len());
    }
    assert_eq!(left, (0, 0), "tasks and allocations");
    server.close().await.unwrap();
    elsewhere.shutdown_background();
}

/// An admin address whose `/metrics` counts `per_scrape` bytes more each time.
async fn admin(per_scrape: u64) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for scrape in 1..=2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await.unwrap();
            let page = format!("HTTP/1.1 200 OK\r\n\r\nfloe_peer_bytes_total {}\n", scrape * per_scrape);
            stream.write_all(page.as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_count_must_cover_what_was_sent() {
    let (server, port) = turn_server().await;
    for (per_scrape, status) in [(1_000_000_000, Status::Ok), (1_000, Status::Failed)] {
        let admin = Some(admin(per_scrape).await);
        let report = run(Options { admin, ..options(port, Policy::Relay, Meeting::Here) }, |_| {}).await;
        let check = report.checks.iter().find(|check| check.step == Step::ServerBytes).unwrap();
        assert_eq!((check.status, report.ok), (status, status == Status::Ok), "{}", check.detail);
    }
    server.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_policy_all_a_direct_pair_is_taken() {
    let (server, port) = turn_server().await;
    let report = run(options(port, Policy::All, Meeting::Here), |_| {}).await;
    assert_connected(&report, "connected directly (host/");
    server.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_meet_in_a_room_with_given_roles_or_without() {
    let (server, port) = turn_server().await;
    for roles in [[Some(Role::Answer), Some(Role::Offer)], [None, None]] {
        let room = room().await;
        let visit = |role| run(options(port, Policy::Relay, in_room(&room, role)), |_| {});
        let (one, other) = tokio::join!(visit(roles[0]), visit(roles[1]));
        assert_connected(&one, "connected through relay");
        assert_connected(&other, "connected through relay");
    }
    server.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_both_offer_are_told_so() {
    let (server, port) = turn_server().await;
    let room = room().await;
    let visit = || run(options(port, Policy::Relay, in_room(&room, Some(Role::Offer))), |_| {});
    let (one, other) = tokio::join!(visit(), visit());
    assert!(!one.ok && !other.ok);
    let told = [&one, &other].iter().any(|report| report.verdict.contains("--role answer"));
    assert!(told, "{}\n{}", one.render(false), other.render(false));
    server.close().await.unwrap();
}
