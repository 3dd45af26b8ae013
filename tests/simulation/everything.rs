//! All at once: every kind of client over every transport and family, peers and
//! couples, small and large servers, any weather, clocks that are set, machines that
//! sleep, NATs that rebind, and everybody who is hostile; a million packets of it, or
//! as many as `FLOE_SIM_PACKETS` says.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use floe::relay::AlternateServer;

use crate::attackers::{
    Budget, forger, impostor, permission_spammer, port_scanner, reflector, replayer, ticket_thief,
    token_thief,
};
use crate::caller::Wish;
use crate::deployment::Deployment;
use crate::manners::{ALL, FIREFOX, FORGETFUL, ROAMER};
use crate::network::{CLEAR, ROUGH, STORM, chance};
use crate::story::{tell, tell_one};
use crate::world::{ERIN, ERIN_LATER, Setup, SplitMix, addr};

const PACKETS: u64 = 1_000_000;

#[test]
fn a_million_packets_of_everything() {
    let name = "a_million_packets_of_everything";
    if env::var("FLOE_SIM_SEED").is_ok() {
        return tell(name, 1, |seed| drop(everything(seed)));
    }
    let wanted = env::var("FLOE_SIM_PACKETS").map_or(PACKETS, |text| text.parse().expect("FLOE_SIM_PACKETS"));
    let (packets, seeds) = (AtomicU64::new(0), AtomicU64::new(0));
    let some = || {
        while packets.load(Relaxed) < wanted {
            let seed = 1 + seeds.fetch_add(1, Relaxed);
            tell_one(name, seed, |seed| _ = packets.fetch_add(everything(seed).packets, Relaxed));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(some);
        }
    });
    println!("{} packets, {} deployments", packets.load(Relaxed), seeds.load(Relaxed));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let told = |seed| {
        let Deployment { world, packets, letters, .. } = lasting(seed, Duration::from_secs(150));
        (world.transcript(), packets, letters.delivered, letters.dropped, letters.lost)
    };
    assert_eq!(told(4), told(4));
    assert_ne!(told(4).0, told(5).0);
}

fn everything(seed: u64) -> Deployment {
    let length = 400 + SplitMix(!seed).below(1_000) as u64;
    lasting(seed, Duration::from_secs(length))
}

/// One deployment, all of whose traits the seed has chosen.
fn lasting(seed: u64, length: Duration) -> Deployment {
    let mut dice = SplitMix(seed);
    let mut setup =
        Setup { seed, shards: 1 + dice.below(4) as u8, v6: chance(&mut dice, 7_000), ..Setup::default() };
    if chance(&mut dice, 3_000) {
        let first = 50_000 + dice.below(2) as u16;
        setup.ports = first..=first + 20 + dice.below(20) as u16;
    }
    setup.per_user = [0, 0, 12][dice.below(3)];
    setup.in_all = [0, 0, 25][dice.below(3)];
    setup.strangers = chance(&mut dice, 3_000).then(|| Budget::new(20) as _);
    setup.settings.compat_permission_lifetime = chance(&mut dice, 5_000);
    if chance(&mut dice, 3_000) {
        let other = |text| AlternateServer { address: addr(text), domain: None };
        setup.settings.alternate_servers = ["198.51.100.9:3478", "[2001:db8::9]:3478"].map(other).into();
    }
    let mut deployment = Deployment::new(setup);
    deployment.weather = [CLEAR, ROUGH, ROUGH, STORM][dice.below(4)];
    deployment.bind_delay = chance(&mut dice, 7_000).then(|| Duration::from_millis(dice.below(400) as u64));
    deployment.bind_mishaps = [0, 500, 3_000][dice.below(3)];
    deployment.ring_delay = Duration::from_micros(dice.below(20_000) as u64);
    if chance(&mut dice, 2_000) {
        deployment.world.ring_size = Some(1 + dice.below(4));
    }
    people(&mut deployment, &mut dice);
    mischief(&mut deployment, &mut dice);
    deployment.run(length);
    deployment
}

