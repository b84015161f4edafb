//! Upgrade, loss of the control plane's pod, and rollback, under a steady load of short runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use minitower_tests::shape::int;
use minitower_tests::{Http, wait};
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::harness::report::{self, Row};
use crate::harness::{Note, Product, Release, Witness, folder, helm, short, step};
use crate::pools;

const APP: &str = "load";
/// Pause between two runs that are created, and between two small questions.
const CREATE_EVERY: Duration = Duration::from_millis(400);
const ASK_EVERY: Duration = Duration::from_millis(50);
/// After what time a client gives a request up. It would be a failed one.
const REQUEST: Duration = Duration::from_secs(3);
/// How long clients may be without service, in seconds. Machines are noisy, and builds for development slow: what fails the test is
/// twice that.
const WITHOUT_SERVICE: f64 = 10.0;
/// Until a new pod of the control plane serves.
const REPLACED: Duration = Duration::from_secs(120);
/// So many questions in a row that are answered are the end of an outage: two seconds of them.
const ANSWERED: usize = 40;

/// One request of a client.
#[derive(Debug, Clone)]
struct Ask {
    began: Instant,
    ended: Instant,
    failure: Option<String>,
}

/// Clients that go on whatever happens to them.
struct Load {
    over: Arc<AtomicBool>,
    asks: Arc<Mutex<Vec<Ask>>>,
    created: Arc<Mutex<Vec<i64>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(product: &Product, witness: &Witness) -> Self {
        product.witnessed_app(APP);
        let http = Http::keeping(product.http.base(), REQUEST);
        let mut load =
            Self { over: Arc::default(), asks: Arc::default(), created: Arc::default(), clients: Vec::new() };
        let (address, token, created) =
            (witness.address().to_owned(), product.team.token.clone(), load.created.clone());
        let client = http.clone();
        load.client(CREATE_EVERY, move || {
            let seconds = rand::rng().random_range(0.1..1.5);
            let input = json!({"seconds": seconds, "scene": APP, "witness": address});
            let request =
                client.post(&format!("/api/v1/apps/{APP}/runs")).bearer(&token).json(json!({"input": input}));
            let made = answered(request.try_send(), 201)?;
            created.lock().unwrap_or_else(PoisonError::into_inner).push(int(&made, "run_id"));
            Ok(())
        });
        let token = product.team.token.clone();
        load.client(ASK_EVERY, move || {
            answered(http.get("/api/v1/me").bearer(&token).try_send(), 200).map(drop)
        });
        load
    }

    fn client(&mut self, every: Duration, mut request: impl FnMut() -> Result<(), String> + Send + 'static) {
        let (over, asks) = (Arc::clone(&self.over), Arc::clone(&self.asks));
        self.clients.push(thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let failure = request().err();
                let ask = Ask { began, ended: Instant::now(), failure };
                asks.lock().unwrap_or_else(PoisonError::into_inner).push(ask);
                thread::sleep(every.saturating_sub(began.elapsed()));
            }
        }));
    }

    fn asks(&self) -> Vec<Ask> {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        asks.sort_by_key(|ask| ask.began);
        asks
    }

    /// Does something that replaces the control plane's pod, and yields the span in which requests failed and how many did: from the
    /// begin of the first until one was answered after the last.
    fn outage(&self, release: &Release, replace: impl FnOnce()) -> (Duration, usize) {
        let since = Instant::now();
        let before = ready_pod(release).expect("a pod that is ready");
        replace();
        wait::until("another pod of the control plane is ready", REPLACED, || {
            ready_pod(release).filter(|pod| *pod != before)
        });
        let new = wait::until("requests are answered again", Duration::from_secs(30), || {
            let mut asks = self.asks();
            asks.retain(|ask| ask.began >= since);
            let calm = asks.iter().rev().take(ANSWERED).filter(|ask| ask.failure.is_none()).count();
            (calm == ANSWERED).then_some(asks)
        });
        let failed: Vec<&Ask> = new.iter().filter(|ask| ask.failure.is_some()).collect();
        let Some((first, last)) = failed.first().zip(failed.iter().map(|ask| ask.ended).max()) else {
            return (Duration::ZERO, 0);
        };
        let served =
            new.iter().filter(|ask| ask.failure.is_none() && ask.ended >= last).map(|ask| ask.ended).min();
        let span = served.unwrap_or(last).duration_since(first.began);
        println!("the first of {} failures: {}", failed.len(), first.failure.as_deref().unwrap_or_default());
        if span.as_secs_f64() > WITHOUT_SERVICE {
            // What held it up is gone when the test ends.
            for ask in &failed {
                let at = ask.began.duration_since(first.began).as_secs_f64();
                println!("  {at:>5.1} s: {}", ask.failure.as_deref().unwrap_or_default());
            }
            println!("{}", release.kubectl(&["get", "events", "--sort-by=.lastTimestamp"]));
            println!("{}", release.kubectl(&["describe", "pods", "-l", "app.kubernetes.io/name=minitowerd"]));
        }
        (span, failed.len())
    }

    /// Ends it, and yields the runs whose creation was confirmed.
    fn stop(mut self) -> Vec<i64> {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client does not panic");
        }
        self.created.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn answered(
    answer: Result<minitower_tests::Response, impl std::fmt::Display>,
    status: u16,
) -> Result<Value, String> {
    match answer {
        Ok(answer) if answer.status == status => Ok(answer.json()),
        Ok(answer) => Err(format!("{}: {}", answer.status, answer.text())),
        Err(error) => Err(error.to_string()),
    }
}

/// Waits until so many more runs have completed.
fn go_on(product: &Product, count: usize) {
    let before = product.completed(APP);
    let limit = Duration::from_secs(90);
    let deadline = Instant::now() + limit;
    while product.completed(APP) < before + count {
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {count} runs to complete");
        thread::sleep(CREATE_EVERY);
    }
}

