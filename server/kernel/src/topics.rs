//! What is told to any number of listeners: one ring for each topic that somebody listens to.
//!
//! A piece is kept once, however many listen, and so is what a door renders of it. A ring holds so many bytes: a listener that falls
//! behind is told so, and finds out by other means what it missed. A topic without listeners costs nothing, unless it lingers for those
//! who come back.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

/// One thing that was told.
#[derive(Debug)]
pub struct Piece<T> {
    /// Its number within the topic.
    pub number: u64,
    /// It.
    pub value: T,
    rendered: OnceLock<Rendered>,
}

/// What a door makes of a piece: bytes for all who listen.
#[derive(Debug, Default)]
pub struct Rendered {
    /// The bytes.
    pub bytes: Bytes,
    /// Where each of its parts ends.
    pub ends: Vec<usize>,
}

impl<T> Piece<T> {
    /// It as bytes, which `render` makes once for all listeners.
    pub fn rendered(&self, render: impl FnOnce(&Self) -> Rendered) -> &Rendered {
        self.rendered.get_or_init(|| render(self))
    }
}

/// How much a topic keeps, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Most bytes of a ring.
    pub bytes: usize,
    /// How long a topic stays when its last listener has gone.
    pub linger: Duration,
    /// Most topics without listeners.
    pub idle: usize,
}

/// All topics of one kind. A cheap clone.
pub struct Topics<K, T>(Arc<Inner<K, T>>);

struct Inner<K, T> {
    keep: Keep,
    topics: Mutex<HashMap<K, Arc<Topic<T>>>>,
}

struct Topic<T> {
    /// Tells this topic from one of the same key before it, also from one of another process.
    epoch: u64,
    ring: Mutex<Ring<T>>,
    told: Notify,
}

struct Ring<T> {
    pieces: VecDeque<(Arc<Piece<T>>, usize)>,
    bytes: usize,
    /// The number of the next piece.
    next: u64,
    listeners: usize,
    idle_since: Option<Instant>,
}

/// What a listener hears.
#[derive(Debug)]
pub enum Heard<T> {
    /// What was told since, in order.
    Pieces(Vec<Arc<Piece<T>>>),
    /// It fell behind, and something is missing here. What comes next is what is told from now on.
    Missed,
}

/// One who listens to a topic, until it is dropped.
pub struct Listener<K: Eq + Hash, T> {
    of: Topics<K, T>,
    key: K,
    topic: Arc<Topic<T>>,
    next: u64,
}

/// The place of a listener within a topic, to come back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which topic of that key.
    pub epoch: u64,
    /// The number of the last piece that was heard.
    pub number: u64,
}

impl<K: Eq + Hash + Copy, T> Topics<K, T> {
    /// None yet.
    pub fn new(keep: Keep) -> Self {
        Self(Arc::new(Inner { keep, topics: Mutex::default() }))
    }

    /// Whether anybody listens, or may come back.
    pub fn is_wanted(&self, key: &K) -> bool {
        self.lock().contains_key(key)
    }

    /// Tells a topic, if anybody listens. `bytes` is what the value holds.
    pub fn tell(&self, key: &K, bytes: usize, value: impl FnOnce() -> T) {
        let Some(topic) = self.lock().get(key).map(Arc::clone) else { return };
        let mut ring = topic.lock();
        let number = ring.next;
        ring.next += 1;
        if bytes <= self.0.keep.bytes {
            ring.bytes += bytes;
            let piece = Piece { number, value: value(), rendered: OnceLock::new() };
            ring.pieces.push_back((Arc::new(piece), bytes));
        } else {
            // Larger than the ring: everybody has missed it.
            ring.clear();
        }
        while ring.bytes > self.0.keep.bytes
            && let Some((_, oldest)) = ring.pieces.pop_front()
        {
            ring.bytes -= oldest;
        }
        drop(ring);
        topic.told.notify_waiters();
    }

    /// Something was missed that may have belonged to any topic: all who listen are told so.
    pub fn missed(&self) {
        let topics: Vec<_> = self.lock().values().map(Arc::clone).collect();
        for topic in topics {
            let mut ring = topic.lock();
            ring.clear();
            ring.next += 1;
            drop(ring);
            topic.told.notify_waiters();
        }
    }

