use clap::Parser;

use super::*;
use crate::client::Credentials;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, String> {
    let words = std::iter::once("pair").chain(line.split_whitespace());
    Command::try_parse_from(words).map(|command| command.args).map_err(|error| error.to_string())
}

fn own() -> Credentials {
    Credentials { username: "minted".to_owned(), password: "own".to_owned() }
}

fn running() -> Surroundings {
    Surroundings {
        servers: vec![
            "turn:127.0.0.1:3478".parse().unwrap(),
            "turn:127.0.0.1:3478?transport=tcp".parse().unwrap(),
        ],
        tls_name: None,
        credentials: Some(Ok(own())),
        admin: Some("http://127.0.0.1:8080".to_owned()),
        token: Some("t0k".to_owned()),
        pid: Some(1),
    }
}

fn resolved(line: &str) -> Result<Options, String> {
    resolve(&parse(line)?, &running()).map_err(|failure| match failure {
        Failure::Wrong(text) | Failure::Failed(text) => text,
    })
}

#[test]
fn without_flags_the_running_server_is_used_with_what_it_knows() {
    let options = resolved("").unwrap();
    assert_eq!(options.server.to_string(), "turn:127.0.0.1:3478");
    assert_eq!(options.transport, Transport::Udp);
    assert_eq!(options.credentials, own());
    assert_eq!(options.admin.as_deref(), Some("http://127.0.0.1:8080"));
    assert_eq!(options.meeting, Meeting::Here);
    assert_eq!(resolved("--transport tcp").unwrap().transport, Transport::Tcp);
}

#[test]
fn another_server_is_told_nothing_of_the_running_one() {
    let options = resolved("--server turn:10.0.0.1 --secret s").unwrap();
    let (expiry, user) = options.credentials.username.split_once(':').unwrap();
    assert!(expiry.parse::<u64>().is_ok() && user == USER, "{expiry}:{user}");
    assert_eq!(options.admin, None);
    assert!(resolved("--server turn:10.0.0.1").unwrap_err().contains("--secret"));

    let token = |line: &str| match resolved(line).unwrap().meeting {
        Meeting::Room { room, .. } => room.token,
        Meeting::Here => panic!("no room"),
    };
    assert_eq!(token("--room den").as_deref(), Some("t0k"));
    assert_eq!(token("--room den --signal ws://127.0.0.1:8080/").as_deref(), Some("t0k"));
    assert_eq!(token("--room den --signal ws://10.0.0.1:8080"), None);
    assert_eq!(token("--room den --signal ws://10.0.0.1:8080 --token x").as_deref(), Some("x"));
}

#[test]
fn wrong_usage_says_what_to_write() {
    for (line, told) in [
        ("--server turn:h?transport=udp --transport tcp --secret s", "contradicts"),
        ("--server turns:h --transport tcp --secret s", "contradicts"),
        ("--transport tls", "does not listen"),
        ("--transport dtls", "does not listen"),
        ("--transport sctp", "possible values: udp, tcp, tls, dtls"),
        ("--server turns:h?transport=udp --transport tls --secret s", "contradicts"),
        ("--role offer", "--room"),
        ("--room a/b", "letters"),
        ("--room a --signal wss://h", "ws://"),
        ("--username u", "--password"),
        ("--username u --password p --secret s", "not both"),
        ("--password p", "--username"),
        ("--timeout 0", "1..=3600"),
    ] {
        let error = resolved(line).unwrap_err();
        assert!(error.contains(told), "{line}: {error}");
    }
}
