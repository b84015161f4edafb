//! Scenarios that change what all share, one after another. Each puts back what it took away, also when it fails.

mod server_killed;
mod without_operator;
mod without_policy;

use crate::harness::kubectl;

/// Runs kubectl where a failure is only told: a panic while another one unwinds would end the program, and leave the rest as it is.
fn put_back(args: &[&str], input: &str) {
    if let Err(error) = kubectl::try_with_input(args, input) {
        assert!(std::thread::panicking(), "{error}");
        println!("{error}");
    }
}
