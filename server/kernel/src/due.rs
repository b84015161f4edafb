//! The due-queue: "call me at this time", for everything that the server does by itself.
//!
//! A subject registers a job and gets a [`Due`], with which anyone may say that the job has something to do at a moment. One task waits
//! for the earliest moment, calls the job that it belongs to, and learns from its answer when the job wants to be called next. Jobs are
//! level-triggered: a job looks at what is due by now, however often and whyever it is called.
//!
//! Moments are of the server's clock ([`crate::clock`]), so a jump of the wall clock calls nobody early or late.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use minitower_vocabulary::time::Timestamp;
use tokio::sync::Notify;

use crate::clock::Clock;

/// Longest sleep at a time: a machine that was suspended wakes up later than its timers think.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// What a job's call ends with: when it wants to be called next; none: when somebody says so.
type Called = Pin<Box<dyn Future<Output = Option<Timestamp>> + Send>>;
type Call = Arc<dyn Fn() -> Called + Send + Sync>;

/// The queue. A cheap clone.
#[derive(Debug, Clone)]
pub struct DueQueue(Arc<Shared>);

/// A job's place in the queue. A cheap clone.
#[derive(Debug, Clone)]
pub struct Due {
    queue: Arc<Shared>,
    job: usize,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Something is due earlier than the task means to look.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Job>,
    /// The earliest moment of each job that has one.
    moments: BTreeSet<(Timestamp, usize)>,
}

struct Job {
    call: Option<Call>,
    due: Option<Timestamp>,
    /// It is not called again before its last call has ended.
    running: bool,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("due", &self.due).field("running", &self.running).finish_non_exhaustive()
    }
}

impl State {
    /// The job has something to do at `at`; true when that is earlier than what was known of it.
    fn note(&mut self, job: usize, at: Timestamp) -> bool {
        let known = self.jobs[job].due;
        if known.is_some_and(|known| known <= at) {
            return false;
        }
        if let Some(known) = known {
            self.moments.remove(&(known, job));
        }
        self.jobs[job].due = Some(at);
        self.moments.insert((at, job));
        true
    }

    /// The next job to call now. What is noted from here on counts for its next call.
    fn take(&mut self, now: Timestamp) -> Option<(usize, Call)> {
        let due = self.moments.iter().take_while(|(at, _)| *at <= now);
        let (at, job) = due.copied().find(|(_, job)| {
            let job = &self.jobs[*job];
            !job.running && job.call.is_some()
        })?;
        self.moments.remove(&(at, job));
        let entry = &mut self.jobs[job];
        entry.due = None;
        entry.running = true;
        entry.call.clone().map(|call| (job, call))
    }

    /// When a job that can be called is due next.
    fn next(&self) -> Option<Timestamp> {
        let ready = |job: &usize| !self.jobs[*job].running && self.jobs[*job].call.is_some();
        self.moments.iter().find(|(_, job)| ready(job)).map(|(at, _)| *at)
    }
}

