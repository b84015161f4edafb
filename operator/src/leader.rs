//! Leader election over a `coordination.k8s.io` Lease, as Kubernetes' own components do it (client-go's `leaderelection`), with two more
//! promises: a leader stops by its own clock before another replica can take its Lease, and every leadership has a number, its epoch.
//!
//! A replica leads as long as it can renew the Lease, and its time is counted from the moment it *sent* the last renewal. Another replica
//! takes the Lease when it has seen it unchanged for its whole length on its own clock. Clocks are never compared.
//!
//! A Lease whose holder's pod no longer exists is taken after [`SILENT`]: a release that was uninstalled left it behind, and lost the right to
//! give it up with its roles. Should the holder's process live on, cut off, it can write to no pod and no Deployment: every write carries a
//! version, and an unfence is preceded by such a write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use minitower_daemon::backoff::jittered;
use minitower_daemon::clock::{boottime, wall_clock};
use minitower_daemon::errors::chain;
use tokio::time::timeout;

use crate::calls::{CallError, call_within};

/// The annotation of the Lease that holds the epoch. The Lease's count of transitions would not do: it starts again when the Lease is deleted.
/// An epoch is at least the wall clock's seconds, so that it is above those that were written to pods before.
const EPOCH: &str = "minitower.dev/epoch";
/// The Lease's name, unless another is set.
pub const LEASE: &str = "minitower-operator";
/// How long a Lease lasts if it is not renewed: client-go's default.
const LENGTH: Duration = Duration::from_secs(15);
/// How long before the end of the Lease its leader stops. A renewal is sent about every two seconds, and everything that a leader has begun
/// must have ended by then.
const MARGIN: Duration = Duration::from_secs(2);
/// The pause between two looks at the Lease, as leader or not: client-go's default.
const RETRY: Duration = Duration::from_secs(2);
/// How long a Lease must have been unchanged if its holder's pod is gone. A leader renews about every two seconds.
const SILENT: Duration = Duration::from_secs(3);
/// The pause between two looks at such a Lease.
const SOON: Duration = Duration::from_millis(400);
/// The longest that a call may take.
const CALL: Duration = Duration::from_secs(3);

/// The leadership of this process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Leadership {
    epoch: u64,
    /// When this leadership ends unless it is renewed, by `boottime`, in milliseconds.
    until: Arc<AtomicU64>,
}

/// This process does not lead, or not for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this replica is no longer the leader")]
pub struct NotLeader;

impl Leadership {
    /// The number of this leadership. It is larger than that of every earlier one.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Refuses if the leadership may end before a call that begins now has ended. `call` is the longest that the call may take.
    pub fn check(&self, call: Duration) -> Result<(), NotLeader> {
        let until = Duration::from_millis(self.until.load(Ordering::Acquire));
        if boottime() + call < until { Ok(()) } else { Err(NotLeader) }
    }

    /// How long it still lasts if it is not renewed.
    fn left(&self) -> Duration {
        Duration::from_millis(self.until.load(Ordering::Acquire)).saturating_sub(boottime())
    }

    fn extend(&self, sent: Duration) {
        self.until.store(end_of(sent), Ordering::Release);
    }

    /// A leadership that lasts `length`, for tests of what a leader does.
    #[doc(hidden)]
    pub fn lasting(epoch: u64, length: Duration) -> Self {
        let until = u64::try_from((boottime() + length).as_millis()).unwrap_or(u64::MAX);
        Self { epoch, until: Arc::new(AtomicU64::new(until)) }
    }
}

fn end_of(sent: Duration) -> u64 {
    u64::try_from((sent + LENGTH).saturating_sub(MARGIN).as_millis()).unwrap_or(u64::MAX)
}

/// A candidate for the leadership.
pub struct Candidate {
    api: Api<Lease>,
    pods: Api<Pod>,
    lease: String,
    identity: String,
    /// The version of the Lease that was seen last, and when it was first seen, by the clock of this process.
    seen: Option<(String, Duration)>,
    /// The holder's pod was gone at the last look.
    is_left_behind: bool,
}

