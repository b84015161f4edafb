//! The last release's chart with its data, upgraded to this one.

use std::time::Duration;

use minitower_tests::shape::int;
use minitower_tests::skip;

use crate::harness::{Product, Release, ready, step, told};

const RUN: Duration = Duration::from_secs(90);

#[test]
fn an_upgrade_from_the_last_release_keeps_its_data() {
    if !ready() {
        return;
    }
    let Some(former) = told("E2E_FORMER_CHART") else {
        skip::skip(&told("E2E_FORMER_SKIP").unwrap_or_else(|| "no release yet".to_owned()));
        return;
    };
    let mut release = Release::new("former");
    let chart = std::mem::replace(&mut release.chart, former);
    let product = step("the last release", || {
        release.install().unwrap_or_else(|said| panic!("{said}"));
        let product = Product::find(&release);
        let lines = product.python("before", "default", "print('of before')", RUN);
        assert_eq!(lines, ["of before"]);
        product
    });
    release.chart = chart;
    step("upgrade", || release.upgrade());
    let product = Product { team: product.team, ..Product::find(&release) };
    let run = int(&product.runs("before")[0], "run_id");
    assert_eq!(product.team.stream(run, "stdout"), ["of before"], "the token and the log of before");
    step("a job of before, afterwards", || {
        assert_eq!(product.complete("before", "default", RUN), ["of before"]);
    });
}
