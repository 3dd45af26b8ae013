//! A server seen from its sockets, as far as Binding goes; what it takes to
//! have an allocation is tested end to end.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::*;
use crate::net::Listener;
use crate::relay::world::{Account, QuotaExceeded, Reach, Standing, ThirdParty};
use crate::relay::{ClientAddr, FiveTuple, Instant, PeerAddr, UnixTime};

/// Knows nobody, denies every peer, limits nothing.
struct Nobody;

impl Users for Nobody {
    fn account(&self, _: UnixTime, name: &str) -> Arc<Account> {
        Arc::new(Account {
            keys: Vec::new(),
            standing: Standing::Unknown,
            user: name.into(),
            max_allocations: 0,
        })
    }

    fn name_of_hash(&self, _: &[u8; 32]) -> Option<Arc<str>> {
        None
    }

    fn enumerable(&self) -> bool {
        false
    }

    fn third_party(&self) -> Option<&dyn ThirdParty> {
        None
    }
}

impl PeerPolicy for Nobody {
    fn reach(&self, _: IpAddr) -> Reach {
        Reach::Denied
    }

    fn may_send(&self, _: PeerAddr) -> bool {
        false
    }
}

impl Quota for Nobody {
    fn acquire(&self, _: &Arc<str>, _: u32) -> Result<(), QuotaExceeded> {
        Ok(())
    }

    fn release(&self, _: &Arc<str>) {}
}

impl Throttle for Nobody {
    fn may_answer(&self, _: Instant, _: IpAddr) -> bool {
        true
    }

    fn failed_login(&self, _: Instant, _: IpAddr) -> bool {
        true
    }
}

/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

const NO_LIMITS: ConnectionLimits = ConnectionLimits { connections_per_address: 0, dtls_sessions: (0, 0) };

fn plan(addresses: &[&str]) -> Plan {
    let listeners: Vec<Listener> = addresses
        .iter()
        .map(|address| Listener { address: address.parse().unwrap(), required: true })
        .collect();
    let loopback = "127.0.0.1".parse().unwrap();
    Plan {
        listeners: Listeners { udp: listeners.clone(), tcp: listeners, ..Listeners::default() },
        certificates: Arc::new(Certificates::load([], false).unwrap()),
        tls_challenges: None,
        web: Web::default(),
        balancers: Vec::new(),
        shards: 2,
        socket_buffer: 0,
        connections: 1000,
        limits: NO_LIMITS,
        pool: Arc::new(RelayPool::new(&[(loopback, loopback)], 49152..=65535)),
        settings: Settings {
            realm: "test".into(),
            max_lifetime: 3600,
            legacy_channels: false,
            compat_permission_lifetime: true,
            strict_expiry: false,
            bits_per_second_per_allocation: 0,
            alternate_servers: Vec::new(),
            classic: false,
            nat_discovery: Vec::new(),
            nonce_keys: vec![[1; 32]],
            ticket_key: None,
            tcp_relay: false,
            data_connections_per_user: 0,
            shards: 1,
        },
        users: Arc::new(Nobody),
        peers: Box::new(|_| Arc::new(Nobody)),
        quota: Arc::new(Nobody),
        bandwidth: None,
        nat_discovery: Vec::new(),
        throttle: Arc::new(Nobody),
    }
}

/// One that has nothing to give.
struct NoEntropy;

impl crate::relay::world::Random for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) {
        panic!("no entropy");
    }
}

#[tokio::test]
async fn a_shard_that_can_not_begin_is_told_of_and_holds_nobody_up() {
    let mut server = Server::bind(plan(&["127.0.0.1:0"])).unwrap();
    server.parts[1].world.random = Box::new(NoEntropy);
    let (sender, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(server.start()));
    let mut running = started.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(running.ended().await.unwrap_err().shard, ShardId(1));
}

