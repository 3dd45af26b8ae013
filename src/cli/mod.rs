//! The command line: one file a command, each of which reads its arguments,
//! calls what does the work, and prints. No logic lives here, and nothing else
//! prints or exits.
//!
//! Results go to stdout, everything else to stderr, as `floe: …`. Exit status:
//! 0 good, 1 the thing asked for failed, 2 wrong usage or configuration.
//!
//! Called by `main`.

mod banner;
#[cfg(feature = "client")]
mod bench;
#[cfg(feature = "client")]
mod check;
mod config;
mod credentials;
mod healthcheck;
mod kick;
mod logging;
#[cfg(feature = "client")]
mod login;
mod manual;
#[cfg(feature = "client")]
mod pair;
mod reload;
mod running;
mod serve;
mod service_manager;
mod sessions;
mod sources;
mod status;
#[cfg(feature = "client")]
mod surroundings;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::config::Invalid;

const EXAMPLES: &str = "\
Examples:
  floe                              serve with no configuration, and print how to use it
  floe serve --config floe.toml     serve as a file says
  floe --external-address 203.0.113.7
                                    serve behind NAT
  floe --set listen.udp='[\"127.0.0.1:3478\"]' --set log.level=debug
                                    serve with some keys changed
  floe config check floe.toml       is it right?

Exit status: 0 good, 1 failed, 2 wrong usage or configuration.";

/// STUN and TURN for self-hosted WebRTC. Without a command it serves.
#[derive(Parser, Debug)]
#[command(name = "floe", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve until told to stop (what floe does without a command).
    Serve(serve::Args),
    #[cfg(feature = "client")]
    Pair(pair::Args),
    #[cfg(feature = "client")]
    Check(check::Args),
    #[cfg(feature = "client")]
    Bench(Box<bench::Args>),
    /// Check a configuration, show the one in effect, or take over coturn's.
    Config(config::Args),
    /// Make a login for a client: time-limited credentials, or an access token.
    Credentials(credentials::Args),
    /// Wait until the running server is ready, and say how it is.
    Status(status::Args),
    /// List the live allocations of the running server.
    Sessions(sessions::Args),
    /// End the allocations of a user, or one by its id.
    Kick(kick::Args),
    /// Let the running server take no new allocations; live ones go on.
    Drain(running::ServerArgs),
    /// Print the address of its web page with this run's token in it.
    Page(running::ServerArgs),
    /// Let the running server read its configuration again, without a dropped call.
    Reload(reload::Args),
    /// Show what the running server logs, or change it until the next reload.
    Loglevel(reload::LevelArgs),
    /// Exit with 0 when the running server answers; for containers.
    Healthcheck(healthcheck::Args),
    /// Print the manual page.
    Man,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Why a command did not succeed; its text is for people, one problem a line.
#[derive(Debug)]
enum Failure {
    /// The thing asked for failed. Exit status 1.
    Failed(String),
    /// Wrong usage or configuration. Exit status 2.
    Wrong(String),
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Wrong(invalid.to_string())
    }
}

/// Does what the command line asks for; `arguments` begin with the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Coloured where the terminal can.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return ExitCode::from(2);
        }
        Err(error) => {
            let text = error.render().to_string();
            return status(Err(Failure::Wrong(text.strip_prefix("error: ").unwrap_or(&text).to_owned())));
        }
    };
    status(match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        #[cfg(feature = "client")]
        Some(Command::Pair(args)) => pair::run(&args),
        #[cfg(feature = "client")]
        Some(Command::Check(args)) => check::run(&args),
        #[cfg(feature = "client")]
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Credentials(args)) => credentials::run(&args),
        Some(Command::Status(args)) => status::run(&args),
        Some(Command::Sessions(args)) => sessions::run(&args),
        Some(Command::Kick(args)) => kick::run(&args),
        Some(Command::Drain(args)) => kick::drain(&args),
        Some(Command::Page(args)) => credentials::page(&args),
        Some(Command::Reload(args)) => reload::run(&args),
        Some(Command::Loglevel(args)) => reload::level(&args),
        Some(Command::Healthcheck(args)) => healthcheck::run(&args),
        Some(Command::Man) => manual::man::<Cli>(),
        Some(Command::Completions { shell }) => manual::completions::<Cli>(shell),
    })
}

fn status(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => {
            complain(&text);
            ExitCode::from(1)
        }
        Err(Failure::Wrong(text)) => {
            complain(&text);
            ExitCode::from(2)
        }
    }
}

/// Prints a result. A reader who has gone (`floe … | head`) is no error.
fn say(text: &str) {
    let _ = print(text);
}

/// The same, for who goes on until nobody reads.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Prints each line to stderr as `floe: …`.
fn complain(text: &str) {
    let mut lines = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        lines.push_str("floe: ");
        lines.push_str(line);
        lines.push('\n');
    }
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

#[cfg(test)]
#[path = "mod_test.rs"]
mod tests;
