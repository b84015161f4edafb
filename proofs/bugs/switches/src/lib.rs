//! The deliberate bugs: a check that does not notice the bug it is there for is worthless.
//!
//! The product's code knows nothing of them. The patches beside this crate, `proofs/bugs/*.patch`, put each bug into a copy of the source
//! tree, behind [`planted!`]. `make planted` builds that copy once; the environment variable [`VARIABLE`] then chooses one bug for a
//! process, or none. `proofs/planted` runs the check that has to catch each of them.

/// Names the bug that a program of the patched tree is to have.
pub const VARIABLE: &str = "MINITOWER_PLANTED_BUG";

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal,)+) => {
        /// A deliberate bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// Its value of [`VARIABLE`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }
        }
    };
}

bugs! {
    /// A heartbeat after the lease has run out prolongs it all the same.
    HeartbeatAfterExpiry = "heartbeat-after-expiry",
    /// A loss is not counted: the run starts again and again.
    RetryLosesCount = "retry-loses-count",
    /// A job that failed starts again although nobody asked for that.
    FailureRetriedUnasked = "failure-retried-unasked",
    /// A run that is to be retried does not wait first.
    BackoffIgnored = "backoff-ignored",
    /// Whoever ends backoffs waits to be told of them; of those from before its start nobody tells.
    BackoffsOfBeforeForgotten = "backoffs-of-before-forgotten",
    /// A run that is cancelled while it waits for its retry is left to wait.
    CancelMissesBackoff = "cancel-misses-backoff",
    /// A new run takes a place under its key although others wait for one.
    NewRunOvertakesKey = "new-run-overtakes-key",
    /// A claim trusts the queue: it leases runs of disabled apps, and more runs of a key than may be active.
    ClaimPassesGates = "claim-passes-gates",
    /// A run that has failed counts as completed for those that come after it.
    FailureCompletes = "failure-completes",
    /// Retention removes a run that another one waits for.
    RetentionForgetsWhoWaits = "retention-forgets-who-waits",
    /// What a team says about retention overrules what its app says.
    TeamOverrulesApp = "team-overrules-app",
    /// Lines that lie in a frame are shown once more while they are still in the database.
    LinesOfFramesShownTwice = "lines-of-frames-shown-twice",
    /// A segment of which less than half is needed goes without what is needed.
    NeededHalfOfSegmentGoes = "needed-half-of-segment-goes",
    /// A run that is given back goes to the end of the queue.
    ReleaseTakesNewPlace = "release-takes-new-place",
    /// A result counts although its lease has run out and the run was queued again.
    ResultOfStaleAttempt = "result-of-stale-attempt",
    /// A run that is being cancelled is queued again when its runner is lost.
    CancelLostOnExpiry = "cancel-lost-on-expiry",
    /// A report of any process's end ends the attempt that the runner holds now.
    EndOfAnyProcess = "end-of-any-process",
    /// A successor process ends whatever its runner holds, not only what the process it names held.
    SupersedesWhateverIsActive = "supersedes-whatever-is-active",
    /// A repeated poll finds its lease again although the run was started, and voids its token.
    LeaseRepeatedAfterStart = "lease-repeated-after-start",
    /// A repeated poll that started its run finds it again although the run is under way, and voids its token.
    LeaseRepeatedWhileRunning = "lease-repeated-while-running",
    /// A sign-off ends a run that is under way.
    SignOffEndsWhatRuns = "sign-off-ends-what-runs",
    /// A sign-off leaves alone what the poll that was given up has started.
    SignOffForgetsUnheard = "sign-off-forgets-unheard",
    /// A start that nobody heard of is told as the run's first.
    UnheardStartCounts = "unheard-start-counts",
    /// A poll that names a former process gets work through a fence.
    FenceMissesSuccessor = "fence-misses-successor",
    /// A lease that was never started does not run out.
    UnstartedLeaseNeverExpires = "unstarted-lease-never-expires",
    /// A restart leaves every lease as it was.
    RestartProlongsNothing = "restart-prolongs-nothing",
    /// Tokens are the same when they begin in the same way.
    TokenByPrefix = "token-by-prefix",
    /// Of runs of the same priority and age the newest comes first.
    QueueOrderAtEqualTimes = "queue-order-at-equal-times",
    /// A team's runner gets the runs of every team.
    ClaimIgnoresTeam = "claim-ignores-team",
    /// Teams take turns by the order of their runs alone.
    TurnsIgnoreActiveRuns = "turns-ignore-active-runs",
    /// Of teams with as few active runs the one whose run is ahead comes first, whoever had the last lease.
    TurnsIgnoreLastLeases = "turns-ignore-last-leases",
    /// A run that becomes ready between a poll's look and its wait wakes nobody.
    LostWakeUp = "lost-wake-up",
    /// Whoever was woken for one team's run and takes another's leaves the first to nobody.
    WakeUpSpentOnAnotherTeam = "wake-up-spent-on-another-team",
    /// A poll that a fence keeps from taking the run it was woken for wakes nobody else.
    WakeUpEndsAtAFence = "wake-up-ends-at-a-fence",
    /// A fence holds only for polls that come after it.
    FenceMissesWaitingPoll = "fence-misses-waiting-poll",
    /// Of a batch of log lines that begins with known ones the others are lost.
    LogBatchDroppedOnRetry = "log-batch-dropped-on-retry",
    /// The counts go on counting a cancelled run as queued.
    CountsMissCancelledRuns = "counts-miss-cancelled-runs",
    /// A poll goes on waiting under a token that was replaced, and is served.
    ReplacedTokenWaits = "replaced-token-waits",
    /// A runner token that was replaced is remembered as a valid one.
    ReplacedTokenRemembered = "replaced-token-remembered",
    /// A registration token that bootstrap replaced still registers runners.
    RevokedRegistrationTokenRegisters = "revoked-registration-token-registers",
    /// A pool's registration token registers any runner.
    PoolTokenOfAnyPool = "pool-token-of-any-pool",
    /// A pool's former registration token holds for ever.
    FormerPoolTokenHolds = "former-pool-token-holds",
    /// What a new version says is noticed only after a restart.
    NewVersionUnnoticed = "new-version-unnoticed",
    /// A restart prolongs only the leases of runs that have not started.
    RestartProlongsNoRunningLease = "restart-prolongs-no-running-lease",
    /// A run is found by its id alone, whichever team it belongs to.
    RunOfAnyTeam = "run-of-any-team",
    /// A team's admin deletes every team's registration tokens.
    RegistrationTokenOfAnyTeam = "registration-token-of-any-team",
    /// What is remembered of one team's app is used for another team's of the same name.
    RememberedForAnyTeam = "remembered-for-any-team",
    /// A batch is answered and then committed.
    AnswerBeforeCommit = "answer-before-commit",
    /// The reaper waits to be told of leases; of those from before its start nobody tells.
    ReaperSleepsOn = "reaper-sleeps-on",
    /// At a job's end its own process group is killed, and nothing else that it has started.
    GrandchildMissed = "grandchild-missed",
    /// A job's supervisor relies on the runner to stop it in time.
    DeadlineIgnored = "deadline-ignored",
    /// A restarted runner leaves alone what runs of its former jobs.
    LeftoversIgnored = "leftovers-ignored",
    /// A restarted runner does not name the process that it follows.
    SupersedesForgotten = "supersedes-forgotten",
    /// A batch of log lines that could not be sent is forgotten.
    UnsentLogForgotten = "unsent-log-forgotten",
    /// A result that could not be sent is not sent again.
    ResultGivenUp = "result-given-up",
    /// A pool is sized by the runs that wait alone, and shrinks to nothing while all its runners work.
    BusyRunnersForgotten = "busy-runners-forgotten",
    /// What the control plane said a while ago is taken for what it says now.
    StaleDemandShrinks = "stale-demand-shrinks",
    /// Pods of a former template go as soon as new ones are there, whether these serve or not.
    NewTemplateEmptiesPool = "new-template-empties-pool",
    /// Each revision of a pool may have as many pods as the pool.
    MaximumOfEachRevision = "maximum-of-each-revision",
    /// A control plane that says nothing is taken to say that nothing waits.
    SilenceReadAsZero = "silence-read-as-zero",
    /// A pod is marked whatever its runner answers when it is fenced.
    BusyPodMarked = "busy-pod-marked",
    /// A pool shrinks by the pods that were to be marked, not by those that are.
    ShrinkBeyondMarks = "shrink-beyond-marks",
    /// A pod that is to stay is unfenced before its mark is gone.
    UnfencedWhileMarked = "unfenced-while-marked",
    /// A leader writes on when its Lease may be another's.
    LeaderWithoutClock = "leader-without-clock",
    /// A former leader takes back what a later one has fenced.
    EpochIgnored = "epoch-ignored",
    /// A pod's name makes somebody else's runner the pool's.
    RunnerOfAnyPool = "runner-of-any-pool",
    /// Every namespace's pools may use the operator's token, for everybody's runs.
    PoolOfAnyNamespace = "pool-of-any-namespace",
    /// A run whose environment lacks a secret gets the one of the team's default environment.
    SecretOfAnyEnvironment = "secret-of-any-environment",
    /// A secret that a job prints in Base64 stands in its log.
    Base64Unmasked = "base64-unmasked",
    /// The audit log holds the encrypted value of a secret.
    SecretInAudit = "secret-in-audit",
    /// Of what was deleted the audit log holds nothing.
    DeletionUnrecorded = "deletion-unrecorded",
    /// What is to be told of a run's end is written right after the end, in a transaction of its own.
    DeliveryAfterCommit = "delivery-after-commit",
    /// A delivery that is sent again has another id.
    DeliveryRenamed = "delivery-renamed",
    /// An address in a URL is checked when the URL is named, and not when it is called.
    AddressUncheckedAtSend = "address-unchecked-at-send",
    /// A name in a URL is looked up and checked when the URL is named, and only looked up when it is called.
    NameUncheckedAtSend = "name-unchecked-at-send",
    /// An ID token of another sign-in is taken.
    NonceUnchecked = "nonce-unchecked",
    /// An ID token that has expired is taken.
    ExpiredIdToken = "expired-id-token",
    /// A sign-in that one browser began is ended by any other.
    StateOfAnyBrowser = "state-of-any-browser",
    /// Whoever is in a group of one team is let into every team.
    GroupsOfAnyTeam = "groups-of-any-team",
    /// A backup copies the objects that the database names before its snapshot, and not those that the snapshot names.
    ObjectsBeforeSnapshot = "objects-before-snapshot",
    /// A backup that lacks an object is said to be whole.
    MissingObjectVerified = "missing-object-verified",
    /// An idempotency key answers with its run, whatever is asked for.
    KeyOfAnyRequest = "key-of-any-request",
    /// An idempotency key answers with another team's run.
    KeyOfAnyTeam = "key-of-any-team",
    /// Whether a request was made before is asked only before its transaction.
    KeyCheckedBefore = "key-checked-before",
    /// A cancel of many runs of one environment cancels those of all.
    CancelOfAnyEnvironment = "cancel-of-any-environment",
    /// A cancel of many runs cancels what has moved to another status since it was found.
    CancelOfAnyStatus = "cancel-of-any-status",
    /// A stream that goes on behind an event leaves out the line behind it.
    StreamSkipsALine = "stream-skips-a-line",
    /// A stream reads what there is, and then begins to listen.
    ListensAfterReading = "listens-after-reading",
    /// A run that is ready again after it was active keeps its place from those that wait elsewhere.
    PlaceLeftUnnoticed = "place-left-unnoticed",
    /// Runs that have waited since before the server's restart are not looked at.
    WaitsOfBeforeForgotten = "waits-of-before-forgotten",
    /// Of a ready run whose app is disabled it is said that a runner takes it soon.
    ExplainForgetsDisabled = "explain-forgets-disabled",
}

/// What a process that is started with an empty environment needs so that it has the same bug.
#[must_use]
pub fn inherited() -> Option<(&'static str, std::ffi::OsString)> {
    std::env::var_os(VARIABLE).map(|bug| (VARIABLE, bug))
}

/// Whether this process is to have the bug: `planted!(HeartbeatAfterExpiry)`.
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted($crate::Bug::$bug)
    };
}

/// Whether this process is to have the bug. A release build does not have this function, so that none can be made of the patched tree.
///
/// # Panics
/// If [`VARIABLE`] names a bug that does not exist.
#[cfg(debug_assertions)]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
        let chosen = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
        assert!(chosen.is_some(), "{VARIABLE}={name}: there is no such bug");
        chosen
    }) == Some(bug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_variable_no_bug_is_there() {
        if std::env::var_os(VARIABLE).is_none() {
            for &bug in Bug::ALL {
                assert!(!planted(bug), "{bug:?}");
            }
        }
    }

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
    }
}
