//! Other settings from now on, while allocations go on: what a reload of the
//! configuration changes in an engine. What has been granted and would be no
//! longer ends.

use std::sync::Arc;

use super::address::PeerAddr;
use super::allocate::DEFAULT_LIFETIME;
use super::authenticate::Authenticator;
use super::bandwidth::{Bucket, Credit};
use super::engine::{Engine, Settings};
use super::ports::RelayPool;
use super::route::Output;
use super::time::Instant;
use super::world::{Bandwidth, PeerPolicy, Reach, Throttle, Users};

/// What an engine is given anew. A part that is the same object as before costs
/// nothing.
#[derive(Clone)]
pub struct Change {
    /// Who may allocate. Allocations of a user who is gone end when they can't be
    /// refreshed.
    pub users: Arc<dyn Users>,
    /// Where they may relay to.
    pub peers: Arc<dyn PeerPolicy>,
    /// How much relayed payload; `None` is no limit.
    pub bandwidth: Option<Arc<dyn Bandwidth>>,
    /// How many unauthenticated answers.
    pub throttle: Arc<dyn Throttle>,
    /// Of these, `realm`, `ticket_key`, `tcp_relay`, `nat_discovery` and `shards`
    /// stay as they were: live allocations and other shards depend on them.
    pub settings: Settings,
}

impl Engine {
    /// Goes on with other settings. Live allocations stay, with other limits where
    /// those have changed; a nonce of a key that is gone is answered with 438, and
    /// its client goes on with another.
    pub fn change(&mut self, now: Instant, change: Change, out: &mut Output) {
        let Change { users, peers, bandwidth, throttle, settings } = change;
        let rate = settings.bits_per_second_per_allocation;
        if rate != self.settings.bits_per_second_per_allocation {
            for id in self.table.ids() {
                if let Some(allocation) = self.table.live_mut(id) {
                    allocation.bandwidth = Bucket::limiting(rate, now);
                }
            }
        }
        self.settings = Settings {
            max_lifetime: settings.max_lifetime.max(DEFAULT_LIFETIME),
            realm: std::mem::take(&mut self.settings.realm),
            ticket_key: self.settings.ticket_key,
            tcp_relay: self.settings.tcp_relay,
            nat_discovery: std::mem::take(&mut self.settings.nat_discovery),
            shards: self.settings.shards,
            ..settings
        };
        self.authenticator = Authenticator::new(
            Arc::clone(&users),
            Arc::clone(&throttle),
            &self.settings.nonce_keys,
            &self.settings.realm,
            self.settings.strict_expiry,
        );
        let is_same = match (&bandwidth, &self.world.bandwidth) {
            (Some(new), Some(old)) => Arc::ptr_eq(new, old),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.credit = Credit::default();
        }
        self.world.bandwidth = bandwidth;
        self.world.users = users;
        self.world.throttle = throttle;
        if !Arc::ptr_eq(&peers, &self.world.peers) {
            self.set_peers(peers, out);
        }
    }

    /// From now on these are the peers that clients may relay to. Permissions,
    /// channels and data connections that they would not get any more end at
    /// once; nobody is told, as with those that expire.
    pub fn set_peers(&mut self, peers: Arc<dyn PeerPolicy>, out: &mut Output) {
        self.world.peers = Arc::clone(&peers);
        let pool = Arc::clone(&self.world.pool);
        for id in self.table.ids() {
            let Some(allocation) = self.table.live_mut(id) else { continue };
            allocation.reconsider(
                &self.world.counters,
                |ip| Some(peers.reach(ip)).filter(|reach| *reach != Reach::Denied),
                |peer| channel_reach(&*peers, &pool, peer),
            );
            self.close_connections_if(id, |connection| !may_connect(&*peers, &pool, connection.peer), out);
        }
    }
}

/// What a channel to this peer may reach; `None` when there can be none. An own
/// address is reachable as somebody's relay, or where `peers.allow` names it; our
/// listeners never are.
pub(super) fn channel_reach(peers: &dyn PeerPolicy, pool: &RelayPool, peer: PeerAddr) -> Option<Reach> {
    let reach = peers.reach(peer.ip());
    let own = reach == Reach::SomePorts && !pool.covers(peer) && !peers.may_send(peer);
    (reach != Reach::Denied && !own && peer.port() != 0).then_some(reach)
}

/// Whether a TCP connection with this peer may stand.
fn may_connect(peers: &dyn PeerPolicy, pool: &RelayPool, peer: PeerAddr) -> bool {
    match peers.reach(peer.ip()) {
        Reach::Denied => false,
        Reach::Open => true,
        Reach::SomePorts => pool.tcp_relay(peer).is_some() || peers.may_send(peer),
    }
}
