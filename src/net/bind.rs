//! Opens every listening socket of the process, and says clearly why one can't
//! be had. An address is first proven free by a bind without `SO_REUSEPORT`: a
//! second floe, or any program with that option, would otherwise join silently
//! and take a share of the packets.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::udp;
use crate::relay::Transport;

/// Connections the kernel holds for a shard that has not accepted them yet.
const BACKLOG: i32 = 1024;

/// Tries for a port of the kernel's choice (configured as 0): another program
/// may take it between the proof and the real bind.
const FREE_PORT_TRIES: usize = 8;

/// An address to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Port 0 is any free one, the same for all shards.
    pub address: SocketAddr,
    /// False for an address that nobody configured: when the host lacks its
    /// family it is left out, with a warning.
    pub required: bool,
}

/// Addresses to listen on, by what comes in at them.
#[derive(Clone, Default, Debug)]
pub struct Listeners {
    /// `listen.udp`
    pub udp: Vec<Listener>,
    /// `listen.tcp`
    pub tcp: Vec<Listener>,
    /// `listen.tls`; with certificates only.
    pub tls: Vec<Listener>,
    /// `listen.dtls`; likewise.
    pub dtls: Vec<Listener>,
}

/// How listeners are opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub shards: usize,
    /// Bytes asked for, each way.
    pub buffer: usize,
    /// There are balancers.
    pub proxied: bool,
}

/// Listeners that are open and that nobody serves yet; closed when dropped.
#[derive(Debug)]
pub struct Opened {
    /// By shard.
    pub(super) sockets: Vec<Sockets>,
    pub(super) doors: Vec<Door>,
    pub(super) listeners: Vec<(Transport, SocketAddr)>,
}

impl Opened {
    /// Each with its actual port, UDP first.
    pub fn listeners(&self) -> &[(Transport, SocketAddr)] {
        &self.listeners
    }
}

/// Opens all of `listeners`, and the doors of `https`.
pub(super) fn open_all(
    listeners: Listeners,
    https: &[Listener],
    opening: Opening,
) -> Result<Opened, BindError> {
    let Listeners { udp, mut tcp, tls, dtls } = listeners;
    let doors = open_doors(&mut tcp, &tls, https, opening.proxied)?;
    let sockets = open(&udp, &dtls, &tcp, opening.shards, opening.buffer)?;
    let listeners = actual(&sockets, &doors)
        .map_err(|source| BindError::System { what: "read the address of a socket", source })?;
    Ok(Opened { sockets, doors, listeners })
}

/// The actual addresses, those of the first shard standing for all.
fn actual(sockets: &[Sockets], doors: &[Door]) -> io::Result<Vec<(Transport, SocketAddr)>> {
    let mut listeners = Vec::new();
    if let Some(first) = sockets.first() {
        for (socket, _) in first.udp.iter().filter(|(_, takes)| takes.plain) {
            listeners.push((Transport::Udp, socket.local_addr()?));
        }
        for listener in &first.tcp {
            listeners.push((Transport::Tcp, listener.local_addr()?));
        }
    }
    for door in doors.iter().filter(|door| door.plain) {
        listeners.push((Transport::Tcp, door.listener.local_addr()?));
    }
    for door in doors.iter().filter(|door| door.tls) {
        listeners.push((Transport::Tls, door.listener.local_addr()?));
    }
    let udp = sockets.first().into_iter().flat_map(|first| &first.udp);
    for (socket, _) in udp.filter(|(_, takes)| takes.secured) {
        listeners.push((Transport::Dtls, socket.local_addr()?));
    }
    Ok(listeners)
}

/// Why a server could not be opened. Its text names the configuration key and
/// says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address that can't be had.
    #[error("{key}: {} {cause}", Shown(*address))]
    Address {
        /// A list of `listen`, or `relay.addresses`.
        key: &'static str,
        /// As configured; port 0 when the key has none.
        address: SocketAddr,
        /// What is wrong with it.
        cause: Cause,
    },
    /// No listener at all is configured or possible.
    #[error("listen.udp, listen.tcp, listen.tls, listen.dtls: no address to listen on; give at least one")]
    NoListener,
    /// The system refuses something else a server needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// What is wrong with an address.
