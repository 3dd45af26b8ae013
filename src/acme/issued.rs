//! A certificate as it was issued: what the next one depends on.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::CertificateIdentifier;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, Der, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::schedule::Life;
use crate::net::provider;

/// What is known of a certificate.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) life: Life,
    /// In lower case, sorted.
    names: Vec<String>,
    /// As RFC 9773 §4.1 names it; `None` when it does not say who signed it.
    pub(super) id: Option<CertificateIdentifier<'static>>,
}

impl Issued {
    /// Reads the first certificate of `pem` and sees that its key is there too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(pem: &str) -> Result<Self, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| "it is not PEM")?;
        let own = chain.first().ok_or("there is no certificate in it")?.clone();
        let key =
            PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "there is no private key in it")?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| error.to_string())?;
        let (_, parsed) = X509Certificate::from_der(&own).map_err(|error| error.to_string())?;
        Ok(Self {
            life: Life {
                begins: time(parsed.validity().not_before.timestamp()),
                ends: time(parsed.validity().not_after.timestamp()),
            },
            names: names(&parsed),
            id: id(&parsed),
        })
    }

    /// Whether it is for these names, and no others.
    pub(super) fn is_for(&self, names: &[String]) -> bool {
        self.names == normal(names.to_vec())
    }
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    };
    normal(names.value.general_names.iter().filter_map(name).collect())
}

fn normal(mut names: Vec<String>) -> Vec<String> {
    for name in &mut names {
        *name = name.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), |ip| ip.to_string());
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn id(certificate: &X509Certificate<'_>) -> Option<CertificateIdentifier<'static>> {
    let key = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
        _ => None,
    })?;
    Some(
        CertificateIdentifier::new(Der::from_slice(key.0), Der::from_slice(certificate.raw_serial()))
            .into_owned(),
    )
}
