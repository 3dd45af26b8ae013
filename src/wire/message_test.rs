use super::*;

#[test]
fn every_named_type_has_a_place_of_its_own() {
    let mut places: Vec<_> = AttributeType::ALL.iter().map(|kind| FirstOffsets::slot(*kind)).collect();
    assert!(places.iter().all(Option::is_some));
    places.sort();
    places.dedup();
    assert_eq!(places.len(), AttributeType::ALL.len());
}

#[test]
fn no_type_lies_outside_the_table() {
    for kind in (0..=u16::MAX).map(AttributeType) {
        let inside = matches!(kind.0, 0..=0x3F | 0x8000..=0x803F);
        assert_eq!(FirstOffsets::slot(kind).is_some(), inside);
        assert!(FirstOffsets::slot(kind).is_none_or(|slot| slot < 128));
    }
}

#[test]
fn the_last_possible_attribute_is_found() {
    // The longest message there is: offsets go beyond 16 bits.
    let mut bytes = vec![0, 1, 0xFF, 0xFC, 0x21, 0x12, 0xA4, 0x42];
    bytes.resize(HEADER_LENGTH + 65_532, 0);
    for at in (HEADER_LENGTH..bytes.len()).step_by(4) {
        bytes[at] = 0xC0;
    }
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&[0, 0x1A, 0, 0]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.range(AttributeType::DONT_FRAGMENT), Some(bytes.len()..bytes.len()));
}
