//! Peers that a client should never reach through a relay: the server's loopback,
//! private networks, a cloud's metadata service. A permission is asked for, and
//! nothing is ever sent there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::allocation::{Allocation, delete};
use super::report::{Cause, Finding, Step};
use super::{Doctor, Target};
use crate::client::Credentials;
use crate::client::turn::session::SessionError;
use crate::client::turn::{Failure, Request};
use crate::net::discover::is_private;

/// Whom nobody should let a client reach, and what it is.
const FORBIDDEN: &[(IpAddr, &str)] = &[
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), "loopback"),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), "loopback"),
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), "the machine itself"),
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), "private"),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 1)), "private"),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1)), "private"),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1)), "shared"),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), "cloud metadata"),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)), "multicast"),
    (IpAddr::V4(Ipv4Addr::BROADCAST), "broadcast"),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), "loopback"),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), "the machine itself"),
    (IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1)), "mapped loopback"),
    (IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0x7f00, 1)), "NAT64 loopback"),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)), "link-local"),
    (IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), "cloud metadata"),
    (IpAddr::V6(Ipv6Addr::new(0xfd12, 0x3456, 0x789a, 0, 0, 0, 0, 1)), "private"),
    (IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)), "multicast"),
];

/// `discard`: even a packet would do nothing.
const PORT: u16 = 9;

/// What was asked for.
#[derive(Default)]
struct Tally {
    refused: usize,
    granted: Vec<String>,
    unknown: Option<String>,
}

impl Doctor<'_> {
    /// Asks for permissions that should be refused, of both families.
    pub(super) async fn filter(
        &mut self,
        target: &Target<'_>,
        credentials: &Credentials,
        one: &mut Allocation,
    ) {
        self.begin(Step::PeerFilter);
        let server = target.endpoint.address.ip();
        let mut tally = Tally::default();
        tally.ask(one, server).await;
        let other: IpAddr =
            if one.relayed.is_ipv4() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        if let Ok(mut another) = self.allocate(target, credentials, other).await {
            if another.relayed.is_ipv4() != one.relayed.is_ipv4() {
                tally.ask(&mut another, server).await;
            }
            delete(another).await;
        }
        self.add(tally.finding());
    }
}

impl Tally {
    async fn ask(&mut self, allocation: &mut Allocation, server: IpAddr) {
        let own = allocation.relayed.ip();
        let forbidden = FORBIDDEN.iter().copied();
        // A loopback or private server's own address is in the list by its kind.
        let server = Some((server, "the server's own address")).filter(|_| !is_private(server));
        for (ip, kind) in forbidden.chain(server) {
            // Its own relay address must be let in: both callers may need a relay.
            if ip.is_ipv4() != own.is_ipv4() || ip == own {
                continue;
            }
            let request = Request::create_permission(&[SocketAddr::new(ip, PORT)]);
            match allocation.session.ask(request).await {
                Ok(_) => self.granted.push(format!("{ip} ({kind})")),
                Err(SessionError::Request(Failure::Refused { .. })) => self.refused += 1,
                Err(why) => {
                    self.unknown = Some(why.to_string());
                    return;
                }
            }
        }
    }

    fn finding(self) -> Finding {
        let Self { refused, granted, unknown } = self;
        if !granted.is_empty() {
            return Finding::warning(
                Step::PeerFilter,
                Cause::OpenPeerFilter,
                format!(
                    "every client may relay to {}: whoever can log in reaches what is behind the server",
                    granted.join(", ")
                ),
                "deny them unless you mean it (floe denies them by itself: see peers.allow; coturn: denied-peer-ip= \
                 for each range, and no-loopback-peers)",
            );
        }
        match unknown {
            None => Finding::ok(
                Step::PeerFilter,
                format!("{refused} loopback, private, metadata and other addresses are refused"),
            ),
            Some(why) => {
                Finding::skipped(Step::PeerFilter, format!("{refused} addresses are refused; then: {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::check::report::Status;

    #[test]
    fn one_address_that_is_let_in_is_enough() {
        let good = Tally { refused: 18, ..Tally::default() }.finding();
        assert_eq!(good.status, Status::Ok);
        let open = Tally { refused: 17, granted: vec!["::1 (loopback)".into()], unknown: None }.finding();
        assert_eq!((open.status, open.cause), (Status::Warning, Some(Cause::OpenPeerFilter)));
        assert!(open.found.contains("::1 (loopback)"));
        let unknown = Tally { refused: 2, granted: vec![], unknown: Some("no answer".into()) }.finding();
        assert_eq!(unknown.status, Status::Skipped);
    }
}
