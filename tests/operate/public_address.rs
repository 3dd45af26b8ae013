//! `relay.discover`: the public address found out, from fake metadata services and
//! through a NAT, each in networks of the test's own.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::command::{find, strip};
use crate::support::{Config, Namespace, PATIENCE, Server, skip};

/// What the server itself knows, and what the world does.
const PRIVATE: &str = "10.0.0.5";
const PUBLIC: &str = "93.184.10.1";

/// A machine with a private address and a cable; the metadata address is its own.
fn instance() -> Option<Namespace> {
    Namespace::new(&[
        "link add uplink type veth peer name world",
        &format!("address add {PRIVATE}/24 dev uplink"),
        "link set uplink up",
        "link set world up",
        "address add 169.254.169.254/32 dev lo",
    ])
}

/// A server there that asks these.
fn serve(namespace: &Namespace, sources: &[&str]) -> Server {
    Server::start_within(namespace, |config| configure(config, sources))
}

fn configure(config: &mut Config, sources: &[&str]) {
    config
        .set("listen.udp", vec!["0.0.0.0:3478"])
        .set("listen.tcp", Vec::<String>::new())
        .set("relay.addresses", vec![PRIVATE])
        .set("relay.discover", sources.to_vec());
}

/// What the server has said when it was ready.
fn banner(server: &Server) -> String {
    server.wait_until("it says that it is ready", || server.log().contains("is ready."));
    server.wait_until("all of it", || server.log().contains("/metrics"));
    server.log()
}

fn assert_found(server: &Server, by: &str) {
    let banner = banner(server);
    let relaying = format!("{PRIVATE}, advertised as {PUBLIC}, ports");
    assert!(banner.contains(&relaying), "{relaying} in:\n{banner}");
    let found = format!("{PUBLIC} for {PRIVATE}, says {by}");
    assert!(banner.contains(&found), "{found} in:\n{banner}");
    assert!(banner.contains(&format!("stun:{PUBLIC}:3478")), "{banner}");
}

/// Answers so many requests in the namespace: by what `answer` makes of the head.
fn metadata(
    namespace: &Namespace,
    requests: usize,
    answer: impl Fn(&str) -> (u16, String) + Send + 'static,
) -> JoinHandle<()> {
    let file = std::fs::File::open(format!("/proc/{}/ns/net", namespace.pid())).expect("its network");
    let (sender, ready) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))
            .expect("into the network");
        let listener = TcpListener::bind("169.254.169.254:80").expect("the metadata address");
        sender.send(()).expect("somebody waits");
        for _ in 0..requests {
            let (mut stream, _) = listener.accept().expect("a request");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a head") == 1 {
                head.push(byte[0]);
            }
            let (status, body) = answer(&String::from_utf8_lossy(&head));
            write!(stream, "HTTP/1.1 {status} So\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                .expect("answered");
        }
    });
    ready.recv().expect("it listens");
    thread
}

/// A service that knows one page, for requests with this header.
fn page(
    path: &'static str,
    header: &'static str,
    body: &'static str,
) -> impl Fn(&str) -> (u16, String) + Send {
    move |head| match head.starts_with(&format!("GET {path} ")) && head.contains(header) {
        true => (200, body.to_owned()),
        false => (404, String::new()),
    }
}

#[test]
fn each_cloud_is_asked_in_its_own_way() {
    type Page = (&'static str, &'static str, &'static str, &'static str);
    let pages: [Page; 4] = [
        ("hetzner", "/hetzner/v1/metadata/public-ipv4", "", PUBLIC),
        ("digitalocean", "/metadata/v1/interfaces/public/0/ipv4/address", "", PUBLIC),
        ("openstack", "/latest/meta-data/public-ipv4", "", PUBLIC),
        (
            "gcp",
            "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip",
            "Metadata-Flavor: Google\r\n",
            PUBLIC,
        ),
    ];
    for (cloud, path, header, body) in pages {
        let Some(namespace) = instance() else { return };
        let service = metadata(&namespace, 1, page(path, header, body));
        assert_found(&serve(&namespace, &[cloud]), cloud);
        service.join().expect("asked as it should be");
    }
}

