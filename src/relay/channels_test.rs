use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn they_agree_with_a_list_that_is_searched_from_end_to_end(
        steps in prop::collection::vec((0u16..8, 0u16..8, any::<bool>()), 1..60),
    ) {
        let mut channels = Channels::default();
        let mut list = Vec::new();
        for (number, port, binds) in steps {
            let (number, peer) = (ChannelNumber(number), PeerAddr::new(([192, 0, 2, 1], port).into()));
            list.retain(|(n, p)| *n != number && *p != peer);
            if binds {
                channels.bind(Channel { number, peer, expires: Instant::default(), reach: Reach::Open });
                list.push((number, peer));
            } else {
                channels.retain(|channel| channel.number != number && channel.peer != peer);
            }
            prop_assert_eq!(channels.len(), list.len());
            for (number, peer) in &list {
                prop_assert_eq!(channels.get(*number).map(|channel| channel.peer), Some(*peer));
                prop_assert_eq!(channels.to(*peer).map(|channel| channel.number), Some(*number));
            }
        }
    }
}
