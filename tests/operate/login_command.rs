//! `floe credentials`: what it prints logs in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::wire::AttributeType;
use serde_json::Value;
use toml::Table;

use crate::commands::{ask, json, text};
use crate::support::command::floe;
use crate::support::{Client, Request, SECRET, Server, User};

const KID: &str = "a-kid";
const KEY: &str = "dGhpcnR5LXR3byBieXRlcyBtYWtlIGEgZ29vZCBrZXk=";

const BEHIND_NAT: &str = "relay.addresses=[\"10.0.0.5\"]";
const DISCOVER: &str = "relay.discover=[\"env:HOST_IP\"]";

/// What the command makes without asking a server, of this one's file.
fn made_here(server: &Server, arguments: &[&str]) -> Value {
    let file = server.directory().join("floe.toml");
    let output = floe()
        .args(["credentials", "--json", "--offline", "--config"])
        .arg(file)
        .args(arguments)
        .output()
        .expect("floe runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn logs_in(server: &Server, login: &Value) -> bool {
    let user = User {
        name: login["username"].as_str().expect("a name"),
        password: login["credential"].as_str().expect("a password"),
    };
    Client::udp(server).user(user).call(Request::allocate()).is_success()
}

#[test]
fn the_running_server_makes_them() {
    let server = Server::start(|config| _ = config.secret_only());
    let login = json(&server, &["credentials", "--user", "alice", "--lifetime", "60"]);
    assert!(logs_in(&server, &login), "{login}");
    assert!(login["username"].as_str().unwrap().ends_with(":alice"));
    assert!((55..=60).contains(&login["lifetime"].as_u64().unwrap()), "{login}");
    let [stun, turn] = login["iceServers"].as_array().unwrap().as_slice() else { panic!("{login}") };
    assert!(stun.get("username").is_none());
    let at = format!("turn:{}?transport=udp", server.udp());
    assert!(turn["urls"].as_array().unwrap().contains(&at.as_str().into()), "{turn}");
    assert_eq!((&turn["username"], &turn["credential"]), (&login["username"], &login["credential"]));
    // Without --json it is what goes into RTCPeerConnection.
    let plain: Value = serde_json::from_slice(&ask(&server, &["credentials"]).stdout).expect("JSON");
    assert_eq!(plain.as_object().unwrap().keys().collect::<Vec<_>>(), ["iceServers"]);
}

#[test]
fn a_secret_at_hand_makes_them_without_a_server() {
    let server = Server::start(|config| _ = config.secret_only());
    let login = made_here(&server, &["--user", "bob", "--url", "turn:turn.example.org"]);
    assert!(logs_in(&server, &login), "{login}");
    assert_eq!(login["iceServers"][0]["urls"], serde_json::json!(["turn:turn.example.org"]));
    let set = format!("auth.secrets=[\"{SECRET}\"]");
    let by_flag = floe().args(["credentials", "--offline", "--set", &set]).output().expect("floe runs");
    assert_eq!(by_flag.status.code(), Some(0), "{}", text(&by_flag));
    let none = floe().args(["credentials", "--offline"]).output().expect("floe runs");
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none).contains("auth.secrets"), "{}", text(&none));
}

#[test]
fn where_nothing_has_to_be_found_out_the_configuration_says_where_clients_go() {
    for (set, urls) in [
        (["relay.addresses=[\"203.0.113.7\"]", DISCOVER], true),
        (["relay.addresses=[\"127.0.0.1\"]", DISCOVER], true),
        ([BEHIND_NAT, "relay.external-addresses=[\"203.0.113.7\"]"], true),
        ([BEHIND_NAT, DISCOVER], false),
    ] {
        let secret = format!("auth.secrets=[\"{SECRET}\"]");
        let sets = [set[0], set[1], &secret].map(|key| ["--set", key]).concat();
        let output = floe().args(["credentials", "--offline"]).args(sets).output().expect("floe runs");
        assert_eq!(output.status.success(), urls, "{set:?}: {}", text(&output));
    }
}

#[test]
fn a_flag_that_nothing_would_read_is_refused() {
    for (flags, told) in [
        (&["--config", "floe.toml"][..], "--offline"),
        (&["--realm", "a"], "--offline"),
        (&["--url", "turn:a"], "--offline"),
        (&["--offline", "--admin", "http://127.0.0.1:1"], "--admin"),
        (&["--offline", "--oauth", KID, "--user", "alice"], "--user"),
        // No address could be told.
        (&["--offline", "--set", "listen.udp=127.0.0.1:0", "--set", "listen.tcp=[]"], "--url"),
        // It would be found out at the start only.
        (&["--offline", "--set", BEHIND_NAT, "--set", DISCOVER], "--url"),
    ] {
        let secret = format!("[\"{SECRET}\"]");
        let output = floe()
            .args(["credentials"])
            .args(flags)
            .env("FLOE_AUTH__SECRETS", secret)
            .output()
            .expect("floe runs");
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", text(&output));
        assert!(text(&output).contains(told), "{flags:?}: {}", text(&output));
    }
}

/// RFC 7635: the token's key signs the requests as it is.
#[test]
fn an_access_token_logs_in() {
    let server = Server::start(|config| {
        let key = Table::from_iter([("kid".to_owned(), KID.into()), ("key".to_owned(), KEY.into())]);
        config.set("auth.oauth-keys", vec![toml::Value::from(key)]);
    });
    let login = made_here(&server, &["--oauth", KID, "--lifetime", "600", "--url", "turn:turn.example.org"]);
    let with = login["iceServers"].as_array().and_then(|servers| servers.last()).expect("a server");
    assert_eq!((&login["username"], &with["credentialType"]), (&KID.into(), &"oauth".into()));
    let part =
        |name: &str| STANDARD.decode(login["credential"][name].as_str().expect("base64")).expect("base64");
    let (key, token) = (part("macKey"), part("accessToken"));
    let mut client = Client::udp(&server);
    let challenge = client.ask(&Request::allocate());
    let request = Request::allocate()
        .put(AttributeType::USERNAME, KID.as_bytes())
        .put(AttributeType::REALM, challenge.realm().as_bytes())
        .put(AttributeType::NONCE, challenge.nonce().as_bytes())
        .put(AttributeType::ACCESS_TOKEN, &token);
    assert_eq!(client.ask_bytes(&request.sign_sha1(&key)).code(), 0);
    let other = floe().args(["credentials", "--offline", "--oauth", "no-such"]).output().expect("floe runs");
    assert_eq!(other.status.code(), Some(1), "{}", text(&other));
}
