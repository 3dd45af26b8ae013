//! What `turn::client` of webrtc-rs makes of the server, over UDP, the only way
//! that it speaks: an allocation of its own, and a packet through it. It shares no
//! line with floe, so that the server and its doctor can't be wrong together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::time::timeout;
use webrtc::turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use super::allocation::{Allocation, delete};
use super::echo::numbered;
use super::report::{Cause, Finding, Step};
use super::{Doctor, Target, address};
use crate::client::Credentials;
use crate::client::transport::Transport;
use crate::client::turn::{self, Request};

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(5);

impl Doctor<'_> {
    /// Lets webrtc-rs send a packet to an allocation of ours, and be answered.
    pub(super) async fn second_opinion(&mut self, target: &Target<'_>, credentials: &Credentials) {
        if target.endpoint.transport != Transport::Udp {
            return;
        }
        self.begin(Step::SecondOpinion);
        // It asks for IPv4 alone.
        let like = std::net::Ipv4Addr::UNSPECIFIED.into();
        let mut ours = match self.allocate(target, credentials, like).await {
            Ok(ours) => ours,
            Err(why) => {
                self.add(Finding::skipped(Step::SecondOpinion, format!("no allocation to send to: {why}")));
                return;
            }
        };
        let talked = timeout(PATIENCE, talk(target.endpoint.address, credentials, &mut ours)).await;
        delete(ours).await;
        let disagrees = |why: String| {
            Finding::warning(
                Step::SecondOpinion,
                Cause::Disagreement,
                format!("webrtc-rs's TURN client: {why}"),
                "applications on webrtc-rs may fail in the same way; the server's log says more",
            )
        };
        self.add(match talked {
            Ok(Ok(relayed)) => Finding::ok(
                Step::SecondOpinion,
                format!("webrtc-rs relays at {relayed}, packets pass both ways"),
            ),
            Ok(Err(why)) => disagrees(why),
            Err(_) => disagrees(format!("not done within {} s", PATIENCE.as_secs())),
        });
    }
}

/// Its relayed address, when packets pass both ways.
async fn talk(
    server: SocketAddr,
    credentials: &Credentials,
    ours: &mut Allocation,
) -> Result<SocketAddr, String> {
    let socket = UdpSocket::bind((address::any_like(server), 0)).await.map_err(|error| error.to_string())?;
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: credentials.username.clone(),
        password: credentials.password.clone(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    });
    let client = client.await.map_err(|error| error.to_string())?;
    client.listen().await.map_err(|error| error.to_string())?;
    let relay = match client.allocate().await {
        Ok(relay) => relay,
        Err(error) => {
            let _ = client.close().await;
            return Err(error.to_string());
        }
    };
    let passed = exchange(&relay, ours).await;
    let _ = relay.close().await;
    let _ = client.close().await;
    passed
}

async fn exchange(relay: &impl Conn, ours: &mut Allocation) -> Result<SocketAddr, String> {
    let relayed = relay.local_addr().map_err(|error| error.to_string())?;
    let permitted = ours.session.ask(Request::create_permission(&[relayed])).await;
    permitted.map_err(|error| error.to_string())?;
    let payload = numbered(0, 0);
    relay.send_to(&payload, ours.relayed).await.map_err(|error| error.to_string())?;
    let received =
        ours.session.receive(Instant::now() + PATIENCE).await.map_err(|error| error.to_string())?;
    if received.payload != payload {
        return Err("another payload arrives than was sent".to_owned());
    }
    let mut answer = Vec::new();
    turn::send_indication(&mut answer, relayed, &payload);
    ours.session.send(&answer).await.map_err(|error| error.to_string())?;
    let mut buffer = [0; 2048];
    let (length, from) = relay.recv_from(&mut buffer).await.map_err(|error| error.to_string())?;
    match (buffer[..length] == payload, from == ours.relayed) {
        (true, true) => Ok(relayed),
        (false, _) => Err("another payload comes back than was sent".to_owned()),
        (_, false) => Err(format!("the answer comes from {from}, not from {}", ours.relayed)),
    }
}
