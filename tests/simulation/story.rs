//! A story is told with several seeds, and can be told again with each of them:
//! `FLOE_SIM_SEED=7 cargo test --test simulation name-of-the-test`. With
//! `FLOE_SIM_SEEDS=1000` it is told with so many others.

use std::env;

/// Tells a story with the seeds 1 to `usual`, or as the environment wants it.
pub(crate) fn tell(name: &str, usual: u64, story: impl Fn(u64)) {
    let number = |variable: &str| {
        let text = env::var(variable).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")))
    };
    let seeds = match (number("FLOE_SIM_SEED"), number("FLOE_SIM_SEEDS")) {
        (Some(seed), _) => seed..=seed,
        (None, seeds) => 1..=seeds.unwrap_or(usual),
    };
    seeds.for_each(|seed| tell_one(name, seed, &story));
}

/// Tells it with this seed.
pub(crate) fn tell_one(name: &str, seed: u64, story: impl Fn(u64)) {
    let told = Told { name, seed };
    story(seed);
    drop(told);
}

/// Says how to see a failure again.
struct Told<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let Self { name, seed } = self;
        if std::thread::panicking() {
            eprintln!("it fails again with: FLOE_SIM_SEED={seed} cargo test --test simulation {name}");
        }
    }
}
