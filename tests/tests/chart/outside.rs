//! From outside of the cluster, through an Ingress and a route of the Gateway API, both with TLS.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use minitower_tests::programs::{self, source_root};
use minitower_tests::shape::text;
use minitower_tests::{Artifact, Program, skip, wait};
use serde_json::json;

use crate::harness::{CLAIM, Curled, Person, Product, Release, told};

/// Bytes that no compression makes less: with the rest of the archive a little below the usual limit of 100 MiB.
const ARCHIVE: u64 = 100_000_000;
/// How long a log is followed: longer than the minute that is the usual limit of proxies.
const FOLLOWED: Duration = Duration::from_secs(65);
/// How long a poll is held.
const POLL_SECONDS: u64 = 28;

/// A way in.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    name: &'static str,
    person: Person,
}

/// The ways in that the cluster offers; they are in the values of the next upgrade.
pub(crate) fn doors(release: &mut Release, product: &Product, home: &Path) -> Vec<Door> {
    let mut doors = Vec::new();
    let mut add = |name: &'static str, url: String, ca: PathBuf| {
        let home = home.join(name);
        fs::create_dir_all(&home).unwrap();
        doors.push(Door {
            name,
            person: Person { url, ca: Some(ca), token: product.team.token.clone(), home },
        });
    };
    if let Some(url) = told("E2E_INGRESS_URL") {
        let ca = certificate(release, home);
        release.set(r#"ingress={"enabled": true, "host": "localhost", "tls": {"enabled": true}}"#);
        add("ingress", url, ca);
    } else {
        skip::skip("Ingress: the cluster has no ingress controller, as far as is known");
    }
    if let (Some(url), Some(ca)) = (told("E2E_GATEWAY_URL"), told("E2E_GATEWAY_CA")) {
        // Without hostnames it takes whatever no other route takes.
        release.set(
            r#"httpRoute={"enabled": true, "hostnames": [], "parentRefs": [{"name": "cluster", "namespace": "kube-system"}]}"#,
        );
        add("route", url, PathBuf::from(ca));
    } else {
        skip::skip("HTTPRoute: the cluster has no Gateway, as far as is known");
    }
    doors
}

