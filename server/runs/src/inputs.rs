//! The input of a run: checked when the run is made, and at hand where it is needed.

use std::sync::Arc;

use minitower_kernel::{Db, Store};
use minitower_vocabulary::ids::{RunId, TeamId};
use serde_json::{Map, Value};

use crate::domain::input::Input;
use crate::domain::run::Run;
use crate::runs::{Runnable, find};
use crate::store::inputs;
use crate::{Error, InputError, Runs};

/// What a caller gave as an input.
pub(crate) fn object(input: Option<Value>) -> Result<Option<Map<String, Value>>, Error> {
    match input {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(InputError::NotAnObject.into()),
    }
}

/// The team's run of that id, with its input however large it is.
pub(crate) fn find_whole(db: &Db, team: TeamId, id: RunId) -> Result<Run, Error> {
    Ok(inputs::with_input(db, find(db, team, id)?)?)
}

impl Runs {
    /// An input as it is stored, with its defaults, once it keeps the version's schema.
    pub(crate) async fn input_text(
        &self,
        runnable: Arc<Runnable>,
        input: Option<Map<String, Value>>,
    ) -> Result<Option<String>, Error> {
        let input = if runnable.version().params_schema.is_none() {
            input
        } else {
            // Some schemas take tenths of a second: not on a thread that serves others meanwhile.
            let shared = Arc::clone(&self.0);
            let checked = move || shared.schemas.apply(runnable.version(), input);
            let checked = tokio::task::spawn_blocking(checked).await;
            checked.map_err(|_| Error::TaskEnded("the check of an input"))??
        };
        Ok(input.map(|map| Value::Object(map).to_string()))
    }
}

/// The run with its input however large it is, as long as it is not deleted.
pub(crate) async fn whole(store: &Store, run: Run) -> Result<Run, Error> {
    match run.input {
        Some(Input::Apart { .. }) => store.read(move |db| Ok(inputs::with_input(db, run)?)).await,
        None | Some(Input::Text(_)) => Ok(run),
    }
}
