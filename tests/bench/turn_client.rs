//! floe's own TURN client against floe, over every transport.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use floe::client::Credentials;
use floe::client::transport::{Endpoint, Tls, Transport, connect, is_distrust};
use floe::client::turn::session::{By, Received, Session, SessionError};
use floe::client::turn::{Client, Failure, Request, Scheme, Timing, channel_data, send_indication};
use floe::wire::{AttributeType, ChannelNumber};

use crate::support::authority::HOST;
use crate::support::net::{Habit, is_lossy, is_repeating, is_swapping, net};
use crate::support::{ALICE, Authority, PATIENCE, REALM, Server};

const CHANNEL: ChannelNumber = ChannelNumber(0x4000);

fn alice() -> Credentials {
    Credentials { username: ALICE.name.into(), password: ALICE.password.into() }
}

async fn session(endpoint: Endpoint, credentials: Credentials, scheme: Scheme) -> Session {
    let timing = if endpoint.transport.is_reliable() { Timing::STREAM } else { Timing::DATAGRAM };
    let conn = connect(&endpoint).await.expect("connected");
    Session::new(conn, Client::new(timing.within(PATIENCE), Some(credentials), scheme))
}

fn over(transport: Transport, address: SocketAddr) -> Endpoint {
    Endpoint { transport, address, tls: None }
}

/// Over TLS or DTLS, with a server of that name whom this authority vouches for.
fn secure(authority: &Authority, host: &str, transport: Transport, address: SocketAddr) -> Endpoint {
    let tls = Tls::new(host, Some(&authority.ca())).unwrap();
    Endpoint { tls: Some(tls), ..over(transport, address) }
}

fn secure_server(authority: &Authority) -> Server {
    Server::start(|config| {
        authority.secure(config);
        config.set("listen.dtls", vec!["127.0.0.1:0"]);
    })
}

/// Everything a relay does for one client and one peer.
async fn converse(mut session: Session) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = peer.local_addr().unwrap();
    let mut buffer = [0; 64];

    let mapped = session.ask(Request::binding()).await.unwrap().mapped();
    assert!(mapped.is_some());
    let allocated = session.ask(Request::allocate().lifetime(Duration::from_secs(700))).await.unwrap();
    assert_eq!(allocated.mapped(), mapped);
    assert_eq!(allocated.lifetime(), Some(Duration::from_secs(700)));
    assert_eq!(session.client().realm(), Some(REALM));
    let relayed = allocated.relayed()[0];

    session.ask(Request::create_permission(&[to])).await.unwrap();
    let mut message = Vec::new();
    send_indication(&mut message, to, b"by indication");
    session.send(&message).await.unwrap();
    let (length, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"by indication"[..], relayed));
    peer.send_to(b"back", relayed).unwrap();
    let received = session.receive(Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(received, Received { by: By::Data(to), payload: b"back".into() });

    session.ask(Request::channel_bind(CHANNEL, to)).await.unwrap();
    let mut message = Vec::new();
    channel_data(&mut message, CHANNEL, b"by channel");
    session.send(&message[..4 + b"by channel".len()]).await.unwrap();
    let (length, _) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"by channel");
    // What comes while an answer is waited for is kept.
    peer.send_to(b"back again", relayed).unwrap();
    session.ask(Request::refresh(Duration::from_secs(800))).await.unwrap();
    let received = session.receive(Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(received, Received { by: By::Channel(CHANNEL), payload: b"back again".into() });

    let deleted = session.ask(Request::refresh(Duration::ZERO)).await.unwrap();
    assert_eq!(deleted.lifetime(), Some(Duration::ZERO));
    session.close().await;
}

