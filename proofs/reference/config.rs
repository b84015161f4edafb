//! How many random cases are tried, and which.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::vocabulary::{Answer, Op};
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};

/// Random numbers of the short version: the same each time, so that a failure is one of the change that brought it.
const SEED: u64 = 20_260_521;
/// Longest search for a smaller failing case, in milliseconds.
const SHRINK_MS: u32 = 15_000;

/// So many cases, always the same; or as many as `PROPTEST_CASES` says, others each time.
pub(crate) fn config(cases: u32) -> Config {
    let long = std::env::var_os("PROPTEST_CASES").is_some();
    let planted = std::env::var_os(minitower_planted::VARIABLE).is_some_and(|bug| !bug.is_empty());
    // The environment's number of cases is the default's.
    let default = Config::default();
    Config {
        cases: if long { default.cases } else { cases },
        rng_seed: if long { default.rng_seed } else { RngSeed::Fixed(SEED) },
        max_shrink_time: if planted { 1 } else { SHRINK_MS },
        // What a planted bug is caught by is no regression.
        failure_persistence: if planted {
            None
        } else {
            Some(Box::new(FileFailurePersistence::WithSource("regressions")))
        },
        ..default
    }
}

/// The same for sequences that take several times as long as others: fewer of them.
pub(crate) fn config_of_few(cases: u32) -> Config {
    let config = config(cases);
    Config { cases: config.cases.min(cases.max(config.cases / 4)), ..config }
}

/// What was done, told at the end.
#[derive(Debug)]
pub(crate) struct Tally {
    name: &'static str,
    sequences: AtomicUsize,
    /// How often each kind of operation was answered in each way.
    met: Mutex<BTreeMap<(String, String), usize>>,
}

impl Tally {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, sequences: AtomicUsize::new(0), met: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn sequence(&self) {
        self.sequences.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn operation(&self, op: &Op, answer: &Answer) {
        let op = match op {
            Op::Call { call, .. } => word(call),
            op => word(op),
        };
        let answer = match answer {
            Answer::Refused(no) => word(no),
            answer => word(answer),
        };
        *self.met.lock().unwrap().entry((op, answer)).or_default() += 1;
    }

    /// Counts states that were met after an operation.
    pub(crate) fn state(&self, what: &str, met: bool) {
        if met {
            *self.met.lock().unwrap().entry(("State".to_owned(), what.to_owned())).or_default() += 1;
        }
    }

    /// Prints the line that `make reference` shows, and asserts that each of these pairs of an operation and an answer was met: what never happens
    /// is not tested.
    pub(crate) fn tell(&self, expected: &[(&str, &str)]) {
        let met = self.met.lock().unwrap();
        let (sequences, operations) = (self.sequences.load(Ordering::Relaxed), met.values().sum::<usize>());
        println!("reference: {}: {sequences} sequences, {operations} operations", self.name);
        println!("reference: {}: {met:?}", self.name);
        let pair = |(op, answer): &(&str, &str)| ((*op).to_owned(), (*answer).to_owned());
        let missing: Vec<_> = expected.iter().filter(|expected| !met.contains_key(&pair(expected))).collect();
        assert!(missing.is_empty(), "never met: {missing:?}");
    }
}

/// The name of a variant.
fn word(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
