//! What the Helm chart's Ingress and `HTTPRoute` lead to is the API, all of it and no more.

use std::fs;
use std::path::Path;

use minitower_rest::{Access, table};

/// What stays inside unless the chart's values say otherwise: who watches is inside.
const WATCHING: [&str; 4] = ["/health", "/ready", "/metrics", "/version"];

/// The description of the API, which is always routed.
const DESCRIPTION: [&str; 2] = ["/api/docs", "/api/openapi.json"];

/// The prefixes that are always routed: those of the list in the template `minitower.paths`, and what stands below it.
fn routed() -> Vec<String> {
    let helpers =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../charts/minitower/templates/_helpers.tpl");
    let text = fs::read_to_string(helpers).expect("the chart's helpers");
    let (_, paths) = text.split_once("define \"minitower.paths\"").expect("the template minitower.paths");
    let (_, list) = paths.split_once("{{- range list ").expect("its list");
    let (list, rest) = list.split_once(" }}").expect("the list's end");
    assert!(rest.trim_start().starts_with("- /api/v1/{{ . }}"), "the list is of parts of /api/v1");
    let always = rest.split("{{- if").next().expect("what is always routed");
    assert!(
        DESCRIPTION.iter().all(|path| always.contains(&format!("- {path}\n"))),
        "the description is routed"
    );
    let prefixes = list.split_whitespace().map(|word| format!("/api/v1/{}", word.trim_matches('"')));
    prefixes.chain(DESCRIPTION.map(str::to_owned)).collect()
}

/// As Ingress and Gateway API match prefixes: by whole segments.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[test]
fn every_route_of_the_api_is_led_to_and_neither_bootstrap_nor_what_is_for_watching() {
    let prefixes = routed();
    for route in table() {
        let inside = WATCHING.contains(&route.path) || route.access == Access::Bootstrap;
        let led_to = prefixes.iter().any(|prefix| covers(prefix, route.path));
        assert_eq!(
            led_to, !inside,
            "{} {}: the list of minitower.paths in charts/minitower/templates/_helpers.tpl",
            route.method, route.path
        );
    }
}

#[test]
fn no_prefix_leads_to_nothing() {
    let table = table();
    for prefix in routed() {
        assert!(table.iter().any(|route| covers(&prefix, route.path)), "{prefix} leads to no route");
    }
}