/// The word that a session has ended may be lost in a full ring.
#[tokio::test]
async fn who_writes_to_a_session_that_is_gone_is_told_so() {
    let mut server = Server::bind(plan(&["127.0.0.1:0"])).unwrap();
    let mut other = server.parts.pop().unwrap();
    let _running = server.start().unwrap();
    let link = Link(1 << 30 | 7);
    let client = FiveTuple {
        client: ClientAddr::new("127.0.0.1:1".parse().unwrap()),
        server: ServerAddr::new("127.0.0.1:2".parse().unwrap()),
        transport: Transport::Dtls,
    };
    let first = other.neighbours[0].as_mut().unwrap();
    assert!(first.ring.push(ring::Crossing::ToClient(link, client), [b"data", &[], &[]]));
    first.wake.notify_one();
    tokio::time::timeout(PATIENCE, other.wake.notified()).await.unwrap();
    let told = other.rings[0].1.pop(&mut Vec::new()).unwrap();
    assert_eq!(told.what, ring::Crossing::Gone(link, client));
}

fn start(plan: Plan) -> Running {
    Server::bind(plan).unwrap().start().unwrap()
}

/// The first listener of a transport and IP address; a wildcard is all.
fn address(running: &Running, transport: Transport, ip: &str) -> SocketAddr {
    let ip: IpAddr = ip.parse().unwrap();
    let handle = running.handle();
    let listeners = handle.listeners();
    let found = listeners.iter().find(|(t, address)| {
        *t == transport
            && address.is_ipv4() == ip.is_ipv4()
            && (address.ip() == ip || address.ip().is_unspecified())
    });
    SocketAddr::new(ip, found.unwrap().1.port())
}

/// A Binding request (RFC 8489 §5) whose transaction id ends in `n`.
fn binding(n: u8) -> [u8; 20] {
    [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, n]
}

fn is_answer(reply: &[u8], n: u8) -> bool {
    reply.len() >= 20 && reply[..2] == [1, 1] && reply[8..20] == binding(n)[8..20]
}

fn ask_udp(server: SocketAddr) {
    let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let client = UdpSocket::bind(local).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reply = [0; 200];
    for n in 0..10 {
        client.send_to(&binding(n), server).unwrap();
        let (length, from) = client.recv_from(&mut reply).unwrap();
        assert_eq!(from, server, "a reply leaves from the address that was asked");
        assert!(is_answer(&reply[..length], n), "{:?}", &reply[..length]);
    }
}

fn connect(server: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(server).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

/// Reads one message, or nothing when the server closes.
fn read_message(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = vec![0; 20];
    client.read_exact(&mut message).ok()?;
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(20 + length, 0);
    client.read_exact(&mut message[20..]).ok()?;
    Some(message)
}

fn stop(mut running: Running) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (result, handle) = (running.handle(), running.handle());
    runtime
        .block_on(async {
            result.drain().await;
            result.drained().await;
            assert_eq!(result.sessions().await, []);
            handle.stop().await;
            tokio::time::timeout(Duration::from_secs(5), running.ended()).await
        })
        .expect("the shards end")
        .expect("none failed");
}

fn has_ipv6() -> bool {
    UdpSocket::bind("[::1]:0").is_ok()
}

#[test]
fn binding_is_answered_over_udp_and_tcp_on_every_address() {
    let mut addresses = vec!["0.0.0.0:0", "127.0.0.2:0"];
    let mut asked = vec!["127.0.0.1", "127.0.0.3", "127.0.0.2"];
    if has_ipv6() {
        addresses.push("[::]:0");
        asked.push("::1");
    }
    let running = start(plan(&addresses));
    for ip in asked {
        ask_udp(address(&running, Transport::Udp, ip));
        let mut client = connect(address(&running, Transport::Tcp, ip));
        client.write_all(&binding(7)).unwrap();
        assert!(is_answer(&read_message(&mut client).unwrap(), 7));
    }
    let handle = running.handle();
    let received: u64 =
        handle.counters().iter().map(|c| c.client_in[Transport::Udp.index()].packets.get()).sum();
    assert!(received >= 30, "{received}");
    stop(running);
}

