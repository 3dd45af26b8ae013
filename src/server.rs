//! One running server out of a configuration: finds the relay addresses, opens
//! the admin and TURN sockets, ties users, policy, shards and admin together,
//! and writes the runtime file. It moves no packet and reads no file of its own.
//! Called by `cli` (serve, and pair for a server of its own).

mod steering;

use std::env;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::admin::runtime_file::{self, Places, Runtime, RuntimeFile};
use crate::admin::{self, Admin, Mint, Minted, NotRevoked, Readiness, random_token};
use crate::auth::{self, Directory, DirectorySettings, Revocations, RevokeError, Secret, Unrevoked};
use crate::config::{self, Config, Loaded, urls};
use crate::net::{self, CertificateError, CertificateFiles, Certificates, Listener, OsRandom, discover};
use crate::policy::{Ledger, OwnAddresses, PeerFilter, SharedBandwidth, SourceThrottle};
use crate::relay::counters::Counter;
use crate::relay::ports::RelayPool;
use crate::relay::world::{Bandwidth, Random};
use crate::relay::{AlternateServer, Family, Settings, Transport, UnixTime};
use steering::{Steering, drain};

/// How long the credentials hold that are shown at the start.
const SHOWN_CREDENTIALS: Duration = Duration::from_secs(24 * 3600);
/// Whom they are for.
const SHOWN_USER: &str = "floe";
/// Descriptors that are not relay sockets.
const OTHER_DESCRIPTORS: u64 = 256;

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

/// A server at work. Stopping it takes [`Running::stop`]; when it is dropped its
/// threads end too, but nobody waits for them.
#[derive(Debug)]
pub struct Running {
    net: net::Handle,
    ended: watch::Receiver<Option<Result<(), String>>>,
    readiness: watch::Sender<Readiness>,
    admin: Option<AdminTask>,
    relays: Vec<(IpAddr, IpAddr)>,
    urls: Vec<String>,
    access: Access,
    warnings: Vec<String>,
    token: String,
    /// Removed when this is dropped.
    _runtime_file: Option<RuntimeFile>,
}

#[derive(Debug)]
struct AdminTask {
    url: String,
    page: bool,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Opens and starts everything. Needs a tokio runtime, which serves the admin
/// room. `lost_log_lines` is what the log writer counts.
pub fn start(loaded: &Loaded, lost_log_lines: Arc<AtomicU64>) -> Result<Running, StartError> {
    let config = &loaded.config;
    let mut warnings = Vec::new();
    let relays = relay_addresses(config);
    let descriptors = check_descriptors(config, relays.len() as u64, &mut warnings);
    let mut random = OsRandom::new().map_err(|error| system("get random bytes", &error))?;
    let (secrets, made_up) = secrets(config);
    let directory = directory(loaded, &secrets, &mut random)?;
    let revocations = revocations(config)?;
    let certificates = certificates(config, &mut warnings)?;
    let admin = bind_admin(loaded)?;
    let admin_address = admin.as_ref().map(Admin::address);
    if let (Some(listen), Some(bound)) = (config.admin.listen, admin_address)
        && listen.port() != 0
        && listen != bound
    {
        warnings.push(format!("admin.listen: {listen} is taken by another program; {bound} is used instead"));
    }

    let ports = config.relay.ports;
    let pool = Arc::new(RelayPool::new(&relays, ports.first..=ports.last));
    let listener = |key: &'static str| {
        let required = !loaded.is_default(key);
        move |&address: &SocketAddr| Listener { address, required }
    };
    let local = discover::local_addresses().map_err(|error| system("list the local addresses", &error))?;
    let (allow, deny) = (config.peers.allow.clone(), config.peers.deny.clone());
    let own_relays = relays.clone();
    let nat_discovery = config.nat_discovery();
    let alternates: Vec<SocketAddr> = nat_discovery
        .iter()
        .flatten()
        .flatten()
        .copied()
        .filter(|a| !config.listen.udp.contains(a))
        .collect();
    let alternate = |&address: &SocketAddr| Listener { address, required: true };
    let listening = config.listen.udp.iter().map(listener("listen.udp"));
    let plan = net::Plan {
        udp: listening.chain(alternates.iter().map(alternate)).collect(),
        tcp: config.listen.tcp.iter().map(listener("listen.tcp")).collect(),
        tls: config.listen.tls.iter().map(listener("listen.tls")).collect(),
        dtls: config.listen.dtls.iter().map(listener("listen.dtls")).collect(),
        certificates: certificates.clone(),
        balancers: config.listen.proxy_protocol_from.clone(),
        shards: config.listen.shards.into(),
        socket_buffer: config.listen.socket_buffer as usize,
        connections_per_address: config.limits.tcp_connections_per_address,
        dtls_sessions: (config.limits.dtls_sessions_per_address, config.limits.dtls_sessions),
        // A TCP client that relays takes two: its connection and its relay.
        connections: u32::try_from(descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2).unwrap_or(u32::MAX),
        pool: Arc::clone(&pool),
        settings: Settings {
            realm: directory.realm().to_owned(),
            max_lifetime: config.relay.max_lifetime,
            legacy_channels: config.relay.legacy_channels,
            compat_permission_lifetime: config.relay.compat_permission_lifetime,
            strict_expiry: config.auth.strict_expiry,
            classic: config.stun.classic,
            nat_discovery: Vec::new(),
            bits_per_second_per_allocation: config.limits.bits_per_second_per_allocation,
            alternate_servers: config.relay.alternate_servers.iter().map(alternate_server).collect(),
            nonce_keys: auth::nonce_keys(config.auth.nonce_secret.expose(), &secrets, &mut random),
            ticket_key: config.relay.mobility.then(|| ticket_key(&mut random)),
            tcp_relay: config.relay.tcp,
            data_connections_per_user: config.limits.data_connections_per_user,
            shards: 1,
        },
        nat_discovery,
        users: Arc::new(Unrevoked { users: directory, revocations: Arc::clone(&revocations) }),
        peers: Box::new(move |listeners| {
            let protected = listeners.iter().map(|(_, address)| *address).chain(admin_address).collect();
            let own = OwnAddresses { relays: own_relays, local, protected };
            Arc::new(PeerFilter::new(&allow, &deny, &own))
        }),
        quota: Arc::new(Ledger::new(config.limits.allocations)),
        bandwidth: bandwidth(config.limits.bits_per_second),
        throttle: Arc::new(SourceThrottle::new(
            config.limits.unauthenticated_per_second,
            config.limits.failed_logins_per_minute,
        )),
    };
    let server = net::Server::bind(plan).map_err(|error| bind_error(named(error, &alternates)))?;

