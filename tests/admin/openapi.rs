//! What the server says of its HTTP and what it does: `/api/openapi.json`, walked
//! for doors that stand open, and handed to schemathesis.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::support::command::bound_command;
use crate::support::{ALICE, Client, SECRET, Server, python, server as support_server};

/// Pinned with what makes up its questions, so that they are the same everywhere.
const SCHEMATHESIS: [&str; 2] = ["schemathesis==4.32.5", "hypothesis==6.170.17"];

fn server() -> Server {
    Server::start(|config| _ = config.set("auth.secrets", vec![SECRET]))
}

fn document(server: &Server) -> Value {
    let (status, body) = server.get("/api/openapi.json");
    assert_eq!(status, 200);
    serde_json::from_str(&body).expect("JSON")
}

/// Each operation: method, path with `x` for what is to be filled in, and itself.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (method.to_uppercase(), path, operation))
    });
    let filled = |path: &str| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    methods.map(|(method, path, operation)| (method, filled(path), operation)).collect()
}

/// Asks from an address of its own, since wrong keys are counted by address.
fn ask_from(source: Ipv4Addr, server: &Server, method: &str, path: &str, headers: &str) -> (u16, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("bound");
    socket.connect(&server.admin().into()).expect("connected");
    let mut stream = TcpStream::from(socket);
    let head = format!("{method} {path} HTTP/1.1\r\nHost: floe.example\r\nConnection: close\r\n");
    write!(stream, "{head}{headers}Content-Length: 0\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

#[test]
fn nothing_that_takes_a_key_answers_without_one_or_with_a_wrong_one() {
    let server = server();
    let document = document(&server);
    let mut closed = 0;
    for (number, (method, path, operation)) in operations(&document).into_iter().enumerate() {
        let ways = operation["security"].as_array().expect("each operation says what it takes");
        let source = Ipv4Addr::new(127, 77, 0, u8::try_from(number + 1).expect("few"));
        let ask = |path: &str, headers: &str| ask_from(source, &server, &method, path, headers);
        let shown = |name: &str| match document["components"]["securitySchemes"][name]["type"].as_str() {
            Some("apiKey") if document["components"]["securitySchemes"][name]["in"] == "query" => {
                ask(&format!("{path}?{name}=wrong"), "")
            }
            Some("apiKey") => ask(&path, "Floe-Member: wrong\r\n"),
            _ if name == "basic" => ask(&path, "Authorization: Basic YTp3cm9uZw==\r\n"),
            _ => ask(&path, "Authorization: Bearer wrong\r\n"),
        };
        if ways.is_empty() {
            let (status, body) = ask(&path, "");
            // What is open says nothing of anybody.
            assert!(!matches!(status, 401 | 403 | 405 | 500..), "{method} {path}: {status}");
            assert!(!body.contains(SECRET) && !body.contains(&server.runtime().token), "{method} {path}");
            continue;
        }
        // Without a key from this machine by a loopback name only, which this is not.
        let without = ask(&path, "").0;
        let expected = match operation["operationId"].as_str() {
            Some("room_say") => 403,
            Some("visitor") => 200,
            _ => 401,
        };
        assert_eq!(without, expected, "{method} {path} without a key");
        for name in ways.iter().flat_map(|way| way.as_object().expect("a way").keys()) {
            assert_eq!(shown(name).0, expected, "{method} {path} with a wrong {name}");
        }
        closed += 1;
    }
    assert!(closed >= 20, "{closed}");
    assert!(server.api("GET", "/api/status").1["state"] == "serving", "nothing was done");
}

#[test]
fn schemathesis_finds_nothing() {
    let Some(place) = python::environment(&SCHEMATHESIS, &[]) else { return };
    let program = place.join("bin/schemathesis");
    let server = server();
    // Somebody to list, show and end.
    let mut alice = Client::udp(&server).user(ALICE);
    alice.allocate();
    // What only other requests give.
    let key =
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", server.runtime().token);
    let (_, made) = server.ask("POST", "/api/v1/turn/credential", &key, "{}");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let api_key = made["apiKey"].as_str().expect("a key of the second step");
    let work = support_server::new_directory();
    let config = work.join("schemathesis.toml");
    std::fs::write(&config, configuration(&server.runtime().token, api_key)).expect("written");
    let run = |only: &[&str]| {
        let output = bound_command(&program)
            .arg("--config-file")
            .arg(&config)
            .args(["run", &format!("http://{}/api/openapi.json", server.admin())])
            // After twenty wrong keys from one address floe answers 429, which
            // `ignored_auth` takes for a door that stands open; it is the walk above.
            .args(["--checks", "all", "--exclude-checks", "ignored_auth"])
            .args(["--max-examples", "10", "--seed", "1", "--request-timeout", "10", "--continue-on-failure"])
            .args(only)
            .current_dir(&work)
            .env("NO_COLOR", "1")
            .output()
            .expect("schemathesis runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    // Rooms have answers that don't end, or no HTTP; tests/admin/rooms.rs has them.
    // Which texts are levels no schema can say; tests/operate/reload.rs has them.
    run(&["--exclude-path-regex", "^/signal/|^/api/drain$|^/api/log-level$"]);
    // Last, since then nothing is minted any more.
    run(&["--include-path", "/api/drain"]);
    assert_eq!(server.api("GET", "/api/status").1["state"], json!("draining"));
    let _ = std::fs::remove_dir_all(work);
}

fn configuration(token: &str, api_key: &str) -> String {
    let keys = ["key", "api", "secretKey", "token"].map(|name| (name, token));
    let keys = keys.into_iter().chain([("apiKey", api_key)]);
    let keys = keys.map(|(name, key)| format!("[auth.openapi.{name}]\napi_key = \"{key}\"\n"));
    let ways = format!(
        "[auth.openapi.bearer]\nbearer = \"{token}\"\n[auth.openapi.basic]\nusername = \"any\"\npassword = \"{token}\"\n"
    );
    // A name may be refused by RFC 8265, which no schema can say.
    let names = "[[operations]]\ninclude-tag = \"credentials\"\nchecks.positive_data_acceptance.expected-statuses = \
                 [\"2xx\", 400, 401, 403, 429]\n";
    keys.chain([ways, names.to_owned()]).collect()
}
