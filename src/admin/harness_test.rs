//! A real admin server on loopback, and a client that writes raw HTTP to it.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::server::Limits;
use super::{
    Admin, ApiKey, Grants, Live, Minted, Reach, Readiness, Reloaded, Reloads, State, Steering, Terms,
};
use crate::relay::counters::Counters;
use crate::relay::ports::RelayPool;
use crate::relay::{
    AllocationDetail, AllocationId, AllocationSummary, ClientAddr, ConnectionId, FiveTuple, Instant, Now,
    PeerAddr, RelayAddr, ServerAddr, ShardId, Traffic, Transport, UnixTime,
};
use crate::wire::ChannelNumber;

/// Nothing here takes so long unless it is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) readiness: watch::Sender<Readiness>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// A server's state, and the other end of its readiness.
pub(super) fn state() -> (State, watch::Sender<Readiness>) {
    let (readiness, seen) = watch::channel(Readiness::Serving);
    let local = "127.0.0.1".parse().unwrap();
    let state = State {
        realm: "tests.example".into(),
        counters: vec![Arc::new(Counters::default()), Arc::new(Counters::default())],
        pool: Arc::new(RelayPool::new(&[(local, "192.0.2.1".parse().unwrap())], 49152..=49161)),
        admissions: Box::new(|| None),
        lost_log_lines: Arc::default(),
        public_address_changed: None,
        started: UnixTime::from_millis(1_756_200_000_500),
        readiness: seen,
        live: Arc::new(Live::new("run-token", grants(), reach())),
        reloads: Arc::new(Reloads::new(UnixTime::from_secs(1_756_200_000))),
        revocations: None,
        steering: Arc::new(Steered::new()),
        page: true,
    };
    (state, readiness)
}

/// One API key, and one secret.
pub(super) fn grants() -> Grants {
    let mint = |user: &str, ttl: Duration, now: UnixTime| {
        let username = format!("{}:{user}", now.secs() + ttl.as_secs());
        Ok(Minted { username, password: "cGFzc3dvcmQ=".into() })
    };
    Grants {
        api_keys: vec![ApiKey { name: "janus".into(), key: "janus-key".into(), terms: Terms::unlimited() }],
        mint: Some(Arc::new(mint)),
        ..Grants::default()
    }
}

pub(super) fn reach() -> Reach {
    let urls =
        ["stun:192.0.2.1:3478", "turn:[2001:db8::1]:3478?transport=udp", "turn:192.0.2.1:3478?transport=udp"];
    Reach {
        listeners: vec![(Transport::Udp, "192.0.2.1:3478".parse().unwrap())],
        urls: urls.map(str::to_owned).into(),
    }
}

/// The same without a secret.
pub(super) fn without_secret() -> Arc<Live> {
    Arc::new(Live::new("run-token", Grants { mint: None, ..grants() }, reach()))
}

/// Two live allocations, and what was asked of them.
pub(super) struct Steered {
    live: Mutex<Vec<(ShardId, AllocationSummary)>>,
    drained: AtomicBool,
    reloaded: AtomicBool,
    level: Mutex<String>,
}

impl Steered {
    fn new() -> Self {
        let summary = |index, name: &str, opened: u64, bytes| {
            let id = AllocationId { index, generation: 0x1f };
            let client: SocketAddr = format!("198.51.100.{index}:5000").parse().unwrap();
            let relay: SocketAddr = format!("192.0.2.1:5000{index}").parse().unwrap();
            let opened = Instant::from_micros(opened * 1_000_000);
            AllocationSummary {
                id,
                five_tuple: FiveTuple {
                    client: ClientAddr::new(client),
                    server: ServerAddr::new("192.0.2.1:3478".parse().unwrap()),
                    transport: Transport::Udp,
                },
                away: index == 2,
                username: format!("1790000000:{name}").into(),
                user: name.into(),
                relays: [Some(RelayAddr::new(relay)), None],
                opened,
                until: opened,
                expires: Instant::from_micros(1_000_000_000),
                permissions: 1,
                channels: 1,
                traffic: Traffic { up_packets: 1, up_bytes: bytes, down_packets: 2, down_bytes: 0 },
            }
        };
        let live =
            vec![(ShardId(0), summary(1, "alice", 100, 900)), (ShardId(1), summary(2, "bob", 200, 700))];
        Self {
            live: Mutex::new(live),
            drained: AtomicBool::new(false),
            reloaded: AtomicBool::new(false),
            level: Mutex::new("info".to_owned()),
        }
    }
}

