//! What systemd is told over `$NOTIFY_SOCKET`.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use crate::support::PATIENCE;
use crate::support::command::floe;
use crate::support::server::new_directory;

#[test]
fn it_says_ready_then_that_it_lives_then_that_it_reloads_then_that_it_stops() {
    let directory = new_directory();
    let path = directory.join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut child = floe()
        .args(["serve", "--set", r#"listen.udp=["127.0.0.1:0"]"#, "--set", "listen.tcp=[]"])
        .args(["--set", r#"relay.addresses=["127.0.0.1"]"#, "--set", "admin.listen="])
        .arg("--set")
        .arg(format!("state-directory={}", directory.display()))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("floe runs");
    let next = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    assert_eq!(next(), "READY=1");
    assert_eq!((next().as_str(), next().as_str()), ("WATCHDOG=1", "WATCHDOG=1"));
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill").args([name, &child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    };
    // It has nothing to read, but the service manager is not left waiting.
    signal("-HUP");
    let reloading = loop {
        match next() {
            alive if alive == "WATCHDOG=1" => {}
            other => break other,
        }
    };
    let (word, since) = reloading.split_once('\n').expect("two lines");
    assert_eq!((word, since.split('=').next()), ("RELOADING=1", Some("MONOTONIC_USEC")));
    while next() != "READY=1" {}
    signal("-TERM");
    while next() != "STOPPING=1" {}
    assert!(child.wait().expect("it ends").success());
    let _ = std::fs::remove_dir_all(directory);
}
