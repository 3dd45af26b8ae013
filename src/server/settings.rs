//! How the engines behave: their settings and limits out of the configuration.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::logins::Kept;
use crate::auth::Secret;
use crate::config::{self, Config};
use crate::policy::{OwnAddresses, PeerFilter, SharedBandwidth, SourceThrottle};
use crate::relay::world::Bandwidth;
use crate::relay::{AlternateServer, Settings, Transport};

/// The number of shards and the links of NAT discovery are the packet room's to
/// fill in. `realm` is as clients are challenged with it.
pub(super) fn settings(config: &Config, realm: &str, secrets: &[Secret], kept: &Kept) -> Settings {
    Settings {
        realm: realm.to_owned(),
        max_lifetime: config.relay.max_lifetime,
        legacy_channels: config.relay.legacy_channels,
        compat_permission_lifetime: config.relay.compat_permission_lifetime,
        strict_expiry: config.auth.strict_expiry,
        classic: config.stun.classic,
        nat_discovery: Vec::new(),
        bits_per_second_per_allocation: config.limits.bits_per_second_per_allocation,
        alternate_servers: config.relay.alternate_servers.iter().map(alternate_server).collect(),
        nonce_keys: kept.nonce_keys(config, secrets),
        ticket_key: config.relay.mobility.then_some(kept.ticket_key),
        tcp_relay: config.relay.tcp,
        data_connections_per_user: config.limits.data_connections_per_user,
        shards: 1,
    }
}

/// Where clients may relay to. Nobody relays to the listeners of this server.
pub(super) fn peer_filter(
    peers: &config::Peers,
    relays: &[(IpAddr, IpAddr)],
    local: &[IpAddr],
    listeners: &[(Transport, SocketAddr)],
    admin: Option<SocketAddr>,
) -> PeerFilter {
    let protected = listeners.iter().map(|(_, address)| *address).chain(admin).collect();
    let own = OwnAddresses { relays: relays.to_vec(), local: local.to_vec(), protected };
    PeerFilter::new(&peers.allow, &peers.deny, &own)
}

/// Counts begin anew with it.
pub(super) fn throttle(limits: &config::Limits) -> Arc<SourceThrottle> {
    Arc::new(SourceThrottle::new(limits.unauthenticated_per_second, limits.failed_logins_per_minute))
}

pub(super) fn bandwidth(bits_per_second: u64) -> Option<Arc<dyn Bandwidth>> {
    (bits_per_second > 0).then(|| Arc::new(SharedBandwidth::new(bits_per_second)) as Arc<dyn Bandwidth>)
}

fn alternate_server(server: &config::AlternateServer) -> AlternateServer {
    AlternateServer { address: server.address, domain: server.domain.as_deref().map(Into::into) }
}
