//! Janus from Debian's packages, pointed at floe's TURN REST address: for the
//! answer to an offer it fetches credentials, and relays with them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::command::{bound_command, find};
use crate::support::{PATIENCE, SECRET, Server, http, ports, server as support_server, skip};

/// Audio alone, as a browser would offer it; nobody is at its end.
const OFFER: [&str; 14] = [
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx",
    "a=setup:actpass",
    "a=mid:0",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:\
     AB:AB:AB",
];

/// A Janus with its echo test and nothing else; ended when dropped.
struct Janus {
    process: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Janus {
    /// `None`, and said so, where there is none.
    fn start(server: &Server, method: &str, key: &str) -> Option<Self> {
        let library = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
        let library = library.map(|entry| entry.path().join("janus")).find(|path| path.is_dir());
        let Some(library) = library.filter(|_| find("janus").is_some()) else {
            skip("janus", "not installed (Debian: apt-get install janus)");
            return None;
        };
        let directory = support_server::new_directory();
        for (folder, module) in [("plugins", "libjanus_echotest.so"), ("transports", "libjanus_http.so")] {
            fs::create_dir(directory.join(folder)).expect("made");
            let link = directory.join(folder).join(module);
            std::os::unix::fs::symlink(library.join(folder).join(module), link).expect("linked");
        }
        for folder in ["events", "loggers"] {
            fs::create_dir(directory.join(folder)).expect("made");
        }
        // It can't be told to take any port and say which.
        let port = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
        configure(&directory, &format!("http://{}/turn", server.admin()), method, key, port.port());
        let log = fs::File::create(directory.join("log")).expect("a log");
        let process = bound_command("janus")
            .arg("-F")
            .arg(&directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("janus starts");
        let janus = Self { process, address: port, directory };
        let start = Instant::now();
        while !answers(port) {
            assert!(start.elapsed() < PATIENCE, "it does not answer:\n{}", janus.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(janus)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("log")).unwrap_or_default()).into_owned()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = "Content-Type: application/json\r\n";
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let (status, answer) = http::ask(self.address, method, path, headers, &body, PATIENCE);
        assert_eq!(status, 200, "{answer}\n{}", self.log());
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Its answer to an offer, for which it gathers candidates.
    fn answer(&self) -> String {
        let made = self.ask("POST", "/janus", &json!({"janus": "create", "transaction": "1"}));
        let session = format!("/janus/{}", made["data"]["id"]);
        let attach = json!({"janus": "attach", "plugin": "janus.plugin.echotest", "transaction": "2"});
        let handle = format!("{session}/{}", self.ask("POST", &session, &attach)["data"]["id"]);
        let sdp = OFFER.join("\r\n") + "\r\n";
        let offer = json!({"janus": "message", "body": {"audio": true}, "transaction": "3",
            "jsep": {"type": "offer", "sdp": sdp}});
        self.ask("POST", &handle, &offer);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let event = self.ask("GET", &format!("{session}?maxev=1"), &Value::Null);
            if let Some(sdp) = event["jsep"]["sdp"].as_str() {
                return sdp.to_owned();
            }
        }
        panic!("no answer:\n{}", self.log());
    }
}

/// Before it is ready it does not listen, or hangs up.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    let asked = write!(stream, "GET /janus/info HTTP/1.0\r\n\r\n").is_ok();
    asked && stream.read_to_string(&mut answer).is_ok() && answer.split(' ').nth(1) == Some("200")
}

impl Drop for Janus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the log of Janus ---\n{}------", self.log());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn configure(directory: &Path, turn: &str, method: &str, key: &str, port: u16) {
    let path = directory.display();
    let general = format!(
        "general: {{\n  configs_folder = \"{path}\"\n  plugins_folder = \"{path}/plugins\"\n  \
         transports_folder = \"{path}/transports\"\n  events_folder = \"{path}/events\"\n  \
         loggers_folder = \"{path}/loggers\"\n}}\n"
    );
    let nat = format!(
        "nat: {{\n  ice_enforce_list = \"127.0.0.1\"\n  turn_rest_api = \"{turn}\"\n  \
         turn_rest_api_key = \"{key}\"\n  turn_rest_api_method = \"{method}\"\n}}\n"
    );
    let http = format!(
        "general: {{\n  json = \"plain\"\n  base_path = \"/janus\"\n  http = true\n  port = {port}\n  \
         ip = \"127.0.0.1\"\n  https = false\n}}\n"
    );
    for (file, text) in [
        ("janus.jcfg", general + &nat),
        ("janus.transport.http.jcfg", http),
        ("janus.plugin.echotest.jcfg", String::new()),
    ] {
        fs::write(directory.join(file), text).expect("written");
    }
}

#[test]
fn janus_fetches_credentials_by_get_and_post_and_relays_with_them() {
    let server = Server::start(|config| {
        let mut key = toml::Table::new();
        key.insert("name".into(), "janus".into());
        key.insert("key".into(), "the key of Janus in this test".replace(' ', "-").into());
        config.secret_only().set("auth.secrets", vec![SECRET]);
        config.set("admin.api-keys", toml::Value::Array(vec![key.into()]));
    });
    for method in ["GET", "POST"] {
        let Some(janus) = Janus::start(&server, method, "the-key-of-Janus-in-this-test") else { return };
        let answer = janus.answer();
        let relayed = answer.lines().find(|line| line.contains("typ relay"));
        let relayed = relayed.unwrap_or_else(|| panic!("{method}: no relay:\n{answer}\n{}", janus.log()));
        let words: Vec<&str> = relayed.split(' ').collect();
        let relay = format!("{}:{}", words[4], words[5]);
        // The allocation is under the name that Janus asked for.
        let (_, found) = server.api("GET", &format!("/api/sessions?search={relay}"));
        let session = &found["sessions"][0];
        let username = session["username"].as_str().expect("a session");
        assert_eq!(username.split(':').nth(1), session["user"].as_str(), "{session:#}");
        assert!(username.split(':').next().is_some_and(|expiry| expiry.parse::<u64>().is_ok()), "{username}");
    }
}

#[test]
fn janus_with_a_wrong_key_gets_nothing_and_goes_on_without() {
    let server = Server::start(|config| _ = config.secret_only());
    let Some(janus) = Janus::start(&server, "GET", "guessed") else { return };
    let answer = janus.answer();
    assert!(!answer.contains("typ relay"), "{answer}");
    server.expect_metric("floe_requests_total", &["allocate"], 0.0);
}
