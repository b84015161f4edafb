//! `minitower secrets`: a value comes from standard input, and is printed by nothing.

use std::fs;

use minitower_tests::{Artifact, Cli, Runner, Server, shape};
use serde_json::json;

#[test]
fn a_secret_is_set_from_standard_input_listed_and_deleted() {
    let server = Server::start();
    let team = server.bootstrap();
    let home = server.folder().join("home");
    fs::create_dir(&home).unwrap();
    let as_whom = |token: &str| {
        let cli = Cli::new(&home).env("MINITOWER_SERVER_URL", server.http().base());
        cli.env("MINITOWER_API_TOKEN", token)
    };
    let cli = as_whom(&team.token);
    let empty = cli.run(&["secrets", "list"]).expect(0);
    assert!(empty.stderr.contains("There are no secrets in the environment default."), "{}", empty.stderr);
    let set = cli.run_with(&["secrets", "set", "A"], "hunter2\r\n").expect(0);
    assert_eq!(set.stdout, "Set A in the environment default.\n");
    let set =
        cli.run_with(&["--json", "secrets", "set", "KEY", "--environment", "prod"], "a\nb\n\n").expect(0);
    assert_eq!(set.json(), json!({"name": "KEY", "environment": "prod", "status": "set"}));
    let list = cli.run(&["--json", "secrets", "list", "--environment", "prod"]).expect(0);
    assert_eq!(list.json(), team.get("/environments/prod/secrets").send().expect_json(200));
    assert_eq!(list.json()["secrets"][0]["name"], "KEY");
    let list = cli.run(&["secrets", "list"]).expect(0).stdout;
    assert!(list.starts_with("SECRET  UPDATED\nA       "), "{list}");

    // One newline at the end is not part of the value.
    for (environment, names, value) in [("default", "A", "hunter2"), ("prod", "KEY", "a\nb\n")] {
        let app = format!("app-{environment}");
        team.app(&app);
        let towerfile =
            format!("[app]\nname = \"{app}\"\nscript = \"main.py\"\n[app.secrets]\nnames = [\"{names}\"]\n");
        let archive = Artifact::new().file("Towerfile", towerfile).file("main.py", "").gzip();
        team.upload(&app, Some(&archive), &[]).expect(201);
        team.run(&app, json!({"environment": environment}));
        let body = json!({"name": format!("r-{environment}"), "environment": environment});
        let lease = Runner::register_with(&server, &team.registration_token, body).lease();
        assert_eq!(shape::text(&lease.body["secrets"], names), value);
    }

    let deleted = cli.run(&["secrets", "delete", "A"]).expect(0);
    assert_eq!(deleted.stdout, "Deleted A in the environment default.\n");
    cli.run(&["secrets", "delete", "A"]).expect(11);
    cli.run_with(&["secrets", "set", "PATH"], "hunter2").expect(1);
    let short = cli.run_with(&["secrets", "set", "A"], "pin").expect(1);
    assert!(short.stderr.contains("so short a value cannot be hidden"), "{}", short.stderr);
    cli.run_with(&["secrets", "set", "A"], "").expect(1);
    as_whom(&team.member().token).run_with(&["secrets", "set", "A"], "hunter2").expect(10);
    // A value is no argument.
    cli.run_with(&["secrets", "set", "A", "hunter2"], "").expect(1);
    assert!(cli.run(&["secrets", "list"]).expect(0).stdout.is_empty());
}
