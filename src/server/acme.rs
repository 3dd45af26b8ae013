//! `[acme]`: what its keeper is made from, and the task it runs in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{StartError, runtime};
use crate::acme::{self, Keeper, Proof, Settings, Tally};
use crate::admin;
use crate::config::{Challenge, Config, Loaded};
use crate::net::{Cause, Certificates, TlsChallenges};

/// One that is ready to begin.
pub(super) struct Acme {
    keeper: Keeper,
    challenges: Option<Arc<TlsChallenges>>,
}

/// Has `certificates` await what will be obtained, and takes what was before.
pub(super) fn await_certificate(
    config: &Config,
    certificates: &mut Certificates,
    warnings: &mut Vec<String>,
) -> Result<(), StartError> {
    if !config.acme.is_on() {
        return Ok(());
    }
    let file = acme::certificate_file(&state_directory(config)?);
    let is_there = file.exists();
    certificates.await_another(file);
    if is_there && let Err(error) = certificates.take_obtained() {
        warnings.push(format!("acme: {error}; another one is asked for"));
    }
    Ok(())
}

impl Acme {
    /// `None` when it is off, or nobody listens for TLS or DTLS.
    pub(super) fn new(loaded: &Loaded, certificates: &Arc<Certificates>) -> Result<Option<Self>, StartError> {
        let Config { acme, listen: at, https, .. } = &loaded.config;
        let is_needed = !at.tls.is_empty() || !at.dtls.is_empty() || !https.listen.is_empty();
        if !acme.is_on() || !is_needed {
            return Ok(None);
        }
        let (proof, challenges) = match acme.challenge {
            Challenge::Http01 => (Proof::Http(listen(loaded)?), None),
            Challenge::TlsAlpn01 => {
                let challenges = Arc::<TlsChallenges>::default();
                (Proof::Tls(Arc::clone(&challenges)), Some(challenges))
            }
        };
        let mail = |address: &String| match address.starts_with("mailto:") {
            true => address.clone(),
            false => format!("mailto:{address}"),
        };
        let settings = Settings {
            names: acme.names.clone(),
            contact: acme.contact.iter().map(mail).collect(),
            directory: acme.directory.clone(),
            profile: acme.profile.clone(),
            roots: Some(acme.root_certificates.clone()).filter(|path| !path.as_os_str().is_empty()),
            state_directory: state_directory(&loaded.config)?,
        };
        let keeper = Keeper::new(settings, proof, Arc::clone(certificates))
            .map_err(|error| StartError::Configuration(format!("acme.root-certificates: {error}")))?;
        Ok(Some(Self { keeper, challenges }))
    }

    /// What TLS shows to certificate authorities.
    pub(super) fn challenges(&self) -> Option<Arc<TlsChallenges>> {
        self.challenges.clone()
    }

    /// What is counted.
    pub(super) fn orders(&self) -> impl Fn() -> admin::Orders + Send + Sync + 'static {
        let tally: Arc<Tally> = self.keeper.tally();
        move || {
            let (issued, failed) = tally.read();
            admin::Orders { issued, failed }
        }
    }

    /// Begins; ends when what comes back is dropped.
    pub(super) fn start(self) -> JoinSet<()> {
        let mut task = JoinSet::new();
        task.spawn(self.keeper.run());
        task
    }
}

/// What is obtained has to be there after a restart: certificate authorities
/// count how often they are asked.
fn state_directory(config: &Config) -> Result<PathBuf, StartError> {
    runtime::places(config.state_directory.clone()).state_directory.ok_or_else(|| {
        StartError::Configuration(
            "acme.names: certificates need a place that outlives a restart; set state-directory".to_owned(),
        )
    })
}

/// Nobody asked for a default address: one of a family that the host lacks is
/// left out.
fn listen(loaded: &Loaded) -> Result<Vec<std::net::TcpListener>, StartError> {
    const KEY: &str = "acme.http-listen";
    let is_default = loaded.is_default(KEY);
    let bind = |&address: &SocketAddr| match acme::listen_http(address) {
        Ok(listener) => Some(Ok(listener)),
        Err(error) => match Cause::from(error) {
            Cause::NoFamily | Cause::NotLocal if is_default => None,
            cause => Some(Err(StartError::Configuration(format!("{KEY}: {address} {cause}")))),
        },
    };
    loaded.config.acme.http_listen.iter().filter_map(bind).collect()
}
