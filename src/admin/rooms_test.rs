use super::*;

/// What waits in an inbox now.
fn waiting(inbox: &mut Inbox) -> Vec<String> {
    let mut texts = Vec::new();
    while let Ok(text) = inbox.messages.try_recv() {
        inbox.seat.waiting.fetch_sub(text.len(), Relaxed);
        texts.push(text.as_str().to_owned());
    }
    texts
}

fn rooms() -> Arc<Rooms> {
    Arc::new(Rooms::new(2))
}

#[test]
fn both_are_told_how_many_they_are_and_who_was_first_knows_it() {
    let rooms = rooms();
    let (_first, mut first_inbox) = rooms.join("a").unwrap();
    assert_eq!(waiting(&mut first_inbox), [r#"{"peers":1}"#]);
    let (second, mut second_inbox) = rooms.join("a").unwrap();
    assert_eq!(waiting(&mut first_inbox), [r#"{"peers":2}"#]);
    assert_eq!(waiting(&mut second_inbox), [r#"{"peers":2}"#]);
    drop(second);
    assert_eq!(waiting(&mut first_inbox), [r#"{"left":true}"#, r#"{"peers":1}"#]);
}

#[test]
fn a_message_goes_to_the_other_and_to_nobody_else() {
    let rooms = rooms();
    let (first, mut first_inbox) = rooms.join("a").unwrap();
    first.relay("lost".into());
    let (_second, mut second_inbox) = rooms.join("a").unwrap();
    let (_stranger, mut stranger_inbox) = rooms.join("b").unwrap();
    for inbox in [&mut first_inbox, &mut second_inbox, &mut stranger_inbox] {
        waiting(inbox);
    }
    first.relay("hello".into());
    assert_eq!(waiting(&mut second_inbox), ["hello"]);
    assert!(waiting(&mut first_inbox).is_empty());
    assert!(waiting(&mut stranger_inbox).is_empty());
}

#[test]
fn rooms_hold_two_and_there_are_only_so_many() {
    let rooms = rooms();
    let first = rooms.join("a").unwrap();
    let second = rooms.join("a").unwrap();
    assert_eq!(rooms.join("a").err(), Some(Closed::Full));
    let other = rooms.join("b").unwrap();
    assert_eq!(rooms.join("c").err(), Some(Closed::TooMany));
    assert!(rooms.join("b").is_ok());
    drop((first, second));
    assert_eq!(rooms.count(), 1);
    assert!(rooms.join("c").is_ok());
    drop(other);
    assert_eq!(rooms.count(), 0);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_put_out_with_bounded_memory() {
    for message in [Utf8Bytes::from("x"), Utf8Bytes::from("x".repeat(60_000))] {
        let rooms = rooms();
        let (first, mut first_inbox) = rooms.join("a").unwrap();
        let (second, mut slow) = rooms.join("a").unwrap();
        waiting(&mut first_inbox);
        for _ in 0..QUEUE + 1 {
            first.relay(message.clone());
        }
        assert_eq!(waiting(&mut first_inbox), [r#"{"left":true}"#, r#"{"peers":1}"#]);
        let mut bytes = 0;
        while let Some(text) = slow.next().await {
            bytes += text.len();
        }
        assert!(bytes <= QUEUE_BYTES);
        // It has no voice any more, and its place is free.
        second.relay("late".into());
        assert!(waiting(&mut first_inbox).is_empty());
        let (_third, mut third_inbox) = rooms.join("a").unwrap();
        drop(second);
        assert_eq!(waiting(&mut third_inbox), [r#"{"peers":2}"#]);
        assert_eq!(waiting(&mut first_inbox), [r#"{"peers":2}"#]);
    }
}

#[test]
fn two_that_do_not_read_both_go() {
    let rooms = rooms();
    let (first, _first_inbox) = rooms.join("a").unwrap();
    let (second, _second_inbox) = rooms.join("a").unwrap();
    for _ in 0..QUEUE - 2 {
        first.relay("x".into());
        second.relay("x".into());
    }
    for _ in 0..3 {
        first.relay("x".into());
    }
    assert!(rooms.lock()["a"].is_empty());
    drop((first, second));
    assert_eq!(rooms.count(), 0);
}
