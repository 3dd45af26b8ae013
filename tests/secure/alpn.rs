//! Application-Layer Protocol Negotiation (RFC 7443).

use std::net::TcpStream;

use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{AlertDescription, Error};

use crate::support::authority::{HOST, client};
use crate::support::{Authority, Server};

// E-030
#[test]
fn what_is_known_is_chosen_and_what_is_unknown_is_refused() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let offers: [(&[&str], Option<&str>); 5] = [
        (&["stun.turn"], Some("stun.turn")),
        (&["stun.nat-discovery"], Some("stun.nat-discovery")),
        (&["h2", "stun.turn"], Some("stun.turn")),
        (&[], None),
        (&["h2", "http/1.1"], None),
    ];
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in offers {
            let mut config = authority.client(&[version]);
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let socket = TcpStream::connect(server.all("tls")[0]).unwrap();
            let outcome = authority.handshake(socket, HOST, config);
            if offered.contains(&"http/1.1") {
                let error = outcome.unwrap_err();
                let alert = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
                let expected = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
                assert_eq!(alert, Some(&expected), "{error}");
                continue;
            }
            let stream = outcome.unwrap();
            assert_eq!(stream.conn.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
            client(stream).ping();
        }
    }
    server.expect_metric("floe_tls_handshakes_total", &["outcome=\"failed\""], 2.0);
}
