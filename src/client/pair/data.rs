//! The messages that go over the data channel each way, and their check at the
//! far end. Both sides know the plan, so nothing but the messages is sent.

use bytes::Bytes;
use webrtc::data_channel::data_channel_message::DataChannelMessage;

use super::timeline::Side;

/// Sizes sent as text and as binary, bytes. None is empty: webrtc-rs takes an
/// empty message for the end of the channel. 60,000 is close to the 65,536 that
/// every peer must accept (RFC 8841 §6.1).
const SIZES: [usize; 6] = [1, 100, 1_200, 9_000, 16_384, 60_000];
/// Small messages sent in one go after them.
const BURST: usize = 32;
/// How many messages each side sends.
pub(super) const COUNT: usize = 2 * SIZES.len() + BURST;

/// The `index`th message (below [`COUNT`]) that `from` sends: even ones are
/// text.
pub(super) fn message(from: Side, index: usize) -> DataChannelMessage {
    let size = SIZES.get(index / 2).copied().unwrap_or(64 + index);
    let seed = index * 2 + usize::from(from == Side::Answer);
    let is_string = index.is_multiple_of(2);
    let data = if is_string { text(seed, size).into() } else { binary(seed, size) };
    DataChannelMessage { is_string, data }
}

/// Bytes of all messages that `from` sends.
pub(super) fn total_bytes(from: Side) -> u64 {
    (0..COUNT).map(|index| message(from, index).data.len() as u64).sum()
}

/// Exactly `size` bytes of UTF-8 with characters of one to four bytes.
fn text(seed: usize, size: usize) -> String {
    const LETTERS: [char; 8] = ['f', 'é', '氷', '🧊', 'o', 'ё', '流', 'e'];
    let mut text = String::with_capacity(size);
    for letter in LETTERS.iter().cycle().skip(seed) {
        if text.len() + letter.len_utf8() > size {
            break;
        }
        text.push(*letter);
    }
    while text.len() < size {
        text.push(char::from(b'a' + (seed % 26) as u8));
    }
    text
}

fn binary(seed: usize, size: usize) -> Bytes {
    (0..size).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed.wrapping_mul(97)) as u8).collect()
}

/// The receiving side: each message must be the next of the plan.
#[derive(Debug)]
pub(super) struct Reception {
    from: Side,
    count: usize,
}

impl Reception {
    pub(super) fn new(from: Side) -> Self {
        Self { from, count: 0 }
    }

    /// Whether all of the plan has come.
    pub(super) fn is_complete(&self) -> bool {
        self.count == COUNT
    }

    /// How many have come.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Compares one message with what should come now.
    ///
    /// # Errors
    /// What differs: order, kind, length or a byte.
    pub(super) fn accept(&mut self, got: &DataChannelMessage) -> Result<(), String> {
        let index = self.count;
        if index >= COUNT {
            return Err(format!("message {index} came after the last one was due"));
        }
        let due = message(self.from, index);
        if got.is_string == due.is_string && got.data == due.data {
            self.count += 1;
            return Ok(());
        }
        let swapped = (0..COUNT).find(|&other| message(self.from, other).data == got.data);
        let what = if let Some(other) = swapped.filter(|&other| other != index) {
            format!("number {other} came instead: order was not kept")
        } else if got.is_string != due.is_string {
            "text and binary are mixed up".to_owned()
        } else if got.data.len() != due.data.len() {
            format!("{} bytes came, {} were sent", got.data.len(), due.data.len())
        } else {
            "its bytes differ".to_owned()
        };
        Err(format!("message {index}: {what}"))
    }
}

/// What a side has to say about all of it.
pub(super) fn summary() -> String {
    let largest = SIZES.iter().max().copied().unwrap_or_default();
    format!("{COUNT} each way, text and binary, 1 to {largest} bytes, in order and byte for byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_has_every_size_as_text_and_as_binary() {
        for (index, size) in SIZES.iter().enumerate() {
            let text = message(Side::Offer, 2 * index);
            let binary = message(Side::Offer, 2 * index + 1);
            assert!(text.is_string && !binary.is_string);
            assert_eq!((text.data.len(), binary.data.len()), (*size, *size));
            assert!(std::str::from_utf8(&text.data).is_ok());
        }
        assert!(!message(Side::Offer, 2).data.is_ascii());
    }

    #[test]
    fn no_two_messages_but_the_smallest_are_alike() {
        let mut seen = std::collections::HashSet::new();
        for side in [Side::Offer, Side::Answer] {
            for index in 2..COUNT {
                assert!(seen.insert(message(side, index).data), "{side} {index}");
            }
        }
    }

    #[test]
    fn the_whole_plan_in_order_is_accepted() {
        let mut reception = Reception::new(Side::Answer);
        for index in 0..COUNT {
            assert!(!reception.is_complete());
            reception.accept(&message(Side::Answer, index)).unwrap();
        }
        assert!(reception.is_complete());
        assert!(reception.accept(&message(Side::Answer, 0)).unwrap_err().contains("after the last"));
    }

    #[test]
    fn every_difference_is_told() {
        let mut reception = Reception::new(Side::Offer);
        for index in 0..4 {
            reception.accept(&message(Side::Offer, index)).unwrap();
        }
        let due = message(Side::Offer, 4);
        let wrong = |change: &dyn Fn(&mut DataChannelMessage)| {
            let mut message = due.clone();
            change(&mut message);
            message
        };
        let cases = [
            (message(Side::Offer, 6), "order"),
            (wrong(&|m| m.is_string = false), "mixed up"),
            (wrong(&|m| m.data = m.data.slice(1..)), "1199 bytes came"),
            (wrong(&|m| m.data = m.data.iter().map(|b| b ^ 1).collect()), "differ"),
        ];
        for (message, told) in cases {
            let error = reception.accept(&message).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        reception.accept(&due).unwrap();
    }
}
