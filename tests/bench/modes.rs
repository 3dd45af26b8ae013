//! Every mode of `floe bench`, gently, against floe.

use serde_json::Value;

use crate::command::{GENTLY, as_alice, assert_empty, bench, number, run, url};
use crate::support::{Authority, Server};

/// What was offered was sent, and what was sent has arrived as it was, with
/// plausible times.
#[track_caller]
fn assert_carried(step: &Value, packets: f64) {
    let sent = number(&step["sent"]);
    // A machine that stands still for a while may cut the end off.
    assert!(sent > 0.0 && sent <= packets, "{step:#}");
    assert_eq!(sent + number(&step["generator"]["unsent"]), packets, "{step:#}");
    assert_eq!(number(&step["delivered"]), sent, "{step:#}");
    for none in ["lost", "corrupt", "duplicates", "stale"] {
        assert_eq!(number(&step[none]), 0.0, "{none}: {step:#}");
    }
    let [latency, transit] = [&step["latency"], &step["transit"]];
    let order = ["min", "p50", "p90", "p99", "p99.9", "max"].map(|name| number(&latency[name]));
    assert!(order.is_sorted() && order[0] > 0.0, "{step:#}");
    assert!(number(&transit["max"]) <= number(&latency["max"]) * 1.01, "lateness counts: {step:#}");
    let timeline = step["timeline"].as_array().expect("a timeline");
    assert!(timeline.len() > 10, "{step:#}");
    let mean = timeline.iter().map(|moment| number(&moment["delivered-per-second"])).sum::<f64>();
    let mean = mean / timeline.len() as f64;
    let all = number(&step["delivered-per-second"]);
    assert!((mean - all).abs() < all / 5.0, "{mean} of {all}: {step:#}");
}

#[test]
fn packets_go_both_ways_over_every_transport() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        config.set("listen.dtls", vec!["127.0.0.1:0"]);
    });
    let ca = authority.ca();
    let ca = ["--ca", ca.to_str().expect("UTF-8")];
    let tls = format!("turns:{}", server.all("tls")[0]);
    let dtls = format!("turns:{}?transport=udp", server.all("dtls")[0]);
    let plain = [(url(server.udp(), "udp"), &[][..]), (url(server.tcp(), "tcp"), &[])];
    for (url, more) in plain.into_iter().chain([(tls, &ca[..]), (dtls, &ca)]) {
        for by in [&[][..], &["--indications"]] {
            let run = run(&mut as_alice("relay", &url, &[&GENTLY, more, by].concat()));
            let step = run.step();
            assert_carried(&step, 400.0);
            assert_eq!(number(&step["goodput"]).round(), number(&step["delivered-per-second"]) * 172.0 * 8.0);
            let report = run.report();
            assert_eq!(report["software"], "floe");
            let load = &report["load"];
            assert_eq!((&load["far-end"], &load["direction"]), (&"peer".into(), &"both".into()));
            assert_eq!(load["by"], if by.is_empty() { "channels" } else { "indications" });
        }
    }
    assert_empty(&server);
    for transport in ["tcp", "tls", "dtls"] {
        let label = format!("transport=\"{transport}\"");
        server.expect_some("floe_client_bytes_total", &[&label]);
    }
    // Each has said goodbye.
    server.expect_metric("floe_dtls_sessions", &[], 0.0);
}

#[test]
fn one_way_is_one_way() {
    let server = Server::start(|_| {});
    for (direction, sent, join) in
        [("up", "in", false), ("down", "out", false), ("up", "in", true), ("down", "out", true)]
    {
        let relayed = |way| server.metric("floe_client_packets_total", &[&format!("direction=\"{way}\"")]);
        let before = relayed(sent);
        let arguments =
            [&GENTLY[..], &["--direction", direction, "--payload", "1200", "--burst", "5"]].concat();
        let arguments = if join { [&arguments[..], &["--join"]].concat() } else { arguments };
        let run = run(&mut as_alice("relay", &url(server.udp(), "udp"), &arguments));
        let step = run.step();
        assert_carried(&step, 200.0);
        assert_eq!(run.report()["load"]["joined"], join);
        let relayed = relayed(sent) - before;
        assert!(relayed >= number(&step["delivered"]), "{direction}: {relayed}");
    }
    assert_empty(&server);
}

#[test]
fn behind_a_second_relay_no_peer_need_be_let_in() {
    let server = Server::start(|config| _ = config.set("peers.allow", Vec::<String>::new()));
    let arguments = [&GENTLY[..], &["--far-end", "relay", "--peers", "3"]].concat();
    let mut delivered = 0.0;
    for transport in ["udp", "tcp"] {
        let address = if transport == "udp" { server.udp() } else { server.tcp() };
        let run = run(&mut as_alice("relay", &url(address, transport), &arguments));
        assert_carried(&run.step(), 400.0);
        assert_eq!(run.report()["load"]["far-end"], "relay");
        delivered += number(&run.step()["delivered"]);
    }
    assert!(server.metric("floe_hairpin_packets_total", &[]) >= delivered);
    assert_empty(&server);
}

#[test]
fn ipv6_is_measured_through_a_relay_of_its_family() {
    let server = Server::start(|_| {});
    let run = run(&mut as_alice("relay", &url(server.udp6(), "udp"), &GENTLY));
    let step = run.step();
    assert_carried(&step, 400.0);
    assert!(server.metric("floe_peer_packets_total", &["ipv6"]) >= number(&step["delivered"]));
}

