//! `floe check`: the flags, who logs in how, and how the answer is shown.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::login::{Given, LoginArgs, WayArgs};
use super::surroundings::{GIVE, Surroundings};
use super::{Failure, logging, say};
use crate::auth;
use crate::client::Credentials;
use crate::client::check::local::{self, Plan};
use crate::client::check::report::Report;
use crate::client::check::{self, Login, Options, Progress, Server};
use crate::client::url::ServerUrl;
use crate::config::{self, FILE_VARIABLE, Sources};
use crate::relay::UnixTime;

/// Whom time-limited credentials are made for.
const USER: &str = "floe-check";

/// Is a STUN or TURN server reachable and right, seen from here?
///
/// Every address and transport is tried as a client would: connection and certificate, Binding, login, allocation,
/// permission, channel, packets there and back, relay ports through the firewall, peers that should be refused. Each
/// line says ok, warning or failed, why, and what to do. Exit status: 0 it works (warnings too, unless --strict), 1 it
/// does not, 2 wrong usage.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// turn:HOST[:PORT][?transport=udp|tcp], turns:HOST[:PORT][?transport=udp], stun:HOST[:PORT] or stuns:HOST[:PORT]; default: every
    /// listener of the running local server
    #[arg(value_name = "URL", value_parser = server)]
    urls: Vec<Server>,
    /// Look at this machine and the configuration instead, and send nothing: descriptors, buffers, connection
    /// tracking, offloads, clock, settings, files
    #[arg(long, conflicts_with_all = ["urls", "transport", "ca", "timeout"])]
    local: bool,
    /// Configuration that --local looks at [env: FLOE_CONFIG]; default: every key's default
    #[arg(long, value_name = "FILE", requires = "local")]
    config: Option<PathBuf>,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    way: WayArgs,
    /// How long the server may take for an answer, seconds
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..=60), value_name = "SECONDS")]
    timeout: u64,
    /// Warnings are failures
    #[arg(long)]
    strict: bool,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // What webrtc-rs has to say about its own attempts would only disturb.
    logging::plain("off,floe=warn")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start threads: {error}")))?;
    if args.local {
        if let Some(flag) = args.login.flag() {
            return Err(Failure::Wrong(format!(
                "{flag} is for a server, and --local asks none: leave one out"
            )));
        }
        return args.tell(&runtime.block_on(args.local())?);
    }
    let report = runtime.block_on(async {
        let options = args.options().await?;
        let mut screen = Screen::new(args.json);
        let report = check::run(&options, &mut |progress| screen.show(progress)).await;
        screen.bar.finish_and_clear();
        Ok::<Report, Failure>(report)
    })?;
    args.tell(&report)
}

impl Args {
    fn tell(&self, report: &Report) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(report)
                .map_err(|error| Failure::Failed(format!("cannot write the report: {error}")))?;
            say(&format!("{text}\n"));
        } else {
            say(&format!("\n{}", report.summary()));
        }
        // The report has said what failed.
        let good = report.ok && (report.warnings == 0 || !self.strict);
        if good { Ok(()) } else { Err(Failure::Failed(String::new())) }
    }

    async fn local(&self) -> Result<Report, Failure> {
        let variable = || std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty());
        let file = self.config.clone().or_else(|| variable().map(PathBuf::from));
        let sources =
            Sources { file: file.clone(), environment: std::env::vars_os().collect(), flags: Vec::new() };
        let loaded = config::load(&sources)?;
        let pid = Surroundings::find(true).await?.0.pid;
        let plan = Plan { loaded: &loaded, file: file.as_deref(), pid };
        let mut screen = Screen::new(self.json);
        let report = local::run(&plan, &mut |progress| screen.show(progress));
        screen.bar.finish_and_clear();
        Ok(report)
    }

    /// The flags, completed by what runs here. The credentials of a local server
    /// are used for no other.
    async fn options(&self) -> Result<Options, Failure> {
        let (surroundings, _) = Surroundings::find(true).await?;
        let wrong = |text: &str| Failure::Wrong(text.to_owned());
        let mut servers = match self.urls.is_empty() {
            false => self.urls.clone(),
            true => own_servers(&surroundings),
        };
        if servers.is_empty() {
            return Err(wrong("no running server of this user is found: give turn:HOST:PORT"));
        }
        let wanted = self.way.transport;
        match self.urls.is_empty() {
            true => servers.retain(|server| wanted.is_none_or(|wanted| server.url.transport == Some(wanted))),
            false => {
                for Server { url, .. } in &mut servers {
                    url.transport = self.way.wanted(Some(url))?;
                }
            }
        }
        if servers.is_empty() {
            return Err(wrong("the running server does not listen on that transport"));
        }
        let is_local = servers.iter().all(|server| surroundings.listens_at(&server.url));
        let login = match self.login.given()? {
            Given::Credentials(credentials) => Login::As(credentials),
            Given::Secret(secret, user) => minted(secret, user.unwrap_or(USER))?,
            Given::Nothing if is_local => match surroundings.mint(USER).await {
                Ok(credentials) => Login::As(credentials),
                Err(none) => Login::None(none.to_string()),
            },
            Given::Nothing => Login::None(format!("no credentials: {GIVE}")),
        };
        Ok(Options { servers, login, ca: self.way.ca.clone(), patience: Duration::from_secs(self.timeout) })
    }
}

