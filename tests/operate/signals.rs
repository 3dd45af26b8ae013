//! Signals that coturn's users send.

use std::process::Command;

use crate::support::{ALICE, Client, Request, Server};

fn signal(server: &Server, name: &str) {
    let pid = server.runtime().pid.to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs").success());
}

#[test]
fn usr1_drains_until_the_last_allocation_is_gone() {
    let mut server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    signal(&server, "USR1");
    server.wait_until("it drains", || server.get("/readyz").0 == 503);
    assert_eq!(Client::udp(&server).user(ALICE).call(Request::allocate()).code(), 508);
    client.call(Request::refresh(0)).ok();
    assert!(server.ended().success());
}
