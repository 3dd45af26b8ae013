//! Who `floe bench` logs in as, and where it finds that out.

use crate::command::{GENTLY, as_alice, bench, number, run, url};
use crate::support::{ALICE, SECRET, Server};

#[test]
fn a_secret_makes_as_many_users_as_a_quota_asks_for() {
    let server = Server::start(|config| {
        config.secret_only().set("limits.allocations-per-user", 40);
    });
    let arguments = ["--rate", "100", "--duration", "500ms", "--warmup", "0", "--clients", "50", "--json"];
    let address = url(server.udp(), "udp");
    let by_flag = [&["relay", &address, "--secret", SECRET], &arguments[..]].concat();
    assert!(number(&run(&mut bench(&by_flag)).step()["delivered"]) > 0.0);
    let by_environment = [&["relay", &address], &arguments[..]].concat();
    let run = run(bench(&by_environment).env("TURN_SECRET", SECRET));
    assert!(number(&run.step()["delivered"]) > 0.0);
}

#[test]
fn a_running_server_is_found_with_its_users_and_its_process() {
    let server = Server::start(|config| _ = config.secret_only());
    let address = url(server.udp(), "udp");
    // Without its URL, and with it.
    for named in [&[][..], &["relay", &address]] {
        let arguments = [named, &["--json"], &GENTLY].concat();
        let run = run(bench(&arguments).env("FLOE_STATE_DIRECTORY", server.directory()));
        let step = run.step();
        assert_eq!(run.report()["server"], format!("udp:{}", server.udp()));
        assert!(number(&step["server"]["memory-after"]) > 1e6, "its process is known: {step:#}");
    }
    // Another server gets nothing of it.
    let other = Server::start(|config| _ = config.secret_only());
    let address = url(other.udp(), "udp");
    let run = run(bench(&["relay", &address]).env("FLOE_STATE_DIRECTORY", server.directory()));
    assert_eq!(run.status, Some(2), "{run:#?}");
    assert!(run.complained.contains("no credentials: give --secret"), "{run:#?}");
}

#[test]
fn a_draining_server_is_named_as_the_cause() {
    let server = Server::start(|config| _ = config.secret_only());
    assert_eq!(server.api("POST", "/api/drain").0, 200);
    let run = run(bench(&GENTLY).env("FLOE_STATE_DIRECTORY", server.directory()));
    assert_eq!(run.status, Some(1), "{run:#?}");
    assert!(run.complained.contains("draining") && !run.complained.contains("--secret"), "{run:#?}");
}

#[test]
fn wrong_credentials_are_named_as_the_cause() {
    let server = Server::start(|_| {});
    for transport in ["udp", "tcp"] {
        let address = if transport == "udp" { server.udp() } else { server.tcp() };
        let mut command = as_alice("relay", &url(address, transport), &GENTLY);
        let run = run(command.env("TURN_PASSWORD", "wrong"));
        assert_eq!((run.status, run.said.as_str()), (Some(1), ""), "{run:#?}");
        assert!(run.complained.contains("401 Unauthenticated to Allocate: wrong username"), "{run:#?}");
        assert!(!run.complained.contains("wrong\""), "no password is printed: {run:#?}");
    }
    let mut command =
        as_alice("allocate", &url(server.udp(), "udp"), &["--rate", "20", "--duration", "500ms"]);
    let run = run(command.env("TURN_PASSWORD", "wrong"));
    let report = run.report();
    assert_eq!((run.status, &report["ok"]), (Some(1), &false.into()), "{report:#}");
    assert!(report["verdict"].as_str().unwrap().contains("401"), "{report:#}");
    assert_eq!(number(&report["steps"][0]["delivered"]), 0.0);
}

#[test]
fn passwords_do_not_show_in_the_help() {
    let command = &mut bench(&["relay", "--help"]);
    let run = run(command.env("TURN_PASSWORD", ALICE.password).env("TURN_SECRET", SECRET));
    assert_eq!(run.status, Some(0));
    assert!(!run.said.contains(ALICE.password) && !run.said.contains(SECRET), "{}", run.said);
}
