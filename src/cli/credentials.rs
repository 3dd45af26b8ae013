//! `floe credentials`: a login for a client, as the `iceServers` that a browser
//! takes: from the running server, or by a secret that is at hand. `floe page`: the
//! address of the web page with what lets an operator in. `floe serve` prints both
//! at a terminal; where its output is kept, whoever may read the runtime file asks
//! for them here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::running::{ServerArgs, encoded};
use super::sources::SourceArgs;
use super::{Failure, say};
use crate::admin::MAX_TTL;
use crate::auth::{self, OauthKey, Secret};
use crate::config::{Config, load};
use crate::net::OsRandom;
use crate::relay::UnixTime;
use crate::server;

/// `floe credentials …`
#[derive(clap::Args, Debug)]
#[command(
    mut_group("SourceArgs", |group| group.requires("offline")),
    mut_group("ServerArgs", |group| group.conflicts_with("offline"))
)]
pub(super) struct Args {
    /// Whom they are for; quotas count by it. Without it the running server makes a
    /// name up.
    #[arg(long, short, conflicts_with = "oauth")]
    user: Option<String>,
    /// For how long they are good, seconds.
    #[arg(long, short, value_name = "SECONDS", default_value_t = MAX_TTL, value_parser = clap::value_parser!(u64).range(1..))]
    lifetime: u64,
    /// Make an access token (RFC 7635) with this one of auth.oauth-keys, of the
    /// configuration.
    #[arg(long, value_name = "KID", requires = "offline")]
    oauth: Option<String>,
    /// Make them with the first of auth.secrets of the configuration, without the
    /// running server; --config, --set and the environment say which that is.
    #[arg(long)]
    offline: bool,
    /// Where clients reach the server, when it is not asked; may be repeated. Default:
    /// what the configuration says, with this machine's own addresses where it names
    /// none. What relay.discover would find out is not asked for.
    #[arg(long, value_name = "URL", requires = "offline")]
    url: Vec<String>,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Print one JSON object with the parts of it too.
    #[arg(long)]
    json: bool,
}

/// A login, and for how long.
struct Login {
    urls: Vec<String>,
    username: String,
    /// As `iceServers` has it: a text, or what an access token is made of.
    credential: Value,
    lifetime: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let login = if args.offline { made_here(args)? } else { asked(args)? };
    say(&format!("{:#}\n", if args.json { login.whole() } else { login.ice_servers() }));
    Ok(())
}

impl Login {
    fn ice_servers(&self) -> Value {
        let (stun, turn): (Vec<&String>, _) = self.urls.iter().partition(|url| url.starts_with("stun"));
        let mut servers = Vec::new();
        if !stun.is_empty() {
            servers.push(json!({ "urls": stun }));
        }
        let mut with = json!({ "urls": turn, "username": self.username, "credential": self.credential });
        if self.credential.is_object() {
            with["credentialType"] = "oauth".into();
        }
        servers.push(with);
        json!({ "iceServers": servers })
    }

    fn whole(&self) -> Value {
        let mut whole = self.ice_servers();
        whole["username"] = self.username.clone().into();
        whole["credential"] = self.credential.clone();
        whole["lifetime"] = self.lifetime.into();
        whole
    }
}

fn asked(args: &Args) -> Result<Login, Failure> {
    let server = args.server.find()?;
    let user = args.user.as_deref().map(|user| format!("&username={}", encoded(user))).unwrap_or_default();
    let answer = server.json("GET", &format!("/ice?ttl={}{user}", args.lifetime))?;
    let servers = || answer["iceServers"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let urls = servers().filter_map(|server| server["urls"].as_array()).flatten().filter_map(text).collect();
    let login = servers().find_map(|server| Some((text(&server["username"])?, server["credential"].clone())));
    let (username, credential) =
        login.ok_or_else(|| Failure::Failed("the server's answer has no credentials".to_owned()))?;
    // A key may have a shorter one than was asked for.
    let expiry = username.split(':').next().and_then(|expiry| expiry.parse::<u64>().ok()).unwrap_or_default();
    Ok(Login { urls, username, credential, lifetime: expiry.saturating_sub(now().secs()) })
}

pub(super) fn page(args: &ServerArgs) -> Result<(), Failure> {
    let server = args.find()?;
    match server.ask("GET", "/api/page")? {
        (404, _) => Err(Failure::Failed("the running server has no web page: see admin.page".to_owned())),
        _ => {
            say(&format!("{}\n", server.page()));
            Ok(())
        }
    }
}

fn now() -> UnixTime {
    UnixTime::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn made_here(args: &Args) -> Result<Login, Failure> {
    let config = load(&args.sources.sources())?.config;
    let urls = if args.url.is_empty() { server::urls_of(&config) } else { args.url.clone() };
    if urls.is_empty() {
        let text = "where clients reach the server can't be told from the configuration (a port or an address is \
                    found out at the start): give --url, or ask the running server, without --offline";
        return Err(Failure::Wrong(text.to_owned()));
    }
    let now = now();
    if let Some(kid) = &args.oauth {
        return access_token(&config, kid, (args.lifetime, now), urls);
    }
    let first = config.auth.secrets.first().ok_or_else(|| {
        Failure::Failed("auth.secrets is empty: there is no secret to make credentials with".to_owned())
    })?;
    let secret = Secret::new("first", first.secret.expose());
    let made = auth::mint(&secret, args.user.as_deref(), Duration::from_secs(args.lifetime), now)
        .map_err(|error| Failure::Wrong(format!("--user: {error}")))?;
    let lifetime = made.expires.secs().saturating_sub(now.secs());
    Ok(Login { urls, username: made.username, credential: made.password.into(), lifetime })
}

/// RFC 7635 §6.2, as the authorization server would make it.
fn access_token(
    config: &Config,
    kid: &str,
    (lifetime, now): (u64, UnixTime),
    urls: Vec<String>,
) -> Result<Login, Failure> {
    let key = config.auth.oauth_keys.iter().find(|key| key.kid == kid);
    let key =
        key.ok_or_else(|| Failure::Failed(format!("auth.oauth-keys has no key with the kid {kid:?}")))?;
    let wrong = |error: &dyn std::fmt::Display| Failure::Failed(format!("auth.oauth-keys: {error}"));
    let key = OauthKey::new(&key.settings()).map_err(|error| wrong(&error))?;
    let mut random = OsRandom::new().map_err(|error| wrong(&error))?;
    let seconds = u32::try_from(lifetime).unwrap_or(u32::MAX);
    let minted = key
        .mint(config.oauth_server_name(), seconds, now, &mut random)
        .map_err(|_| Failure::Failed(format!("the key {kid:?} is not valid now")))?;
    let credential = json!({
        "macKey": STANDARD.encode(&minted.mac_key),
        "accessToken": STANDARD.encode(&minted.token),
    });
    Ok(Login { urls, username: kid.to_owned(), credential, lifetime: seconds.into() })
}
