//! The certificates of TLS and DTLS: read from files, chosen by the name that a client
//! asks for, and read again when a file changes. Sessions that are open keep
//! what they began with.
//!
//! Changes are found by looking at the files every few seconds. The crate
//! `notify` would tell sooner, but its watches end up on the wrong inode when a
//! directory or symbolic link is swapped (Kubernetes, certbot) and see nothing
//! on network file systems; two `stat`s cost less than that.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::dtls::Context;
use crate::relay::UnixTime;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Largest file that is read; chains of a few certificates are some KiB.
const LARGEST_FILE: u64 = 1 << 20;

/// A certificate and its key, as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// PEM, the server's own certificate first, then the rest of its chain.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub private_key: PathBuf,
}

/// Why a pair can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The certificate's file.
    #[error("{} {fault}", path.display())]
    Certificate {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The private key's file.
    #[error("{} {fault}", path.display())]
    PrivateKey {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Fault {
    /// It can't be read.
    Unreadable(io::Error),
    /// It holds something else.
    Malformed(String),
    /// A key of another certificate.
    Mismatch(PathBuf),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "can't be read: {error}"),
            Self::Malformed(what) => f.write_str(what),
            Self::Mismatch(certificate) => {
                write!(f, "is not the private key of the certificate in {}", certificate.display())
            }
        }
    }
}

/// All certificates of a server; none where nobody listens for TLS or DTLS.
#[derive(Debug)]
pub struct Certificates {
    set: RwLock<Arc<Set>>,
    /// What an ACME server issues.
    obtained: Option<Obtained>,
}

/// The pairs of one configuration, read and found good.
#[derive(Debug, Default)]
pub struct Set {
    /// The first is for clients that ask for none of the names of the others.
    pairs: Vec<Pair>,
    /// They are for DTLS too.
    dtls: bool,
}

/// A certificate and its key in one file, which is not there before the first has
/// been issued.
#[derive(Debug)]
struct Obtained {
    file: PathBuf,
    current: Mutex<Option<Issued>>,
}

/// What is shown, and what it was read from: that may not be in the file.
struct Issued {
    pem: Vec<u8>,
    loaded: Loaded,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("loaded", &self.loaded).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Pair {
    files: CertificateFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    loaded: Loaded,
    /// Of the files as they were looked at last.
    seen: Stamps,
}

#[derive(Clone, Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    /// The same for DTLS, where that is served.
    dtls: Option<Context>,
    not_after: UnixTime,
    /// The first DNS name in it that is no wildcard.
    name: Option<String>,
}

/// Of both files; `None` for one that can't be looked at.
type Stamps = [Option<Stamp>; 2];

/// What changes with a file: device, inode, size, modification, status change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp(u64, u64, u64, (i64, i64), (i64, i64));

impl Set {
    /// Reads every pair, the default one first; `dtls`: for that too.
    ///
    /// # Errors
    /// The place of the first that can't be used, and why.
    pub fn load(
        files: impl IntoIterator<Item = CertificateFiles>,
        dtls: bool,
    ) -> Result<Self, (usize, CertificateError)> {
        let pair = |(index, files): (usize, CertificateFiles)| {
            let seen = stamps(&files);
            let loaded = Loaded::read(&files, dtls).map_err(|error| (index, error))?;
            Ok(Pair { files, current: Mutex::new(Current { loaded, seen }) })
        };
        let pairs = files.into_iter().enumerate().map(pair).collect::<Result<_, _>>()?;
        Ok(Self { pairs, dtls })
    }

    /// The host name that the first is for, if it says one.
    pub fn host(&self) -> Option<String> {
        self.pairs.first()?.now().loaded.name.clone()
    }

    /// Each certificate's file, as configured.
    pub fn files(&self) -> Vec<String> {
        self.pairs.iter().map(|pair| pair.files.certificate.display().to_string()).collect()
    }
}

impl Certificates {
    /// As [`Set::load`].
    ///
    /// # Errors
    /// Likewise.
    pub fn load(
        files: impl IntoIterator<Item = CertificateFiles>,
        dtls: bool,
    ) -> Result<Self, (usize, CertificateError)> {
        Set::load(files, dtls).map(Self::from)
    }

    /// Has another certificate beside those: one that is issued while the server
    /// runs. `file` holds it, its chain and its key, and may not be there yet.
    pub fn await_another(&mut self, file: PathBuf) {
        self.obtained = Some(Obtained { file, current: Mutex::new(None) });
    }

    /// Reads the file of [`Certificates::await_another`].
    ///
    /// # Errors
    /// It can't be used; what was there before stays.
    pub fn take_obtained(&self) -> Result<(), CertificateError> {
        let Some(obtained) = &self.obtained else { return Ok(()) };
        let pem = read_file(&obtained.file).map_err(|error| CertificateError::Certificate {
            path: obtained.file.clone(),
            fault: Fault::Unreadable(error),
        })?;
        self.take(pem)
    }

