use super::*;
use std::net::Ipv4Addr;
use tokio::net::{TcpListener, UdpSocket};

fn options(port: u16, transport: Transport) -> Options {
    Options {
        server: ServerUrl { host: "127.0.0.1".to_owned(), port, transport: None },
        transport,
        ca: None,
        credentials: Credentials { username: "u".to_owned(), password: "p".to_owned() },
        policy: Policy::Relay,
        meeting: Meeting::Here,
        admin: None,
        timeout: Duration::from_secs(1),
    }
}

fn failed_at(report: &Report) -> (Step, &str) {
    assert!(!report.ok);
    let check = report.checks.iter().find(|check| check.status == Status::Failed).unwrap();
    (check.step, &check.detail)
}

#[tokio::test]
async fn a_closed_port_is_named_over_both_transports() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    for transport in [Transport::Udp, Transport::Tcp] {
        let report = run(options(port, transport), |_| {}).await;
        let (step, cause) = failed_at(&report);
        assert_eq!(step, Step::Server);
        assert!(cause.contains("is the server running?"), "{cause}");
        assert!(report.verdict.starts_with("FAILED at server"), "{}", report.verdict);
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_told_from_one_that_is_strange() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let report = run(options(silent.local_addr().unwrap().port(), Transport::Udp), |_| {}).await;
    assert!(failed_at(&report).1.contains("no answer"), "{}", report.verdict);

    let strange = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = strange.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (_, from) = strange.recv_from(&mut buffer).await.unwrap();
        strange.send_to(b"hello", from).await.unwrap();
    });
    let report = run(options(port, Transport::Udp), |_| {}).await;
    assert!(failed_at(&report).1.contains("not STUN"), "{}", report.verdict);
}

#[test]
fn the_failure_that_is_told_is_the_first_cause() {
    let gone = Failure { step: Step::Connection, cause: "gone".to_owned(), others_end: true };
    let quota = Failure::new(Step::Candidates, "486");
    let both = vec![Outcome::failed(Side::Offer, gone.clone()), Outcome::failed(Side::Answer, quota.clone())];
    let failures: Vec<_> = own_failures(both).into_iter().map(|outcome| outcome.failure).collect();
    assert_eq!(failures, [None, Some(quota)]);
    let alone = own_failures(vec![Outcome::failed(Side::Offer, gone.clone())]);
    assert_eq!(alone[0].failure, Some(gone));
}