#[derive(Debug)]
pub enum Cause {
    /// EADDRINUSE.
    Taken,
    /// EADDRNOTAVAIL.
    NotLocal,
    /// EACCES, EPERM.
    Permission,
    /// EAFNOSUPPORT.
    NoFamily,
    /// Twice in one list.
    Repeated,
    /// Anything else.
    Other(io::Error),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str(
                "is taken by another program (a floe or another TURN server that runs already?); \
                 stop that one, or give another port here",
            ),
            Self::NotLocal => f.write_str(
                "is not an address of this host; give one that it has \
                 (`ip address` lists them), or 0.0.0.0 or [::] to listen on all",
            ),
            Self::Permission => f.write_str(
                "may not be used by this user; give a port above 1023, \
                 or grant the capability CAP_NET_BIND_SERVICE",
            ),
            Self::NoFamily => f.write_str("is of an address family that this host does not have; remove it"),
            Self::Repeated => f.write_str("is listed twice; remove one"),
            Self::Other(error) => write!(f, "can't be used: {error}"),
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::ADDRINUSE) => Self::Taken,
            Some(Errno::ADDRNOTAVAIL) => Self::NotLocal,
            Some(Errno::ACCESS | Errno::PERM) => Self::Permission,
            Some(Errno::AFNOSUPPORT) => Self::NoFamily,
            _ => Self::Other(error),
        }
    }
}

/// An address as the configuration has it: relay addresses have no port there.
struct Shown(SocketAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == 0 { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

/// The listening sockets of one shard.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub udp: Vec<(udp::Socket, Takes)>,
    pub tcp: Vec<TcpListener>,
}

/// What may come in at a UDP listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Takes {
    /// STUN as it is.
    pub plain: bool,
    /// DTLS.
    pub secured: bool,
}

/// Opens all listeners for so many shards. Every address is proven free before
/// the first one is opened for good. One that `udp` and `dtls` both have serves
/// both; port 0 is another port in each list.
pub(super) fn open(
    udp: &[Listener],
    dtls: &[Listener],
    tcp: &[Listener],
    shards: usize,
    buffer: usize,
) -> Result<Vec<Sockets>, BindError> {
    let open_udp = |address: SocketAddr, reuse_port| {
        // A socket bound to one address needs no telling which it was asked at.
        let packet_info = address.ip().is_unspecified();
        udp::Socket::bind(
            address,
            &udp::Options { reuse_port, buffer, packet_info, errors: false, join: true },
        )
    };
    let alone = |address| open_udp(address, false).map(drop);
    let udp = prove("listen.udp", udp, alone)?;
    let is_shared =
        |address: SocketAddr| address.port() != 0 && dtls.iter().any(|listener| listener.address == address);
    let plain = udp
        .iter()
        .map(|&(address, ())| ("listen.udp", address, Takes { plain: true, secured: is_shared(address) }));
    let is_plain = |address: SocketAddr| is_shared(address) && udp.contains(&(address, ()));
    let dtls: Vec<_> = dtls.iter().filter(|listener| !is_plain(listener.address)).copied().collect();
    let dtls = prove("listen.dtls", &dtls, alone)?;
    let secured =
        dtls.iter().map(|&(address, ())| ("listen.dtls", address, Takes { plain: false, secured: true }));
    let tcp = prove("listen.tcp", tcp, |address| bind_tcp(address, false).map(drop))?;
    let mut sockets = Vec::new();
    sockets.resize_with(shards, Sockets::default);
    for (key, proven, takes) in plain.chain(secured) {
        let opened = open_for_all(key, proven, shards, open_udp, udp::Socket::local_addr)?;
        sockets.iter_mut().zip(opened).for_each(|(shard, socket)| shard.udp.push((socket, takes)));
    }
    for &(proven, ()) in &tcp {
        let opened = open_for_all("listen.tcp", proven, shards, listen_tcp, TcpListener::local_addr)?;
        sockets.iter_mut().zip(opened).for_each(|(shard, listener)| shard.tcp.push(listener));
    }
    Ok(sockets)
}