#[test]
fn amazon_is_asked_with_a_token() {
    let Some(namespace) = instance() else { return };
    let service = metadata(&namespace, 2, |head| {
        if head.starts_with("PUT /latest/api/token ")
            && head.contains("X-aws-ec2-metadata-token-ttl-seconds: 60\r\n")
        {
            return (200, "dG9rZW4=".to_owned());
        }
        let good = head.starts_with("GET /latest/meta-data/public-ipv4 ")
            && head.contains("X-aws-ec2-metadata-token: dG9rZW4=\r\n");
        if good { (200, PUBLIC.to_owned()) } else { (401, String::new()) }
    });
    assert_found(&serve(&namespace, &["aws"]), "aws");
    service.join().expect("asked as it should be");
}

#[test]
fn azure_knows_standard_addresses_elsewhere() {
    let Some(namespace) = instance() else { return };
    let service = metadata(&namespace, 2, |head| {
        if !head.contains("Metadata: true\r\n") {
            return (400, String::new());
        }
        match head.starts_with("GET /metadata/loadbalancer?api-version=") {
            true => (
                200,
                format!(
                    r#"{{"loadbalancer":{{"publicIpAddresses":[
                        {{"frontendIpAddress":"93.184.10.77","privateIpAddress":"10.0.0.6"}},
                        {{"frontendIpAddress":"{PUBLIC}","privateIpAddress":"{PRIVATE}"}}]}}}}"#
                ),
            ),
            // As it is with addresses of the standard kind.
            false => (200, String::new()),
        }
    });
    assert_found(&serve(&namespace, &["azure"]), "azure");
    service.join().expect("asked as it should be");
}

#[test]
fn kubernetes_tells_it_by_a_variable_or_a_file() {
    let Some(namespace) = instance() else { return };
    let server = Server::start_within(&namespace, |config| {
        let file = config.state_directory().join("public-ip");
        std::fs::write(&file, format!("{PUBLIC}\n")).expect("written");
        configure(config, &[&format!("file:{}", file.display())]);
    });
    assert_found(&server, "file:");
    drop(server);

    let mut command = strip(namespace.command(env!("CARGO_BIN_EXE_floe")));
    command.env("HOST_IP", PUBLIC);
    let said = refused_or_said(command, &["env:HOST_IP"], "is ready.");
    assert!(said.contains(&format!("{PUBLIC} for {PRIVATE}, says env:HOST_IP")), "{said}");
}

