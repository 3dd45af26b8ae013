//! The server of this test, in this process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use floe::auth::{Directory, DirectorySettings, ThirdPartySettings, User};
use floe::net::{Listener, Listeners, OsRandom, Plan, Running, Server, Web};
use floe::policy::{Ledger, OwnAddresses, PeerFilter, SharedBandwidth, SourceThrottle};
use floe::relay::ports::RelayPool;
use floe::relay::{Settings, Transport};

use crate::support::{ALICE, REALM};

/// A server that runs until it is dropped.
pub(crate) struct Serving(Running);

impl Serving {
    /// Where it listens.
    pub(crate) fn address(&self, transport: Transport, ip: IpAddr) -> SocketAddr {
        let handle = self.0.handle();
        let listeners = handle.listeners();
        let found = listeners.iter().find(|(t, address)| *t == transport && address.ip() == ip);
        found.expect("it listens there").1
    }
}

/// One shard, so that what it does is what is counted; with limits, as a server in
/// the world has them.
pub(crate) fn start() -> Serving {
    let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        addresses.push(Ipv6Addr::LOCALHOST.into());
    }
    let listeners: Vec<Listener> =
        addresses.iter().map(|ip| Listener { address: (*ip, 0).into(), required: true }).collect();
    let relays: Vec<(IpAddr, IpAddr)> = addresses.iter().map(|ip| (*ip, *ip)).collect();
    let users = DirectorySettings {
        realm: REALM.into(),
        users: vec![User {
            name: ALICE.name.into(),
            password: ALICE.password.to_owned().into(),
            max_allocations: 0,
        }],
        secrets: Vec::new(),
        max_allocations: 0,
        own_limits: Vec::new(),
        third_party: ThirdPartySettings::default(),
    };
    let mut random = OsRandom::new().expect("random bytes");
    let settings = Settings {
        realm: REALM.into(),
        max_lifetime: 3600,
        legacy_channels: false,
        compat_permission_lifetime: true,
        strict_expiry: false,
        bits_per_second_per_allocation: 10_000_000_000,
        alternate_servers: Vec::new(),
        classic: false,
        nat_discovery: Vec::new(),
        nonce_keys: vec![[1; 32]],
        ticket_key: None,
        tcp_relay: false,
        data_connections_per_user: 0,
        shards: 1,
    };
    let plan = Plan {
        listeners: Listeners { udp: listeners.clone(), tcp: listeners, ..Listeners::default() },
        certificates: Arc::new(floe::net::Certificates::load([], false).unwrap()),
        tls_challenges: None,
        web: Web::default(),
        balancers: Vec::new(),
        shards: 1,
        socket_buffer: 0,
        limits: floe::net::ConnectionLimits { connections_per_address: 0, dtls_sessions: (0, 0) },
        connections: 100,
        pool: Arc::new(RelayPool::new(&relays, 49152..=65535)),
        settings,
        nat_discovery: Vec::new(),
        users: Arc::new(Directory::new(users, &mut random).expect("a directory")),
        peers: Box::new(|_| {
            let loopback = ["127.0.0.0/8", "::1/128"].map(|prefix| prefix.parse().expect("a prefix"));
            Arc::new(PeerFilter::new(&loopback, &[], &OwnAddresses::default()))
        }),
        quota: Arc::new(Ledger::new(0)),
        bandwidth: Some(Arc::new(SharedBandwidth::new(100_000_000_000))),
        throttle: Arc::new(SourceThrottle::new(0, 0)),
    };
    Serving(Server::bind(plan).expect("its sockets").start().expect("a thread"))
}
