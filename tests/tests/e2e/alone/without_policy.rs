//! The admission policy is not installed.

use super::put_back;
use crate::harness::{SYSTEM, Scene, bed, kubectl};
use crate::together::no_kills::shrink_under_load;

const POLICY: &str = "validatingadmissionpolicybinding/minitower-runner-pods";
const OPERATOR: &str = "deployment/minitower-operator";

/// Puts the policy back.
struct Policy {
    binding: serde_json::Value,
}

impl Policy {
    /// Takes the policy away, and tells the operator.
    fn remove() -> Self {
        let mut binding = kubectl::json(&["get", POLICY]);
        crate::harness::forget_instance(&mut binding);
        let policy = Self { binding };
        kubectl::run(&["delete", POLICY]);
        tell_operator("false");
        policy
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        put_back(&["apply", "-f", "-"], &self.binding.to_string());
        tell_operator("true");
    }
}

fn tell_operator(value: &str) {
    put_back(&["set", "env", OPERATOR, "-n", SYSTEM, &format!("MINITOWER_ADMISSION_POLICY={value}")], "");
    put_back(&["rollout", "status", OPERATOR, "-n", SYSTEM, "--timeout=100s"], "");
}

#[test]
fn scale_downs_under_random_load_end_no_run_without_the_admission_policy_too() {
    let Some(bed) = bed() else { return };
    let policy = Policy::remove();
    let scene = Scene::new(bed, "no-policy");
    shrink_under_load(&scene, "3-without-policy", "without the admission policy", |_| ());
    drop(policy);
}
