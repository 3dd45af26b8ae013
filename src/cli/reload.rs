//! `floe reload` and `floe loglevel`: other settings for the running server.

use serde_json::{Value, json};

use super::running::ServerArgs;
use super::{Failure, complain, say};

/// `floe reload …`
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// `floe loglevel …`
#[derive(clap::Args, Debug)]
pub(super) struct LevelArgs {
    /// error, warn, info, debug or trace, or a list as "info,floe::net=debug";
    /// without it, the one in force is shown.
    level: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let answer = args.server.find()?.json("POST", "/api/reload")?;
    if args.json {
        say(&format!("{answer:#}\n"));
        return Ok(());
    }
    complain(&texts(&answer["warnings"]).join("\n"));
    say(&told(&answer));
    Ok(())
}

fn told(answer: &Value) -> String {
    let mut lines = String::new();
    let mut line = |text: String| lines.extend([text.as_str(), "\n"]);
    texts(&answer["changed"]).iter().for_each(|key| line(format!("changed: {key}")));
    texts(&answer["certificates"]).iter().for_each(|file| line(format!("read: {file}")));
    texts(&answer["needs_restart"])
        .iter()
        .for_each(|key| line(format!("takes a restart: {key}; the old value stays until then")));
    if lines.is_empty() { "nothing has changed\n".to_owned() } else { lines }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

pub(super) fn level(args: &LevelArgs) -> Result<(), Failure> {
    let server = args.server.find()?;
    let answer = match &args.level {
        Some(level) => server.send("PUT", "/api/log-level", &json!({ "level": level }))?,
        None => server.json("GET", "/api/log-level")?,
    };
    match args.json {
        true => say(&format!("{answer:#}\n")),
        false => say(&format!("{}\n", answer["level"].as_str().unwrap_or_default())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_told_by_what_it_did() {
        let answer = json!({
            "changed": ["auth.users"],
            "certificates": ["/etc/floe/chain.pem"],
            "needs_restart": ["realm"],
        });
        let text = "changed: auth.users\nread: /etc/floe/chain.pem\n\
                    takes a restart: realm; the old value stays until then\n";
        assert_eq!(told(&answer), text);
        assert_eq!(told(&json!({})), "nothing has changed\n");
    }
}
