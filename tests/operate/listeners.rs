//! Listeners that a reload adds: they are served, everybody is told of them, and
//! those who were there notice nothing. One that can't be had changes nothing.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use serde_json::{Value, json};

use crate::commands::{ask, text};
use crate::reload::{refused, relayed_while, reload, reloads};
use crate::support::{ALICE, Authority, Client, Config, Peer, Request, Server, own_address};

/// One address more in each list, at a port of the kernel's choice.
fn one_more_each(config: &mut Config) {
    for key in ["listen.udp", "listen.tcp", "listen.tls", "listen.dtls"] {
        config.set(key, vec!["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"]);
    }
}

/// The listeners of this transport that have come to those of the start.
fn added(server: &Server, transport: &str, before: &[SocketAddr]) -> SocketAddr {
    let new: Vec<_> = server.all(transport).into_iter().filter(|a| !before.contains(a)).collect();
    assert_eq!(new.len(), 1, "{transport}: {:?}", server.runtime());
    new[0]
}

#[test]
fn a_hundred_relaying_allocations_lose_nothing_while_listeners_are_added() {
    let authority = Authority::new();
    let mut server = Server::start(|config| {
        authority.secure(config);
        config.set("listen.tls", vec!["127.0.0.1:0", "[::1]:0"]);
        config.set("listen.dtls", vec!["127.0.0.1:0", "[::1]:0"]);
    });
    let before = ["udp", "tcp", "tls", "dtls"].map(|transport| (transport, server.all(transport)));
    relayed_while(&server, |_| {
        let told = reload(&server, |config| {
            authority.secure(config);
            one_more_each(config);
        });
        let all = json!(["listen.udp", "listen.tcp", "listen.tls", "listen.dtls"]);
        assert_eq!((&told["changed"], &told["needs_restart"]), (&all, &json!([])));
    });
    server.look_again();
    let [udp, tcp, tls, dtls] = before.map(|(transport, before)| added(&server, transport, &before));
    let peer = Peer::new();
    // Several of each, so that every shard gets one.
    for _ in 0..8 {
        let clients = [
            Client::udp_from(udp.ip(), udp),
            Client::tcp_to(tcp),
            authority.over_tls(tls),
            authority.over_dtls(dtls),
        ];
        for client in clients {
            let mut client = client.user(ALICE);
            let relayed = client.allocate();
            client.permit(peer.ip());
            client.exchange(relayed, &peer);
        }
    }
    // The next reload finds them open.
    let told = reload(&server, |config| {
        authority.secure(config);
        one_more_each(config);
    });
    assert_eq!((&told["changed"], &told["needs_restart"]), (&json!([]), &json!([])));
}

/// A server that was started without certificates.
#[test]
fn the_first_listeners_for_tls_and_dtls_come_with_their_certificate() {
    let authority = Authority::new();
    let mut server = Server::start(|_| {});
    let told = reload(&server, |config| {
        authority.secure(config);
        config.set("listen.dtls", vec!["127.0.0.1:0"]);
    });
    let changed = json!(["listen.tls", "listen.dtls", "tls.certificate", "tls.private-key"]);
    assert_eq!((&told["changed"], &told["needs_restart"]), (&changed, &json!([])));
    server.look_again();
    authority.over_tls(server.all("tls")[0]).user(ALICE).allocate();
    authority.over_dtls(server.all("dtls")[0]).user(ALICE).allocate();
    server.wait_until("they are counted", || {
        server.metric("floe_tls_handshakes_total", &["outcome=\"done\""]) == 2.0
    });
    let (_, status) = server.api("GET", "/api/status");
    for by in ["tcp", "udp"] {
        let mut urls = status["urls"].as_array().expect("URLs").iter().filter_map(Value::as_str);
        let named = |url: &str| url.starts_with("turns:turn.tests.example:") && url.ends_with(by);
        assert!(urls.any(named), "{status}");
    }
}

/// The admin room, its URL lists, the runtime file, `floe status`.
#[test]
fn everybody_is_told_of_a_new_listener() {
    let mut server = Server::start(|config| _ = config.secret_only());
    let before = server.all("udp");
    reload(&server, |config| {
        _ = config.secret_only().set("listen.udp", vec!["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"])
    });
    server.look_again();
    let new = added(&server, "udp", &before);
    let turn = format!("turn:{new}?transport=udp");
    let (_, status) = server.api("GET", "/api/status");
    assert!(
        status["listeners"]
            .as_array()
            .unwrap()
            .contains(&json!({"transport": "udp", "address": new.to_string()}))
    );
    assert!(status["urls"].as_array().unwrap().contains(&turn.clone().into()), "{status}");
    for path in ["/ice", "/webrtc/ice_servers", "/turn?service=turn"] {
        let (_, login) = server.api("GET", path);
        assert!(login.to_string().contains(&turn), "{path}: {login}");
    }
    let (_, page) = server.api("POST", "/api/page/ice");
    assert!(page.to_string().contains(&turn), "{page}");
    let shown = text(&ask(&server, &["status"]));
    assert!(shown.contains(&new.to_string()), "{shown}");
    let runtime =
        std::fs::read_to_string(server.directory().join(format!("run-{}.json", server.runtime().pid)));
    let runtime: Value = serde_json::from_str(&runtime.unwrap()).unwrap();
    assert!(runtime["urls"].as_array().unwrap().contains(&turn.into()), "{runtime}");
    server.logs("listening there too");
}

