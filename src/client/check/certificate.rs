//! What a server shows over TLS: its chain, names and dates, and whether a
//! client that is careful believes it. The verdict is rustls's own; the chain is
//! kept on the way, so that a bad one can be explained.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::report::{Cause, Finding, Step};
use super::{in_words, now};
use crate::client::transport::{ALPN, OF_AUTHORITY, authorities, is_of_authority, roots};

/// A certificate that ends sooner should have been renewed.
const SOON: u64 = 14 * 86_400;
const SECONDS_A_DAY: u64 = 86_400;
const STEP: Step = Step::Certificate;

/// Shakes hands on this connection as a client of `host` would.
pub(super) async fn examine(stream: TcpStream, host: &str, ca: Option<&Path>) -> Finding {
    let (config, witness) = match config(ca) {
        Ok(made) => made,
        Err(why) => {
            return Finding::failed(STEP, Cause::CertificateUntrusted, why, "give --ca FILE");
        }
    };
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        let why = format!("{host} is no name that a certificate can be for");
        return Finding::failed(STEP, Cause::CertificateName, why, "use a name of the server in the URL");
    };
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let chain = witness.chain();
    match connected {
        Ok(stream) => believed(&chain, stream.get_ref().1),
        Err(error) => refused(&chain, host, &error),
    }
}

/// Verifies as rustls does, and keeps what it was shown.
#[derive(Debug)]
struct Witness {
    judge: Arc<WebPkiServerVerifier>,
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl Witness {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(own).chain(rest).map(|certificate| certificate.clone().into_owned());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = chain.collect();
        self.judge.verify_server_cert(own, rest, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

fn config(ca: Option<&Path>) -> Result<(ClientConfig, Arc<Witness>), String> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(&authorities(ca)?, ca)?);
    let judge = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|error| error.to_string())?;
    let witness = Arc::new(Witness { judge, seen: Mutex::default() });
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(&witness) as _;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok((config, witness))
}

