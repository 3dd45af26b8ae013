//! The public address of a server behind NAT: whoever `relay.discover` names is
//! asked at the start, for each relay address that is private. Nothing is
//! guessed: the first of the list that answers counts, one that says otherwise is
//! told of, and without any answer the server does not start, since clients would
//! be given an address where nobody reaches them.
//!
//! Later the same are asked every few minutes. An address that has changed is a
//! line in the log and a metric, no more: clients hold the old one, and a restart
//! takes the new one.

mod metadata;
mod stun;

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;

use super::StartError;
use crate::config::{AddressSource, Config, PortRange};
use crate::net::discover::is_private;

/// How often it is looked whether the address is still the same.
const LOOK: Duration = Duration::from_secs(300);
/// Largest file that could hold an address.
const MAX_FILE: u64 = 4096;

/// A relay address and what it is from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Found {
    local: IpAddr,
    public: IpAddr,
    /// Who has said so, and who has too.
    by: String,
}

/// What was found out for all of them.
#[derive(Debug)]
pub(super) struct PublicAddresses {
    sources: Vec<AddressSource>,
    ports: PortRange,
    found: Vec<Found>,
}

impl PublicAddresses {
    /// Asks for the private ones of `relays`, and puts into them what is told.
    ///
    /// `Ok(None)` where `relay.discover` is off, or nothing is private; `Err`
    /// when nobody knows an IPv4 one.
    pub(super) fn find(
        config: &Config,
        relays: &mut [(IpAddr, IpAddr)],
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, StartError> {
        let sources = &config.relay.discover;
        if sources.is_empty() {
            let unknown = relays
                .iter()
                .find(|relay| is_hidden(relay))
                .filter(|_| config.relay.external_addresses.is_empty());
            warnings.extend(unknown.map(|(local, _)| unasked(*local)));
            return Ok(None);
        }
        let mut found = Vec::new();
        for relay in relays.iter_mut().filter(|relay| is_hidden(relay)) {
            match ask_all(sources, relay.0, config.relay.ports, warnings) {
                Ok(told) => {
                    relay.1 = told.public;
                    found.push(told);
                }
                // A private IPv6 address mostly stands beside a public one.
                Err(why) if relay.0.is_ipv6() => warnings.push(why),
                Err(why) => return Err(StartError::System(why)),
            }
        }
        let these = Self { sources: sources.clone(), ports: config.relay.ports, found };
        Ok(Some(these).filter(|these| !these.found.is_empty()))
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        self.found
            .iter()
            .map(|found| format!("{} for {}, says {}", found.public, found.local, found.by))
            .collect()
    }

    /// Keeps looking, for as long as the tasks live. What is returned is true
    /// while somebody else's word stands against an address in use.
    pub(super) fn watch(self) -> (JoinSet<()>, Arc<AtomicBool>) {
        let changed = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&changed);
        let these = Arc::new(self);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let look = Arc::clone(&these);
                let Ok(now) = tokio::task::spawn_blocking(move || look.changes()).await else { return };
                let is_new = !seen.swap(!now.is_empty(), Ordering::Relaxed);
                for (local, used, told) in now.iter().filter(|_| is_new) {
                    tracing::warn!(target: "floe::net", %local, %used, %told,
                        "the public address has changed: restart floe to use it");
                }
            }
        });
        (tasks, changed)
    }

    /// Relay addresses that are another one outside than was found: local, used,
    /// told. Silence is no change.
    fn changes(&self) -> Vec<(IpAddr, IpAddr, IpAddr)> {
        let changed = |found: &Found| {
            let told = ask_all(&self.sources, found.local, self.ports, &mut Vec::new()).ok()?;
            (told.public != found.public).then_some((found.local, found.public, told.public))
        };
        self.found.iter().filter_map(changed).collect()
    }
}

/// Whether clients could be told where to go only once somebody has been asked.
pub(super) fn is_to_be_found(config: &Config, relays: &[(IpAddr, IpAddr)]) -> bool {
    !config.relay.discover.is_empty() && relays.iter().any(is_hidden)
}

/// Of a local and an advertised address: the world can't reach it.
fn is_hidden((_, advertised): &(IpAddr, IpAddr)) -> bool {
    is_private(*advertised) && !advertised.is_loopback()
}

/// That nobody is to be asked.
fn unasked(local: IpAddr) -> String {
    format!(
        "relaying from {local}, a private address: only clients and peers of that network can use it. Behind NAT, set \
         relay.external-addresses, or have the public address found: relay.discover = [\"stun:HOST:PORT\"], or \
         \"aws\", \"gcp\" …"
    )
}

