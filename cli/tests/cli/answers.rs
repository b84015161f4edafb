//! Commands that ask once and print: tables and details for people, the server's own JSON with `--json`.

use minitower_client::wire::admin::Ended;
use minitower_client::wire::runner::{LeaseRequest, Register};
use minitower_client::wire::runs::{CreateRun, RunStatus};
use minitower_test_plane::{Answer, REGISTRATION_TOKEN};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Bed, program, run, shown};

/// Runs a command twice; its text must begin so, and its JSON must be the server's.
#[track_caller]
fn prints(bed: &Bed, line: &str, server: &Value, text: &str) {
    let ran = bed.words(line).good();
    assert!(ran.stdout.starts_with(text), "{line}: {}\nand not:\n{text}", ran.stdout);
    assert_eq!(bed.words(&format!("{line} --json")).good().json(), *server, "{line}");
}

#[test]
fn the_token_travels_and_its_team_is_shown() {
    let bed = Bed::start();
    let me = bed.team.get("/me");
    let text =
        format!("team      acme (id {})\nrole      admin\ntoken id  {}\n", me["team_id"], me["token_id"]);
    prints(&bed, "me", &me, &text);
    assert_eq!(bed.plane.requests("GET /me")[0].token(), Some(bed.team.token.as_str()));
}

#[test]
fn apps_and_versions_are_text_for_people_and_the_servers_json_for_programs() {
    let bed = Bed::start();
    let made = bed.run(&["apps", "create", "hello", "--description", "says hello"]).good();
    assert!(made.stdout.starts_with("app          hello\n"), "{}", made.stdout);
    bed.team.version("hello", Bed::project());
    let app = bed.team.get("/apps/hello");
    let (created, updated) = (shown(&app["created_at"]), shown(&app["updated_at"]));
    prints(
        &bed,
        "apps list",
        &json!({"apps": [app]}),
        &format!(
            "APP    DISABLED  UPDATED               DESCRIPTION\nhello  no        {updated}  says hello\n"
        ),
    );
    prints(
        &bed,
        "apps get hello",
        &app,
        &format!(
            "app          hello\nid           {}\ndescription  says hello\ncreated      {created}\n\
             updated      {updated}\n",
            app["app_id"]
        ),
    );
    let version = bed.team.get("/apps/hello/versions/1");
    let (created, sha) = (shown(&version["created_at"]), version["artifact_sha256"].as_str().unwrap());
    prints(
        &bed,
        "versions list hello",
        &json!({"versions": [version]}),
        &format!(
            "VERSION  ENTRYPOINT  SHA256        CREATED\n1        main.py     {}  {created}\n",
            &sha[..12]
        ),
    );
    prints(
        &bed,
        "versions get 1 --app hello",
        &version,
        &format!(
            "app         hello\nversion     1\nid          {}\nentrypoint  main.py\n",
            version["version_id"]
        ),
    );
    let ran = bed.words("apps create other --json").good();
    assert_eq!(ran.json(), bed.team.get("/apps/other"));
}

