//! The watch over the volumes.
//!
//! One thread per volume tries it. Another one asks them, and waits no longer than [`DEADLINE`]: a thread that a dead file system blocks
//! is left alone until it answers.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::volumes::probe::{Probe, Trouble};
use crate::volumes::reserve::Reserve;
use crate::volumes::space::{self, Holds, Level, Space};
use crate::volumes::{self, Volumes};

/// From one round to the next. With the deadline, trouble is known within four seconds.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a probe may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// What a probe answers.
type Answer = Result<Look, Trouble>;

/// What a look at a volume found.
#[derive(Debug, Clone, Copy)]
struct Look {
    space: Space,
    database_bytes: u64,
    /// Whether the reserve is as large as it should be.
    reserve_whole: bool,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Dropped to end it.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The thread of one volume.
struct Prober {
    holds: Holds,
    ask: mpsc::Sender<()>,
    answers: mpsc::Receiver<Answer>,
    /// It was asked and has not answered.
    busy: bool,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch the volume of `database` (its path, and its probe) and that of `objects`.
    pub(crate) fn start(volumes: Volumes, path: &Path, database: Probe, objects: &Path) -> io::Result<Self> {
        let objects = Probe::of_objects(objects)?;
        let (mut probers, mut looks) = (Vec::new(), Vec::new());
        // How much room there is, is known before the first request; whether the volumes work, soon after.
        let space = database.space().map_err(io::Error::other)?;
        let owed = Reserve::wanted(space.total).saturating_sub(volumes.0.reserve.bytes());
        let (space, database_bytes) = (Space { owed, ..space }, volumes::database_bytes(path));
        looks.push(Look { space, database_bytes, reserve_whole: owed == 0 });
        let apart = !objects.is_beside(&database);
        probers.push(Prober::start(Holds::Database, {
            let (volumes, path) = (volumes.clone(), path.to_owned());
            let mut database = database;
            move || look_at_database(&volumes, &path, &mut database)
        })?);
        if apart {
            let mut objects = objects;
            let space = objects.space().map_err(io::Error::other)?;
            looks.push(Look { space, database_bytes: 0, reserve_whole: true });
            probers.push(Prober::start(Holds::Objects, move || {
                let space = objects.run()?;
                Ok(Look { space, database_bytes: 0, reserve_whole: true })
            })?);
        }
        let (stop, stopped) = mpsc::channel();
        volumes.0.watched.store(true, Ordering::SeqCst);
        let mut round = Round { volumes, probers, warned: Vec::new() };
        round.note(&looks);
        let thread = Builder::new().name("volumes".to_owned()).spawn(move || {
            loop {
                round.carry_out();
                if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            round.end();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watch over the volumes panicked");
        }
    }
}

impl Prober {
    fn start(holds: Holds, mut look: impl FnMut() -> Answer + Send + 'static) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let thread = Builder::new().name(format!("probe-{}", holds.as_str())).spawn(move || {
            while asked.recv().is_ok() {
                if answer.send(look()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { holds, ask, answers, busy: false, thread })
    }

    /// Looks at the volume, for [`DEADLINE`] at most.
    fn look(&mut self) -> Result<Look, Arc<str>> {
        if !self.busy {
            // The thread receives as long as this lives.
            self.busy = self.ask.send(()).is_ok();
        }
        match self.answers.recv_timeout(DEADLINE) {
            Ok(answer) => {
                self.busy = false;
                answer.map_err(|trouble| trouble.to_string().into())
            }
            Err(RecvTimeoutError::Timeout) => {
                let (name, seconds) = (self.holds.as_str(), DEADLINE.as_secs());
                Err(format!("the volume of the {name} does not answer within {seconds} s").into())
            }
            Err(RecvTimeoutError::Disconnected) => Err("the probe of a volume has ended".into()),
        }
    }
}

/// What the watch does again and again.
struct Round {
    volumes: Volumes,
    probers: Vec<Prober>,
    /// The volumes that a warning speaks of.
    warned: Vec<Holds>,
}

impl Round {
    fn carry_out(&mut self) {
        let (mut looks, mut trouble) = (Vec::new(), None);
        for prober in &mut self.probers {
            match prober.look() {
                Ok(look) => looks.push(look),
                Err(reason) => trouble = trouble.or(Some(reason)),
            }
        }
        self.volumes.found(trouble);
        // What is not known of one of them says nothing of both.
        if looks.len() == self.probers.len() {
            self.note(&looks);
        }
    }

    fn note(&mut self, looks: &[Look]) {
        for look in looks {
            self.warn(look.space);
        }
        let shared = &self.volumes.0;
        let spaces: Vec<_> = looks.iter().map(|look| look.space).collect();
        if let Some(look) = looks.first() {
            shared.database_bytes.store(look.database_bytes, Ordering::Relaxed);
            shared.log_pages.store(Reserve::log_pages(look.space.total), Ordering::Relaxed);
            if look.reserve_whole {
                shared.met_full.store(false, Ordering::SeqCst);
            }
        }
        let before = match shared.level.load(Ordering::SeqCst) {
            0 => Level::Room,
            1 => Level::Nearly,
            _ => Level::Full,
        };
        let (level, short) = space::level(before, &spaces, shared.met_full.load(Ordering::SeqCst));
        {
            let mut known = shared.lock();
            known.spaces = spaces;
            known.short = short;
        }
        shared.level.store(level as u8, Ordering::SeqCst);
        let volume = short.map(tracing::field::display);
        match (before, level) {
            (before, after) if before == after => {}
            (_, Level::Full) => tracing::error!(volume, "only lease traffic is written until there is room"),
            (_, Level::Nearly) => tracing::warn!(volume, "uploads, artifacts and logs are refused"),
            (_, Level::Room) => tracing::info!("there is room again: everything is written"),
        }
    }

    fn warn(&mut self, space: Space) {
        let warned = self.warned.contains(&space.holds);
        if space.is_worth_a_warning(warned) {
            if !warned {
                self.warned.push(space.holds);
                tracing::warn!(volume = %space, "a volume is filling up");
            }
        } else {
            self.warned.retain(|holds| *holds != space.holds);
        }
    }

    /// Waits for the threads that are not blocked.
    fn end(self) {
        for Prober { ask, answers, busy, thread, .. } in self.probers {
            drop((ask, answers));
            if !busy && thread.join().is_err() {
                tracing::error!("the probe of a volume panicked");
            }
        }
    }
}

/// Probes the volume of the database, and makes the reserve again where there is room for it.
fn look_at_database(volumes: &Volumes, path: &Path, probe: &mut Probe) -> Answer {
    let space = probe.run()?;
    let reserve = &volumes.0.reserve;
    let wanted = Reserve::wanted(space.total);
    let missing = wanted.saturating_sub(reserve.bytes());
    let fits = space.free >= missing + space.beside_reserve();
    let reserve_whole = missing == 0 || fits && reserve.make_or_do_without(wanted);
    let database_bytes = volumes::database_bytes(path);
    let space = if reserve_whole { probe.space()? } else { Space { owed: missing, ..space } };
    Ok(Look { space, database_bytes, reserve_whole })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Instant;

    use nix::fcntl::{Flock, FlockArg};

    use super::*;
    use crate::Db;

    #[test]
    fn a_reserve_that_cannot_be_made_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        std::fs::write(&path, "m").unwrap();
        let open = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
        let mut probe = Probe::of_database(&path, Arc::new(open)).unwrap();
        let volumes = Volumes::unwatched(&path);
        // As on a file system that allocates no blocks.
        std::fs::create_dir(folder.path().join("m.db.reserve")).unwrap();
        for _ in 0..2 {
            let look = look_at_database(&volumes, &path, &mut probe).unwrap();
            assert_eq!((look.reserve_whole, look.space.owed), (true, 0));
        }
    }

    #[test]
    fn what_was_deleted_from_the_database_is_room_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let db = Db::open_writer(&path).unwrap();
        db.batch("CREATE TABLE t (n); INSERT INTO t VALUES (zeroblob(1000000))").unwrap();
        let open = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
        let mut probe = Probe::of_database(&path, Arc::new(open)).unwrap();
        let mut reusable = || {
            db.checkpoint_passive().unwrap();
            probe.run().unwrap().reusable
        };
        assert_eq!(reusable(), 0);
        db.batch("DELETE FROM t").unwrap();
        assert!((900_000..1_100_000).contains(&reusable()));
    }

    #[test]
    fn a_volume_that_blocks_is_told_within_the_deadline_and_waited_for() {
        let (go_on, gate) = mpsc::channel::<()>();
        let mut prober = Prober::start(Holds::Objects, move || {
            let _ = gate.recv();
            Err(Trouble::Replaced("it answers".into()))
        })
        .unwrap();
        let began = Instant::now();
        let silent = prober.look().unwrap_err();
        assert!(silent.contains("the volume of the objects does not answer within 2 s"), "{silent}");
        assert!(began.elapsed() < DEADLINE + Duration::from_secs(1));
        go_on.send(()).unwrap();
        let answered = prober.look().unwrap_err();
        assert!(answered.contains("it answers"), "{answered}");
    }
}
