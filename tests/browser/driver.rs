//! A real Chromium, driven over WebDriver (W3C): HTTP with JSON to Debian's
//! chromedriver, which is of one version with the browser. A client of a hundred
//! lines does it: fantoccini and thirtyfour each bring an HTTP client, TLS and a
//! runtime, and playwright needs node, npm and a lock beside Cargo's.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::command::{bound_command, find};
use crate::support::{Authority, Server, http, server, skip};

/// How long anything in a browser may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// An element as WebDriver names it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const TAB: &str = "\u{e004}";

const FLAGS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    // Names for addresses would be asked for by multicast.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    // DNS knows no names of tests.
    "--host-resolver-rules=MAP turn.tests.example 127.0.0.1",
    // A machine may have no other interface.
    "--allow-loopback-in-peer-connection",
];

/// A chromedriver and its browsers; all gone when it is dropped.
pub(crate) struct Driver {
    process: Child,
    address: SocketAddr,
    directory: PathBuf,
    /// Browsers are large: two tests at once.
    _seat: MutexGuard<'static, ()>,
}

impl Driver {
    /// `None`, and said so, where there is no Chromium.
    pub(crate) fn start() -> Option<Self> {
        static SEATS: [Mutex<()>; 2] = [const { Mutex::new(()) }; 2];
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        if find("chromium").is_none() || find("chromedriver").is_none() {
            skip("chromium", "not installed (Debian: apt-get install chromium chromium-driver)");
            return None;
        }
        let seat = &SEATS[COUNT.fetch_add(1, Ordering::Relaxed) % SEATS.len()];
        let seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = server::new_directory();
        let mut process = contained("chromedriver")
            .arg("--port=0")
            // What a browser leaves at home goes with the test.
            .env("HOME", &directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.split("started successfully on port ").nth(1)?.trim_end_matches('.').parse().ok()
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.expect("it says its port")));
        Some(Self { process, address, directory, _seat: seat })
    }

    /// Makes the browsers that come believe this authority, as a user would by
    /// importing it; false, and said so, where that can't be done.
    pub(crate) fn believe(&self, authority: &Authority) -> bool {
        if find("certutil").is_none() {
            skip("certutil", "not installed (Debian: apt-get install libnss3-tools)");
            return false;
        }
        let store = self.directory.join(".pki/nssdb");
        std::fs::create_dir_all(&store).expect("a directory");
        let ca = authority.ca();
        let certutil = |arguments: &[&str]| {
            let place = format!("sql:{}", store.display());
            let output = Command::new("certutil").args(["-d", &place]).args(arguments).output();
            let output = output.expect("certutil runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        certutil(&["-N", "--empty-password"]);
        certutil(&["-A", "-n", "tests", "-t", "C,,", "-i", ca.to_str().expect("UTF-8")]);
        true
    }

    /// A new browser with an empty profile.
    pub(crate) fn browser(&self) -> Browser<'_> {
        let profile = format!("--user-data-dir={}", self.directory.join("profile").display());
        let arguments: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).chain([profile]).collect();
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = self.ask("POST", "/session", &capabilities);
        Browser { driver: self, session: session["sessionId"].as_str().expect("a session").to_owned() }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = "Content-Type: application/json\r\n";
        let (status, answer) = http::ask(self.address, method, path, headers, &body, PATIENCE);
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(status, 200, "{path}: {answer:#}");
        answer["value"].take()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A process group, and where one can be made a namespace for processes: whoever
/// is in it ends with it, also the browsers of a test that is killed.
fn contained(program: &str) -> Command {
    let own = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let mapped = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let possible = |flags: &&[&str]| {
        let output = Command::new("unshare").args(*flags).arg("true").output();
        output.is_ok_and(|output| output.status.success())
    };
    let mut command = match [&own[..], &mapped[..]].into_iter().find(possible) {
        Some(flags) => {
            let mut command = bound_command("unshare");
            command.args(flags).arg(program);
            command
        }
        None => bound_command(program),
    };
    command.process_group(0);
    command
}

/// One browser, with one tab or several.
pub(crate) struct Browser<'a> {
    driver: &'a Driver,
    session: String,
}