    let net = server.handle();
    if let Some((receive, send)) = net.buffers() {
        let asked = config.listen.socket_buffer;
        tracing::info!(target: "floe::net", asked, receive, send, "socket buffers, bytes");
    }
    let now = net.clock().now().unix;
    // Alternates serve TURN too, but who is told of them would gain nothing.
    let told = |listener: &&(Transport, SocketAddr)| !alternates.contains(&listener.1);
    let told: Vec<_> = net.listeners().iter().filter(told).copied().collect();
    let host = certificates.as_ref().and_then(|certificates| certificates.host());
    let urls = urls::urls(&told, &relays, host.as_deref());
    let access = match secrets.first() {
        Some(secret) => minted(secret, made_up, now)?,
        None if config.auth.users.is_empty() => Access::Tokens(config.auth.oauth_keys.len()),
        None => Access::Users(config.auth.users.len()),
    };
    let token = random_token();
    let (readiness, readiness_seen) = watch::channel(Readiness::Starting);
    let state = admin::State {
        realm: config.realm.clone(),
        listeners: net.listeners().to_vec(),
        counters: net.counters().to_vec(),
        pool,
        lost_log_lines,
        admissions: admissions(config, net.clone(), certificates),
        started: now,
        readiness: readiness_seen,
        token: token.clone(),
        api_keys: api_keys(config),
        tenants: secrets.iter().map(|secret| (secret.name().to_owned(), mint(secret.clone()))).collect(),
        mint: secrets.into_iter().next().map(mint),
        revocations: Some(Arc::new(Revoking { revocations, net: net.clone() })),
        cors: config.admin.cors.clone(),
        urls: urls.clone(),
        page: config.admin.page,
        steering: Arc::new(Steering { net: net.clone(), readiness: readiness.clone() }),
    };
    let admin = admin.map(|admin| serve_admin(admin, state));
    let running = server.start().map_err(|error| system("start the shards", &error))?;
    readiness.send_replace(Readiness::Serving);