impl DueQueue {
    /// An empty queue.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared { clock, state: Mutex::default(), earlier: Notify::new() }))
    }

    /// A place for a job. Moments may be noted for it before the job itself is [given](Due::call).
    pub fn place(&self) -> Due {
        let mut state = self.0.lock();
        state.jobs.push(Job { call: None, due: None, running: false });
        Due { queue: Arc::clone(&self.0), job: state.jobs.len() - 1 }
    }

    /// Calls the jobs, each when it is due; two at the same time, but never one twice. It never ends: a job that panics takes it along,
    /// and whoever spawned it reports that. Where it is dropped, the jobs that it was calling are due at once for the next one.
    pub async fn run(&self) {
        let mut running = FuturesUnordered::new();
        loop {
            let now = self.0.clock.now();
            let due = std::iter::from_fn(|| self.0.lock().take(now));
            running.extend(due.map(|(job, call)| {
                let called = Calling { queue: &self.0, job, next: Some(now) };
                async move { called.ended(call().await) }
            }));
            // A millisecond more than the difference, so that it is due by then.
            let pause = match self.0.lock().next() {
                Some(at) => (at.since(now) + Duration::from_millis(1)).min(LONGEST_SLEEP),
                None => LONGEST_SLEEP,
            };
            // A job that is due again and again must not keep the others of its thread from running.
            tokio::task::consume_budget().await;
            tokio::select! {
                Some(()) = running.next() => {}
                () = self.0.earlier.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

impl Due {
    /// Gives the job: what to call. It answers when it wants to be called next; none: when somebody says so.
    pub fn call<F, R>(&self, job: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Option<Timestamp>> + Send + 'static,
    {
        self.queue.lock().jobs[self.job].call = Some(Arc::new(move || Box::pin(job())));
        self.queue.earlier.notify_one();
    }

    /// The job has something to do at `at`, unless that is put off meanwhile.
    pub fn at(&self, at: Timestamp) {
        if self.queue.lock().note(self.job, at) {
            self.queue.earlier.notify_one();
        }
    }
}

/// A call that has begun. It may end by being dropped.
struct Calling<'a> {
    queue: &'a Shared,
    job: usize,
    /// When the job is due after it.
    next: Option<Timestamp>,
}

impl Calling<'_> {
    fn ended(mut self, next: Option<Timestamp>) {
        self.next = next;
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.jobs[self.job].running = false;
        if let Some(next) = self.next {
            state.note(self.job, next);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// A queue that runs, and a job in it that tells when it is called and then wants what `next` says.
    fn running(
        next: impl Fn(Timestamp) -> Option<Timestamp> + Clone + Send + Sync + 'static,
    ) -> (Clock, Due, mpsc::UnboundedReceiver<Timestamp>) {
        let clock = Clock::start();
        let queue = DueQueue::new(clock.clone());
        let (tell, told) = mpsc::unbounded_channel();
        let due = queue.place();
        let of_job = clock.clone();
        due.call(move || {
            let (tell, next, now) = (tell.clone(), next.clone(), of_job.now());
            async move {
                tell.send(now).unwrap();
                next(now)
            }
        });
        tokio::spawn(async move { queue.run().await });
        (clock, due, told)
    }

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), what).await.expect("it comes soon")
    }

    #[tokio::test]
    async fn a_job_is_called_when_it_is_due_and_not_before() {
        let (clock, due, mut told) = running(|_| None);
        let at = clock.now().plus(Duration::from_millis(30));
        due.at(clock.now().plus(Duration::from_secs(3600)));
        due.at(at);
        assert!(soon(told.recv()).await.unwrap() >= at, "an earlier moment cuts the pause short");
        assert!(told.try_recv().is_err(), "the later moment was the same job's, and is not due");
    }

    #[tokio::test]
    async fn a_job_is_called_again_when_it_says_so() {
        let (clock, due, mut told) = running(|now| Some(now.plus(Duration::from_millis(5))));
        due.at(clock.now());
        let first = soon(told.recv()).await.unwrap();
        assert!(soon(told.recv()).await.unwrap() >= first.plus(Duration::from_millis(5)));
    }

    #[tokio::test]
    async fn what_is_noted_before_the_job_is_given_or_while_it_runs_is_not_slept_through() {
        let clock = Clock::start();
        let queue = DueQueue::new(clock.clone());
        let (due, other) = (queue.place(), queue.place());
        due.at(clock.now());
        let (tell, mut told) = mpsc::unbounded_channel();
        let (again, now) = (due.clone(), clock.now());
        due.call(move || {
            let (tell, again) = (tell.clone(), again.clone());
            async move {
                // Noted during the call, and earlier than what the call answers.
                again.at(now);
                let _ = tell.send(());
                Some(Timestamp(i64::MAX))
            }
        });
        other.call(std::future::pending);
        other.at(clock.now());
        tokio::spawn(async move { queue.run().await });
        for _ in 0..3 {
            soon(told.recv()).await.expect("a job that never ends holds up no other");
        }
    }

    #[tokio::test]
    async fn a_job_whose_call_was_dropped_is_called_again_by_the_next_run() {
        let clock = Clock::start();
        let queue = DueQueue::new(clock.clone());
        let due = queue.place();
        let (tell, mut told) = mpsc::unbounded_channel();
        due.call(move || {
            tell.send(()).unwrap();
            std::future::pending()
        });
        due.at(clock.now());
        for _ in 0..2 {
            tokio::select! {
                () = queue.run() => unreachable!("it never ends"),
                called = soon(told.recv()) => called.expect("it is called"),
            }
        }
    }
}
