use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const NAME: &str = "example.com";
const NONCE: [u8; 12] = *b"a fine nonce";

fn key() -> TokenKey {
    TokenKey::new(Algorithm::A256Gcm, &[7; 32]).unwrap()
}

fn token() -> AccessToken {
    let mac_key = (0..20).collect();
    AccessToken { mac_key, timestamp: UnixTime::from_millis(1_700_000_000_250), lifetime: 3600 }
}

/// Whatever this block is, sealed.
fn sealed(block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    let nonce = Nonce::assume_unique_for_key(NONCE);
    key().0.seal_in_place_append_tag(nonce, Aad::from(NAME.as_bytes()), &mut block).unwrap();
    [&[0, 12], &NONCE[..], &block].concat()
}

// Made by coturn's turnutils_oauth (its examples/scripts/oauth.sh).
// E-022 E-026
#[test]
fn a_token_of_coturn_is_opened() {
    let key = STANDARD.decode("SEdrajMyS0pHaXV5MDk4c2RmYXFiTmpPaWF6NzE5MjM=").unwrap();
    let key = TokenKey::new(Algorithm::A256Gcm, &key).unwrap();
    let token = "AAy1JBYVLo16iq9gFdHyyknmx5T/Lq9YlbxgUdLcStOFS0H8xhHceHOL2f49qxp4uBpGuuLeLqk+RcAa5uP2EQ==";
    let opened = AccessToken::open(&key, NAME, &STANDARD.decode(token).unwrap()).unwrap();
    assert_eq!(opened.mac_key[..], STANDARD.decode("WmtzanB3ZW9peFhtdm42NzUzNG0=").unwrap()[..]);
    assert_eq!(opened.timestamp, UnixTime::from_secs(16_333_642_137_600 >> 16));
    assert_eq!(opened.lifetime, 3600);
}

// E-024 E-026
#[test]
fn what_is_sealed_is_opened() {
    for (algorithm, length) in [(Algorithm::A256Gcm, 32), (Algorithm::A128Gcm, 16)] {
        let key = TokenKey::new(algorithm, &vec![9; length]).unwrap();
        for mac_key_length in [16, 20, 32, 64] {
            let mac_key = (0..mac_key_length).collect();
            let token = AccessToken { mac_key, ..token() };
            let opened = AccessToken::open(&key, NAME, &token.seal(&key, NAME, NONCE));
            assert!(opened == Ok(token), "{algorithm:?} {mac_key_length}");
        }
        assert!(TokenKey::new(algorithm, &vec![9; length - 1]).is_none());
        assert!(TokenKey::new(algorithm, &vec![9; length + 1]).is_none());
    }
}

// E-023
#[test]
fn a_timestamp_has_48_bits_of_seconds_and_16_of_64000ths() {
    let token = token().seal(&key(), NAME, NONCE);
    let mut block = token[14..].to_vec();
    let nonce = Nonce::assume_unique_for_key(NONCE);
    let plain = key().0.open_in_place(nonce, Aad::from(NAME.as_bytes()), &mut block).unwrap();
    assert_eq!(plain[22..30], ((1_700_000_000_u64 << 16) | 16_000).to_be_bytes());
    assert_eq!(from_wire(u64::MAX).millis(), ((1 << 48) - 1) * 1000 + 999);
}

// E-022 E-028
#[test]
fn another_key_algorithm_or_name_opens_nothing() {
    let token = token().seal(&key(), NAME, NONCE);
    let other = TokenKey::new(Algorithm::A256Gcm, &[8; 32]).unwrap();
    let short = TokenKey::new(Algorithm::A128Gcm, &[7; 16]).unwrap();
    for (key, name) in [(&other, NAME), (&short, NAME), (&key(), "example.org"), (&key(), "")] {
        assert_eq!(AccessToken::open(key, name, &token), Err(TokenFault::Sealed), "{name}");
    }
}

