//! What follows commits later: a thread of its own hands events on once they are durable.
//!
//! The subscribers of [`events`](crate::events) are called between a commit and its answers, so they may only touch memory that every
//! command needs. Whoever tells the outside of a commit (streams, and what is sent to others) follows this feed instead: in the order of
//! the commits, each event once, never one that a power failure could take back, and never on the writer's thread.
//!
//! What waits is bounded. If more is committed than the thread can hand on, it says [`Later::Missed`] in place of what it left out.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::OpenError;
use crate::events::Event;

/// Most bytes that wait to be handed on, as their followers count them.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// What a follower is told.
#[derive(Debug)]
pub enum Later<'a, E> {
    /// This was committed, and is durable.
    Event(&'a E),
    /// More was committed than could wait: some events were left out here.
    Missed,
}

/// Whether a follower wants an event, and how many bytes it holds.
type Wanted = Box<dyn Fn(&dyn Any) -> Option<usize> + Send>;
type Handle = Box<dyn FnMut(Option<&dyn Any>) + Send>;

/// Those who follow later.
#[derive(Default)]
pub(crate) struct Followers {
    wanted: Vec<Wanted>,
    handle: Vec<Handle>,
}

impl Followers {
    pub(crate) fn add<E: Any>(
        &mut self,
        wanted: impl Fn(&E) -> Option<usize> + Send + 'static,
        mut f: impl FnMut(Later<'_, E>) + Send + 'static,
    ) {
        self.wanted.push(Box::new(move |event| event.downcast_ref().and_then(&wanted)));
        self.handle.push(Box::new(move |event| match event {
            None => f(Later::Missed),
            Some(event) => {
                if let Some(event) = event.downcast_ref() {
                    f(Later::Event(event));
                }
            }
        }));
    }
}

impl fmt::Debug for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followers").field("wanted", &self.wanted.len()).finish_non_exhaustive()
    }
}

