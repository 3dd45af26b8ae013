//! A floe without ACME: the configuration that asks for it has been refused.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::StartError;
use crate::admin;
use crate::config::{Config, Loaded};
use crate::net::{Certificates, TlsChallenges};

/// There is none.
pub(super) enum Acme {}

pub(super) fn await_certificate(
    _: &Config,
    _: &mut Certificates,
    _: &mut Vec<String>,
) -> Result<(), StartError> {
    Ok(())
}

impl Acme {
    pub(super) fn new(_: &Loaded, _: &Arc<Certificates>) -> Result<Option<Self>, StartError> {
        Ok(None)
    }

    pub(super) fn challenges(&self) -> Option<Arc<TlsChallenges>> {
        match *self {}
    }

    pub(super) fn orders(&self) -> impl Fn() -> admin::Orders + Send + Sync + 'static {
        || admin::Orders::default()
    }

    pub(super) fn start(self) -> JoinSet<()> {
        match self {}
    }
}
