//! The runtime file of this server: where it goes and what it says.

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::StartError;
use super::admin_room::AdminTask;
use crate::admin::Reach;
use crate::admin::runtime_file::{self, Places, Runtime, RuntimeFile};
use crate::config::Config;
use crate::relay::{Transport, UnixTime};

/// Where running servers of this user leave their runtime files.
/// `state_directory` is the configured one; empty is none.
pub fn places(state_directory: PathBuf) -> Places {
    let directory = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let configured = Some(state_directory).filter(|path| !path.as_os_str().is_empty());
    Places {
        state_directory: configured.or_else(|| directory("STATE_DIRECTORY")),
        runtime_directory: directory("XDG_RUNTIME_DIR"),
        temporary_directory: env::temp_dir(),
        user: rustix::process::geteuid().as_raw(),
    }
}

pub(super) fn runtime(
    config: &Config,
    admin: Option<&AdminTask>,
    reach: &Reach,
    relays: &[(IpAddr, IpAddr)],
    token: &str,
    started: UnixTime,
) -> Runtime {
    let (pid, start_ticks) = Runtime::this_process();
    let runtime = Runtime {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid,
        start_ticks,
        started: started.secs(),
        admin: admin.map(|admin| admin.url.clone()),
        listeners: Vec::new(),
        urls: Vec::new(),
        realm: config.realm.clone(),
        token: token.to_owned(),
        relay_addresses: relays.iter().map(|(_, advertised)| advertised.to_string()).collect(),
    };
    reached_at(runtime, reach)
}

/// The same server, reached there.
pub(super) fn reached_at(runtime: Runtime, reach: &Reach) -> Runtime {
    let listener = |(transport, address): &(Transport, SocketAddr)| runtime_file::Listener {
        transport: transport.name().to_owned(),
        address: address.to_string(),
    };
    let listeners = reach.listeners.iter().map(listener).collect();
    Runtime { listeners, urls: reach.urls.clone(), ..runtime }
}

/// A configured directory must do; without one the server runs all the same.
pub(super) fn write_runtime_file(
    config: &Config,
    runtime: &Runtime,
    warnings: &mut Vec<String>,
) -> Result<Option<RuntimeFile>, StartError> {
    let places = places(config.state_directory.clone());
    match RuntimeFile::write(&places, runtime) {
        Ok(file) => Ok(Some(file)),
        Err(error) if places.state_directory.is_some() => {
            Err(StartError::Configuration(format!("state-directory: {error}")))
        }
        Err(error) => {
            warnings.push(format!("other floe commands won't find this server by themselves: {error}"));
            Ok(None)
        }
    }
}
