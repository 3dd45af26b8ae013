//! What a message may cost before anyone is authenticated (H-044). Times are
//! compared with each other, never with a clock's idea of fast.

use std::hint::black_box;
use std::time::{Duration, Instant};

use floe::wire::{AttributeType, Message};

use crate::build::request;

/// The shortest of many runs, which is the one nothing disturbed.
fn shortest(mut work: impl FnMut()) -> Duration {
    let run = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..30).map(run).min().unwrap_or_default()
}

fn message_of(attributes: usize) -> Vec<u8> {
    request(|message| {
        for _ in 0..attributes {
            message.put(AttributeType(0xC000), &[]);
        }
        message.put(AttributeType::USERNAME, b"last");
    })
}

// H-044
#[test]
fn parsing_is_linear() {
    let [few, many] = [1_000, 16_000].map(|attributes| {
        let bytes = message_of(attributes);
        shortest(|| assert!(black_box(Message::parse(black_box(&bytes))).is_ok()))
    });
    // 16 times as many; a quadratic walk would take 256 times as long.
    assert!(many < few * 64, "{few:?} for 1,000 attributes, {many:?} for 16,000");
}

// H-044
#[test]
fn looking_up_does_not_walk_the_message() {
    let bytes = message_of(16_000);
    let parsing = shortest(|| assert!(black_box(Message::parse(black_box(&bytes))).is_ok()));
    let message = Message::parse(&bytes).unwrap();
    let looking_up = shortest(|| {
        for kind in AttributeType::ALL {
            black_box(black_box(&message).get(*kind));
        }
    });
    assert_eq!(message.get(AttributeType::USERNAME), Some(&b"last"[..]));
    assert!(looking_up < parsing, "{parsing:?} to parse, {looking_up:?} to look up every type");
}
