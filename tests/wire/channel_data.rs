//! ChannelData (RFC 8656 §12.4).

use floe::wire::ChannelNumber;
use floe::wire::channel_data::{HEADER_LENGTH, header, parse};
use proptest::prelude::*;

const CHANNEL: ChannelNumber = ChannelNumber(0x4001);

fn written(length: usize, behind: usize) -> Vec<u8> {
    let mut bytes = header(CHANNEL, length).unwrap().to_vec();
    bytes.resize(HEADER_LENGTH + length + behind, 0xEE);
    bytes
}

#[test]
fn length_may_be_zero() {
    assert_eq!(parse(&written(0, 0)), Ok((CHANNEL, 4..4)));
}

#[test]
fn padding_is_not_payload() {
    for behind in 0..4 {
        assert_eq!(parse(&written(5, behind)), Ok((CHANNEL, 4..9)));
    }
}

#[test]
fn longest_lengths_do_not_overflow() {
    for length in 0xFFFC..=0xFFFFusize {
        assert_eq!(parse(&written(length, 0)), Ok((CHANNEL, 4..4 + length)));
        assert_eq!(parse(&written(length, 3)), Ok((CHANNEL, 4..4 + length)));
        assert!(parse(&written(length, 0)[..4 + length - 1]).is_err());
        assert!(parse(&written(length, 0)[..4]).is_err());
    }
    assert_eq!(header(CHANNEL, 0x1_0000), None);
    assert_eq!(header(CHANNEL, usize::MAX), None);
}

#[test]
fn a_header_needs_four_bytes() {
    for length in 0..4 {
        assert!(parse(&[0x40, 0, 0, 0][..length]).is_err());
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(number: u16, payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = header(ChannelNumber(number), payload.len()).unwrap().to_vec();
        bytes.extend(&payload);
        let (channel, range) = parse(&bytes).unwrap();
        prop_assert_eq!(channel, ChannelNumber(number));
        prop_assert_eq!(&bytes[range], &payload[..]);
    }

    #[test]
    fn too_short_is_refused(length in 1..2000usize, missing in 1..2000usize) {
        let bytes = written(length, 0);
        prop_assert!(parse(&bytes[..bytes.len().saturating_sub(missing)]).is_err());
    }
}
