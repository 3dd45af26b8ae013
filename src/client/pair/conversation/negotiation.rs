//! How one side comes to a candidate pair: descriptions and candidates over the
//! signaling channel, and the pair that was selected in the end.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;
use webrtc::ice_transport::ice_candidate::RTCIceCandidate;
use webrtc::ice_transport::ice_candidate_type::RTCIceCandidateType;

use super::stranger::{self, Partner};
use super::{MAX_REMOTE_CANDIDATES, Talk};
use crate::client::pair::Policy;
use crate::client::pair::media::Kind;
use crate::client::pair::peer::Channel;
use crate::client::pair::report::{Failure, Step};
use crate::client::pair::signaling::{Candidate, Description, Signal};
use crate::client::pair::timeline::Side;

impl Talk {
    pub(super) async fn signalled(&mut self, signal: Result<Signal, String>) -> Result<(), Failure> {
        let fail = |cause: String| Err(Failure::new(Step::Signaling, cause));
        match signal {
            Ok(Signal::Peers(count)) => {
                self.note("signaling", format!("peers there: {count}"));
                if count >= 2 && !self.described {
                    self.deadline = Instant::now() + self.patience;
                    if self.side == Side::Offer {
                        self.offer().await?;
                    }
                }
            }
            Ok(Signal::Offer(offer)) => {
                if self.side == Side::Offer {
                    return fail("the other peer offers too; give one of them --role answer".to_owned());
                }
                if self.described {
                    let cause = "a second offer came, as a browser makes it when its connection has failed \
                                 (an ICE restart): none is answered, since webrtc-rs 0.17 can hang in it";
                    return Err(Failure::new(self.next_step(), cause));
                }
                self.described = true;
                self.note("signaling", "offer received");
                self.remote_sdp = offer.sdp.clone();
                let answer = self.answer(offer).await;
                let answer = answer.map_err(|e| Failure::new(Step::Signaling, format!("the offer: {e}")))?;
                self.signal(Signal::Answer(answer)).await?;
                self.note("signaling", "answer sent");
                self.found(Step::Signaling, "offer and answer exchanged");
            }
            Ok(Signal::Answer(answer)) => {
                if self.side == Side::Answer {
                    return fail("the other peer answers too; give one of them --role offer".to_owned());
                }
                self.note("signaling", "answer received");
                self.remote_sdp = answer.sdp.clone();
                let accepted = self.peer.accept(answer).await;
                accepted.map_err(|e| Failure::new(Step::Signaling, format!("the answer: {e}")))?;
                self.found(Step::Signaling, "offer and answer exchanged");
                self.meet();
            }
            Ok(Signal::NewIceCandidate(candidate)) => self.remote_candidate(candidate).await,
            Ok(Signal::Left(_)) if self.leaving.is_some() => self.finished = true,
            Ok(Signal::Left(_)) => {
                let step = self.next_step();
                return Err(Failure {
                    step,
                    cause: "the other peer has gone; its own output says why".to_owned(),
                    others_end: true,
                });
            }
            Ok(Signal::Error(error)) => return fail(format!("the signaling server says: {error}")),
            Err(_) if self.findings.contains_key(&Step::Connection) => self.signaling = None,
            Err(error) => return fail(error),
        }
        Ok(())
    }

    pub(super) async fn signal(&mut self, signal: Signal) -> Result<(), Failure> {
        let Some(signaling) = &mut self.signaling else { return Ok(()) };
        match signaling.send(signal).await {
            Ok(()) => Ok(()),
            Err(_) if self.findings.contains_key(&Step::Connection) => {
                self.signaling = None;
                Ok(())
            }
            Err(error) => Err(Failure::new(Step::Signaling, error)),
        }
    }

    async fn offer(&mut self) -> Result<(), Failure> {
        self.described = true;
        let made = self.make_offer().await;
        let offer = made.map_err(|error| Failure::new(Step::Signaling, format!("no offer: {error}")))?;
        self.signal(Signal::Offer(offer)).await?;
        self.note("signaling", "offer sent");
        Ok(())
    }

    async fn make_offer(&mut self) -> Result<Description, webrtc::Error> {
        for channel in [Channel::Data, Channel::Notes] {
            self.channels[channel as usize] = Some(self.peer.open(channel).await?);
        }
        self.add_tracks(&Kind::ALL).await?;
        self.peer.offer().await
    }

    /// Another `floe pair` is sent no media in return; a stranger is, what it takes.
    async fn answer(&mut self, offer: Description) -> Result<Description, webrtc::Error> {
        self.meet();
        if matches!(self.partner, Partner::Stranger(_)) {
            let described = stranger::described(&self.remote_sdp);
            let wanted: Vec<Kind> = described.iter().filter_map(stranger::Described::wants).collect();
            self.add_tracks(&wanted).await?;
        }
        // Tracks come first: webrtc-rs gives an offer's sections to what is there.
        self.peer.answer(offer).await
    }

    async fn add_tracks(&mut self, kinds: &[Kind]) -> Result<(), webrtc::Error> {
        self.stream = format!("floe-{:08x}", rand::random::<u32>());
        for kind in kinds {
            self.tracks.push((*kind, self.peer.add_track(*kind, &self.stream).await?));
            self.note("track", format!("{} added to stream {}", kind.name(), self.stream));
        }
        Ok(())
    }

