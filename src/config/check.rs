//! What can be judged from the configuration alone: bounds, pairs that must
//! match, secrets that are no secrets. Whether the host agrees is seen when the
//! server starts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use tokio_rustls::rustls::pki_types::DnsName;
use tracing_subscriber::EnvFilter;

use super::alternate::AlternateServer;
use super::key::Key;
use super::layer::Given;
use super::model::{Config, Listen, Relay, Tls};
use super::problem::{Origin, Report};
use super::secret::Secret;
use crate::relay::bandwidth::MAX_BITS_PER_SECOND;
use crate::{auth, policy};

/// Longest REALM in characters (RFC 8489 §14.9: fewer than 128).
const MAX_REALM: usize = 127;
/// Longest USERNAME in bytes (RFC 8489 §14.3: fewer than 509).
const MAX_USERNAME: usize = 508;
/// Most shards: the relay pool keeps one's number in a byte.
const MAX_SHARDS: u8 = 254;
/// Longest API key that the admin server looks at, bytes.
const MAX_API_KEY: usize = 512;
/// Shortest lifetime a server may hold an allocation to: a client that asks for
/// nothing gets 600 s (RFC 8656 §7.2).
const MIN_LIFETIME: u32 = 600;
/// What a server should grant at most (RFC 8656 §7.2).
const RECOMMENDED_LIFETIME: u32 = 3600;
/// Ports below are the system's (RFC 6335 §6).
const MIN_RELAY_PORT: u16 = 1024;
/// Most relay addresses; each has a table of its ports.
const MAX_RELAY_ADDRESSES: usize = 64;
/// Bytes: less than the largest datagram does not fit, more than this the
/// kernel's `int` can't hold once it has doubled it.
const SOCKET_BUFFER: std::ops::RangeInclusive<u32> = 65_536..=(1 << 30) - 1;

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
}