#[test]
fn what_is_deleted_is_gone_and_a_refusal_names_the_flag() {
    let bed = Bed::with_app();
    let run = bed.team.run_with("hello", CreateRun::default()).run_id;
    for line in [
        "apps delete hello".to_owned(),
        "versions delete 1 --app hello".to_owned(),
        format!("runs delete {run}"),
    ] {
        let refused = bed.words(&line);
        assert_eq!(refused.code, 12, "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains("add --force to cancel"), "{line}: {}", refused.stderr);
    }
    let ran = bed.words(&format!("runs delete {run} --force --json")).good();
    assert_eq!(ran.json(), json!({"deleted": [run]}));
    assert_eq!(bed.words(&format!("runs get {run}")).code, 11);
    let ran = bed.words("versions delete 1 --app hello --force").good();
    assert!(ran.stderr.contains("Version 1 of hello is deleted."), "{}", ran.stderr);
    assert_eq!(bed.words("versions delete 1 --app hello").code, 11);
    bed.words("apps delete hello --force").good();
    assert_eq!(bed.words("apps get hello").code, 11);
}

/// A run that was lost by `r-1`, and failed on `r-2`.
fn failed_run(bed: &Bed) -> i64 {
    let input = Some(json!({"name": "x"}));
    let run = CreateRun { input, max_retries: Some(1), ..CreateRun::default() };
    let run = bed.team.run_with("hello", run).run_id;
    let process = LeaseRequest { instance_id: Some("i".to_owned()), ..LeaseRequest::default() };
    bed.plane.runner("r-1").poll(process).unwrap();
    let operator = bed.plane.operator();
    bed.plane.run(async move {
        let ended = Ended { instance_id: Some("i".to_owned()), reason: Some("OOMKilled".to_owned()) };
        operator.runner_ended("r-1", &ended).await.unwrap();
    });
    let second = bed.plane.runner("r-2");
    let lease = second.lease();
    second.start(&lease);
    second.exit(&lease, 3);
    run
}

#[test]
fn runs_and_attempts_are_text_for_people_and_the_servers_json_for_programs() {
    let bed = Bed::with_app();
    let id = failed_run(&bed);
    let run = bed.team.get(&format!("/runs/{id}"));
    let at = |name: &str| shown(&run[name]);
    prints(
        &bed,
        "runs list",
        &json!({"runs": [run]}),
        &format!(
            "RUN  APP    NO  STATUS  VER  ENV      QUEUED                TOOK  RUNNER\n\
             {id}    hello  1   failed  1    default  {}  0.",
            at("queued_at")
        ),
    );
    prints(
        &bed,
        &format!("runs get {id}"),
        &run,
        &format!(
            "run          {id} (hello #1)\nstatus       failed\nversion      1\nenvironment  default\nrunner       r-2\n\
             input        {{\"name\":\"x\"}}\nretries      1 of 1\nqueued       {}\nstarted      {}\nfinished     {}\n\
             took         0.",
            at("queued_at"),
            at("started_at"),
            at("finished_at")
        ),
    );
    let text = bed.words(&format!("runs get {id}")).stdout;
    assert!(text.contains("\nexit code    3\nerror        "), "{text}");
    let attempts = bed.team.get(&format!("/runs/{id}/attempts"));
    let row = |index: usize| attempts["attempts"][index].clone();
    let ran = bed.words(&format!("runs attempts {id}")).good();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(
        lines[0].starts_with("ATTEMPT  STATUS   RUNNER  LEASED                TOOK  EXIT  ERROR"),
        "{ran:?}"
    );
    let lost = format!("1        expired  r-1     {}  -     -     ", shown(&row(0)["leased_at"]));
    assert!(lines[1].starts_with(&lost) && lines[1].contains("OOMKilled"), "{ran:?}");
    let failed = format!("2        failed   r-2     {}  0.", shown(&row(1)["leased_at"]));
    assert!(lines[2].starts_with(&failed) && lines[2].contains("s  3     "), "{ran:?}");
    assert_eq!(bed.words(&format!("runs attempts {id} --json")).good().json(), attempts);
}

#[test]
fn a_cancel_says_what_became_of_the_run() {
    let bed = Bed::with_app();
    let (first, second) = (bed.team.run("hello").run_id, bed.team.run("hello").run_id);
    let runner = bed.plane.runner("r");
    let lease = runner.lease();
    assert_eq!(lease.run_id, first);
    runner.start(&lease);
    let cancel = |run: i64| bed.words(&format!("runs cancel {run}")).good().stdout;
    assert_eq!(cancel(second), format!("Run {second} is cancelled.\n"));
    let said = cancel(first);
    assert!(said.starts_with(&format!("Run {first} is being cancelled")), "{said}");
    let third = bed.team.run("hello").run_id;
    let other = bed.plane.runner("r-2");
    other.exit(&other.lease(), 0);
    assert_eq!(bed.team.read(third).status, RunStatus::Completed);
    assert_eq!(cancel(third), format!("Run {third} has already ended: completed.\n"));
    let ran = bed.words(&format!("runs cancel {third} --json")).good();
    assert_eq!(ran.json(), bed.team.get(&format!("/runs/{third}")));
}

#[test]
fn environments_are_text_for_people_and_the_servers_json_for_programs() {
    let bed = Bed::start();
    let made = bed.words("environments create staging").good().stdout;
    let all = bed.team.get("/environments");
    let created = shown(&all["environments"][0]["created_at"]);
    assert_eq!(made, format!("environment  staging\ncreated      {created}\n"));
    prints(&bed, "environments list", &all, &format!("ENVIRONMENT  CREATED\nstaging      {created}\n"));
    let more = bed.words("environments create gpu --json").good().json();
    assert_eq!(more, bed.team.get("/environments")["environments"][0]);
}

#[test]
fn limits_are_a_table_for_people_and_the_servers_json_for_programs() {
    let bed = Bed::start();
    bed.words("limits set apps=7 log_bytes_per_run=1048576").good();
    let told = bed.words("limits").good().stdout;
    let line = |name: &str| {
        let line = told.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("NAME"), "NAME USED LIMIT ALLOWED");
    assert_eq!(line("apps"), "apps 0 7 1000");
    assert_eq!(line("log_bytes"), "log_bytes_per_run - 1.00 MiB 128.00 MiB");
    assert_eq!(told.lines().count(), 16, "{told}");
    let json = bed.words("limits set apps= --json").good().json();
    assert_eq!((&json["apps"]["limit"], &json["apps"]["used"]), (&1000.into(), &0.into()));
}

#[test]
fn retention_is_text_for_people_and_the_servers_json_for_programs() {
    let bed = Bed::start();
    let all = bed.team.get("/retention");
    prints(&bed, "retention", &all, "kept for       90 days\nkept at least  the newest 100\n");
    let set = bed.words("retention set --keep 720h --keep-last 5").good().stdout;
    assert_eq!(
        set,
        "kept for       30 days (the team's own)\nkept at least  the newest 5 (the team's own)\n"
    );
    let json = bed.words("retention set --keep none --json").good().json();
    assert_eq!(json, bed.team.get("/retention"));
    assert_eq!((&json["keep_seconds"], &json["keep_last"]), (&7_776_000.into(), &5.into()));
    bed.words("apps create report").good();
    let told = bed.words("apps update report --keep forever --keep-last 7").good().stdout;
    assert!(told.contains("kept for       for ever\nkept at least  the newest 7\n"), "{told}");
    let cleared = bed.words("apps update report --keep none --json").good().json();
    assert_eq!(cleared["retention"], serde_json::json!({"keep_last": 7}));
    let refused = bed.words("apps update report --keep 1m");
    assert!(refused.stderr.contains("--keep must be between 3600 and"), "{refused:?}");
}

#[test]
fn the_audit_log_is_a_table_and_exported_whole_as_json_lines() {
    let bed = Bed::start();
    bed.words("apps create report").good();
    bed.words("environments create staging").good();
    let told = bed.words("audit --limit 2").good().stdout;
    let lines: Vec<_> = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["ID", "TIME", "ACTOR", "ADDRESS", "ACTION", "OBJECT", "CHANGE"]);
    assert!(lines[1].ends_with(&["environment.create", "environments/staging", "name=staging"]), "{told}");
    assert!(lines[2].ends_with(&["app.create", "apps/report", "disabled=false"]), "{told}");
    assert_eq!(lines.len(), 3, "{told}");
    let exported = bed.words("audit export").good().stdout;
    let exported: Vec<serde_json::Value> =
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = bed.team.get("/audit")["events"].clone();
    assert_eq!(serde_json::Value::from(exported), all);
    let older = bed.words(&format!("audit --before {} --json", all[0]["id"])).good().json();
    assert_eq!(older["events"][0], all[1]);
}

