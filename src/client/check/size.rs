//! The largest packet that gets through: those of common paths are tried, the
//! largest first, with DF set on what leaves this machine.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use tokio::net::UdpSocket;

use super::allocation::Allocation;
use super::echo::{numbered, pass};
use super::report::{Cause, Finding, Step};
use super::{Doctor, Target};

/// Bytes of IP packets: Ethernet, PPPoE, a tunnel or two, the least of IPv6, and
/// what is left where nothing is as it should be.
const SIZES: [usize; 6] = [1500, 1492, 1440, 1400, 1280, 1228];
/// WebRTC sends media in packets of 1,200 bytes and a little more: with the
/// headers of ChannelData, UDP and IPv6 they fit into this.
const ENOUGH: usize = 1280;
/// How long one may take.
const PATIENCE: Duration = Duration::from_millis(600);
/// How often a size is tried.
const TRIES: u32 = 2;
/// UDP's header and that of ChannelData.
const HEADERS: usize = 8 + 4;

impl Doctor<'_> {
    /// From here to the server with DF, and from there back as the server does it.
    pub(super) async fn size(&mut self, target: &Target<'_>, one: &mut Allocation, other: &mut Allocation) {
        self.begin(Step::PacketSize);
        let ip = if target.endpoint.address.is_ipv4() { 20 } else { 40 };
        let df = one
            .session
            .conn()
            .as_any()
            .downcast_ref::<UdpSocket>()
            .is_some_and(|socket| dont_fragment(socket, target.endpoint.address).is_ok());
        let mut number = 0;
        let mut largest = None;
        'sizes: for size in SIZES {
            for _ in 0..TRIES {
                number += 1;
                let payload = numbered(number, size - ip - HEADERS);
                if pass(one, other, &payload, Instant::now() + PATIENCE).await {
                    largest = Some(size);
                    break 'sizes;
                }
            }
        }
        self.add(told(largest, df, one.dont_fragment));
    }
}

/// "Probe", not "do": an ICMP message of before holds nothing back.
fn dont_fragment(socket: &UdpSocket, server: SocketAddr) -> rustix::io::Result<()> {
    match server {
        SocketAddr::V4(_) => sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE),
        SocketAddr::V6(_) => sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE),
    }
}

fn told(largest: Option<usize>, df: bool, understood: bool) -> Finding {
    let how = if df { " with DF" } else { "" };
    let understood =
        if understood { "; DONT-FRAGMENT is known" } else { "; DONT-FRAGMENT is not known to the server" };
    const ADVICE: &str = "look for a tunnel or VPN on the way and its MTU; calls with video will freeze";
    match largest {
        Some(size) if size >= ENOUGH => {
            Finding::ok(Step::PacketSize, format!("IP packets of {size} bytes pass{how}{understood}"))
        }
        Some(size) => Finding::warning(
            Step::PacketSize,
            Cause::SmallPackets,
            format!(
                "IP packets of more than {size} bytes{how} don't pass; WebRTC's media has up to {ENOUGH}"
            ),
            ADVICE,
        ),
        None => Finding::warning(
            Step::PacketSize,
            Cause::SmallPackets,
            format!("small packets pass, those of {} bytes{how} don't", SIZES[SIZES.len() - 1]),
            ADVICE,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::check::report::Status;

    #[test]
    fn what_carries_video_is_enough() {
        assert_eq!(told(Some(1500), true, true).status, Status::Ok);
        assert_eq!(told(Some(1280), true, false).status, Status::Ok);
        assert_eq!(told(Some(1228), true, false).status, Status::Warning);
        assert_eq!(told(None, true, false).cause, Some(Cause::SmallPackets));
    }
}