/// What clients relay to from then on is never a listener of the server.
#[test]
fn a_new_listener_is_no_peer() {
    let server = Server::start(|_| {});
    let peer = Peer::at(&own_address().to_string());
    let address = peer.address();
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    client.bind(0x4000, address);
    client.exchange_on(0x4000, relayed, &peer);
    drop(peer);
    reload(&server, |config| {
        config.set("listen.udp", vec!["127.0.0.1:0".to_owned(), "[::1]:0".to_owned(), address.to_string()]);
    });
    Client::udp_from(address.ip(), address).ping();
    assert_eq!(client.call(Request::channel_bind(0x4000, address)).code(), 403);
    let dropped = || server.metric("floe_dropped_packets_total", &["reason=\"no_channel\""]);
    client.send_channel(0x4000, &Request::binding().bytes());
    server.wait_until("its channel has ended", || dropped() == 1.0);
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let mut server = Server::start(|_| {});
    let before = ["udp", "tcp"].map(|transport| server.all(transport));
    let descriptors = server.descriptors();
    let ip = own_address();
    let free = UdpSocket::bind((ip, 0)).and_then(|socket| socket.local_addr()).expect("a port");
    let udp = UdpSocket::bind((ip, 0)).expect("a port");
    let tcp = TcpListener::bind((ip, 0)).expect("a port");
    let (udp_taken, tcp_taken) = (udp.local_addr().expect("its own"), tcp.local_addr().expect("its own"));
    let with = |also: SocketAddr| vec!["127.0.0.1:0".to_owned(), "[::1]:0".to_owned(), also.to_string()];
    let mut live = Client::udp(&server).user(ALICE);
    live.allocate();
    for (key, taken) in [("listen.udp", udp_taken), ("listen.tcp", tcp_taken)] {
        let output = refused(&server, |config| {
            config.set("listen.udp", with(free)).set(key, with(taken)).set("limits.allocations", 1);
        });
        let why = text(&output);
        assert!(why.contains(&format!("{key}: {taken} is taken by another program")), "{why}");
    }
    assert_eq!(reloads(&server, "configuration", "failure"), 2.0);
    server.wait_until("the log says so", || server.log().matches("not reloaded").count() == 2);
    // The first of them was open for a moment.
    UdpSocket::bind(free).expect("it is free again");
    server.wait_until("nothing is left open", || server.descriptors() <= descriptors + 1);
    server.look_again();
    assert_eq!(["udp", "tcp"].map(|transport| server.all(transport)), before);
    Client::udp(&server).user(ALICE).allocate();
    live.call(Request::refresh(600)).ok();

    drop((udp, tcp));
    let told = reload(&server, |config| {
        config.set("listen.udp", with(udp_taken)).set("listen.tcp", with(tcp_taken));
    });
    assert_eq!(told["changed"], json!(["listen.udp", "listen.tcp"]));
    Client::udp_from(ip.into(), udp_taken).ping();
    Client::tcp_to(tcp_taken).ping();
}

/// To close one shard's socket would move clients of the others.
#[test]
fn a_listener_that_is_listed_no_longer_stays_until_a_restart() {
    let server = Server::start(|_| {});
    let gone = server.all("udp")[1];
    let without = |config: &mut Config| _ = config.set("listen.udp", vec!["127.0.0.1:0"]);
    for _ in 0..2 {
        let told = reload(&server, without);
        assert_eq!((&told["changed"], &told["needs_restart"]), (&json!([]), &json!(["listen.udp"])));
    }
    server.logs("open until a restart");
    Client::udp_from(gone.ip(), gone).ping();
    let told = reload(&server, |_| {});
    assert_eq!((&told["changed"], &told["needs_restart"]), (&json!([]), &json!([])));
}

/// One socket serves TCP and TLS, or all addresses; it is made at the start.
#[test]
fn an_address_that_is_open_for_something_else_waits_for_a_restart() {
    let authority = Authority::new();
    let server = Server::start(|config| _ = config.set("listen.udp", vec!["0.0.0.0:0", "[::1]:0"]));
    let (tcp, udp) = (server.tcp(), server.udp());
    let told = reload(&server, |config| {
        authority.secure(config);
        let narrow = format!("127.0.0.1:{}", udp.port());
        config
            .set("listen.udp", vec!["0.0.0.0:0".to_owned(), "[::1]:0".to_owned(), narrow])
            .set("listen.tls", vec![tcp.to_string()])
            .set("limits.allocations", 7);
    });
    assert_eq!(told["needs_restart"], json!(["listen.udp", "listen.tls"]));
    assert_eq!(told["changed"], json!(["tls.certificate", "tls.private-key", "limits.allocations"]));
    server.logs("beside those that are open");
    Client::tcp(&server).ping();
}
