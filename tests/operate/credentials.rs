//! Credentials over HTTP in the shapes of other services, and that they work.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::{Client, Config, PATIENCE, Request, SECRET, Server, User};

const OTHER_SECRET: &str = "4a7d1ed414474e4033ac29ccb8653d9b0f6d2c1e";
const KEY: &str = "an-api-key-of-enough-characters-71c3";
const TENANT_KEY: &str = "another-api-key-of-enough-characters-9b";

/// Asks the admin address: status, headers and body.
pub(crate) fn ask(
    admin: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(admin).expect("the admin address");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {admin}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// Two secrets, a key for each, and one origin.
fn two_tenants(config: &mut Config) {
    let secret = |name: &str, secret: &str| {
        toml::Table::from_iter([("name".to_owned(), name.into()), ("secret".to_owned(), secret.into())])
    };
    config.set("auth.users", toml::Table::new());
    config.set("auth.secrets", vec![secret("main", SECRET), secret("shop", OTHER_SECRET)]);
    let key = |fields: &str| fields.parse::<toml::Table>().expect("TOML");
    let keys = vec![
        key(&format!("name = \"app\"\nkey = \"{KEY}\"")),
        key(&format!(
            "name = \"shop\"\nkey = \"{TENANT_KEY}\"\nid = \"shop-1\"\nsecret = \"shop\"\nmax-lifetime = 600\nquota = 2"
        )),
    ];
    config.set("admin.api-keys", keys).set("admin.cors", vec!["https://app.example.org"]);
}

/// Whether somebody with these can allocate.
fn logs_in(server: &Server, username: &Value, password: &Value) -> bool {
    let user =
        User { name: username.as_str().expect("a name"), password: password.as_str().expect("a password") };
    Client::udp(server).user(user).call(Request::allocate()).is_success()
}

#[test]
fn ice_servers_of_a_browser_and_of_home_assistant() {
    let server = Server::start(two_tenants);
    let (status, _, answer) = ask(server.admin(), "GET", "/ice?username=alice&ttl=60", &[&bearer(KEY)], "");
    assert_eq!(status, 200);
    assert_eq!(answer["iceTransportPolicy"], "all");
    let [stun, turn] = answer["iceServers"].as_array().expect("a list").as_slice() else {
        panic!("{answer:#}")
    };
    assert!(stun["urls"][0].as_str().unwrap().starts_with("stun:") && stun.get("username").is_none());
    assert!(turn["urls"][0].as_str().unwrap().starts_with("turn:"));
    assert!(logs_in(&server, &turn["username"], &turn["credential"]));

    let (status, _, bare) = ask(server.admin(), "GET", "/webrtc/ice_servers", &[&bearer(KEY)], "");
    assert_eq!(status, 200);
    // Home Assistant reads when it ends from the name.
    let name = bare[1]["username"].as_str().expect("a name");
    assert!(name.split(':').next().unwrap().parse::<u64>().is_ok());
    assert!(logs_in(&server, &bare[1]["username"], &bare[1]["credential"]));
}

#[test]
fn cloudflare_generates_and_revokes() {
    let server = Server::start(two_tenants);
    let path = "/v1/turn/keys/any-id/credentials/generate-ice-servers";
    let headers = [bearer(KEY), "Content-Type: application/json".to_owned()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let body = r#"{"ttl": 86400, "customIdentifier": "user4523958"}"#;
    let (status, _, answer) = ask(server.admin(), "POST", path, &headers, body);
    assert_eq!(status, 201, "{answer:#}");
    let turn = &answer["iceServers"][1];
    let name = turn["username"].as_str().expect("a name").to_owned();
    assert!(name.ends_with(":user4523958"));
    let user = User { name: &name, password: turn["credential"].as_str().expect("a password") };
    let mut client = Client::udp(&server).user(user);
    client.allocate();

    let revoke = format!("/v1/turn/keys/any-id/credentials/{}/revoke", name.replace(':', "%3A"));
    assert_eq!(ask(server.admin(), "POST", &revoke, &[&bearer("wrong")], "").0, 401);
    assert_eq!(ask(server.admin(), "POST", &revoke, &[&bearer(KEY)], "").0, 204);
    let after = client.call(Request::refresh(600));
    assert!(matches!(after.code(), 401 | 437), "its allocation has ended");
    assert!(!logs_in(&server, &turn["username"], &turn["credential"]));
    let nobody = "/v1/turn/keys/any-id/credentials/alice/revoke";
    assert_eq!(ask(server.admin(), "POST", nobody, &[&bearer(KEY)], "").0, 400);

    let older = "/v1/turn/keys/any-id/credentials/generate";
    let (status, _, answer) = ask(server.admin(), "POST", older, &headers, "{}");
    assert_eq!(status, 201);
    let turn = &answer["iceServers"];
    assert!(logs_in(&server, &turn["username"], &turn["credential"]));
}

#[test]
fn what_is_revoked_stays_so_over_a_restart() {
    let server = Server::start(two_tenants);
    let (_, _, ice) = ask(server.admin(), "GET", "/ice", &[&bearer(KEY)], "");
    let turn = &ice["iceServers"][1];
    let name = turn["username"].as_str().expect("a name").replace(':', "%3A");
    let path = format!("/v1/turn/keys/x/credentials/{name}/revoke");
    assert_eq!(ask(server.admin(), "POST", &path, &[&bearer(KEY)], "").0, 204);
    let kept = std::fs::read(server.directory().join("revocations.json")).expect("the file");
    drop(server);
    let next = Server::start(|config| {
        two_tenants(config);
        std::fs::write(config.state_directory().join("revocations.json"), &kept).expect("written");
    });
    assert!(!logs_in(&next, &turn["username"], &turn["credential"]));
}

#[test]
fn a_name_that_cannot_be_kept_is_revoked_all_the_same() {
    let server = Server::start(two_tenants);
    let (_, _, ice) = ask(server.admin(), "GET", "/ice", &[&bearer(KEY)], "");
    let turn = &ice["iceServers"][1];
    // Nothing can be written in its place.
    std::fs::create_dir(server.directory().join("revocations.new")).expect("a directory");
    let name = turn["username"].as_str().expect("a name").replace(':', "%3A");
    let path = format!("/v1/turn/keys/x/credentials/{name}/revoke");
    assert_eq!(ask(server.admin(), "POST", &path, &[&bearer(KEY)], "").0, 500);
    assert!(!logs_in(&server, &turn["username"], &turn["credential"]));
}

#[test]
fn twilio_tokens() {
    let server = Server::start(two_tenants);
    let basic = format!("Authorization: Basic {}", STANDARD.encode(format!("AC123:{KEY}")));
    let form = "Content-Type: application/x-www-form-urlencoded";
    let path = "/2010-04-01/Accounts/AC123/Tokens.json";
    let (status, _, token) = ask(server.admin(), "POST", path, &[&basic, form], "Ttl=3600");
    assert_eq!(status, 201, "{token:#}");
    assert_eq!(token["account_sid"], "AC123");
    assert_eq!(token["ttl"], "3600");
    assert!(token["date_created"].as_str().unwrap().ends_with(" +0000"));
    let servers = token["ice_servers"].as_array().expect("a list");
    let turn = servers.iter().find(|s| s["urls"].as_str().unwrap().starts_with("turn:")).expect("TURN");
    assert_eq!(turn["url"], turn["urls"]);
    assert!(logs_in(&server, &token["username"], &token["password"]));
    assert_eq!(ask(server.admin(), "POST", path, &[form], "Ttl=3600").0, 401);
}

#[test]
fn metered_in_two_steps() {
    let server = Server::start(two_tenants);
    let path = format!("/api/v1/turn/credential?secretKey={KEY}");
    let json = "Content-Type: application/json";
    let (status, _, made) =
        ask(server.admin(), "POST", &path, &[json], r#"{"expiryInSeconds": 14400, "label": "user-1"}"#);
    assert_eq!(status, 200, "{made:#}");
    assert_eq!((&made["expiryInSeconds"], &made["label"]), (&Value::from(14400), &Value::from("user-1")));
    let api_key = made["apiKey"].as_str().expect("a key").to_owned();
    let (status, _, servers) =
        ask(server.admin(), "GET", &format!("/api/v1/turn/credentials?apiKey={api_key}"), &[], "");
    assert_eq!(status, 200);
    let turn =
        servers.as_array().expect("a list").iter().find(|s| s.get("username").is_some()).expect("TURN");
    assert!(turn["urls"].is_string());
    assert_eq!(turn["username"], made["username"]);
    assert_eq!(turn["credential"], made["password"]);
    assert!(logs_in(&server, &turn["username"], &turn["credential"]));
    for wrong in ["", "x", &api_key[1..], &format!("{api_key}A"), KEY] {
        let path = format!("/api/v1/turn/credentials?apiKey={wrong}");
        assert_eq!(ask(server.admin(), "GET", &path, &[], "").0, 401, "{wrong}");
    }
}

#[test]
fn a_key_has_its_own_secret_id_lifetime_and_quota() {
    let server = Server::start(two_tenants);
    let other = "/v1/turn/keys/somebody-else/credentials/generate-ice-servers";
    assert_eq!(ask(server.admin(), "POST", other, &[&bearer(TENANT_KEY)], "").0, 403);
    let own = "/v1/turn/keys/shop-1/credentials/generate-ice-servers";
    let (status, _, answer) = ask(server.admin(), "POST", own, &[&bearer(TENANT_KEY)], "");
    assert_eq!(status, 201);
    let turn = &answer["iceServers"][1];
    assert!(logs_in(&server, &turn["username"], &turn["credential"]));
    let name = turn["username"].as_str().expect("a name");
    let expected = crate::rest_password(OTHER_SECRET, name);
    assert_eq!(turn["credential"], expected);

    let (status, _, rest) =
        ask(server.admin(), "GET", "/turn?service=turn&ttl=9000", &[&bearer(TENANT_KEY)], "");
    assert_eq!((status, &rest["ttl"]), (200, &Value::from(600)));
    let (status, head, _) = ask(server.admin(), "GET", "/ice", &[&bearer(TENANT_KEY)], "");
    assert_eq!(status, 429, "two are good already");
    assert!(head.contains("retry-after:"), "{head}");
}

#[test]
fn a_tenants_key_keeps_to_its_terms_on_the_web_page_too() {
    let server = Server::start(two_tenants);
    let page = |key: &str, room: &str| {
        let path = format!("/api/page/ice?room={room}");
        ask(server.admin(), "POST", &path, &[&bearer(key)], "")
    };
    let (status, _, answer) = page(TENANT_KEY, "");
    assert_eq!((status, &answer["ttl"]), (200, &Value::from(600)), "{answer:#}");
    let login = &answer["iceServers"][0];
    let name = login["username"].as_str().expect("a name");
    assert_eq!(login["credential"], crate::rest_password(OTHER_SECRET, name));

    // Whom it invites is its guest: the second of its two credentials, and no third.
    let invite = "/api/page/invitation?room=tea";
    let (status, _, invited) = ask(server.admin(), "POST", invite, &[&bearer(TENANT_KEY)], "");
    assert_eq!(status, 200);
    let invitation = invited["invitation"].as_str().expect("an invitation");
    let (status, _, answer) = page(invitation, "tea");
    assert_eq!((status, &answer["ttl"]), (200, &Value::from(600)), "{answer:#}");
    let login = &answer["iceServers"][0];
    let name = login["username"].as_str().expect("a name");
    assert_eq!(login["credential"], crate::rest_password(OTHER_SECRET, name));
    assert_eq!(page(invitation, "tea").0, 429);
    assert_eq!(page(TENANT_KEY, "").0, 429);
    assert_eq!(page(KEY, "").0, 200);
}

#[test]
fn a_tenants_key_rules_nobody_else() {
    let server = Server::start(two_tenants);
    let (_, _, ice) = ask(server.admin(), "GET", "/ice?username=alice", &[&bearer(KEY)], "");
    let turn = &ice["iceServers"][1];
    let name = turn["username"].as_str().expect("a name");
    let user = User { name, password: turn["credential"].as_str().expect("a password") };
    let mut client = Client::udp(&server).user(user);
    client.allocate();
    let revoke = format!("/v1/turn/keys/shop-1/credentials/{}/revoke", name.replace(':', "%3A"));
    for (method, path) in [
        ("GET", "/api/status"),
        ("GET", "/api/history"),
        ("GET", "/api/sessions"),
        ("GET", "/api/users"),
        ("DELETE", "/api/users/alice/sessions"),
        ("POST", "/api/drain"),
        ("POST", revoke.as_str()),
    ] {
        let (status, _, answer) = ask(server.admin(), method, path, &[&bearer(TENANT_KEY)], "");
        assert_eq!(status, 403, "{path}");
        assert!(answer["error"].as_str().is_some_and(|why| why.contains("credentials only")), "{answer}");
    }
    client.call(Request::refresh(600)).ok();
    assert_eq!(server.get("/readyz").0, 200);
    let own = "/v1/turn/keys/shop-1/credentials/generate";
    assert_eq!(ask(server.admin(), "POST", own, &[&bearer(TENANT_KEY)], "").0, 201);
}

#[test]
fn the_log_says_whose_key_did_what() {
    let server = Server::start(two_tenants);
    let key = bearer(KEY);
    assert_eq!(ask(server.admin(), "DELETE", "/api/users/somebody/sessions", &[&key], "").0, 200);
    assert_eq!(ask(server.admin(), "POST", "/api/drain", &[&key], "").0, 200);
    assert_eq!(server.api("DELETE", "/api/users/nobody/sessions").0, 200);
    let says = |key: &str, what: &str| {
        let named = format!("\"key\":\"{key}\"");
        server.log().lines().any(|line| {
            line.contains(&named) && line.contains("\"source\":\"127.0.0.1\"") && line.contains(what)
        })
    };
    server.wait_until("the log has all three", || {
        says("app", "somebody") && says("app", "asked to drain") && says("token", "nobody")
    });
    assert!(!server.log().contains(KEY), "the key itself is nowhere: {}", server.log());
}

#[test]
fn pages_of_listed_origins_may_ask() {
    let server = Server::start(two_tenants);
    let allowed = |origin: &str| {
        let origin = format!("Origin: {origin}");
        let preflight =
            ["Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"];
        let (_, head, _) =
            ask(server.admin(), "OPTIONS", "/ice", &[&[origin.as_str()], &preflight[..]].concat(), "");
        head.contains("access-control-allow-origin: https://app.example.org")
    };
    assert!(allowed("https://app.example.org"));
    assert!(!allowed("https://evil.example"));
    let (_, head, _) = ask(server.admin(), "GET", "/api/status", &["Origin: https://app.example.org"], "");
    assert!(!head.contains("access-control-allow-origin"), "credentials alone: {head}");
}

#[test]
fn bad_requests_are_refused_with_a_reason() {
    let server = Server::start(two_tenants);
    let json = "Content-Type: application/json";
    let key = bearer(KEY);
    let path = "/v1/turn/keys/x/credentials/generate-ice-servers";
    for body in
        ["{", "[]", r#"{"ttl": 0}"#, r#"{"ttl": -1}"#, r#"{"ttl": {}}"#, r#"{"customIdentifier": "\u0000"}"#]
    {
        let (status, _, answer) = ask(server.admin(), "POST", path, &[json, &key], body);
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"].is_string(), "{body}");
    }
    let large = format!("{{\"label\": \"{}\"}}", "x".repeat(100_000));
    assert_eq!(ask(server.admin(), "POST", path, &[json, &key], &large).0, 413);
    assert_eq!(ask(server.admin(), "POST", path, &["Content-Type: text/xml", &key], "<x/>").0, 415);
    assert_eq!(ask(server.admin(), "GET", path, &[&key], "").0, 405);
}
