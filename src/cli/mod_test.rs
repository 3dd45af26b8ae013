use clap::CommandFactory as _;

use super::*;

fn parse(line: &[&str]) -> Cli {
    Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn floe_alone_is_floe_serve() {
    let alone = parse(&["floe", "--realm", "a", "--set", "log.level=debug", "--relay-address", "::1"]);
    let serve =
        parse(&["floe", "serve", "--realm", "a", "--set", "log.level=debug", "--relay-address", "::1"]);
    assert!(alone.command.is_none());
    let Some(Command::Serve(args)) = serve.command else { panic!("serve") };
    assert_eq!(format!("{args:?}"), format!("{:?}", alone.serve));
}

#[test]
fn flags_become_values_of_keys() {
    let line = [
        "floe",
        "--external-address",
        "203.0.113.7",
        "--external-address",
        "203.0.113.8",
        "--set",
        "a.b=c=d",
    ];
    let flags = parse(&line).serve.sources.flags();
    let shown: Vec<_> = flags.iter().map(|f| (f.name.as_str(), f.key.as_str(), f.values.join(" "))).collect();
    assert_eq!(
        shown,
        [
            ("--set", "a.b", "c=d".to_owned()),
            ("--external-address", "relay.external-addresses", "203.0.113.7 203.0.113.8".to_owned()),
        ]
    );
}

#[test]
fn what_is_no_assignment_is_refused() {
    let error = Cli::try_parse_from(["floe", "--set", "log.level"]).unwrap_err().to_string();
    assert!(error.contains("write SECTION.KEY=VALUE, as log.level=debug"), "{error}");
}

/// Tokens of a run do so once in 64 times.
#[test]
fn secrets_may_begin_with_a_hyphen() {
    let mut seen = 0;
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        for flag in command.get_arguments() {
            let value = flag.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
            if matches!(value, Some("PASSWORD" | "SECRET" | "TOKEN" | "KEY")) && !flag.is_positional() {
                seen += 1;
                let name = command.get_name();
                assert!(flag.is_allow_hyphen_values_set(), "floe {name} --{}", flag.get_id());
            }
        }
    }
    assert!(seen > 3, "{seen} flags for secrets");
}
