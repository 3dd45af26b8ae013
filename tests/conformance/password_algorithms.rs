//! PASSWORD-ALGORITHMS: a client may choose the stronger key, and nobody on the
//! way can make it choose the weaker (RFC 8489 §9.2.4, §16.1.4).

use floe::wire::AttributeType;
use floe::wire::integrity::PasswordAlgorithm;

use crate::support::{ALICE, Client, Login, Request, Scheme, Server};

const LIST: AttributeType = AttributeType::PASSWORD_ALGORITHMS;
const CHOICE: AttributeType = AttributeType::PASSWORD_ALGORITHM;

fn challenged(server: &Server) -> (Client, Login) {
    let mut client = Client::udp(server).user_by(ALICE, Scheme::Sha256);
    let login = client.login().clone();
    (client, login)
}

//
#[test]
fn sha256_is_answered_with_sha256() {
    let server = Server::start(|_| {});
    let (mut client, _) = challenged(&server);
    let reply = client.call(Request::allocate()).ok();
    assert!(reply.message().has_sha256() && !reply.message().has_sha1());
}

//
#[test]
fn md5_may_be_chosen_with_sha256_integrity() {
    let server = Server::start(|_| {});
    let (mut client, login) = challenged(&server);
    let md5 = PasswordAlgorithm::Md5.value();
    let request = login.name_on(Request::allocate()).with(CHOICE, &md5);
    let reply = client.ask_bytes(&request.sign_sha256(&login.keys.md5)).ok();
    assert!(reply.message().verify_sha256(&login.keys.md5) && !reply.message().has_sha1());
}

//
#[test]
fn the_sha256_key_may_sign_with_sha1() {
    let server = Server::start(|_| {});
    let (mut client, login) = challenged(&server);
    let request = login.name_on(Request::allocate());
    let reply = client.ask_bytes(&request.sign_sha1(&login.keys.sha256)).ok();
    assert!(reply.message().verify_sha256(&login.keys.sha256) && !reply.message().has_sha1());
}

//
#[test]
fn one_without_the_other_is_a_bad_request() {
    let server = Server::start(|_| {});
    let (mut client, login) = challenged(&server);
    for missing in [LIST, CHOICE] {
        let request = login.name_on(Request::allocate()).without(missing);
        let reply = client.ask_bytes(&request.sign_sha256(&login.keys.sha256));
        assert_eq!(reply.code(), 400, "without {missing:?}");
    }
}

// A-070 H-037
#[test]
fn another_list_than_the_one_sent_is_a_bad_request() {
    let server = Server::start(|_| {});
    let (mut client, login) = challenged(&server);
    let reordered = [0, 1, 0, 0, 0, 2, 0, 0];
    let shortened = [0, 1, 0, 0];
    let with_parameters = [0, 2, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0];
    let lengthened = [0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0];
    let md5 = PasswordAlgorithm::Md5.value();
    for list in [reordered.as_slice(), &shortened, &with_parameters, &lengthened, &[]] {
        let request = login.name_on(Request::allocate()).with(LIST, list).with(CHOICE, &md5);
        let reply = client.ask_bytes(&request.sign_sha1(&login.keys.md5));
        assert_eq!(reply.code(), 400, "{list:?}");
    }
}

//
#[test]
fn an_algorithm_that_is_not_listed_is_a_bad_request() {
    let server = Server::start(|_| {});
    let (mut client, login) = challenged(&server);
    for choice in [[0, 3, 0, 0].as_slice(), &[0, 0, 0, 0], &[0, 2], &[0, 2, 0, 4, 0, 0, 0, 0]] {
        let request = login.name_on(Request::allocate()).with(CHOICE, choice);
        let reply = client.ask_bytes(&request.sign_sha256(&login.keys.sha256));
        assert_eq!(reply.code(), 400, "{choice:?}");
    }
}

//
#[test]
fn a_nonce_stripped_of_its_features_is_stale() {
    let server = Server::start(|_| {});
    let (mut client, login) = challenged(&server);
    let mut stripped = login.clone();
    stripped.scheme = Scheme::Legacy;
    stripped.nonce.replace_range(9..13, "AAAA");
    client.ask_bytes(&stripped.sign(Request::allocate())).assert_challenge(438);
    client.call(Request::allocate()).ok();
}
