//! Where clients reach the server: the addresses of `[listen]` and `[stun]`, and
//! what to say of those that can't be had.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::mpsc;

use super::StartError;
use crate::admin::{Admin, Reach};
use crate::config::{Config, Listen, Loaded, WebServer, urls};
use crate::net::{self, Listener, Pass, Web};
use crate::relay::Transport;

/// Visitors that the admin room has not taken in yet.
const VISITORS: usize = 64;

/// An address of `[listen]`.
pub(super) type Listed = (Transport, SocketAddr);

/// All of them.
pub(super) fn listed(listen: &Listen) -> Vec<Listed> {
    let all = [
        (Transport::Udp, &listen.udp),
        (Transport::Tcp, &listen.tcp),
        (Transport::Tls, &listen.tls),
        (Transport::Dtls, &listen.dtls),
    ];
    all.into_iter().flat_map(|(by, list)| list.iter().map(move |address| (by, *address))).collect()
}

/// Where they are listed.
const fn key(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "listen.udp",
        Transport::Tcp => "listen.tcp",
        Transport::Tls => "listen.tls",
        Transport::Dtls => "listen.dtls",
    }
}

fn to_open(loaded: &Loaded, listed: &[Listed]) -> net::Listeners {
    let list = |transport| -> Vec<Listener> {
        let required = !loaded.is_default(key(transport));
        let these = listed.iter().filter(|listed| listed.0 == transport);
        these.map(|&(_, address)| Listener { address, required }).collect()
    };
    net::Listeners {
        udp: list(Transport::Udp),
        tcp: list(Transport::Tcp),
        tls: list(Transport::Tls),
        dtls: list(Transport::Dtls),
    }
}

/// The addresses that are listened on.
pub(super) struct Listeners {
    pub(super) open: net::Listeners,
    /// Two addresses by two ports for each family that has NAT discovery.
    pub(super) nat_discovery: Vec<[[SocketAddr; 2]; 2]>,
    /// Those of `nat_discovery` that `listen.udp` does not have.
    pub(super) alternates: Vec<SocketAddr>,
}

impl Listeners {
    pub(super) fn new(loaded: &Loaded) -> Self {
        let listen = &loaded.config.listen;
        let nat_discovery = loaded.config.nat_discovery();
        let points = nat_discovery.iter().flatten().flatten().copied();
        let alternates: Vec<SocketAddr> = points.filter(|address| !listen.udp.contains(address)).collect();
        let mut open = to_open(loaded, &listed(listen));
        open.udp.extend(alternates.iter().map(|&address| Listener { address, required: true }));
        Self { open, nat_discovery, alternates }
    }
}

/// What a reload makes of `[listen]`: what is new is opened, what is gone stays.
pub(super) struct News {
    pub(super) new: Vec<Listed>,
    /// No longer listed; its clients would be cut off.
    pub(super) gone: Vec<Listed>,
    /// Listed, and not to be had beside what is open.
    pub(super) late: Vec<Listed>,
}

impl News {
    /// `before` is what was listed and opened, `open` the sockets that are there.
    /// Without `certificates` nobody can be served who wants to see one.
    pub(super) fn of(listen: &Listen, before: &[Listed], open: &[Listed], certificates: bool) -> Self {
        let now = listed(listen);
        let mut new = without(&now, before);
        new.retain(|listed| !open.contains(listed));
        let is_late = |new: &Listed| {
            new.0.is_encrypted() && !certificates || open.iter().any(|open| is_one_socket(*open, *new))
        };
        let (late, new) = new.into_iter().partition(is_late);
        Self { new, gone: without(before, &now), late }
    }

    /// The keys of what is opened, and of what takes a restart.
    pub(super) fn keys(&self) -> [Vec<&'static str>; 2] {
        let keys = |these: &[&[Listed]]| {
            let named = |transport: &Transport| these.iter().copied().flatten().any(|l| l.0 == *transport);
            Transport::ALL.into_iter().filter(named).map(key).collect()
        };
        [keys(&[&self.new]), keys(&[&self.gone, &self.late])]
    }

    pub(super) fn to_open(&self, loaded: &Loaded) -> net::Listeners {
        to_open(loaded, &self.new)
    }
}

/// Those of `these` that `those` lack; the same port 0 twice is two.
fn without(these: &[Listed], those: &[Listed]) -> Vec<Listed> {
    let mut those = those.to_vec();
    let is_new = |listed: &&Listed| match those.iter().position(|other| other == *listed) {
        Some(at) => {
            those.swap_remove(at);
            false
        }
        None => true,
    };
    these.iter().filter(is_new).copied().collect()
}

/// Whether the second can't be had while the first is open: UDP and DTLS share a
/// socket, so do TCP and TLS, and one on all addresses has each of them.
fn is_one_socket((one, at): Listed, (other, new): Listed) -> bool {
    let same_ip = at.ip() == new.ip() || at.ip().is_unspecified() || new.ip().is_unspecified();
    one.is_stream() == other.is_stream()
        && at.is_ipv4() == new.is_ipv4()
        && at.port() == new.port()
        && same_ip
}

/// How clients reach these listeners. `alternates` serve TURN too, but who is told
/// of them would gain nothing.
pub(super) fn reach(
    listeners: Vec<Listed>,
    alternates: &[SocketAddr],
    relays: &[(IpAddr, IpAddr)],
    host: Option<&str>,
) -> Reach {
    let told: Vec<_> = listeners.iter().filter(|listed| !alternates.contains(&listed.1)).copied().collect();
    Reach { urls: urls::urls(&told, relays, host), listeners }
}

/// `[https]`; the admin room serves those who come by it.
pub(super) fn web(config: &Config, admin: Option<&mut Admin>) -> Web {
    let https = &config.https;
    let visitors = admin.filter(|_| https.admin && !https.listen.is_empty()).map(|admin| {
        let (sender, receiver) = mpsc::channel(VISITORS);
        admin.receive(receiver);
        sender
    });
    let pass = |server: &WebServer| Pass {
        names: server.names.clone(),
        to: server.to.clone(),
        proxy_protocol: server.proxy_protocol,
    };
    Web {
        listen: https.listen.iter().map(|&address| Listener { address, required: true }).collect(),
        passes: https.web_servers.iter().map(pass).collect(),
        visitors,
    }
}

/// An address that stands in no list of listeners has come from another key.
pub(super) fn named(error: net::BindError, alternates: &[SocketAddr]) -> net::BindError {
    match error {
        net::BindError::Address { address, cause, .. } if alternates.contains(&address) => {
            net::BindError::Address { key: "stun.alternate-port", address, cause }
        }
        error => error,
    }
}

pub(super) fn bind_error(error: net::BindError) -> StartError {
    match error {
        net::BindError::System { .. } => StartError::System(error.to_string()),
        _ => StartError::Configuration(error.to_string()),
    }
}