/// A listener of the whole server, whose connections go to shards later.
#[derive(Debug)]
pub(super) struct Door {
    pub listener: TcpListener,
    /// Bare TCP comes in.
    pub plain: bool,
    /// TLS comes in.
    pub tls: bool,
    /// Everything over TLS does, and not TURN alone.
    pub web: bool,
}

/// Opens the doors of `tls` and `https`, and takes out of `tcp` what comes in by a door too:
/// addresses that both lists have, and all when there are balancers (`proxied`).
/// Port 0 is another port in each list.
pub(super) fn open_doors(
    tcp: &mut Vec<Listener>,
    tls: &[Listener],
    https: &[Listener],
    proxied: bool,
) -> Result<Vec<Door>, BindError> {
    let shared = |address: SocketAddr, list: &[Listener]| {
        address.port() != 0 && list.iter().any(|other| other.address == address)
    };
    let mut doors = Vec::new();
    for (address, listener) in prove("listen.tls", tls, listen_alone)? {
        doors.push(Door { listener, plain: shared(address, tcp), tls: true, web: false });
    }
    for (_, listener) in prove("https.listen", https, listen_alone)? {
        doors.push(Door { listener, plain: false, tls: true, web: true });
    }
    tcp.retain(|listener| !shared(listener.address, tls));
    if proxied {
        for (_, listener) in prove("listen.tcp", &std::mem::take(tcp), listen_alone)? {
            doors.push(Door { listener, plain: true, tls: false, web: false });
        }
    }
    Ok(doors)
}

/// Proves that relays can be bound to each address.
pub(super) fn prove_relay_addresses(addresses: impl Iterator<Item = IpAddr>) -> Result<(), BindError> {
    for ip in addresses {
        let address = SocketAddr::new(ip, 0);
        udp::Socket::bind(address, &udp::Options::default()).map_err(|error| BindError::Address {
            key: "relay.addresses",
            address,
            cause: error.into(),
        })?;
    }
    Ok(())
}

/// Binds each address once, alone. Leaves out what is not required and of a
/// family the host lacks.
fn prove<S>(
    key: &'static str,
    listeners: &[Listener],
    bind_alone: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<(SocketAddr, S)>, BindError> {
    let mut proven = Vec::with_capacity(listeners.len());
    for (at, listener) in listeners.iter().enumerate() {
        let address = listener.address;
        if address.port() != 0 && listeners[..at].iter().any(|other| other.address == address) {
            return Err(BindError::Address { key, address, cause: Cause::Repeated });
        }
        match bind_alone(address) {
            Ok(socket) => proven.push((address, socket)),
            Err(error) => match Cause::from(error) {
                Cause::NoFamily | Cause::NotLocal if !listener.required => {
                    tracing::warn!(key, %address, "this host lacks the address family: not listening there");
                }
                cause => return Err(BindError::Address { key, address, cause }),
            },
        }
    }
    Ok(proven)
}

/// One socket for each shard, all at one port.
fn open_for_all<S>(
    key: &'static str,
    address: SocketAddr,
    shards: usize,
    bind: impl Fn(SocketAddr, bool) -> io::Result<S>,
    local: impl Fn(&S) -> io::Result<SocketAddr>,
) -> Result<Vec<S>, BindError> {
    let attempt = || {
        let mut shared = address;
        if address.port() == 0 {
            // Not with SO_REUSEPORT: the kernel might choose a port that
            // another program shares.
            shared = local(&bind(address, false)?)?;
        }
        (0..shards).map(|_| bind(shared, true)).collect::<io::Result<Vec<S>>>()
    };
    let tries = if address.port() == 0 { FREE_PORT_TRIES } else { 1 };
    let mut result = attempt();
    for _ in 1..tries {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => result = attempt(),
            _ => break,
        }
    }
    result.map_err(|error| BindError::Address { key, address, cause: error.into() })
}

fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run that linger in TIME_WAIT are no obstacle.
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = bind_tcp(address, reuse_port)?;
    if reuse_port {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

/// For a listener of the whole server: its bind is the proof.
fn listen_alone(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind_tcp(address, false)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
#[path = "bind_test.rs"]
mod tests;