impl Candidate {
    /// `identity` must differ between any two processes. The pod's name does.
    pub fn new(client: Client, namespace: &str, lease: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client, namespace),
            lease: lease.to_owned(),
            identity,
            seen: None,
            is_left_behind: false,
        }
    }

    /// Waits until this process leads.
    pub async fn elected(&mut self) -> Leadership {
        loop {
            match self.try_to_lead().await {
                Ok(Some(leadership)) => return leadership,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = %chain(&error), lease = self.lease, "cannot read or write the leader's Lease");
                }
            }
            tokio::time::sleep(if self.is_left_behind { SOON } else { jittered(RETRY) }).await;
        }
    }

    /// Renews the Lease until the leadership has ended. Whatever this process does as the leader must end with it.
    pub async fn lead(&self, leadership: &Leadership) -> NotLeader {
        loop {
            tokio::time::sleep(jittered(RETRY)).await;
            let left = leadership.left();
            if left.is_zero() {
                return NotLeader;
            }
            // A renewal that hangs must not keep the leader from noticing its end.
            match timeout(left, self.renew(leadership)).await.unwrap_or(Err(CallError::Timeout(left))) {
                Ok(true) => {}
                Ok(false) => return NotLeader,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), lease = self.lease, "cannot renew the leader's Lease");
                }
            }
            if leadership.check(Duration::ZERO).is_err() {
                return NotLeader;
            }
        }
    }

    /// Gives the Lease up, so that the next leader need not wait for its end.
    pub async fn resign(&self, leadership: &Leadership) {
        leadership.until.store(0, Ordering::Release);
        let resigned = async {
            let Some(mut lease) = self.get().await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(self.identity.as_str()) {
                // As client-go releases it: no holder, and the shortest length.
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                call(self.api.replace(&self.lease, &PostParams::default(), &lease)).await?;
            }
            Ok::<_, CallError>(())
        };
        if let Err(error) = resigned.await {
            tracing::warn!(error = %chain(&error), lease = self.lease, "cannot give up the leader's Lease");
        }
    }

    /// Whether the pod of this holder is gone. A process that does not run in a pod itself cannot tell, nor can one that may not look.
    async fn is_gone(&self, holder: &str) -> bool {
        let exists = async |name: &str| call(self.pods.get_opt(name)).await.ok().map(|found| found.is_some());
        exists(holder).await == Some(false) && exists(&self.identity).await == Some(true)
    }

    async fn get(&self) -> Result<Option<Lease>, CallError> {
        call(self.api.get_opt(&self.lease)).await
    }

    async fn try_to_lead(&mut self) -> Result<Option<Leadership>, CallError> {
        let sent = boottime();
        let Some(mut lease) = self.get().await? else {
            let epoch = next_epoch(None);
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.lease.clone()),
                    annotations: Some([(EPOCH.to_owned(), epoch.to_string())].into()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(0, wall_clock())),
            };
            return match call(self.api.create(&PostParams::default(), &lease)).await {
                Ok(_) => Ok(Some(led(epoch, sent))),
                Err(error) if error.is_conflict() => Ok(None),
                Err(error) => Err(error),
            };
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if !holder.is_empty() && holder != self.identity {
            let now = boottime();
            let length = spec.lease_duration_seconds.and_then(|n| u64::try_from(n).ok()).unwrap_or(15);
            let since = match &self.seen {
                Some((seen, since)) if *seen == version => *since,
                _ => {
                    self.seen = Some((version, now));
                    now
                }
            };
            self.is_left_behind = now > since && self.is_gone(holder).await;
            let wait = if self.is_left_behind { SILENT } else { Duration::from_secs(length) };
            if now < since + wait {
                return Ok(None);
            }
        }
        let epoch = next_epoch(epoch_of(&lease));
        lease.metadata.annotations.get_or_insert_default().insert(EPOCH.to_owned(), epoch.to_string());
        // The write carries the version that was read: of two that try, one succeeds.
        let transitions = spec.lease_transitions.unwrap_or(0).saturating_add(1);
        lease.spec = Some(self.spec(transitions, wall_clock()));
        let sent = boottime();
        match call(self.api.replace(&self.lease, &PostParams::default(), &lease)).await {
            Ok(_) => Ok(Some(led(epoch, sent))),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether this process still holds the Lease.
    async fn renew(&self, leadership: &Leadership) -> Result<bool, CallError> {
        let Some(mut lease) = self.get().await? else { return Ok(false) };
        let epoch = epoch_of(&lease);
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.identity.as_str()) || epoch != Some(leadership.epoch)
        {
            return Ok(false);
        }
        spec.renew_time = Some(MicroTime(wall_clock()));
        let sent = boottime();
        match call(self.api.replace(&self.lease, &PostParams::default(), &lease)).await {
            Ok(_) => leadership.extend(sent),
            // Somebody wrote in between. The next look shows who.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn spec(&self, transitions: i32, now: Timestamp) -> LeaseSpec {
        LeaseSpec {
            acquire_time: Some(MicroTime(now)),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LENGTH.as_secs()).ok(),
            lease_transitions: Some(transitions),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }
    }
}

fn epoch_of(lease: &Lease) -> Option<u64> {
    lease.metadata.annotations.as_ref()?.get(EPOCH)?.parse().ok()
}

/// Above the former epoch, and above those of Leases that were deleted.
fn next_epoch(former: Option<u64>) -> u64 {
    let clock = u64::try_from(wall_clock().as_second()).unwrap_or(0);
    clock.max(former.map_or(0, |former| former.saturating_add(1)))
}

fn led(epoch: u64, sent: Duration) -> Leadership {
    Leadership { epoch, until: Arc::new(AtomicU64::new(end_of(sent))) }
}

async fn call<T>(of: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    call_within(CALL, of).await
}