    pub(super) async fn local_candidate(&mut self, candidate: &RTCIceCandidate) -> Result<(), Failure> {
        let shown = format!("{} {} {}", candidate.typ, candidate.protocol, host_port(candidate));
        self.note("candidate", format!("{shown} found, sent"));
        self.local_candidates.push(candidate.typ);
        let failed = |e| Failure::new(Step::Candidates, format!("a candidate cannot be written: {e}"));
        let candidate = self.peer.candidate(candidate).map_err(failed)?;
        self.signal(Signal::NewIceCandidate(Some(candidate))).await
    }

    async fn remote_candidate(&mut self, candidate: Option<Candidate>) {
        let Some(candidate) = candidate.filter(|candidate| !candidate.candidate.is_empty()) else {
            self.note("candidate", "no more of the other side");
            return;
        };
        self.remote_candidates += 1;
        if self.remote_candidates > MAX_REMOTE_CANDIDATES {
            return;
        }
        let shown = match parse_candidate(&candidate.candidate) {
            Some((address, kind)) => {
                if kind == "relay" {
                    self.remote_relays.push(address);
                }
                format!("{kind} {address} of the other side")
            }
            None => candidate.candidate.clone(),
        };
        match self.peer.add_candidate(candidate).await {
            Ok(()) => self.note("candidate", format!("{shown} received")),
            Err(error) => self.note("candidate", format!("{shown} passed over: {error}")),
        }
    }

    pub(super) fn gathered(&mut self) -> Result<(), Failure> {
        let relays = self.local_candidates.iter().filter(|typ| **typ == RTCIceCandidateType::Relay).count();
        let others = self.local_candidates.len() - relays;
        match self.policy {
            Policy::Relay if relays == 0 => Err(Failure::new(
                Step::Candidates,
                "no relay candidate: the server gave this peer no allocation",
            )),
            Policy::Relay if others > 0 => Err(Failure::new(
                Step::Candidates,
                "a candidate that is no relay, though the policy is relay",
            )),
            Policy::All if relays + others == 0 => Err(Failure::new(Step::Candidates, "none at all")),
            Policy::All | Policy::Relay => {
                let others = if others > 0 { format!(", {others} direct") } else { String::new() };
                self.found(Step::Candidates, format!("{relays} relayed{others}, sent as found"));
                Ok(())
            }
        }
    }

    pub(super) async fn read_pair(&mut self) -> Result<(), Failure> {
        let fail = |cause: String| Failure::new(Step::SelectedPair, cause);
        let pair = self.peer.selected_pair().await;
        let pair = pair.ok_or_else(|| fail("webrtc-rs names no selected pair".to_owned()))?;
        // The far side's relay may be learnt from its first packet before its
        // candidate comes; the address then tells what it is.
        let remote_is_relay = pair.remote.typ == RTCIceCandidateType::Relay
            || address(&pair.remote).is_some_and(|address| self.remote_relays.contains(&address));
        let remote = if remote_is_relay { RTCIceCandidateType::Relay } else { pair.remote.typ };
        let local = pair.local.typ;
        let shown = format!("{local} {} to {remote} {}", host_port(&pair.local), host_port(&pair.remote));
        self.note("pair", format!("selected: {shown}"));
        let relayed = [local, remote] == [RTCIceCandidateType::Relay; 2];
        if self.policy == Policy::Relay && !relayed {
            return Err(fail(format!("{shown}, though the policy is relay")));
        }
        self.pair = Some((local, remote));
        self.found(Step::SelectedPair, shown);
        Ok(())
    }
}

fn address(candidate: &RTCIceCandidate) -> Option<SocketAddr> {
    Some(SocketAddr::new(candidate.address.parse::<IpAddr>().ok()?, candidate.port))
}

fn host_port(candidate: &RTCIceCandidate) -> String {
    address(candidate)
        .map_or_else(|| format!("{}:{}", candidate.address, candidate.port), |address| address.to_string())
}

/// Address and type of a candidate line (RFC 8839 §5.1): foundation, component,
/// transport, priority, address, port, `typ`, type.
fn parse_candidate(line: &str) -> Option<(SocketAddr, &str)> {
    let mut words = line.split_ascii_whitespace().skip(4);
    let ip: IpAddr = words.next()?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    (words.next()? == "typ").then_some(())?;
    Some((SocketAddr::new(ip, port), words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_line_is_read() {
        let relay = "candidate:1 1 udp 16777215 127.0.0.1 49200 typ relay raddr 0.0.0.0 rport 9";
        assert_eq!(parse_candidate(relay), Some(("127.0.0.1:49200".parse().unwrap(), "relay")));
        let six = "candidate:1 1 udp 1 ::1 9 typ host";
        assert_eq!(parse_candidate(six), Some(("[::1]:9".parse().unwrap(), "host")));
        for wrong in ["", "candidate:1 1 udp 1 x.local 9 typ host", "candidate:1 1 udp 1 ::1 9 host"] {
            assert_eq!(parse_candidate(wrong), None);
        }
    }
}
