//! Decides whose fault it is if a run cannot be set up.

use std::sync::Arc;
use std::time::Duration;

use minitower_daemon::errors::chain;

use super::error::{Failure, SetupError};
use super::runs::Runs;
use crate::data_dir::Room;
use crate::workspace::Workspace;

/// How long to wait until what the run took is free again.
const FREED_WITHIN: Duration = Duration::from_secs(60);

/// The disk before a run and around its failure.
#[derive(Debug, Clone, Copy)]
struct Taken {
    before: Room,
    at_failure: Room,
    after: Room,
}

impl Taken {
    /// Bytes and files that were free again when the run's own were removed.
    fn by_the_run(self) -> (u64, u64) {
        let files = |room: Room| room.files.unwrap_or(0);
        (
            self.after.bytes.saturating_sub(self.at_failure.bytes),
            files(self.after).saturating_sub(files(self.at_failure)),
        )
    }

    /// Whether the run itself took most of what was free.
    fn is_its_own_doing(self) -> bool {
        let (bytes, files) = self.by_the_run();
        let most_files = self.before.files.is_some_and(|before| files >= before / 2);
        bytes >= self.before.bytes / 2 || most_files
    }
}

/// Decides whether a step of the setup failed because of the runner. A run that does not fit on an otherwise empty disk would go from
/// runner to runner for ever, so the second time on this runner it counts as the run's own fault.
pub(super) async fn judge(
    runs: &Runs,
    run_id: i64,
    before: Option<Room>,
    workspace: &Arc<Workspace>,
    error: SetupError,
) -> SetupError {
    let error = match blamed_on_the_disk(runs, &error) {
        Some((failed, at_failure)) => {
            of_a_full_disk(runs, run_id, before, at_failure, workspace, failed).await
        }
        None => error,
    };
    told(runs, run_id, error)
}

/// If the fault is the runner's own, says so in its log, and lets the next run wait until it is mended.
pub(super) fn told(runs: &Runs, run_id: i64, error: SetupError) -> SetupError {
    match error {
        SetupError::Own(_) | SetupError::Full { .. } => {
            tracing::error!(
                run = run_id,
                error = chain(&error),
                "this runner's fault; the run is given back"
            );
            runs.health.suspect();
        }
        // A run that loses every supervisor, or cannot be confined, must not come back at once.
        SetupError::Supervisor(_) => runs.health.suspect(),
        SetupError::Stopped(_) | SetupError::Failed(_) => {}
    }
    error
}

/// The failure's text and what is free, if a full disk is the cause, whatever an installer says about it.
fn blamed_on_the_disk(runs: &Runs, error: &SetupError) -> Option<(String, Option<Room>)> {
    let room = runs.data_dir.room().ok();
    let full = match error {
        SetupError::Stopped(_) | SetupError::Supervisor(_) => false,
        SetupError::Full { .. } => true,
        SetupError::Own(fault) => fault.is_full_disk(),
        SetupError::Failed(_) => room.is_some_and(Room::is_full),
    };
    full.then(|| (chain(error), room))
}

async fn of_a_full_disk(
    runs: &Runs,
    run_id: i64,
    before: Option<Room>,
    at_failure: Option<Room>,
    workspace: &Arc<Workspace>,
    failed: String,
) -> SetupError {
    let own = SetupError::Full { failed: failed.clone() };
    let (Some(before), Some(at_failure)) = (before, at_failure) else { return own };
    if let Ok(outcome) = workspace.remove() {
        let _whatever_it_is = tokio::time::timeout(FREED_WITHIN, outcome).await;
    }
    let Ok(after) = runs.data_dir.room() else { return own };
    let taken = Taken { before, at_failure, after };
    if !taken.is_its_own_doing() || !runs.health.filled_by(run_id) {
        return own;
    }
    let (bytes, files) = taken.by_the_run();
    Failure::DoesNotFit { failed, bytes, files, free: before.bytes }.into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn room(bytes: u64, files: u64) -> Room {
        Room { bytes, files: Some(files) }
    }

    #[rstest]
    // It took nearly all bytes.
    #[case(room(1000, 1000), room(0, 900), room(990, 1000), true)]
    // It took nearly all files.
    #[case(room(1000, 1000), room(900, 0), room(1000, 999), true)]
    // Somebody else filled the disk meanwhile.
    #[case(room(1000, 1000), room(0, 900), room(100, 1000), false)]
    // And freed it again.
    #[case(room(1000, 1000), room(0, 900), room(0, 900), false)]
    fn who_took_the_room(
        #[case] before: Room,
        #[case] at_failure: Room,
        #[case] after: Room,
        #[case] own: bool,
    ) {
        assert_eq!(Taken { before, at_failure, after }.is_its_own_doing(), own);
    }
}
