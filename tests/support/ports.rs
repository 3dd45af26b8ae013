//! Ports below the ephemeral range, where neither the kernel nor a relay takes any;
//! those below 21,000 and above 20,000 are tests' own, on addresses of theirs. A
//! server lets nobody relay to the address and port of a listener of its own, of
//! whichever transport; so its listeners must have none that the kernel may yet
//! give to a peer.

use std::net::{IpAddr, Ipv6Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

const OF_CLIENTS: Range<u32> = 10_000..20_000;
const OF_SERVERS: Range<u32> = 21_000..32_768;

/// Where a server may listen, with so many addresses each.
const LISTENERS: [&str; 6] =
    ["listen.udp", "listen.tcp", "listen.tls", "listen.dtls", "https.listen", "admin.listen"];
const ADDRESSES: u32 = 2;

/// The numbers of a range, this process's one after the other from a start of its
/// own, round and round.
fn numbers(range: Range<u32>, taken: &AtomicU32) -> impl Iterator<Item = u32> {
    let start = std::process::id().wrapping_mul(2_654_435_761);
    let count = range.len() as u32;
    range.clone().map(move |_| {
        let number = start.wrapping_add(taken.fetch_add(1, Ordering::Relaxed));
        range.start + number % count
    })
}

/// A socket whose port no client of this process has had before: a server still
/// knows the allocation of one that is gone.
pub(super) fn fresh_socket(ip: IpAddr) -> UdpSocket {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let free = numbers(OF_CLIENTS, &TAKEN).find_map(|port| UdpSocket::bind((ip, port as u16)).ok());
    free.unwrap_or_else(|| panic!("no free port on {ip}"))
}

/// A port that nobody of this process takes for a while, and that was free.
pub fn unused() -> u16 {
    let Ports { first, guard } = Ports::new();
    std::mem::forget(guard);
    first as u16
}

/// The ports of one server's listeners, and one behind them that keeps other
/// processes of tests away.
#[derive(Debug)]
pub(super) struct Ports {
    first: u32,
    guard: UdpSocket,
}

impl Ports {
    pub(super) fn new() -> Self {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let used = LISTENERS.len() as u32 * ADDRESSES;
        let each = used + 1;
        let blocks = OF_SERVERS.start / each + 1..OF_SERVERS.end / each;
        let mut firsts = numbers(blocks, &TAKEN).map(|block| block * each);
        let taken = firsts.find_map(|first| {
            let guard = UdpSocket::bind((Ipv6Addr::LOCALHOST, (first + used) as u16)).ok()?;
            (first..first + used).all(is_free).then_some(Self { first, guard })
        });
        taken.expect("free ports in a row")
    }

    /// Puts them in the place of zeros.
    pub(super) fn fill(&self, config: &mut toml::Table) {
        for (key, first) in LISTENERS.iter().zip((self.first..).step_by(ADDRESSES as usize)) {
            let (section, key) = key.split_once('.').expect("a section");
            let addresses: &mut [toml::Value] = match config.get_mut(section).and_then(|it| it.get_mut(key)) {
                Some(toml::Value::Array(addresses)) => addresses,
                Some(address) => std::slice::from_mut(address),
                None => continue,
            };
            for (address, port) in addresses.iter_mut().zip(first..first + ADDRESSES) {
                let text = address.as_str().unwrap_or_default();
                if let Some(ip) = text.strip_suffix(":0") {
                    *address = format!("{ip}:{port}").into();
                }
            }
        }
    }
}

/// Of either transport, whatever the address; connections that have ended don't count.
fn is_free(port: u32) -> bool {
    let any = (Ipv6Addr::UNSPECIFIED, port as u16);
    UdpSocket::bind(any).is_ok() && TcpListener::bind(any).is_ok()
}
