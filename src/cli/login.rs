//! The flags that `floe pair`, `check` and `bench` share: who logs in to a server,
//! over what, and who may vouch for it.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Failure;
use crate::auth;
use crate::client::Credentials;
use crate::client::transport::Transport;
use crate::client::url::ServerUrl;
use crate::net::Clock;

/// How long credentials hold that are made here: far longer than a run.
const LAST: Duration = Duration::from_secs(3600);

/// Who logs in.
#[derive(clap::Args, Debug)]
pub(super) struct LoginArgs {
    /// User of the server; default: time-limited credentials of the running local server
    #[arg(long, value_name = "NAME", env = "TURN_USERNAME", allow_hyphen_values = true)]
    username: Option<String>,
    /// Password of that user
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "TURN_PASSWORD",
        hide_env_values = true,
        allow_hyphen_values = true,
        requires = "username"
    )]
    password: Option<String>,
    /// Shared secret of the server, to make time-limited credentials from
    #[arg(
        long,
        value_name = "SECRET",
        env = "TURN_SECRET",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    secret: Option<String>,
}

/// What [`LoginArgs`] say.
pub(super) enum Given<'a> {
    Credentials(Credentials),
    /// Shared, and the user to make credentials for.
    Secret(&'a str, Option<&'a str>),
    Nothing,
}

/// How the server is reached.
#[derive(clap::Args, Debug)]
pub(super) struct WayArgs {
    /// Transport to the server; default: what the URL says, else udp
    #[arg(long, value_parser = PossibleValuesParser::new(["udp", "tcp", "tls", "dtls"]).try_map(|t| t.parse::<Transport>()))]
    pub(super) transport: Option<Transport>,
    /// Certificate authorities that may vouch for the server over TLS and DTLS, PEM; default: the system's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

impl LoginArgs {
    /// One that is on the command line. The environment may have them for other
    /// commands, which is why clap's conflicts, that count it, won't do.
    pub(super) fn flag(&self) -> Option<&'static str> {
        let given = |variable: &str, value: &Option<String>| {
            value.is_some() && *value != std::env::var(variable).ok()
        };
        [
            ("--username", given("TURN_USERNAME", &self.username)),
            ("--password", given("TURN_PASSWORD", &self.password)),
            ("--secret", given("TURN_SECRET", &self.secret)),
        ]
        .into_iter()
        .find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// # Errors
    /// Which flag is missing, or one too many.
    pub(super) fn given(&self) -> Result<Given<'_>, Failure> {
        match (&self.username, &self.password, &self.secret) {
            (_, Some(_), Some(_)) => Err(Failure::Wrong(
                "a secret makes the password: give --secret or --password, not both \
                 (TURN_SECRET and TURN_PASSWORD count too)"
                    .to_owned(),
            )),
            (Some(name), Some(word), None) if name.is_empty() || word.is_empty() => {
                Err(Failure::Wrong("username and password must not be empty".to_owned()))
            }
            (Some(username), Some(password), None) => {
                Ok(Given::Credentials(Credentials { username: username.clone(), password: password.clone() }))
            }
            (user, None, Some(secret)) => Ok(Given::Secret(secret, user.as_deref())),
            (Some(_), None, None) => {
                Err(Failure::Wrong("--username needs --password, or --secret".to_owned()))
            }
            (None, _, None) => Ok(Given::Nothing),
        }
    }
}

impl WayArgs {
    /// What both the flag and this URL of the user's say; `None`: neither does.
    pub(super) fn wanted(&self, url: Option<&ServerUrl>) -> Result<Option<Transport>, Failure> {
        match (self.transport, url.and_then(|url| url.transport), url) {
            (Some(flag), Some(named), Some(url)) if flag != named => {
                Err(Failure::Wrong(format!("--transport {flag} contradicts {url}")))
            }
            (flag, named, _) => Ok(flag.or(named)),
        }
    }
}

/// Time-limited credentials of this user from a shared secret.
pub(super) fn mint(secret: &str, user: &str) -> Result<Credentials, Failure> {
    let secret = auth::Secret::new("--secret", secret);
    let minted = auth::mint(&secret, Some(user), LAST, Clock::start().now().unix)
        .map_err(|error| Failure::Wrong(error.to_string()))?;
    Ok(Credentials { username: minted.username, password: minted.password })
}
