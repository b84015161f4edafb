//! What is told live: the logs of runs, and how a team's runs move.
//!
//! Everything comes from the kernel's feed, so it is durable before anybody hears of it. One commit costs no read, however many listen.
//! Who joins reads the database first: listening begins before the read, so what is committed after the read's snapshot is heard, and
//! what is in both is known by its number. `log` holds that seam; `moves` has none, because its listeners load their own list.

mod log;
mod moves;

use std::sync::Arc;
use std::time::Duration;

use minitower_kernel::events::Subscribers;
use minitower_kernel::feed::Later;
use minitower_kernel::topics::{Keep, Topics};
use minitower_vocabulary::ids::{RunId, TeamId};

pub use self::log::{FollowLog, LogEnd, LogHeard, LogPlace, LogStream, LogTold};
pub use self::moves::{MoveHeard, MoveStream, RunChange};
use crate::memory::Memory;
use crate::store::events::{LogStored, RunMoved};

/// What is kept of a log for those who follow it: a batch of ordinary lines takes some kilobytes.
const LOG: Keep = Keep { bytes: 512 * 1024, linger: Duration::ZERO, idle: 0 };
/// What is kept of a team's moves: a few hundred, also for those who were cut off for a while.
const MOVES: Keep = Keep { bytes: 256 * 1024, linger: Duration::from_secs(600), idle: 256 };

/// Who listens to what.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) logs: Topics<RunId, LogTold>,
    pub(crate) moves: Topics<TeamId, RunChange>,
}

impl Default for Live {
    fn default() -> Self {
        Self { logs: Topics::new(LOG), moves: Topics::new(MOVES) }
    }
}

/// Follows the feed.
pub(crate) fn follow(memory: &Arc<Memory>, subscribers: &mut Subscribers) {
    let (asked, told) = (Arc::clone(memory), Arc::clone(memory));
    subscribers.later(
        move |stored: &LogStored| {
            asked.live.logs.is_wanted(&stored.run).then(|| log::bytes_of(&stored.lines))
        },
        move |later: Later<'_, LogStored>| match later {
            Later::Event(stored) => log::tell_lines(&told.live.logs, stored),
            Later::Missed => told.live.logs.missed(),
        },
    );
    let (asked, told) = (Arc::clone(memory), Arc::clone(memory));
    subscribers.later(
        move |moved: &RunMoved| {
            let live = &asked.live;
            let is_wanted = live.moves.is_wanted(&moved.key.team_id) || live.logs.is_wanted(&moved.id);
            is_wanted.then(|| moves::bytes_of(moved))
        },
        move |later: Later<'_, RunMoved>| match later {
            Later::Event(moved) => {
                log::tell_move(&told.live.logs, moved);
                let bytes = moves::bytes_of(moved);
                told.live.moves.tell(&moved.key.team_id, bytes, || RunChange::from(moved));
            }
            // What a log missed of its run's moves, it finds in the database.
            Later::Missed => {
                told.live.logs.missed();
                told.live.moves.missed();
            }
        },
    );
}
