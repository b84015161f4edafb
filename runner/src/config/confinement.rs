//! What jobs may do and take: the part of the configuration that keeps them in their place.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::{Config, ConfigError, filled};
use crate::supervisor::{BadLimit, Limit};

/// Flags and variables about the confinement of jobs.
#[derive(Args, Clone, Default)]
pub struct ConfinementArguments {
    /// Whether jobs must be confined: required (no runs without Landlock and seccomp), best-effort, or off. By default required if
    /// the runner takes every team's runs, best-effort if it takes one team's.
    #[arg(long, env = "MINITOWER_SANDBOX", value_name = "MODE")]
    pub sandbox: Option<String>,
    /// Folders that jobs may write in addition to the run's own, separated by commas.
    #[arg(long, env = "MINITOWER_JOB_WRITABLE", value_name = "FOLDERS")]
    pub job_writable: Option<String>,
    /// Most processes and threads of one job, or unlimited. [default: 4096]
    #[arg(long, env = "MINITOWER_JOB_PROCESSES", value_name = "NUMBER")]
    pub job_processes: Option<String>,
    /// Most files that a process of a job may have open, or unlimited. [default: 65536]
    #[arg(long, env = "MINITOWER_JOB_OPEN_FILES", value_name = "NUMBER")]
    pub job_open_files: Option<String>,
    /// Largest file that a job may write, or unlimited. [default: 64GiB]
    #[arg(long, env = "MINITOWER_JOB_FILE_SIZE", value_name = "SIZE")]
    pub job_file_size: Option<String>,
    /// Largest core dump of a job, or unlimited. [default: 0]
    #[arg(long, env = "MINITOWER_JOB_CORE_SIZE", value_name = "SIZE")]
    pub job_core_size: Option<String>,
    /// Most memory of a job, or unlimited. [default: unlimited]
    #[arg(long, env = "MINITOWER_JOB_MEMORY", value_name = "SIZE")]
    pub job_memory: Option<String>,
}

/// Whether jobs must be confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    /// No runs are taken where Landlock or seccomp is missing.
    Required,
    /// Jobs are confined as far as the machine can.
    BestEffort,
    /// Jobs may do whatever the runner's user may.
    Off,
}

impl SandboxMode {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "required" => Ok(Self::Required),
            "best-effort" => Ok(Self::BestEffort),
            "off" => Ok(Self::Off),
            _ => Err(ConfigError::Invalid {
                variable: "MINITOWER_SANDBOX",
                reason: format!("`{text}` is not a mode; use required, best-effort or off"),
            }),
        }
    }
}

impl ConfinementArguments {
    /// Checks what was given, and puts it into the configuration.
    pub(super) fn check(self, config: &mut Config) -> Result<(), ConfigError> {
        config.sandbox = filled(self.sandbox).as_deref().map(SandboxMode::parse).transpose()?;
        if let Some(list) = filled(self.job_writable) {
            config.job_writable = folders("MINITOWER_JOB_WRITABLE", &list)?;
        }
        for (variable, value, place) in [
            ("MINITOWER_JOB_PROCESSES", self.job_processes, &mut config.limits.processes),
            ("MINITOWER_JOB_OPEN_FILES", self.job_open_files, &mut config.limits.open_files),
            ("MINITOWER_JOB_FILE_SIZE", self.job_file_size, &mut config.limits.file_size),
            ("MINITOWER_JOB_CORE_SIZE", self.job_core_size, &mut config.limits.core_size),
            ("MINITOWER_JOB_MEMORY", self.job_memory, &mut config.limits.memory),
        ] {
            if let Some(value) = filled(value) {
                let limit = value.parse().map_err(|error: BadLimit| ConfigError::Invalid {
                    variable,
                    reason: error.to_string(),
                })?;
                // Without core dumps and files a job can live.
                if limit == Limit::AtMost(0)
                    && !["MINITOWER_JOB_FILE_SIZE", "MINITOWER_JOB_CORE_SIZE"].contains(&variable)
                {
                    let reason = "no job can start with 0; use at least 1, or unlimited".to_owned();
                    return Err(ConfigError::Invalid { variable, reason });
                }
                *place = limit;
            }
        }
        Ok(())
    }
}

/// Folders that exist, by their real paths.
fn folders(variable: &'static str, list: &str) -> Result<Vec<PathBuf>, ConfigError> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let invalid =
                |reason: String| ConfigError::Invalid { variable, reason: format!("{part}: {reason}") };
            let folder = fs::canonicalize(part).map_err(|error| invalid(error.to_string()))?;
            if folder.is_dir() { Ok(folder) } else { Err(invalid("it is not a folder".to_owned())) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_value_is_named_with_what_would_be_a_good_one() {
        let problem = |given: ConfinementArguments| {
            given.check(&mut Config::new("http://127.0.0.1:1", "r", "/data")).unwrap_err().to_string()
        };
        let given = ConfinementArguments::default;
        let text = problem(ConfinementArguments { sandbox: Some("strict".to_owned()), ..given() });
        assert_eq!(text, "MINITOWER_SANDBOX: `strict` is not a mode; use required, best-effort or off");
        let text = problem(ConfinementArguments { job_memory: Some("much".to_owned()), ..given() });
        assert!(text.contains("MINITOWER_JOB_MEMORY: `much`"), "{text}");
        let text = problem(ConfinementArguments { job_processes: Some("0".to_owned()), ..given() });
        assert!(text.contains("MINITOWER_JOB_PROCESSES: no job can start with 0"), "{text}");
        let text = problem(ConfinementArguments { job_writable: Some("/etc/passwd".to_owned()), ..given() });
        assert_eq!(text, "MINITOWER_JOB_WRITABLE: /etc/passwd: it is not a folder");
    }
}
