//! One running server out of a configuration: finds the relay addresses, opens
//! the admin and TURN sockets, ties users, policy, shards and admin together,
//! and writes the runtime file. It moves no packet and reads no file of its own.
//! Called by `cli` (serve, and pair for a server of its own).

#[cfg(feature = "acme")]
mod acme;
#[cfg(not(feature = "acme"))]
#[path = "acme_absent.rs"]
mod acme;
mod addresses;
mod admin_room;
mod certificates;
mod listeners;
mod logins;
mod public_address;
mod reload;
mod running;
mod runtime;
mod settings;
mod steering;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use crate::admin::{self, Admin, Live, Readiness, Reloads, random_token};
use crate::auth::Unrevoked;
use crate::config::{Loaded, Sources};
use crate::net::{self, OsRandom, discover};
use crate::policy::Ledger;
use crate::relay::ports::RelayPool;
use acme::Acme;
use addresses::OTHER_DESCRIPTORS;
use listeners::Listeners;
use logins::Kept;
use public_address::PublicAddresses;
use reload::{InForce, Reloader, connection_limits};
use steering::Steering;

pub use addresses::urls_of;
pub use running::Running;
pub use runtime::places;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key has to be changed; the text names it.
    #[error("{0}")]
    Configuration(String),
    /// The system refuses something.
    #[error("{0}")]
    System(String),
}

/// What the process around a server hands in.
#[derive(Clone, Default)]
pub struct Process {
    /// What the log writer counts.
    pub lost_log_lines: Arc<AtomicU64>,
    /// Its log, where that can be changed.
    pub log: Option<Arc<dyn LogLevel>>,
    /// What a reload reads; `None`: it can't be reloaded.
    pub sources: Option<Sources>,
}

/// What is logged, as directives: a level, or a list of `target=level`.
pub trait LogLevel: Send + Sync {
    /// Those in force.
    fn level(&self) -> String;

    /// Whether they can be read; an error says what is wrong.
    fn check(&self, directives: &str) -> Result<(), String>;

    /// In force from now on; an error has changed nothing.
    fn set(&self, directives: &str) -> Result<(), String>;
}

/// How clients log in, for whoever tells people of it.
#[derive(Clone, Debug)]
pub enum Access {
    /// With time-limited credentials; these were made to be shown.
    Minted {
        /// `expiry:user`
        username: String,
        /// The password.
        credential: String,
        /// From now on.
        lasts: Duration,
        /// The secret behind them was made up for this run.
        this_run: bool,
    },
    /// As one of this many users of `auth.users`.
    Users(usize),
    /// With access tokens only, sealed with one of this many keys of
    /// `auth.oauth-keys`.
    Tokens(usize),
}