#[tokio::test]
async fn a_whole_conversation_over_every_transport() {
    let authority = Authority::new();
    let server = secure_server(&authority);
    let tls = secure(&authority, "127.0.0.1", Transport::Tls, server.all("tls")[0]);
    let dtls = secure(&authority, "127.0.0.1", Transport::Dtls, server.all("dtls")[0]);
    let plain = [over(Transport::Udp, server.udp()), over(Transport::Tcp, server.tcp())];
    for endpoint in plain.into_iter().chain([tls, dtls]) {
        for scheme in [Scheme::AsOffered, Scheme::Rfc5389] {
            converse(session(endpoint.clone(), alice(), scheme).await).await;
        }
    }
    server.expect_metric("floe_failed_logins_total", &[], 0.0);
}

// E-034
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_over_dtls_repeats_what_is_lost() {
    let authority = Authority::new();
    let server = secure_server(&authority);
    for habit in [is_lossy as Habit, is_repeating, is_swapping] {
        let address = net(server.all("dtls")[0], habit);
        let mut session =
            session(secure(&authority, HOST, Transport::Dtls, address), alice(), Scheme::AsOffered).await;
        for _ in 0..3 {
            session.ask(Request::binding()).await.unwrap();
        }
        session.ask(Request::allocate()).await.unwrap();
        session.close().await;
    }
    let done = ["transport=\"dtls\"", "outcome=\"done\""];
    server.expect_metric("floe_tls_handshakes_total", &done, 3.0);
    // The goodbyes.
    server.expect_metric("floe_allocations", &[], 0.0);
}

// E-032
#[tokio::test]
async fn who_is_not_believed_is_not_spoken_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = secure_server(&authority);
    for (transport, address) in
        [(Transport::Tls, server.all("tls")[0]), (Transport::Dtls, server.all("dtls")[0])]
    {
        let refused = [
            secure(&authority, "elsewhere.example", transport, address),
            secure(&authority, "127.0.0.2", transport, address),
            secure(&stranger, HOST, transport, address),
        ];
        for endpoint in refused {
            let Err(error) = connect(&endpoint).await else { panic!("{endpoint:?}") };
            assert!(is_distrust(&error), "{error:?}");
            assert!(error.to_string().contains("certificate"), "{error}");
        }
        for host in [HOST, "127.0.0.1", "::1"] {
            connect(&secure(&authority, host, transport, address)).await.unwrap();
        }
    }
    let gone = SocketAddr::from(([127, 0, 0, 1], crate::support::ports::unused()));
    let Err(error) = connect(&secure(&authority, HOST, Transport::Dtls, gone)).await else { panic!() };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn error_codes_are_told() {
    let server = Server::start(|config| _ = config.set("peers.allow", Vec::<String>::new()));
    let wrong = Credentials { password: "wrong".into(), ..alice() };
    let code = |outcome: Result<_, SessionError>| match outcome {
        Err(SessionError::Request(failure)) => failure.code(),
        other => panic!("{other:?}"),
    };

    let mut stranger = session(over(Transport::Udp, server.udp()), wrong, Scheme::AsOffered).await;
    assert_eq!(code(stranger.ask(Request::allocate()).await), Some(401));

    let mut client = session(over(Transport::Tcp, server.tcp()), alice(), Scheme::AsOffered).await;
    assert_eq!(code(client.ask(Request::refresh(Duration::from_secs(600))).await), Some(437));
    client.ask(Request::allocate()).await.unwrap();
    assert_eq!(code(client.ask(Request::allocate()).await), Some(437));
    let denied = Request::create_permission(&["10.0.0.1:9".parse().unwrap()]);
    assert_eq!(code(client.ask(denied).await), Some(403));
    let bad = Request::allocate().put(AttributeType(0x7000), b"what?");
    assert_eq!(code(client.ask(bad).await), Some(420));
}

#[tokio::test]
async fn silence_is_told_as_such() {
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let conn = connect(&over(Transport::Udp, mute.local_addr().unwrap())).await.unwrap();
    let timing = Timing { rto: Some(Duration::from_millis(10)), patience: Duration::from_millis(50) };
    let mut session = Session::new(conn, Client::new(timing, None, Scheme::AsOffered));
    let outcome = session.ask(Request::binding()).await;
    assert!(matches!(outcome, Err(SessionError::Request(Failure::Silent { .. }))), "{outcome:?}");
}
