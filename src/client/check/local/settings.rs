//! What in a configuration will probably not be as its operator wishes: it can be
//! used, and yet.

use std::net::IpAddr;

use crate::client::check::report::{Cause, Finding, Step};
use crate::config::{Config, Loaded};
use crate::net::discover::is_private;

pub(super) fn findings(loaded: &Loaded, relays: &[(IpAddr, IpAddr)]) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings: Vec<Finding> = loaded
        .warnings
        .iter()
        .map(|problem| told(problem.to_string().trim_start_matches("warning: ")))
        .collect();
    let looks: [Option<Finding>; 8] = [
        logins(config),
        relay(config, relays),
        peers(config),
        quota(config),
        admin(config),
        origins(config),
        encryption(config),
        log(config),
    ];
    findings.extend(looks.into_iter().flatten());
    if findings.is_empty() {
        findings.push(Finding::ok(Step::Configuration, "nothing in it looks wrong"));
    }
    findings
}

fn warning(cause: Cause, found: impl Into<String>, advice: &str) -> Option<Finding> {
    Some(Finding::warning(Step::Configuration, cause, found, advice))
}

/// What `floe config check` warns of.
fn told(text: &str) -> Finding {
    let advice = "`floe config check` says the same; change the key that is named";
    Finding::warning(Step::Configuration, Cause::QuestionableSetting, text, advice)
}

fn logins(config: &Config) -> Option<Finding> {
    if config.auth.is_empty() {
        return warning(
            Cause::NoCredentials,
            "nobody can log in for longer than one run: the secret is made up at each start",
            "set auth.secrets (openssl rand -hex 32) or auth.users",
        );
    }
    if config.auth.allow_weak {
        return warning(
            Cause::WeakSecret,
            "auth.allow-weak lets weak secrets and passwords pass",
            "make strong ones (openssl rand -hex 32), and remove it",
        );
    }
    None
}

fn relay(config: &Config, relays: &[(IpAddr, IpAddr)]) -> Option<Finding> {
    if relays.is_empty() {
        return warning(
            Cause::PrivateRelay,
            "no address to relay from: this machine has no way to the world",
            "connect it, or set relay.addresses",
        );
    }
    let (local, advertised) = relays.iter().find(|(_, advertised)| is_private(*advertised))?;
    if !config.relay.discover.is_empty() {
        return None;
    }
    warning(
        Cause::PrivateRelay,
        format!("clients will be told to relay at {advertised}, a private address, from {local}"),
        "behind NAT set relay.external-addresses or relay.discover; on a private network all is well",
    )
}

fn peers(config: &Config) -> Option<Finding> {
    let open: Vec<String> = config
        .peers
        .allow
        .iter()
        .filter(|prefix| is_private(prefix.addr()))
        .map(|prefix| prefix.to_string())
        .collect();
    if open.is_empty() {
        return None;
    }
    warning(
        Cause::OpenPeerFilter,
        format!("every client may relay to {} (peers.allow)", open.join(", ")),
        "name the very addresses that clients need (an SFU's), not a network",
    )
}

fn quota(config: &Config) -> Option<Finding> {
    if config.limits.allocations_per_user > 0 {
        return None;
    }
    warning(
        Cause::NoQuota,
        "one user may take every relay port: limits.allocations-per-user is 0",
        "set it; a call takes a few, 64 is the default",
    )
}

fn admin(config: &Config) -> Option<Finding> {
    let listen = config.admin.listen.filter(|listen| !listen.ip().is_loopback())?;
    warning(
        Cause::AdminExposed,
        format!("the admin address {listen} is not loopback and has no TLS: keys pass in the clear"),
        "set admin.listen to 127.0.0.1:8080 and let a reverse proxy with TLS stand before it, or firewall it",
    )
}

fn origins(config: &Config) -> Option<Finding> {
    if !config.admin.cors.iter().any(|origin| origin == "*") {
        return None;
    }
    warning(
        Cause::AdminExposed,
        "any web page may ask for credentials: admin.cors has \"*\"",
        "name the origins of your application, as https://app.example.org",
    )
}

fn encryption(config: &Config) -> Option<Finding> {
    if !config.listen.tls.is_empty() || !config.https.listen.is_empty() {
        return None;
    }
    Some(Finding::ok(
        Step::Configuration,
        "no TLS: clients behind firewalls that let only TLS through won't come in (listen.tls, best on 443)",
    ))
}

fn log(config: &Config) -> Option<Finding> {
    let level = &config.log.level;
    let loud = level
        .split(',')
        .map(str::trim)
        .find(|part| part.eq_ignore_ascii_case("trace") || part.eq_ignore_ascii_case("debug"))?;
    warning(
        Cause::LoudLog,
        format!("log.level is {loud}: much is written, and with it addresses of clients and peers"),
        "write \"info\", and raise the one target that you need, as \"info,floe::login=debug\"",
    )
}