/// The control plane's pod, when it is the only one and ready.
fn ready_pod(release: &Release) -> Option<String> {
    let form = "jsonpath={range .items[*]}{.metadata.uid}{\" \"}{.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}{end}";
    let pods = release.kubectl(&["get", "pods", "-l", "app.kubernetes.io/name=minitowerd", "-o", form]);
    let mut pods = pods.lines();
    let (uid, ready) = pods.next()?.split_once(' ')?;
    (ready == "True" && pods.next().is_none()).then(|| uid.to_owned())
}

/// The chart as its next version will be.
fn next_version(release: &Release) -> (String, String) {
    let show = helm(&["show", "chart", &release.chart]).unwrap_or_else(|said| panic!("{said}"));
    let version = show.lines().find_map(|line| line.strip_prefix("appVersion: ")).expect("an appVersion");
    let target = folder().join("chart");
    let _ = std::fs::remove_dir_all(&target);
    let target = target.display().to_string();
    let next = ["--version", "999.0.0", "--app-version", "999.0.0", "--destination", &target];
    helm(&[&["package", &release.chart], &next[..]].concat()).unwrap_or_else(|said| panic!("{said}"));
    (format!("{target}/minitower-999.0.0.tgz"), version.trim_matches('"').to_owned())
}

fn row(what: &str, (span, failed): (Duration, usize), runs: usize) -> Row {
    let seconds = span.as_secs_f64();
    println!("{what}: {seconds:.1} s without service, {failed} requests failed");
    assert!(seconds <= 2.0 * WITHOUT_SERVICE, "{what}: {seconds:.1} s without service");
    Row {
        what: format!("{what}: span in which requests fail"),
        target: format!("≤ {WITHOUT_SERVICE} s"),
        measured: format!("{seconds:.1} s, {failed} requests"),
        holds: Some(seconds <= WITHOUT_SERVICE),
        how: format!(
            "a run created every {} ms, a question every {} ms; none of {runs} runs lost or run twice",
            CREATE_EVERY.as_millis(),
            ASK_EVERY.as_millis()
        ),
    }
}

/// Upgrade to a next version with another runner template, a deleted pod, a rollback: all while runs are created.
pub(crate) fn under_load(release: &mut Release, product: &Product, witness: &Witness) {
    let calm = if short() { 5 } else { 20 };
    // The last upgrade was one that failed: what it left is put right first.
    release.upgrade();
    let (specs, revision) = (pools::specs(release), release.revision());
    let load = Load::start(product, witness);
    go_on(product, calm);

    let chart = release.chart.clone();
    let (next, tag) = next_version(release);
    release.chart = next;
    for value in [
        &format!(r#"image.tag="{tag}""#),
        r#"controlPlane.resources={"requests": {"cpu": "110m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}"#,
        r#"runnerPools.default.runner.env=[{"name": "PIP_NO_INPUT", "value": "1"}]"#,
    ] {
        release.set(value);
    }
    let upgraded = step("  helm upgrade", || load.outage(release, || release.upgrade()));
    let label = release.object("deployment", "mt-minitower").expect("the control plane")["metadata"]["labels"]
        ["app.kubernetes.io/version"]
        .clone();
    assert_eq!(label, "999.0.0");
    go_on(product, calm);
    let deleted = step("  kubectl delete pod", || {
        load.outage(release, || {
            release.kubectl(&["delete", "pod", "-l", "app.kubernetes.io/name=minitowerd", "--wait=false"]);
        })
    });
    go_on(product, calm);
    let rolled_back = step("  helm rollback", || {
        load.outage(release, || {
            release.helm("rollback", &[&revision]).unwrap_or_else(|said| panic!("{said}"));
        })
    });
    pools::wait_specs(release, &specs);
    go_on(product, calm);
    let created = load.stop();
    let runs = judge(product, witness, &created);
    let rows = [
        row("`helm upgrade` that replaces the control plane's pod, under load", upgraded, runs),
        row("the control plane's pod deleted, under load", deleted, runs),
        row("`helm rollback`, under load", rolled_back, runs),
    ];
    report::keep("6-replaced", &rows);
    release.chart = chart;
    for path in ["image.tag", "controlPlane.resources", "runnerPools.default.runner.env"] {
        release.unset(path);
    }
}

/// Every run whose creation was confirmed is there; every run that is there was executed once, to its own end, in one attempt. Yields how
/// many there were.
fn judge(product: &Product, witness: &Witness, created: &[i64]) -> usize {
    product.wait_all_ended(APP, Duration::from_secs(180));
    let runs = product.runs(APP);
    let there: BTreeSet<i64> = runs.iter().map(|run| int(run, "run_id")).collect();
    let lost: Vec<_> = created.iter().filter(|run| !there.contains(run)).collect();
    assert!(lost.is_empty(), "confirmed and not there: {lost:?}");
    for run in &runs {
        let id = int(run, "run_id");
        assert_eq!(
            (&run["status"], &run["retry_count"]),
            (&json!("completed"), &json!(0)),
            "{run}\n{}",
            product.team.log_text(id)
        );
        let attempts = product.team.attempts(id);
        assert_eq!(attempts.len(), 1, "run {id} was begun again: {attempts:#?}");
    }
    let notes = witness.notes(APP);
    witness.assert_never_twice(APP);
    let cut: Vec<&Note> = notes.iter().filter(|note| !note.finished()).collect();
    assert!(cut.is_empty(), "jobs that did not come to their own end: {cut:?}");
    assert_eq!(notes.len(), runs.len(), "each run begins once");
    println!("{} runs, {} of them confirmed", runs.len(), created.len());
    runs.len()
}
