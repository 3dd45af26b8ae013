//! The disk with the configuration and the state directory is full: a reload changes
//! nothing but the log and a metric, nothing that was written is cut short, and
//! calls go on.

use std::fs;

use crate::commands::{ask, text};
use crate::reload::{relayed_while, reload, reloads};
use crate::rest_password;
use crate::support::{ALICE, Client, Config, Request, SECRET, Server, SmallDisk, User};

const NAMES: [&str; 2] = ["2000000000:first", "2000000000:second"];

/// What an Allocate of this time-limited name is answered; 0 is success.
fn login(server: &Server, name: &str) -> u16 {
    let password = rest_password(SECRET, name);
    let mut client = Client::udp(server).user(User { name, password: &password });
    client.call(Request::allocate()).code()
}

fn revoke(server: &Server, name: &str) -> u16 {
    server.api("POST", &format!("/v1/turn/keys/x/credentials/{name}/revoke")).0
}

/// Another listener, and another limit.
fn change(config: &mut Config) {
    secret(config);
    config.set("listen.udp", vec!["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"]).set("limits.allocations", 500);
}

/// Beside the static users.
fn secret(config: &mut Config) {
    config.set("auth.secrets", vec![SECRET]);
}

#[test]
fn a_full_disk_changes_nothing_but_the_log_and_a_metric() {
    let Some(disk) = SmallDisk::new(256) else { return };
    let mut server = Server::start_on(&disk, secret);
    let state = |name: &str| fs::read_to_string(disk.directory().join(name)).expect("a file");
    let runtime_file = format!("run-{}.json", server.runtime().pid);
    assert_eq!(revoke(&server, NAMES[0]), 204);
    let before = [state(&runtime_file), state("revocations.json")];
    let configuration = server.directory().join("floe.toml");
    // With a reload each, told why.
    let refusals = |_: &_| {
        server.rewrite(change);
        let whole = fs::read_to_string(&configuration).unwrap();
        disk.fill();
        let full = text(&ask(&server, &["reload"]));
        assert!(full.contains(&runtime_file) && full.contains("No space left"), "{full}");

        // What writes into the file itself leaves the half of it, and a later one none.
        let many = format!("[peers]\ndeny = [{}]\n", "'198.51.100.7', ".repeat(1000));
        let error = fs::write(&configuration, whole.replacen("[peers]\n", &many, 1)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        disk.fill();
        let half = text(&ask(&server, &["reload"]));
        assert!(half.contains("floe.toml:"), "{half}");
        fs::write(&configuration, "").unwrap();
        disk.fill();
        let none = text(&ask(&server, &["reload"]));
        assert!(none.contains("says nothing"), "{none}");

        assert_eq!(revoke(&server, NAMES[1]), 500, "it is not kept");
        assert_eq!(login(&server, NAMES[1]), 401, "and yet refused");
    };
    relayed_while(&server, refusals);
    assert_eq!(reloads(&server, "configuration", "failure"), 3.0);
    server.wait_until("the log says so", || server.log().matches("not reloaded").count() == 3);
    assert_eq!([state(&runtime_file), state("revocations.json")], before);
    let listed = fs::read_dir(disk.directory()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = listed.filter(|name| name.to_string_lossy().ends_with(".new")).collect();
    assert!(left.is_empty(), "{left:?}");

    // As soon as there is room, all goes through.
    disk.free();
    assert_eq!(reload(&server, change)["changed"].as_array().map(Vec::len), Some(2));
    assert_eq!(revoke(&server, NAMES[1]), 204);
    assert!(state("revocations.json").contains(NAMES[1]));
    server.look_again();
    let new = server.all("udp").into_iter().filter(|address| address.is_ipv4()).nth(1).expect("two");
    Client::udp_from(new.ip(), new).user(ALICE).allocate();
}
