//! Where nobody answers, or somebody else.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use crate::examination::{SOON, as_alice, check, url};
use crate::support::ports::unused;
use crate::support::{PATIENCE, Server};

#[test]
fn a_closed_port() {
    let gone = SocketAddr::from(([127, 0, 0, 1], unused()));
    let examined = check(&as_alice(&[&url(gone, "udp")]));
    examined.assert_failed("binding", "closed-port", &["UDP port", "nothing listens there"]);
    let examined = check(&as_alice(&[&url(gone, "tcp")]));
    examined.assert_failed("connection", "closed-port", &["TCP port", "nothing listens there"]);
}

#[test]
fn silence() {
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = url(mute.local_addr().unwrap(), "udp");
    let examined = check(&as_alice(&[&[address.as_str()], &SOON[..]].concat()));
    examined.assert_failed("binding", "no-answer", &["a firewall drops it"]);
}

#[test]
fn a_tcp_port_that_is_missing_beside_udp_is_a_warning() {
    let server = Server::start(|config| _ = config.set("listen.tcp", Vec::<String>::new()));
    let examined = check(&as_alice(&[&format!("turn:{}", server.udp())]));
    examined.assert_warned("connection", "closed-port", &["TCP port"]);
    assert_eq!(examined.step("echo")["status"], "ok");
}

#[test]
fn a_web_server() {
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = url(web.local_addr().unwrap(), "tcp");
    let server = std::thread::spawn(move || {
        for stream in web.incoming().take(2) {
            let mut stream = stream.unwrap();
            let _ = stream.set_read_timeout(Some(PATIENCE));
            if stream.read(&mut [0; 64]).unwrap_or(0) > 0 {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            }
        }
    });
    let examined = check(&as_alice(&[&address]));
    examined.assert_failed("binding", "wrong-protocol", &["does not speak STUN"]);
    server.join().unwrap();
}

#[test]
fn a_name_that_is_none() {
    let examined = check(&as_alice(&[&format!("turn:{}", "a".repeat(300))]));
    examined.assert_failed("addresses", "unknown-name", &["has no address"]);
    assert_eq!(examined.steps().len(), 1);
}
