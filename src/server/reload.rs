//! A reload: the configuration is read again, everything that can fail is made
//! ready, and only then is anything put in force. What can't change while the
//! server runs is named; `config::change_of` says which keys those are.
//!
//! Asked for by a signal (`cli`) or over HTTP (`steering`), one at a time.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use super::certificates::{self, secured};
use super::listeners::{self, Listed, News};
use super::logins::{self, Kept};
use super::runtime::reached_at;
use super::{LogLevel, StartError, settings};
use crate::admin::runtime_file::{self, Runtime};
use crate::admin::{Grants, Live, Reach, Reading, Reloaded, Reloads};
use crate::auth::{Revocations, Unrevoked};
use crate::config::{Change, Config, Fingerprint, Loaded, Sources, change_of, load};
use crate::net::{self, CertificateSet, Certificates, ConnectionLimits, OsRandom, discover};
use crate::policy::{Ledger, SourceThrottle};
use crate::relay::world::{Bandwidth, PeerPolicy};
use crate::relay::{self, Transport};

/// What a reload needs of the running server.
pub(super) struct Reloader {
    /// `None` for a server that was started with no wish to be reloaded.
    pub(super) sources: Option<Sources>,
    pub(super) log: Option<Arc<dyn LogLevel>>,
    pub(super) net: net::Handle,
    pub(super) live: Arc<Live>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) quota: Arc<Ledger>,
    pub(super) kept: Kept,
    /// As clients are challenged with it.
    pub(super) realm: String,
    pub(super) relays: Vec<(IpAddr, IpAddr)>,
    /// Of NAT discovery.
    pub(super) alternates: Vec<SocketAddr>,
    /// What the certificate from an ACME server is for; `None` when nobody obtains
    /// one.
    pub(super) acme_name: Option<String>,
    pub(super) admin: Option<SocketAddr>,
    /// Where it is, and what it says of the server as it was started; none where it
    /// could not be written.
    pub(super) runtime_file: OnceLock<(PathBuf, Runtime)>,
    /// Seconds.
    pub(super) drain_timeout: AtomicU32,
    pub(super) reloads: Arc<Reloads>,
    pub(super) in_force: Arc<Mutex<InForce>>,
}

/// What the next reload compares with, and goes on with where nothing differs.
pub(super) struct InForce {
    pub(super) fingerprint: Fingerprint,
    /// The file says something.
    pub(super) has_file: bool,
    /// `None` before the first reload, which makes them anew.
    pub(super) peers: Option<Arc<dyn PeerPolicy>>,
    pub(super) throttle: Arc<SourceThrottle>,
    pub(super) bandwidth: Option<Arc<dyn Bandwidth>>,
    /// The addresses of `[listen]`, those of earlier files too.
    pub(super) listening: Vec<Listed>,
}

/// All that is to be put in force; nothing in it can fail any more.
struct Prepared {
    config: Config,
    change: relay::Change,
    throttle: Arc<SourceThrottle>,
    grants: Grants,
    /// `None` where nobody listens for TLS or DTLS, or there are none to show.
    certificates: Option<CertificateSet>,
    /// New listeners, which nobody serves yet.
    opened: Option<net::Opened>,
    news: News,
    reach: Reach,
    fingerprint: Fingerprint,
    reloaded: Reloaded,
}

