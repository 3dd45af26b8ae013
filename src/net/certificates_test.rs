use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};

use super::*;

/// A directory that is removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("floe-certificates-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A self-signed certificate for these names and its key, as files.
    fn pair(&self, name: &str, names: &[&str], algorithm: &'static SignatureAlgorithm) -> CertificateFiles {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        CertificateFiles {
            certificate: self.write(&format!("{name}.pem"), &certificate.pem()),
            private_key: self.write(&format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The names that the chosen certificate is for.
fn chosen(certificates: &Certificates, name: Option<&str>) -> Vec<u8> {
    certificates.choose(name, |_| true).unwrap().key.cert[0].to_vec()
}

// E-032
#[test]
fn a_name_gets_its_certificate_and_any_other_the_first() {
    let directory = Directory::new();
    let files = [
        directory.pair("default", &["turn.example.org"], &PKCS_ECDSA_P256_SHA256),
        directory.pair("wild", &["*.example.net"], &PKCS_ECDSA_P256_SHA256),
        directory.pair("other", &["turn.example.com", "alias.example.com"], &PKCS_ECDSA_P256_SHA256),
    ];
    let certificates = Certificates::load(files.clone(), false).unwrap();
    let own = |at: usize| {
        let pem = fs::read(&files[at].certificate).unwrap();
        CertificateDer::from_pem_slice(&pem).unwrap().to_vec()
    };
    for (name, at) in [
        (None, 0),
        (Some("turn.example.org"), 0),
        (Some("unknown.test"), 0),
        (Some("not a name"), 0),
        (Some("a.example.net"), 1),
        (Some("a.b.example.net"), 0),
        (Some("alias.example.com"), 2),
        (Some("TURN.example.com"), 2),
    ] {
        assert!(chosen(&certificates, name) == own(at), "{name:?}");
    }
    assert_eq!(certificates.host().as_deref(), Some("turn.example.org"));
}

#[test]
fn a_client_gets_a_certificate_that_it_can_verify() {
    let directory = Directory::new();
    let files = [
        directory.pair("ed25519", &["turn.example.org"], &PKCS_ED25519),
        directory.pair("ecdsa", &["turn.example.org"], &PKCS_ECDSA_P256_SHA256),
    ];
    let certificates = Certificates::load(files, false).unwrap();
    let ecdsa = tokio_rustls::rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
    let key = certificates.choose(None, |key| key.key.choose_scheme(&[ecdsa]).is_some()).unwrap();
    assert!(key.key.key.choose_scheme(&[ecdsa]).is_some());
    assert!(certificates.choose(None, |_| false).is_none());
}

#[test]
fn what_cannot_be_used_is_named() {
    let directory = Directory::new();
    let good = directory.pair("good", &["a.test"], &PKCS_ECDSA_P256_SHA256);
    let other = directory.pair("other", &["a.test"], &PKCS_ECDSA_P256_SHA256);
    let empty = directory.write("empty", "");
    let with = |certificate: &Path, private_key: &Path| {
        let files =
            CertificateFiles { certificate: certificate.to_owned(), private_key: private_key.to_owned() };
        Certificates::load([good.clone(), files], false).unwrap_err()
    };
    for ((at, error), told) in [
        (with(&good.certificate, &other.private_key), "is not the private key of the certificate in"),
        (with(&empty, &good.private_key), "holds no certificate"),
        (with(&good.private_key, &good.private_key), "holds no certificate"),
        (with(&good.certificate, &empty), "holds no private key"),
        (with(&good.certificate, &good.certificate), "holds no private key"),
        (with(&directory.0.join("none"), &good.private_key), "can't be read"),
        (with(&good.certificate, &directory.0), "can't be read"),
    ] {
        assert_eq!(at, 1);
        assert!(error.to_string().contains(told), "{error}: {told}");
    }
}

// E-032
#[test]
fn a_change_is_taken_over_and_a_mistake_is_not() {
    let directory = Directory::new();
    let names = ["turn.example.org"];
    let files = directory.pair("a", &names, &PKCS_ECDSA_P256_SHA256);
    let certificates = Certificates::load([files.clone()], false).unwrap();
    let first = chosen(&certificates, None);
    certificates.look();
    assert!(chosen(&certificates, None) == first);

    // The certificate comes before its key.
    let new = directory.pair("b", &names, &PKCS_ECDSA_P256_SHA256);
    fs::rename(&new.certificate, &files.certificate).unwrap();
    certificates.look();
    assert!(chosen(&certificates, None) == first, "a key of another certificate");
    fs::rename(&new.private_key, &files.private_key).unwrap();
    certificates.look();
    let second = chosen(&certificates, None);
    assert!(second != first);

    fs::remove_file(&files.certificate).unwrap();
    certificates.look();
    assert!(chosen(&certificates, None) == second);
    directory.pair("a", &names, &PKCS_ECDSA_P256_SHA256);
    certificates.look();
    assert!(chosen(&certificates, None) != second);
}

#[test]
fn expiries_are_those_of_the_files() {
    let directory = Directory::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2031, 1, 2);
    let files = CertificateFiles {
        certificate: directory.write("a.pem", &params.self_signed(&key).unwrap().pem()),
        private_key: directory.write("a.key", &key.serialize_pem()),
    };
    let certificates = Certificates::load([files.clone()], false).unwrap();
    let expected = (files.certificate.display().to_string(), UnixTime::from_secs(1_925_078_400));
    assert_eq!(certificates.expiries(), [expected]);
}

/// A listener for DTLS that comes later.
#[cfg(feature = "dtls")]
#[test]
fn what_was_issued_is_shown_over_dtls_once_that_is_served() {
    let directory = Directory::new();
    let pair = directory.pair("a", &["a.test"], &PKCS_ECDSA_P256_SHA256);
    let both = [&pair.private_key, &pair.certificate].map(|file| fs::read_to_string(file).unwrap());
    let mut certificates = Certificates::load([], false).unwrap();
    let file = directory.write("issued.pem", &both.concat());
    certificates.await_another(file.clone());
    certificates.take_obtained().unwrap();
    let is_shown = |certificates: &Certificates| {
        certificates.dtls_context(None, None::<std::iter::Empty<u16>>).is_some()
    };
    assert!(!is_shown(&certificates));
    // It may be in use and not on the disk.
    fs::remove_file(file).unwrap();
    certificates.replace(Set::load([], true).unwrap());
    assert!(is_shown(&certificates));
}
