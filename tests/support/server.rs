//! A floe process that belongs to one test.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::command::{floe, strip};
use super::ports::Ports;
use super::{Config, Namespace, PATIENCE, SmallDisk, http};

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    directory: PathBuf,
    ports: Ports,
    runtime: Runtime,
}

/// The part of the runtime file that tests look at.
#[derive(Deserialize, Debug)]
pub struct Runtime {
    pub pid: u32,
    pub admin: Option<String>,
    pub token: String,
    pub listeners: Vec<Listener>,
}

#[derive(Deserialize, Debug)]
pub struct Listener {
    pub transport: String,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it is ready; `change` may change its
    /// configuration first.
    pub fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(&[], change)
    }

    /// The same with these variables in its environment.
    pub fn start_in(environment: &[(&str, &OsStr)], change: impl FnOnce(&mut Config)) -> Self {
        Self::open(new_directory(), environment, change)
    }

    /// The same with this directory, which is empty but for a link to its log.
    pub fn start_on(disk: &SmallDisk, change: impl FnOnce(&mut Config)) -> Self {
        Self::open(disk.directory().to_owned(), &[], change)
    }

    fn open(directory: PathBuf, environment: &[(&str, &OsStr)], change: impl FnOnce(&mut Config)) -> Self {
        let ports = Ports::new();
        let mut child = serve(floe(), &directory, &ports, environment, change);
        let runtime = wait_for_runtime(&mut child, &directory);
        let server = Self { child, directory, ports, runtime };
        server.wait_until("it is ready", || server.get("/readyz").0 == 200);
        server
    }

    /// The same in a network of its own, where its admin address is out of reach.
    pub fn start_within(namespace: &Namespace, change: impl FnOnce(&mut Config)) -> Self {
        let (directory, ports) = (new_directory(), Ports::new());
        let command = strip(namespace.command(env!("CARGO_BIN_EXE_floe")));
        let mut child = serve(command, &directory, &ports, &[], change);
        // Written when all else stands.
        let runtime = wait_for_runtime(&mut child, &directory);
        Self { child, directory, ports, runtime }
    }

    /// Starts a server that won't have its configuration: its exit status and
    /// what it said.
    pub fn refused(change: impl FnOnce(&mut Config)) -> (Option<i32>, String) {
        let (directory, ports) = (new_directory(), Ports::new());
        let mut child = serve(floe(), &directory, &ports, &[], change);
        let status = wait(&mut child).expect("a server that should not have started");
        let log = read_log(&directory);
        let _ = fs::remove_dir_all(&directory);
        (status.code(), log)
    }

    /// UDP on 127.0.0.1.
    pub fn udp(&self) -> SocketAddr {
        self.listener("udp", false)
    }

    /// UDP on ::1.
    pub fn udp6(&self) -> SocketAddr {
        self.listener("udp", true)
    }

    /// TCP on 127.0.0.1.
    pub fn tcp(&self) -> SocketAddr {
        self.listener("tcp", false)
    }

    /// TCP on ::1.
    pub fn tcp6(&self) -> SocketAddr {
        self.listener("tcp", true)
    }

    /// Every address of this transport, in the configuration's order.
    pub fn all(&self, transport: &str) -> Vec<SocketAddr> {
        let listeners = self.runtime.listeners.iter();
        listeners.filter(|listener| listener.transport == transport).map(|l| l.address).collect()
    }

    fn listener(&self, transport: &str, v6: bool) -> SocketAddr {
        self.runtime
            .listeners
            .iter()
            .find(|listener| listener.transport == transport && listener.address.is_ipv6() == v6)
            .unwrap_or_else(|| panic!("a {transport} listener in {:?}", self.runtime))
            .address
    }

    /// Its state directory, where other commands find it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Reads its runtime file again.
    pub fn look_again(&mut self) {
        self.runtime = read_runtime(self.child.id(), &self.directory).expect("a runtime file");
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        read_log(&self.directory)
    }

    /// Its log has this sooner or later: lines are written by a thread of their own.
    pub fn logs(&self, text: &str) {
        self.wait_until(text, || self.log().contains(text));
    }

    pub fn admin(&self) -> SocketAddr {
        let url = self.runtime.admin.as_deref().expect("an admin address");
        url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
    }

    /// Status and body of a page of the admin address.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "", "")
    }

    /// Like [`Server::get`], of what only the holder of the run's token may see
    /// or do; its JSON.
    pub fn api(&self, method: &str, path: &str) -> (u16, serde_json::Value) {
        let key = format!("Authorization: Bearer {}\r\n", self.runtime.token);
        let (status, body) = self.ask(method, path, &key, "");
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Status and body of what the admin address answers; `headers` are lines that
    /// each end in `\r\n`.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        http::ask(self.admin(), method, path, headers, body, PATIENCE)
    }

    /// The sum of a metric's samples whose labels contain all of `labels`, each
    /// written as `name="value"`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, body) = self.get("/metrics");
        body.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(sample, _)| sample.split('{').next() == Some(name))
            .filter(|(sample, _)| labels.iter().all(|label| sample.contains(label)))
            .map(|(_, value)| value.parse::<f64>().expect("a number"))
            .sum()
    }

    /// The metric has this value now or soon: what is told to a client may be
    /// counted after it.
    pub fn expect_metric(&self, name: &str, labels: &[&str], value: f64) {
        self.wait_until(&format!("{name} {labels:?} is {value}"), || self.metric(name, labels) == value);
    }

    /// Something is counted under the metric now or soon.
    pub fn expect_some(&self, name: &str, labels: &[&str]) {
        self.wait_until(&format!("{name} {labels:?} is more than 0"), || self.metric(name, labels) > 0.0);
    }

    /// Asks again and again until it holds.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "in vain: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Open file descriptors of the process.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(folder).expect("the process lives").count()
    }

    /// Resident memory, KiB.
    pub fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it lives");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child).expect("it ends")
    }

    /// Puts another configuration into its file.
    pub fn rewrite(&self, change: impl FnOnce(&mut Config)) {
        write_configuration(&self.directory, &self.ports, change);
    }

    /// Asks it to end (SIGTERM) and waits; what it has written, to its last line.
    pub fn stop_and_log(mut self) -> (ExitStatus, String) {
        let status = self.end();
        (status, self.log())
    }

    /// Asks it to end (SIGTERM) and waits.
    pub fn stop(mut self) -> ExitStatus {
        self.end()
    }

    fn end(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
        wait(&mut self.child).expect("SIGTERM ends it")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}------", self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Executes `floe serve` with a configuration of its own.
