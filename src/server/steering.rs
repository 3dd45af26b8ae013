//! The admin room's way to the shards.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::admin::{self, Readiness};
use crate::net;
use crate::relay::{AllocationDetail, AllocationId, AllocationSummary, Now, ShardId};

/// See the module's head.
pub(super) struct Steering {
    pub(super) net: net::Handle,
    pub(super) readiness: watch::Sender<Readiness>,
}

impl admin::Steering for Steering {
    fn now(&self) -> Now {
        self.net.clock().now()
    }

    fn sessions(&self) -> BoxFuture<'_, Vec<(ShardId, AllocationSummary)>> {
        self.net.sessions().boxed()
    }

    fn session(&self, shard: ShardId, id: AllocationId) -> BoxFuture<'_, Option<AllocationDetail>> {
        self.net.session(shard, id).boxed()
    }

    fn kick(&self, shard: ShardId, id: AllocationId) -> BoxFuture<'_, bool> {
        self.net.kick(shard, id).boxed()
    }

    fn kick_user(&self, user: Arc<str>) -> BoxFuture<'_, usize> {
        async move { self.net.kick_user(&user).await }.boxed()
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        drain(&self.net, &self.readiness).boxed()
    }
}

pub(super) async fn drain(net: &net::Handle, readiness: &watch::Sender<Readiness>) {
    readiness.send_replace(Readiness::Draining);
    net.drain().await;
}
