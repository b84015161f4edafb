//! Commands that ask once and print: tables and details for people, the server's own JSON with `--json`.

use rstest::rstest;
use serde_json::Value;

use crate::support::{APP, Fake, TOKEN, VERSION, a_run};

const RUNNERS: &str = r#"{"runners":[
    {"runner_id":1,"name":"r-1","environment":"default","status":"online","scope":"platform","pool":"ns/big","busy":true,
     "run_id":7,"attempt_started_at":"2026-01-02T03:03:05Z","draining":false,"last_seen_at":"2026-01-02T03:04:05Z"},
    {"runner_id":2,"name":"r-2","environment":"gpu","status":"offline","scope":"team","busy":false,"draining":true},
    {"runner_id":3,"name":"r-3","environment":"default","status":"online","scope":"platform","pool":"ns/a","busy":true,
     "draining":false},
    {"runner_id":4,"name":"r-4","environment":"default","status":"online","scope":"platform","pool":"ns/big","busy":false,
     "idle_since":"2026-01-02T03:02:05Z","draining":true}]}"#;
const ATTEMPTS: &str = r#"{"attempts":[
    {"attempt_id":1,"attempt_no":1,"status":"expired","runner":"r-1","leased_at":"2026-01-02T03:04:05Z",
     "error_message":"lease expired"},
    {"attempt_id":2,"attempt_no":2,"status":"completed","runner":"r-2","leased_at":"2026-01-02T03:05:05Z",
     "started_at":"2026-01-02T03:05:06Z","finished_at":"2026-01-02T03:05:18Z","exit_code":0}]}"#;
const ENVIRONMENT: &str = r#"{"name":"staging","created_at":"2026-01-02T03:04:05Z"}"#;
const ME: &str = r#"{"team_id":1,"team_slug":"acme","token_id":2,"role":"admin"}"#;
const DRAINED: &str = r#"{"name":"r-1","busy":true,"run_id":7,"draining":true}"#;

/// Line, call, its answer, and the text for people.
#[rstest]
#[case("me", "GET /me", ME, "team      acme (id 1)\nrole      admin\ntoken id  2\n")]
#[case(
    "apps list",
    "GET /apps",
    &format!(r#"{{"apps":[{APP}]}}"#),
    "APP    DISABLED  UPDATED               DESCRIPTION\nhello  no        2026-01-02 03:04:06Z  says hello\n"
)]
#[case(
    "apps get hello",
    "GET /apps/hello",
    APP,
    "app          hello\nid           1\ndescription  says hello\ncreated      2026-01-02 03:04:05Z\n\
     updated      2026-01-02 03:04:06Z\n"
)]
#[case("apps create hello --description x", "POST /apps", APP, "app          hello\n")]
#[case(
    "versions list hello",
    "GET /apps/hello/versions",
    &format!(r#"{{"versions":[{VERSION}]}}"#),
    "VERSION  ENTRYPOINT  SHA256        CREATED\n3        main.py     0123456789ab  2026-01-02 03:04:05Z\n"
)]
#[case(
    "versions get 3 --app hello",
    "GET /apps/hello/versions/3",
    VERSION,
    "app         hello\nversion     3\n"
)]
#[case(
    "runs list",
    "GET /runs",
    &format!(r#"{{"runs":[{}]}}"#, a_run("running", r#","environment":"default","runner":"r-1""#)),
    "RUN  APP    NO  STATUS   VER  ENV      QUEUED                TOOK  RUNNER\n\
     7    hello  2   running  3    default  2026-01-02 03:04:05Z  -     r-1\n"
)]
#[case(
    "runs get 7",
    "GET /runs/7",
    &a_run("failed", r#","exit_code":3,"input":{"name":"x"},"started_at":"2026-01-02T03:04:06Z","finished_at":"2026-01-02T03:07:06Z""#),
    "run        7 (hello #2)\nstatus     failed\nversion    3\ninput      {\"name\":\"x\"}\nretries    0 of 1\n\
     queued     2026-01-02 03:04:05Z\nstarted    2026-01-02 03:04:06Z\nfinished   2026-01-02 03:07:06Z\n\
     took       3m00s\nexit code  3\n"
)]
#[case("runs cancel 7", "POST /runs/7/cancel", &a_run("cancelled", ""), "Run 7 is cancelled.\n")]
#[case("runs cancel 7", "POST /runs/7/cancel", &a_run("cancelling", ""), "Run 7 is being cancelled")]
#[case("runs cancel 7", "POST /runs/7/cancel", &a_run("completed", ""), "Run 7 had ended before: completed.\n")]
#[case(
    "runs attempts 7",
    "GET /runs/7/attempts",
    ATTEMPTS,
    "ATTEMPT  STATUS     RUNNER  LEASED                TOOK  EXIT  ERROR\n\
     1        expired    r-1     2026-01-02 03:04:05Z  -     -     lease expired\n\
     2        completed  r-2     2026-01-02 03:05:05Z  12s   0     -\n"
)]
#[case(
    "environments list",
    "GET /environments",
    &format!(r#"{{"environments":[{ENVIRONMENT}]}}"#),
    "ENVIRONMENT  CREATED\nstaging      2026-01-02 03:04:05Z\n"
)]
#[case(
    "environments create staging",
    "POST /environments",
    ENVIRONMENT,
    "environment  staging\ncreated      2026-01-02 03:04:05Z\n"
)]
#[case(
    "runners list",
    "GET /admin/runners",
    RUNNERS,
    "NAME  POOL    ENVIRONMENT  STATUS             WORK                             RUN  LAST SEEN\n\
     r-2   -       gpu          offline, draining  -                                -    -\n\
     r-3   ns/a    default      online             busy                             -    -\n\
     r-1   ns/big  default      online             busy since 2026-01-02 03:03:05Z  7    2026-01-02 03:04:05Z\n\
     r-4   ns/big  default      draining           idle since 2026-01-02 03:02:05Z  -    -\n"
)]
#[case("runners drain r-1", "POST /admin/runners/r-1/drain", DRAINED, "runner    r-1\ndraining  yes\n")]
#[case("runners undrain r-1", "DELETE /admin/runners/r-1/drain", DRAINED, "runner    r-1\n")]
#[case(
    "tokens create --name ci --role member",
    "POST /tokens",
    r#"{"token_id":9,"token":"mtk_new","name":"ci","role":"member"}"#,
    "mtk_new\n"
)]
fn an_answer_is_text_for_people_and_the_servers_json_for_programs(
    #[case] line: &str,
    #[case] call: &str,
    #[case] answer: &str,
    #[case] text: &str,
) {
    let fake = Fake::start().on(call, 200, answer);
    let words: Vec<_> = line.split(' ').collect();
    let ran = fake.run(&words).good();
    assert!(ran.stdout.starts_with(text), "{}", ran.stdout);
    assert_eq!(fake.asked(call)[0].token.as_deref(), Some(&*format!("Bearer {TOKEN}")));

    let ran = fake.run(&[&words[..], &["--json"]].concat()).good();
    assert_eq!(ran.json(), serde_json::from_str::<Value>(answer).unwrap());
}

