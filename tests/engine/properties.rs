//! [`sequences`](super::sequences) by chance: what proptest finds here shrinks to
//! a short story.

use proptest::prelude::*;

use crate::sequences::run;

type Step = [u8; 6];

fn play(flags: u8, steps: &[Step]) -> u64 {
    let mut input = vec![flags];
    input.extend(steps.as_flattened());
    run(&input)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(600))]

    // B-007 B-022 B-043 B-064 B-072 B-076 B-078 B-079 B-132 B-135 B-164 H-040 H-041 H-052 H-061
    #[test]
    fn the_engine_agrees_with_the_model(flags: u8, steps in prop::collection::vec(any::<Step>(), 0..300)) {
        play(flags, &steps);
    }
}

proptest! {
    #![proptest_config(config(150))]

    // C-005 C-007 C-010 C-012 C-013 C-014 C-018 C-022
    #[test]
    fn tcp_relays_agree_with_their_model(flags: u8, steps in prop::collection::vec(any::<Step>(), 0..300)) {
        let mut input = vec![flags];
        input.extend(steps.as_flattened());
        crate::tcp_sequences::run(&input);
    }
}

proptest! {
    #![proptest_config(config(20))]

    #[test]
    fn the_same_happens_again_for_the_same_seed(flags: u8, steps in prop::collection::vec(any::<Step>(), 300)) {
        prop_assert_eq!(play(flags, &steps), play(flags, &steps));
    }
}
