//! The quickstart with `curl` and `tar`, as existing users type it.

use std::fs;
use std::process::Command;

use minitower_tests::programs;
use minitower_tests::server::{BOOTSTRAP_TOKEN, Server};
use minitower_tests::{Program, Team, wait};

/// The commands up to the run; the tokens are taken from the answers by their names.
const COMMANDS: &str = r#"
set -euo pipefail
curl -sS -X POST $BASE/api/v1/bootstrap/team \
  -H "Authorization: Bearer $MINITOWER_BOOTSTRAP_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"slug":"acme","name":"Acme"}' > bootstrap.json
export TEAM_TOKEN=$(grep -o '"token":"[^"]*"' bootstrap.json | cut -d'"' -f4)
grep -o '"registration_token":"[^"]*"' bootstrap.json | cut -d'"' -f4 > registration
echo "$TEAM_TOKEN" > team
curl -sS -X POST $BASE/api/v1/apps \
  -H "Authorization: Bearer $TEAM_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"slug":"hello","description":"demo app"}' > app.json
mkdir -p ./artifact
cat > ./artifact/main.py <<'PY'
import os
print("hello from minitower")
print("input:", os.environ.get("MINITOWER_INPUT"))
PY
tar -czf ./hello.tar.gz -C ./artifact .
curl -sS -X POST $BASE/api/v1/apps/hello/versions \
  -H "Authorization: Bearer $TEAM_TOKEN" \
  -F artifact=@./hello.tar.gz \
  -F entrypoint=main.py \
  -F timeout_seconds=60 \
  -F params_schema_json='{"type":"object","properties":{"name":{"type":"string"}}}' > version.json
curl -sS -X POST $BASE/api/v1/apps/hello/runs \
  -H "Authorization: Bearer $TEAM_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"input":{"name":"world"}}' > run.json
grep -o '"run_id":[0-9]*' run.json | cut -d: -f2 > run
grep -o '"status":"[a-z]*"' run.json | cut -d'"' -f4 > status
"#;

#[test]
fn the_quickstart_works_as_it_is_written() {
    let server = Server::start();
    let folder = server.folder().join("quickstart");
    fs::create_dir(&folder).unwrap();
    let output = Command::new("bash")
        .args(["-c", COMMANDS])
        .current_dir(&folder)
        .env("BASE", server.http().base())
        .env("MINITOWER_BOOTSTRAP_TOKEN", BOOTSTRAP_TOKEN)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = |name: &str| fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
    assert_eq!(said("status"), "queued");

    let env: Vec<(String, String)> = [
        ("MINITOWER_SERVER_URL", server.http().base().to_owned()),
        ("MINITOWER_RUNNER_NAME", "runner-1".to_owned()),
        ("MINITOWER_REGISTRATION_TOKEN", said("registration")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let log = server.folder().join("logs/runner.log");
    let _runner = Program::start(programs::RUNNER, &[], &env, &folder, &log);
    let team = Team::new(server.http(), 0, "acme", &said("team"));
    let run: i64 = said("run").parse().unwrap();
    assert_eq!(team.wait_end(run)["status"], "completed", "{}", team.log_text(run));
    assert_eq!(team.stream(run, "stdout"), ["hello from minitower", "input: {\"name\":\"world\"}"]);
    wait::until("the workspace is below the home folder", wait::SOON, || {
        folder.join(".minitower/runner-1").is_dir().then_some(())
    });
}
