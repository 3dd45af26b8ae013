//! One port for everything over TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;

use floe::net::proxy::{Origin, decode};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConnection, ServerConnection, StreamOwned};

use crate::one_port::{answer, until_closed};
use crate::support::authority::{HOST, Tls, client, shown};
use crate::support::command::floe;
use crate::support::ports::unused;
use crate::support::{ALICE, Authority, Client, Config, PATIENCE, Peer, Request, SECRET, Server};

const WEB: &str = "www.tests.example";

/// Everything at one free port, and this web server behind it.
fn everything(authority: &Authority, config: &mut Config, web: Option<(SocketAddr, bool)>) {
    authority.secure(config);
    config.set("listen.tls", Vec::<String>::new()).set("https.listen", vec!["127.0.0.1:0", "[::1]:0"]);
    if let Some((address, proxy_protocol)) = web {
        let mut server = toml::Table::new();
        server.insert("names".to_owned(), vec![WEB, "*.wild.example"].into());
        server.insert("to".to_owned(), address.to_string().into());
        server.insert("proxy-protocol".to_owned(), proxy_protocol.into());
        config.set("https.web-servers", vec![server]);
    }
}

fn open(authority: &Authority, server: &Server, host: &str, protocols: &[&str]) -> std::io::Result<Tls> {
    let mut config = authority.client(ALL_VERSIONS);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    authority.handshake(TcpStream::connect(server.all("tls")[0])?, host, config)
}

/// What the server answers to a request, up to the end of the connection.
fn ask(mut stream: impl std::io::Read + std::io::Write, head: &str) -> String {
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A call through this session.
fn call(stream: Tls) {
    let mut client = client(stream).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
    client.call(Request::refresh(0)).ok();
}

#[test]
fn turn_and_the_page_are_at_one_port() {
    let authority = Authority::new();
    let server = Server::start(|config| everything(&authority, config, None));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}");
    // Told apart by ALPN, and where there is none by what comes first.
    for protocols in [&["stun.turn"][..], &[], &["h2", "stun.turn"]] {
        call(open(&authority, &server, HOST, protocols).unwrap());
    }
    for protocols in [&["http/1.1"][..], &[], &["h2", "http/1.1"]] {
        let stream = open(&authority, &server, HOST, protocols).unwrap();
        let answer = ask(stream, &get("/"));
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("<title>"),
            "{protocols:?}: {answer:.200}"
        );
    }
    // Nothing that is served is offered.
    let error = open(&authority, &server, HOST, &["h2"]).unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    server.expect_metric("floe_https_connections_total", &["to=\"admin\""], 3.0);
    server.expect_metric("floe_allocations_opened_total", &["transport=\"tls\""], 3.0);
    server.logs(&format!("turns:{HOST}:{}", server.all("tls")[0].port()));
}

#[test]
fn the_port_alone_is_a_server() {
    let authority = Authority::new();
    let none = Vec::<String>::new;
    let server = Server::start(|config| {
        everything(&authority, config, None);
        config.set("listen.udp", none()).set("listen.tcp", none()).set("https.listen", vec!["127.0.0.1:0"]);
        config.set("auth.secrets", vec![SECRET]);
    });
    call(open(&authority, &server, HOST, &["stun.turn"]).unwrap());
    // Its URL is known without it too, by the name in its certificate.
    let output = floe()
        .args(["credentials", "--offline", "--set", "https.listen=[\"127.0.0.1:8443\"]", "--config"])
        .arg(server.directory().join("floe.toml"))
        .output()
        .expect("floe runs");
    let login: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let urls = &login["iceServers"][0]["urls"];
    assert_eq!(*urls, serde_json::json!([format!("turns:{HOST}:8443?transport=tcp")]), "{login}");
}

// A browser connects there from anywhere, a proxy from this machine.
#[test]
fn what_is_at_the_public_port_takes_a_key() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        everything(&authority, config, None);
        config.secret_only();
    });
    let status = |request: &str| {
        let answer = ask(open(&authority, &server, "127.0.0.1", &["http/1.1"]).unwrap(), request);
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let token = &server.runtime().token;
    for (path, open, keyed) in [
        ("/metrics", "404", "404"),
        ("/livez", "404", "404"),
        ("/healthz", "404", "404"),
        ("/readyz", "404", "404"),
        ("/", "200", "200"),
        ("/api/status", "401", "200"),
        ("/api/sessions", "401", "200"),
        ("/turn?service=turn&username=a", "401", "200"),
    ] {
        assert_eq!(status(&format!("GET {path} HTTP/1.1\r\nHost: localhost")), open, "{path}");
        let key = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}");
        assert_eq!(status(&key), keyed, "{path} with the token");
    }
    // What a browser at this very machine gets at the admin address.
    let mint =
        "POST /api/page/ice HTTP/1.1\r\nHost: localhost\r\nOrigin: https://localhost\r\nContent-Length: 0";
    assert_eq!(status(mint), "401");
    let origin = format!("Origin: http://{}\r\n", server.admin());
    assert_eq!(server.ask("POST", "/api/page/ice", &origin, "").0, 200);
}