/// One that waits.
struct Waits {
    commit: u64,
    bytes: usize,
    /// None: something was left out here.
    event: Option<Event>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waits>,
    bytes: usize,
    /// Number of the last commit that is durable; all before it are too.
    durable: u64,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event that is durable, as soon as there is one; none: the feed is closed.
    fn next(&self) -> Option<Waits> {
        let mut state = self.lock();
        loop {
            let durable = state.durable;
            if let Some(next) = state.waiting.pop_front_if(|next| next.commit <= durable) {
                state.bytes -= next.bytes;
                return Some(next);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn push(&self, commit: u64, events: Vec<(Event, usize)>) {
        let mut state = self.lock();
        for (event, bytes) in events {
            let fits = state.bytes + bytes <= MOST_BYTES;
            if !fits && state.waiting.back().is_some_and(|last| last.event.is_none()) {
                continue;
            }
            let (event, bytes) = if fits { (Some(event), bytes) } else { (None, 0) };
            state.bytes += bytes;
            state.waiting.push_back(Waits { commit, bytes, event });
        }
    }
}

/// The thread, and what waits for it.
pub(crate) struct Feed {
    wanted: Vec<Wanted>,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

/// Tells the feed what is durable.
pub(crate) struct Released(Arc<Queue>);

impl Released {
    /// All up to this commit is durable.
    pub(crate) fn up_to(&self, commit: u64) {
        let mut state = self.0.lock();
        if commit > state.durable {
            state.durable = commit;
            if !state.waiting.is_empty() {
                self.0.changed.notify_one();
            }
        }
    }
}

impl Feed {
    /// Starts the thread.
    pub(crate) fn start(followers: Followers) -> Result<Self, OpenError> {
        let Followers { wanted, mut handle } = followers;
        let queue = Arc::new(Queue::default());
        let thread = std::thread::Builder::new().name("feed".to_owned());
        let thread = thread.spawn({
            let queue = Arc::clone(&queue);
            move || {
                while let Some(next) = queue.next() {
                    for handle in &mut handle {
                        // One follower that fails does not end the others.
                        let event = next.event.as_deref().map(|event| event as &dyn Any);
                        if catch_unwind(AssertUnwindSafe(|| handle(event))).is_err() {
                            tracing::error!("a follower of the feed panicked");
                        }
                    }
                }
            }
        });
        let thread = thread.map_err(|source| OpenError::Io { path: "thread of the feed".into(), source })?;
        Ok(Self { wanted, queue, thread: Some(thread) })
    }

    /// Takes those events of a commit, which was made, that somebody wants. They are handed on once it is durable.
    ///
    /// Whoever begins to follow and then reads the database misses nothing: this asks after the commit, so what it finds unwanted is
    /// in the snapshot of a read that begins later.
    pub(crate) fn committed(&self, commit: u64, events: Vec<Event>) -> Released {
        let bytes = |event: &Event| self.wanted.iter().filter_map(|wanted| wanted(event.as_ref())).max();
        let wanted: Vec<_> =
            events.into_iter().filter_map(|event| bytes(&event).map(|bytes| (event, bytes))).collect();
        if !wanted.is_empty() {
            self.queue.push(commit, wanted);
        }
        Released(Arc::clone(&self.queue))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the feed panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A feed of numbers, with a follower who wants the even ones, each of so many bytes; and what the follower heard.
    fn feed(bytes: usize) -> (Feed, Receiver<Option<u64>>) {
        let (heard, hears) = channel();
        let mut followers = Followers::default();
        followers.add(
            move |n: &u64| n.is_multiple_of(2).then_some(bytes),
            move |told| {
                let told = match told {
                    Later::Event(n) => Some(*n),
                    Later::Missed => None,
                };
                let _ = heard.send(told);
            },
        );
        (Feed::start(followers).unwrap(), hears)
    }

    fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Event> {
        numbers.into_iter().map(|n| Box::new(n) as Event).collect()
    }

    #[test]
    fn what_is_wanted_is_handed_on_in_the_order_of_the_commits_once_it_is_durable() {
        let (feed, hears) = feed(1);
        let released = feed.committed(1, events([2, 3, 4]));
        feed.committed(2, events([6]));
        feed.committed(3, events([8]));
        assert!(hears.recv_timeout(Duration::from_millis(50)).is_err(), "nothing is durable");
        // The sync of the second commit ends first, and covers the first.
        released.up_to(2);
        released.up_to(1);
        let first: Vec<_> = (0..3).map(|_| hears.recv_timeout(SOON).unwrap()).collect();
        assert_eq!(first, [Some(2), Some(4), Some(6)]);
        assert!(hears.recv_timeout(Duration::from_millis(50)).is_err(), "the third is not durable");
        released.up_to(3);
        assert_eq!(hears.recv_timeout(SOON).unwrap(), Some(8));
    }

    #[test]
    fn what_cannot_wait_is_left_out_and_told_once() {
        let (feed, hears) = feed(MOST_BYTES / 2);
        feed.committed(1, events([2, 4, 6, 8]));
        feed.committed(2, events([10])).up_to(2);
        let told: Vec<_> = (0..3).map(|_| hears.recv_timeout(SOON).unwrap()).collect();
        assert_eq!(told, [Some(2), Some(4), None]);
        feed.committed(3, events([12])).up_to(3);
        assert_eq!(hears.recv_timeout(SOON).unwrap(), Some(12), "there is room again");
    }

    #[test]
    fn a_follower_that_panics_does_not_end_the_feed() {
        let (heard, hears) = channel();
        let mut followers = Followers::default();
        followers.add(|_: &u64| Some(1), |_| panic!("a follower's bug"));
        followers.add(
            |_: &u64| Some(1),
            move |told| {
                if let Later::Event(n) = told {
                    let _ = heard.send(*n);
                }
            },
        );
        let feed = Feed::start(followers).unwrap();
        for n in 1..=2 {
            feed.committed(n, events([n])).up_to(n);
            assert_eq!(hears.recv_timeout(SOON).unwrap(), n);
        }
    }
}
