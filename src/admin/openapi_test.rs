use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// Each path with its methods, as `get /path`, of the router's own source: axum
/// does not tell what it routes.
fn routed(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.is_dir() {
            routed(&file, found);
        } else if file.extension().is_some_and(|kind| kind == "rs")
            && !file.to_str().unwrap().ends_with("_test.rs")
        {
            routes_in(&std::fs::read_to_string(&file).unwrap(), found);
        }
    }
}

/// `.route("/path", get(…).post(…))`, and the same as an element of a list.
fn routes_in(source: &str, found: &mut BTreeSet<String>) {
    for (at, _) in source.match_indices("(\"/") {
        let Some((path, rest)) = source[at + 2..].split_once('"') else { continue };
        let Some(call) = rest.trim_start().strip_prefix(',') else { continue };
        let mut depth = 0_i32;
        let end = call.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth < 0
        });
        let call = call.get(..end.unwrap_or(0)).unwrap_or_default().trim();
        for method in METHODS {
            if call.starts_with(&format!("{method}(")) || call.contains(&format!(".{method}(")) {
                found.insert(format!("{method} {path}"));
            }
        }
    }
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    let mut routed_ones = BTreeSet::new();
    routed(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin"), &mut routed_ones);
    // What is nested stands there without the path before it.
    let nested = |route: &str| route.replacen(" /", " /api/", 1);
    for route in &routed_ones {
        assert!(
            described.contains(route) || described.contains(&nested(route)),
            "{route} is not described: add it to src/admin/openapi.json, with the key it takes (security) and \
             every status it answers"
        );
    }
    for route in &described {
        let is_routed = routed_ones.contains(route) || routed_ones.iter().any(|one| nested(one) == *route);
        assert!(is_routed, "src/admin/openapi.json describes {route}, which is not routed");
    }
}

#[test]
fn routes_are_found_in_source() {
    let mut found = BTreeSet::new();
    let source = r#".route("/a/{b}", get(x::y).delete(z)) ("/c", post(f::<T>(1))), get("/d?x", "")"#;
    routes_in(source, &mut found);
    assert_eq!(found, ["delete /a/{b}", "get /a/{b}", "post /c"].map(str::to_owned).into());
}
