//! A real control plane, real runners and real jobs, killed at random moments under load, with disks that are full or broken for a
//! while: nothing that was acknowledged is lost, nothing runs twice at once, and nothing is stuck once all is healed.
//!
//! `storm` strikes and heals while `load` asks; `bed` holds what is struck. The jobs (`plan`, `jobs/`) say by a `witness` of their
//! own when they lived. `settle` waits for the end and writes down what is there; `checker` judges the `history`. `directed` has
//! single faults at chosen moments. No knowledge of the product's types: what is asserted is what travels, and what lived.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod bed;
mod checker;
mod directed;
mod disks;
mod history;
mod ledger;
mod load;
mod plan;
mod processes;
mod settle;
mod storm;
mod witness;

use std::time::Duration;

use crate::storm::Limits;

/// A variable's number, or another.
fn variable(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        _ => otherwise,
    }
}

#[test]
fn a_storm_of_kills_loses_nothing_runs_nothing_twice_and_leaves_nothing_stuck() {
    let seed = variable("MINITOWER_CRASH_SEED", u64::from(rand::random::<u32>()));
    let cycles = u32::try_from(variable("MINITOWER_CRASH_CYCLES", 30)).unwrap();
    let time = Duration::from_secs(variable("MINITOWER_CRASH_SECONDS_MAX", 60));
    println!("crash: MINITOWER_CRASH_SEED={seed}, {cycles} cycles or {time:?}");
    let outcome = storm::run(seed, Limits { cycles, time });
    println!("{}", outcome.report());
    for breach in outcome.breaches.iter().take(40) {
        println!("BREACH {breach}");
    }
    assert!(
        outcome.breaches.is_empty(),
        "{} breaches with MINITOWER_CRASH_SEED={seed} after {} cycles",
        outcome.breaches.len(),
        outcome.cycles
    );
}
