//! What the definition says.

use std::collections::BTreeSet;
use std::fs;

use minitower_operator::crd;
use minitower_tests::programs::source_root;
use rstest::rstest;
use serde_json::{Value, json};

/// `kubectl apply` keeps the whole object in an annotation, which may take 256 KiB. The definition stays well below that.
const MOST_BYTES: usize = 150 * 1024;

fn definition() -> Value {
    serde_json::to_value(crd::crd()).unwrap()
}

fn version() -> Value {
    definition()["spec"]["versions"][0].clone()
}

/// The schema of a field: `spec.scaling.pollSeconds`; `[]` is a list's item, `{}` a map's value.
fn field(path: &str) -> Value {
    let step = |schema: Value, name: &str| match name {
        "[]" => schema["items"].clone(),
        "{}" => schema["additionalProperties"].clone(),
        name => schema["properties"][name].clone(),
    };
    let schema = path.split('.').fold(version()["schema"]["openAPIV3Schema"].clone(), step);
    assert!(schema.is_object(), "there is no field {path}");
    schema
}

/// Every schema below `schema`, with its path.
fn walk(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), part, visit);
    }
    for (kind, name) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[kind].is_object() {
            walk(&format!("{path}.{name}"), &schema[kind], visit);
        }
    }
}

fn walk_all(visit: &mut dyn FnMut(&str, &Value)) {
    walk("", &version()["schema"]["openAPIV3Schema"], visit);
}

#[test]
fn the_file_in_crds_is_what_the_code_generates() {
    let file = source_root().join("crds").join(crd::FILE_NAME);
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == crd::yaml(), "{} differs from the code: run `make crds` and commit it", file.display());
}

#[test]
fn the_file_is_small_enough_for_kubectl_apply() {
    assert!(crd::yaml().len() < MOST_BYTES, "{} bytes", crd::yaml().len());
}

#[test]
fn the_resource_has_the_names_that_people_type() {
    let definition = definition();
    assert_eq!(definition["metadata"]["name"], "runnerpools.minitower.dev");
    let spec = &definition["spec"];
    assert_eq!(spec["group"], "minitower.dev");
    assert_eq!(spec["scope"], "Namespaced");
    let names = json!({
        "kind": "RunnerPool", "plural": "runnerpools", "singular": "runnerpool", "shortNames": ["rp"],
        "categories": ["minitower"],
    });
    assert_eq!(spec["names"], names);
    assert_eq!(spec["versions"].as_array().unwrap().len(), 1);
    assert_eq!(version()["name"], "v1alpha1");
}

#[test]
fn status_and_scale_are_subresources() {
    let expected = json!({
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    });
    assert_eq!(version()["subresources"], expected);
}

#[test]
fn the_columns_tell_the_state_at_one_glance() {
    let columns = version()["additionalPrinterColumns"].clone();
    let told = |column: &Value| {
        let text = |key: &str| column[key].as_str().unwrap().to_owned();
        (text("name"), text("jsonPath"), column["priority"].as_i64().unwrap_or(0))
    };
    let columns: Vec<_> = columns.as_array().unwrap().iter().map(told).collect();
    let expected = [
        ("Environment", ".spec.environment", 0),
        ("Min", ".spec.minRunners", 0),
        ("Max", ".spec.maxRunners", 0),
        ("Desired", ".status.desiredRunners", 0),
        ("Ready", ".status.readyRunners", 0),
        ("Busy", ".status.busyRunners", 0),
        ("Pending", ".status.pendingRuns", 0),
        ("Leaving", ".status.leaving", 0),
        ("Reason", ".status.conditions[?(@.type==\"Ready\")].reason", 0),
        ("Age", ".metadata.creationTimestamp", 0),
        ("Pool Ready", ".status.conditions[?(@.type==\"Ready\")].status", 1),
        ("Last Decision", ".status.lastDecision.reason", 1),
    ];
    assert_eq!(columns, expected.map(|(name, path, priority)| (name.to_owned(), path.to_owned(), priority)));
}

#[rstest]
#[case("spec.environment", json!("default"))]
#[case("spec.server.serviceRef.port", json!(8080))]
#[case("spec.registrationTokenSecretRef.key", json!("registration-token"))]
#[case("spec.operatorTokenSecretRef.key", json!("operator-token"))]
#[case("spec.minRunners", json!(0))]
#[case("spec.maxRunners", json!(10))]
#[case("spec.minIdle", json!(0))]
#[case("spec.replicas", Value::Null)]
#[case("spec.scaling.runsPerRunner", json!(1))]
#[case("spec.scaling.scaleUp.stabilizationSeconds", json!(0))]
#[case("spec.scaling.scaleUp.maxStep", Value::Null)]
#[case("spec.scaling.scaleDown.stabilizationSeconds", json!(60))]
#[case("spec.scaling.scaleDown.maxStep", Value::Null)]
#[case("spec.scaling.pollSeconds", json!(1))]
#[case("spec.paused", json!(false))]
#[case("spec.shutdownGraceSeconds", json!(3600))]
#[case("spec.drainDeadlineSeconds", json!(3600))]
#[case("spec.runner.cache", json!({ "emptyDir": { "sizeLimit": "20Gi" } }))]
#[case("spec.runner.cache.emptyDir.sizeLimit", json!("20Gi"))]
fn a_field_has_its_default(#[case] path: &str, #[case] default: Value) {
    assert_eq!(field(path).get("default").cloned().unwrap_or_default(), default, "{path}");
}

