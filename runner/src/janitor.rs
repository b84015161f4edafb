//! Removes what is in the trash, in the background: a run does not wait for the hundred thousand files of the one before.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::folder::Folder;
use crate::removal::remove_entry;

/// Entries that may wait before the runner takes no further run.
pub(crate) const MOST_WAITING: usize = 4;
/// How often what could not be removed is tried again.
const AGAIN_EVERY: Duration = Duration::from_secs(600);
/// Entries that are tried again at a time.
const MOST_AGAIN: usize = 10_000;

/// Whether something is gone; else why not.
pub(crate) type Outcome = io::Result<()>;

/// The thread that removes, and what it is asked for. Dropped, it ends after the entry that it is at.
#[derive(Debug)]
pub(crate) struct Janitor {
    orders: Sender<Order>,
    waiting: Arc<watch::Sender<usize>>,
    trash: Arc<Mutex<Folder>>,
    /// Told once, so that not every round of a runner's life repeats it.
    lags: AtomicBool,
}

#[derive(Debug)]
enum Order {
    /// What is there already.
    Everything,
    One(CString, oneshot::Sender<Outcome>),
}

impl Janitor {
    /// Begins with what is in the trash, which lies at `path`.
    pub(crate) fn start(trash: Folder, path: PathBuf) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let waiting = Arc::new(watch::Sender::new(0));
        let trash = Arc::new(Mutex::new(trash));
        let work = Work { inbox, waiting: Arc::clone(&waiting), trash: Arc::clone(&trash), path };
        std::thread::Builder::new().name("janitor".to_owned()).spawn(move || work.go_on())?;
        let janitor = Self { orders, waiting, trash, lags: AtomicBool::new(false) };
        janitor.order(Order::Everything);
        Ok(janitor)
    }

    /// The trash was made anew.
    pub(crate) fn moves_to(&self, trash: Folder) {
        *self.trash.lock().unwrap_or_else(PoisonError::into_inner) = trash;
    }

    /// Throws the entry `name` of a folder away: it is gone from there when this returns, and removed later.
    pub(crate) fn discard(&self, folder: &Folder, name: &CStr) -> io::Result<oneshot::Receiver<Outcome>> {
        let new_name = CString::new(format!("{:016x}", rand::random::<u64>()))?;
        let trash = self.trash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        folder.move_to(name, &trash, &new_name)?;
        let (sender, outcome) = oneshot::channel();
        self.order(Order::One(new_name, sender));
        Ok(outcome)
    }

    fn order(&self, order: Order) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        // The thread ends after this.
        let _ends_with_us = self.orders.send(order);
    }

    /// Waits until at most `most` entries wait.
    pub(crate) async fn caught_up(&self, most: usize) {
        let mut waiting = self.waiting.subscribe();
        if *waiting.borrow_and_update() > most && !self.lags.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "earlier runs left so much that removing it takes a long time; the next run waits for it"
            );
        }
        // The sender lives in `self`.
        let _caught_up = waiting.wait_for(|waiting| *waiting <= most).await;
        self.lags.store(false, Ordering::Relaxed);
    }
}

struct Work {
    inbox: Receiver<Order>,
    waiting: Arc<watch::Sender<usize>>,
    trash: Arc<Mutex<Folder>>,
    path: PathBuf,
}

impl Work {
    fn go_on(self) {
        let mut again = Instant::now() + AGAIN_EVERY;
        loop {
            match self.inbox.recv_timeout(again.saturating_duration_since(Instant::now())) {
                Ok(Order::One(name, told)) => {
                    let _no_longer_of_interest = told.send(self.remove(&name, true));
                }
                Ok(Order::Everything) => self.remove_everything(true),
                Err(RecvTimeoutError::Timeout) => {
                    self.remove_everything(false);
                    again = Instant::now() + AGAIN_EVERY;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        }
    }

    fn remove_everything(&self, tell: bool) {
        let trash = self.trash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match trash.names(MOST_AGAIN) {
            Ok(names) => names.iter().for_each(|name| drop(self.remove(name, tell))),
            Err(error) => tracing::warn!(%error, path = %self.path.display(), "cannot read the trash"),
        }
    }

    fn remove(&self, name: &CStr, tell: bool) -> Outcome {
        let trash = self.trash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let outcome = remove_entry(trash.as_fd(), name);
        let path = self.path.join(name.to_string_lossy().as_ref());
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => {
                if tell {
                    tracing::error!(
                        %error,
                        path = %path.display(),
                        "cannot remove what a run left; it is set aside and tried again from time to time: remove it by hand"
                    );
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_is_thrown_away_is_out_of_the_way_at_once_and_gone_later() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("trash/left-by-a-former-process/x")).unwrap();
        fs::create_dir_all(base.path().join("work/1/x")).unwrap();
        let trash = Folder::open(&base.path().join("trash")).unwrap();
        let work = Folder::open(&base.path().join("work")).unwrap();
        let janitor = Janitor::start(trash, base.path().join("trash")).unwrap();
        let outcome = janitor.discard(&work, c"1").unwrap();
        assert!(!base.path().join("work/1").exists());
        assert_eq!(janitor.discard(&work, c"1").unwrap_err().kind(), io::ErrorKind::NotFound);
        outcome.await.unwrap().unwrap();
        janitor.caught_up(0).await;
        assert_eq!(fs::read_dir(base.path().join("trash")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_cannot_be_removed_is_told_and_holds_nobody_up() {
        // Nobody may remove an entry of /proc, and no file system of ours may be entered from it.
        let trash = Folder::open(std::path::Path::new("/proc/self")).unwrap();
        let (orders, inbox) = mpsc::channel();
        let waiting = Arc::new(watch::Sender::new(0));
        let trash = Arc::new(Mutex::new(trash));
        let work = Work {
            inbox,
            waiting: Arc::clone(&waiting),
            trash: Arc::clone(&trash),
            path: PathBuf::from("/trash"),
        };
        std::thread::spawn(move || work.go_on());
        let janitor = Janitor { orders, waiting, trash, lags: AtomicBool::new(false) };
        let (sender, outcome) = oneshot::channel();
        janitor.order(Order::One(c"status".to_owned(), sender));
        assert!(outcome.await.unwrap().is_err());
        janitor.caught_up(0).await;
    }
}
