//! The secrets that a run gets with its lease, and what becomes of a run that cannot have them.

use minitower_kernel::{Db, StoreError, Tx};
use minitower_teams::secret::Withheld;
use minitower_teams::{SecretValue, Shelf, Teams};
use minitower_vocabulary::statuses::{ResultReason, ResultStatus};
use minitower_vocabulary::time::Timestamp;

use crate::Error;
use crate::domain::app::Version;
use crate::domain::lease::{self, Command, Outcome};
use crate::domain::run::Run;
use crate::gates::Gates;
use crate::leases::{RunAndAttempt, held, jitter, save_held};

/// Names and values, as the Towerfile of the version orders them.
pub(crate) type Secrets = Vec<(String, SecretValue)>;

/// The secrets that the version names, as they are now in the run's environment. A version that names none costs nothing.
pub(crate) fn open(
    teams: &Teams,
    db: &Db,
    run: &Run,
    version: &Version,
) -> Result<Result<Secrets, Withheld>, StoreError> {
    if version.secrets.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let shelf =
        Shelf { team: run.team_id, environment: run.environment_id, environment_name: &run.environment };
    teams.open_secrets(db, shelf, &version.secrets)
}

/// Ends the attempt that was leased a moment ago, and that no runner will hear of: no job is started without what it needs.
pub(crate) fn fail(
    tx: &Tx<'_>,
    gates: &Gates,
    (run, attempt): RunAndAttempt,
    withheld: &Withheld,
    now: Timestamp,
) -> Result<(), Error> {
    tracing::warn!(run_id = %run.id, attempt_id = %attempt.id, reason = %withheld, "a run does not get its secrets");
    let outcome = Outcome {
        status: ResultStatus::Failed,
        exit_code: None,
        error_message: Some(withheld.to_string()),
        reason: Some(ResultReason::Setup),
    };
    let after = lease::decide(held(&run, &attempt), Command::Result(outcome, jitter()?), now)?;
    save_held(tx, gates, (run, attempt), after)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use minitower_towerfile::variables;
    use minitower_vocabulary::names;

    #[test]
    fn no_secret_has_a_name_that_a_towerfile_may_not_give_to_a_variable() {
        assert_eq!(names::RESERVED_SECRETS, variables::RESERVED);
        assert_eq!(names::RESERVED_SECRET_PREFIXES, variables::RESERVED_PREFIXES);
    }
}