impl Reloader {
    /// Reads the configuration again and puts in force what can change. An error
    /// has changed nothing; both are in the log, and counted. Goes on to its end when
    /// whoever asked for it does not wait.
    pub(super) async fn reload(self: &Arc<Self>) -> Result<Reloaded, String> {
        let this = Arc::clone(self);
        let reloading = tokio::spawn(async move { this.reload_all().await });
        reloading.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn reload_all(self: &Arc<Self>) -> Result<Reloaded, String> {
        let outcome = self.read_and_apply().await;
        self.reloads.count(Reading::Configuration, outcome.is_ok(), self.net.clock().now().unix);
        match &outcome {
            Ok(Reloaded { changed, needs_restart, certificates, .. }) => {
                tracing::info!(?changed, ?needs_restart, ?certificates, "reloaded");
            }
            Err(error) => tracing::error!(%error, "not reloaded: everything stays as it was"),
        }
        outcome
    }

    /// Reads the files of the certificates again, and nothing else.
    pub(super) async fn reload_certificates(&self) -> Result<Vec<String>, String> {
        let certificates = Arc::clone(&self.certificates);
        let read = tokio::task::spawn_blocking(move || certificates.read_again());
        let outcome = match read.await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.reloads.count(Reading::Certificates, outcome.is_ok(), self.net.clock().now().unix);
        match &outcome {
            Ok(certificates) => tracing::info!(?certificates, "certificates read again"),
            Err(error) => tracing::error!(%error, "a certificate can't be used: the old one stays"),
        }
        outcome
    }

    async fn read_and_apply(self: &Arc<Self>) -> Result<Reloaded, String> {
        let in_force = Arc::clone(&self.in_force).lock_owned().await;
        let this = Arc::clone(self);
        // Files are read and keys derived in it.
        let prepared = tokio::task::spawn_blocking(move || {
            let prepared = this.prepare(&in_force);
            prepared.map(|prepared| (prepared, in_force))
        });
        let (prepared, mut in_force) = prepared.await.map_err(|error| error.to_string())??;
        Ok(self.apply(prepared, &mut in_force).await)
    }

    fn prepare(&self, in_force: &InForce) -> Result<Prepared, String> {
        let mut loaded = self.read()?;
        if in_force.has_file && !loaded.has_file() {
            return Err(
                "the file says nothing any more: it is taken for one that could not be written, as on a \
                        full disk; to go back to the defaults, restart"
                    .to_owned(),
            );
        }
        let fingerprint = loaded.fingerprint();
        let differences = fingerprint.differences(&in_force.fingerprint);
        let differs = |section: &str| differences.iter().any(|key| key.starts_with(section));
        let open = self.net.listeners();
        let has_certificates = self.acme_name.is_some() || !loaded.config.acme.is_on();
        let news = News::of(&loaded.config.listen, &in_force.listening, &open, has_certificates);
        let [mut changed, mut needs_restart] = news.keys();
        for key in &differences {
            match change_of(key) {
                Change::Live => changed.push(key),
                Change::Restart => needs_restart.push(key),
                Change::Added => {}
            }
        }
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        // Every key of a user is made with the realm that clients are told.
        loaded.config.realm.clone_from(&self.realm);

        let config = &loaded.config;
        if let Some(log) = &self.log {
            log.check(&config.log.level)?;
        }
        let mut random = OsRandom::new().map_err(|error| format!("cannot get random bytes: {error}"))?;
        let (secrets, made_up) = logins::secrets(config, &self.kept);
        if made_up && differs("auth.") {
            tracing::warn!("nobody can log in by [auth]: only credentials of a secret of this run are good");
        }
        let directory = logins::directory(&loaded, &self.realm, &secrets, &mut random).map_err(text)?;
        // Without any, those in force stay: somebody still listens.
        let is_secured = secured(&open) || secured(&news.new);
        let dtls = open.iter().chain(&news.new).any(|listed| listed.0 == Transport::Dtls);
        let certificates = (is_secured && (!config.tls.pairs().is_empty() || self.acme_name.is_some()))
            .then(|| certificates::read(config, dtls))
            .transpose()
            .map_err(text)?;
        let limits = &config.limits;
        let is_throttled = differs("limits.unauthenticated") || differs("limits.failed-logins");
        let throttle = match is_throttled {
            true => settings::throttle(limits),
            false => Arc::clone(&in_force.throttle),
        };
        let bandwidth = match differences.contains(&"limits.bits-per-second") {
            true => settings::bandwidth(limits.bits_per_second),
            false => in_force.bandwidth.clone(),
        };
        // From here on it is seen from outside whether it succeeds.
        let opened = (!news.new.is_empty())
            .then(|| self.net.open(news.to_open(&loaded)))
            .transpose()
            .map_err(|error| error.to_string())?;
        let mut all = open.to_vec();
        all.extend(opened.iter().flat_map(net::Opened::listeners));
        all.sort_by_key(|(transport, _)| transport.index());
        let peers = match &in_force.peers {
            Some(peers) if !differs("peers.") && opened.is_none() => Arc::clone(peers),
            _ => self.peers(config, &all)?,
        };
        let reach = self.reach(all, certificates.as_ref());
        self.tell(&reach)?;
        let change = relay::Change {
            users: Arc::new(Unrevoked { users: directory, revocations: Arc::clone(&self.revocations) }),
            peers,
            bandwidth,
            throttle: throttle.clone(),
            settings: settings::settings(config, &self.realm, &secrets, &self.kept),
        };
        let grants = logins::grants(config, &secrets);
        let read = certificates.as_ref().map(CertificateSet::files).unwrap_or_default();
        let reloaded = Reloaded { changed, needs_restart, certificates: read, warnings };
        let config = loaded.config;
        Ok(Prepared {
            config,
            change,
            throttle,
            grants,
            certificates,
            opened,
            news,
            reach,
            fingerprint,
            reloaded,
        })
    }

    async fn apply(&self, prepared: Prepared, in_force: &mut InForce) -> Reloaded {
        let Prepared {
            config,
            change,
            throttle,
            grants,
            certificates,
            opened,
            news,
            reach,
            fingerprint,
            reloaded,
        } = prepared;
        if let Some(set) = certificates {
            self.certificates.replace(set);
        }
        self.quota.set_most(config.limits.allocations);
        self.net.change(change.clone(), connection_limits(&config)).await;
        if let Some(opened) = opened {
            tracing::info!(listeners = ?opened.listeners(), "listening there too");
            self.net.serve(opened).await;
        }
        let News { new, gone, late } = news;
        if !gone.is_empty() {
            tracing::warn!(listeners = ?gone, "no longer in the file, and open until a restart");
        }
        if !late.is_empty() {
            tracing::warn!(listeners = ?late, "can't be opened beside those that are open: takes a restart");
        }
        in_force.listening.extend(new);
        self.live.replace(grants, reach);
        self.drain_timeout.store(config.drain_timeout, Relaxed);
        if let Some(log) = &self.log
            && let Err(error) = log.set(&config.log.level)
        {
            // It has been found good before.
            tracing::error!(%error, "log.level");
        }
        in_force.peers = Some(change.peers);
        in_force.throttle = throttle;
        in_force.bandwidth = change.bandwidth;
        for key in &reloaded.changed {
            in_force.fingerprint.take(key, &fingerprint);
        }
        reloaded
    }

    fn read(&self) -> Result<Loaded, String> {
        let named_file = |(name, _): &(std::ffi::OsString, _)| name.to_string_lossy().ends_with("__FILE");
        match &self.sources {
            Some(sources) if sources.file.is_some() || sources.environment.iter().any(named_file) => {
                load(sources).map_err(|invalid| invalid.to_string())
            }
            _ => {
                Err("this server was started without a configuration file: there is nothing to read"
                    .to_owned())
            }
        }
    }

    /// Where clients reach the server with these certificates; `None`: those in
    /// force.
    fn reach(&self, listeners: Vec<Listed>, certificates: Option<&CertificateSet>) -> Reach {
        let named = certificates.and_then(CertificateSet::host);
        let host = named.or_else(|| self.certificates.host()).or_else(|| self.acme_name.clone());
        listeners::reach(listeners, &self.alternates, &self.relays, host.as_deref())
    }

    /// Other commands find the server by its runtime file.
    fn tell(&self, reach: &Reach) -> Result<(), String> {
        match self.runtime_file.get() {
            Some((path, runtime)) if *reach != *self.live.reach() => {
                let runtime = reached_at(runtime.clone(), reach);
                runtime_file::put(path, &runtime).map_err(|error| error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// The addresses of this host may be others than at the start.
    fn peers(&self, config: &Config, listeners: &[Listed]) -> Result<Arc<dyn PeerPolicy>, String> {
        let local = discover::local_addresses()
            .map_err(|error| format!("cannot list the local addresses: {error}"))?;
        Ok(Arc::new(settings::peer_filter(&config.peers, &self.relays, &local, listeners, self.admin)))
    }
}

/// `[limits]` of connections and sessions.
pub(super) fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        connections_per_address: config.limits.tcp_connections_per_address,
        dtls_sessions: (config.limits.dtls_sessions_per_address, config.limits.dtls_sessions),
    }
}

fn text(error: StartError) -> String {
    error.to_string()
}
