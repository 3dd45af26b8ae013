use super::*;

fn name(name: &str) -> Arc<str> {
    name.into()
}

// H-040, B-045
#[test]
fn a_user_gets_its_own_limit_and_no_more() {
    let ledger = Ledger::new(0);
    let (alice, bob) = (name("alice"), name("bob"));
    assert_eq!(ledger.acquire(&alice, 2), Ok(()));
    assert_eq!(ledger.acquire(&alice, 2), Ok(()));
    assert_eq!(ledger.acquire(&alice, 2), Err(QuotaExceeded::User));
    assert_eq!(ledger.acquire(&bob, 2), Ok(()));
    assert_eq!((ledger.of("alice"), ledger.of("bob"), ledger.total()), (2, 1, 3));
}

// H-040
#[test]
fn the_server_has_a_limit_over_all_users() {
    let ledger = Ledger::new(2);
    assert_eq!(ledger.acquire(&name("a"), 0), Ok(()));
    assert_eq!(ledger.acquire(&name("b"), 0), Ok(()));
    assert_eq!(ledger.acquire(&name("c"), 0), Err(QuotaExceeded::Server));
    assert_eq!((ledger.of("c"), ledger.total()), (0, 2));
}

#[test]
fn zero_is_no_limit() {
    let ledger = Ledger::new(0);
    for _ in 0..1000 {
        assert_eq!(ledger.acquire(&name("a"), 0), Ok(()));
    }
}

#[test]
fn what_is_given_back_can_be_had_again() {
    let ledger = Ledger::new(1);
    let alice = name("alice");
    for _ in 0..3 {
        assert_eq!(ledger.acquire(&alice, 1), Ok(()));
        ledger.release(&alice);
    }
    assert_eq!(ledger.total(), 0);
}

#[test]
fn a_user_without_allocations_leaves_nothing_behind() {
    let ledger = Ledger::new(0);
    let users: Vec<_> = (0..10_000).map(|n| name(&n.to_string())).collect();
    users.iter().for_each(|user| ledger.acquire(user, 1).unwrap());
    assert_eq!(ledger.users(), 10_000);
    users.iter().for_each(|user| ledger.release(user));
    assert_eq!((ledger.users(), ledger.total()), (0, 0));
    assert!(ledger.counts().users.capacity() <= 2 * KEPT_PLACES);
}

#[test]
fn a_release_of_nothing_is_harmless() {
    let ledger = Ledger::new(1);
    ledger.release(&name("nobody"));
    assert_eq!(ledger.total(), 0);
    assert_eq!(ledger.acquire(&name("a"), 1), Ok(()));
}

#[test]
fn many_shards_never_pass_a_limit() {
    let ledger = Ledger::new(50);
    let alice = name("alice");
    let granted: usize = std::thread::scope(|scope| {
        let shard = || (0..100).filter(|_| ledger.acquire(&alice, 40).is_ok()).count();
        let shards: Vec<_> = (0..4).map(|_| scope.spawn(shard)).collect();
        shards.into_iter().map(|shard| shard.join().unwrap()).sum()
    });
    assert_eq!(granted, 40);
}
