//! A server made of the `turn` crate, as its own example is: one UDP socket, one
//! user. This program starts itself with [`COMMAND`] to be it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use turn::auth::{AuthHandler, generate_auth_key};
use turn::relay::relay_static::RelayAddressGeneratorStatic;
use turn::server::Server;
use turn::server::config::{ConnConfig, ServerConfig};
use webrtc_util::vnet::net::Net;

use crate::servers::{PASSWORD, USER};

/// The first argument.
pub(crate) const COMMAND: &str = "serve-turn-crate";
pub(crate) const TITLE: &str = "turn 0.17 (crate)";

struct Users(Vec<u8>);

impl AuthHandler for Users {
    fn auth_handle(&self, username: &str, _: &str, _: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        if username == USER { Ok(self.0.clone()) } else { Err(turn::Error::ErrFakeErr) }
    }
}

/// Serves until it is killed; says where on the first line of its output.
pub(crate) fn serve() -> ExitCode {
    let realm = std::env::args().nth(2).unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let conn = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
        let address = conn.local_addr().expect("bound");
        let relays = RelayAddressGeneratorStatic {
            relay_address: IpAddr::from(Ipv4Addr::LOCALHOST),
            address: "127.0.0.1".to_owned(),
            net: Arc::new(Net::new(None)),
        };
        let config = ServerConfig {
            conn_configs: vec![ConnConfig { conn, relay_addr_generator: Box::new(relays) }],
            auth_handler: Arc::new(Users(generate_auth_key(USER, &realm, PASSWORD))),
            realm,
            channel_bind_timeout: Duration::ZERO,
            alloc_close_notify: None,
        };
        let server = Server::new(config).await.expect("a server");
        println!("{address}");
        std::future::pending::<()>().await;
        drop(server);
    });
    ExitCode::SUCCESS
}
