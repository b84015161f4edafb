//! From start to stop: the probes are served at once, the controller runs while this replica leads.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::select_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use minitower_daemon::signals::Signals;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::crd;
use crate::demand::Hub;
use crate::leader::Candidate;
use crate::metrics::{self, Metrics};
use crate::pool_controller::neighbours::Neighbours;
use crate::pool_controller::run;
use crate::settings::Settings;

/// How often a replica that waits to lead reports that it is alive.
const ALIVE: Duration = Duration::from_secs(5);
/// The longest that the first answer of the API server may take.
const FIRST_CALL: Duration = Duration::from_secs(30);

/// Connects to the cluster of this pod or of the kubeconfig. Returns the given namespace, or else the one named there.
pub async fn connect(namespace: Option<String>) -> anyhow::Result<(Client, String)> {
    let config = kube::Config::infer()
        .await
        .context("found no cluster: there is neither a pod's ServiceAccount nor a kubeconfig")?;
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    Ok((Client::try_from(config).context("the cluster's configuration cannot be used")?, namespace))
}

/// Runs the operator until it is told to stop (`Ok`), or until something ends that must go on.
pub async fn operate(settings: Settings, mut signals: Signals) -> anyhow::Result<()> {
    let (client, namespace) = tokio::select! {
        connected = connect(settings.namespace.clone()) => connected?,
        _ = signals.next() => return Ok(()),
    };
    let metrics = Metrics::new()?;
    metrics.alive();
    let listener = listen(&settings.listen_addr)
        .await
        .with_context(|| format!("MINITOWER_LISTEN_ADDR: cannot listen on {}", settings.listen_addr))?;
    let probes = metrics::serve(listener, metrics.clone());
    // The notice is kept for whoever waits for it next.
    let stopped = Notify::new();
    let signals = async {
        signals.next().await;
        stopped.notify_one();
        std::future::pending::<()>().await;
    };
    let mut candidate =
        Candidate::new(client.clone(), &namespace, &settings.lease, settings.identity.clone());
    let operated = async {
        tokio::select! {
            checked = tokio::time::timeout(FIRST_CALL, check_definition(&client)) => {
                checked.context("the API server did not answer")??;
            }
            () = stopped.notified() => return Ok(()),
        }
        tracing::info!(identity = settings.identity, namespace, "waits to lead");
        let leadership = tokio::select! {
            leadership = candidate.elected() => leadership,
            () = stay_alive(&metrics) => unreachable!("it never ends"),
            () = stopped.notified() => return Ok(()),
        };
        tracing::info!(epoch = leadership.epoch(), "leads");
        metrics.leads(true);
        let hub = Hub::new();
        let neighbours = Neighbours::default();
        let namespaces: Vec<Option<&str>> = if settings.watch_namespaces.is_empty() {
            vec![None]
        } else {
            settings.watch_namespaces.iter().map(|name| Some(name.as_str())).collect()
        };
        let controllers = namespaces.into_iter().map(|namespace| {
            Box::pin(run::run(
                client.clone(),
                namespace,
                settings.clone(),
                leadership.clone(),
                metrics.clone(),
                hub.clone(),
                neighbours.clone(),
            ))
        });
        let outcome = tokio::select! {
            _ = select_all(controllers) => Err(anyhow::anyhow!("the controller has ended")),
            not_leader = candidate.lead(&leadership) => {
                Err(anyhow::Error::from(not_leader).context(format!("lost the Lease {}", settings.lease)))
            }
            () = stopped.notified() => Ok(()),
        };
        // Everything that the controller had begun is dropped by now, so the next leader may begin.
        candidate.resign(&leadership).await;
        outcome
    };
    tokio::select! {
        outcome = operated => outcome,
        outcome = probes => outcome.context("the server of the probes and metrics has ended"),
        () = signals => unreachable!("it never ends"),
    }
}

/// Where a container's last words are read from, unless another file is named.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Leaves the last words of this process where `kubectl describe pod` shows them. The kubelet provides the file; where there is none, nobody
/// would read it.
pub fn leave_last_words(file: &Path, words: &str) -> std::io::Result<()> {
    match std::fs::OpenOptions::new().write(true).truncate(true).open(file) {
        Ok(mut file) => file.write_all(words.as_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// `:port` means all addresses, of both families if the machine has both.
async fn listen(address: &str) -> std::io::Result<TcpListener> {
    match address.strip_prefix(':') {
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        },
        None => TcpListener::bind(address).await,
    }
}

async fn stay_alive(metrics: &Metrics) {
    loop {
        metrics.alive();
        tokio::time::sleep(ALIVE).await;
    }
}

/// Checks that this operator understands the cluster's definition of RunnerPools.
async fn check_definition(client: &Client) -> anyhow::Result<()> {
    let ours = crd::crd();
    let name = ours.metadata.name.clone().unwrap_or_default();
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    match api.get_opt(&name).await {
        Ok(Some(found)) => {
            let served =
                found.spec.versions.iter().any(|version| version.served && version.name == "v1alpha1");
            anyhow::ensure!(
                served,
                "CustomResourceDefinition {name} does not serve v1alpha1, the version of this operator: install the definition of its release (minitower-operator crd)"
            );
            Ok(())
        }
        Ok(None) => {
            anyhow::bail!(
                "CustomResourceDefinition {name} is missing: kubectl apply the output of minitower-operator crd"
            )
        }
        // The operator may not look. Then the watch will tell.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(error).context("cannot ask the API server for the definition of RunnerPools"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_replace_earlier_ones_and_create_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("termination-log");
        leave_last_words(&file, "words").unwrap();
        assert!(!file.exists());
        std::fs::write(&file, "the last words of the process before this one").unwrap();
        leave_last_words(&file, "lost the Lease").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "lost the Lease");
    }
}