    /// Shows this from now on, whether the file of [`Certificates::await_another`]
    /// holds it or not: a certificate, its chain and its key.
    ///
    /// # Errors
    /// It can't be used; what was there before stays.
    pub fn take(&self, pem: Vec<u8>) -> Result<(), CertificateError> {
        let Some(obtained) = &self.obtained else { return Ok(()) };
        let files =
            CertificateFiles { certificate: obtained.file.clone(), private_key: obtained.file.clone() };
        let loaded = Loaded::parse(&files, [&pem, &pem], self.set().dtls)?;
        *obtained.now() = Some(Issued { pem, loaded });
        Ok(())
    }

    /// Handshakes show these from now on, besides what is issued.
    pub fn replace(&self, set: Set) {
        let is_first_for_dtls = set.dtls && !self.set().dtls;
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        let issued = || Some(self.obtained.as_ref()?.now().as_ref()?.pem.clone());
        if is_first_for_dtls
            && let Some(pem) = issued()
            && let Err(error) = self.take(pem)
        {
            tracing::error!(target: "floe::tls", %error, "what was issued is not shown over DTLS");
        }
    }

    /// Reads every pair's files again, changed or not, and says which. On return
    /// handshakes show what was read; of a pair that can't be used they still show
    /// what was there.
    ///
    /// # Errors
    /// Why the first such pair can't be used.
    pub fn read_again(&self) -> Result<Vec<String>, CertificateError> {
        let set = self.set();
        let failures: Vec<_> = set.pairs.iter().filter_map(|pair| pair.read_again(set.dtls).err()).collect();
        failures.into_iter().next().map_or_else(|| Ok(set.files()), Err)
    }

    /// The one in force may be another a moment later.
    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Each certificate's file and when it expires.
    pub fn expiries(&self) -> Vec<(String, UnixTime)> {
        let expiry =
            |pair: &Pair| (pair.files.certificate.display().to_string(), pair.now().loaded.not_after);
        let set = self.set();
        let obtained = self.obtained.iter().filter_map(|obtained| {
            let not_after = obtained.now().as_ref()?.loaded.not_after;
            Some((obtained.file.display().to_string(), not_after))
        });
        set.pairs.iter().map(expiry).chain(obtained).collect()
    }

    /// The host name that the default certificate is for, if it says one.
    pub fn host(&self) -> Option<String> {
        let issued = || self.obtained.as_ref()?.now().as_ref()?.loaded.name.clone();
        self.set().host().or_else(issued)
    }

    /// The default one first.
    fn all(&self) -> Vec<Loaded> {
        let set = self.set();
        let loaded = |obtained: &Obtained| Some(obtained.now().as_ref()?.loaded.clone());
        let obtained = self.obtained.iter().filter_map(loaded);
        set.pairs.iter().map(|pair| pair.now().loaded.clone()).chain(obtained).collect()
    }

    /// Reads again what changes, for as long as it is polled.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let this = Arc::clone(&self);
            // A file system may take its time. A panic there is seen in the log.
            let _ = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }

    /// Reads the pairs whose files have changed. One that can't be used leaves
    /// what was there.
    fn look(&self) {
        let set = self.set();
        for pair in &set.pairs {
            if pair.now().seen != stamps(&pair.files) {
                // It has said in the log what is wrong.
                let _ = pair.read_again(set.dtls);
            }
        }
    }

    /// The pair for a client that asks for `name` and verifies these kinds of
    /// signature.
    fn choose(&self, name: Option<&str>, usable: impl Fn(&CertifiedKey) -> bool) -> Option<Loaded> {
        let all = self.all();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = name
            .and_then(|name| all.iter().skip(1).find(|pair| covers(&pair.key, &name) && usable(&pair.key)));
        named.or_else(|| all.iter().find(|pair| usable(&pair.key))).cloned()
    }

    /// What a DTLS handshake is done with, for a client that asks for `name` and
    /// verifies these signatures; `None`: it has not said.
    pub(super) fn dtls_context(
        &self,
        name: Option<&str>,
        schemes: Option<impl Iterator<Item = u16>>,
    ) -> Option<Context> {
        let schemes: Option<Vec<_>> = schemes.map(|schemes| schemes.map(SignatureScheme::from).collect());
        let usable = |key: &CertifiedKey| {
            schemes.as_ref().is_none_or(|schemes| key.key.choose_scheme(schemes).is_some())
        };
        self.choose(name, usable)?.dtls
    }
}