#[test]
fn the_admin_room_can_stay_away() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        everything(&authority, config, None);
        config.set("https.admin", false);
    });
    call(open(&authority, &server, HOST, &[]).unwrap());
    let mut stream = open(&authority, &server, HOST, &[]).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
    assert!(open(&authority, &server, HOST, &["http/1.1"]).is_err());
}

/// A web server with a certificate of its own that says hello once, whatever it
/// is asked, and tells what it saw of the PROXY protocol.
fn web_server(authority: &Authority, proxied: bool) -> (SocketAddr, mpsc::Receiver<Option<Origin>>) {
    let config = authority.server("web", &[WEB, "*.wild.example"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let origin = proxied.then(|| {
                let mut header = vec![0; 16];
                socket.read_exact(&mut header).unwrap();
                header.resize(16 + usize::from(u16::from_be_bytes([header[14], header[15]])), 0);
                socket.read_exact(&mut header[16..]).unwrap();
                decode(&header).unwrap()
            });
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
            // All of it: to close with some of it unread would reset the connection.
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(length @ 1..) = stream.read(&mut piece) else { break };
                request.extend(&piece[..length]);
            }
            if request.is_empty() {
                continue;
            }
            let length = request.len();
            let large = "x".repeat(200_000);
            let answer = format!("HTTP/1.1 200 OK\r\n\r\nthe web server was asked {length} bytes\n{large}");
            stream.write_all(answer.as_bytes()).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            let _ = tell.send(origin);
        }
    });
    (address, told)
}

#[test]
fn names_of_a_web_server_are_passed_on_to_it() {
    let authority = Authority::new();
    for proxied in [false, true] {
        let (address, told) = web_server(&authority, proxied);
        let server = Server::start(|config| everything(&authority, config, Some((address, proxied))));
        for (host, protocols) in [(WEB, &["http/1.1"][..]), ("a.wild.example", &[]), (WEB, &["stun.turn"])] {
            // It has not agreed on a protocol, and the certificate is its own.
            let stream = open(&authority, &server, host, protocols).unwrap();
            assert_eq!(stream.conn.alpn_protocol(), None);
            let client = stream.sock.local_addr().unwrap();
            assert_ne!(shown(&stream), shown(&open(&authority, &server, HOST, &[]).unwrap()));
            let answer = ask(stream, "GET / HTTP/1.1\r\nHost: www");
            assert!(answer.contains("the web server was asked"), "{answer:.100}");
            assert!(answer.len() > 200_000, "all of it");
            let expected = Origin::Client { client, server: server.all("tls")[0] };
            assert_eq!(told.recv_timeout(PATIENCE).unwrap(), proxied.then_some(expected));
        }
        // Any other name is floe's own: the default certificate is shown.
        let socket = TcpStream::connect(server.all("tls")[0]).unwrap();
        let error =
            authority.handshake(socket, "unknown.example", authority.client(ALL_VERSIONS)).unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{error}");
        call(open(&authority, &server, HOST, &[]).unwrap());
        server.expect_metric("floe_https_connections_total", &["to=\"web\""], 3.0);
    }
}

#[test]
fn a_hello_may_come_in_pieces() {
    let authority = Authority::new();
    let (address, _told) = web_server(&authority, false);
    let server = Server::start(|config| everything(&authority, config, Some((address, false))));
    for host in [WEB, HOST] {
        // A name of 200 bytes in ALPN makes it longer than one segment here.
        let mut config = authority.client(ALL_VERSIONS);
        config.alpn_protocols = (0..20).map(|n| vec![b'a' + n; 200]).chain([b"http/1.1".to_vec()]).collect();
        let socket = TcpStream::connect(server.all("tls")[0]).unwrap();
        socket.set_nodelay(true).unwrap();
        let stream = authority.handshake(Slow::over(socket), host, config);
        // The web server agrees on no protocol, floe on HTTP.
        let stream = stream.unwrap();
        assert_eq!(stream.conn.alpn_protocol().is_some(), host == HOST);
        let answer = ask(stream, &format!("GET / HTTP/1.1\r\nHost: {host}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.100}");
    }
}

/// A socket pair whose far end is a thread that passes bytes on in pieces.
struct Slow;

impl Slow {
    fn over(server: TcpStream) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
        let mut to_near = far.try_clone().unwrap();
        thread::spawn(move || std::io::copy(&mut from_server, &mut to_near));
        thread::spawn(move || {
            let mut piece = [0; 700];
            while let Ok(length @ 1..) = far.read(&mut piece) {
                if to_server.write_all(&piece[..length]).is_err() {
                    return;
                }
            }
            let _ = to_server.shutdown(std::net::Shutdown::Write);
        });
        near
    }
}