#[test]
fn runners_are_listed_by_pool_with_what_they_do() {
    let bed = Bed::with_app();
    let register = |name: &str, pool: Option<&str>, environment: Option<&str>| Register {
        name: name.to_owned(),
        pool: pool.map(str::to_owned),
        environment: environment.map(str::to_owned),
        ..Register::default()
    };
    let (own, platform) = (bed.team.registration_token.as_str(), REGISTRATION_TOKEN);
    let mine = bed.plane.runner_with(own, register("r-1", Some("ns/big"), None));
    bed.plane.runner_with(own, register("r-2", None, Some("gpu")));
    let others = bed.plane.runner_with(platform, register("r-3", Some("ns/a"), None));
    let idle = bed.plane.runner_with(own, register("r-4", Some("ns/big"), None));
    // Online is who polls.
    assert!(idle.poll(LeaseRequest::default()).is_none());
    let (first, second) = (bed.team.run("hello").run_id, bed.team.run("hello").run_id);
    for (runner, run) in [(&others, first), (&mine, second)] {
        let lease = runner.lease();
        assert_eq!(lease.run_id, run);
        runner.start(&lease);
    }
    let drained = bed.words("runners drain r-4").good().stdout;
    assert_eq!(drained, "runner    r-4\ndraining  yes\nbusy      no\n");
    bed.words("runners drain r-2").good();

    let all = bed.team.get("/admin/runners");
    assert_eq!(bed.words("runners list --json").good().json(), all);
    let ran = bed.words("runners list").good();
    let lines: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let order: Vec<_> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(order, ["NAME", "r-2", "r-3", "r-1", "r-4"], "no pool first, then by pool and name: {ran:?}");
    let runner = |name: &str| {
        all["runners"].as_array().unwrap().iter().find(|runner| runner["name"] == name).unwrap().clone()
    };
    let row = |name: &str| ran.stdout.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let since = shown(&runner("r-1")["attempt_started_at"]);
    assert!(row("r-1").contains(&format!("online    busy since {since}  {second}")), "{ran:?}");
    assert!(
        row("r-3").contains("ns/a    default      online    busy "),
        "whose and since when is not told: {ran:?}"
    );
    assert!(!row("r-3").contains(" since "), "{ran:?}");
    let since = shown(&runner("r-4")["idle_since"]);
    assert!(row("r-4").contains(&format!("draining  idle since {since}")), "{ran:?}");
    assert!(row("r-2").contains("gpu"), "{ran:?}");

    // Nobody waits there for work.
    bed.plane.once(
        "GET /admin/runners",
        Answer::change_json(|body| body["runners"][1]["status"] = json!("offline")),
    );
    let offline = bed.words("runners list").good().stdout;
    let row = offline.lines().find(|line| line.starts_with("r-2")).unwrap();
    assert!(row.contains("offline, draining  -  "), "{offline}");

    let lifted = bed.words("runners undrain r-4").good().stdout;
    assert_eq!(lifted, "runner    r-4\ndraining  no\nbusy      no\n");
}