/// Opens and starts everything. Needs a tokio runtime, which serves the admin
/// room.
pub fn start(loaded: &Loaded, process: Process) -> Result<Running, StartError> {
    let config = &loaded.config;
    let mut warnings = Vec::new();
    let mut relays = addresses::relay_addresses(config);
    let public = PublicAddresses::find(config, &mut relays, &mut warnings)?;
    let descriptors = addresses::check_descriptors(config, relays.len() as u64, &mut warnings);
    let mut random = OsRandom::new().map_err(|error| system("get random bytes", &error))?;
    let kept = Kept::new(&mut random);
    let (secrets, made_up) = logins::secrets(config, &kept);
    let directory = logins::directory(loaded, &config.realm, &secrets, &mut random)?;
    let realm = directory.realm().to_owned();
    let revocations = logins::revocations(config)?;
    let certificates = certificates::certificates(config, &mut warnings)?;
    let acme = Acme::new(loaded, &certificates)?;
    let mut admin = admin_room::bind_admin(loaded, &mut warnings)?;
    let web = listeners::web(config, admin.as_mut());
    let admin_address = admin.as_ref().map(Admin::address);

    let ports = config.relay.ports;
    let pool = Arc::new(RelayPool::new(&relays, ports.first..=ports.last));
    let local = discover::local_addresses().map_err(|error| system("list the local addresses", &error))?;
    let (peers, own_relays) = (config.peers.clone(), relays.clone());
    let quota = Arc::new(Ledger::new(config.limits.allocations));
    let throttle = settings::throttle(&config.limits);
    let bandwidth = settings::bandwidth(config.limits.bits_per_second);
    let Listeners { open, nat_discovery, alternates } = Listeners::new(loaded);
    let plan = net::Plan {
        listeners: open,
        certificates: certificates.clone(),
        tls_challenges: acme.as_ref().and_then(Acme::challenges),
        web,
        balancers: config.listen.proxy_protocol_from.clone(),
        shards: config.listen.shards.into(),
        socket_buffer: config.listen.socket_buffer as usize,
        limits: connection_limits(config),
        // A TCP client that relays takes two: its connection and its relay.
        connections: u32::try_from(descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2).unwrap_or(u32::MAX),
        pool: Arc::clone(&pool),
        settings: settings::settings(config, &realm, &secrets, &kept),
        nat_discovery,
        users: Arc::new(Unrevoked { users: directory, revocations: Arc::clone(&revocations) }),
        peers: Box::new(move |listeners| {
            Arc::new(settings::peer_filter(&peers, &own_relays, &local, listeners, admin_address))
        }),
        quota: quota.clone(),
        bandwidth: bandwidth.clone(),
        throttle: throttle.clone(),
    };
    let server = net::Server::bind(plan)
        .map_err(|error| listeners::bind_error(listeners::named(error, &alternates)))?;

    let net = server.handle();
    if let Some((receive, send)) = net.buffers() {
        let asked = config.listen.socket_buffer;
        tracing::info!(target: "floe::net", asked, receive, send, "socket buffers, bytes");
    }
    let now = net.clock().now().unix;
    let acme_name = acme.as_ref().and_then(|_| config.acme.names.first().cloned());
    let host = certificates.host().or_else(|| acme_name.clone());
    let reach = listeners::reach(net.listeners().to_vec(), &alternates, &relays, host.as_deref());
    let access = logins::access(config, &secrets, made_up, now)?;
    let found = public.as_ref().map(PublicAddresses::lines).unwrap_or_default();
    let public = public.map(PublicAddresses::watch);
    let token = random_token();
    let (readiness, readiness_seen) = watch::channel(Readiness::Starting);
    let live = Arc::new(Live::new(&token, logins::grants(config, &secrets), reach));
    let reloads = Arc::new(Reloads::new(now));
    let reloader = Arc::new(Reloader {
        sources: process.sources,
        log: process.log,
        net: net.clone(),
        live: live.clone(),
        certificates: certificates.clone(),
        revocations: revocations.clone(),
        quota,
        kept,
        realm,
        relays: relays.clone(),
        alternates,
        acme_name,
        admin: admin_address,
        runtime_file: OnceLock::new(),
        drain_timeout: config.drain_timeout.into(),
        reloads: reloads.clone(),
        in_force: Arc::new(Mutex::new(InForce {
            fingerprint: loaded.fingerprint(),
            has_file: loaded.has_file(),
            peers: None,
            throttle,
            bandwidth,
            listening: listeners::listed(&config.listen),
        })),
    });
    let state = admin::State {
        realm: config.realm.clone(),
        counters: net.counters().to_vec(),
        pool,
        lost_log_lines: process.lost_log_lines,
        public_address_changed: public.as_ref().map(|(_, changed)| Arc::clone(changed)),
        admissions: certificates::admissions(config, net.clone(), certificates, acme.as_ref()),
        started: now,
        readiness: readiness_seen,
        live: live.clone(),
        reloads,
        revocations: Some(Arc::new(admin_room::Revoking { revocations, net: net.clone() })),
        page: config.admin.page,
        steering: Arc::new(Steering {
            net: net.clone(),
            readiness: readiness.clone(),
            reloader: reloader.clone(),
        }),
    };
    let admin = admin.map(|admin| admin_room::serve_admin(admin, state));
    let running = server.start().map_err(|error| system("start the shards", &error))?;
    readiness.send_replace(Readiness::Serving);

    let reach = live.reach();
    let runtime = runtime::runtime(config, admin.as_ref(), &reach, &relays, &token, now);
    let runtime_file = runtime::write_runtime_file(config, &runtime, &mut warnings)?;
    if let Some(file) = &runtime_file {
        // Nobody else sets it.
        let _ = reloader.runtime_file.set((file.path().to_owned(), runtime));
    }
    Ok(Running {
        ended: running::watch_end(running),
        net,
        readiness,
        admin,
        relays,
        found,
        reach,
        access,
        warnings,
        token,
        reloader,
        _runtime_file: runtime_file,
        _acme: acme.map(Acme::start),
        _public_address: public.map(|(task, _)| task),
    })
}

fn system(what: &str, error: &std::io::Error) -> StartError {
    StartError::System(format!("cannot {what}: {error}"))
}
