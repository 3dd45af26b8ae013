//! One address may have so many TCP connections and no more, and gets a place
//! back for each that it closes.

use std::net::{Ipv4Addr, SocketAddr};

use crate::support::{Client, Server, own_address};

const LIMIT: usize = 10;

fn from(ip: Ipv4Addr, server: &Server) -> Client {
    Client::tcp_on(SocketAddr::new(ip.into(), 0), server.tcp())
}

// H-042
#[test]
fn each_address_has_its_own() {
    let server = Server::start(|config| {
        config.set("limits.tcp-connections-per-address", LIMIT as i64);
    });
    let (crowd, other) = (own_address(), own_address());
    let mut inside: Vec<_> = (0..LIMIT).map(|_| from(crowd, &server)).collect();
    inside.iter_mut().for_each(|client| _ = client.ping());
    for _ in 0..LIMIT {
        from(crowd, &server).expect_closed();
    }
    server.expect_metric("floe_tcp_connections_refused_total", &[], LIMIT as f64);
    server.expect_metric("floe_tcp_connections", &[], LIMIT as f64);
    from(other, &server).ping();

    drop(inside.pop());
    server.wait_until("a place is free", || server.metric("floe_tcp_connections", &[]) < LIMIT as f64);
    let mut late = from(crowd, &server);
    late.ping();
    from(crowd, &server).expect_closed();
    inside.iter_mut().for_each(|client| _ = client.ping());
}
