//! What can be judged from the configuration alone: bounds, pairs that must
//! match, secrets that are no secrets. Whether the host agrees is seen when the
//! server starts.

use std::collections::BTreeMap;
use std::fmt;

use toml::Table;
use tracing_subscriber::EnvFilter;

use super::acme::Challenge;
use super::key::Key;
use super::layer::Given;
use super::model::Config;
use super::problem::{Origin, Report};
use crate::auth;
use crate::relay::bandwidth::MAX_BITS_PER_SECOND;

/// Longest REALM in characters (RFC 8489 §14.9: fewer than 128).
const MAX_REALM: usize = 127;

/// Judges `config`; `given` says where its values stood.
pub(super) fn check(config: &Config, given: &BTreeMap<&'static str, Given>, report: &mut Report) {
    let mut check = Check { config, given, report };
    check.realm();
    check.listeners();
    check.balancers();
    check.tls();
    check.acme();
    check.https();
    check.relays();
    check.discover();
    check.ports();
    check.alternates();
    check.nat_discovery();
    check.bandwidth();
    check.credentials();
    check.oauth();
    check.admin();
    check.peers();
    check.log();
    check.idle();
}

pub(super) struct Check<'a> {
    pub(super) config: &'a Config,
    pub(super) given: &'a BTreeMap<&'static str, Given>,
    report: &'a mut Report,
}

impl Check<'_> {
    fn realm(&mut self) {
        let realm = &self.config.realm;
        let fault = match auth::opaque_string(realm) {
            Err(fault) => fault.to_string(),
            Ok(normal) if normal.chars().count() > MAX_REALM => {
                format!("has more than {MAX_REALM} characters")
            }
            // RFC 8489 §14.9: qdtext, without the quotes and without escapes.
            Ok(normal) => match normal.chars().find(|c| matches!(c, '"' | '\\')) {
                Some(bad) => format!("may not have {bad} in it"),
                // Nobody sees it, and clients trim it or not.
                None if normal.trim() != normal => "begins or ends with a blank".to_owned(),
                None => return,
            },
        };
        self.error("realm", format!("{fault}; write a name, as \"example.org\""));
    }

    fn bandwidth(&mut self) {
        let limits = &self.config.limits;
        for (key, rate) in [
            ("limits.bits-per-second-per-allocation", limits.bits_per_second_per_allocation),
            ("limits.bits-per-second", limits.bits_per_second),
        ] {
            if rate > MAX_BITS_PER_SECOND {
                self.error(
                    key,
                    format!("{rate} is too high; write {MAX_BITS_PER_SECOND} at most, or 0 for no limit"),
                );
            }
        }
    }

    fn log(&mut self) {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let level = &self.config.log.level;
        // A lone word that is no level would be read as the name of a target,
        // and everything else be silenced.
        let lone_word = level.split(',').map(str::trim).find(|part| {
            !part.contains(['=', '[']) && !LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level))
        });
        let hint = || Key::find("log.level").map_or("", |key| key.write);
        if let Some(word) = lone_word {
            self.error("log.level", format!("{word:?} is no level; write {}", hint()));
        } else if let Err(error) = EnvFilter::builder().parse(level) {
            self.error("log.level", format!("{level:?} can't be read ({error}); write {}", hint()));
        }
    }

    /// Values that somebody has given and nothing reads.
    fn idle(&mut self) {
        let Config { listen, acme, https, auth, stun, admin, .. } = self.config;
        let no_tls = listen.tls.is_empty() && https.listen.is_empty();
        let reasons = [
            (
                "listen.proxy-protocol-from",
                no_tls && listen.tcp.is_empty(),
                "listen.tcp, listen.tls and https.listen are empty",
            ),
            (
                "tls.certificate",
                no_tls && listen.dtls.is_empty(),
                "listen.tls, listen.dtls and https.listen are empty",
            ),
            (
                "acme.names",
                no_tls && listen.dtls.is_empty(),
                "listen.tls, listen.dtls and https.listen are empty",
            ),
            ("acme.", !acme.is_on(), "acme.names is empty"),
            ("acme.http-listen", acme.challenge != Challenge::Http01, "acme.challenge is not \"http-01\""),
            ("https.", https.listen.is_empty(), "https.listen is empty"),
            ("auth.oauth-server-name", auth.oauth_keys.is_empty(), "auth.oauth-keys is empty"),
            ("stun.alternate-port", !stun.nat_discovery, "stun.nat-discovery is false"),
            ("admin.api-keys", admin.listen.is_none(), "admin.listen is \"\" (off)"),
            ("admin.cors", admin.listen.is_none(), "admin.listen is \"\" (off)"),
        ];
        let defaults = Table::try_from(Config::default()).unwrap_or_default();
        for given in self.given.values() {
            let why = reasons.iter().find(|(path, is_idle, _)| *is_idle && given.key.path.starts_with(path));
            if let Some((.., why)) = why.filter(|_| given.key.of(&defaults) != Some(&given.value)) {
                let text = format!("{}: is of no use while {why}", given.key.path);
                self.report.warn(given.origin.clone(), text);
            }
        }
    }

    /// A list of things of which each is there once.
    pub(super) fn once<T: PartialEq + fmt::Display>(&mut self, key: &'static str, list: &[T]) {
        for (index, entry) in list.iter().enumerate() {
            if list.iter().take(index).any(|other| other == entry) {
                self.entry_error(key, index, format!("{entry} is listed twice; remove one"));
            }
        }
    }

    pub(super) fn error(&mut self, key: &'static str, text: impl AsRef<str>) {
        let origin = self.origin(key);
        self.report.error(origin, format!("{key}: {}", text.as_ref()));
    }

    pub(super) fn warn(&mut self, key: &'static str, text: impl AsRef<str>) {
        let origin = self.origin(key);
        self.report.warn(origin, format!("{key}: {}", text.as_ref()));
    }

    pub(super) fn entry_error(&mut self, key: &'static str, index: usize, text: impl AsRef<str>) {
        let origin = self.entry_origin(key, index);
        self.report.error(origin, format!("{key}: {}", text.as_ref()));
    }

    pub(super) fn entry_warning(&mut self, key: &'static str, index: usize, text: impl AsRef<str>) {
        let origin = self.entry_origin(key, index);
        self.report.warn(origin, format!("{key}: {}", text.as_ref()));
    }

    fn origin(&self, key: &str) -> Origin {
        self.given.get(key).map_or(Origin::Default, |given| given.origin.clone())
    }

    pub(super) fn entry_origin(&self, key: &str, index: usize) -> Origin {
        let entry = self.given.get(key).and_then(|given| given.entries.get(index));
        entry.cloned().unwrap_or_else(|| self.origin(key))
    }
}

pub(super) fn name_or_number(name: Option<&str>, what: &str, index: usize) -> String {
    match name {
        Some(name) => format!("the {what} {name:?}"),
        None => format!("{what} {}", index + 1),
    }
}

#[cfg(test)]
#[path = "check_test.rs"]
mod tests;
