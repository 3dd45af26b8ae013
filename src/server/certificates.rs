//! What TLS and DTLS show: the certificates of `[tls]`, and what becomes of the
//! handshakes.

use std::sync::Arc;

use super::StartError;
use super::acme::{Acme, await_certificate};
use super::listeners::Listed;
use crate::admin;
use crate::config::Config;
use crate::net::{self, CertificateError, CertificateFiles, CertificateSet, Certificates};

/// What TLS needs: nothing of `[tls]` is read when nobody listens.
pub(super) fn certificates(
    config: &Config,
    warnings: &mut Vec<String>,
) -> Result<Arc<Certificates>, StartError> {
    let dtls = !config.listen.dtls.is_empty();
    if config.listen.tls.is_empty() && config.https.listen.is_empty() && !dtls {
        return Ok(Arc::new(CertificateSet::default().into()));
    }
    let mut certificates = Certificates::from(read(config, dtls)?);
    await_certificate(config, &mut certificates, warnings)?;
    let now = net::Clock::start().now().unix;
    for (file, _) in certificates.expiries().iter().filter(|(_, not_after)| *not_after < now) {
        warnings.push(format!("the certificate in {file} has expired: clients will refuse it; renew it"));
    }
    Ok(Arc::new(certificates))
}

/// Every pair of `[tls]`, read and found good.
pub(super) fn read(config: &Config, dtls: bool) -> Result<CertificateSet, StartError> {
    let pairs = config.tls.pairs().into_iter();
    let files =
        pairs.map(|pair| CertificateFiles { certificate: pair.certificate, private_key: pair.private_key });
    CertificateSet::load(files, dtls).map_err(|(index, error)| {
        let key = match error {
            _ if index > 0 || config.tls.certificate.as_os_str().is_empty() => "tls.certificates",
            CertificateError::Certificate { .. } => "tls.certificate",
            CertificateError::PrivateKey { .. } => "tls.private-key",
        };
        StartError::Configuration(format!("{key}: {error}"))
    })
}

/// The host name that the default one of `[tls]` is for; `None` where it says none, or
/// can't be read.
pub(super) fn host(config: &Config) -> Option<String> {
    Certificates::from(read(config, false).ok()?).host()
}

/// What the admin room asks of TLS and balancers at each scrape; `None` without
/// them.
pub(super) fn admissions(
    config: &Config,
    net: net::Handle,
    certificates: Arc<Certificates>,
    acme: Option<&Acme>,
) -> Box<dyn Fn() -> Option<admin::Admissions> + Send + Sync> {
    let balancers = !config.listen.proxy_protocol_from.is_empty();
    let orders = acme.map(Acme::orders);
    let is_web = !config.https.listen.is_empty();
    Box::new(move || {
        if !balancers && !secured(&net.listeners()) {
            return None;
        }
        let (tcp, dtls) = (net.admissions(), net.dtls_admissions());
        let handshakes =
            |of: net::Admissions| admin::Handshakes { done: of.handshakes, failed: of.handshakes_failed };
        Some(admin::Admissions {
            tls: handshakes(tcp),
            dtls: handshakes(dtls),
            dtls_refused: dtls.refused,
            refused: tcp.refused,
            certificates: certificates.expiries(),
            orders: orders.as_ref().map(|orders| orders()),
            web: is_web.then(|| net.web_counts()),
        })
    })
}

/// Whether any of them is for TLS or DTLS.
pub(super) fn secured(listeners: &[Listed]) -> bool {
    listeners.iter().any(|(transport, _)| transport.is_encrypted())
}
