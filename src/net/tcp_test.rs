use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

#[test]
fn the_first_message_is_due_in_10_seconds_whatever_comes_in_parts() {
    let mut watch = Watch::new(at(100));
    assert_eq!(watch.deadline(Tenure::New), Some(at(110)));
    watch.partial(true, at(109));
    assert_eq!(watch.deadline(Tenure::New), Some(at(110)));
}

#[test]
fn half_a_frame_is_due_in_30_seconds_from_its_first_byte() {
    let mut watch = Watch::new(at(0));
    watch.heard(at(1));
    watch.partial(true, at(5));
    watch.partial(true, at(20));
    assert_eq!(watch.deadline(Tenure::Allocated), Some(at(35)), "more bytes buy no time");
    watch.heard(at(21));
    watch.partial(true, at(21));
    assert_eq!(watch.deadline(Tenure::Allocated), Some(at(51)), "the next frame has its own");
    watch.partial(false, at(22));
    assert_eq!(watch.deadline(Tenure::Allocated), None);
}

#[test]
fn without_an_allocation_silence_ends_after_60_seconds() {
    let mut watch = Watch::new(at(0));
    watch.heard(at(5));
    assert_eq!(watch.deadline(Tenure::New), Some(at(65)));
    assert_eq!(watch.deadline(Tenure::Allocated), None, "with one it may idle");
    assert_eq!(watch.deadline(Tenure::Released(at(600))), Some(at(660)));
    watch.heard(at(630));
    assert_eq!(watch.deadline(Tenure::Released(at(600))), Some(at(690)));
}
