//! `floe config check`, `show` and `import-coturn`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::sources::SourceArgs;
use super::{Failure, complain, say};
use crate::config::{Effective, Invalid, Loaded, Problem, Sources, coturn, load, load_text};
use crate::net::OsRandom;

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
    /// Make a floe.toml out of coturn's turnserver.conf.
    ///
    /// Each line that has a counterpart becomes a key, with that line above it as
    /// a comment; every other line is listed with the reason. A secret or password
    /// that is printed in manuals is replaced by a new one, with a note: give it to
    /// the application. Run it where coturn runs: a certificate that is not there
    /// is left out. Exit status 1 if the result needs your hand before floe starts
    /// with it.
    ImportCoturn {
        /// coturn's configuration, usually /etc/turnserver.conf.
        file: PathBuf,
        /// Write the result here, readable by you alone; it must not exist yet.
        /// Without it, it is printed.
        #[arg(long, short)]
        output: Option<PathBuf>,
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
        Command::ImportCoturn { file, output, json } => import_coturn(file, output.as_deref(), *json),
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

fn import_coturn(file: &Path, output: Option<&Path>, json: bool) -> Result<(), Failure> {
    let text = fs::read(file).map_err(|error| Failure::Wrong(format!("{}: {error}", file.display())))?;
    // A comment may be in any encoding.
    let text = String::from_utf8_lossy(&text);
    let mut random =
        OsRandom::new().map_err(|error| Failure::Failed(format!("cannot get random bytes: {error}")))?;
    let imported = coturn::import(&file.to_string_lossy(), &text, &is_there, &mut random);
    let named = output.unwrap_or(Path::new("floe.toml"));
    let judged = load_text(named, &imported.toml);
    if let Some(output) = output {
        write_new(output, &imported.toml)
            .map_err(|error| Failure::Failed(format!("{}: {error}", output.display())))?;
    }
    let (Ok(Loaded { warnings: problems, .. }) | Err(Invalid(problems))) = &judged;
    if json {
        let whole = json!({
            "good": judged.is_ok(),
            "toml": imported.toml,
            "taken": imported.taken,
            "left-out": imported.left_out,
            "notes": imported.notes,
            "problems": problems,
        });
        say(&format!("{whole:#}\n"));
        return if judged.is_ok() { Ok(()) } else { Err(Failure::Failed(String::new())) };
    }
    if output.is_none() {
        say(&imported.toml);
    }
    for left in &imported.left_out {
        complain(&format!("{}:{}: {} is left out: {}", file.display(), left.line, left.key, left.why));
    }
    for note in &imported.notes {
        complain(&format!("note: {note}"));
    }
    complain(&lines(problems));
    let counted = format!("{} lines taken over, {} left out", imported.taken, imported.left_out.len());
    match (judged, output) {
        (Err(_), _) => {
            Err(Failure::Failed(format!("{counted}; floe does not start with this yet, see above")))
        }
        (Ok(_), Some(output)) => {
            complain(&format!("{counted}; start it with: floe serve --config {}", output.display()));
            Ok(())
        }
        (Ok(_), None) => {
            complain(&counted);
            Ok(())
        }
    }
}

/// Whether a file is there, read or not.
fn is_there(path: &Path) -> bool {
    !matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Secrets are in it, so nobody else may read it; and nothing is overwritten.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
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
