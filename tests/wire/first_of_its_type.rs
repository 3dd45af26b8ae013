//! Of several attributes of one type the first counts (RFC 8489 §14, A-019).

use floe::wire::{AttributeType, Message};
use proptest::prelude::*;

use crate::build::{Draft, drafts, request};

//
#[test]
fn first_of_each_named_type_is_found() {
    let seals = [
        AttributeType::MESSAGE_INTEGRITY,
        AttributeType::MESSAGE_INTEGRITY_SHA256,
        AttributeType::FINGERPRINT,
    ];
    for kind in AttributeType::ALL.iter().filter(|kind| !seals.contains(kind)) {
        let bytes = request(|message| {
            message.put(AttributeType(0x7FFE), b"other").put(*kind, b"first").put(*kind, b"second");
        });
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.get(*kind), Some(&b"first"[..]));
        assert_eq!(message.range(*kind).map(|range| &bytes[range]), Some(&b"first"[..]));
        for other in AttributeType::ALL.iter().filter(|other| *other != kind) {
            assert!(!message.has(*other), "{other:?} in a message with {kind:?}");
        }
    }
}

#[test]
fn an_empty_value_is_there() {
    let bytes = request(|message| {
        message.put(AttributeType::DONT_FRAGMENT, &[]);
    });
    assert_eq!(Message::parse(&bytes).unwrap().get(AttributeType::DONT_FRAGMENT), Some(&[][..]));
}

proptest! {
    #[test]
    fn look_up_agrees_with_the_list(draft in drafts(), again in any::<prop::sample::Index>(), asked: u16) {
        let mut attributes = draft.attributes.clone();
        if !attributes.is_empty() {
            attributes.push((again.get(&attributes).0, b"again".to_vec()));
        }
        let bytes = Draft { attributes: attributes.clone(), ..draft }.write();
        let message = Message::parse(&bytes).unwrap();
        let read: Vec<_> = message.attributes().map(|a| (a.kind, a.value.to_vec())).collect();
        prop_assert_eq!(&read, &attributes);
        let all = attributes.iter().map(|(kind, _)| *kind);
        for kind in all.chain([AttributeType(asked)]).chain(AttributeType::ALL.iter().copied()) {
            let first = attributes.iter().find(|(k, _)| *k == kind).map(|(_, value)| &value[..]);
            prop_assert_eq!(message.get(kind), first);
            prop_assert_eq!(message.has(kind), first.is_some());
            prop_assert_eq!(message.range(kind).map(|range| &bytes[range]), first);
        }
    }
}