#[rstest]
#[case("spec.minRunners", 0, 10_000)]
#[case("spec.maxRunners", 0, 10_000)]
#[case("spec.minIdle", 0, 10_000)]
#[case("spec.replicas", 0, 10_000)]
#[case("spec.scaling.runsPerRunner", 1, 1000)]
#[case("spec.scaling.scaleUp.stabilizationSeconds", 0, 3600)]
#[case("spec.scaling.scaleUp.maxStep", 1, 10_000)]
#[case("spec.scaling.scaleDown.stabilizationSeconds", 0, 3600)]
#[case("spec.scaling.scaleDown.maxStep", 1, 10_000)]
#[case("spec.scaling.pollSeconds", 1, 30)]
#[case("spec.shutdownGraceSeconds", 30, 604_800)]
#[case("spec.drainDeadlineSeconds", 0, 604_800)]
#[case("spec.server.serviceRef.port", 1, 65_535)]
fn a_number_has_its_bounds(#[case] path: &str, #[case] least: u32, #[case] most: u32) {
    let field = field(path);
    assert_eq!(field["minimum"].as_f64(), Some(f64::from(least)), "{path}");
    assert_eq!(field["maximum"].as_f64(), Some(f64::from(most)), "{path}");
}

#[rstest]
#[case("spec.runner.env", json!(["name"]))]
#[case("spec.runner.volumeMounts", json!(["mountPath"]))]
#[case("spec.template.volumes", json!(["name"]))]
#[case("status.conditions", json!(["type"]))]
fn a_list_of_named_things_is_merged_by_name(#[case] path: &str, #[case] keys: Value) {
    assert_eq!(field(path)["x-kubernetes-list-type"], "map");
    assert_eq!(field(path)["x-kubernetes-list-map-keys"], keys);
}

#[rstest]
#[case("spec.runner.envFrom")]
#[case("spec.template.tolerations")]
#[case("spec.template.topologySpread")]
fn a_list_without_names_has_one_owner(#[case] path: &str) {
    assert_eq!(field(path)["x-kubernetes-list-type"], "atomic");
}

#[test]
fn what_kubernetes_knows_best_is_kept_as_it_is() {
    for path in ["spec.template.affinity", "spec.template.volumes.[]"] {
        assert_eq!(field(path)["x-kubernetes-preserve-unknown-fields"], true, "{path}");
    }
}

#[test]
fn every_rule_stands_in_the_schema_with_its_message() {
    let mut found = BTreeSet::new();
    walk_all(&mut |_, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            found.insert((
                rule["rule"].as_str().unwrap().to_owned(),
                rule["message"].as_str().unwrap().to_owned(),
            ));
        }
    });
    let wanted = crd::all_rules().into_iter().map(|rule| (rule.holds.to_owned(), rule.message.to_owned()));
    assert_eq!(found, wanted.collect());
}

#[test]
fn no_field_takes_null_and_no_format_is_unknown_to_the_api_server() {
    walk_all(&mut |path, schema| {
        assert!(schema.get("nullable").is_none(), "{path}");
        let format = schema["format"].as_str().unwrap_or("int32");
        assert!(["int32", "int64", "date-time"].contains(&format), "{path}: {format}");
    });
}

/// Whether a path is below one where the schema is Kubernetes' own.
fn foreign(path: &str) -> bool {
    let roots =
        ["env.[]", "envFrom.[]", "securityContext", "volumeMounts.[]", "tolerations.[]", "topologySpread.[]"];
    roots.iter().any(|name| path.contains(&format!(".{name}.")))
}

#[test]
fn everything_of_our_own_is_bounded_and_described() {
    walk_all(&mut |path, schema| {
        if !path.starts_with(".spec") || foreign(path) {
            return;
        }
        assert!(schema["type"] != "array" || schema["maxItems"].is_u64(), "{path} has no maxItems");
        let map = schema["additionalProperties"].is_object();
        assert!(!map || schema["maxProperties"].is_u64(), "{path} has no maxProperties");
        let text = schema["type"] == "string" && schema["enum"].is_null();
        assert!(!text || schema["maxLength"].is_u64(), "{path} has no maxLength");
        let part = path.ends_with("[]") || path.ends_with("{}");
        assert!(part || schema["description"].is_string(), "{path} has no description");
    });
}

#[test]
fn every_field_of_the_spec_is_in_the_reference() {
    let reference = fs::read_to_string(source_root().join("docs/reference/runnerpool.md")).unwrap();
    walk_all(&mut |path, _| {
        let Some(field) = path.strip_prefix(".spec.") else { return };
        if !foreign(path) && !field.ends_with("[]") && !field.ends_with("{}") {
            let name = field.replace(".[]", "[]");
            let told = reference.contains(&format!("| `{name}` |"));
            assert!(
                told || ["scaling", "runner", "template"].contains(&field),
                "{name} is not in docs/reference/runnerpool.md"
            );
        }
    });
}