impl From<Set> for Certificates {
    fn from(set: Set) -> Self {
        Self { set: RwLock::new(Arc::new(set)), obtained: None }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let chosen = self.choose(hello.server_name(), |key| key.key.choose_scheme(schemes).is_some());
        chosen.map(|pair| pair.key)
    }
}

impl Pair {
    /// Whole between any two statements, so a poisoned lock is as good as
    /// another.
    fn now(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can't be used leaves what was there.
    fn read_again(&self, dtls: bool) -> Result<(), CertificateError> {
        // Whatever changes while it is read is seen by the next look.
        let seen = stamps(&self.files);
        let read = Loaded::read(&self.files, dtls);
        let mut current = self.now();
        current.seen = seen;
        let certificate = self.files.certificate.display();
        match read {
            Ok(loaded) => {
                tracing::info!(target: "floe::tls", %certificate, not_after = loaded.not_after.secs(), "reloaded");
                current.loaded = loaded;
                Ok(())
            }
            Err(error) => {
                tracing::error!(target: "floe::tls", %certificate, %error, "not reloaded; the old one stays");
                Err(error)
            }
        }
    }
}

impl Obtained {
    /// As [`Pair::now`].
    fn now(&self) -> MutexGuard<'_, Option<Issued>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    fn read(files: &CertificateFiles, dtls: bool) -> Result<Self, CertificateError> {
        let CertificateFiles { certificate: path, private_key } = files;
        let certificate = |fault| CertificateError::Certificate { path: path.clone(), fault };
        let key = |fault| CertificateError::PrivateKey { path: private_key.clone(), fault };
        let chain = read_file(path).map_err(|error| certificate(Fault::Unreadable(error)))?;
        let secret = read_file(private_key).map_err(|error| key(Fault::Unreadable(error)))?;
        Self::parse(files, [&chain, &secret], dtls)
    }

    /// What these files hold, or would.
    fn parse(files: &CertificateFiles, pem: [&[u8]; 2], dtls: bool) -> Result<Self, CertificateError> {
        let CertificateFiles { certificate: path, private_key } = files;
        let certificate = |fault| CertificateError::Certificate { path: path.clone(), fault };
        let key = |fault| CertificateError::PrivateKey { path: private_key.clone(), fault };
        let malformed = |what: &str| Fault::Malformed(what.to_owned());
        let [pem, secret] = pem;

        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| certificate(malformed("is not PEM")))?;
        let own = chain.first().ok_or_else(|| certificate(malformed("holds no certificate in PEM")))?;
        let not_x509 = || certificate(malformed("holds something that is no X.509 certificate"));
        let (_, parsed) = X509Certificate::from_der(own).map_err(|_| not_x509())?;
        ParsedCertificate::try_from(own).map_err(|_| not_x509())?;
        let not_after = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        let name = host(&parsed);

        let secret = PrivateKeyDer::from_pem_slice(secret)
            .map_err(|_| key(malformed("holds no private key in PEM (an encrypted one can't be used)")))?;
        let signing = provider()
            .key_provider
            .load_private_key(secret.clone_key())
            .map_err(|_| key(malformed("holds a private key of a kind that TLS can't use here")))?;
        let certified = CertifiedKey::new(chain.clone(), signing);
        certified.keys_match().map_err(|_| key(Fault::Mismatch(path.clone())))?;
        let context = || {
            let chain = chain.iter().map(|certificate| &**certificate);
            Context::new(chain, secret.secret_der()).map_err(|error| {
                certificate(Fault::Malformed(format!("or its private key can't be used for DTLS: {error}")))
            })
        };
        Ok(Self {
            dtls: dtls.then(context).transpose()?,
            key: Arc::new(certified),
            not_after: UnixTime::from_secs(not_after),
            name,
        })
    }
}

/// The one provider of cryptography, for whoever builds a TLS configuration: a
/// process's default depends on the features of every crate in it.
pub fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn covers(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let own = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    own.is_ok_and(|own| verify_server_name(&own, name).is_ok())
}

fn host(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) if !name.contains('*') && name.parse::<IpAddr>().is_err() => {
            Some((*name).to_owned())
        }
        _ => None,
    };
    names.value.general_names.iter().find_map(host)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if metadata.len() > LARGEST_FILE {
        return Err(io::Error::other("it is far too large"));
    }
    fs::read(path)
}

fn stamps(files: &CertificateFiles) -> Stamps {
    [&files.certificate, &files.private_key].map(|path| {
        let of = |file: fs::Metadata| {
            let modified = (file.mtime(), file.mtime_nsec());
            // A change of owner or mode, which may be all that was missing.
            let changed = (file.ctime(), file.ctime_nsec());
            Stamp(file.dev(), file.ino(), file.size(), modified, changed)
        };
        fs::metadata(path).ok().map(of)
    })
}

#[cfg(test)]
#[path = "certificates_test.rs"]
mod tests;
