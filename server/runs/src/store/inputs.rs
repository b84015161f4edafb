//! Inputs that are too large for the row of their run.

use minitower_kernel::rusqlite::params;
use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::ids::RunId;

use crate::domain::input::Input;
use crate::domain::run::Run;

/// Stores the input of a new run.
pub(crate) fn insert(tx: &Tx<'_>, run: RunId, text: &str) -> Result<(), StoreError> {
    tx.execute("INSERT INTO run_inputs (run_id, input) VALUES (?1, ?2)", params![run.0, text])?;
    Ok(())
}

/// The run with its input at hand.
pub(crate) fn with_input(db: &Db, run: Run) -> Result<Run, StoreError> {
    let Some(Input::Apart { .. }) = run.input else { return Ok(run) };
    let text: Option<String> =
        db.one("SELECT input FROM run_inputs WHERE run_id = ?1", [run.id.0], |row| Ok(row.get("input")?))?;
    let text = text.ok_or_else(|| StoreError::Inconsistent(format!("run {} without its input", run.id)))?;
    Ok(Run { input: Some(Input::Text(text)), ..run })
}