// E-027
#[test]
fn no_bit_of_a_token_can_be_flipped_and_no_byte_left_out() {
    let token = token().seal(&key(), NAME, NONCE);
    for bit in 0..token.len() * 8 {
        let mut flipped = token.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(AccessToken::open(&key(), NAME, &flipped), Err(TokenFault::Sealed), "bit {bit}");
    }
    for length in 0..token.len() {
        assert_eq!(AccessToken::open(&key(), NAME, &token[..length]), Err(TokenFault::Sealed), "{length}");
        assert_eq!(
            AccessToken::open(&key(), NAME, &token[length + 1..]),
            Err(TokenFault::Sealed),
            "{length}"
        );
    }
    for more in [1, 16, 64, 700, 65_535] {
        let longer = [token.clone(), vec![0; more]].concat();
        assert_eq!(AccessToken::open(&key(), NAME, &longer), Err(TokenFault::Sealed), "{more} more");
    }
}

// CVE-2026-43994.
// E-027
#[test]
fn a_nonce_length_is_not_believed() {
    let token = token().seal(&key(), NAME, NONCE);
    for length in (0..=u16::MAX).filter(|length| *length != 12) {
        let mut lying = token.clone();
        lying[..2].copy_from_slice(&length.to_be_bytes());
        assert_eq!(AccessToken::open(&key(), NAME, &lying), Err(TokenFault::Sealed), "{length}");
    }
}

// E-027
#[test]
fn what_is_sealed_has_to_be_whole_and_no_more() {
    let block = |key_length: u16, key: usize, rest: usize| {
        let mut block = key_length.to_be_bytes().to_vec();
        block.extend(vec![1; key + rest]);
        sealed(&block)
    };
    assert!(AccessToken::open(&key(), NAME, &block(20, 20, 12)).is_ok());
    for (key_length, length, rest) in [
        (0, 0, 12),
        (1, 1, 12),
        (15, 15, 12),
        (20, 20, 0),
        (20, 20, 11),
        (20, 20, 13),
        (21, 20, 12),
        (19, 20, 12),
    ]
    .into_iter()
    .chain([(65, 64, 12), (u16::MAX, 64, 12), (0x8000, 20, 12), (64, 20, 12), (20, 0, 0)])
    {
        let opened = AccessToken::open(&key(), NAME, &block(key_length, length, rest));
        assert_eq!(opened, Err(TokenFault::Contents), "{key_length} {length} {rest}");
    }
    assert_eq!(AccessToken::open(&key(), NAME, &sealed(&[])), Err(TokenFault::Contents));
    assert_eq!(AccessToken::open(&key(), NAME, &sealed(&[0])), Err(TokenFault::Contents));
}

// E-023 E-025
#[test]
fn it_lasts_while_its_lifetime_and_five_seconds_are_more_than_its_age() {
    let token = token();
    let made = token.timestamp.millis();
    let lasts = |now: u64| token.lasts(UnixTime::from_millis(now)).map(|left| left.as_millis());
    assert_eq!(lasts(made), Ok(3_605_000));
    assert_eq!(lasts(made + 3_604_999), Ok(1));
    assert_eq!(lasts(made + 3_605_000), Err(TokenFault::Expired));
    assert_eq!(lasts(u64::MAX), Err(TokenFault::Expired));
    assert_eq!(lasts(made - 3_604_999), Ok(1));
    assert_eq!(lasts(made - 3_605_000), Err(TokenFault::Early));
    assert_eq!(lasts(0), Err(TokenFault::Early));
    let forever = AccessToken { timestamp: from_wire(u64::MAX), lifetime: u32::MAX, ..token };
    assert_eq!(forever.lasts(UnixTime::from_millis(made)), Err(TokenFault::Early));
}

// H-035
#[test]
fn debug_output_holds_no_key() {
    let printed =
        format!("{:?} {:?}", key(), AccessToken { mac_key: [0xAB; 20].into_iter().collect(), ..token() });
    assert_eq!(printed, "TokenKey(..) AccessToken(UnixTime(1700000000250), 3600 s, ..)");
}
