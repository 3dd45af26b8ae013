//! Guessing passwords, and servers without any (CONFORMANCE H3).

use crate::support::{ALICE, BOB, Client, Config, Request, Server, User};

const WRONG: User<'_> = User { password: "a wrong guess", ..ALICE };

/// Guesses far oftener than is answered.
pub(crate) fn guess(server: &Server, mut guesser: Client) {
    let login = guesser.login().clone();
    for _ in 0..300 {
        guesser.send(&login.sign(Request::allocate()));
    }
    server
        .wait_until("the guesses are read", || server.metric("floe_requests_total", &["allocate"]) >= 301.0);
    let answered = guesser.count_waiting();
    assert!((1..100).contains(&answered), "{answered} of 300 guesses");
}

// H-036
#[test]
fn a_guesser_is_met_with_silence_and_the_user_is_not() {
    let server = Server::start(|config: &mut Config| {
        config.set("limits.failed-logins-per-minute", 10);
    });
    guess(&server, Client::udp(&server).user(WRONG));
    // From the same address, with the right password.
    Client::udp(&server).user(ALICE).allocate();
    Client::udp(&server).user(BOB).allocate();
}

// H-049
#[test]
fn a_flood_of_failures_is_a_line_and_not_a_flood_in_the_log() {
    for format in ["json", "text"] {
        let server = Server::start(|config: &mut Config| _ = config.set("log.format", format));
        let name = "mallory\n2026-01-01T00:00:00Z  INFO floe: all is well\x1b[2J %s \"{}\"";
        let mut guesser = Client::udp(&server).user(User { name, ..WRONG });
        let login = guesser.login().clone();
        for _ in 0..500 {
            guesser.ask_bytes(&login.sign(Request::allocate())).assert_challenge(401);
        }
        server.logs("mallory");
        let log = server.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("mallory")).collect();
        // One each 30 seconds and shard: it is one client, so one shard.
        assert!((1..=2).contains(&lines.len()), "{} lines:\n{log}", lines.len());
        assert!(lines.iter().all(|line| line.contains("all is well") && line.contains("refused")), "{log}");
        assert!(!log.contains('\x1b'), "{log}");
    }
}

// H-038
#[test]
fn nobody_relays_without_a_password() {
    let server = Server::start(|config: &mut Config| {
        config.set("auth.users", toml::Table::new());
    });
    let mut client = Client::udp(&server);
    client.ask(&Request::allocate()).assert_challenge(401);
    for user in [ALICE, User { name: "", password: "" }, User { name: "anonymous", password: "" }] {
        client = client.user(user);
        client.challenge();
        client.call(Request::allocate()).assert_challenge(401);
    }
}

// H-035
#[test]
fn a_weak_secret_on_a_public_listener_stops_the_start() {
    for secret in ["north", "CHANGE_ME", "secret"] {
        let (status, log) = Server::refused(|config| {
            config.secret_only().set("auth.secrets", vec![secret]);
            config.set("listen.udp", vec!["0.0.0.0:0"]);
        });
        assert_eq!(status, Some(2), "{secret}: {log}");
        assert!(log.contains("auth.secrets"), "{secret}: {log}");
    }
}

// H-035
#[test]
fn secrets_are_not_logged() {
    let server = Server::start(|config: &mut Config| {
        config.set("auth.secrets", vec![crate::support::SECRET]).set("log.level", "trace");
    });
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    client.call(Request::refresh(0)).ok();
    Client::udp(&server).user(WRONG).call(Request::allocate()).assert_challenge(401);
    let (_, log) = server.stop_and_log();
    assert!(log.contains("\"closed\""), "{log}");
    for secret in [crate::support::SECRET, ALICE.password, BOB.password] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}
