//! Every query of the dashboard and the alert rules asks for metrics that a
//! running server has, by labels that they have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::authority::HOST;
use crate::support::{ALICE, Authority, Client, Request, Server};

/// Labels that Prometheus and not floe puts there.
const OF_PROMETHEUS: &[&str] = &["instance", "job"];

/// Names of metrics with those of their labels, after some use.
fn served() -> BTreeMap<String, BTreeSet<String>> {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        // Where nobody answers: certificates are asked for in vain.
        config
            .set("acme.names", vec![HOST])
            .set("acme.agree-to-terms", true)
            .set("acme.challenge", "tls-alpn-01")
            .set("acme.directory", "https://127.0.0.1:9/dir");
    });
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    client.call(Request::refresh(0)).ok();
    let (_, page) = server.get("/metrics");
    let mut served: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = sample.split_once(['{', ' ']).expect("a sample");
        let labels = labels.split('"').step_by(2).filter_map(|text| text.trim_matches(',').strip_suffix('='));
        served.entry(name.to_owned()).or_default().extend(labels.map(str::to_owned));
    }
    served
}

fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The names in `by (…)` and before `=~` or `=`.
fn labels(query: &str) -> BTreeSet<String> {
    let groups = query.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
    let selectors = query.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let selected = selectors.flat_map(|s| s.split(',')).filter_map(|pair| pair.split(['=', '!']).next());
    groups.flat_map(words).chain(selected).map(|label| label.trim().to_owned()).collect()
}

fn queries() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana");
    let dashboard = fs::read_to_string(folder.join("dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let mut queries: Vec<String> = targets.map(|t| t["expr"].as_str().expect("a query").to_owned()).collect();
    let alerts = fs::read_to_string(folder.join("alerts.yaml")).expect("the rules");
    queries.extend(alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned));
    queries
}

#[test]
fn every_query_finds_its_metric() {
    let served = served();
    let queries = queries();
    assert!(queries.len() > 20, "{queries:?}");
    for query in queries {
        let metrics: Vec<&str> = words(&query).filter(|word| word.starts_with("floe_")).collect();
        for metric in &metrics {
            assert!(served.contains_key(*metric), "{metric} of {query:?} is not served");
        }
        for label in labels(&query).iter().filter(|label| !OF_PROMETHEUS.contains(&label.as_str())) {
            let has = metrics.iter().any(|metric| served[*metric].contains(label));
            assert!(has, "no metric of {query:?} has the label {label}");
        }
    }
}
