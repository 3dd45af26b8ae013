//! What is tried with an allocation: two of them, which reach each other as two
//! callers would whose networks let nothing else through.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::report::{Cause, Finding, Status, Step};
use super::{Doctor, Target};
use crate::client::Credentials;
use crate::client::transport::Transport;
use crate::client::turn::session::{Session, SessionError};
use crate::client::turn::{Request, Response};
use crate::net::discover::is_private;
use crate::wire::{AttributeType, ChannelNumber};

/// The channel that either side binds to the other.
pub(super) const CHANNEL: ChannelNumber = ChannelNumber(0x4000);
/// What a client asks for that asks for nothing (RFC 8656 §7.2).
const USUAL: Duration = Duration::from_secs(600);

/// An allocation and its connection.
pub(super) struct Allocation {
    pub(super) session: Session,
    /// The address that peers send to.
    pub(super) relayed: SocketAddr,
    /// This machine, as the server sees it.
    pub(super) mapped: Option<IpAddr>,
    /// The server knows DONT-FRAGMENT.
    pub(super) dont_fragment: bool,
}

/// Why there is none.
pub(super) enum NoAllocation {
    /// An error response, or silence.
    Refused(SessionError),
    /// A success response without a relayed address.
    Strange,
}

impl std::fmt::Display for NoAllocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Strange => f.write_str("the success response tells no XOR-RELAYED-ADDRESS"),
        }
    }
}

impl Doctor<'_> {
    /// Everything that takes an allocation.
    pub(super) async fn relay(&mut self, target: &Target<'_>, credentials: &Credentials) {
        self.begin(Step::Allocation);
        let server = target.endpoint.address.ip();
        let mut one = match self.allocate(target, credentials, server).await {
            Ok(one) => one,
            Err(why) => {
                let advice =
                    "see the server's log and its limits (floe: [limits]; coturn: user-quota, total-quota)";
                self.add(Finding::failed(Step::Allocation, Cause::Refused, why.to_string(), advice));
                return;
            }
        };
        self.add(Finding::ok(Step::Allocation, format!("relayed at {}", one.relayed)));
        let finding = relayed_address(one.relayed.ip(), server);
        let usable = finding.status != Status::Failed;
        self.add(finding);

        match self.allocate(target, credentials, one.relayed.ip()).await {
            Ok(mut other) => {
                self.between(target, &mut one, &mut other).await;
                delete(other).await;
            }
            Err(why) => self.add(Finding::warning(
                Step::Permission,
                Cause::Refused,
                format!("no second allocation for the same user: {why}"),
                "two callers of one user need two (floe: limits.allocations-per-user; coturn: user-quota)",
            )),
        }
        if self.relays_seen.insert(one.relayed.ip()) {
            if usable {
                self.ports(target, credentials, &mut one).await;
            }
            self.filter(target, credentials, &mut one).await;
            self.second_opinion(target, credentials).await;
        }
        self.refresh(&mut one).await;
        self.deletion(one).await;
    }

    /// An allocation of the family of `like`, and with DONT-FRAGMENT, as far as the
    /// server has them; else one without.
    pub(super) async fn allocate(
        &self,
        target: &Target<'_>,
        credentials: &Credentials,
        like: IpAddr,
    ) -> Result<Allocation, NoAllocation> {
        let session = self.open(&target.endpoint, Some(credentials)).await;
        let mut session = session.map_err(|error| NoAllocation::Refused(error.into()))?;
        let plain = Request::allocate().lifetime(USUAL);
        // IPv4 is what is meant without the attribute, and old servers don't know it.
        let of_family = if like.is_ipv6() { plain.clone().family(like) } else { plain.clone() };
        let wanted = of_family.clone().put(AttributeType::DONT_FRAGMENT, &[]);
        let mut outcome = session.ask(wanted).await;
        let dont_fragment = !is_refused(&outcome, &[420]);
        if !dont_fragment {
            outcome = session.ask(of_family).await;
        }
        if like.is_ipv6() && is_refused(&outcome, &[420, 440]) {
            outcome = session.ask(plain).await;
        }
        let relayed = match &outcome {
            Ok(response) => response.relayed().first().copied(),
            Err(_) => None,
        };
        match (outcome, relayed) {
            (Ok(response), Some(relayed)) => {
                let mapped = response.mapped().map(|mapped| mapped.ip().to_canonical());
                Ok(Allocation { session, relayed, mapped, dont_fragment })
            }
            (outcome, _) => {
                session.close().await;
                Err(outcome.err().map_or(NoAllocation::Strange, NoAllocation::Refused))
            }
        }
    }

    /// Permission, channel, and packets between two allocations.
    async fn between(&mut self, target: &Target<'_>, one: &mut Allocation, other: &mut Allocation) {
        self.begin(Step::Permission);
        let permitted = match one.session.ask(Request::create_permission(&[other.relayed])).await {
            Ok(_) => other.session.ask(Request::create_permission(&[one.relayed])).await,
            refused => refused,
        };
        if let Err(why) = permitted {
            self.add(Finding::failed(
                Step::Permission,
                Cause::Refused,
                format!("for the server's own relay address: {why}"),
                "two callers that both need a relay can't meet: allow the relay address as a peer \
                 (floe always does; coturn: allowed-peer-ip)",
            ));
            return;
        }
        self.add(Finding::ok(Step::Permission, format!("for {}", other.relayed.ip())));
        self.begin(Step::Channel);
        let bound = match bind(one, other.relayed).await {
            Ok(_) => bind(other, one.relayed).await,
            refused => refused,
        };
        if let Err(why) = bound {
            let advice = "the server should take channel 0x4000 (RFC 8656 §12)";
            self.add(Finding::failed(Step::Channel, Cause::Refused, why.to_string(), advice));
            return;
        }
        self.add(Finding::ok(Step::Channel, format!("{:#06x} to {}", CHANNEL.0, other.relayed)));
        if self.echo(one, other).await && target.endpoint.transport == Transport::Udp {
            self.size(target, one, other).await;
        }
    }

    async fn refresh(&mut self, one: &mut Allocation) {
        self.begin(Step::Refresh);
        let finding = match one.session.ask(Request::refresh(USUAL)).await {
            Ok(response) => match response.lifetime() {
                Some(lifetime) => {
                    Finding::ok(Step::Refresh, format!("good for {} s more", lifetime.as_secs()))
                }
                None => Finding::failed(
                    Step::Refresh,
                    Cause::WrongProtocol,
                    "the answer tells no LIFETIME",
                    "clients won't know when to refresh again: update the server",
                ),
            },
            Err(why) => Finding::failed(
                Step::Refresh,
                Cause::Refused,
                why.to_string(),
                "calls would end after ten minutes: a balancer that sends one client to several servers does this",
            ),
        };
        self.add(finding);
    }

    async fn deletion(&mut self, mut one: Allocation) {
        self.begin(Step::Deletion);
        // Whether it is gone can't be asked: coturn would bring it back.
        let finding = match one.session.ask(Request::refresh(Duration::ZERO)).await {
            Ok(_) => Finding::ok(Step::Deletion, "granted"),
            Err(why) => Finding::warning(
                Step::Deletion,
                Cause::Refused,
                why.to_string(),
                "it ends by itself after ten minutes",
            ),
        };
        one.session.close().await;
        self.add(finding);
    }
}