/// What a good certificate tells.
fn believed(chain: &[CertificateDer<'_>], connection: &ClientConnection) -> Finding {
    let version = connection.protocol_version().map_or("TLS", |version| version.as_str().unwrap_or("TLS"));
    let alpn = match connection.alpn_protocol() {
        Some(chosen) => format!("ALPN {}", String::from_utf8_lossy(chosen)),
        None => "no ALPN".to_owned(),
    };
    let own = chain.first().and_then(|own| X509Certificate::from_der(own).ok());
    let Some((_, own)) = own else {
        return Finding::ok(STEP, format!("believed; {version}, {alpn}"));
    };
    let (names, issuer, ends) = (names(&own), own.issuer().to_string(), not_after(&own));
    let left = ends.saturating_sub(now());
    let count = chain.len();
    let found = format!(
        "for {names}, by {issuer} ({count} in the chain), good for {}; {version}, {alpn}",
        in_words(left)
    );
    match left < SOON {
        false => Finding::ok(STEP, found),
        true => Finding::warning(
            STEP,
            Cause::CertificateExpires,
            found,
            "renew it now, and see why that does not happen by itself (floe reads the new files without a restart)",
        ),
    }
}

/// Why the handshake has failed, in words for who runs the server.
fn refused(chain: &[CertificateDer<'_>], host: &str, error: &io::Error) -> Finding {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(fault)) => distrusted(chain, host, fault),
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => Finding::failed(
            STEP,
            Cause::WrongProtocol,
            "the server takes no TURN by its ALPN: what listens here is another service",
            "see that the URL's port is the one of listen.tls",
        ),
        Some(Error::InvalidMessage(_)) => Finding::failed(
            STEP,
            Cause::WrongProtocol,
            "the port is open, but what answers is no TLS",
            "write turn: with ?transport=tcp for this port, or the port of listen.tls",
        ),
        _ => Finding::failed(
            STEP,
            Cause::WrongProtocol,
            format!("the TLS handshake failed: {error}"),
            "see the server's log; a certificate that it could not load is told there",
        ),
    }
}

fn distrusted(chain: &[CertificateDer<'_>], host: &str, fault: &CertificateError) -> Finding {
    let own = chain.first().and_then(|own| X509Certificate::from_der(own).ok()).map(|(_, own)| own);
    let failed = |cause, found: String, advice: &str| Finding::failed(STEP, cause, found, advice);
    match fault {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = own.map_or_else(|| "other names".to_owned(), |own| names(&own));
            failed(
                Cause::CertificateName,
                format!("the certificate is for {names}, not for {host}"),
                "use one of its names in the URL, or get a certificate for this one",
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let ends = own.map_or(0, |own| not_after(&own));
            failed(
                Cause::CertificateExpired,
                format!("it expired on {}, {} ago", date(ends), in_words(now().saturating_sub(ends))),
                "renew it (floe reads the new files without a restart); if that date lies ahead, set this machine's clock",
            )
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let begins = own.map_or(0, |own| own.validity().not_before.timestamp());
            let begins = u64::try_from(begins).unwrap_or(0);
            failed(
                Cause::CertificateNotYet,
                format!("it is good from {} on, in {}", date(begins), in_words(begins.saturating_sub(now()))),
                "this machine's clock is slow, or that of who has issued it was fast",
            )
        }
        CertificateError::UnknownIssuer => untrusted(chain.len(), own.as_ref()),
        CertificateError::BadSignature => failed(
            Cause::CertificateUntrusted,
            "it bears the name of an authority that is known here, but not its signature".to_owned(),
            "the authority has another key now, or somebody stands between: compare --ca with the server's chain",
        ),
        other if is_of_authority(other) => {
            let (found, advice) = OF_AUTHORITY;
            failed(Cause::CertificateUntrusted, found.to_owned(), advice)
        }
        other => failed(
            Cause::CertificateInvalid,
            format!("it is not believed: {other}"),
            "get another one; `openssl x509 -text` shows what is in it",
        ),
    }
}

/// What is wrong with a certificate over DTLS, of which OpenSSL tells in words
/// alone.
pub(super) fn distrusted_over_dtls(host: &str, error: &io::Error) -> Finding {
    let told = error.to_string();
    let (cause, advice) = if told.contains("mismatch") {
        (Cause::CertificateName, "use one of its names in the URL, or get a certificate for this one")
    } else if told.contains("expired") {
        (Cause::CertificateExpired, "renew it (floe reads the new files without a restart)")
    } else if told.contains("not yet") {
        (Cause::CertificateNotYet, "this machine's clock is slow, or that of who has issued it was fast")
    } else {
        (
            Cause::CertificateUntrusted,
            "serve the whole chain, or name the authority with --ca; clients need it too",
        )
    };
    Finding::failed(STEP, cause, format!("{told} (asked for as {host})"), advice)
}

/// Nobody whom this machine believes has issued it.
fn untrusted(count: usize, own: Option<&X509Certificate<'_>>) -> Finding {
    let issuer = own.map_or_else(|| "nobody known".to_owned(), |own| own.issuer().to_string());
    let (found, advice) = match own {
        Some(own) if own.issuer() == own.subject() => (
            "it is self-signed: browsers refuse it".to_owned(),
            "get one from a public authority, or name it with --ca and give it to every client",
        ),
        _ if count == 1 => (
            format!("it is by {issuer}, who is not known here, and it comes alone: the chain is incomplete"),
            "serve the whole chain (certbot: fullchain.pem), or name the authority with --ca",
        ),
        _ => (
            format!("it is by {issuer}, and its chain of {count} ends with nobody who is known here"),
            "name the authority with --ca; clients need it too",
        ),
    };
    Finding::failed(STEP, Cause::CertificateUntrusted, found, advice)
}

/// Its names, as people write them.
fn names(certificate: &X509Certificate<'_>) -> String {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return "no name".to_owned() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|ip| std::net::Ipv6Addr::from(ip).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect::<Vec<_>>().join(", ")
}

fn not_after(certificate: &X509Certificate<'_>) -> u64 {
    u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0)
}

/// `Sun, 06 Nov 1994`
fn date(seconds: u64) -> String {
    // The year 9999 is the last that the format can have.
    let day = seconds.min(253_402_300_799) / SECONDS_A_DAY * SECONDS_A_DAY;
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(day));
    text.split(" 00:").next().unwrap_or(&text).to_owned()
}
