//! `floe sessions`: the live allocations of the running server.

use std::io::{self, IsTerminal as _};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::running::{RunningServer, ServerArgs, bytes, duration, encoded};
use super::{Failure, print, say};

/// Clears the screen and goes to its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// `floe sessions …`
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Only those of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those with this text in id, user or addresses.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Which come first.
    #[arg(long, default_value = "newest", value_parser = ["newest", "bytes"])]
    sort: String,
    /// How many, 1 to 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Look again every so many seconds until stopped.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
    /// Print one JSON object; with --watch one a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let server = args.server.find()?;
    let path = path(args);
    let Some(seconds) = args.watch else {
        let sessions = server.json("GET", &path)?;
        say(&if args.json { format!("{sessions:#}\n") } else { table(&sessions) });
        return Ok(());
    };
    while look(&server, &path, args.json)? {
        thread::sleep(Duration::from_secs(seconds));
    }
    Ok(())
}

/// Prints them; whether anybody reads that.
fn look(server: &RunningServer, path: &str, json: bool) -> Result<bool, Failure> {
    let sessions = server.json("GET", path)?;
    let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
    let shown = print(&if json { format!("{sessions}\n") } else { format!("{clear}{}", table(&sessions)) });
    Ok(shown.is_ok())
}

fn path(args: &Args) -> String {
    let mut path = format!("/api/sessions?limit={}", args.limit);
    if args.sort == "bytes" {
        path.push_str("&sort=bytes");
    }
    for (name, value) in [("user", &args.user), ("search", &args.search)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}

fn table(answer: &Value) -> String {
    let text =
        |value: &Value| value.as_str().unwrap_or("?").chars().filter(|c| !c.is_control()).collect::<String>();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let sessions: &[Value] = answer["sessions"].as_array().map_or(&[], Vec::as_slice);
    let mut rows = vec![["ID", "USER", "CLIENT", "RELAY", "AGE", "ENDS IN", "UP", "DOWN"].map(str::to_owned)];
    rows.extend(sessions.iter().map(|session| {
        let relays = session["relays"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
        [
            text(&session["id"]),
            text(&session["user"]),
            format!("{} {}", text(&session["transport"]), text(&session["client"])),
            relays.join(" "),
            duration(number(&session["seconds"])),
            duration(number(&session["expires_in"])),
            bytes(number(&session["up"]["bytes"])),
            bytes(number(&session["down"]["bytes"])),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    let (matched, total) = (number(&answer["matched"]), number(&answer["total"]));
    table.push_str(&format!("{} shown, {matched} matched, {total} live\n", sessions.len()));
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_and_no_control_characters() {
        let one = json!({
            "id": "0-1-1", "user": "a\u{1b}[31mb", "transport": "udp", "client": "192.0.2.1:5000",
            "relays": ["198.51.100.1:50000", "[2001:db8::1]:50000"], "seconds": 61, "expires_in": 599,
            "up": {"packets": 1, "bytes": 1500}, "down": {"packets": 0, "bytes": 0},
        });
        let shown = table(&json!({ "total": 7, "matched": 1, "sessions": [one] }));
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("0-1-1"), "{shown}");
        assert!(lines[1].contains("1 min 01 s") && lines[1].contains("1.5 kB"), "{shown}");
        assert!(!shown.contains('\u{1b}'));
        assert_eq!(lines[2], "1 shown, 1 matched, 7 live");
    }
}