fn serve(
    mut floe: Command,
    directory: &Path,
    ports: &Ports,
    environment: &[(&str, &OsStr)],
    change: impl FnOnce(&mut Config),
) -> Child {
    let file = write_configuration(directory, ports, change);
    let log = fs::File::create(directory.join("log")).expect("a log file");
    floe.envs(environment.iter().copied())
        .args(["serve", "--config"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("floe starts (setpriv is in Debian's util-linux)")
}

fn write_configuration(directory: &Path, ports: &Ports, change: impl FnOnce(&mut Config)) -> PathBuf {
    let mut config = Config::new(directory.to_str().expect("UTF-8"));
    change(&mut config);
    let file = directory.join("floe.toml");
    fs::write(&file, config.to_toml(ports)).expect("the configuration is written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("for nobody else to read");
    file
}

/// The status of a process that ends in time; one that does not is killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// The runtime file appears when the sockets are open.
fn wait_for_runtime(child: &mut Child, directory: &Path) -> Runtime {
    let start = Instant::now();
    loop {
        if let Some(runtime) = read_runtime(child.id(), directory) {
            return runtime;
        }
        let ended = child.try_wait().expect("a child");
        if ended.is_some() || start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            let log = read_log(directory);
            let _ = fs::remove_dir_all(directory);
            panic!("floe did not start ({ended:?}):\n{log}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_runtime(pid: u32, directory: &Path) -> Option<Runtime> {
    let file = directory.join(format!("run-{pid}.json"));
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn read_log(directory: &Path) -> String {
    fs::read_to_string(directory.join("log")).unwrap_or_default()
}

/// An empty directory that only this user can enter.
pub fn new_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}", std::process::id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    // Floe writes no token where others could.
    DirBuilder::new().mode(0o700).recursive(true).create(&directory).expect("a directory for the test");
    directory
}
