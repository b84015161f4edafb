//! Events: one for every scaling decision, and one for every new problem.

use std::time::Duration;

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use minitower_daemon::errors::chain;

use super::plan::Decision;
use super::problems::Problem;

/// The longest that writing an Event may hold up a pool.
const CALL: Duration = Duration::from_secs(2);

/// Writes the Events of one replica of the operator.
#[derive(Clone)]
pub struct Teller {
    client: Client,
    reporter: Reporter,
}

impl Teller {
    /// `identity` is the pod's name.
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter =
            Reporter { controller: "minitower-operator".to_owned(), instance: Some(identity.to_owned()) };
        Self { client, reporter }
    }

    /// The pool gets another size.
    pub async fn decision(&self, pool: &impl Resource<DynamicType = ()>, decision: &Decision) {
        let reason = if decision.to > decision.from { "ScaledUp" } else { "ScaledDown" };
        let note = format!("from {} to {} runners: {}", decision.from, decision.to, decision.reason);
        self.tell(pool, EventType::Normal, reason, "Scale", note).await;
    }

    /// Something a person has to look at.
    pub async fn problem(&self, pool: &impl Resource<DynamicType = ()>, problem: &Problem) {
        self.tell(pool, EventType::Warning, problem.reason, "Reconcile", problem.message.clone()).await;
    }

    /// Something that happened and that a person should know of.
    pub async fn warn(&self, pool: &impl Resource<DynamicType = ()>, reason: &str, note: String) {
        self.tell(pool, EventType::Warning, reason, "Reconcile", note).await;
    }

    /// Anything else that the operator did and that a person may wonder about.
    pub async fn note(&self, pool: &impl Resource<DynamicType = ()>, reason: &str, note: String) {
        self.tell(pool, EventType::Normal, reason, "Reconcile", note).await;
    }

    async fn tell(
        &self,
        pool: &impl Resource<DynamicType = ()>,
        type_: EventType,
        reason: &str,
        action: &str,
        note: String,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note.chars().take(1000).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        // A new recorder each time: one that is kept would count a decision with another text as a repetition of the first one.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        let reference = pool.object_ref(&());
        match tokio::time::timeout(CALL, recorder.publish(&event, &reference)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), reason, "cannot write an Event"),
            Err(_) => tracing::warn!(reason, "cannot write an Event within {CALL:?}"),
        }
    }
}
