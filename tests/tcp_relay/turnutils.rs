//! floe against `turnutils_uclient -T` (Debian: package `coturn`, 4.6.1), bare and
//! under TLS.

use std::net::SocketAddr;
use std::process::Stdio;

use crate::support::command::{bound_command, find};
use crate::support::{ALICE, Authority, Server, skip};

// C-004 C-008 C-012 C-015
#[test]
fn uclient_relays_tcp_without_loss() {
    if find("turnutils_uclient").is_none() {
        return skip("turnutils_uclient", "not installed (Debian: apt-get install coturn)");
    }
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        config.set("relay.tcp", true).set("listen.shards", 3);
    });
    relay(server.tcp(), &[]);
    relay(server.all("tls")[0], &["-S"]);
}

/// Two clients send to each other over relays of TCP.
fn relay(address: SocketAddr, modes: &[&str]) {
    let output = bound_command("timeout")
        .args(["--kill-after=5", "60", "turnutils_uclient", "-T", "-m", "2", "-y"])
        .args(modes)
        .args(["-u", ALICE.name, "-w", ALICE.password, "-n", "20"])
        .args(["-p", &address.port().to_string(), &address.ip().to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("timeout (coreutils) runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{}\n{said}", output.status);
    // The tool ends with status 0 even with total loss, so its summary is read.
    let summary = said.lines().rfind(|line| line.contains("tot_send_bytes")).expect(&said);
    let numbers: Vec<u64> =
        summary.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
    let [.., sent, received] = numbers[..] else { panic!("{summary}") };
    assert!(sent > 0 && sent == received, "{said}");
    let losses = said.lines().rfind(|line| line.contains("Total lost packets")).expect(&said);
    assert!(losses.contains("Total lost packets 0 "), "{said}");
}
