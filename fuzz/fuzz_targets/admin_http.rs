//! Any bytes as a connection to the admin server, over loopback: it answers in
//! HTTP or not at all, never with an error of its own, and shows nothing that takes
//! a key.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used)]

use std::future::ready;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use floe::admin::{Admin, ApiKey, Grants, Live, Minted, Reach, Readiness, Reloaded, State, Steering, Terms};
use floe::relay::counters::Counters;
use floe::relay::ports::RelayPool;
use floe::relay::{AllocationDetail, AllocationId, AllocationSummary, Now, ShardId, UnixTime};
use tokio::sync::watch;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// In every credential that is minted.
const PASSWORD: &str = "a-password-for-somebody";
const KEY: &str = "the-key";

pub(crate) fn check(data: &[u8]) {
    let answer = answer(data);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
    let contains = |text: &str| answer.windows(text.len()).any(|part| part == text.as_bytes());
    let shows_key = data.windows(KEY.len()).any(|part| part == KEY.as_bytes()) || data.contains(&b'%');
    assert!(shows_key || !contains(PASSWORD), "minted for a stranger");
    assert!(!contains("HTTP/1.1 500"), "{:?}", String::from_utf8_lossy(&answer));
}

/// All that comes back before the connection ends.
fn answer(data: &[u8]) -> Vec<u8> {
    static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(serve);
    let mut stream = TcpStream::connect(*ADDRESS).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may be closed before all is written.
    let _ = stream.write_all(data).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// A server without allocations.
struct Idle;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Steering for Idle {
    fn now(&self) -> Now {
        Now::default()
    }

    fn sessions(&self) -> Answer<'_, Vec<(ShardId, AllocationSummary)>> {
        Box::pin(ready(Vec::new()))
    }

    fn session(&self, _: ShardId, _: AllocationId) -> Answer<'_, Option<AllocationDetail>> {
        Box::pin(ready(None))
    }

    fn kick(&self, _: ShardId, _: AllocationId) -> Answer<'_, bool> {
        Box::pin(ready(false))
    }

    fn kick_user(&self, _: Arc<str>) -> Answer<'_, usize> {
        Box::pin(ready(0))
    }

    fn drain(&self) -> Answer<'_, ()> {
        Box::pin(ready(()))
    }

    fn reload(&self) -> Answer<'_, Result<Reloaded, String>> {
        Box::pin(ready(Ok(Reloaded::default())))
    }

    fn log_level(&self) -> String {
        "info".to_owned()
    }

    fn set_log_level(&self, directives: &str) -> Result<(), String> {
        if directives == "info" { Ok(()) } else { Err(format!("{directives:?} is no level")) }
    }
}

fn serve() -> SocketAddr {
    let (readiness, seen) = watch::channel(Readiness::Serving);
    // For as long as the process lives.
    std::mem::forget(readiness);
    let local = "127.0.0.1".parse().unwrap();
    let mint = |user: &str, ttl: Duration, now: UnixTime| {
        let username = format!("{}:{user}", now.secs() + ttl.as_secs());
        Ok(Minted { username, password: PASSWORD.into() })
    };
    let grants = Grants {
        api_keys: vec![ApiKey { name: "test".into(), key: KEY.into(), terms: Terms::unlimited() }],
        mint: Some(Arc::new(mint)),
        ..Grants::default()
    };
    let urls = vec!["turn:192.0.2.1:3478?transport=udp".into()];
    let reach = Reach { urls, ..Reach::default() };
    let state = State {
        realm: "fuzz".into(),
        counters: vec![Arc::new(Counters::default())],
        pool: Arc::new(RelayPool::new(&[(local, local)], 50_000..=50_009)),
        admissions: Box::new(|| None),
        lost_log_lines: Arc::default(),
        public_address_changed: None,
        started: UnixTime::from_secs(1_700_000_000),
        readiness: seen,
        live: Arc::new(Live::new("", grants, reach)),
        reloads: Arc::default(),
        revocations: None,
        steering: Arc::new(Idle),
        page: true,
    };
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = admin.address();
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.serve(state, std::future::pending()))
    });
    address
}
