//! Values that break their type's rules, and the ones no other crate knows
//! (RFC 8489 §14, RFC 8656 §18).

use floe::wire::address::{decode, decode_xor};
use floe::wire::attribute::{
    MalformedValue, address_error_code_value, channel_number_value, error_code_value, even_port_value,
    first_of_four, u32_value, unknown_attributes_value,
};
use floe::wire::integrity::PasswordAlgorithm;
use floe::wire::{AttributeType, ErrorCode, Message};

use crate::build::{ID, request};

#[test]
fn lengths_are_exact() {
    for length in (0..64).filter(|length| *length != 4) {
        let value = vec![0; length];
        assert_eq!(u32_value(&value), Err(MalformedValue));
        assert_eq!(channel_number_value(&value), Err(MalformedValue));
        assert_eq!(first_of_four(&value), Err(MalformedValue));
        assert_eq!(even_port_value(&value).is_ok(), length == 1);
    }
}

// B-070
#[test]
fn addresses_have_a_family_and_its_length() {
    for family in 0..=u8::MAX {
        for length in 0..64 {
            let mut value = vec![0; length];
            value.iter_mut().skip(1).take(1).for_each(|byte| *byte = family);
            let right = matches!((family, length), (1, 8) | (2, 20));
            assert_eq!(decode(&value).is_ok(), right, "family {family}, {length} bytes");
            assert_eq!(decode_xor(&value, ID).is_ok(), right);
        }
    }
}

#[test]
fn first_byte_of_an_address_is_ignored() {
    assert_eq!(decode(&[0xFF, 1, 0x0D, 0x96, 192, 0, 2, 1]), Ok("192.0.2.1:3478".parse().unwrap()));
}

//
#[test]
fn error_codes_are_300_to_699() {
    for class in 0..=u8::MAX {
        for number in 0..=u8::MAX {
            // Reserved bits are ignored, the upper five of the class among them.
            let read = error_code_value(&[0xAA, 0xBB, class, number]).map(|(code, _)| code.number());
            let right = (3..=6).contains(&(class & 7)) && number < 100;
            assert_eq!(read.is_ok(), right);
            if let Ok(code) = read {
                assert_eq!(code, u16::from(class & 7) * 100 + u16::from(number));
            }
        }
    }
    assert_eq!(error_code_value(&[0, 0, 4, 1, 0xFF]), Err(MalformedValue), "the reason is UTF-8");
    assert_eq!(error_code_value(&[0, 0, 4]), Err(MalformedValue));
    assert_eq!(ErrorCode::new(299), None);
    assert_eq!(ErrorCode::new(700), None);
}

#[test]
fn an_error_says_its_number_and_its_reason() {
    assert_eq!(ErrorCode::STALE_NONCE.to_string(), "438 Stale Nonce");
    assert_eq!(ErrorCode::new(499).map(|code| code.to_string()), Some("499".into()));
}

#[test]
fn address_error_code() {
    assert_eq!(
        address_error_code_value(&[2, 0, 4, 40, b'n', b'o']),
        Ok((2, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED))
    );
    assert_eq!(address_error_code_value(&[2, 0, 7, 40]), Err(MalformedValue));
    assert_eq!(address_error_code_value(&[2, 0, 4]), Err(MalformedValue));
}

//
#[test]
fn unknown_attributes_are_padded_as_any_value() {
    // Six bytes and two zeros, not the last type twice.
    let types = [0x7FFE, 0x0003, 0x7F00].map(AttributeType);
    let bytes = request(|message| {
        message.put_unknown_attributes(&types);
    });
    assert_eq!(bytes[20..], [0, 0x0A, 0, 6, 0x7F, 0xFE, 0, 3, 0x7F, 0, 0, 0]);
    let value = Message::parse(&bytes).unwrap().get(AttributeType::UNKNOWN_ATTRIBUTES).unwrap();
    assert!(unknown_attributes_value(value).unwrap().eq(types));
    assert!(unknown_attributes_value(&[0x7F]).is_err());
}

#[test]
fn the_first_known_password_algorithm_is_preferred() {
    use PasswordAlgorithm::{Md5, Sha256};
    let preferred = PasswordAlgorithm::preferred;
    assert_eq!(preferred(&PasswordAlgorithm::LIST), Some(Sha256));
    assert_eq!(preferred(&[0, 1, 0, 0, 0, 2, 0, 0]), Some(Md5));
    // An unknown one with five bytes of parameters and their padding goes by.
    assert_eq!(preferred(&[0, 9, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 1, 0, 0]), Some(Md5));
    // One that is known has no parameters.
    assert_eq!(preferred(&[0, 2, 0, 4, 1, 2, 3, 4]), None);
    for broken in [&[][..], &[0], &[0, 2, 0], &[0, 9, 0xFF, 0xFF, 0, 1, 0, 0], &[0, 9, 0, 5, 1, 2, 3, 4, 5]] {
        assert_eq!(preferred(broken), None);
    }
}

//
#[test]
fn padding_is_zero() {
    // Behind bytes that are not, in a buffer that was used before.
    let mut out = vec![0xEE; 400];
    out.clear();
    let mut message =
        floe::wire::MessageWriter::new(&mut out, floe::wire::Class::Error, floe::wire::Method::ALLOCATE, ID);
    message.put_error(ErrorCode::UNAUTHENTICATED, "x").put(AttributeType::REALM, b"y");
    message.put_unknown_attributes(&[AttributeType(0x7FFE)]);
    assert_eq!(out[29..32], [0; 3]);
    assert_eq!(out[37..40], [0; 3]);
    assert_eq!(out[46..48], [0; 2]);
}
