//! `floe config check` and `floe config show`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::sources::SourceArgs;
use super::{Failure, complain, say};
use crate::config::{Effective, Invalid, Loaded, Problem, Sources, load};

/// Column of the origins in what `show` prints.
const ORIGIN_COLUMN: usize = 44;

/// `floe config …`
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Say what is wrong with a configuration; exit status 2 if it can't be used.
    ///
    /// The file is judged alone, without this machine's addresses and
    /// environment. Without FILE, what `floe serve` would use now is judged.
    Check {
        /// Configuration file.
        file: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print every key with the value in effect and where it comes from.
    Show {
        /// Configuration file; the same as --config FILE.
        #[arg(conflicts_with = "config")]
        file: Option<PathBuf>,
        #[command(flatten)]
        sources: SourceArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check { file, json } => check(file.clone(), *json),
        Command::Show { file, sources, json } => {
            let mut sources = sources.sources();
            sources.file = file.clone().or(sources.file);
            if sources.file.is_none() && !json {
                complain("no configuration file is given: defaults, environment and flags alone");
            }
            show(&sources, *json)
        }
    }
}

fn check(file: Option<PathBuf>, json: bool) -> Result<(), Failure> {
    let sources = match file {
        Some(file) => Sources { file: Some(file), ..Sources::default() },
        None => SourceArgs::default().sources(),
    };
    let outcome = load(&sources);
    if json {
        say(&format!("{:#}\n", verdict(&sources, &outcome)));
    }
    match outcome {
        Ok(loaded) => {
            if !json {
                complain(&lines(&loaded.warnings));
                let name = sources
                    .file
                    .as_ref()
                    .map_or("what there is without a file".into(), |f| f.to_string_lossy());
                say(&format!("{name} is good{}\n", counted(loaded.warnings.len())));
            }
            Ok(())
        }
        // The object has said it all.
        Err(_) if json => Err(Failure::Wrong(String::new())),
        Err(invalid) => Err(invalid.into()),
    }
}

fn verdict(sources: &Sources, outcome: &Result<Loaded, Invalid>) -> Value {
    let (good, problems) = match outcome {
        Ok(loaded) => (true, &loaded.warnings),
        Err(Invalid(problems)) => (false, problems),
    };
    json!({ "file": sources.file, "good": good, "problems": problems })
}

fn counted(warnings: usize) -> String {
    match warnings {
        0 => String::new(),
        1 => ", with 1 warning".to_owned(),
        many => format!(", with {many} warnings"),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn show(sources: &Sources, json: bool) -> Result<(), Failure> {
    let loaded = load(sources)?;
    complain(&lines(&loaded.warnings));
    let effective = loaded.effective();
    say(&if json { format!("{:#}\n", as_json(&effective)) } else { as_toml(&effective) });
    Ok(())
}

/// TOML again, with the origins as comments.
fn as_toml(effective: &[Effective<'_>]) -> String {
    let mut text = String::new();
    let mut section = "";
    for key in effective {
        if key.section != section {
            section = key.section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        let line = format!("{} = {}", key.name, key.value);
        text.push_str(&format!("{line:ORIGIN_COLUMN$} # {}\n", key.origin));
    }
    text
}

/// `{ "section": { "key": { "value": …, "origin": { "from": … } } } }`
fn as_json(effective: &[Effective<'_>]) -> Value {
    let mut all = Map::new();
    for key in effective {
        let shown = json!({ "value": key.value, "origin": key.origin });
        match key.section {
            "" => drop(all.insert(key.name.to_owned(), shown)),
            section => all.entry(section).or_insert_with(|| json!({}))[key.name] = shown,
        }
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flag};

    fn sources(flags: &[(&str, &str)]) -> Sources {
        let flag = |&(key, value): &(&str, &str)| Flag {
            name: "--set".to_owned(),
            key: key.to_owned(),
            values: vec![value.to_owned()],
        };
        Sources { flags: flags.iter().map(flag).collect(), ..Sources::default() }
    }

    #[test]
    fn what_is_shown_is_a_configuration_again() {
        let loaded = load(&sources(&[("realm", "a # b"), ("peers.deny", "203.0.113.0/24")])).unwrap();
        let text = as_toml(&loaded.effective());
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), loaded.config);
        assert!(text.starts_with("realm = \"a # b\"                              # --set\n"), "{text}");
        assert!(
            text.contains("\n[log]\nlevel = \"info\"                               # default\n"),
            "{text}"
        );
    }

    #[test]
    fn json_has_value_and_origin_of_each_key() {
        let loaded =
            load(&sources(&[("log.level", "debug"), ("auth.secrets", "a0b1c2d3e4f5a0b1c2d3")])).unwrap();
        let shown = as_json(&loaded.effective());
        assert_eq!(
            shown["log"]["level"],
            json!({ "value": "debug", "origin": { "from": "flag", "name": "--set" } })
        );
        assert_eq!(shown["realm"], json!({ "value": "floe", "origin": { "from": "default" } }));
        assert_eq!(shown["auth"]["secrets"]["value"], json!(["…"]));
    }

    #[test]
    fn a_verdict_has_every_problem() {
        let wrong = sources(&[("drain-timeout", "soon")]);
        assert_eq!(
            verdict(&wrong, &load(&wrong)),
            json!({
                "file": null,
                "good": false,
                "problems": [{
                    "severity": "error",
                    "origin": { "from": "flag", "name": "--set" },
                    "message": "drain-timeout: found the text \"soon\"; write a whole number of seconds, as 60",
                }],
            })
        );
        assert_eq!(verdict(&sources(&[]), &load(&sources(&[])))["good"], true);
    }
}