fn people(deployment: &mut Deployment, dice: &mut SplitMix) {
    let peers: Vec<_> = (1..5).map(|n| deployment.peer(&format!("203.0.113.{n}:9000"))).collect();
    let peers_v6: Vec<_> = (1..3).map(|n| deployment.peer(&format!("[2001:db8:9::{n}]:9000"))).collect();
    let denied = deployment.peer("10.0.0.1:9000");
    let names = ["alice", "bob", "carol", ERIN, ERIN_LATER];
    for n in 0..20 + dice.below(15) {
        let manner = match dice.below(20) {
            0..3 => FORGETFUL,
            3..7 => ROAMER,
            _ => ALL[dice.below(ALL.len())],
        };
        let name = names[dice.below(names.len())];
        let caller = match dice.below(10) {
            0..=5 => deployment.caller(name, manner),
            6..=7 => deployment.tcp_caller(name, manner),
            _ => deployment.v6_caller(name, manner),
        };
        let wishes = [Wish::Plain, Wish::Plain, Wish::Plain, Wish::V6, Wish::Both, Wish::Even, Wish::Pair];
        let wish = wishes[dice.below(wishes.len())];
        deployment.callers[caller].wish = wish;
        if wish == Wish::Both && chance(dice, 5_000) {
            deployment.callers[caller].keeps = Some(1 + dice.below(2) as u8);
        }
        if wish != Wish::V6 {
            deployment.introduce(caller, peers[dice.below(peers.len())]);
            deployment.introduce(caller, peers[dice.below(peers.len())]);
        }
        if matches!(wish, Wish::V6 | Wish::Both) {
            deployment.introduce(caller, peers_v6[dice.below(peers_v6.len())]);
        }
        if n > 0 && chance(dice, 4_000) {
            deployment.couple(caller, caller - 1);
        }
        if chance(dice, 500) {
            deployment.introduce(caller, denied);
        }
    }
}

fn mischief(deployment: &mut Deployment, dice: &mut SplitMix) {
    let soon = Duration::from_millis(500);
    if chance(dice, 4_000) {
        deployment.interfere(soon, port_scanner());
    }
    if chance(dice, 4_000) {
        deployment.interfere(soon, replayer());
    }
    if chance(dice, 4_000) {
        deployment.interfere(soon, forger());
    }
    if chance(dice, 4_000) {
        deployment.interfere(soon, impostor());
    }
    if chance(dice, 3_000) {
        deployment.interfere(soon, ticket_thief(["alice", "carol"][dice.below(2)]));
    }
    if chance(dice, 4_000) {
        deployment.interfere(soon, token_thief("carol"));
    }
    if chance(dice, 2_000) {
        let greedy = deployment.caller("carol", FIREFOX);
        deployment.interfere(soon, permission_spammer(greedy));
    }
    if chance(dice, 2_000) {
        deployment.interfere(soon, reflector(addr("192.0.2.200:1").ip(), Duration::from_millis(50)));
    }
    if chance(dice, 6_000) {
        let pause = 5 + dice.below(60) as u64;
        deployment.interfere(
            soon,
            Box::new(move |deployment| {
                let who = deployment.random.below(deployment.callers.len());
                if deployment.callers[who].manner.roams {
                    deployment.roam(who);
                }
                Some(Duration::from_secs(pause))
            }),
        );
    }
    for _ in 0..dice.below(6) {
        let after = Duration::from_secs(dice.below(900) as u64);
        let amount = dice.below(5_000);
        let client = dice.below(20);
        match dice.below(5) {
            0 => deployment.at(after, move |deployment| {
                deployment.world.set_wall_clock(amount as i64 - 2_500);
            }),
            1 => deployment
                .at(after, move |deployment| deployment.pause(Duration::from_millis(amount as u64 * 200))),
            2 => deployment.at(after, move |deployment| deployment.break_connection(client)),
            3 => deployment.at(after, move |deployment| {
                deployment.callers[client].rebind();
                deployment.moved(client);
            }),
            _ if amount < 500 => deployment.at(after, Deployment::drain),
            _ if amount < 800 => deployment.at(after, Deployment::stop),
            _ => {}
        }
    }
}