    let runtime = runtime(config, &net, admin.as_ref(), &urls, &relays, &token, now);
    let runtime_file = write_runtime_file(config, &runtime, &mut warnings)?;
    Ok(Running {
        ended: watch_end(running),
        net,
        readiness,
        admin,
        relays,
        urls,
        access,
        warnings,
        token,
        _runtime_file: runtime_file,
    })
}

impl Running {
    /// Every listener with its real port.
    pub fn listeners(&self) -> &[(Transport, SocketAddr)] {
        self.net.listeners()
    }

    /// Relay addresses as `(local, advertised)`.
    pub fn relays(&self) -> &[(IpAddr, IpAddr)] {
        &self.relays
    }

    /// `stun:` and `turn:` URLs as clients reach the server.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// How clients log in.
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// URL of the admin server, if there is one.
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_ref().map(|admin| admin.url.as_str())
    }

    /// URL of the web page, with the run's token in its fragment, if there is one.
    pub fn page(&self) -> Option<String> {
        self.admin
            .as_ref()
            .filter(|admin| admin.page)
            .map(|admin| format!("{}/#token={}", admin.url, self.token))
    }

    /// The run's token for the admin server.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the operator should know; lines for people.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Waits until a part has failed, and says how. Never ends while all is well.
    pub async fn failure(&self) -> String {
        let mut ended = self.ended.clone();
        let failed = ended.wait_for(|ended| matches!(ended, Some(Err(_)))).await;
        match failed.as_deref() {
            Ok(Some(Err(text))) => text.clone(),
            // Stopped without a failure: there is none to come.
            _ => std::future::pending().await,
        }
    }

    /// From now on no new allocations (DESIGN.md §5.13).
    pub async fn drain(&self) {
        drain(&self.net, &self.readiness).await;
    }

    /// Live allocations.
    pub fn allocations(&self) -> u64 {
        let shards = self.net.counters().iter();
        shards.flat_map(|counters| &counters.allocations).map(Counter::get).sum()
    }

    /// Waits until no allocation is left.
    pub async fn idle(&self) {
        self.net.drained().await;
    }

    /// Ends every allocation, the shards, and then the admin room.
    pub async fn stop(&mut self) {
        self.readiness.send_replace(Readiness::Draining);
        self.net.stop().await;
        // An error here means that nobody is left to wait for.
        let _ = self.ended.wait_for(Option::is_some).await;
        if let Some(admin) = self.admin.take() {
            admin.stop.send_replace(true);
            let _ = admin.task.await;
        }
    }
}

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

/// `relay.addresses`, else what the kernel would use toward the world, else
/// loopback, which serves for a try on one machine; the banner then warns.
fn relay_addresses(config: &Config) -> Vec<(IpAddr, IpAddr)> {
    let found: Vec<IpAddr> = Family::BOTH.into_iter().filter_map(discover::source_toward_world).collect();
    if !config.relay.addresses.is_empty() || !found.is_empty() {
        return config.relay.advertised(&found);
    }
    config.relay.advertised(&[Ipv4Addr::LOCALHOST.into()])
}

/// Each relay takes a descriptor. Returns how many may be open.
fn check_descriptors(config: &Config, addresses: u64, warnings: &mut Vec<String>) -> u64 {
    let ports = addresses * (u64::from(config.relay.ports.last - config.relay.ports.first) + 1);
    let limit = match discover::raise_descriptor_limit() {
        Ok(limit) => limit,
        Err(error) => {
            warnings.push(format!("the descriptor limit could not be raised: {error}"));
            return ports + OTHER_DESCRIPTORS;
        }
    };
    if limit < ports + OTHER_DESCRIPTORS {
        warnings.push(format!(
            "at most {limit} descriptors may be open (ulimit -n), but there are {ports} relay ports \
             (relay.ports on each relay address): raise the limit (LimitNOFILE=), or expect 508 before the \
             ports are used up"
        ));
    }
    limit
}

/// The shared secrets, and whether they were made up for this run because nobody
/// could log in otherwise (DESIGN.md §5.11).
fn secrets(config: &Config) -> (Vec<Secret>, bool) {
    if config.auth.is_empty() {
        return (vec![Secret::new("this run", &random_token())], true);
    }
    let named = config.auth.secrets.iter().zip(1..).map(|(entry, number)| {
        let name = entry.name.clone().unwrap_or_else(|| format!("secret {number}"));
        Secret::new(name, entry.secret.expose())
    });
    (named.collect(), false)
}

/// No allocation outlives the process, and so no ticket.
fn ticket_key(random: &mut OsRandom) -> [u8; 32] {
    let mut key = [0; 32];
    random.fill(&mut key);
    key
}

