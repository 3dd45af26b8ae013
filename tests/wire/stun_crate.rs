//! The `stun` crate as an oracle: what it builds we read, what we build it reads,
//! byte for byte.

use std::net::SocketAddr;

use floe::wire::attribute::{error_code_value, unknown_attributes_value};
use floe::wire::integrity::LongTermKeys;
use floe::wire::message::message_type;
use floe::wire::{AttributeType, Class, ErrorCode, Message, MessageWriter, Method, address};
use proptest::collection::vec;
use proptest::prelude::*;
use stun::addr::MappedAddress;
use stun::attributes::AttrType;
use stun::error_code::ErrorCodeAttribute;
use stun::fingerprint::FINGERPRINT;
use stun::integrity::MessageIntegrity;
use stun::message::{Getter, MessageType, Setter};
use stun::textattrs::TextAttribute;
use stun::uattrs::UnknownAttributes;
use stun::xoraddr::XorMappedAddress;

use crate::build::{Draft, ID, addresses, drafts, ids};

type Theirs = stun::message::Message;

const CLASSES: [(Class, stun::message::MessageClass); 4] = [
    (Class::Request, stun::message::CLASS_REQUEST),
    (Class::Indication, stun::message::CLASS_INDICATION),
    (Class::Success, stun::message::CLASS_SUCCESS_RESPONSE),
    (Class::Error, stun::message::CLASS_ERROR_RESPONSE),
];

fn their_type(class: Class, method: Method) -> MessageType {
    let mut kind = MessageType::default();
    kind.read_value(message_type(class, method));
    kind
}

/// The draft as they write it; SHA-256 they do not know.
fn built_by_them(draft: &Draft) -> Vec<u8> {
    let mut message = Theirs::new();
    message.transaction_id = stun::agent::TransactionId(draft.id.0);
    message.typ = their_type(draft.class, draft.method);
    message.write_header();
    for (kind, value) in &draft.attributes {
        message.add(AttrType(kind.0), value);
    }
    if let Some(key) = &draft.sha1 {
        MessageIntegrity(key.clone()).add_to(&mut message).unwrap();
    }
    if draft.fingerprint {
        FINGERPRINT.add_to(&mut message).unwrap();
    }
    message.raw
}

fn read_by_them(bytes: &[u8]) -> Theirs {
    let mut message = Theirs::new();
    message.unmarshal_binary(bytes).unwrap();
    message
}

/// A Binding response with one attribute of theirs.
fn with(attribute: &dyn Setter) -> Vec<u8> {
    let mut message = Theirs::new();
    message.transaction_id = stun::agent::TransactionId(ID.0);
    message.typ = their_type(Class::Success, Method::BINDING);
    message.write_header();
    attribute.add_to(&mut message).unwrap();
    message.raw
}

/// A Binding response with one attribute of ours.
fn written(fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut MessageWriter::new(&mut out, Class::Success, Method::BINDING, ID));
    out
}

#[test]
fn every_message_type_has_the_same_number() {
    for (ours, theirs) in CLASSES {
        for number in 0..0x1000 {
            let method = Method::new(number);
            let kind = their_type(ours, method);
            assert_eq!(kind.class, theirs);
            assert_eq!(kind.value(), message_type(ours, method));
            let bytes = Draft {
                class: ours,
                method,
                id: ID,
                attributes: Vec::new(),
                sha1: None,
                sha256: None,
                fingerprint: false,
            }
            .write();
            assert_eq!(read_by_them(&bytes).typ, kind);
            let message = Message::parse(&bytes).unwrap();
            assert_eq!((message.class(), message.method()), (ours, method));
        }
    }
    let methods = [
        (Method::BINDING, stun::message::METHOD_BINDING),
        (Method::ALLOCATE, stun::message::METHOD_ALLOCATE),
        (Method::REFRESH, stun::message::METHOD_REFRESH),
        (Method::SEND, stun::message::METHOD_SEND),
        (Method::DATA, stun::message::METHOD_DATA),
        (Method::CREATE_PERMISSION, stun::message::METHOD_CREATE_PERMISSION),
        (Method::CHANNEL_BIND, stun::message::METHOD_CHANNEL_BIND),
    ];
    for (ours, theirs) in methods {
        assert_eq!(their_type(Class::Request, ours).method, theirs, "{}", ours.name());
    }
}