/// An authority of our own and a certificate of it for `localhost`, in the Secret where the Ingress looks for it.
fn certificate(release: &Release, home: &Path) -> PathBuf {
    let folder = home.join("pki");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("extensions"), "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
        .unwrap();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let openssl = |args: &[&str], more: &[&str]| {
        let output = Command::new("openssl").args(args).args(more).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    };
    openssl(
        &["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"],
        &key,
    );
    openssl(&["req", "-subj", "/CN=localhost", "-keyout", "tls.key", "-out", "tls.csr"], &key);
    let sign = ["x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&sign, &["-days", "2", "-extfile", "extensions", "-out", "tls.crt"]);
    let path = |name: &str| folder.join(name).display().to_string();
    let secret = format!("{CLAIM}-tls");
    let files = [format!("--cert={}", path("tls.crt")), format!("--key={}", path("tls.key"))];
    release.kubectl(&["create", "secret", "tls", &secret, &files[0], &files[1]]);
    folder.join("ca.crt")
}

fn answers(door: &Door) -> Curled {
    let mut last = None;
    let found = wait::find(Duration::from_secs(30), || {
        let answer = door.person.curl("GET", "/api/v1/me", &[]);
        if answer.status == 200 {
            return Some(answer);
        }
        last = Some(answer);
        None
    });
    found.unwrap_or_else(|| panic!("the {} does not lead to the API: {last:?}", door.name))
}

/// What lasts, and goes on in the background through a door.
pub(crate) struct Lasting {
    threads: Vec<JoinHandle<()>>,
    runner: Option<(Program, Product, String)>,
    began: Instant,
}

/// Begins a log that lasts more than a minute, a poll that is held, and a runner that is outside.
pub(crate) fn begin_lasting(door: &Door, release: &Release, product: &Product) -> Lasting {
    let me = answers(door).expect(200);
    assert_eq!(me["team_slug"], "main", "{me}");
    let (log, poll) = (door.clone(), door.clone());
    // The one that came with the team is replaced when `helm test` bootstraps the team again.
    let made = product.team.post("/registration-tokens").send().expect_json(201);
    let registration = text(&made, "token");
    let outside = registration.clone();
    let threads =
        vec![thread::spawn(move || long_log(&log)), thread::spawn(move || long_poll(&poll, &registration))];
    let runner = (door.name == "ingress").then(|| {
        let (program, environment) = runner_outside(door, release, &outside);
        (program, Product { http: product.http.clone(), team: product.team.clone() }, environment)
    });
    Lasting { threads, runner, began: Instant::now() }
}

impl Lasting {
    /// Waits for the end of it, and judges.
    pub(crate) fn end(mut self) {
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        let Some((runner, product, environment)) = self.runner.take() else { return };
        // By now it has waited in polls that were held, one after another.
        assert!(self.began.elapsed() > FOLLOWED);
        let archive = Artifact::new().file("main.sh", "echo from outside\n").gzip();
        product.team.app("outside");
        product.team.version("outside", &archive, "main.sh");
        let lines = product.complete("outside", &environment, Duration::from_secs(20));
        assert_eq!(lines, ["from outside"]);
        let log = runner.log();
        assert!(!log.contains("\"WARN\"") && !log.contains("\"ERROR\""), "the runner was disturbed:\n{log}");
    }
}

/// The first line comes while the job runs, the last one more than a minute later.
fn long_log(door: &Door) {
    let app = format!("long-{}", door.name);
    let code = format!(
        "import time\nprint('first', flush=True)\ntime.sleep({})\nprint('last')\n",
        FOLLOWED.as_secs()
    );
    door.person.deploy(&door.person.project(&app, &code, 120));
    let run = door.person.create(&app, &[]);
    let follow = door.person.follow(run);
    let first = follow.line("first", Duration::from_secs(60));
    let now = door.person.curl("GET", &format!("/api/v1/runs/{run}"), &[]).expect(200);
    assert_eq!(now["status"], "running", "the first line came late: {now}");
    let last = follow.line("last", FOLLOWED + Duration::from_secs(15));
    let span = last.duration_since(first);
    assert!(
        span.abs_diff(FOLLOWED) < Duration::from_secs(5),
        "between the first and the last line: {span:?}"
    );
}

/// A poll without a run is answered when its time is over, and not before.
fn long_poll(door: &Door, registration: &str) {
    let name = format!("poll-{}", door.name);
    let body = json!({"name": name, "environment": name}).to_string();
    let runner = Person { token: registration.to_owned(), ..door.person.clone() };
    let json_type = "Content-Type: application/json";
    let made = runner.curl("POST", "/api/v1/runners/register", &["--header", json_type, "--data", &body]);
    assert!([200, 201].contains(&made.status), "{made:?}");
    let made = made.expect(made.status);
    let runner = Person { token: text(&made, "token"), ..runner };
    let poll = runner.curl("POST", &format!("/api/v1/runs/lease?wait={POLL_SECONDS}"), &[]);
    assert_eq!(poll.status, 204, "{poll:?}");
    assert!(poll.took >= Duration::from_secs(POLL_SECONDS), "answered after {:?}", poll.took);
    runner.curl("POST", "/api/v1/runners/sign-off", &[]);
}

/// A runner on this machine that reaches the control plane through the door.
fn runner_outside(door: &Door, release: &Release, registration: &str) -> (Program, String) {
    let environment = format!("outside-{}", door.name);
    let folder = door.person.home.join("runner");
    fs::create_dir_all(&folder).unwrap();
    let pairs = [
        ("MINITOWER_SERVER_URL", door.person.url.clone()),
        ("MINITOWER_CA_FILE", door.person.ca.as_ref().unwrap().display().to_string()),
        ("MINITOWER_RUNNER_NAME", format!("outside-{}", release.namespace)),
        ("MINITOWER_RUNNER_ENVIRONMENT", environment.clone()),
        ("MINITOWER_RUNNER_REGISTRATION_TOKEN", registration.to_owned()),
        ("MINITOWER_DATA_DIR", folder.display().to_string()),
        ("MINITOWER_TERMINATION_LOG", folder.join("last-words").display().to_string()),
    ];
    let env: Vec<_> = pairs.map(|(key, value)| (key.to_owned(), value)).into();
    (Program::start(programs::RUNNER, &[], &env, &folder, &folder.join("log")), environment)
}

/// What is asked for through a door that leads to the API alone; each way to write the forbidden paths too.
const FORBIDDEN: [(&str, &str); 10] = [
    ("GET", "/metrics"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/version"),
    ("GET", "/"),
    ("POST", "/api/v1/bootstrap/team"),
    ("POST", "/api/v1/apps/../bootstrap/team"),
    ("POST", "/api/v1//bootstrap/team"),
    ("POST", "/api/v1/apps%2f..%2fbootstrap/team"),
    ("POST", "/api/v1/%62ootstrap/team"),
];

fn bootstrap(door: &Door, release: &Release) -> Person {
    let path = "go-template={{index .data \"bootstrap-token\" | base64decode}}";
    Person { token: release.kubectl(&["get", "secret", CLAIM, "-o", path]), ..door.person.clone() }
}

/// Nothing but the API is reached, even by whom has the bootstrap token.
pub(crate) fn is_closed(door: &Door, release: &Release) {
    let person = bootstrap(door, release);
    for (method, path) in FORBIDDEN {
        let body = r#"{"slug": "main", "name": "main"}"#;
        let more = if method == "POST" { vec!["--path-as-is", "--data", body] } else { vec!["--path-as-is"] };
        let answer = person.curl(method, path, &more);
        assert_eq!(answer.status, 404, "{method} {path} through the {}: {answer:?}", door.name);
    }
}

/// Bootstrap and metrics are routed from the next upgrade on.
pub(crate) fn expose(release: &mut Release) {
    release.set(r#"expose={"bootstrap": true, "metrics": true}"#);
}

/// They are reached; health is not, for nobody asked for that.
pub(crate) fn is_open(door: &Door, release: &Release) {
    let person = bootstrap(door, release);
    wait::until("metrics are routed", Duration::from_secs(20), || {
        let answer = person.curl("GET", "/metrics", &[]);
        (answer.status == 200 && answer.body.contains("minitower_build_info")).then_some(())
    });
    let body = r#"{"slug": "main", "name": "main"}"#;
    let made = wait::until("bootstrap is routed", Duration::from_secs(20), || {
        Some(person.curl("POST", "/api/v1/bootstrap/team", &["--data", body])).filter(|it| it.status != 404)
    });
    assert_eq!(text(&made.expect(200), "slug"), "main");
    assert_eq!(person.curl("GET", "/health", &[]).status, 404);
}

/// The command line deploys an archive of 100 MB through each door at once, and a run of it finds all of it.
pub(crate) fn large_archives(doors: &[Door]) {
    thread::scope(|scope| {
        for door in doors {
            scope.spawn(move || {
                let app = format!("large-{}", door.name);
                let code = "import os\nprint(os.path.getsize('blob'))\n";
                let folder = door.person.project(&app, code, 120);
                let mut blob = fs::File::create(folder.join("blob")).unwrap();
                std::io::copy(&mut fs::File::open("/dev/urandom").unwrap().take(ARCHIVE), &mut blob).unwrap();
                let began = Instant::now();
                door.person.deploy(&folder);
                println!("100 MB through the {}: {:.1} s", door.name, began.elapsed().as_secs_f64());
                let run = door.person.create(&app, &[]);
                door.person.follow(run).line(&ARCHIVE.to_string(), Duration::from_secs(90));
            });
        }
    });
}

/// The README's calls of curl, and the smoke test, with a team's token, through each door at once.
pub(crate) fn as_in_the_readme(doors: &[Door]) {
    thread::scope(|scope| {
        for door in doors {
            scope.spawn(move || {
                curl(door);
                smoke(door);
            });
        }
    });
}

fn curl(door: &Door) {
    let json_type = ["--header", "Content-Type: application/json"];
    let app = format!("curl-{}", door.name);
    let post = |path: &str, body: String| {
        door.person.curl("POST", path, &[&json_type[..], &["--data", &body]].concat())
    };
    post("/api/v1/apps", json!({"slug": app, "description": "demo app"}).to_string()).expect(201);
    let archive = door.person.home.join("hello.tar.gz");
    let code = "import os\nprint('input:', os.environ.get('MINITOWER_INPUT'))\n";
    fs::write(&archive, Artifact::python(code)).unwrap();
    let file = format!("artifact=@{}", archive.display());
    let form = ["--form", &file, "--form", "entrypoint=main.py", "--form", "timeout_seconds=60"];
    door.person.curl("POST", &format!("/api/v1/apps/{app}/versions"), &form).expect(201);
    let made = post(&format!("/api/v1/apps/{app}/runs"), json!({"input": {"name": "world"}}).to_string())
        .expect(201);
    let run = format!("/api/v1/runs/{}", made["run_id"]);
    wait::until("the run completes", Duration::from_secs(60), || {
        (door.person.curl("GET", &run, &[]).expect(200)["status"] == "completed").then_some(())
    });
    let logs = door.person.curl("GET", &format!("{run}/logs"), &[]);
    assert!(logs.body.contains("input:"), "{logs:?}");
}

fn smoke(door: &Door) {
    let mut smoke = Command::new("timeout");
    smoke.args(["--kill-after=5", "120", "bash"]).arg(source_root().join("scripts/smoke.sh"));
    smoke.env("BASE_URL", &door.person.url).env("TEAM_TOKEN", &door.person.token).env("NO_PROXY", "*");
    smoke.env("CURL_CA_BUNDLE", door.person.ca.as_ref().unwrap());
    let output = smoke.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/smoke.sh through the {}: {said}", door.name);
}
