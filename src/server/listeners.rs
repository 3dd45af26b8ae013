//! Where clients reach the server: the addresses of `[listen]` and `[stun]`, and
//! what to say of those that can't be had.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use super::StartError;
use crate::admin::Admin;
use crate::config::{Config, Loaded, WebServer};
use crate::net::{self, Listener, Pass, Web};

/// Visitors that the admin room has not taken in yet.
const VISITORS: usize = 64;

/// The addresses that are listened on.
pub(super) struct Listeners {
    pub(super) udp: Vec<Listener>,
    pub(super) tcp: Vec<Listener>,
    pub(super) tls: Vec<Listener>,
    pub(super) dtls: Vec<Listener>,
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
        let list = |key: &'static str, addresses: &[SocketAddr]| -> Vec<Listener> {
            let required = !loaded.is_default(key);
            addresses.iter().map(|&address| Listener { address, required }).collect()
        };
        let mut udp = list("listen.udp", &listen.udp);
        udp.extend(alternates.iter().map(|&address| Listener { address, required: true }));
        Self {
            udp,
            tcp: list("listen.tcp", &listen.tcp),
            tls: list("listen.tls", &listen.tls),
            dtls: list("listen.dtls", &listen.dtls),
            nat_discovery,
            alternates,
        }
    }
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