#[test]
fn every_attribute_type_has_the_same_number() {
    use stun::attributes as theirs;
    let pairs = [
        (AttributeType::MAPPED_ADDRESS, theirs::ATTR_MAPPED_ADDRESS),
        (AttributeType::CHANGE_REQUEST, theirs::ATTR_CHANGE_REQUEST),
        (AttributeType::USERNAME, theirs::ATTR_USERNAME),
        (AttributeType::MESSAGE_INTEGRITY, theirs::ATTR_MESSAGE_INTEGRITY),
        (AttributeType::ERROR_CODE, theirs::ATTR_ERROR_CODE),
        (AttributeType::UNKNOWN_ATTRIBUTES, theirs::ATTR_UNKNOWN_ATTRIBUTES),
        (AttributeType::CHANNEL_NUMBER, theirs::ATTR_CHANNEL_NUMBER),
        (AttributeType::LIFETIME, theirs::ATTR_LIFETIME),
        (AttributeType::XOR_PEER_ADDRESS, theirs::ATTR_XOR_PEER_ADDRESS),
        (AttributeType::DATA, theirs::ATTR_DATA),
        (AttributeType::REALM, theirs::ATTR_REALM),
        (AttributeType::NONCE, theirs::ATTR_NONCE),
        (AttributeType::XOR_RELAYED_ADDRESS, theirs::ATTR_XOR_RELAYED_ADDRESS),
        (AttributeType::REQUESTED_ADDRESS_FAMILY, theirs::ATTR_REQUESTED_ADDRESS_FAMILY),
        (AttributeType::EVEN_PORT, theirs::ATTR_EVEN_PORT),
        (AttributeType::REQUESTED_TRANSPORT, theirs::ATTR_REQUESTED_TRANSPORT),
        (AttributeType::DONT_FRAGMENT, theirs::ATTR_DONT_FRAGMENT),
        (AttributeType::MESSAGE_INTEGRITY_SHA256, theirs::ATTR_MESSAGE_INTEGRITY_SHA256),
        (AttributeType::PASSWORD_ALGORITHM, theirs::ATTR_PASSWORD_ALGORITHM),
        (AttributeType::USERHASH, theirs::ATTR_USER_HASH),
        (AttributeType::XOR_MAPPED_ADDRESS, theirs::ATTR_XORMAPPED_ADDRESS),
        (AttributeType::RESERVATION_TOKEN, theirs::ATTR_RESERVATION_TOKEN),
        (AttributeType::PRIORITY, theirs::ATTR_PRIORITY),
        (AttributeType::USE_CANDIDATE, theirs::ATTR_USE_CANDIDATE),
        (AttributeType::PADDING, theirs::ATTR_PADDING),
        (AttributeType::RESPONSE_PORT, theirs::ATTR_RESPONSE_PORT),
        (AttributeType::CONNECTION_ID, theirs::ATTR_CONNECTION_ID),
        (AttributeType::PASSWORD_ALGORITHMS, theirs::ATTR_PASSWORD_ALGORITHMS),
        (AttributeType::ALTERNATE_DOMAIN, theirs::ATTR_ALTERNATE_DOMAIN),
        (AttributeType::SOFTWARE, theirs::ATTR_SOFTWARE),
        (AttributeType::ALTERNATE_SERVER, theirs::ATTR_ALTERNATE_SERVER),
        (AttributeType::FINGERPRINT, theirs::ATTR_FINGERPRINT),
        (AttributeType::ICE_CONTROLLED, theirs::ATTR_ICE_CONTROLLED),
        (AttributeType::ICE_CONTROLLING, theirs::ATTR_ICE_CONTROLLING),
        (AttributeType::RESPONSE_ORIGIN, theirs::ATTR_RESPONSE_ORIGIN),
        (AttributeType::OTHER_ADDRESS, theirs::ATTR_OTHER_ADDRESS),
    ];
    for (ours, theirs) in pairs {
        assert_eq!(ours.0, theirs.value(), "{theirs}");
        assert_eq!(ours.is_comprehension_required(), theirs.required());
    }
}

