//! The admin room's way to the shards.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::reload::Reloader;
use crate::admin::{self, Readiness, Reloaded};
use crate::net;
use crate::relay::{AllocationDetail, AllocationId, AllocationSummary, Now, ShardId};

/// See the module's head.
pub(super) struct Steering {
    pub(super) net: net::Handle,
    pub(super) readiness: watch::Sender<Readiness>,
    pub(super) reloader: Arc<Reloader>,
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

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, String>> {
        self.reloader.reload().boxed()
    }

    fn log_level(&self) -> String {
        self.reloader.log.as_ref().map(|log| log.level()).unwrap_or_default()
    }

    fn set_log_level(&self, directives: &str) -> Result<(), String> {
        let log = self.reloader.log.as_ref().ok_or("the log of this process can't be changed")?;
        log.set(directives)?;
        tracing::info!(level = directives, "log level");
        Ok(())
    }
}

pub(super) async fn drain(net: &net::Handle, readiness: &watch::Sender<Readiness>) {
    readiness.send_replace(Readiness::Draining);
    net.drain().await;
}
