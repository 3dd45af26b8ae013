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

/// A connection that was handed to another shard ends while its Allocate waits
/// there. Whoever has the same port next is let in where the connection came in.
#[test]
fn an_allocate_that_waits_elsewhere_for_nobody_is_in_nobodys_way() {
    const CAROL: u8 = 4;
    const BOB: u8 = 3;
    const SECOND_BOB: u8 = 2;
    let moved_there: [Step; 6] = [
        [36, CAROL, 9, 0, 0, 0],
        [0, CAROL, 8, 0, 0, 0],
        [32, CAROL, 8, 0, 0, 0],
        [31, 0, 16, 0, 0, 0],
        [36, BOB, 8, 0, 0, 0],
        [0, BOB, 0, 0, 0, 0],
    ];
    let gone = [30, BOB, 0, 0, 0, 0];
    let next: [&[Step]; 5] = [
        // The same one, who asks for no second while the first waits.
        &[[0, BOB, 0, 0, 0, 0], [28, BOB, 0, 0, 0, 0]],
        // Somebody else's, while the old one ends; or its connection is gone as well.
        &[[36, SECOND_BOB, 8, 0, 0, 0], [0, SECOND_BOB, 0, 0, 0, 0], [27, 0, 0, 0, 0, 0]],
        &[[36, SECOND_BOB, 8, 0, 0, 0], [0, SECOND_BOB, 0, 0, 0, 0], [30, SECOND_BOB, 0, 0, 0, 0]],
        // Who comes there with a ticket: of the shard it came in at, or of the other one.
        &[[31, 0, 16, 128, 0, 0], [36, 0, 10, 0, 0, 0], [0, 0, 8, 0, 0, 0], [32, 0, 8, 0, 0, 0]],
        &[[36, 0, 9, 0, 0, 0], [31, 0, 16, 128, 0, 0], [0, 0, 8, 0, 0, 0], [32, 0, 8, 0, 0, 0]],
    ];
    for next in next {
        play(1, &[&moved_there[..], &[gone], next].concat());
    }
    // The shortest that chance has found.
    play(
        33,
        &[
            [32, 184, 42, 0, 0, 0],
            [112, 159, 173, 0, 0, 0],
            [40, 130, 88, 0, 0, 0],
            [232, 190, 118, 0, 0, 0],
            [0, 65, 0, 0, 0, 0],
            [0, 5, 0, 0, 0, 0],
            [191, 0, 16, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
            [40, 3, 0, 0, 0, 0],
            [70, 81, 0, 0, 0, 0],
            [200, 111, 0, 0, 0, 0],
        ],
    );
}

/// Bob shows his token again after eleven minutes in which nobody looked at a clock.
#[test]
fn a_token_that_nobody_has_seen_expire_is_refused_and_let_go() {
    play(96, &[[40, 2, 117, 0, 0, 36], [0; 6], [106, 0, 59, 187, 0, 0], [40, 2, 230, 0, 44, 0]]);
}
