//! How many allocations there may be (RFC 8656 §7.2, 486 and 508).

use crate::support::{ALICE, Client, Config, Request, SECRET, Server};

use super::rest_credentials::{hour_from_now, rest_password};

fn credential(user: &str) -> (String, String) {
    let name = format!("{}:{user}", hour_from_now());
    let password = rest_password(SECRET, &name);
    (name, password)
}

fn client(client: Client, credential: &(String, String)) -> Client {
    client.user(crate::support::User { name: &credential.0, password: &credential.1 })
}

// B-045 H-040 F-005
#[test]
fn a_user_has_so_many_allocations_and_no_more() {
    let server = Server::start(|config: &mut Config| {
        config.secret_only().set("limits.allocations-per-user", 3);
    });
    let (carol, dave) = (credential("carol"), credential("dave"));
    let mut first = client(Client::udp(&server), &carol);
    let mut second = client(Client::tcp(&server), &carol);
    let mut third = client(Client::udp_from("127.0.0.2".parse().unwrap(), server.udp()), &carol);
    for client in [&mut first, &mut second, &mut third] {
        client.allocate();
    }
    let mut fourth = client(Client::udp6(&server), &carol);
    assert_eq!(fourth.call(Request::allocate()).code(), 486);
    // Another credential of the same user changes nothing.
    let later = format!("{}:carol", hour_from_now() + 60);
    let later = (later.clone(), rest_password(SECRET, &later));
    assert_eq!(client(Client::udp(&server), &later).call(Request::allocate()).code(), 486);

    client(Client::udp(&server), &dave).allocate();
    second.call(Request::refresh(0)).ok();
    fourth.allocate();
}

// B-045 B-161
#[test]
fn a_lost_connection_gives_its_allocation_back() {
    let server = Server::start(|config: &mut Config| {
        config.secret_only().set("limits.allocations-per-user", 1);
    });
    let carol = credential("carol");
    for _ in 0..3 {
        let mut lost = client(Client::tcp(&server), &carol);
        lost.allocate();
        drop(lost);
        server.expect_metric("floe_allocations", &[], 0.0);
    }
}

// H-040
#[test]
fn the_server_has_so_many_allocations_and_no_more() {
    let server = Server::start(|config: &mut Config| {
        config.set("limits.allocations", 2);
    });
    let mut clients: Vec<Client> = (0..3).map(|_| Client::udp(&server).user(crate::support::ALICE)).collect();
    clients[0].allocate();
    clients[1].allocate();
    assert_eq!(clients[2].call(Request::allocate()).code(), 508);
    clients[0].call(Request::refresh(0)).ok();
    clients[2].allocate();
}

// B-035 H-052
#[test]
fn what_was_refused_takes_no_place() {
    let server = Server::start(|config: &mut Config| {
        config.secret_only().set("limits.allocations-per-user", 1);
    });
    let carol = credential("carol");
    let mut first = client(Client::udp(&server), &carol);
    for round in 0..200 {
        if round % 2 == 0 {
            assert_eq!(first.call(Request::allocate().family(3)).code(), 440);
            continue;
        }
        first.call(Request::allocate().family(2)).ok();
        assert_eq!(client(Client::udp(&server), &carol).call(Request::allocate()).code(), 486);
        first.call(Request::refresh(0)).ok();
    }
    first.allocate();
}

// B-045
#[test]
fn a_limit_that_is_set_holds_for_static_users_too() {
    let server = Server::start(|config: &mut Config| _ = config.set("limits.allocations-per-user", 1));
    Client::udp(&server).user(ALICE).allocate();
    assert_eq!(Client::udp(&server).user(ALICE).call(Request::allocate()).code(), 486);
}