    /// Begins to listen to what is told from now on.
    pub fn listen(&self, key: K) -> Listener<K, T> {
        let mut topics = self.lock();
        self.forget_idle(&mut topics);
        let topic = Arc::clone(topics.entry(key).or_insert_with(|| Arc::new(Topic::new())));
        let mut ring = topic.lock();
        ring.listeners += 1;
        ring.idle_since = None;
        let next = ring.next;
        drop(ring);
        Listener { of: self.clone(), key, topic, next }
    }

    fn forget_idle(&self, topics: &mut HashMap<K, Arc<Topic<T>>>) {
        let Keep { linger, idle, .. } = self.0.keep;
        topics.retain(|_, topic| topic.lock().idle_since.is_none_or(|since| since.elapsed() < linger));
        let mut waiting: Vec<_> =
            topics.iter().filter_map(|(key, topic)| Some((topic.lock().idle_since?, *key))).collect();
        if waiting.len() > idle {
            waiting.sort_unstable_by_key(|(since, _)| *since);
            for (_, key) in &waiting[..waiting.len() - idle] {
                topics.remove(key);
            }
        }
    }
}

impl<K, T> Topics<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Topic<T>>>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Topic<T> {
    fn new() -> Self {
        let ring = Ring { pieces: VecDeque::new(), bytes: 0, next: 1, listeners: 0, idle_since: None };
        // The keys of a hasher are random.
        let epoch = RandomState::new().build_hasher().finish();
        Self { epoch, ring: Mutex::new(ring), told: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Ring<T>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Ring<T> {
    /// The number of the first piece that is there, or would be.
    fn first(&self) -> u64 {
        self.next - self.pieces.len() as u64
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.bytes = 0;
    }

    /// What was told from `next` on; none: nothing.
    fn from(&self, next: u64) -> Option<Heard<T>> {
        if next >= self.next {
            return None;
        }
        let Some(skip) = next.checked_sub(self.first()) else { return Some(Heard::Missed) };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Some(Heard::Pieces(self.pieces.iter().skip(skip).map(|(piece, _)| Arc::clone(piece)).collect()))
    }
}

impl<K: Eq + Hash, T> Listener<K, T> {
    /// What was told since it was last asked, as soon as there is anything. Nothing is lost if it is dropped before it answers.
    pub async fn hear(&mut self) -> Heard<T> {
        loop {
            let mut told = pin!(self.topic.told.notified());
            // From here on no telling is missed.
            told.as_mut().enable();
            let heard = {
                let ring = self.topic.lock();
                ring.from(self.next).inspect(|_| self.next = ring.next)
            };
            match heard {
                Some(heard) => return heard,
                None => told.await,
            }
        }
    }

    /// Goes back to the piece after `place`. False: it is not there any more, or was another topic's; the listener stays where it was.
    pub fn go_back(&mut self, place: Place) -> bool {
        let ring = self.topic.lock();
        let next = place.number.saturating_add(1);
        let is_there = place.epoch == self.topic.epoch && (ring.first()..=ring.next).contains(&next);
        if is_there {
            self.next = next;
        }
        is_there
    }

    /// Where it is now.
    pub fn place(&self) -> Place {
        Place { epoch: self.topic.epoch, number: self.next - 1 }
    }
}

impl<K: Eq + Hash, T> Drop for Listener<K, T> {
    fn drop(&mut self) {
        let mut topics = self.of.lock();
        let mut ring = self.topic.lock();
        ring.listeners -= 1;
        if ring.listeners > 0 {
            return;
        }
        ring.idle_since = Some(Instant::now());
        // It may have been forgotten, and another may have its key.
        let is_this = topics.get(&self.key).is_some_and(|topic| Arc::ptr_eq(topic, &self.topic));
        if self.of.0.keep.linger.is_zero() && is_this {
            topics.remove(&self.key);
        }
    }
}

impl<K, T> Clone for Topics<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> fmt::Debug for Topics<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("topics", &self.lock().len()).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, T> fmt::Debug for Listener<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