#[test]
fn several_rates_are_several_steps() {
    let server = Server::start(|_| {});
    let arguments = ["--rate", "100,300,max", "--duration", "500ms", "--warmup", "0", "--clients", "2"];
    let run = run(&mut as_alice("relay", &url(server.udp(), "udp"), &arguments));
    assert_eq!(run.status, Some(0), "{run:#?}");
    let report = run.report();
    let steps = report["steps"].as_array().expect("steps");
    let offered: Vec<&Value> = steps.iter().map(|step| &step["offered-per-second"]).collect();
    assert_eq!(offered, [&Value::from(200.0), &Value::from(600.0), &Value::Null]);
    assert_carried(&steps[0], 100.0);
    assert_carried(&steps[1], 300.0);
    // As much as this machine can, which no test knows.
    assert!(number(&steps[2]["sent"]) > number(&steps[1]["sent"]), "{report:#}");
    assert_eq!(number(&steps[2]["corrupt"]), 0.0);
}

#[test]
fn what_a_warm_up_could_not_send_takes_no_time_from_what_is_measured() {
    let server = Server::start(|_| {});
    // More than any machine can: the warm-up's share alone is longer than the run.
    let arguments = ["--rate", "100M", "--duration", "500ms", "--warmup", "500ms", "--clients", "2"];
    let step = run(&mut as_alice("relay", &url(server.udp(), "udp"), &arguments)).step();
    assert!(number(&step["sent"]) > 0.0 && number(&step["delivered"]) > 0.0, "{step:#}");
    assert!(step["generator"]["bottleneck"].is_string(), "{step:#}");
}

#[test]
fn binding_requests_need_no_login() {
    let server = Server::start(|_| {});
    let mut delivered = 0.0;
    for (url, clients) in [(format!("stun:{}", server.udp()), "3"), (url(server.tcp(), "tcp"), "1")] {
        let arguments = ["binding", &url, "--json", "--rate", "200", "--duration", "1s", "--warmup", "0"];
        let run = run(bench(&arguments).args(["--clients", clients]));
        assert_carried(&run.step(), 200.0);
        assert_eq!(run.report()["mode"], "binding");
        delivered += number(&run.step()["delivered"]);
    }
    assert!(server.metric("floe_requests_total", &["binding"]) >= delivered);
}

#[test]
fn allocations_are_counted_held_and_given_back() {
    let server = Server::start(|_| {});
    for more in [&[][..], &["--hold", "100ms"]] {
        let arguments = [&["--rate", "40", "--duration", "1s"], more].concat();
        let run = run(&mut as_alice("allocate", &url(server.udp(), "udp"), &arguments));
        assert_carried(&run.step(), 40.0);
        assert_empty(&server);
    }
}

#[test]
fn a_search_ends_at_its_bound() {
    let server = Server::start(|_| {});
    let arguments =
        ["--from", "100", "--to", "200", "--duration", "500ms", "--warmup", "0", "--clients", "2"];
    let run = run(&mut as_alice("search", &url(server.udp(), "udp"), &arguments));
    let report = run.report();
    assert_eq!(run.status, Some(0), "{report:#}");
    let found = &report["found"];
    assert!(number(&found["per-second"]) > 150.0, "both directions: {report:#}");
    assert_eq!(found["max-loss-percent"], 0.5);
    assert!(report["steps"].as_array().expect("steps").len() >= 2, "{report:#}");
}

#[test]
fn a_soak_watches_the_server() {
    let server = Server::start(|_| {});
    let pid = server.runtime().pid.to_string();
    let arguments = ["--rate", "100", "--duration", "2s", "--clients", "2", "--server-pid", &pid];
    let run = run(&mut as_alice("soak", &url(server.udp(), "udp"), &arguments));
    let step = run.step();
    assert_carried(&step, 400.0);
    let used = &step["server"];
    assert!(number(&used["cpu-per-delivered"]) > 0.0, "{step:#}");
    for memory in [&used["memory-before"], &used["memory-after"], &step["timeline"][15]["memory"]] {
        assert!(number(memory) > 1e6, "{step:#}");
    }
}

#[test]
fn a_terminal_is_told_the_same_in_words() {
    let server = Server::start(|_| {});
    let mut command = as_alice("relay", &url(server.udp(), "udp"), &GENTLY);
    let json = run(&mut command).report();
    let verdict = json["verdict"].as_str().expect("a verdict");
    assert!(verdict.contains(" packets/s carried of 400 offered, 0% lost, p50 "), "{verdict}");
    let address = url(server.udp(), "udp");
    let arguments = [&["relay", &address], &GENTLY[..]].concat();
    let user =
        [("TURN_USERNAME", crate::support::ALICE.name), ("TURN_PASSWORD", crate::support::ALICE.password)];
    let text = run(bench(&arguments).envs(user));
    assert_eq!((text.status, text.complained.as_str()), (Some(0), ""), "{text:#?}");
    for part in ["4 clients, udp, channels, both, 172 B, far end at a peer", "latency", "lost        0 (0%)"]
    {
        assert!(text.said.contains(part), "{part}: {}", text.said);
    }
}

#[test]
fn the_page_is_one_file_that_needs_no_other() {
    let server = Server::start(|_| {});
    let file = server.directory().join("report.html");
    let file = file.to_str().expect("UTF-8");
    let run =
        run(&mut as_alice("relay", &url(server.udp(), "udp"), &[&GENTLY[..], &["--report", file]].concat()));
    let verdict = run.report()["verdict"].as_str().expect("a verdict").to_owned();
    let page = std::fs::read_to_string(file).expect("written");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{page}");
    assert!(page.contains(&verdict) && page.matches("<svg").count() >= 3, "{page}");
    let elsewhere = ["<script", "<link", "<img", "src=", "url(", "@import"];
    assert!(elsewhere.iter().all(|word| !page.contains(word)), "{page}");
}