#[test]
fn a_token_stands_alone_on_standard_output_and_works() {
    let bed = Bed::start();
    let ran = bed.words("tokens create --name ci --role member").good();
    let token = ran.stdout.trim_end();
    assert!(ran.stderr.contains("(member)") && !ran.stderr.contains(token), "{ran:?}");
    let me = run(bed.cli(&["me", "--json"]).env("MINITOWER_API_TOKEN", token), "").good().json();
    assert_eq!((&me["team_slug"], &me["role"]), (&json!("acme"), &json!("member")));
    let made = bed.words("tokens create --role member --json").good().json();
    assert!(made["token"].is_string() && made["role"] == "member", "{made}");
}

#[rstest]
#[case("apps list", "minitower deploy")]
#[case("runs list", "minitower run APP")]
#[case("runners list", "minitower-runner")]
#[case("runners list --pool p", "no such runners")]
fn an_empty_list_says_what_to_do_beside_the_answer(#[case] line: &str, #[case] hint: &str) {
    let bed = Bed::start();
    let ran = bed.words(line).good();
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains(hint), "{}", ran.stderr);
}

#[test]
fn a_run_without_attempts_waits_for_a_runner() {
    let bed = Bed::with_app();
    let ran = bed.words(&format!("runs attempts {}", bed.team.run("hello").run_id)).good();
    assert!(ran.stdout.is_empty() && ran.stderr.contains("waiting for a runner"), "{ran:?}");
}

#[test]
fn a_list_is_printed_with_all_its_pages() {
    let bed = Bed::start();
    for app in ["one", "two", "zoo"] {
        bed.team.app(app);
    }
    // Pages of two: the server's own are longer.
    let two = Answer::change_json(|body| body["apps"].as_array_mut().unwrap().truncate(2));
    bed.plane.always("GET /apps", two);
    let ran = bed.words("apps list").good();
    let names: Vec<_> = ran.stdout.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["one", "two", "zoo"]);
    assert!(bed.plane.count("GET /apps") > 1);
    assert_eq!(bed.words("apps list --json").good().json(), bed.team.get("/apps"));
}

