//! The server that a client command is for when no flag names one: the one that
//! runs on this machine, or one started for the occasion.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Deserialize;

use super::Failure;
use super::running::{self, encoded};
use crate::admin::runtime_file::Runtime;
use crate::client::Credentials;
use crate::client::http::{self, Question};
use crate::client::transport::Transport;
use crate::client::url::ServerUrl;
use crate::config::{Flag, Sources, load};
use crate::server::{self, Access, Process, Running, StartError};

/// Whom credentials are made for.
pub(super) const USER: &str = "floe-pair";

/// What is known besides the flags: a running server's, or that of one started
/// for this run.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Its TURN listeners, best first; empty when there is none.
    pub(super) servers: Vec<ServerUrl>,
    /// Time-limited credentials for it; `None` when there is no server, or one of
    /// this process's own that has no secret.
    pub(super) credentials: Option<Result<Credentials, NoCredentials>>,
    /// Its admin address, `http://HOST:PORT`.
    pub(super) admin: Option<String>,
    /// Its token.
    pub(super) token: Option<String>,
    /// The name in its certificate.
    pub(super) tls_name: Option<String>,
    /// Its process; none of one started for this run, which is this process.
    pub(super) pid: Option<u32>,
}

/// Why a running server makes no credentials.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NoCredentials {
    #[error("the running server is draining: it takes no new allocations")]
    Draining,
    #[error("the running server makes no credentials ({0}): {GIVE}")]
    Other(String),
}

/// What helps where nobody else makes credentials.
pub(super) const GIVE: &str = "give --secret, or --username and --password (or TURN_SECRET, …)";

impl From<NoCredentials> for Failure {
    fn from(none: NoCredentials) -> Self {
        match none {
            NoCredentials::Draining => Self::Failed(none.to_string()),
            NoCredentials::Other(_) => Self::Wrong(none.to_string()),
        }
    }
}

impl Surroundings {
    /// The newest running server of this user. Where there is none, and no flag
    /// has `named` one, starts one on loopback, to be stopped by the caller.
    pub(super) async fn find(named: bool) -> Result<(Self, Option<Running>), Failure> {
        match running::all().into_iter().next() {
            Some(runtime) => Ok((Self::of_running(runtime).await, None)),
            None if named => Ok((Self::default(), None)),
            None => {
                let own = start_own()?;
                Ok((Self::of_own(&own), Some(own)))
            }
        }
    }

    async fn of_running(runtime: Runtime) -> Self {
        let token = Some(runtime.token).filter(|token| !token.is_empty());
        let mut surroundings = Self {
            servers: runtime
                .listeners
                .iter()
                .filter_map(|l| url(&l.transport, l.address.parse().ok()?))
                .collect(),
            credentials: None,
            tls_name: runtime.urls.iter().find_map(|url| named_host(url)),
            admin: runtime.admin,
            token,
            pid: Some(runtime.pid),
        };
        surroundings.credentials = Some(surroundings.mint(USER).await);
        surroundings
    }

    /// Credentials from the server itself for this user, as an application would
    /// ask for them.
    pub(super) async fn mint(&self, user: &str) -> Result<Credentials, NoCredentials> {
        #[derive(Deserialize)]
        struct Answer {
            username: String,
            password: String,
        }
        let path = format!("/turn?service=turn&username={}&ttl=3600", encoded(user));
        let other = NoCredentials::Other;
        let admin = self.admin.as_ref().ok_or_else(|| other("it has no admin address".to_owned()))?;
        let question = Question { method: "GET", path: &path, token: self.token.as_deref(), body: "" };
        let page = match http::ask(admin, question).await.map_err(other)? {
            (200, page) => page,
            (503, _) => return Err(NoCredentials::Draining),
            (status, _) => return Err(other(format!("{admin}/turn answers {status}"))),
        };
        let answer: Answer = serde_json::from_str(&page).map_err(|error| other(error.to_string()))?;
        Ok(Credentials { username: answer.username, password: answer.password })
    }

    /// Whether the running server listens there.
    pub(super) fn listens_at(&self, url: &ServerUrl) -> bool {
        let transport = |url: &ServerUrl| url.transport.unwrap_or(Transport::Udp);
        let is_it = |own: &ServerUrl| {
            own.host == url.host && own.port == url.port && transport(own) == transport(url)
        };
        self.servers.iter().any(is_it)
    }

    fn of_own(own: &Running) -> Self {
        let listeners = own.listeners().iter();
        let credentials = match own.access().clone() {
            Access::Minted { username, credential, .. } => {
                Some(Ok(Credentials { username, password: credential }))
            }
            Access::Users(_) | Access::Tokens(_) => None,
        };
        Self {
            servers: listeners.filter_map(|(transport, address)| url(transport.name(), *address)).collect(),
            credentials,
            admin: own.admin().map(str::to_owned),
            tls_name: None,
            token: Some(own.token().to_owned()),
            pid: None,
        }
    }
}

/// The name in a `turns:` URL.
fn named_host(url: &str) -> Option<String> {
    let url: ServerUrl = url.starts_with("turns:").then(|| url.parse().ok()).flatten()?;
    url.host.parse::<IpAddr>().is_err().then_some(url.host)
}

/// How this machine reaches a listener: over loopback where it listens on every
/// address.
fn url(transport: &str, address: SocketAddr) -> Option<ServerUrl> {
    let host: IpAddr = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => address.ip(),
    };
    let transport = transport.parse().ok()?;
    Some(ServerUrl { host: host.to_string(), port: address.port(), transport: Some(transport) })
}

/// A server on loopback with a secret of its own, on free ports. Both peers are
/// relayed by it, so it needs no peer allowed.
fn start_own() -> Result<Running, Failure> {
    let set = |key: &str, value: &str| Flag {
        name: "floe pair".to_owned(),
        key: key.to_owned(),
        values: vec![value.to_owned()],
    };
    let listeners = r#"["127.0.0.1:0", "[::1]:0"]"#;
    let flags = vec![
        set("listen.udp", listeners),
        set("listen.tcp", listeners),
        set("relay.addresses", r#"["127.0.0.1"]"#),
        set("admin.listen", "127.0.0.1:0"),
    ];
    let loaded = load(&Sources { file: None, environment: Vec::new(), flags })?;
    server::start(&loaded, Process::default()).map_err(|error| match error {
        StartError::Configuration(text) | StartError::System(text) => {
            Failure::Failed(format!("no server runs here, and none can be started: {text}"))
        }
    })
}