fn is_refused(outcome: &Result<Response, SessionError>, codes: &[u16]) -> bool {
    let Err(SessionError::Request(failure)) = outcome else { return false };
    failure.code().is_some_and(|code| codes.contains(&code))
}

async fn bind(from: &mut Allocation, to: SocketAddr) -> Result<Response, SessionError> {
    from.session.ask(Request::channel_bind(CHANNEL, to)).await
}

/// Gives an allocation back, without a word about it.
pub(super) async fn delete(mut allocation: Allocation) {
    let _ = allocation.session.ask(Request::refresh(Duration::ZERO)).await;
    allocation.session.close().await;
}

/// Whether clients elsewhere could reach it.
fn relayed_address(relayed: IpAddr, server: IpAddr) -> Finding {
    const ADVICE: &str = "tell the server its public address (floe: relay.external-addresses, or relay.discover; \
                          coturn: external-ip)";
    let failed =
        |found: String| Finding::failed(Step::RelayedAddress, Cause::PrivateRelay, found, ADVICE.to_owned());
    match (is_private(relayed), is_private(server)) {
        _ if relayed.is_unspecified() => failed(format!("{relayed} is no address: nobody can send there")),
        _ if relayed.is_loopback() && !server.is_loopback() => {
            failed(format!("{relayed} is the server's loopback: nobody else can send there"))
        }
        (false, _) => Finding::ok(Step::RelayedAddress, format!("{relayed} is public")),
        (true, true) => Finding::ok(Step::RelayedAddress, format!("{relayed} is private, as {server} is")),
        (true, false) => failed(format!(
            "{relayed} is private, though the server is reached at {server}: it is behind NAT and does not know it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_relay_is_a_fault_only_of_a_server_that_is_not() {
        let of = |relayed: &str, server: &str| {
            relayed_address(relayed.parse().unwrap(), server.parse().unwrap()).status
        };
        assert_eq!(of("203.0.113.7", "203.0.113.7"), Status::Ok);
        assert_eq!(of("203.0.113.7", "10.0.0.1"), Status::Ok);
        assert_eq!(of("10.0.0.1", "10.0.0.1"), Status::Ok);
        assert_eq!(of("127.0.0.1", "::1"), Status::Ok);
        assert_eq!(of("10.0.0.1", "203.0.113.7"), Status::Failed);
        assert_eq!(of("127.0.0.1", "10.0.0.1"), Status::Failed);
        assert_eq!(of("0.0.0.0", "127.0.0.1"), Status::Failed);
    }
}
