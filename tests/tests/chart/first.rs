//! From nothing to a job's first line, and `helm test`.

use std::path::Path;
use std::time::{Duration, Instant};

use minitower_tests::programs::source_root;

use crate::harness::report::{self, Row};
use crate::harness::{Person, Product, Release};

/// What it ought to take from `helm install` until the first line is read, in seconds. Machines are noisy, and builds for development
/// slow: what fails the test is twice that.
const FIRST_LINE: f64 = 60.0;

/// Installs, makes a team, deploys an example, runs it and waits for its line, as a person does.
pub(crate) fn job(release: &Release, home: &Path) -> Product {
    let began = Instant::now();
    let notes = release.install().unwrap_or_else(|said| panic!("{said}"));
    assert!(notes.contains("port-forward service/mt-minitower 8080:8080"), "{notes}");
    assert!(!notes.contains("WARNING"), "{notes}");
    let product = Product::find(release);
    let person = Person {
        url: product.http.base().to_owned(),
        ca: None,
        token: product.team.token.clone(),
        home: home.to_owned(),
    };
    person.deploy(&source_root().join("examples/hello"));
    let run = person.create("hello", &[]);
    let line = person.follow(run).line("hello, world", Duration::from_secs(120));
    let took = line.duration_since(began).as_secs_f64();
    println!("helm install → first line: {took:.1} s");
    report::keep(
        "5-install",
        &[Row {
            what: "`helm install` with no values → first line of the first job, read by the command line"
                .to_owned(),
            target: format!("≤ {FIRST_LINE} s"),
            measured: format!("{took:.1} s"),
            holds: Some(took <= FIRST_LINE),
            how: "images on the node; with the volume, the team, `minitower deploy` and the pool's first pod"
                .to_owned(),
        }],
    );
    assert!(took <= 2.0 * FIRST_LINE, "{took:.1} s");
    product
}

/// `helm test` passes, shows the job's line, and passes again.
pub(crate) fn tested(release: &Release) {
    for _ in 0..2 {
        let said = release.helm("test", &["--logs"]).unwrap_or_else(|said| panic!("{said}"));
        assert!(said.contains("| hello from helm-test and through the Service"), "{said}");
    }
}
