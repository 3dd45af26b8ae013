//! The admin room: its socket, its task, and what it asks of the rest.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::StartError;
use crate::admin::{self, Admin, NotRevoked};
use crate::auth::{Revocations, RevokeError};
use crate::config::Loaded;
use crate::net;

#[derive(Debug)]
pub(super) struct AdminTask {
    pub(super) url: String,
    pub(super) page: bool,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: JoinHandle<()>,
}

/// Nobody asked for the default address, so another free port does as well.
pub(super) fn bind_admin(loaded: &Loaded, warnings: &mut Vec<String>) -> Result<Option<Admin>, StartError> {
    let Some(listen) = loaded.config.admin.listen else { return Ok(None) };
    let bound =
        if loaded.is_default("admin.listen") { Admin::bind_or_free(listen) } else { Admin::bind(listen) };
    let cause =
        |error| StartError::Configuration(format!("admin.listen: {listen} {}", net::Cause::from(error)));
    let admin = bound.map_err(cause)?;
    let address = admin.address();
    if listen.port() != 0 && listen != address {
        warnings
            .push(format!("admin.listen: {listen} is taken by another program; {address} is used instead"));
    }
    Ok(Some(admin))
}

pub(super) fn serve_admin(admin: Admin, state: admin::State) -> AdminTask {
    let (stop, mut stopped) = watch::channel(false);
    let (url, page) = (admin.url(), state.page);
    let task = tokio::spawn(async move {
        let stopped = async move {
            // The other end gone means the same.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = admin.serve(state, stopped).await {
            tracing::error!(target: "floe::admin", %error, "the admin server could not be served");
        }
    });
    AdminTask { url, page, stop, task }
}

pub(super) struct Revoking {
    pub(super) revocations: Arc<Revocations>,
    pub(super) net: net::Handle,
}

impl admin::Revocations for Revoking {
    fn revoke(&self, username: &str) -> Result<(), NotRevoked> {
        self.revocations.revoke(username, self.net.clock().now().unix).map_err(|error| match error {
            RevokeError::Io(..) => NotRevoked::NotKept(error.to_string()),
            RevokeError::Full => NotRevoked::Full(error.to_string()),
            RevokeError::Name(_) => NotRevoked::Refused(error.to_string()),
        })
    }
}
