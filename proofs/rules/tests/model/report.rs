//! Runs the checker, and says how far it came and what stopped it.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::checker::Protocol;
use crate::config::Config;

/// Explores all states there are and asserts every property in each. Answers which of the model's events never came to pass.
///
/// # Panics
/// When a promise is broken, when something that has to be possible is not, or when a state was left out.
pub(crate) fn exhaust(config: Config) -> Vec<&'static str> {
    let name = config.name;
    let start = begin();
    // No time limit, no target: it ends when the space is exhausted, or at a broken promise.
    let checker = Protocol::new(config)
        .checker()
        .threads(threads())
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    report(name, &checker, start, "exhausted");
    checker.assert_properties();
    assert!(checker.is_done(), "{name}: states were left out");
    checker.model().met.missing().into_iter().map(crate::config::Event::text).collect()
}

/// Explores states, those nearest to the start first, until so many were generated or so much time has passed, and asserts that no promise was
/// broken in any.
///
/// # Panics
/// When one was.
pub(crate) fn explore_within(most: usize, limit: Duration, config: Config) {
    let name = config.name;
    let start = begin();
    let checker = Protocol::new(config)
        .checker()
        .threads(threads())
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(most)
        .timeout(limit)
        .spawn_bfs()
        .join();
    let stopped = if checker.state_count() >= most {
        "stopped by the bound on states"
    } else if start.elapsed() >= limit {
        "stopped by the bound on time"
    } else {
        "exhausted"
    };
    report(name, &checker, start, stopped);
    for property in checker.model().properties() {
        if property.expectation.discovery_is_failure()
            && let Some(path) = checker.discovery(property.name)
        {
            panic!("{name}: broken: {}: {path}", property.name);
        }
    }
}

/// Whether a state is found in which that promise is broken.
pub(crate) fn finds(promise: &'static str, config: Config) -> bool {
    let name = config.name;
    let start = begin();
    let checker = Protocol::new(config)
        .checker()
        .threads(threads())
        .finish_when(HasDiscoveries::AllOf([promise].into()))
        .spawn_bfs()
        .join();
    let found = checker.discovery(promise).is_some();
    report(name, &checker, start, if found { "stopped by what was to be found" } else { "exhausted" });
    found
}

fn begin() -> Instant {
    forget_peak_memory();
    Instant::now()
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn report(name: &str, checker: &impl Checker<Protocol>, start: Instant, stopped: &str) {
    let model = checker.model();
    println!(
        "model: {name}: {stopped}: {} states, {} unique, depth {}, {:.1} s, {} MiB at most; {} ways to heal; {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64(),
        peak_memory_mib(),
        model.healed.lock().map_or(0, |healed| healed.len()),
        bounds(model),
    );
}

/// What bounds the model, and how often each bound cut a step off.
fn bounds(model: &Protocol) -> String {
    let Config { ttl, drift, in_flight, attempts, max_retries, .. } = &model.config;
    let [messages, tries] = model.met.cut_off();
    let attempts = attempts.map_or("attempts unbounded".to_owned(), |most| {
        format!("at most {most} attempts per run (met {tries} times)")
    });
    format!(
        "lease {ttl} ticks, drift {drift}, retries {max_retries}, at most {in_flight} messages in flight (met {messages} times), {attempts}"
    )
}

/// The most memory this process has had since [`forget_peak_memory`] (`VmHWM`, `proc_pid_status(5)`).
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Begins to count anew (`proc_pid_clear_refs(5)`); where that is not allowed, the report shows the most of all systems so far.
fn forget_peak_memory() {
    let _not_allowed = std::fs::write("/proc/self/clear_refs", "5");
}
