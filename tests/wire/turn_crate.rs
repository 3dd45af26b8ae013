//! The `turn` crate's protocol module as an oracle for TURN's attributes and
//! ChannelData.

use std::time::Duration;

use floe::wire::attribute::{channel_number_value, even_port_value, first_of_four, u32_value};
use floe::wire::{AttributeType, ChannelNumber, Message, channel_data, padding};
use proptest::collection::vec;
use proptest::prelude::*;
use stun::message::{Getter, Setter};
use turn::proto::chandata::ChannelData;
use turn::proto::data::Data;
use turn::proto::dontfrag::DontFragmentAttr;
use turn::proto::evenport::EvenPort;
use turn::proto::lifetime::Lifetime;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::relayaddr::RelayedAddress;
use turn::proto::reqfamily::RequestedAddressFamily;
use turn::proto::reqtrans::RequestedTransport;
use turn::proto::rsrvtoken::ReservationToken;
use turn::proto::{Protocol, channum};

use crate::build::{ID, addresses, request};

/// Our Refresh request with one attribute, as they read it.
fn read(ours: &[u8], attribute: &mut dyn Getter) {
    let mut message = stun::message::Message::new();
    message.unmarshal_binary(ours).unwrap();
    attribute.get_from(&message).unwrap();
}

/// The same request with one attribute of theirs.
fn built(attribute: &dyn Setter) -> Vec<u8> {
    let mut message = stun::message::Message::new();
    message.transaction_id = stun::agent::TransactionId(ID.0);
    message.typ.method = stun::message::METHOD_REFRESH;
    message.write_header();
    attribute.add_to(&mut message).unwrap();
    message.raw
}

fn value(bytes: &[u8], kind: AttributeType) -> &[u8] {
    Message::parse(bytes).unwrap().get(kind).unwrap()
}

proptest! {
    #[test]
    fn channel_number(number: u16) {
        let theirs = built(&channum::ChannelNumber(number));
        prop_assert_eq!(channel_number_value(value(&theirs, AttributeType::CHANNEL_NUMBER)), Ok(number));
        let ours = request(|m| { m.put_u32(AttributeType::CHANNEL_NUMBER, u32::from(number) << 16); });
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn lifetime(seconds: u32) {
        let theirs = built(&Lifetime(Duration::from_secs(seconds.into())));
        prop_assert_eq!(u32_value(value(&theirs, AttributeType::LIFETIME)), Ok(seconds));
        let ours = request(|m| { m.put_u32(AttributeType::LIFETIME, seconds); });
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn requested_transport(number: u8) {
        let theirs = built(&RequestedTransport { protocol: Protocol(number) });
        prop_assert_eq!(first_of_four(value(&theirs, AttributeType::REQUESTED_TRANSPORT)), Ok(number));
        let ours = request(|m| { m.put(AttributeType::REQUESTED_TRANSPORT, &[number, 0, 0, 0]); });
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn requested_address_family(number in 1..=2u8) {
        let theirs = built(&RequestedAddressFamily(number));
        prop_assert_eq!(first_of_four(value(&theirs, AttributeType::REQUESTED_ADDRESS_FAMILY)), Ok(number));
        let ours = request(|m| { m.put(AttributeType::REQUESTED_ADDRESS_FAMILY, &[number, 0, 0, 0]); });
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn reservation_token(token: [u8; 8]) {
        let theirs = built(&ReservationToken(token.to_vec()));
        prop_assert_eq!(value(&theirs, AttributeType::RESERVATION_TOKEN), token);
        let ours = request(|m| { m.put(AttributeType::RESERVATION_TOKEN, &token); });
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn peer_and_relayed_address(address in addresses()) {
        let (ip, port) = (address.ip(), address.port());
        let theirs = built(&PeerAddress { ip, port });
        let peer = Message::parse(&theirs).unwrap().xor_address(AttributeType::XOR_PEER_ADDRESS);
        prop_assert_eq!(peer, Some(Ok(address)));
        let ours = request(|m| { m.put_xor_address(AttributeType::XOR_PEER_ADDRESS, address); });
        prop_assert_eq!(ours, theirs);
        let theirs = built(&RelayedAddress { ip, port });
        let relayed = Message::parse(&theirs).unwrap().xor_address(AttributeType::XOR_RELAYED_ADDRESS);
        prop_assert_eq!(relayed, Some(Ok(address)));
        let ours = request(|m| { m.put_xor_address(AttributeType::XOR_RELAYED_ADDRESS, address); });
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn data(payload in vec(any::<u8>(), 0..300)) {
        let theirs = built(&Data(payload.clone()));
        prop_assert_eq!(value(&theirs, AttributeType::DATA), &payload[..]);
        let whole = request(|m| { m.put(AttributeType::DATA, &payload); });
        prop_assert_eq!(&whole, &theirs);
        // The same with the payload sent from elsewhere.
        let mut out = Vec::new();
        let writer = floe::wire::MessageWriter::new(
            &mut out, floe::wire::Class::Request, floe::wire::Method::REFRESH, ID,
        );
        let head = writer.finish_before_value(AttributeType::DATA, payload.len());
        let zeros = vec![0; padding(payload.len())];
        prop_assert_eq!([&out[head], &payload, &zeros].concat(), theirs);
    }

    #[test]
    fn channel_data_both_ways(number in 0x4000..=0x7FFFu16, payload in vec(any::<u8>(), 0..300)) {
        let mut theirs = ChannelData {
            data: payload.clone(),
            number: channum::ChannelNumber(number),
            raw: Vec::new(),
        };
        theirs.encode();
        let (channel, range) = channel_data::parse(&theirs.raw).unwrap();
        prop_assert_eq!(channel, ChannelNumber(number));
        prop_assert_eq!(&theirs.raw[range], &payload[..]);

        let header = channel_data::header(ChannelNumber(number), payload.len()).unwrap();
        let mut read = ChannelData { raw: [&header[..], &payload].concat(), ..ChannelData::default() };
        read.decode().unwrap();
        prop_assert_eq!((read.number.0, read.data), (number, payload));
    }
}

#[test]
fn even_port() {
    for reserve in [false, true] {
        let ours = request(|m| {
            m.put(AttributeType::EVEN_PORT, &[u8::from(reserve) << 7]);
        });
        let mut theirs = EvenPort::default();
        read(&ours, &mut theirs);
        assert_eq!(theirs.to_string(), format!("reserve: {reserve}"));
        let theirs = built(&theirs);
        assert_eq!(ours, theirs);
        assert_eq!(even_port_value(value(&theirs, AttributeType::EVEN_PORT)), Ok(reserve));
    }
}

#[test]
fn dont_fragment() {
    let theirs = built(&DontFragmentAttr);
    assert!(Message::parse(&theirs).unwrap().has(AttributeType::DONT_FRAGMENT));
    let ours = request(|m| {
        m.put(AttributeType::DONT_FRAGMENT, &[]);
    });
    assert_eq!(ours, theirs);
    read(&ours, &mut DontFragmentAttr);
}