/// Asks everybody at once. The first of the list that answers counts.
fn ask_all(
    sources: &[AddressSource],
    local: IpAddr,
    ports: PortRange,
    warnings: &mut Vec<String>,
) -> Result<Found, String> {
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> =
            sources.iter().map(|source| scope.spawn(move || ask(source, local, ports))).collect();
        let answer = |asked: thread::ScopedJoinHandle<'_, Result<Told, String>>| {
            asked.join().unwrap_or_else(|_| Err("could not be asked".to_owned()))
        };
        asked.into_iter().map(answer).collect()
    });
    let mut first: Option<(&AddressSource, IpAddr)> = None;
    let mut agreeing = Vec::new();
    let mut silent = Vec::new();
    for (source, answer) in sources.iter().zip(answers) {
        match (answer, first) {
            (Err(why), _) => silent.push(format!("{source}: {why}")),
            (Ok(told), None) => {
                warnings.extend(told.warning);
                first = Some((source, told.public));
            }
            (Ok(told), Some((_, public))) if told.public == public => {
                warnings.extend(told.warning);
                agreeing.push(source.to_string());
            }
            (Ok(told), Some((before, public))) => warnings.push(format!(
                "relay.discover: the public address of {local} is {public}, says {before}, but {} says {source}: the \
                 first is used; remove whichever is wrong, or write relay.external-addresses",
                told.public
            )),
        }
    }
    let Some((source, public)) = first else {
        return Err(format!(
            "relay.discover: nobody has told the public address of {local}, and clients could not be reached at it: {}; \
             write relay.external-addresses, or name others",
            silent.join("; ")
        ));
    };
    warnings.extend(silent.iter().map(|why| format!("relay.discover: {why}")));
    if is_private(public) {
        warnings.push(format!(
            "relay.discover: {public}, which {source} takes for the public address of {local}, is private too: there \
             is a second NAT before the world"
        ));
    }
    let by = match agreeing.is_empty() {
        true => source.to_string(),
        false => format!("{source}, and so {}", agreeing.join(", ")),
    };
    Ok(Found { local, public, by })
}

/// What one of them says.
struct Told {
    public: IpAddr,
    warning: Option<String>,
}

impl From<IpAddr> for Told {
    fn from(public: IpAddr) -> Self {
        Self { public, warning: None }
    }
}

fn ask(source: &AddressSource, local: IpAddr, ports: PortRange) -> Result<Told, String> {
    let told = match source {
        AddressSource::Stun { host, port } => {
            let (here, seen) = stun::ask(host, *port, local, ports)?;
            Told { public: seen.ip().to_canonical(), warning: other_port(source, here, seen) }
        }
        AddressSource::Cloud(cloud) => metadata::ask(*cloud, local)?.into(),
        AddressSource::Environment(name) => {
            let text = std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?;
            address(&text)?.into()
        }
        AddressSource::File(path) => {
            let mut text = String::new();
            let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
            read.map_err(|error| error.to_string())?;
            address(&text)?.into()
        }
    };
    let Told { public, .. } = told;
    if public.is_ipv4() != local.is_ipv4() {
        return Err(format!("{public} is of another family than {local}"));
    }
    if public.is_unspecified() || public.is_loopback() || public.is_multicast() {
        return Err(format!("{public} is nobody's public address"));
    }
    Ok(told)
}

/// A NAT that gives ports anew makes relayed addresses wrong by their ports.
fn other_port(source: &AddressSource, here: SocketAddr, seen: SocketAddr) -> Option<String> {
    (here.port() != seen.port()).then(|| {
        format!(
            "relay.discover: {source} sees {here} as {seen}: the NAT changes ports, so peers will not reach relayed \
             addresses unless it forwards all of relay.ports to this machine"
        )
    })
}

fn address(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    text.parse().map_err(|_| format!("{:?} is no address", text.chars().take(64).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: PortRange = PortRange { first: 50_000, last: 50_100 };

    fn file(text: &str) -> (AddressSource, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!(
            "floe-address-{}-{:x}",
            std::process::id(),
            rand::random::<u64>()
        ));
        std::fs::write(&path, text).unwrap();
        (AddressSource::File(path.clone()), path)
    }

    #[test]
    fn the_first_answer_counts_and_another_one_is_told_of() {
        let local = "10.0.0.5".parse().unwrap();
        let files = [file("not yet\n"), file(" 203.0.113.7\n"), file("203.0.113.7"), file("203.0.113.8")];
        let sources: Vec<_> = files.iter().map(|(source, _)| source.clone()).collect();
        let mut warnings = Vec::new();
        let found = ask_all(&sources, local, PORTS, &mut warnings).unwrap();
        assert_eq!(found.public, "203.0.113.7".parse::<IpAddr>().unwrap());
        assert_eq!(found.by, format!("{}, and so {}", sources[1], sources[2]));
        assert!(warnings[0].contains("203.0.113.8 says"), "{warnings:?}");
        assert!(warnings[1].contains("\"not yet\" is no address") && warnings.len() == 2, "{warnings:?}");
        let nobody = ask_all(&sources[..1], local, PORTS, &mut Vec::new()).unwrap_err();
        assert!(nobody.contains("nobody has told the public address of 10.0.0.5"), "{nobody}");
        for (_, path) in files {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn what_can_be_no_public_address_is_none() {
        for text in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "2001:db8::1", ""] {
            let (source, path) = file(text);
            assert!(ask(&source, "10.0.0.5".parse().unwrap(), PORTS).is_err(), "{text}");
            std::fs::remove_file(path).unwrap();
        }
        let unset = AddressSource::Environment("FLOE_NO_SUCH_VARIABLE".to_owned());
        assert!(ask(&unset, "10.0.0.5".parse().unwrap(), PORTS).is_err());
    }
}
