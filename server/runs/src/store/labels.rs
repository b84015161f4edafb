//! Labels of runs, beside the copy that each run carries.

use minitower_kernel::rusqlite::params;
use minitower_kernel::{StoreError, Tx};
use minitower_vocabulary::ids::{RunId, TeamId};

use serde_json::{Map, Value};

use crate::domain::labels::Labels;

/// Labels as a run carries them: a JSON object of strings; none: it has none.
pub(crate) fn json(labels: &Labels) -> Option<String> {
    let object: Map<String, Value> =
        labels.iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    (!object.is_empty()).then(|| Value::Object(object).to_string())
}

/// Stores the labels of a new run.
pub fn insert(tx: &Tx<'_>, team: TeamId, run: RunId, labels: &Labels) -> Result<(), StoreError> {
    for (key, value) in labels.iter() {
        tx.execute(
            "INSERT INTO run_labels (team_id, key, value, run_id) VALUES (?1, ?2, ?3, ?4)",
            params![team.0, key, value, run.0],
        )?;
    }
    Ok(())
}
