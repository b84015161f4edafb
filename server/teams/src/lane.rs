//! The lane in which passwords are hashed: one at a time, in memory that is given back.
//!
//! A hash takes 19 MiB for some dozens of milliseconds. One thread does them all, so that strangers cost one core and one such piece of
//! memory, whatever they send. Who waits, waits in a line of its own address, and the lines take turns: a flood from one address delays
//! another by one hash. The lines are short, and whoever finds theirs full is told when to try again.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::Block;
use tokio::sync::oneshot;

use crate::Error;

/// Most that wait, in all lines together: the last of them waits for some seconds.
const WAITING: usize = 256;
/// Most that wait in one line.
const WAITING_IN_LINE: usize = 32;
/// How long the thread and its memory are kept for the next one.
const KEPT: Duration = Duration::from_secs(2);
/// When to try again where a line is full.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// What is asked for at least, of which only what is used becomes resident: the allocator of glibc maps a piece of more than 32 MiB by itself
/// and unmaps it at once, whatever it learned of the sizes before. Smaller ones it keeps, in each thread's arena.
const MAPPED_BYTES: usize = 33 * 1024 * 1024;

/// What is hashed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Login,
    Signup,
    Bootstrap,
}

/// Who waits together.
pub(crate) type Line = (Purpose, Option<IpAddr>);

/// Memory for hashing.
pub(crate) type Memory = Vec<Block>;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The lane. A cheap clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: HashMap<Line, VecDeque<Job>>,
    /// The lines in which somebody waits, in the order of their turns.
    turns: VecDeque<Line>,
    length: usize,
    /// There is a thread.
    working: bool,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("length", &self.length)
            .field("working", &self.working)
            .finish_non_exhaustive()
    }
}

impl Lane {
    /// Does `work` when it is its turn. Whoever has gone by then is passed over.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        line: Line,
        work: impl FnOnce(&mut Memory) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job = move |memory: &mut Memory| {
            if !answer.is_closed() {
                // Who has gone meanwhile does not hear it.
                let _ = answer.send(work(memory));
            }
        };
        self.join(line, Box::new(job))?;
        answered.await.map_err(Error::hashing)?
    }

    fn join(&self, line: Line, job: Job) -> Result<(), Error> {
        let mut lines = self.0.lock();
        if lines.length >= WAITING {
            return Err(Error::Busy { retry_after: RETRY_AFTER });
        }
        if lines.waiting.get(&line).is_some_and(|line| line.len() >= WAITING_IN_LINE) {
            return Err(Error::TooManyWaiting { retry_after: RETRY_AFTER });
        }
        lines.push(line, job);
        if !lines.working {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("passwords".to_owned());
            thread.spawn(move || shared.work()).map_err(Error::hashing)?;
            lines.working = true;
        }
        drop(lines);
        self.0.more.notify_one();
        Ok(())
    }
}

impl Lines {
    fn push(&mut self, line: Line, job: Job) {
        let waiting = self.waiting.entry(line).or_default();
        if waiting.is_empty() {
            self.turns.push_back(line);
        }
        waiting.push_back(job);
        self.length += 1;
    }

    fn pop(&mut self) -> Option<Job> {
        let line = self.turns.pop_front()?;
        let waiting = self.waiting.get_mut(&line)?;
        let job = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&line);
        } else {
            self.turns.push_back(line);
        }
        self.length -= usize::from(job.is_some());
        job
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does, until there has been nothing to do for a while.
    fn work(&self) {
        let _guard = Working(self);
        let mut memory = Memory::new();
        while let Some(job) = self.next() {
            if memory.capacity() == 0 {
                memory.reserve_exact(MAPPED_BYTES / Block::SIZE);
            }
            job(&mut memory);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut lines = self.lock();
        if let Some(job) = lines.pop() {
            return Some(job);
        }
        let empty = |lines: &mut Lines| lines.length == 0;
        let waited = self.more.wait_timeout_while(lines, KEPT, empty);
        lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        let job = lines.pop();
        // Under the lock: who comes next starts another thread.
        lines.working = job.is_some();
        job
    }
}

/// A thread that panics is followed by another.
struct Working<'a>(&'a Shared);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().working = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn line(last: u8) -> Line {
        (Purpose::Login, Some(IpAddr::from([192, 0, 2, last])))
    }

    /// A lane whose thread is held up until the sender is dropped.
    fn held_up(lane: &Lane) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel::<()>();
        let (began, begun) = mpsc::channel();
        let job = move |_: &mut Memory| {
            began.send(()).unwrap();
            let _ = held.recv();
        };
        lane.join(line(255), Box::new(job)).unwrap();
        begun.recv().unwrap();
        release
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_lines_take_turns_and_a_long_one_holds_up_its_own_people_only() {
        let lane = Lane::default();
        let release = held_up(&lane);
        let (note, notes) = mpsc::channel();
        for (of, times) in [(1, 3), (2, 1), (3, 2)] {
            for _ in 0..times {
                let note = note.clone();
                lane.join(line(of), Box::new(move |_| note.send(of).unwrap())).unwrap();
            }
        }
        drop((release, note));
        assert_eq!(notes.into_iter().collect::<Vec<_>>(), [1, 2, 3, 1, 3, 1]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_line_is_refused_and_the_others_are_not() {
        let lane = Lane::default();
        let release = held_up(&lane);
        let nothing = || Box::new(|_: &mut Memory| ());
        for _ in 0..WAITING_IN_LINE {
            lane.join(line(1), nothing()).unwrap();
        }
        assert!(matches!(lane.join(line(1), nothing()), Err(Error::TooManyWaiting { .. })));
        for number in WAITING_IN_LINE..WAITING {
            lane.join(line(u8::try_from(2 + number % 200).unwrap()), nothing()).unwrap();
        }
        assert!(matches!(lane.join(line(254), nothing()), Err(Error::Busy { .. })));
        drop(release);
        while let Err(error) = lane.run(line(254), |_| Ok(())).await {
            assert!(matches!(error, Error::Busy { .. }), "{error}");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn after_a_panic_there_is_another_thread() {
        let lane = Lane::default();
        let broken = lane.run(line(1), |_| -> Result<(), Error> { panic!("on purpose") }).await;
        assert!(matches!(broken, Err(Error::Hashing(_))));
        while lane.0.lock().working {
            tokio::task::yield_now().await;
        }
        lane.run(line(1), |_| Ok(())).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_thread_and_its_memory_are_given_back() {
        let lane = Lane::default();
        lane.run(line(1), |_| Ok(())).await.unwrap();
        let begun = std::time::Instant::now();
        while lane.0.lock().working {
            assert!(begun.elapsed() < 10 * KEPT, "the thread stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        lane.run(line(1), |_| Ok(())).await.unwrap();
    }
}
