//! A server that has run out of descriptors refuses what needs one, goes on with
//! what it has, and is whole again when there are some.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::bystander::{Bystander, alongside};
use crate::process::descriptors;
use crate::support::{ALICE, Client, Request, Server, own_address};

/// Descriptors that are left to it, about.
const LEFT: usize = 10;

fn limit(server: &Server, descriptors: u64) {
    let pid = Pid::from_raw(server.runtime().pid as i32).expect("a process");
    let limit = Rlimit { current: Some(descriptors), ..getrlimit(Resource::Nofile) };
    prlimit(Some(pid), Resource::Nofile, limit).expect("a child's limit can be set");
}

// H-050
#[test]
fn refuses_and_recovers() {
    let server = Server::start(|_| {});
    let mut bystanders = Bystander::some(&server, own_address());
    let descriptors = descriptors(&server);
    limit(&server, (descriptors + LEFT) as u64);

    let mut clients = Vec::new();
    let mut refused = loop {
        let mut client = Client::udp(&server).user(ALICE);
        let reply = client.call(Request::allocate());
        if !reply.is_success() {
            assert_eq!(reply.code(), 508);
            break client;
        }
        clients.push(client);
        // The limit is one of numbers, and some below it may be free.
        assert!(clients.len() < 10 * LEFT, "the limit has no effect");
    };
    assert!(!clients.is_empty());
    let (mut waiting, _) = alongside(&mut bystanders, || {
        // The kernel takes the connection, the server can't; its requests wait.
        let mut waiting = Client::tcp(&server);
        waiting.send(&Request::binding().bytes());
        for _ in 0..100 {
            assert_eq!(refused.call(Request::allocate()).code(), 508);
        }
        waiting
    });

    for client in &mut clients {
        client.call(Request::refresh(0)).ok();
    }
    waiting.receive();
    refused.allocate();
    limit(&server, (descriptors + 1000) as u64);
    drop(waiting);
    refused.call(Request::refresh(0)).ok();
    server.wait_until("descriptors are back", || server.descriptors() <= descriptors);
    let others = bystanders.len() as f64;
    server.expect_metric("floe_relay_ports_used", &[], others);
    server.expect_metric("floe_allocations", &[], others);
}
