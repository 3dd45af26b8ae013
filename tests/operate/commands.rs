//! `floe status`, `sessions`, `kick`, `drain`, `healthcheck`, `credentials` and
//! `page`.

use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::command::floe;
use crate::support::{ALICE, BOB, Client, Request, Server, User};

/// `floe …` for this server, by its admin address and token.
pub(crate) fn ask(server: &Server, arguments: &[&str]) -> Output {
    let admin = format!("http://{}", server.admin());
    let output =
        floe().args(arguments).args(["--admin", &admin, "--token", &server.runtime().token]).output();
    output.expect("floe runs")
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

pub(crate) fn json(server: &Server, arguments: &[&str]) -> Value {
    let output = ask(server, &[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn status_says_how_the_server_is() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    let status = json(&server, &["status"]);
    assert_eq!(status["state"], "serving");
    assert_eq!(status["allocations"]["udp"], 1);
    let shown = text(&ask(&server, &["status"]));
    assert!(shown.contains("serving") && shown.contains(&server.udp().to_string()), "{shown}");
}

#[test]
fn sessions_are_listed_and_ended_by_id_and_by_user() {
    let server = Server::start(|_| {});
    let mut alice = [Client::udp(&server).user(ALICE), Client::tcp(&server).user(ALICE)];
    let mut bob = Client::udp(&server).user(BOB);
    for client in alice.iter_mut().chain([&mut bob]) {
        client.allocate();
    }
    let all = json(&server, &["sessions"]);
    assert_eq!(all["total"], 3);
    let of_bob = json(&server, &["sessions", "--user", BOB.name]);
    assert_eq!(of_bob["matched"], 1);
    assert_eq!(of_bob["sessions"][0]["client"], bob.local().to_string());
    let shown = text(&ask(&server, &["sessions"]));
    assert!(shown.contains("3 live") && shown.contains(&bob.local().to_string()), "{shown}");

    let id = of_bob["sessions"][0]["id"].as_str().expect("an id");
    let kicked = ask(&server, &["kick", id]);
    assert_eq!((kicked.status.code(), text(&kicked).as_str()), (Some(0), "1 session ended\n"));
    assert_eq!(bob.call(Request::refresh(600)).code(), 437);
    let kicked = ask(&server, &["kick", ALICE.name]);
    assert_eq!((kicked.status.code(), text(&kicked).as_str()), (Some(0), "2 sessions ended\n"));
    assert_eq!(json(&server, &["sessions"])["total"], 0);
    let nobody = ask(&server, &["kick", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1), "{}", text(&nobody));
}

#[test]
fn watching_ends_when_nobody_reads_any_more() {
    let server = Server::start(|_| {});
    let admin = format!("http://{}", server.admin());
    let mut watching = floe()
        .args(["sessions", "--watch", "1", "--admin", &admin, "--token", &server.runtime().token])
        .stdout(Stdio::piped())
        .spawn()
        .expect("floe runs");
    let mut shown = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    for words in ["ID", "0 live", "ID", "0 live"] {
        let line = shown.next().expect("a line").expect("text");
        assert!(line.contains(words), "{line}");
    }
    drop(shown);
    server.wait_until("it ends", || watching.try_wait().expect("a child").is_some());
    assert!(watching.wait().expect("it has ended").success());
}

#[test]
fn a_drained_server_is_alive_but_not_ready() {
    let server = Server::start(|_| {});
    let mut before = Client::udp(&server).user(ALICE);
    before.allocate();
    assert_eq!(ask(&server, &["healthcheck", "--ready"]).status.code(), Some(0));
    assert_eq!(ask(&server, &["drain"]).status.code(), Some(0));
    assert_eq!(ask(&server, &["healthcheck"]).status.code(), Some(0));
    assert_eq!(ask(&server, &["healthcheck", "--ready"]).status.code(), Some(1));
    assert_eq!(ask(&server, &["status", "--timeout", "0"]).status.code(), Some(1));
    assert_eq!(Client::udp(&server).user(ALICE).call(Request::allocate()).code(), 508);
    before.call(Request::refresh(600)).ok();
}

#[test]
fn without_a_key_or_a_server_the_reason_is_said() {
    let server = Server::start(|_| {});
    let admin = format!("http://{}", server.admin());
    let refused =
        floe().args(["sessions", "--admin", &admin, "--token", "wrong"]).output().expect("floe runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("--token"), "{}", text(&refused));
}

#[test]
fn the_server_of_a_state_directory_is_found_by_itself() {
    let server = Server::start(|_| {});
    let found = floe()
        .env("FLOE_STATE_DIRECTORY", server.directory())
        .arg("healthcheck")
        .output()
        .expect("floe runs");
    assert_eq!(found.status.code(), Some(0), "{}", text(&found));
    let directory = server.directory().to_owned();
    drop(server);
    std::fs::create_dir_all(&directory).expect("a directory");
    let gone = floe()
        .env("FLOE_STATE_DIRECTORY", &directory)
        .env_remove("XDG_RUNTIME_DIR")
        .arg("healthcheck")
        .output();
    assert_ne!(gone.expect("floe runs").status.code(), Some(0));
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn what_lets_somebody_in_is_told_to_who_asks_and_not_to_the_log() {
    let server = Server::start(|config| _ = config.secret_only());
    server.wait_until("the log has it all", || server.log().contains("/metrics"));
    let log = server.log();
    assert!(log.contains("floe credentials") && log.contains("floe page"), "{log}");
    assert!(!log.contains(&server.runtime().token) && !log.contains("\"credential\""), "{log}");

    let output = ask(&server, &["credentials", "--user", "al ice&x=1", "--lifetime", "60"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let turn = &told["iceServers"][1];
    let [name, password] = ["username", "credential"].map(|key| turn[key].as_str().expect("a text"));
    assert!(name.ends_with(":al ice&x=1"), "{name}");
    assert!(turn["urls"].as_array().is_some_and(|urls| !urls.is_empty()), "{told:#}");
    Client::udp(&server).user(User { name, password }).allocate();

    let page = text(&ask(&server, &["page"]));
    assert_eq!(page, format!("http://{}/#token={}\n", server.admin(), server.runtime().token));
}

#[test]
fn without_a_secret_or_a_page_there_is_nothing_to_tell() {
    let server = Server::start(|config| _ = config.set("admin.page", false));
    for (command, word) in [("credentials", "auth.secrets"), ("page", "admin.page")] {
        let output = ask(&server, &[command]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(word), "{}", text(&output));
    }
}
