//! What TLS and DTLS show: the certificates of `[tls]`, and what becomes of the
//! handshakes.

use std::sync::Arc;

use super::StartError;
use super::acme::{Acme, await_certificate};
use crate::admin;
use crate::config::Config;
use crate::net::{self, CertificateError, CertificateFiles, Certificates};

/// What TLS needs: nothing of `[tls]` is read when nobody listens.
pub(super) fn certificates(
    config: &Config,
    warnings: &mut Vec<String>,
) -> Result<Option<Arc<Certificates>>, StartError> {
    let dtls = !config.listen.dtls.is_empty();
    if config.listen.tls.is_empty() && config.https.listen.is_empty() && !dtls {
        return Ok(None);
    }
    let pairs = config.tls.pairs().into_iter();
    let files =
        pairs.map(|pair| CertificateFiles { certificate: pair.certificate, private_key: pair.private_key });
    let mut loaded = Certificates::load(files, dtls).map_err(|(index, error)| {
        let key = match error {
            _ if index > 0 || config.tls.certificate.as_os_str().is_empty() => "tls.certificates",
            CertificateError::Certificate { .. } => "tls.certificate",
            CertificateError::PrivateKey { .. } => "tls.private-key",
        };
        StartError::Configuration(format!("{key}: {error}"))
    })?;
    await_certificate(config, &mut loaded, warnings)?;
    let now = net::Clock::start().now().unix;
    for (file, _) in loaded.expiries().iter().filter(|(_, not_after)| *not_after < now) {
        warnings.push(format!("the certificate in {file} has expired: clients will refuse it; renew it"));
    }
    Ok(Some(Arc::new(loaded)))
}

/// What the admin room asks of TLS and balancers at each scrape.
pub(super) fn admissions(
    config: &Config,
    net: net::Handle,
    certificates: Option<Arc<Certificates>>,
    acme: Option<&Acme>,
) -> Option<Box<dyn Fn() -> admin::Admissions + Send + Sync>> {
    if certificates.is_none() && config.listen.proxy_protocol_from.is_empty() {
        return None;
    }
    let orders = acme.map(Acme::orders);
    let is_web = !config.https.listen.is_empty();
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
            orders: orders.as_ref().map(|orders| orders()),
            web: is_web.then(|| net.web_counts()),
        }
    }))
}
