//! The files that a configuration names: who may read them, and whether the
//! certificates in them can be used.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Plan;
use crate::client::check::report::{Cause, Finding, Step};
use crate::client::check::{in_words, now};
use crate::config::Config;
use crate::net::{CertificateFiles, Certificates};

/// A certificate that ends sooner should have been renewed.
const SOON: u64 = 14 * 86_400;
/// Mode bits of everybody but owner and group.
const OTHERS: u32 = 0o007;

pub(super) fn findings(plan: &Plan<'_>) -> Vec<Finding> {
    let config = &plan.loaded.config;
    let mut findings = Vec::new();
    if let Some(file) = plan.file.filter(|_| has_secrets(config)) {
        findings.push(permissions(file));
    }
    for pair in config.tls.pairs() {
        findings.push(permissions(&pair.private_key));
        findings.push(certificate(CertificateFiles {
            certificate: pair.certificate,
            private_key: pair.private_key,
        }));
    }
    findings
}

fn has_secrets(config: &Config) -> bool {
    let auth = &config.auth;
    !auth.is_empty() || !auth.nonce_secret.is_empty() || !config.admin.api_keys.is_empty()
}

/// Whether others could read or replace a file with secrets.
fn permissions(file: &Path) -> Finding {
    let shown = file.display();
    let Ok(metadata) = fs::metadata(file) else {
        return Finding::skipped(Step::Permissions, format!("{shown} can't be looked at by this user"));
    };
    let mode = metadata.mode() & 0o777;
    match mode & OTHERS {
        0 => Finding::ok(Step::Permissions, format!("{shown} is closed to others ({mode:o})")),
        _ => Finding::warning(
            Step::Permissions,
            Cause::ReadableSecrets,
            format!("{shown} holds secrets, and every user of this machine may use it ({mode:o})"),
            format!("chmod o= {shown}"),
        ),
    }
}

fn certificate(files: CertificateFiles) -> Finding {
    let shown = files.certificate.display().to_string();
    let loaded = match Certificates::load([files], false) {
        Ok(loaded) => loaded,
        Err((_, error)) => {
            return Finding::failed(
                Step::Certificate,
                Cause::CertificateInvalid,
                error.to_string(),
                "floe will not start with it: see tls.certificate and tls.private-key, and whether this user may read them",
            );
        }
    };
    let ends = loaded.expiries().first().map_or(0, |(_, ends)| ends.secs());
    match ends.checked_sub(now()) {
        None => Finding::failed(
            Step::Certificate,
            Cause::CertificateExpired,
            format!("{shown} expired {} ago", in_words(now() - ends)),
            "renew it; floe reads the new files without a restart",
        ),
        Some(left) if left < SOON => Finding::warning(
            Step::Certificate,
            Cause::CertificateExpires,
            format!("{shown} and its key fit; it is good for {} more", in_words(left)),
            "renew it now, and see why that does not happen by itself",
        ),
        Some(left) => Finding::ok(
            Step::Certificate,
            format!("{shown} and its key fit, good for {} more", in_words(left)),
        ),
    }
}
