//! The flags of `runs create` that say how a run is retried.

use clap::{Args, ValueEnum};
use minitower_client::wire::runs::{Failure, Retry};

/// How a run is retried.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retries")]
pub(super) struct RetryArgs {
    /// Most attempts at it, whatever ended them; not together with --max-retries
    #[arg(
        long = "retry",
        value_name = "ATTEMPTS",
        conflicts_with = "max_retries",
        value_parser = clap::value_parser!(i64).range(1..)
    )]
    max_attempts: Option<i64>,
    /// What is tried again; default: all of them
    #[arg(long = "retry-on", value_name = "WHAT", value_delimiter = ',', requires = "max_attempts")]
    on: Vec<On>,
    /// The wait before the first retry
    #[arg(
        long = "retry-wait",
        value_name = "MILLISECONDS",
        requires = "max_attempts",
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    initial_ms: Option<i64>,
    /// The factor from one wait to the next
    #[arg(long = "retry-factor", value_name = "NUMBER", requires = "max_attempts")]
    multiplier: Option<f64>,
    /// The longest wait
    #[arg(
        long = "retry-max-wait",
        value_name = "MILLISECONDS",
        requires = "max_attempts",
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    max_ms: Option<i64>,
}

/// What may be tried again.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum On {
    /// A job that failed
    Failed,
    /// A job that took too long
    Timeout,
    /// A run whose runner was lost
    Lost,
}

impl RetryArgs {
    /// The policy, when one was asked for.
    pub(super) fn retry(&self) -> Option<Retry> {
        let on = self.on.iter().map(|on| match on {
            On::Failed => Failure::Failed,
            On::Timeout => Failure::Timeout,
            On::Lost => Failure::Lost,
        });
        Some(Retry {
            max_attempts: self.max_attempts?,
            on: Some(on.collect()).filter(|on: &Vec<_>| !on.is_empty()),
            backoff_initial_ms: self.initial_ms,
            backoff_multiplier: self.multiplier,
            backoff_max_ms: self.max_ms,
        })
    }
}
