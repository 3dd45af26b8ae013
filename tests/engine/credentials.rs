//! Time-limited credentials.

use floe::wire::AttributeType;

use crate::client::{Client, MODERN, Request, Signing};
use crate::world::{ERIN, ERIN_LATER, Setup, World};

fn erin() -> Client {
    Client::new(ERIN, "192.0.2.5:4000")
}

fn strict() -> World {
    let mut setup = Setup::default();
    setup.settings.strict_expiry = true;
    World::with(setup)
}

// F-002 F-010
#[test]
fn an_expired_one_makes_no_allocation_and_gets_a_challenge() {
    for signing in [Signing::Legacy, MODERN] {
        let mut world = World::new();
        let mut erin = erin().signing(signing);
        world.pass_secs(3599);
        erin.allocate(&mut world);
        erin.refresh(&mut world, 0);
        world.pass_secs(1);
        let answer = erin.request(&mut world, &Request::allocate());
        assert_eq!(answer.code(), 401);
        assert!(answer.has(AttributeType::REALM) && answer.has(AttributeType::NONCE));
    }
}

// F-006
#[test]
fn one_that_expires_meanwhile_keeps_what_it_has() {
    let mut world = World::new();
    let mut erin = erin();
    world.pass_secs(3500);
    erin.allocate(&mut world);
    world.pass_secs(500);
    assert_eq!(erin.refresh(&mut world, 600).code(), 0);
    assert_eq!(erin.permit(&mut world, &["203.0.113.1:9".parse().unwrap()]), 0);
    assert_eq!(erin.refresh(&mut world, 0).code(), 0);
    assert_eq!(erin.request(&mut world, &Request::allocate()).code(), 401, "but nothing new");
}

// F-006
#[test]
fn by_setting_an_expired_one_may_not_even_refresh() {
    let mut world = strict();
    let mut erin = erin();
    world.pass_secs(3500);
    erin.allocate(&mut world);
    world.pass_secs(99);
    assert_eq!(erin.refresh(&mut world, 600).code(), 0);
    world.pass_secs(1);
    assert_eq!(erin.refresh(&mut world, 600).code(), 401);
    assert_eq!(erin.permit(&mut world, &["203.0.113.1:9".parse().unwrap()]), 401);
    assert_eq!(world.live(), 1, "it lasts as long as it was given");
    world.pass_secs(600);
    world.assert_empty();
}

// F-005
#[test]
fn two_of_one_person_share_a_quota_but_not_an_allocation() {
    let mut world = World::with(Setup { per_user: 2, ..Setup::default() });
    let mut erin = erin();
    erin.allocate(&mut world);
    let mut later = Client::new(ERIN_LATER, "192.0.2.5:4000");
    assert_eq!(later.refresh(&mut world, 0).code(), 441, "another name is another user");
    let mut second = Client::new(ERIN_LATER, "192.0.2.6:4000");
    second.allocate(&mut world);
    assert_eq!(world.quota.of("erin"), 2);
    let mut third = Client::new(ERIN, "192.0.2.7:4000");
    assert_eq!(third.request(&mut world, &Request::allocate()).code(), 486);
    second.refresh(&mut world, 0);
    third.allocate(&mut world);
}

// B-167 F-002
#[test]
fn they_go_by_the_wall_clock() {
    let mut world = World::new();
    world.set_wall_clock(3600);
    let mut erin = erin();
    assert_eq!(erin.request(&mut world, &Request::allocate()).code(), 401);
    world.set_wall_clock(-1800);
    erin.greet(&mut world);
    erin.allocate(&mut world);
}
