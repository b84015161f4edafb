//! What the steps share: Helm ([`Release`]), the control plane of a release ([`Product`]), the command line of a person who is outside
//! of the cluster ([`Person`]), and from the scenarios of `e2e` the cluster's `kubectl`, the witness and the table of measurements.

mod person;
mod product;
mod release;

#[allow(dead_code, reason = "of the other program")]
#[path = "../../e2e/harness/forward.rs"]
mod forward;
#[allow(dead_code, reason = "of the other program")]
#[path = "../../e2e/harness/kubectl.rs"]
pub(crate) mod kubectl;
#[path = "../../e2e/harness/report.rs"]
pub(crate) mod report;
#[allow(dead_code, reason = "of the other program")]
#[path = "../../e2e/harness/settings.rs"]
mod settings;
#[allow(dead_code, reason = "of the other program")]
#[path = "../../e2e/harness/witness.rs"]
mod witness;

use std::time::Instant;

pub(crate) use person::{Curled, Person};
pub(crate) use product::Product;
pub(crate) use release::{CLAIM, CRD, Release, helm, wait_gone};
pub(crate) use settings::{folder, short};
pub(crate) use witness::{NAMESPACE as WITNESS_NAMESPACE, Note, Witness};

/// Whether these tests can run; says why not.
pub(crate) fn ready() -> bool {
    let reason = settings::obstacle();
    if let Some(reason) = &reason {
        minitower_tests::skip::skip(reason);
    }
    reason.is_none()
}

/// A variable that `scripts/e2e.sh` sets where the cluster has what it tells.
pub(crate) fn told(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Does a step and says how long it took.
pub(crate) fn step<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let out = act();
    println!("{:<66} {:>6.1} s", what, began.elapsed().as_secs_f64());
    out
}
