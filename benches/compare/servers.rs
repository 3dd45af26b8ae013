//! The servers that are compared: how each is started on loopback, and stopped.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use floe::client::transport::{Endpoint, Tls, Transport};

use crate::{forwarder, turn_crate};

pub(crate) const USER: &str = "bench";
pub(crate) const PASSWORD: &str = "a password of the benchmark alone";
const REALM: &str = "bench.example";
/// What the certificate is for.
const NAME: &str = "localhost";
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of those who take part.
#[derive(Clone, Debug)]
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    /// With its version.
    pub(crate) title: String,
    program: PathBuf,
    /// One of those that are made to do with one thread.
    pub(crate) single: bool,
}

/// A server that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    directory: PathBuf,
    addresses: Addresses,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    udp: SocketAddr,
    tcp: Option<SocketAddr>,
    tls: Option<SocketAddr>,
}

impl Rival {
    pub(crate) fn floe() -> Self {
        let title = format!("floe {}", env!("CARGO_PKG_VERSION"));
        Self { name: "floe", title, program: env!("CARGO_BIN_EXE_floe").into(), single: false }
    }

    /// `None` when there is no such program.
    pub(crate) fn coturn(program: &Path) -> Option<Self> {
        let output = Command::new(program).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = said.lines().last().unwrap_or_default().split(' ').next().unwrap_or_default();
        let title = format!("coturn {version}");
        Some(Self { name: "coturn", title, program: program.to_owned(), single: false })
    }

    pub(crate) fn turn_crate() -> Self {
        Self::myself("turn", turn_crate::TITLE)
    }

    pub(crate) fn forwarder() -> Self {
        Self::myself("bare", forwarder::TITLE)
    }

    fn myself(name: &'static str, title: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        Self { name, title: title.to_owned(), program, single: false }
    }

    /// The same with one thread; it has to be floe or the forwarder.
    pub(crate) fn single(self) -> Self {
        let threads = if self.name == "floe" { "one shard" } else { "one thread" };
        Self { title: format!("{}, {threads}", self.title), single: true, ..self }
    }

    /// Starts it afresh and waits until it answers.
    pub(crate) fn start(&self) -> Result<Running, String> {
        let directory = own_directory();
        let started = match self.name {
            "floe" => self.start_floe(&directory),
            "coturn" => self.start_coturn(&directory),
            "turn" => self.start_myself(turn_crate::COMMAND, None),
            _ => self.start_myself(forwarder::COMMAND, self.single.then_some(1)),
        };
        let (child, addresses) = started.map_err(|error| format!("cannot start {}: {error}", self.title))?;
        let udp = addresses.udp;
        let running = Running { child, directory, addresses };
        if answers(udp) { Ok(running) } else { Err(format!("{} does not answer on {udp}", self.title)) }
    }