pub(super) struct Check<'a> {
    pub(super) config: &'a Config,
    given: &'a BTreeMap<&'static str, Given>,
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
                None => return,
            },
        };
        self.error("realm", format!("{fault}; write a name, as \"example.org\""));
    }

    fn listeners(&mut self) {
        let listen = &self.config.listen;
        let lists = [
            ("listen.udp", &listen.udp),
            ("listen.tcp", &listen.tcp),
            ("listen.tls", &listen.tls),
            ("listen.dtls", &listen.dtls),
        ];
        if lists.iter().all(|(_, addresses)| addresses.is_empty()) {
            self.error(
                "listen.udp",
                "is empty, and so are listen.tcp, listen.tls and listen.dtls: nobody could reach the server",
            );
        }
        if listen.shards > MAX_SHARDS {
            self.error("listen.shards", format!("{} are too many; at most {MAX_SHARDS}", listen.shards));
        }
        for (key, addresses) in lists {
            for (index, address) in addresses.iter().enumerate() {
                if address.port() != 0 && addresses.iter().take(index).any(|other| other == address) {
                    self.entry_error(key, index, format!("{address} is listed twice; remove one"));
                }
                self.local_address(key, index, address.ip());
            }
        }
        let bytes = listen.socket_buffer;
        if !SOCKET_BUFFER.contains(&bytes) {
            let (least, most) = SOCKET_BUFFER.into_inner();
            self.error(
                "listen.socket-buffer",
                format!("{bytes} is out of bounds; write {least} to {most} bytes"),
            );
        }
    }

    fn balancers(&mut self) {
        const KEY: &str = "listen.proxy-protocol-from";
        let listen = &self.config.listen;
        for (index, prefix) in listen.proxy_protocol_from.iter().enumerate() {
            let meant = prefix.trunc();
            if *prefix != meant {
                self.entry_warning(
                    KEY,
                    index,
                    format!("{prefix} covers all of {meant}; write that, or the address alone"),
                );
            }
            if prefix.prefix_len() == 0 {
                self.entry_warning(
                    KEY,
                    index,
                    format!("{prefix} lets anyone say any address; write those of your balancers"),
                );
            }
        }
        if !listen.proxy_protocol_from.is_empty()
            && listen.tcp.is_empty()
            && listen.tls.is_empty()
            && self.config.https.listen.is_empty()
        {
            self.warn(KEY, "is of no use without listen.tcp and listen.tls");
        }
    }

    fn tls(&mut self) {
        let Tls { certificate, private_key, certificates } = &self.config.tls;
        let none = |path: &Path| path.as_os_str().is_empty();
        if none(certificate) != none(private_key) {
            let (key, other) = match none(certificate) {
                true => ("tls.certificate", "tls.private-key"),
                false => ("tls.private-key", "tls.certificate"),
            };
            self.error(key, format!("is missing beside {other}; give the file of each"));
        }
        for (index, pair) in certificates.iter().enumerate() {
            if none(&pair.certificate) || none(&pair.private_key) {
                self.entry_error(
                    "tls.certificates",
                    index,
                    "has an empty path; give the files of certificate and private-key",
                );
            }
            let before = certificates.iter().take(index).map(|other| &other.certificate);
            if !none(&pair.certificate) && before.chain([certificate]).any(|other| *other == pair.certificate)
            {
                let path = pair.certificate.display();
                self.entry_error("tls.certificates", index, format!("{path} is listed twice; remove one"));
            }
        }
        let Listen { tls, dtls, .. } = &self.config.listen;
        let given = !none(certificate) || !certificates.is_empty();
        let obtained = self.config.acme.is_on();
        let https = &self.config.https.listen;
        for (key, list) in [("listen.tls", tls), ("listen.dtls", dtls), ("https.listen", https)] {
            if !list.is_empty() && !given && !obtained && none(private_key) {
                self.error(
                    key,
                    "needs a certificate; set tls.certificate and tls.private-key, or acme.names",
                );
            }
        }
        if tls.is_empty() && dtls.is_empty() && https.is_empty() && given {
            self.warn("tls.certificate", "is of no use while listen.tls and listen.dtls are empty");
        }
        if !dtls.is_empty() && !cfg!(feature = "dtls") {
            self.error("listen.dtls", "can't be served: this floe was built without DTLS (feature dtls)");
        }
    }

    /// Addresses that no socket of ours can be bound to, on any host.
    pub(super) fn local_address(&mut self, key: &'static str, index: usize, ip: IpAddr) {
        if ip.is_multicast() || ip == IpAddr::from([255; 4]) {
            self.entry_error(key, index, format!("{ip} is no address of a single host"));
        } else if ip.to_canonical() != ip {
            let plain = ip.to_canonical();
            self.entry_error(key, index, format!("{ip} is an IPv4 address in IPv6 form; write {plain}"));
        }
    }

    fn relays(&mut self) {
        let Relay { addresses, external_addresses: external, max_lifetime, .. } = &self.config.relay;
        for (key, list) in [("relay.addresses", addresses), ("relay.external-addresses", external)] {
            if list.len() > MAX_RELAY_ADDRESSES {
                self.error(key, format!("has {} addresses; at most {MAX_RELAY_ADDRESSES}", list.len()));
            }
            for (index, ip) in list.iter().enumerate() {
                if list.iter().take(index).any(|other| other == ip) {
                    self.entry_error(key, index, format!("{ip} is listed twice; remove one"));
                }
                self.local_address(key, index, *ip);
                if ip.is_unspecified() {
                    let rather = match key {
                        "relay.addresses" => "write an address of this host, or leave the list empty",
                        _ => "write the address that the Internet sees",
                    };
                    self.entry_error(key, index, format!("{ip} stands for any address; {rather}"));
                }
            }
        }
        self.external(addresses, external);
        if *max_lifetime < MIN_LIFETIME {
            self.error(
                "relay.max-lifetime",
                format!("{max_lifetime} is too short; write {MIN_LIFETIME} seconds or more (RFC 8656 §7.2)"),
            );
        } else if *max_lifetime > RECOMMENDED_LIFETIME {
            self.warn(
                "relay.max-lifetime",
                format!(
                    "{max_lifetime} is longer than the {RECOMMENDED_LIFETIME} seconds \
                     that RFC 8656 §7.2 recommends"
                ),
            );
        }
    }

    fn external(&mut self, addresses: &[IpAddr], external: &[IpAddr]) {
        const KEY: &str = "relay.external-addresses";
        if external.is_empty() {
            return;
        }
        if addresses.is_empty() {
            let v4 = external.iter().filter(|ip| ip.is_ipv4()).count();
            if v4 > 1 || external.len() - v4 > 1 {
                self.error(
                    KEY,
                    "has several addresses of one family; \
                     list in relay.addresses the local address of each, in the same order",
                );
            }
            return;
        }
        if addresses.len() != external.len() {
            let (these, those) = (external.len(), addresses.len());
            self.error(
                KEY,
                format!(
                    "has {these} and relay.addresses has {those}; \
                     give one for each, in the same order (an address without NAT is its own)"
                ),
            );
            return;
        }
        for (index, (local, external)) in addresses.iter().zip(external).enumerate() {
            if local.is_ipv4() != external.is_ipv4() {
                self.entry_error(
                    KEY,
                    index,
                    format!("{external} and {local} of relay.addresses are of different families"),
                );
            }
        }
    }

    fn ports(&mut self) {
        let ports = self.config.relay.ports;
        if ports.first > ports.last {
            let (first, last) = (ports.first, ports.last);
            self.error("relay.ports", format!("{ports} ends before it begins; write \"{last}-{first}\""));
        } else if ports.first < MIN_RELAY_PORT {
            self.error(
                "relay.ports",
                format!("{ports} begins below {MIN_RELAY_PORT}, where the system's ports are"),
            );
        }
        for (index, address) in self.config.listen.udp.iter().enumerate() {
            if ports.contains(address.port()) {
                self.entry_warning(
                    "listen.udp",
                    index,
                    format!("port {} is also one of relay.ports", address.port()),
                );
            }
        }
    }

    fn alternates(&mut self) {
        const KEY: &str = "relay.alternate-servers";
        let list = &self.config.relay.alternate_servers;
        for (index, AlternateServer { address, domain }) in list.iter().enumerate() {
            if list.iter().take(index).any(|other| other.address == *address) {
                self.entry_error(KEY, index, format!("{address} is listed twice; remove one"));
            }
            if let Some(domain) = domain
                && DnsName::try_from(domain.as_str()).is_err()
            {
                let text = format!("{domain:?} is no host name; write the name in the server's certificate");
                self.entry_error(KEY, index, text);
            }
            self.local_address(KEY, index, address.ip());
            if address.ip().is_unspecified() || address.port() == 0 {
                let text = format!("{address} leads nowhere; write the address and port of a TURN server");
                self.entry_error(KEY, index, text);
            }
        }
    }

    fn nat_discovery(&mut self) {
        let stun = &self.config.stun;
        if stun.nat_discovery && self.config.nat_discovery().is_empty() {
            self.error(
                "stun.nat-discovery",
                "takes two addresses of one family in listen.udp, none of them 0.0.0.0 or [::], \
                 with one port that is not 0, as [\"192.0.2.1:3478\", \"192.0.2.2:3478\"], \
                 and another port in stun.alternate-port",
            );
        } else if !stun.nat_discovery && stun.alternate_port != 0 {
            self.warn("stun.alternate-port", "is of no use while stun.nat-discovery is false");
        }
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

    fn credentials(&mut self) {
        let auth = &self.config.auth;
        if auth.secrets.len() > auth::MAX_SECRETS {
            let (count, most) = (auth.secrets.len(), auth::MAX_SECRETS);
            self.error("auth.secrets", format!("has {count} secrets; at most {most} (a login tries each)"));
        }
        for (index, entry) in auth.secrets.iter().enumerate() {
            let which = name_or_number(entry.name.as_deref(), "secret", index);
            if auth.secrets.iter().take(index).any(|other| other.secret == entry.secret) {
                self.entry_warning("auth.secrets", index, format!("{which} is listed twice; remove one"));
            }
            // A key that names its secret must get the one that is meant.
            let name = auth.secret_name(index);
            if (0..index).any(|other| auth.secret_name(other) == name) {
                let text = format!("two secrets have the name {name:?}; give each its own");
                self.entry_error("auth.secrets", index, text);
            }
            let origin = self.entry_origin("auth.secrets", index);
            self.strength("auth.secrets", origin, &which, &entry.secret, auth::weak_secret);
        }
        self.users();
        if !auth.nonce_secret.is_empty() {
            let origin = self.origin("auth.nonce-secret");
            self.strength("auth.nonce-secret", origin, "it", &auth.nonce_secret, auth::weak_secret);
        }
    }

    fn users(&mut self) {
        let mut names = BTreeSet::new();
        for (index, (name, password)) in self.config.auth.users.iter().enumerate() {
            match auth::opaque_string(name) {
                Err(fault) => {
                    self.entry_error("auth.users", index, format!("the user name {name:?} {fault}"))
                }
                Ok(normal) if normal.len() > MAX_USERNAME => {
                    self.entry_error(
                        "auth.users",
                        index,
                        format!("the user name {name:?} has more than {MAX_USERNAME} bytes"),
                    );
                }
                Ok(normal) => {
                    if !names.insert(normal.into_owned()) {
                        self.entry_error(
                            "auth.users",
                            index,
                            format!("the user {name:?} is listed twice; remove one"),
                        );
                    }
                }
            }
            if looks_time_limited(name) {
                self.entry_warning(
                    "auth.users",
                    index,
                    format!(
                        "the user name {name:?} looks like a time-limited credential; \
                         choose one that does not begin with a number and a colon"
                    ),
                );
            }
            let which = format!("the password of {name:?}");
            let origin = self.entry_origin("auth.users", index);
            match auth::opaque_string(password.expose()) {
                Err(fault) if !password.is_empty() => {
                    self.report.error(origin, format!("auth.users: {which} {fault}"));
                }
                _ => self.strength("auth.users", origin, &which, password, auth::weak_password),
            }
        }
    }

    fn admin(&mut self) {
        let admin = &self.config.admin;
        if let Some(address) = admin.listen {
            let listen = &self.config.listen;
            let https = &self.config.https.listen;
            for (key, list) in
                [("listen.tcp", &listen.tcp), ("listen.tls", &listen.tls), ("https.listen", https)]
            {
                let clash = list.iter().find(|other| clashes(address, **other));
                // The default makes way for another free port.
                if let Some(other) = clash.filter(|_| self.given.contains_key("admin.listen")) {
                    self.error(
                        "admin.listen",
                        format!("{address} is taken by {other} of {key}; give another port"),
                    );
                }
            }
        } else if !admin.api_keys.is_empty() {
            self.warn("admin.api-keys", "is of no use while admin.listen is \"\" (off)");
        }
        for (index, origin) in admin.cors.iter().enumerate() {
            let good = origin == "*"
                || origin.split_once("://").is_some_and(|(scheme, host)| {
                    matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', ' '])
                });
            if !good {
                let text =
                    format!("admin.cors: {origin:?} is no origin; write https://HOST or https://HOST:PORT");
                self.report.error(self.entry_origin("admin.cors", index), text);
            }
        }
        for (index, entry) in admin.api_keys.iter().enumerate() {
            let which = name_or_number(entry.name.as_deref(), "key", index);
            if admin.api_keys.iter().take(index).any(|other| other.key == entry.key) {
                self.entry_warning("admin.api-keys", index, format!("{which} is listed twice; remove one"));
            }
            let origin = self.entry_origin("admin.api-keys", index);
            if let Some(secret) = &entry.terms.secret {
                let known = self.config.auth.secrets.iter().any(|s| s.name.as_ref() == Some(secret));
                if !known {
                    let text = format!(
                        "admin.api-keys: {which} mints with {secret}, but auth.secrets has none of this name"
                    );
                    self.report.error(origin.clone(), text);
                }
            }
            if entry.terms.max_lifetime == 0 {
                self.report.error(
                    origin.clone(),
                    format!("admin.api-keys: {which} has max-lifetime 0; write seconds"),
                );
            }
            if entry.key.expose().len() > MAX_API_KEY {
                self.report
                    .error(origin, format!("admin.api-keys: {which} has more than {MAX_API_KEY} bytes"));
            } else {
                self.strength("admin.api-keys", origin, &which, &entry.key, auth::weak_secret);
            }
        }
    }

    /// An empty secret is an error; for a weak one see [`Check::weak`].
    fn strength(
        &mut self,
        key: &'static str,
        origin: Origin,
        which: &str,
        secret: &Secret,
        weakness: fn(&str) -> Option<&'static str>,
    ) {
        const MAKE_ONE: &str = "make one with `openssl rand -hex 32`";
        if secret.is_empty() {
            self.report.error(origin, format!("{key}: {which} is empty; {MAKE_ONE}"));
            return;
        }
        let Some(fault) = weakness(secret.expose()) else { return };
        self.weak(origin, format!("{key}: {which} {fault}; {MAKE_ONE}"));
    }

    /// A warning where nobody else can reach the server or the operator has agreed
    /// to it, else an error.
    pub(super) fn weak(&mut self, origin: Origin, message: String) {
        if self.config.auth.allow_weak || self.only_loopback() {
            self.report.warn(origin, message);
        } else {
            self.report.error(origin, format!("{message}, or set auth.allow-weak = true"));
        }
    }

    fn only_loopback(&self) -> bool {
        let Config { listen, admin, https, .. } = self.config;
        let Listen { udp, tcp, tls, dtls, .. } = listen;
        let lists = [udp, tcp, tls, dtls, &https.listen];
        lists.into_iter().flatten().chain(&admin.listen).all(|address| address.ip().is_loopback())
    }

    fn peers(&mut self) {
        let peers = &self.config.peers;
        for (key, list) in [("peers.allow", &peers.allow), ("peers.deny", &peers.deny)] {
            for (index, prefix) in list.iter().enumerate() {
                let meant = prefix.trunc();
                if *prefix != meant {
                    self.entry_warning(
                        key,
                        index,
                        format!("{prefix} covers all of {meant}; write that, or the address alone"),
                    );
                }
            }
        }
        let idle = policy::without_effect(&peers.allow, &peers.deny);
        for (index, prefix) in peers.allow.iter().enumerate() {
            if idle.contains(prefix) {
                self.entry_warning(
                    "peers.allow",
                    index,
                    format!("{prefix} opens nothing: it is in peers.deny too, or no list may open it"),
                );
            } else if prefix.addr().is_loopback() && !self.only_loopback() {
                self.entry_warning(
                    "peers.allow",
                    index,
                    format!("{prefix} lets every client reach the services of this machine's loopback"),
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

    fn entry_warning(&mut self, key: &'static str, index: usize, text: impl AsRef<str>) {
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

fn name_or_number(name: Option<&str>, what: &str, index: usize) -> String {
    match name {
        Some(name) => format!("the {what} {name:?}"),
        None => format!("{what} {}", index + 1),
    }
}

/// `number:…`, as time-limited credentials begin.
fn looks_time_limited(name: &str) -> bool {
    name.split_once(':').is_some_and(|(time, _)| !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()))
}

/// Two TCP listeners that can't both be had.
pub(super) fn clashes(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |a: IpAddr, b: IpAddr| a == b || (a.is_unspecified() && a.is_ipv4() == b.is_ipv4());
    one.port() != 0
        && one.port() == other.port()
        && (covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}

#[cfg(test)]
#[path = "check_test.rs"]
mod tests;
