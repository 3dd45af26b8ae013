use super::*;
use crate::client::bench::report::{Found, Generator, Load, Machine, ServerUse};

fn step(rate: Rate, delivered: f64) -> Step {
    let latency =
        Some(Quantiles { min: 40.0, p50: 50.0, p90: 80.0, p99: 900.0, p999: 1_500.0, max: 2_000.0 });
    let moment = |at: f64| Moment {
        at,
        sent_per_second: delivered,
        delivered_per_second: delivered,
        loss_percent: 0.0,
        p50: Some(50.0),
        p99: None,
        memory: Some(4_000_000),
    };
    Step {
        offered_per_second: rate,
        seconds: 2.0,
        sent: 4_000,
        sent_per_second: 2_000.0,
        delivered: 3_990,
        delivered_per_second: delivered,
        goodput: 1e6,
        lost: 10,
        loss_percent: 0.25,
        duplicates: 1,
        reordered: 2,
        corrupt: 0,
        stale: 0,
        latency,
        transit: latency,
        jitter: latency,
        server: Some(ServerUse {
            cpu_per_delivered: 2.5,
            cpus: 0.5,
            memory_before: 1,
            memory_after: 9_400_000,
            memory_per_allocation: None,
        }),
        generator: Generator {
            bottleneck: Some("its threads had no more CPU".to_owned()),
            lateness: None,
            unsent: 0,
            dropped: 0,
            busy_percent: 50.0,
            waiting_percent: 0.0,
        },
        failures: vec!["<b>refused</b>".to_owned()],
        timeline: vec![moment(0.0), moment(1.0)],
    }
}

fn report(steps: Vec<Step>) -> Report {
    Report {
        ok: true,
        verdict: "1k packets/s & more".to_owned(),
        mode: "relay",
        server: "udp:[::1]:3478".to_owned(),
        software: Some("<script>alert('x')</script>".to_owned()),
        load: Load {
            transport: "udp".to_owned(),
            direction: Some("both"),
            by: Some("channels"),
            far_end: Some("peer"),
            clients: 20,
            peers: 1,
            payload: Some(172),
            burst: 1,
            joined: false,
            threads: 2,
        },
        notes: vec!["a note with <tags>".to_owned()],
        steps,
        found: None,
        machine: Machine { cpus: 2, processor: None, kernel: None, floe: "0.1.0" },
    }
}

/// Every tag is closed in its turn, and no text is taken for one.
#[track_caller]
fn assert_well_formed(html: &str) {
    let mut open = Vec::new();
    for tag in html.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("an end");
        if tag.starts_with('!') || tag.ends_with('/') || tag.starts_with("meta ") {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "in {html}"),
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn one_step_is_plotted_over_time() {
    let page = report(vec![step(Rate::PerSecond(2_000.0), 1_995.0)]).page();
    assert_well_formed(&page);
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(page.contains("Over time") && page.contains("Server memory") && page.contains("9.4MB"));
}

#[test]
fn several_steps_are_plotted_over_load_in_its_order() {
    let rates = [Rate::Unlimited, Rate::PerSecond(500.0), Rate::PerSecond(1_000.0)];
    let page = report(rates.map(|rate| step(rate, 900.0)).into()).page();
    assert_well_formed(&page);
    assert!(page.contains("Over offered load") && page.contains("no limit"));
    let tips = ["at 500<", "at 1k<", "at 2k<"].map(|tip| page.find(tip).expect(tip));
    assert!(tips.is_sorted());
}

#[test]
fn a_search_shows_what_it_found() {
    let steps = vec![step(Rate::PerSecond(1_000.0), 990.0), step(Rate::PerSecond(9_000.0), 4_321.0)];
    let found = Some(Found { per_second: 990.0, max_loss_percent: 0.5, limited_by: "loss" });
    let page = Report { found, ..report(steps) }.page();
    assert!(page.contains("<b>990</b>") && !page.contains("<b>4.32k</b>"));
}

/// The server's name for itself, say, comes from outside.
#[test]
fn nothing_from_outside_becomes_a_tag_and_nothing_is_loaded() {
    let page = report(vec![step(Rate::PerSecond(2_000.0), 1_995.0)]).page();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    assert!(page.contains("a note with &lt;tags&gt;") && page.contains("&lt;b&gt;refused"));
    for word in ["src=", "href=", "url(", "@import", "http://", "https://"] {
        assert_eq!(page.replace("http://www.w3.org/2000/svg", "").matches(word).count(), 0, "{word}");
    }
}

#[test]
fn nothing_measured_is_a_page_too() {
    assert_well_formed(&report(Vec::new()).page());
}