/// Every listener of the running server.
fn own_servers(surroundings: &Surroundings) -> Vec<Server> {
    let of = |url: &ServerUrl| Server { url: url.clone(), stun: false, name: surroundings.tls_name.clone() };
    surroundings.servers.iter().map(of).collect()
}

/// Makes credentials that end whenever it is asked to.
fn minted(secret: &str, user: &str) -> Result<Login, Failure> {
    let secret = auth::Secret::new("--secret", secret);
    let user = user.to_owned();
    let mint = move |ends: u64| {
        let made = auth::mint(&secret, Some(&user), Duration::ZERO, UnixTime::from_secs(ends));
        made.map(|made| Credentials { username: made.username, password: made.password })
    };
    // What is wrong with a name is wrong at all times.
    mint(0).map_err(|error| Failure::Wrong(error.to_string()))?;
    let empty = || Credentials { username: String::new(), password: String::new() };
    Ok(Login::Minted(Box::new(move |ends| mint(ends).unwrap_or_else(|_| empty()))))
}

/// Shows each finding when it is there, and on a terminal what is looked at.
struct Screen {
    bar: ProgressBar,
    json: bool,
    marks: bool,
}

impl Screen {
    fn new(json: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, json, marks: std::io::stdout().is_terminal() }
    }

    fn show(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Step(step) => self.bar.set_message(format!("{step} …")),
            Progress::At(_) | Progress::Found(_) if self.json => {}
            Progress::At(at) => self.bar.suspend(|| say(&format!("{at}\n"))),
            Progress::Found(finding) => self.bar.suspend(|| say(&finding.render(self.marks))),
        }
    }
}

/// A server, by a URL of TURN or STUN.
fn server(text: &str) -> Result<Server, String> {
    let stun = text.strip_prefix("stun").map(|rest| format!("turn{rest}"));
    let url = stun.as_deref().unwrap_or(text).parse()?;
    Ok(Server { url, stun: stun.is_some(), name: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::transport::Transport;

    #[test]
    fn a_stun_url_is_one_where_nobody_logs_in() {
        let stun = server("stun:stun.example.org").unwrap();
        assert!(stun.stun && stun.url.port == 3478 && stun.url.transport.is_none());
        let stuns = server("stuns:stun.example.org").unwrap();
        assert!(stuns.stun && stuns.url.transport == Some(Transport::Tls));
        assert!(!server("turn:turn.example.org").unwrap().stun);
        assert!(server("http://turn.example.org").is_err());
    }

    #[test]
    fn credentials_end_when_they_are_told_to() {
        let Ok(Login::Minted(mint)) = minted("secret", "alice") else { panic!("a name that is good") };
        assert_eq!(mint(1_790_000_000).username, "1790000000:alice");
        assert!(minted("secret", &"a".repeat(600)).is_err());
    }
}