impl Steering for Steered {
    fn now(&self) -> Now {
        Now { instant: Instant::from_micros(400_500_000), unix: UnixTime::from_secs(1_756_200_400) }
    }

    fn sessions(&self) -> BoxFuture<'_, Vec<(ShardId, AllocationSummary)>> {
        ready(self.live.lock().unwrap().clone()).boxed()
    }

    fn session(&self, shard: ShardId, id: AllocationId) -> BoxFuture<'_, Option<AllocationDetail>> {
        let live = self.live.lock().unwrap();
        let found = live.iter().find(|(s, summary)| (*s, summary.id) == (shard, id));
        let peer: SocketAddr = "203.0.113.9:7000".parse().unwrap();
        let until = Instant::from_micros(500_000_000);
        let detail = found.map(|(_, summary)| AllocationDetail {
            summary: summary.clone(),
            permissions: vec![(peer.ip(), until)],
            channels: vec![(ChannelNumber(0x4000), PeerAddr::new(peer), until)],
            connections: vec![(ConnectionId(7), PeerAddr::new(peer))],
        });
        ready(detail).boxed()
    }

    fn kick(&self, shard: ShardId, id: AllocationId) -> BoxFuture<'_, bool> {
        let mut live = self.live.lock().unwrap();
        let before = live.len();
        live.retain(|(s, summary)| (*s, summary.id) != (shard, id));
        ready(live.len() < before).boxed()
    }

    fn kick_user(&self, user: Arc<str>) -> BoxFuture<'_, usize> {
        let mut live = self.live.lock().unwrap();
        let before = live.len();
        live.retain(|(_, summary)| summary.user != user);
        ready(before - live.len()).boxed()
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        self.drained.store(true, Ordering::Relaxed);
        ready(()).boxed()
    }

    /// The second one finds a file that is broken.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, String>> {
        let reloaded =
            Reloaded { changed: vec!["auth.users"], needs_restart: vec!["realm"], ..Reloaded::default() };
        let broken = self.reloaded.swap(true, Ordering::Relaxed);
        ready(if broken { Err("the file is broken".to_owned()) } else { Ok(reloaded) }).boxed()
    }

    fn log_level(&self) -> String {
        self.level.lock().unwrap().clone()
    }

    fn set_log_level(&self, directives: &str) -> Result<(), String> {
        if directives == "loud" {
            return Err("no level".to_owned());
        }
        directives.clone_into(&mut self.level.lock().unwrap());
        Ok(())
    }
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(Limits::default(), |_| {})
    }

    pub(super) fn with(limits: Limits, change: impl FnOnce(&mut State)) -> Self {
        let (mut state, readiness) = state();
        change(&mut state);
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = admin.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(admin.serve_within(limits, state, async {
            let _ = stopped.await;
        }));
        Self { address, readiness, stop, task }
    }

    /// Stops it and waits until it has stopped.
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads until the server closes.
    pub(super) async fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        answer
    }

    pub(super) async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask("GET", path, headers, "").await
    }

    /// `headers`: lines that each end in `\r\n`.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}{length}\r\n{body}",
            self.address
        );
        Answer::parse(&self.exchange(request.as_bytes()).await)
    }
}

/// One HTTP response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// A header's value in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The text of `{"error": …}`.
    pub(super) fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}
