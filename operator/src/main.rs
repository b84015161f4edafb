//! The `minitower-operator` program.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use minitower_daemon::errors::chain;
use minitower_daemon::signals::Held;
use minitower_daemon::{logs, signals};
use minitower_operator::pools::Pools;
use minitower_operator::settings::{Arguments, Settings};
use minitower_operator::{crd, lifecycle};

#[derive(Parser)]
#[command(name = "minitower-operator", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    arguments: Arguments,
}

#[allow(clippy::doc_markdown, reason = "the doc comments are the help texts")]
#[derive(Subcommand)]
enum Command {
    /// Print the RunnerPool CRD as YAML.
    Crd {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Apply the RunnerPools in a ConfigMap, and delete those that it no longer contains. The Helm chart's hook calls this.
    Pools {
        /// ConfigMap with the pools as YAML documents under its keys NAME.yaml. It owns the pools: they are deleted with it.
        config_map: String,
        /// Its namespace. [default: that of the pod or the kubeconfig]
        #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
        namespace: Option<String>,
        /// How long the cluster may take, in seconds, to serve a definition that was created a moment ago.
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        patience: u64,
    },
}

/// The exit code if another try would meet the same answer. The chart's hook knows it and does not try again.
const FINAL: u8 = 3;

fn main() -> ExitCode {
    // Before anything else: no signal that comes from now on is lost.
    let held = signals::hold();
    let cli = Cli::parse();
    let last_words =
        cli.arguments.termination_log.clone().unwrap_or_else(|| lifecycle::TERMINATION_LOG.into());
    let outcome = match cli.command {
        Some(Command::Crd { json }) => {
            held.let_go();
            print_definition(json).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Pools { config_map, namespace, patience }) => {
            let patience = Duration::from_secs(patience);
            held.end_program()
                .map_err(anyhow::Error::from)
                .and_then(|()| apply_pools(&config_map, namespace, patience))
        }
        None => operate(cli.arguments, held).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            logs::say(format_args!("minitower-operator: {error:#}"));
            if let Err(unwritten) = lifecycle::leave_last_words(&last_words, &format!("{error:#}")) {
                logs::say(format_args!(
                    "minitower-operator: cannot write {}: {unwritten}",
                    last_words.display()
                ));
            }
            ExitCode::FAILURE
        }
    }
}

fn print_definition(json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string(&crd::crd())? } else { crd::yaml() };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn apply_pools(config_map: &str, namespace: Option<String>, patience: Duration) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcomes = runtime.block_on(async {
        let (client, namespace) = lifecycle::connect(namespace).await?;
        anyhow::Ok(Pools::read(client, &namespace, config_map, patience).await?.apply().await)
    })?;
    let mut failures = Vec::new();
    for outcome in &outcomes {
        match outcome {
            Ok((name, outcome)) => logs::answer(format_args!("runnerpool {name}: {}", outcome.word())),
            Err(error) => {
                logs::say(format_args!("minitower-operator: {}", chain(error)));
                failures.push(error);
            }
        }
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let (failed, all) = (failures.len(), outcomes.len());
    logs::say(format_args!("minitower-operator: {failed} of {all} pools could not be applied or deleted"));
    Ok(if failures.iter().all(|error| error.is_final()) { ExitCode::from(FINAL) } else { ExitCode::FAILURE })
}

fn operate(arguments: Arguments, held: Held) -> anyhow::Result<()> {
    let filter = arguments.log.clone().filter(|log| !log.is_empty()).unwrap_or_else(|| "info".to_owned());
    let filter = logs::filter(&filter).map_err(|rule| anyhow::anyhow!("MINITOWER_LOG: {rule}"))?;
    let log = logs::on_stderr(filter);
    match arguments.log_format.as_deref() {
        None | Some("" | "json") => {
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
        Some("text") => log.init(),
        Some(other) => anyhow::bail!("MINITOWER_LOG_FORMAT: {other:?} is neither json nor text"),
    }
    // An environment variable only: every user of the machine could see a flag.
    let token = std::env::var("MINITOWER_OPERATOR_TOKEN").ok();
    let settings = Settings::from_arguments(arguments, token)?;
    let signals = held.listen()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(lifecycle::operate(settings, signals))
}