#[test]
fn flags_of_lists_travel_as_queries_and_bodies() {
    let bed = Bed::with_app();
    bed.words("runs list --app hello --status dead --environment e --limit 5 --before 9").good();
    let query = |call: &str| bed.plane.requests(call)[0].query.clone();
    let expected = "limit=5&before=9&status=dead&app=hello&environment=e";
    assert_eq!(query("GET /runs").as_deref(), Some(expected));
    bed.words("runners list --pool ns/p --environment gpu").good();
    assert_eq!(query("GET /admin/runners").as_deref(), Some("pool=ns%2Fp&environment=gpu"));
    bed.words("tokens create --role member").good();
    assert_eq!(bed.plane.requests("POST /tokens")[0].json(), json!({"role": "member"}));
    bed.plane.runner_with(
        &bed.team.registration_token,
        Register { name: "r-1".to_owned(), ..Register::default() },
    );
    bed.words("runners drain r-1 --owner ops").good();
    assert_eq!(bed.plane.requests("POST /admin/runners/r-1/drain")[0].json(), json!({"owner": "ops"}));
}

#[test]
fn times_are_in_the_zone_of_the_machine_unless_utc_is_asked_for() {
    let bed = Bed::start();
    bed.team.app("hello");
    let created = bed.team.get("/apps/hello")["created_at"].clone();
    let line = |words: &[&str]| {
        let ran = run(bed.cli(words).env("TZ", "<+0545>-5:45"), "").good().stdout;
        ran.lines().find(|line| line.starts_with("created")).unwrap().to_owned()
    };
    assert!(line(&["apps", "get", "hello"]).ends_with("+05:45"));
    assert!(line(&["apps", "get", "hello", "--utc"]).ends_with(&shown(&created)));
    let json = run(bed.cli(&["apps", "get", "hello", "--json"]).env("TZ", "<+0545>-5:45"), "").good().json();
    assert_eq!(json["created_at"], created, "programs get the server's own");
}

/// Completes a line in bash with the script that the program prints, and returns what bash would offer.
fn offered(bed: &Bed, words: &[&str]) -> Vec<String> {
    let folder = bed.home.path().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let link = folder.join("minitower");
    if !link.exists() {
        std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin!("minitower"), link).unwrap();
    }
    let script = r#"PATH="$HOME/bin:$PATH"; source <(minitower completion bash)
        COMP_WORDS=(minitower "$@"); COMP_CWORD=$#; _clap_complete_minitower minitower "${!#}" ""
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", script, "bash"]).args(words).env_clear().env("HOME", bed.home.path());
    bash.env("PATH", std::env::var_os("PATH").unwrap()).current_dir(bed.home.path());
    bash.env("MINITOWER_SERVER_URL", bed.plane.url()).env("MINITOWER_API_TOKEN", &bed.team.token);
    let ran = run(&mut bash, "").good();
    assert_eq!(ran.stderr, "", "{words:?}");
    ran.stdout.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn a_shell_is_offered_apps_runs_and_environments() {
    let bed = Bed::with_app();
    bed.team.app("other");
    bed.words("environments create staging").good();
    let id = bed.team.run("hello").run_id.to_string();
    assert_eq!(offered(&bed, &["run", "h"]), ["hello"]);
    assert_eq!(offered(&bed, &["runs", "list", "--app", ""]), ["hello", "other"]);
    assert_eq!(offered(&bed, &["logs", ""]).first(), Some(&id));
    assert_eq!(offered(&bed, &["runs", "cancel", ""]).first(), Some(&id));
    assert_eq!(offered(&bed, &["run", "hello", "--environment", "s"]), ["staging"]);
    assert_eq!(offered(&bed, &["runs", "li"]), ["list"]);
}

#[test]
fn a_server_that_is_away_or_slow_is_passed_over_in_silence() {
    let bed = Bed::with_app();
    bed.plane.always("GET /apps", Answer::hang());
    let begun = std::time::Instant::now();
    assert!(offered(&bed, &["run", "h"]).is_empty());
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    bed.plane.lift_all();
    bed.plane.always("GET /apps", Answer::refusal(401, "unauthorized", "no"));
    assert!(offered(&bed, &["run", "h"]).is_empty());
}

#[test]
fn completion_scripts_are_for_every_shell() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&mut program(home.path(), &["completion", shell]), "").good();
        assert!(ran.stdout.contains("MINITOWER_COMPLETE") && ran.stdout.contains("minitower"), "{shell}");
    }
}