#[test]
fn a_web_server_that_is_away_costs_its_visitors_alone() {
    let authority = Authority::new();
    let nobody = SocketAddr::from(([127, 0, 0, 1], unused()));
    let server = Server::start(|config| {
        everything(&authority, config, Some((nobody, false)));
        config.set("limits.tcp-connections-per-address", 2);
    });
    for _ in 0..5 {
        assert!(open(&authority, &server, WEB, &[]).is_err());
    }
    server.expect_metric("floe_https_connections_total", &["to=\"unanswered\""], 5.0);
    call(open(&authority, &server, HOST, &[]).unwrap());
}

#[test]
fn connections_that_are_passed_on_are_counted_with_the_others() {
    let authority = Authority::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(|config| {
        everything(&authority, config, Some((silent.local_addr().unwrap(), false)));
        config.set("limits.tcp-connections-per-address", 2);
    });
    let hello = hello(&authority, WEB);
    // Two that the web server does not answer.
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut socket = TcpStream::connect(server.all("tls")[0]).unwrap();
            socket.write_all(&hello).unwrap();
            let (mut passed, _) = silent.accept().unwrap();
            let mut first = vec![0; hello.len()];
            passed.read_exact(&mut first).unwrap();
            assert_eq!(first, hello, "the hello as it came");
            (socket, passed)
        })
        .collect();
    assert!(open(&authority, &server, HOST, &[]).is_err());
    // What one side says reaches the other, and its end too.
    let (mut client, mut passed) = held.into_iter().next().unwrap();
    passed.write_all(b"not TLS").unwrap();
    let mut told = [0; 7];
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"not TLS");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(passed.read(&mut told).unwrap(), 0);
    passed.write_all(b"later..").unwrap();
    drop(passed);
    client.read_exact(&mut told).unwrap();
    assert_eq!(client.read(&mut told).unwrap(), 0);
    server.wait_until("there is room again", || open(&authority, &server, HOST, &[]).is_ok());
}

/// A ClientHello that asks for `host`.
fn hello(authority: &Authority, host: &str) -> Vec<u8> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(authority.client(ALL_VERSIONS)), name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_no_hello_is_closed_without_a_word() {
    let authority = Authority::new();
    let server = Server::start(|config| everything(&authority, config, None));
    // Ten seconds are given, to it as to all behind it.
    let mut silent = Client::tcp(&server);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &Request::binding().bytes(), b"\0\0\0\0", b"SSH-2.0-a\r\n"]
    {
        assert_eq!(answer(server.all("tls")[0], bytes), b"");
    }
    silent.ping();
    server.expect_metric("floe_tcp_connections_refused_total", &[], 4.0);
    // A record that is no hello, and a hello without an end.
    let mut endless = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    endless.resize(5 + 0x4000, 7);
    let more = [&[0x16, 3, 1, 0x40, 0][..], &[7; 0x4000]].concat();
    for bytes in [vec![0x16, 3, 1, 0, 4, 9, 9, 9, 9], [endless, more].concat()] {
        assert!(answer(server.all("tls")[0], &bytes).len() < 100, "an alert at most");
    }
    call(open(&authority, &server, HOST, &[]).unwrap());
}

#[test]
fn a_slow_hello_holds_nobody_up_and_is_closed_in_the_end() {
    let authority = Authority::new();
    let server = Server::start(|config| everything(&authority, config, None));
    let mut slow: Vec<_> = (0..50)
        .map(|_| {
            let mut socket = TcpStream::connect(server.all("tls")[0]).unwrap();
            socket.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1]).unwrap();
            socket
        })
        .collect();
    call(open(&authority, &server, HOST, &[]).unwrap());
    // Ten seconds are given; what comes meanwhile does not make it longer.
    assert_eq!(until_closed(slow.pop().unwrap()), b"");
    call(open(&authority, &server, HOST, &[]).unwrap());
}