/// The limit for time-limited credentials is one for `auth.users` too where it is
/// set: an operator knows those by name.
fn directory(loaded: &Loaded, secrets: &[Secret], random: &mut OsRandom) -> Result<Directory, StartError> {
    let config = &loaded.config;
    let most = config.limits.allocations_per_user;
    let max_allocations = if loaded.is_default("limits.allocations-per-user") { 0 } else { most };
    let users = config.auth.users.iter().map(|(name, password)| auth::User {
        name: name.clone(),
        password: Zeroizing::new(password.expose().to_owned()),
        max_allocations,
    });
    let settings = DirectorySettings {
        realm: config.realm.clone(),
        users: users.collect(),
        secrets: secrets.to_vec(),
        max_allocations: most,
        own_limits: vec![(admin::TEST_USER.to_owned(), admin::TEST_ALLOCATIONS)],
        third_party: auth::ThirdPartySettings {
            server_name: config.oauth_server_name().to_owned(),
            keys: oauth_keys(config)?,
            max_allocations: most,
        },
    };
    Directory::new(settings, random).map_err(|error| StartError::Configuration(format!("auth: {error}")))
}

fn oauth_keys(config: &Config) -> Result<Vec<auth::OauthKey>, StartError> {
    let wrong = |error| StartError::Configuration(format!("auth.oauth-keys: {error}"));
    config.auth.oauth_keys.iter().map(|key| auth::OauthKey::new(&key.settings()).map_err(wrong)).collect()
}

fn alternate_server(server: &config::AlternateServer) -> AlternateServer {
    AlternateServer { address: server.address, domain: server.domain.as_deref().map(Into::into) }
}

fn bandwidth(bits_per_second: u64) -> Option<Arc<dyn Bandwidth>> {
    (bits_per_second > 0).then(|| Arc::new(SharedBandwidth::new(bits_per_second)) as Arc<dyn Bandwidth>)
}

/// An address that stands in no list of listeners has come from another key.
fn named(error: net::BindError, alternates: &[SocketAddr]) -> net::BindError {
    match error {
        net::BindError::Address { address, cause, .. } if alternates.contains(&address) => {
            net::BindError::Address { key: "stun.alternate-port", address, cause }
        }
        error => error,
    }
}

/// What TLS needs: nothing of `[tls]` is read when nobody listens.
fn certificates(
    config: &Config,
    warnings: &mut Vec<String>,
) -> Result<Option<Arc<Certificates>>, StartError> {
    let dtls = !config.listen.dtls.is_empty();
    if config.listen.tls.is_empty() && !dtls {
        return Ok(None);
    }
    let pairs = config.tls.pairs().into_iter();
    let files =
        pairs.map(|pair| CertificateFiles { certificate: pair.certificate, private_key: pair.private_key });
    let loaded = Certificates::load(files, dtls).map_err(|(index, error)| {
        let key = match error {
            _ if index > 0 || config.tls.certificate.as_os_str().is_empty() => "tls.certificates",
            CertificateError::Certificate { .. } => "tls.certificate",
            CertificateError::PrivateKey { .. } => "tls.private-key",
        };
        StartError::Configuration(format!("{key}: {error}"))
    })?;
    let now = net::Clock::start().now().unix;
    for (file, _) in loaded.expiries().iter().filter(|(_, not_after)| *not_after < now) {
        warnings.push(format!("the certificate in {file} has expired: clients will refuse it; renew it"));
    }
    Ok(Some(Arc::new(loaded)))
}

/// What the admin room asks of TLS and balancers at each scrape.
fn admissions(
    config: &Config,
    net: net::Handle,
    certificates: Option<Arc<Certificates>>,
) -> Option<Box<dyn Fn() -> admin::Admissions + Send + Sync>> {
    if certificates.is_none() && config.listen.proxy_protocol_from.is_empty() {
        return None;
    }
    Some(Box::new(move || {
        let (tcp, dtls) = (net.admissions(), net.dtls_admissions());
        let certificates = certificates.as_ref().map(|certificates| certificates.expiries());
        let handshakes =
            |of: net::Admissions| admin::Handshakes { done: of.handshakes, failed: of.handshakes_failed };
        admin::Admissions {
            tls: handshakes(tcp),
            dtls: handshakes(dtls),
            dtls_refused: dtls.refused,
            refused: tcp.refused,
            certificates: certificates.unwrap_or_default(),
        }
    }))
}