    fn start_floe(&self, directory: &Path) -> Result<Started, String> {
        let (port, tls) = (free_port(), free_port());
        let [certificate, key] = certificate();
        let shards = if self.single { "shards = 1\n" } else { "" };
        let config = format!(
            "realm = {REALM:?}\nstate-directory = {directory:?}\ndrain-timeout = 0\n\
             [listen]\n{shards}udp = [\"127.0.0.1:{port}\"]\ntcp = [\"127.0.0.1:{port}\"]\ntls = [\"127.0.0.1:{tls}\"]\n\
             [tls]\ncertificate = {certificate:?}\nprivate-key = {key:?}\n\
             [relay]\naddresses = [\"127.0.0.1\"]\n[auth]\nusers = {{ {USER} = {PASSWORD:?} }}\n\
             [peers]\nallow = [\"127.0.0.0/8\"]\n[admin]\nlisten = \"\"\n\
             [limits]\nunauthenticated-per-second = 0\ntcp-connections-per-address = 0\n\
             [log]\nlevel = \"warn\"\n"
        );
        let file = directory.join("floe.toml");
        fs::write(&file, config).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(&file);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLOE_")) {
            command.env_remove(name);
        }
        let child = spawn(&mut command)?;
        let runtime = directory.join(format!("run-{}.json", child.id()));
        let began = Instant::now();
        loop {
            let listening = fs::read(&runtime).ok().and_then(|text| listeners(&text));
            if let Some(addresses) = listening {
                return Ok((child, addresses));
            }
            if began.elapsed() > PATIENCE {
                end(child);
                return Err("it does not say where it listens".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As its documentation advises for such a use: no configuration file, no
    /// database of its own, no log, no telnet; threads as it likes.
    fn start_coturn(&self, directory: &Path) -> Result<Started, String> {
        let (port, tls) = (free_port(), free_port());
        let [certificate, key] = certificate();
        let child = spawn(
            Command::new(&self.program)
                .args(["-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--allow-loopback-peers"])
                .args(["--lt-cred-mech", "--no-dtls", "--no-cli", "--no-stdout-log"])
                .args([format!("--listening-port={port}"), format!("--realm={REALM}")])
                .arg(format!("--tls-listening-port={tls}"))
                .args(["--cert".as_ref(), certificate.as_os_str(), "--pkey".as_ref(), key.as_os_str()])
                .arg(format!("--user={USER}:{PASSWORD}"))
                .arg(format!("--userdb={}", directory.join("turndb").display()))
                .arg(format!("--pidfile={}", directory.join("pid").display()))
                .args(["--log-file=/dev/null", "--simple-log"])
                .current_dir(directory),
        )?;
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok((child, Addresses { udp: at(port), tcp: Some(at(port)), tls: Some(at(tls)) }))
    }

    /// One that says where it listens, for UDP alone.
    fn start_myself(&self, command: &str, threads: Option<usize>) -> Result<Started, String> {
        let arguments = [command, REALM];
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .args(threads.map(|threads| threads.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        let said = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        match line.trim().parse() {
            Ok(udp) => Ok((child, Addresses { udp, tcp: None, tls: None })),
            Err(_) => {
                end(child);
                Err(format!("it says {line:?} ({said:?})"))
            }
        }
    }
}

type Started = (Child, Addresses);

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where and how clients reach it by a transport.
    pub(crate) fn endpoint(&self, transport: Transport) -> Result<Endpoint, String> {
        let Addresses { udp, tcp, tls } = self.addresses;
        let address = match transport {
            Transport::Udp => Some(udp),
            Transport::Tcp => tcp,
            Transport::Tls => tls,
            Transport::Dtls => None,
        };
        let believed = match transport {
            Transport::Tls => Some(Tls::new(NAME, Some(&certificate()[0]))?),
            _ => None,
        };
        Ok(Endpoint { transport, address: address.ok_or("it has no such listener")?, tls: believed })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().map_err(|error| error.to_string())
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// From floe's runtime file.
fn listeners(runtime: &[u8]) -> Option<Addresses> {
    let runtime: serde_json::Value = serde_json::from_slice(runtime).ok()?;
    let of = |transport| {
        let listener = runtime["listeners"].as_array()?.iter().find(|one| one["transport"] == transport)?;
        listener["address"].as_str()?.parse().ok()
    };
    Some(Addresses { udp: of("udp")?, tcp: Some(of("tcp")?), tls: Some(of("tls")?) })
}

/// Files of a certificate for [`NAME`] that nobody else has signed, and of its key;
/// made once.
fn certificate() -> [PathBuf; 2] {
    static FILES: OnceLock<[PathBuf; 2]> = OnceLock::new();
    let made = FILES.get_or_init(|| {
        let directory = own_directory();
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let files = ["certificate.pem", "key.pem"].map(|name| directory.join(name));
        fs::write(&files[0], made.cert.pem()).expect("a file");
        fs::write(&files[1], made.signing_key.serialize_pem()).expect("a file");
        files
    });
    made.clone()
}

/// Free for UDP and TCP; below the ephemeral range, so that no peer takes it.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(2_654_435_761);
    let ports = std::iter::repeat_with(|| {
        (20_000 + start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % 12_000) as u16
    });
    let is_free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    ports.take(12_000).find(is_free).expect("a free port")
}

/// Whether it answers a Binding request before long.
fn answers(server: SocketAddr) -> bool {
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { return false };
    let (began, pause) = (Instant::now(), Duration::from_millis(50));
    let request = *b"\x00\x01\x00\x00\x21\x12\xa4\x42compare-1234";
    let mut buffer = [0; 512];
    if socket.connect(server).is_err() || socket.set_read_timeout(Some(pause)).is_err() {
        return false;
    }
    while began.elapsed() < PATIENCE {
        // Refused while nobody listens yet.
        let _ = socket.send(&request);
        match socket.recv(&mut buffer) {
            Ok(length) if length >= 20 => return true,
            _ => std::thread::sleep(pause / 5),
        }
    }
    false
}

/// Empty, and for nobody else to enter: floe writes a token there.
fn own_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("compare-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&directory).expect("a directory");
    directory
}
