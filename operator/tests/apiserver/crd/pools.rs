//! `minitower-operator pools`, as the Helm chart's hook calls it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use minitower_tests::wait;
use serde_json::{Value, json};

use crate::api::{self, Namespace};
use crate::crd::objects::{minimal, with};

/// How long garbage collection may take.
const COLLECTED: Duration = Duration::from_secs(60);

/// The `ConfigMap` with the pools.
struct Map {
    cluster: Namespace,
    name: String,
}

impl Map {
    fn new(name: &str) -> Option<Self> {
        let cluster = api::namespace(name)?;
        let name = format!("{name}-pools");
        cluster.kubectl(&["create", "configmap", &name], None).expect_ok();
        Some(Self { cluster, name })
    }

    fn write(&self, pools: &[Value]) {
        let key = |pool: &Value| format!("{}.yaml", pool["metadata"]["name"].as_str().unwrap());
        let data: BTreeMap<String, String> = pools.iter().map(|pool| (key(pool), pool.to_string())).collect();
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name}, "data": data});
        self.cluster.kubectl(&["replace", "-f", "-"], Some(&map)).expect_ok();
    }

    /// Whether it succeeded, its standard output, and its standard error.
    fn apply(&self) -> (bool, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_minitower-operator"))
            .args(["pools", &self.name, "--namespace", self.cluster.name()])
            .env("KUBECONFIG", api::api().unwrap().kubeconfig())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    #[track_caller]
    fn applied(&self, pools: &[Value], done: &str) {
        self.write(pools);
        let (well, said, against) = self.apply();
        assert!(well, "{against}");
        assert_eq!(said, done);
    }

    fn names(&self) -> String {
        self.cluster.kubectl(&["get", "rp", "-o", "name"], None).expect_ok().out
    }
}

fn sized(name: &str, most: u32) -> Value {
    with(minimal(name), &json!({ "spec": { "maxRunners": most } }))
}

#[test]
fn pools_follow_their_config_map_and_go_with_it() {
    let Some(map) = Map::new("follow") else { return };
    map.applied(&[sized("a", 1), sized("b", 2)], "runnerpool a: created\nrunnerpool b: created\n");
    map.applied(&[sized("a", 1), sized("b", 3)], "runnerpool a: unchanged\nrunnerpool b: changed\n");
    assert_eq!(map.cluster.pool("b")["spec"]["maxRunners"], 3);
    map.cluster.apply(&minimal("own")).expect_ok();
    map.applied(&[sized("a", 1)], "runnerpool a: unchanged\nrunnerpool b: removed\n");
    map.cluster.kubectl(&["delete", "configmap", &map.name], None).expect_ok();
    wait::until("the pools of the map are gone, and no other", COLLECTED, || {
        (map.names() == "runnerpool.minitower.dev/own\n").then_some(())
    });
}

#[test]
fn a_size_by_hand_outlives_the_next_time_and_a_changed_field_does_not() {
    let Some(map) = Map::new("by-hand") else { return };
    map.applied(&[sized("a", 7)], "runnerpool a: created\n");
    map.cluster.kubectl(&["scale", "rp/a", "--replicas=3"], None).expect_ok();
    let patch = r#"{"spec":{"maxRunners":9}}"#;
    map.cluster.kubectl(&["patch", "rp", "a", "--type=merge", "-p", patch], None).expect_ok();
    map.applied(&[sized("a", 7)], "runnerpool a: changed\n");
    let spec = &map.cluster.pool("a")["spec"];
    assert_eq!((&spec["replicas"], &spec["maxRunners"]), (&json!(3), &json!(7)));
}

#[test]
fn somebody_elses_pool_is_left_alone_until_it_is_handed_over() {
    let Some(map) = Map::new("foreign") else { return };
    map.cluster.apply(&sized("theirs", 1)).expect_ok();
    map.write(&[sized("ours", 2), sized("theirs", 2)]);
    let (well, said, against) = map.apply();
    assert!(!well);
    assert_eq!(said, "runnerpool ours: created\n", "the other pool is made all the same");
    let way_out = "kubectl label runnerpool theirs minitower.dev/pools-of=foreign-pools";
    assert!(against.contains("RunnerPool theirs exists") && against.contains(way_out), "{against}");
    assert_eq!(map.cluster.pool("theirs")["spec"]["maxRunners"], 1);

    let hand_over = ["label", "runnerpool", "theirs", "minitower.dev/pools-of=foreign-pools"];
    map.cluster.kubectl(&hand_over, None).expect_ok();
    assert!(map.apply().0);
    assert_eq!(map.cluster.pool("theirs")["spec"]["maxRunners"], 2);
}

#[test]
fn a_pool_that_is_refused_is_told_in_the_api_servers_words() {
    let Some(map) = Map::new("refused") else { return };
    let senseless = with(minimal("senseless"), &json!({ "spec": { "minRunners": 5, "maxRunners": 1 } }));
    let misspelt = with(minimal("misspelt"), &json!({ "spec": { "maxRuners": 1 } }));
    map.write(&[sized("good", 1), senseless, misspelt]);
    let (well, said, against) = map.apply();
    assert!(!well);
    assert_eq!(said, "runnerpool good: created\n");
    assert!(against.contains("spec.minRunners must not be greater than spec.maxRunners"), "{against}");
    let lines: Vec<&str> = against.lines().filter(|line| line.contains("misspelt")).collect();
    assert!(
        lines.len() == 1 && lines[0].contains("maxRuners") && lines[0].contains("another version"),
        "{against}"
    );
    assert!(against.contains("2 of 3 pools could not be applied or deleted"), "{against}");
}

#[test]
fn without_the_config_map_nothing_is_made() {
    let Some(map) = Map::new("ownerless") else { return };
    map.write(&[sized("a", 1)]);
    map.cluster.kubectl(&["delete", "configmap", &map.name], None).expect_ok();
    let (well, said, against) = map.apply();
    assert!(
        !well && said.is_empty() && against.contains("cannot read ConfigMap ownerless-pools"),
        "{against}"
    );
    assert_eq!(map.names(), "");
}