/// Nobody asked for the default address, so another free port does as well.
fn bind_admin(loaded: &Loaded) -> Result<Option<Admin>, StartError> {
    let Some(listen) = loaded.config.admin.listen else { return Ok(None) };
    let bound =
        if loaded.is_default("admin.listen") { Admin::bind_or_free(listen) } else { Admin::bind(listen) };
    let cause =
        |error| StartError::Configuration(format!("admin.listen: {listen} {}", net::Cause::from(error)));
    bound.map(Some).map_err(cause)
}

fn serve_admin(admin: Admin, state: admin::State) -> AdminTask {
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

fn minted(secret: &Secret, this_run: bool, now: UnixTime) -> Result<Access, StartError> {
    let minted = auth::mint(secret, Some(SHOWN_USER), SHOWN_CREDENTIALS, now)
        .map_err(|error| StartError::System(error.to_string()))?;
    Ok(Access::Minted {
        username: minted.username,
        credential: minted.password,
        lasts: SHOWN_CREDENTIALS,
        this_run,
    })
}

fn mint(secret: Secret) -> Box<dyn Mint> {
    Box::new(move |user: &str, ttl: Duration, now: UnixTime| {
        auth::mint(&secret, Some(user), ttl, now)
            .map(|made| Minted { username: made.username, password: made.password })
            .map_err(|error| error.to_string())
    })
}

fn api_keys(config: &Config) -> Vec<admin::ApiKey> {
    let keys = config.admin.api_keys.iter().zip(1..);
    keys.map(|(entry, number)| admin::ApiKey {
        name: entry.name.clone().unwrap_or_else(|| format!("key {number}")),
        key: entry.key.expose().to_owned(),
        terms: admin::Terms {
            id: entry.terms.id.clone(),
            secret: entry.terms.secret.clone(),
            max_lifetime: entry.terms.max_lifetime,
            quota: entry.terms.quota,
            per_second: entry.terms.per_second,
        },
    })
    .collect()
}

/// Those of the state directory, where there is one.
fn revocations(config: &Config) -> Result<Arc<Revocations>, StartError> {
    let directory = places(config.state_directory.clone()).state_directory;
    let now = UnixTime::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    Revocations::open(directory.as_deref(), now)
        .map(Arc::new)
        .map_err(|error| StartError::System(format!("cannot read what is revoked: {error}")))
}

struct Revoking {
    revocations: Arc<Revocations>,
    net: net::Handle,
}

impl admin::Revocations for Revoking {
    fn revoke(&self, username: &str) -> Result<(), NotRevoked> {
        self.revocations.revoke(username, self.net.clock().now().unix).map_err(|error| match error {
            RevokeError::Io(..) => NotRevoked::NotKept(error.to_string()),
            _ => NotRevoked::Refused(error.to_string()),
        })
    }
}

fn runtime(
    config: &Config,
    net: &net::Handle,
    admin: Option<&AdminTask>,
    urls: &[String],
    relays: &[(IpAddr, IpAddr)],
    token: &str,
    started: UnixTime,
) -> Runtime {
    let (pid, start_ticks) = Runtime::this_process();
    let listener = |(transport, address): &(Transport, SocketAddr)| runtime_file::Listener {
        transport: transport.name().to_owned(),
        address: address.to_string(),
    };
    Runtime {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid,
        start_ticks,
        started: started.secs(),
        admin: admin.map(|admin| admin.url.clone()),
        listeners: net.listeners().iter().map(listener).collect(),
        urls: urls.to_vec(),
        realm: config.realm.clone(),
        token: token.to_owned(),
        relay_addresses: relays.iter().map(|(_, advertised)| advertised.to_string()).collect(),
    }
}

/// A configured directory must do; without one the server runs all the same.
fn write_runtime_file(
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

/// Tells how the shards ended, to any number of listeners.
fn watch_end(mut running: net::Running) -> watch::Receiver<Option<Result<(), String>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let result = running.ended().await.map_err(|failed| failed.to_string());
        sender.send_replace(Some(result));
    });
    receiver
}

fn bind_error(error: net::BindError) -> StartError {
    match error {
        net::BindError::System { .. } => StartError::System(error.to_string()),
        _ => StartError::Configuration(error.to_string()),
    }
}

fn system(what: &str, error: &std::io::Error) -> StartError {
    StartError::System(format!("cannot {what}: {error}"))
}
