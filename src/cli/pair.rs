//! `floe pair`: the flags, and how the answer is shown.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::login::{Given, LoginArgs, WayArgs, mint};
use super::running::admin_url;
use super::surroundings::{GIVE, Surroundings, USER};
use super::{Failure, complain, logging, say};
use crate::client::pair::signaling::Room;
use crate::client::pair::{self, Meeting, Options, Policy, Role};
use crate::client::transport::Transport;
use crate::client::url::ServerUrl;

/// A good verdict about the wrong server would be worse than none.
const NO_SERVER: &str = "no running server of this user is found: one is started on loopback for the occasion
(name yours by --server, or give FLOE_STATE_DIRECTORY as it has it)";

/// Connect two webrtc-rs peers through a TURN server and check data and media
///
/// Without --room both peers run here. With it, run the command on two machines with the same
/// room, or enter that room on the web page with a browser; each checks its own side. Exit status: 0 every step was seen, 1 one was not, 2 wrong usage.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// TURN server, turn:HOST:PORT[?transport=udp|tcp] or turns:HOST:PORT[?transport=udp]; default: the running local server, else one
    /// started here on loopback
    #[arg(long, value_name = "URL")]
    server: Option<ServerUrl>,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    way: WayArgs,
    /// Which candidates ICE may use
    #[arg(long, default_value = "relay",
          value_parser = PossibleValuesParser::new(["relay", "all"]).try_map(|p| p.parse::<Policy>()))]
    policy: Policy,
    /// This peer's part in the room; default: the one that is there first offers
    #[arg(long, requires = "room",
          value_parser = PossibleValuesParser::new(["offer", "answer"]).map(|role| role_of(&role)))]
    role: Option<Role>,
    /// Room in which to meet the other peer
    #[arg(long, value_parser = room_name, value_name = "NAME")]
    room: Option<String>,
    /// Signaling server, ws://HOST:PORT; default: the admin address
    #[arg(long, requires = "room", value_parser = signal_url, value_name = "URL")]
    signal: Option<String>,
    /// Token for the room; default: the running server's
    #[arg(long, requires = "room", value_name = "TOKEN", allow_hyphen_values = true)]
    token: Option<String>,
    /// floe's admin address, http://HOST:PORT, to compare its count of bytes
    #[arg(long, value_name = "URL", value_parser = admin_url)]
    admin: Option<String>,
    /// How long to wait for the other peer, and then for all that follows, seconds
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u64).range(1..=3_600), value_name = "SECONDS")]
    timeout: u64,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Also what webrtc-rs logs, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// The flags, completed by the surroundings. What belongs to a local server
/// (credentials, admin address) is used for no other.
///
/// # Errors
/// Which flag is missing or contradicts another; exit status 2.
fn resolve(args: &Args, surroundings: &Surroundings) -> Result<Options, Failure> {
    let wrong = |text: &str| Failure::Wrong(text.to_owned());
    let named = args.server.clone();
    let wanted = args.way.wanted(named.as_ref())?;
    let is_local = named.is_none();
    let server = match named {
        Some(server) => server,
        None => {
            let speaks = |url: &&ServerUrl| {
                wanted.is_none_or(|wanted| url.transport.unwrap_or(Transport::Udp) == wanted)
            };
            let found = surroundings.servers.iter().find(speaks);
            found
                .cloned()
                .ok_or_else(|| wrong("the running server does not listen on that transport; give --server"))?
        }
    };
    let transport = wanted.or(server.transport).unwrap_or(Transport::Udp);

    let credentials = match args.login.given()? {
        Given::Credentials(credentials) => credentials,
        Given::Secret(secret, user) => mint(secret, user.unwrap_or(USER))?,
        Given::Nothing => match &surroundings.credentials {
            Some(credentials) if is_local => credentials.clone()?,
            _ => return Err(wrong(&format!("no credentials: {GIVE}"))),
        },
    };
    let admin = args.admin.clone().or_else(|| surroundings.admin.clone().filter(|_| is_local));
    let meeting = match &args.room {
        None => Meeting::Here,
        Some(name) => {
            let own = surroundings.admin.as_ref().or(admin.as_ref());
            let own = own.map(|admin| format!("ws://{}", admin.strip_prefix("http://").unwrap_or(admin)));
            // The token is the local server's: no other may hear it.
            let token = args.token.clone().or_else(|| match &args.signal {
                Some(signal) if Some(signal) != own.as_ref() => None,
                _ => surroundings.token.clone(),
            });
            let server =
                args.signal.clone().or(own).ok_or_else(|| wrong("--room needs --signal ws://HOST:PORT"))?;
            Meeting::Room { room: Room { server, name: name.clone(), token }, role: args.role }
        }
    };
    let timeout = Duration::from_secs(args.timeout);
    let (ca, policy) = (args.way.ca.clone(), args.policy);
    Ok(Options { server, transport, ca, credentials, policy, meeting, admin, timeout })
}

/// Runs the pair and shows what happens while it does.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    logging::plain(pair::log_directives(args.verbose))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start threads: {error}")))?;
    runtime.block_on(async {
        let (surroundings, own) = Surroundings::find(args.server.is_some()).await?;
        if own.is_some() {
            complain(NO_SERVER);
        }
        let outcome = match resolve(args, &surroundings) {
            Ok(options) => run_pair(options, args.json).await,
            Err(wrong) => Err(wrong),
        };
        if let Some(mut own) = own {
            own.stop().await;
            complain("that was a server started for the occasion, not one of yours");
        }
        outcome
    })
}

async fn run_pair(options: Options, json: bool) -> Result<(), Failure> {
    let report = pair::run(options, move |event| {
        if !json {
            say(&format!("{event}\n"));
        }
    })
    .await;
    if json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::Failed(format!("cannot write the report: {error}")))?;
        say(&format!("{text}\n"));
    } else {
        say(&format!("\n{}", report.render(std::io::stdout().is_terminal())));
    }
    // The report has said what failed.
    if report.ok { Ok(()) } else { Err(Failure::Failed(String::new())) }
}

fn role_of(role: &str) -> Role {
    if role == "offer" { Role::Offer } else { Role::Answer }
}

fn room_name(name: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits && plain {
        Ok(name.to_owned())
    } else {
        Err("a room's name is 1 to 64 letters, digits, '-', '_' or '.'".to_owned())
    }
}

fn signal_url(url: &str) -> Result<String, String> {
    match url.strip_prefix("ws://") {
        Some(rest) if !rest.is_empty() => Ok(url.trim_end_matches('/').to_owned()),
        _ => Err("write ws://HOST:PORT (wss:// is not supported)".to_owned()),
    }
}

#[cfg(test)]
#[path = "pair_test.rs"]
mod tests;
