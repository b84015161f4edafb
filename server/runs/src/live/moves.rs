//! How a team's runs move.

use std::sync::Arc;

use minitower_kernel::topics::{Heard, Listener, Piece, Place};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{AppId, RunId, TeamId};
use tokio_util::sync::CancellationToken;

use crate::Runs;
use crate::domain::run::RunProgress;
use crate::store::events::RunMoved;

/// What a move holds besides its texts, as it is and as it is rendered.
const MOVE_BYTES: usize = 1024;

/// A run after a move: what a table of runs shows of it.
#[derive(Debug, Clone)]
pub struct RunChange {
    /// The run.
    pub id: RunId,
    /// 1, 2, 3 … within the app.
    pub number: i64,
    /// Its app.
    pub app_id: AppId,
    /// That app's slug.
    pub app: String,
    /// Its version's number.
    pub version: i64,
    /// The name of its environment.
    pub environment: String,
    /// Its priority.
    pub priority: i64,
    /// Name of the runner of the newest attempt.
    pub runner: Option<String>,
    /// How many attempts were begun.
    pub attempts: i64,
    /// Its labels, a JSON object of strings as text; none: it has none.
    pub labels: Option<String>,
    /// Where it stands.
    pub progress: RunProgress,
}

impl From<&RunMoved> for RunChange {
    fn from(moved: &RunMoved) -> Self {
        Self {
            id: moved.id,
            number: moved.number,
            app_id: moved.key.app_id,
            app: moved.names.app.clone(),
            version: moved.version,
            environment: moved.names.environment.clone(),
            priority: moved.priority,
            runner: moved.runner.clone(),
            attempts: moved.attempts,
            labels: moved.labels.clone(),
            progress: moved.after.clone(),
        }
    }
}

pub(super) fn bytes_of(moved: &RunMoved) -> usize {
    let message = moved.after.state.end().and_then(|end| end.error_message.as_ref());
    let texts = [moved.labels.as_ref(), message].into_iter().flatten().map(String::len).sum::<usize>();
    MOVE_BYTES + 2 * texts
}

/// What a follower of a team's runs hears.
#[derive(Debug)]
pub enum MoveHeard {
    /// A run moved, or was made.
    Moved(Arc<Piece<RunChange>>),
    /// Moves are missing here: what the follower knows of the team's runs may be old.
    Reset,
}

/// Follows a team's runs.
#[derive(Debug)]
pub struct MoveStream {
    listener: Listener<TeamId, RunChange>,
    /// What was heard and not handed out yet.
    heard: std::vec::IntoIter<Arc<Piece<RunChange>>>,
    /// The moves after the last place are not there any more.
    reset: bool,
    stopping: CancellationToken,
}

impl Runs {
    /// Follows the moves of the team's runs: from now on, or from behind the place that an earlier stream had come to.
    pub fn follow_moves(&self, by: &TeamPrincipal, after: Option<Place>) -> MoveStream {
        let mut listener = self.0.memory.live.moves.listen(by.team_id);
        let reset = after.is_some_and(|place| !listener.go_back(place));
        MoveStream { listener, heard: Vec::new().into_iter(), reset, stopping: self.0.stopping.clone() }
    }

    /// A stream that goes on where any of another server's was: it begins with a reset.
    pub fn follow_moves_anew(&self, by: &TeamPrincipal) -> MoveStream {
        MoveStream { reset: true, ..self.follow_moves(by, None) }
    }
}

impl MoveStream {
    /// Where the topic stands for this stream: behind all that was heard.
    pub fn place(&self) -> Place {
        self.listener.place()
    }

    /// What comes next; none: the server stops. Nothing is lost if it is dropped before it answers.
    pub async fn next(&mut self) -> Option<MoveHeard> {
        loop {
            if std::mem::take(&mut self.reset) {
                return Some(MoveHeard::Reset);
            }
            if let Some(piece) = self.heard.next() {
                return Some(MoveHeard::Moved(piece));
            }
            let heard = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                heard = self.listener.hear() => heard,
            };
            match heard {
                Heard::Pieces(pieces) => self.heard = pieces.into_iter(),
                Heard::Missed => self.reset = true,
            }
        }
    }
}
