//! A sample of the relay ports, from outside: a socket of this machine, which is
//! no client, sends to relayed addresses and is answered through them. What a
//! firewall drops there is dropped for every peer.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::time::timeout_at;

use super::allocation::{Allocation, delete};
use super::echo::numbered;
use super::report::{Cause, Finding, Step};
use super::{Doctor, Target, address};
use crate::client::Credentials;
use crate::client::turn::session::By;
use crate::client::turn::{self, Request};

/// Allocations that are tried, the one that stands included.
const SAMPLE: usize = 8;
/// How often a port is tried, and how long it may take.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(500);

/// What became of a port.
enum Outcome {
    /// Packets pass both ways.
    Open,
    /// What the peer sends does not arrive.
    Deaf,
    /// What the relay sends does not come back.
    Mute,
}

impl Doctor<'_> {
    /// Sends to the relayed addresses of a few allocations.
    pub(super) async fn ports(
        &mut self,
        target: &Target<'_>,
        credentials: &Credentials,
        one: &mut Allocation,
    ) {
        self.begin(Step::RelayPorts);
        let source = address::source_toward(one.relayed);
        if source == Some(one.relayed.ip()) {
            self.add(Finding::skipped(
                Step::RelayPorts,
                "this is the server's own machine: whether a firewall lets peers in shows from another one",
            ));
            return;
        }
        let mut own: Vec<IpAddr> = one.mapped.into_iter().chain(source).collect();
        own.retain(|ip| ip.is_ipv4() == one.relayed.is_ipv4());
        own.dedup();
        let peer = match UdpSocket::bind((address::any_like(one.relayed), 0)).await {
            Ok(peer) => peer,
            Err(error) => {
                self.add(Finding::skipped(Step::RelayPorts, format!("no socket to send from: {error}")));
                return;
            }
        };
        let mut more = Vec::new();
        while more.len() + 1 < SAMPLE {
            // A quota that is reached makes the sample smaller.
            let Ok(another) = self.allocate(target, credentials, one.relayed.ip()).await else { break };
            more.push(another);
        }
        let mut outcomes = Vec::new();
        let mut refused = None;
        for allocation in std::iter::once(&mut *one).chain(&mut more) {
            match permit(allocation, &own).await {
                Ok(()) => outcomes.push((allocation.relayed, try_port(allocation, &peer).await)),
                Err(why) => refused = Some(why),
            }
        }
        for allocation in more {
            delete(allocation).await;
        }
        let finding = match refused {
            Some(why) if outcomes.is_empty() => {
                Finding::skipped(Step::RelayPorts, format!("this machine may not be a peer: {why}"))
            }
            _ => told(&outcomes),
        };
        self.add(finding);
    }
}

/// Lets this machine in, by whichever of its addresses the server takes.
async fn permit(allocation: &mut Allocation, own: &[IpAddr]) -> Result<(), String> {
    let mut outcome = Err("none of its addresses is of the relay's family".to_owned());
    for ip in own {
        let request = Request::create_permission(&[SocketAddr::new(*ip, 9)]);
        match allocation.session.ask(request).await {
            Ok(_) => outcome = Ok(()),
            Err(why) if outcome.is_err() => outcome = Err(format!("{ip}: {why}")),
            Err(_) => {}
        }
    }
    outcome
}

async fn try_port(allocation: &mut Allocation, peer: &UdpSocket) -> Outcome {
    for number in 0..TRIES {
        let payload = numbered(number, 0);
        // Told by ICMP, maybe, of an earlier one.
        let _ = peer.send_to(&payload, allocation.relayed).await;
        let Some(from) = arrived(allocation, &payload).await else { continue };
        for _ in 0..TRIES {
            let mut message = Vec::new();
            turn::send_indication(&mut message, from, &payload);
            if allocation.session.send(&message).await.is_ok()
                && came_back(allocation.relayed, peer, &payload).await
            {
                return Outcome::Open;
            }
        }
        return Outcome::Mute;
    }
    Outcome::Deaf
}

/// Who has sent this payload, as the server sees it.
async fn arrived(allocation: &mut Allocation, payload: &[u8]) -> Option<SocketAddr> {
    let until = Instant::now() + PATIENCE;
    loop {
        let received = allocation.session.receive(until).await.ok()?;
        if let By::Data(from) = received.by
            && received.payload == payload
        {
            return Some(from);
        }
    }
}

async fn came_back(relayed: SocketAddr, peer: &UdpSocket, payload: &[u8]) -> bool {
    let until = Instant::now() + PATIENCE;
    let mut buffer = [0; 2048];
    while Instant::now() < until {
        match timeout_at(until.into(), peer.recv_from(&mut buffer)).await {
            Ok(Ok((length, from))) if from == relayed && &buffer[..length] == payload => return true,
            // Others, or an ICMP error that is told once.
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

fn told(outcomes: &[(SocketAddr, Outcome)]) -> Finding {
    let ports = |wanted: fn(&Outcome) -> bool| {
        let ports =
            outcomes.iter().filter(|(_, outcome)| wanted(outcome)).map(|(at, _)| at.port().to_string());
        ports.collect::<Vec<_>>()
    };
    let all = outcomes.len();
    let deaf = ports(|outcome| matches!(outcome, Outcome::Deaf));
    let mute = ports(|outcome| matches!(outcome, Outcome::Mute));
    if !deaf.is_empty() {
        let which = if deaf.len() == all { "none of them" } else { "not all of them" };
        return Finding::failed(
            Step::RelayPorts,
            Cause::RelayPortsBlocked,
            format!(
                "{all} relay ports tried from this machine, {which} is reached: nothing gets to UDP {}; a firewall \
                 drops it, before the server or on this side",
                deaf.join(", ")
            ),
            "open the whole range in the server's firewall and the cloud's security group (floe: relay.ports, \
             49152-65535 by default; coturn: min-port, max-port)",
        );
    }
    if !mute.is_empty() {
        return Finding::failed(
            Step::RelayPorts,
            Cause::RelayPortsBlocked,
            format!(
                "{all} relay ports tried from this machine: what it sends arrives, but nothing comes back from UDP {}",
                mute.join(", ")
            ),
            "let the server send UDP from its relay ports to anywhere (its outbound firewall rules)",
        );
    }
    let open = ports(|outcome| matches!(outcome, Outcome::Open));
    Finding::ok(
        Step::RelayPorts,
        format!("{all} tried from this machine, packets pass both ways: UDP {}", open.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::check::report::Status;

    #[test]
    fn one_port_that_is_closed_is_enough() {
        let at = |port| SocketAddr::from(([203, 0, 113, 7], port));
        let all = told(&[(at(50_000), Outcome::Open), (at(50_001), Outcome::Open)]);
        assert!(all.status == Status::Ok && all.found.contains("UDP 50000, 50001"));
        let some = told(&[(at(50_000), Outcome::Open), (at(50_001), Outcome::Deaf)]);
        assert!(
            some.found.contains("not all of them is reached: nothing gets to UDP 50001"),
            "{}",
            some.found
        );
        let none = told(&[(at(50_000), Outcome::Deaf)]);
        assert!(none.cause == Some(Cause::RelayPortsBlocked) && none.found.contains("none of them"));
        let mute = told(&[(at(50_000), Outcome::Mute)]);
        assert!(mute.found.contains("nothing comes back from UDP 50000"), "{}", mute.found);
    }
}