#[rstest]
#[case("apps list", "GET /apps", r#"{"apps":[]}"#, "minitower deploy")]
#[case("runs list", "GET /runs", r#"{"runs":[]}"#, "minitower runs create")]
#[case("runs attempts 7", "GET /runs/7/attempts", r#"{"attempts":[]}"#, "waits for a runner")]
#[case("runners list", "GET /admin/runners", r#"{"runners":[]}"#, "minitower-runner")]
#[case("runners list --pool p", "GET /admin/runners", r#"{"runners":[]}"#, "no such runners")]
fn an_empty_list_says_what_to_do_beside_the_answer(
    #[case] line: &str,
    #[case] call: &str,
    #[case] answer: &str,
    #[case] hint: &str,
) {
    let fake = Fake::start().on(call, 200, answer);
    let ran = fake.run(&line.split(' ').collect::<Vec<_>>()).good();
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains(hint), "{}", ran.stderr);
}

#[test]
fn a_list_is_printed_with_all_its_pages() {
    let page = |slugs: &[&str]| {
        let apps: Vec<_> = slugs.iter().map(|slug| APP.replace(r#""hello""#, &format!("{slug:?}"))).collect();
        format!(r#"{{"apps":[{}]}}"#, apps.join(","))
    };
    let fake = || {
        [page(&["one", "two"]), page(&["zoo"]), page(&[])]
            .into_iter()
            .fold(Fake::start(), |fake, page| fake.on("GET /apps", 200, page))
    };
    let ran = fake().run(&["apps", "list"]).good();
    let names: Vec<_> = ran.stdout.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["one", "two", "zoo"]);
    let ran = fake().run(&["apps", "list", "--json"]).good();
    assert_eq!(ran.json(), serde_json::from_str::<Value>(&page(&["one", "two", "zoo"])).unwrap());
}

#[test]
fn flags_of_lists_travel_as_queries_and_bodies() {
    let fake = Fake::start()
        .on("GET /runs", 200, r#"{"runs":[]}"#)
        .on("POST /tokens", 201, r#"{"token_id":9,"token":"t","role":"member"}"#)
        .on("POST /admin/runners/r-1/drain", 200, DRAINED);
    fake.run(&[
        "runs",
        "list",
        "--app",
        "a",
        "--status",
        "dead",
        "--environment",
        "e",
        "--limit",
        "5",
        "--before",
        "9",
    ])
    .good();
    assert_eq!(
        fake.asked("GET /runs")[0].query.as_deref(),
        Some("limit=5&before=9&status=dead&app=a&environment=e")
    );
    let fake = fake.on("GET /admin/runners", 200, r#"{"runners":[]}"#);
    fake.run(&["runners", "list", "--pool", "ns/p", "--environment", "gpu"]).good();
    assert_eq!(fake.asked("GET /admin/runners")[0].query.as_deref(), Some("pool=ns%2Fp&environment=gpu"));
    fake.run(&["tokens", "create", "--role", "member"]).good();
    assert_eq!(fake.asked("POST /tokens")[0].json(), serde_json::json!({"role": "member"}));
    fake.run(&["runners", "drain", "r-1", "--owner", "ops"]).good();
    assert_eq!(fake.asked("POST /admin/runners/r-1/drain")[0].json(), serde_json::json!({"owner": "ops"}));
}

#[test]
fn completion_scripts_know_the_commands() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let ran =
            crate::support::run(&mut crate::support::program(home.path(), &["completion", shell]), "").good();
        assert!(ran.stdout.contains("attempts") && ran.stdout.contains("minitower"), "{shell}");
    }
}
