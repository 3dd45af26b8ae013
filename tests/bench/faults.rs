//! What `floe bench` says when things go wrong.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use crate::command::{GENTLY, as_alice, assert_empty, bench, number, run, url};
use crate::support::ports::unused;
use crate::support::{Authority, Server};

#[test]
fn loss_is_counted() {
    // Less than the load: the server drops what is above.
    let server = Server::start(|config| _ = config.set("limits.bits-per-second-per-allocation", 50_000));
    let arguments = [&["--rate", "2000", "--max-loss", "1", "--direction", "up"], &GENTLY[2..]].concat();
    let run = run(&mut as_alice("relay", &url(server.udp(), "udp"), &arguments));
    let report = run.report();
    let step = &report["steps"][0];
    let [sent, delivered, lost] = ["sent", "delivered", "lost"].map(|name| number(&step[name]));
    assert!(lost > 0.0 && delivered > 0.0 && lost + delivered == sent, "{step:#}");
    assert!((number(&step["loss-percent"]) - lost * 100.0 / sent).abs() < 1e-9, "{step:#}");
    assert_eq!((run.status, &report["ok"]), (Some(1), &false.into()), "{report:#}");
    assert!(report["verdict"].as_str().unwrap().contains("more than 1.0%"), "{report:#}");
    assert_empty(&server);
}

#[test]
fn a_server_that_lets_no_peer_in_is_measured_through_two_relays() {
    let server = Server::start(|config| _ = config.set("peers.deny", vec!["127.0.0.0/8"]));
    let (address, elsewhere) = (url(server.udp(), "udp"), ["--peer-address", "127.0.0.2"]);
    let run_with =
        |more: &[&str]| run(&mut as_alice("relay", &address, &[&GENTLY, &elsewhere[..], more].concat()));

    let chosen = run_with(&[]);
    assert!(number(&chosen.step()["delivered"]) > 0.0);
    let report = chosen.report();
    assert_eq!(report["load"]["far-end"], "relay");
    assert!(report["notes"][0].as_str().unwrap().contains("lets no peer"), "{report:#}");

    let asked = run_with(&["--far-end", "peer"]);
    assert_eq!(asked.status, Some(1));
    assert!(
        asked.complained.contains("403 Forbidden to ChannelBind: the server denies this peer"),
        "{asked:#?}"
    );
    assert_empty(&server);
}

#[test]
fn nobody_there_is_told_at_once_and_silence_in_time() {
    let gone = SocketAddr::from(([127, 0, 0, 1], unused()));
    for address in [url(gone, "udp"), url(gone, "tcp")] {
        for mode in ["relay", "binding"] {
            let run = run(&mut as_alice(mode, &address, &[]));
            assert_eq!(run.status, Some(1), "{run:#?}");
            assert!(run.complained.contains("nothing listens there"), "{run:#?}");
        }
    }
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [url(mute.local_addr().unwrap(), "udp"), url(deaf.local_addr().unwrap(), "tcp")] {
        let run = run(&mut as_alice("relay", &address, &["--timeout", "300ms"]));
        assert_eq!(run.status, Some(1), "{run:#?}");
        assert!(run.complained.contains("no answer to Allocate"), "{run:#?}");
    }
}

#[test]
fn a_dtls_server_is_believed_or_left_and_not_waited_for_long() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        config.set("listen.dtls", vec!["127.0.0.1:0"]);
    });
    let secure = |address: SocketAddr| format!("turns:{address}?transport=udp");
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = secure(([127, 0, 0, 1], unused()).into());
    let ca = authority.ca();
    let ca = ["--ca", ca.to_str().unwrap(), "--timeout", "300ms"];
    for (address, more, said) in [
        (secure(server.all("dtls")[0]), &[][..], "--ca"),
        (nobody, &ca[..2], "nothing listens there"),
        (secure(mute.local_addr().unwrap()), &ca, "no end of the DTLS handshake"),
    ] {
        let run = run(&mut as_alice("relay", &address, more));
        assert_eq!(run.status, Some(1), "{run:#?}");
        assert!(run.complained.contains(said), "{said}: {run:#?}");
    }
}

#[test]
fn an_authority_in_a_servers_place_is_told_in_words() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure_as_itself(config));
    let secure = format!("turns:{}", server.all("tls")[0]);
    let run = run(&mut as_alice("relay", &secure, &["--ca", authority.ca().to_str().unwrap()]));
    assert_eq!(run.status, Some(1), "{run:#?}");
    assert!(run.complained.contains("an authority (CA:TRUE)"), "{run:#?}");
    assert!(!run.complained.contains("EndEntity"), "{run:#?}");
}

#[test]
fn a_server_that_goes_away_ends_the_run_with_what_there_is() {
    let server = Server::start(|_| {});
    let mut command = as_alice("relay", &url(server.tcp(), "tcp"), &["--rate", "100", "--duration", "10s"]);
    let bench = std::thread::spawn(move || run(&mut command));
    server.wait_until("packets flow", || server.metric("floe_peer_packets_total", &[]) > 50.0);
    drop(server);
    let run = bench.join().unwrap();
    let report = run.report();
    assert_eq!((run.status, &report["ok"]), (Some(1), &false.into()), "{report:#}");
    assert!(report["verdict"].as_str().unwrap().starts_with("FAILED: a client failed"), "{report:#}");
    assert!(number(&report["steps"][0]["sent"]) > 0.0);
}

#[test]
fn wrong_usage_is_told_what_to_write() {
    for (arguments, said) in [
        (&["relay", "stun:127.0.0.1:1"][..], "a STUN URL has no relay"),
        (&["turn:127.0.0.1:1"], "no credentials: give --secret"),
        (&[], "no running server of this user is found"),
        (&["bindin"], "neither a mode"),
        (&["relay", "--rate", "fast"], "is no rate; write 500, 40k"),
        (&["relay", "--payload", "31"], "31 is not in 32..=65000"),
        (&["relay", "--duration", "0"], "no time at all is too short"),
        (
            &["turn:127.0.0.1:1", "--username", "a", "--password", "b", "--report", "/nowhere/x"],
            "cannot write /nowhere/x",
        ),
        (&["search", "--from", "2k", "--to", "1k"], "--from must not be above --to"),
        (
            &["turns:127.0.0.1:1", "--transport", "udp"],
            "--transport udp contradicts turns:127.0.0.1:1?transport=tcp",
        ),
        (
            &["turns:127.0.0.1:1?transport=udp", "--payload", "16001"],
            "a message over DTLS has to fit a record: --payload 16000 at most",
        ),
        (
            &["turn:127.0.0.1:1", "--far-end", "relay", "--peer-address", "127.0.0.1"],
            "--peer-address has no meaning with --far-end relay",
        ),
    ] {
        let run = run(&mut bench(arguments));
        assert_eq!((run.status, run.said.as_str()), (Some(2), ""), "{run:#?}");
        assert!(run.complained.contains(said), "{said}: {run:#?}");
    }
}