/// Runs a server until it has said this or has ended; what it said, and its exit
/// status behind that.
fn refused_or_said(mut command: std::process::Command, sources: &[&str], until: &str) -> String {
    let directory = crate::support::server::new_directory();
    let log = directory.join("log");
    let output = std::fs::File::create(&log).expect("a file");
    let state = format!("state-directory={}", directory.display());
    let discover = format!("relay.discover={sources:?}");
    let relay = format!("relay.addresses=[{PRIVATE:?}]");
    command.args([
        "serve",
        "--set",
        &state,
        "--set",
        &discover,
        "--set",
        &relay,
        "--set",
        "admin.listen=127.0.0.1:0",
    ]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(output)
        .spawn()
        .expect("floe starts");
    let start = Instant::now();
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break format!("{status}");
        }
        if read().contains(until) || start.elapsed() > PATIENCE {
            break "running".to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let _ = child.kill();
    let _ = child.wait();
    let said = format!("{}\n{status}", read());
    let _ = std::fs::remove_dir_all(&directory);
    said
}

#[test]
fn when_nobody_knows_it_the_server_does_not_start() {
    let Some(namespace) = instance() else { return };
    let command = strip(namespace.command(env!("CARGO_BIN_EXE_floe")));
    let said = refused_or_said(command, &["env:NOT_SET", "aws", "stun:10.0.0.5:9"], "is ready.");
    for part in [
        "nobody has told the public address of 10.0.0.5",
        "env:NOT_SET: the variable NOT_SET is not set",
        "aws: no answer from 169.254.169.254:80",
        "stun:10.0.0.5:9: no answer",
        "exit status: 1",
    ] {
        assert!(said.contains(part), "{part} in:\n{said}");
    }
}

#[test]
fn who_says_otherwise_is_told_of() {
    let Some(namespace) = instance() else { return };
    let service = metadata(&namespace, 1, page("/latest/meta-data/public-ipv4", "", "93.184.10.77"));
    let server = Server::start_within(&namespace, |config| {
        let file = config.state_directory().join("public-ip");
        std::fs::write(&file, PUBLIC).expect("written");
        configure(config, &[&format!("file:{}", file.display()), "openstack"]);
    });
    let banner = banner(&server);
    service.join().expect("asked as it should be");
    assert!(banner.contains("93.184.10.77 says openstack: the first is used"), "{banner}");
    assert!(banner.contains(&format!("advertised as {PUBLIC}")), "{banner}");
}

#[test]
fn a_private_address_that_nobody_is_asked_about_is_told_of() {
    let Some(namespace) = instance() else { return };
    let server = serve(&namespace, &[]);
    let banner = banner(&server);
    let words = format!("WARNING: relaying from {PRIVATE}, a private address");
    assert!(banner.contains(&words) && banner.contains("relay.discover = [\"stun:HOST:PORT\"]"), "{banner}");
}

/// A server behind a NAT that gives its packets another address, and a STUN
/// server in the world.
struct BehindNat {
    inside: Namespace,
    router: Namespace,
    outside: Namespace,
}

impl BehindNat {
    /// `rule` is what the router does to what leaves.
    fn new(rule: &str) -> Option<Self> {
        if find("nft").is_none() {
            skip("nft", "not installed (Debian: apt-get install nftables)");
            return None;
        }
        let (inside, outside) = (Namespace::new(&[])?, Namespace::new(&[])?);
        let router = Namespace::new(&[
            &format!("link add lan type veth peer name uplink netns {}", inside.pid()),
            &format!("link add wan type veth peer name uplink netns {}", outside.pid()),
            "address add 10.0.0.1/24 dev lan",
            "address add 93.184.10.1/24 dev wan",
            "link set lan up",
            "link set wan up",
        ])?;
        let nat = Self { inside, router, outside };
        nat.run(&nat.inside, "ip address add 10.0.0.5/24 dev uplink && ip link set uplink up && ip route add default via 10.0.0.1");
        nat.run(&nat.outside, "ip address add 93.184.10.9/24 dev uplink && ip link set uplink up");
        nat.run(&nat.router, "echo 1 >/proc/sys/net/ipv4/ip_forward");
        let table = format!(
            "nft 'add table ip nat; add chain ip nat out {{ type nat hook postrouting priority 100; }}; \
             add rule ip nat out oifname wan {rule}'"
        );
        nat.run(&nat.router, &table);
        Some(nat)
    }

    fn run(&self, namespace: &Namespace, script: &str) {
        let output = namespace.command("sh").args(["-ec", script]).output().expect("sh runs");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn stun_server(&self) -> Server {
        Server::start_within(&self.outside, |config| {
            config
                .set("listen.udp", vec!["93.184.10.9:3478"])
                .set("listen.tcp", Vec::<String>::new())
                .set("relay.addresses", vec!["93.184.10.9"]);
        })
    }
}

#[test]
fn a_stun_server_sees_it_through_a_nat() {
    let Some(nat) = BehindNat::new("snat to 93.184.10.1") else { return };
    let _stun = nat.stun_server();
    let server = serve(&nat.inside, &["stun:93.184.10.9:3478"]);
    assert_found(&server, "stun:93.184.10.9:3478");
    assert!(!banner(&server).contains("changes ports"), "{}", server.log());
}

#[test]
fn a_nat_that_changes_ports_is_told_of() {
    let Some(nat) = BehindNat::new("ip protocol udp snat to 93.184.10.1:20000-20100") else { return };
    let _stun = nat.stun_server();
    let server = serve(&nat.inside, &["stun:93.184.10.9"]);
    assert_found(&server, "stun:93.184.10.9:3478");
    assert!(banner(&server).contains("the NAT changes ports"), "{}", server.log());
}
