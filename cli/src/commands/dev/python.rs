//! Whether there is a Python for jobs. It is better to say so at the start than in the first run.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Longest wait for the answer. A slower Python is assumed to be good.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is missing, if no Python in the comma-separated list can be used.
pub(super) async fn lacking(programs: &str) -> Option<String> {
    let mut reasons = Vec::new();
    for program in programs.split(',').map(str::trim).filter(|program| !program.is_empty()) {
        reasons.push(lacking_in(program).await?);
    }
    Some(reasons.join("; ")).filter(|reasons| !reasons.is_empty())
}

async fn lacking_in(program: &str) -> Option<String> {
    let mut asked = Command::new(program);
    asked
        .args(["-c", "import venv, ensurepip"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match tokio::time::timeout(PATIENCE, asked.kill_on_drop(true).status()).await {
        Ok(Err(error)) => Some(format!("cannot start {program} ({error})")),
        Ok(Ok(status)) if !status.success() => {
            Some(format!("{program} lacks the module venv or ensurepip (Debian: python3-venv)"))
        }
        Ok(Ok(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_python_that_is_missing_or_of_no_use_is_told() {
        assert!(lacking("no-such-python").await.unwrap().contains("no-such-python"));
        assert!(lacking("false").await.unwrap().contains("venv"));
        assert_eq!(lacking("true").await, None);
        assert_eq!(lacking("no-such-python, true").await, None);
        let all = lacking("no-such-python,false").await.unwrap();
        assert!(all.contains("no-such-python") && all.contains("venv"), "{all}");
    }
}