#[test]
fn frames_are_found_however_the_stream_is_cut() {
    let running = start(plan(&["127.0.0.1:0"]));
    let mut client = connect(address(&running, Transport::Tcp, "127.0.0.1"));
    let all: Vec<u8> = (0..250).flat_map(binding).collect();
    // Cuts of 1 to 90 bytes: parts of frames, and several at once.
    let mut rest = &all[..];
    for length in (1..=90).cycle() {
        let (cut, after) = rest.split_at(rest.len().min(length));
        client.write_all(cut).unwrap();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    for n in 0..250 {
        assert!(is_answer(&read_message(&mut client).unwrap(), n));
    }
    stop(running);
}

#[test]
fn what_is_not_stun_closes_the_stream_after_the_answers_before_it() {
    let running = start(plan(&["127.0.0.1:0"]));
    let mut client = connect(address(&running, Transport::Tcp, "127.0.0.1"));
    let mut bytes = binding(1).to_vec();
    bytes.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
    client.write_all(&bytes).unwrap();
    assert!(is_answer(&read_message(&mut client).unwrap(), 1));
    assert_eq!(read_message(&mut client), None);
    stop(running);
}

#[test]
fn a_large_frame_before_an_allocation_closes_the_stream() {
    let running = start(plan(&["127.0.0.1:0"]));
    let mut client = connect(address(&running, Transport::Tcp, "127.0.0.1"));
    client.write_all(&[0x40, 0, 0xFF, 0xFF]).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    stop(running);
}

#[test]
fn an_address_has_its_limit_of_connections() {
    let running = start(Plan {
        limits: ConnectionLimits { connections_per_address: 2, ..NO_LIMITS },
        ..plan(&["127.0.0.1:0"])
    });
    let server = address(&running, Transport::Tcp, "127.0.0.1");
    let answered =
        |client: &mut TcpStream| client.write_all(&binding(0)).is_ok() && read_message(client).is_some();
    let mut two = [connect(server), connect(server)];
    assert!(two.iter_mut().all(answered));
    assert!(!answered(&mut connect(server)), "the third is closed");
    let [one, _other] = two;
    drop(one);
    // Its end is noticed when the server gets to it.
    assert!((0..1000).any(|_| answered(&mut connect(server))));
    let refused: u64 = running.handle().counters().iter().map(|c| c.connections_refused.get()).sum();
    assert!(refused >= 1);
    stop(running);
}

#[test]
fn a_second_server_on_the_same_port_is_refused() {
    let running = start(plan(&["127.0.0.1:0"]));
    for transport in [Transport::Udp, Transport::Tcp] {
        let taken = address(&running, transport, "127.0.0.1").to_string();
        let mut second = plan(&[&taken]);
        match transport {
            Transport::Udp => second.listeners.tcp.clear(),
            _ => second.listeners.udp.clear(),
        }
        let error = Server::bind(second).unwrap_err().to_string();
        assert!(error.contains(&taken) && error.contains("is taken"), "{error}");
    }
    stop(running);
}

#[test]
fn a_relay_address_of_another_host_is_named() {
    let foreign = "192.0.2.7".parse().unwrap();
    let pool = Arc::new(RelayPool::new(&[(foreign, foreign)], 49152..=65535));
    let error = Server::bind(Plan { pool, ..plan(&["127.0.0.1:0"]) }).unwrap_err().to_string();
    assert!(error.starts_with("relay.addresses: 192.0.2.7 is not an address of this host"), "{error}");
}

/// Stands for any mistake in the code that a packet may run into.
struct Mistaken;

impl Throttle for Mistaken {
    fn may_answer(&self, _: Instant, _: IpAddr) -> bool {
        panic!("a mistake (this panic is part of the test)")
    }

    fn failed_login(&self, _: Instant, _: IpAddr) -> bool {
        false
    }
}

#[test]
fn a_panic_in_a_shard_is_told() {
    let mut running = start(Plan { throttle: Arc::new(Mistaken), ..plan(&["127.0.0.1:0"]) });
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(&binding(0), address(&running, Transport::Udp, "127.0.0.1")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), running.ended()).await });
    assert!(result.expect("in time").is_err());
}

#[test]
fn a_server_that_nobody_holds_ends() {
    let running = start(plan(&["127.0.0.1:0"]));
    let server = address(&running, Transport::Udp, "127.0.0.1");
    ask_udp(server);
    let Running { handle, threads, ended, .. } = running;
    drop((handle, ended));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    UdpSocket::bind(server).expect("its sockets are closed");
}