impl Browser<'_> {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.driver.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    /// Opens floe's page and waits until its program runs; `fragment` is what
    /// stands behind `/#`.
    pub(crate) fn open(&self, server: &Server, fragment: &str) {
        // The same page again would only be scrolled.
        self.ask("POST", "/url", &json!({"url": "about:blank"}));
        let url = format!("http://{}/#{fragment}", server.admin());
        self.ask("POST", "/url", &json!({"url": url}));
        self.wait("the page runs", "document.documentElement.dataset.ready !== undefined");
    }

    /// Opens it with the run's token, as the server prints it.
    pub(crate) fn open_with_token(&self, server: &Server, view: &str) {
        self.open(server, &format!("/{view}?token={}", server.runtime().token));
    }

    /// What an expression of JavaScript is.
    pub(crate) fn eval(&self, expression: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": format!("return {expression}"), "args": []}))
    }

    /// Executes a program, past the page's own policy for scripts.
    pub(crate) fn execute(&self, script: &str) {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": []}));
    }

    /// The text of an element as it is shown.
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({}).innerText", json!(selector)));
        text.as_str().unwrap_or_else(|| panic!("{selector} has no text")).to_owned()
    }

    /// Waits until an expression holds.
    pub(crate) fn wait(&self, what: &str, expression: &str) {
        let start = Instant::now();
        while self.eval(&format!("Boolean({expression})")) != true {
            assert!(start.elapsed() < PATIENCE, "in vain: {what}\n{}", self.text("body"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until an element's text has this in it.
    pub(crate) fn wait_for_text(&self, selector: &str, text: &str) {
        let expression =
            format!("document.querySelector({}).innerText.includes({})", json!(selector), json!(text));
        self.wait(&format!("{text:?} in {selector}"), &expression);
    }

    fn element(&self, selector: &str) -> String {
        let found = self.ask("POST", "/element", &json!({"using": "css selector", "value": selector}));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Clicks as a hand would: what is hidden or covered can't be clicked.
    pub(crate) fn click(&self, selector: &str) {
        self.ask("POST", &format!("/element/{}/click", self.element(selector)), &json!({}));
    }

    /// Types into an element; for a file input, a path.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        self.ask("POST", &format!("/element/{}/value", self.element(selector)), &json!({"text": text}));
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) fn press(&self, keys: &[&str]) {
        let actions: Vec<Value> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]});
        self.ask("POST", "/actions", &actions);
    }

    /// Chooses in a `select`.
    pub(crate) fn choose(&self, selector: &str, value: &str) {
        self.click(&format!("{selector} option[value={value}]"));
    }

    /// A second tab, which is then the one that is driven; both are named.
    pub(crate) fn second_tab(&self) -> [String; 2] {
        let first = self.ask("GET", "/window", &Value::Null);
        let second = self.ask("POST", "/window/new", &json!({"type": "tab"}));
        let names = [first, second["handle"].clone()].map(|name| name.as_str().expect("a name").to_owned());
        self.to_tab(&names[1]);
        names
    }

    pub(crate) fn to_tab(&self, name: &str) {
        self.ask("POST", "/window", &json!({"handle": name}));
    }

    /// A command of Chromium's own protocol.
    pub(crate) fn command(&self, name: &str, parameters: &Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({"cmd": name, "params": parameters}))
    }

    /// As large as a phone or a desk has it.
    pub(crate) fn resize(&self, width: u32, height: u32, mobile: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.command("Emulation.setScrollbarsHidden", &json!({"hidden": true}));
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Light or dark, as the system would have it.
    pub(crate) fn colours(&self, scheme: &str) {
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", &feature);
    }

    /// What is to be seen, as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let png = self.command("Page.captureScreenshot", &json!({"format": "png"}));
        STANDARD.decode(png["data"].as_str().expect("a picture")).expect("base64")
    }

    /// What the console has said since it was last asked.
    pub(crate) fn console(&self) -> Value {
        self.ask("POST", "/se/log", &json!({"type": "browser"}))
    }

    pub(crate) fn expect_clean_console(&self) {
        assert_eq!(self.console(), json!([]));
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        // After a failure the driver may not answer; it is killed soon anyway.
        if !std::thread::panicking() {
            self.ask("DELETE", "", &Value::Null);
        }
    }
}
