//! Packets from one allocation to another and back: how many return, and how
//! soon.

use std::time::{Duration, Instant};

use super::Doctor;
use super::allocation::{Allocation, CHANNEL};
use super::greeting::milliseconds;
use super::report::{Cause, Finding, Step};
use crate::client::turn;

/// Packets there and back; as many as one second of speech has.
const ROUNDS: u32 = 50;
/// How long one may take on its way: what comes later is of no use in a call.
const LATE: Duration = Duration::from_millis(1_000);
/// After so many lost in a row there is no more to learn.
const GIVE_UP: u32 = 3;
/// Bytes of a payload, that of 20 ms of speech.
const PAYLOAD: usize = 172;
/// More loss than this is heard.
const MOST_LOST: f64 = 0.02;

/// What became of the packets.
#[derive(Default)]
struct Tally {
    sent: u32,
    /// Those that the other side has got, and those that came back.
    there: u32,
    back: u32,
    times: Vec<Duration>,
}

impl Doctor<'_> {
    /// Whether anything gets through.
    pub(super) async fn echo(&mut self, one: &mut Allocation, other: &mut Allocation) -> bool {
        self.begin(Step::Echo);
        let mut tally = Tally::default();
        let mut in_vain = 0;
        while tally.sent < ROUNDS && in_vain < GIVE_UP {
            tally.sent += 1;
            in_vain = if round(&mut tally, one, other).await { 0 } else { in_vain + 1 };
        }
        let through = tally.back > 0;
        self.add(tally.finding());
        through
    }
}

/// One packet there and back; whether it came.
async fn round(tally: &mut Tally, one: &mut Allocation, other: &mut Allocation) -> bool {
    let payload = numbered(tally.sent, PAYLOAD);
    let start = Instant::now();
    if !pass(one, other, &payload, start + LATE).await {
        return false;
    }
    tally.there += 1;
    let turned = Instant::now();
    if !pass(other, one, &payload, turned + LATE).await {
        return false;
    }
    tally.back += 1;
    tally.times.push(start.elapsed());
    true
}

/// Sends this payload over the channel; whether it arrives by then.
pub(super) async fn pass(from: &Allocation, to: &mut Allocation, payload: &[u8], until: Instant) -> bool {
    let mut message = Vec::new();
    turn::channel_data(&mut message, CHANNEL, payload);
    if from.session.send(&message).await.is_err() {
        return false;
    }
    // One that was given up may come now.
    loop {
        match to.session.receive(until).await {
            Ok(received) if received.payload == payload => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// A payload that no other one equals.
pub(super) fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut payload = b"floe check ".to_vec();
    payload.extend_from_slice(&number.to_be_bytes());
    payload.extend_from_slice(&rand::random::<[u8; 8]>());
    payload.resize(length.max(payload.len()), 0);
    payload
}

impl Tally {
    fn finding(mut self) -> Finding {
        const ADVICE: &str = "see the load of both machines, the server's drop counters \
                              (floe_dropped_packets_total), and the network between";
        let Self { sent, there, back, .. } = self;
        if back == 0 {
            let way = match there {
                0 => "none arrives at the other relay",
                _ => "they arrive, but none comes back",
            };
            return Finding::failed(
                Step::Echo,
                Cause::Loss,
                format!("{sent} packets between two allocations of this server: {way}"),
                "the server relays nothing between its own relay addresses: where its own public address is \
                 not routed back to it (hairpin), packets get lost there",
            );
        }
        self.times.sort_unstable();
        let of = |percent: usize| milliseconds(self.times[(self.times.len() - 1) * percent / 100]);
        let found = format!(
            "{back} of {sent} packets of {PAYLOAD} bytes there and back, through two relays: median {}, 95 % {}, 99 % {}",
            of(50),
            of(95),
            of(99)
        );
        let lost = f64::from(sent - back) / f64::from(sent);
        if lost == 0.0 {
            return Finding::ok(Step::Echo, found);
        }
        let found = format!("{found}; lost: {} on the way there, {} back", sent - there, there - back);
        match lost > MOST_LOST {
            true => Finding::warning(Step::Echo, Cause::Loss, found, ADVICE),
            false => Finding::ok(Step::Echo, found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::check::report::Status;

    #[test]
    fn loss_is_told_by_its_direction() {
        let times = |count: u64| (1..=count).map(Duration::from_millis).collect();
        let good = Tally { sent: 50, there: 50, back: 50, times: times(50) }.finding();
        assert_eq!(good.status, Status::Ok);
        assert!(good.found.contains("median 25.0 ms, 95 % 47.0 ms, 99 % 49.0 ms"), "{}", good.found);
        let lossy = Tally { sent: 50, there: 48, back: 45, times: times(45) }.finding();
        assert_eq!(lossy.status, Status::Warning);
        assert!(lossy.found.ends_with("lost: 2 on the way there, 3 back"), "{}", lossy.found);
        let none = Tally { sent: 3, there: 3, back: 0, times: vec![] }.finding();
        assert!(none.status == Status::Failed && none.found.contains("none comes back"), "{}", none.found);
    }
}