proptest! {
    #[test]
    fn both_build_the_same_bytes(draft in drafts()) {
        let draft = Draft { sha256: None, ..draft };
        prop_assert_eq!(draft.write(), built_by_them(&draft));
    }

    #[test]
    fn what_it_builds_we_read(draft in drafts()) {
        let bytes = built_by_them(&draft);
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!((message.class(), message.method()), (draft.class, draft.method));
        prop_assert_eq!(message.transaction_id(), draft.id);
        let read: Vec<_> = message.attributes().map(|a| (a.kind, a.value.to_vec())).collect();
        prop_assert_eq!(read, draft.attributes);
        prop_assert_eq!(message.has_fingerprint(), draft.fingerprint);
        prop_assert_eq!(message.has_sha1(), draft.sha1.is_some());
        if let Some(key) = draft.sha1 {
            prop_assert!(message.verify_sha1(&key));
        }
    }

    #[test]
    fn what_we_build_it_reads(draft in drafts()) {
        let mut message = read_by_them(&draft.write());
        prop_assert_eq!(message.typ, their_type(draft.class, draft.method));
        prop_assert_eq!(message.transaction_id.0, draft.id.0);
        let read = message.attributes.0.iter().map(|a| (AttributeType(a.typ.value()), a.value.clone()));
        let read: Vec<_> = read.take(draft.attributes.len()).collect();
        prop_assert_eq!(read, draft.attributes);
        if draft.fingerprint {
            prop_assert!(FINGERPRINT.check(&message).is_ok());
        }
        if let Some(key) = draft.sha1 {
            prop_assert!(MessageIntegrity(key).check(&mut message).is_ok());
        }
    }

    #[test]
    fn what_we_accept_it_accepts(draft in drafts(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut bytes = Draft { fingerprint: false, ..draft }.write();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(ours) = Message::parse(&bytes) {
            let theirs = read_by_them(&bytes);
            prop_assert!(ours.attributes().zip(&theirs.attributes.0).all(|(o, t)| o.value == t.value));
        }
    }

    #[test]
    fn addresses_agree(id in ids(), address in addresses()) {
        let mut bytes = Vec::new();
        MessageWriter::new(&mut bytes, Class::Success, Method::BINDING, id)
            .put_xor_address(AttributeType::XOR_MAPPED_ADDRESS, address)
            .put_xor_address(AttributeType::XOR_PEER_ADDRESS, address)
            .put_xor_address(AttributeType::XOR_RELAYED_ADDRESS, address)
            .put_address(AttributeType::MAPPED_ADDRESS, address)
            .put_address(AttributeType::ALTERNATE_SERVER, address);
        let message = Message::parse(&bytes).unwrap();
        let theirs = read_by_them(&bytes);
        let mut rebuilt = Theirs::new();
        rebuilt.transaction_id = theirs.transaction_id;
        rebuilt.typ = theirs.typ;
        rebuilt.write_header();
        for kind in
            [AttributeType::XOR_MAPPED_ADDRESS, AttributeType::XOR_PEER_ADDRESS, AttributeType::XOR_RELAYED_ADDRESS]
        {
            let mut read = XorMappedAddress::default();
            read.get_from_as(&theirs, AttrType(kind.0)).unwrap();
            prop_assert_eq!(SocketAddr::new(read.ip, read.port), address);
            read.add_to_as(&mut rebuilt, AttrType(kind.0)).unwrap();
            prop_assert_eq!(message.xor_address(kind), Some(Ok(address)));
        }
        for kind in [AttributeType::MAPPED_ADDRESS, AttributeType::ALTERNATE_SERVER] {
            let mut read = MappedAddress::default();
            read.get_from_as(&theirs, AttrType(kind.0)).unwrap();
            prop_assert_eq!(SocketAddr::new(read.ip, read.port), address);
            read.add_to_as(&mut rebuilt, AttrType(kind.0)).unwrap();
            prop_assert_eq!(message.get(kind).map(address::decode), Some(Ok(address)));
        }
        prop_assert_eq!(rebuilt.raw, bytes);
    }

    #[test]
    fn error_codes_agree(number in 300..700u16, reason in "[ -~äß☃]{0,127}") {
        let code = ErrorCode::new(number).unwrap();
        let ours = written(|message| { message.put_error(code, &reason); });
        let theirs = ErrorCodeAttribute {
            code: stun::error_code::ErrorCode(number),
            reason: reason.clone().into_bytes(),
        };
        prop_assert_eq!(&ours, &with(&theirs));
        let mut read = ErrorCodeAttribute::default();
        read.get_from(&read_by_them(&ours)).unwrap();
        prop_assert_eq!((read.code.0, &read.reason[..]), (number, reason.as_bytes()));
        let message = Message::parse(&ours).unwrap();
        prop_assert_eq!(message.get(AttributeType::ERROR_CODE).map(error_code_value), Some(Ok((code, &*reason))));
    }

    #[test]
    fn unknown_attributes_agree(types in vec(any::<u16>(), 0..9)) {
        let types: Vec<_> = types.into_iter().map(AttributeType).collect();
        let ours = written(|message| { message.put_unknown_attributes(&types); });
        prop_assert_eq!(&ours, &with(&UnknownAttributes(types.iter().map(|t| AttrType(t.0)).collect())));
        let mut read = UnknownAttributes(Vec::new());
        read.get_from(&read_by_them(&ours)).unwrap();
        prop_assert_eq!(read.0.iter().map(|t| AttributeType(t.value())).collect::<Vec<_>>(), &types[..]);
        let message = Message::parse(&ours).unwrap();
        let value = message.get(AttributeType::UNKNOWN_ATTRIBUTES).unwrap();
        prop_assert_eq!(unknown_attributes_value(value).unwrap().collect::<Vec<_>>(), types);
    }

    #[test]
    fn texts_agree(text in "\\PC{0,120}") {
        for kind in [AttributeType::USERNAME, AttributeType::REALM, AttributeType::NONCE, AttributeType::SOFTWARE] {
            let theirs = TextAttribute::new(AttrType(kind.0), text.clone());
            let ours = written(|message| { message.put(kind, text.as_bytes()); });
            prop_assert_eq!(&ours, &with(&theirs));
            let read = TextAttribute::get_from_as(&read_by_them(&ours), AttrType(kind.0)).unwrap();
            prop_assert_eq!(&read.text, &text);
            prop_assert_eq!(Message::parse(&ours).unwrap().get(kind), Some(text.as_bytes()));
        }
    }

    #[test]
    fn long_term_keys_agree(username in "\\PC{0,20}", realm in "\\PC{0,20}", password in "\\PC{0,20}") {
        let ours = LongTermKeys::derive(&username, &realm, &password).md5;
        let theirs = MessageIntegrity::new_long_term_integrity(username, realm, password);
        prop_assert_eq!(&ours[..], &theirs.0[..]);
    }
}
