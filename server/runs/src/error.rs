//! Why a use case says no. Each variant says what is wrong by its type; its `Display` says so to people, and causes are its sources.

use minitower_kernel::StoreError;
use minitower_kernel::objects::ObjectError;
use minitower_kernel::page::LimitError;
use minitower_kernel::volumes::NoRoom;
use minitower_teams::limits::Reached;
use minitower_towerfile::ArchiveError;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::json::NotJson;
use minitower_vocabulary::names::{NameError, TextError};

use crate::domain::artifact::{PathError, TooMuch};
use crate::domain::labels::BadLabel;
use crate::domain::lease::Refusal;
use crate::domain::retry::BadPolicy;
use crate::domain::runner::HeldBy;

mod field;

pub use field::Field;

/// A use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A slug or another name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The limit of a page is out of its range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The path of an artifact cannot be taken.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A retry policy cannot be taken.
    #[error(transparent)]
    Retry(#[from] BadPolicy),
    /// A label cannot be taken.
    #[error(transparent)]
    Label(#[from] BadLabel),
    /// The key was used for another request.
    #[error("the Idempotency-Key was used for another request within the last 24 hours: use a new key")]
    KeyReused,
    /// A field of the request cannot be taken.
    #[error("{name} {problem}")]
    Field {
        /// The field.
        name: &'static str,
        /// What is wrong with it.
        problem: Field,
    },
    /// The input of a run does not fit.
    #[error(transparent)]
    Input(#[from] InputError),
    /// An upload does not become a version.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// What is asked for is not there, or is another team's.
    #[error(transparent)]
    Absent(#[from] Absent),
    /// The team has an app of that slug.
    #[error("the team has an app {0:?} already")]
    AppExists(String),
    /// Only an admin of the team may change the field.
    #[error("only an admin of the team may change {0}")]
    AdminsField(&'static str),
    /// The app takes no runs.
    #[error("the app {0:?} is disabled: enable it first")]
    AppDisabled(String),
    /// The app has no version to run.
    #[error("the app {0:?} has no version yet: upload one first")]
    NoVersion(String),
    /// What is to be deleted has runs that have not ended.
    #[error("{what} has runs that have not ended: wait for them, or add force=true to cancel them first")]
    UnfinishedRuns {
        /// What is to be deleted.
        what: String,
    },
    /// The run that is to be deleted has not ended.
    #[error("run {0} has not ended: wait for it, or add force=true to cancel it first")]
    UnfinishedRun(RunId),
    /// The run that is to be repeated has not ended.
    #[error("run {0} has not ended: wait for it, or cancel it first")]
    NotEnded(RunId),
    /// Nothing says which runs are meant.
    #[error(
        "say which runs are meant: give at least one of status, app, environment and label; to mean all of them, list every status"
    )]
    AllRuns,
    /// Runs in that state are not meant by the call.
    #[error("status {status:?} is not for this call: it must be one of {allowed}")]
    StatusOfMany {
        /// The status.
        status: &'static str,
        /// Those that are.
        allowed: String,
    },
    /// A rule of the lease protocol says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The run may leave nothing more behind.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    /// The runner that polls holds an active attempt.
    #[error("this runner holds an active attempt: finish or release it first")]
    PollerBusy,
    /// The runner holds nothing.
    #[error("the runner {0:?} holds no run")]
    RunnerIdle(String),
    /// The runner holds a run.
    #[error("the runner {0:?} holds a run: drain it and wait, or cancel the run")]
    RunnerBusy(String),
    /// Another runner has the name and keeps it.
    #[error("the runner name {name:?} is held by a runner of {}: choose another name", match by {
        HeldBy::Platform => "the platform",
        HeldBy::AnotherTeam => "another team",
        HeldBy::AnotherPool => "another pool",
    })]
    RunnerNameHeld {
        /// The name.
        name: String,
        /// Whose runner has it.
        by: HeldBy,
    },
    /// An object is longer than it may be.
    #[error("{what} is over the limit of {bytes} bytes{decided_by}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Most bytes.
        bytes: u64,
        /// What decides the limit, or the way out.
        decided_by: &'static str,
    },
    /// An object is not as it was stored. No retry of the caller's brings it back.
    #[error("{what} {}: {way_out}", if matches!(source, ObjectError::Missing { .. }) { "is missing from the object store" } else { "is damaged in the object store" })]
    Lost {
        /// What it was.
        what: String,
        /// What brings it back.
        way_out: &'static str,
        /// What was found.
        #[source]
        source: ObjectError,
    },
    /// A credential is refused.
    #[error(transparent)]
    Teams(#[from] minitower_teams::Error),
    /// The team is at a limit of how much it may have.
    #[error(transparent)]
    Reached(#[from] Reached),
    /// The database refused or failed.
    #[error("the database did not carry it out")]
    Store(#[from] StoreError),
    /// A volume has no room for this.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The object store refused or failed.
    #[error("the object store did not carry it out")]
    Objects(#[from] ObjectError),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random(#[source] getrandom::Error),
    /// A task of the server ended without an answer: a defect.
    #[error("{0} ended without an answer")]
    TaskEnded(&'static str),
}

/// What is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// An app.
    #[error("there is no app {0:?}")]
    App(String),
    /// A version.
    #[error("the app {app:?} has no version {number}")]
    Version {
        /// The app's slug.
        app: String,
        /// The version's number.
        number: i64,
    },
    /// A run.
    #[error("there is no run {0}")]
    Run(RunId),
    /// A run that is to be repeated.
    #[error(
        "there is no run {0} to run again: it may have been deleted, alone or with its version or its app; create a new run instead"
    )]
    RunToRepeat(RunId),
    /// An attempt.
    #[error("run {run} has no attempt {number}")]
    Attempt {
        /// The run.
        run: RunId,
        /// The attempt's number.
        number: i64,
    },
    /// An artifact.
    #[error("run {run} has no artifact {path:?}")]
    Artifact {
        /// The run.
        run: RunId,
        /// The path.
        path: String,
    },
    /// An environment.
    #[error("there is no environment {0:?}")]
    Environment(String),
    /// A runner.
    #[error("there is no runner {0:?}")]
    Runner(String),
}

/// Why an input does not fit.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It is neither an object nor null.
    #[error("input must be a JSON object or null")]
    NotAnObject,
    /// It breaks the version's schema; the text names path and rule.
    #[error("{0}")]
    BreaksSchema(String),
    /// Checking it would take too long or too much memory.
    #[error("input is too much to check: the version's schema {0}")]
    TooMuch(#[source] SchemaTooMuch),
    /// A version would show a value that was hidden.
    #[error(
        "version {version} does not hide the parameter {name:?}, and would show the value of the run that is repeated: give a new value for \
         it in input, or repeat the run with its own version"
    )]
    WouldShow {
        /// The parameter.
        name: String,
        /// The version's number.
        version: i64,
    },
}

/// A schema that would cost too much. Displays as what follows "the schema".
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SchemaTooMuch(#[from] pub(crate) crate::schema::TooMuch);

/// Why an upload does not become a version.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It has neither a Towerfile nor an entrypoint.
    #[error(
        "the archive has no {} at its root (among its first 50 entries): add one, or name the entrypoint in a form field",
        minitower_towerfile::TOWERFILE
    )]
    NoTowerfile,
    /// The Towerfile is wrong.
    #[error("Towerfile: {0}")]
    Towerfile(#[source] minitower_towerfile::Error),
    /// The Towerfile asks for a schedule.
    #[error(
        "Towerfile: app.schedule is not supported by this server: remove it, and start the runs from outside, with cron for example"
    )]
    Schedule,
    /// The Towerfile's description is too long, or is no text for people.
    #[error("Towerfile: app.description {0}")]
    Description(TextError),
    /// The archive is refused.
    #[error("the archive is refused: {0}")]
    Archive(#[source] ArchiveError),
    /// The entrypoint is not in the archive.
    #[error("the entrypoint {0:?} is not a file of the archive")]
    NoEntrypoint(String),
    /// Runners start nothing of that kind without a Towerfile.
    #[error("the entrypoint {0:?} must end in .py or .sh: runners start nothing else without a Towerfile")]
    Extension(String),
    /// The entrypoint does not name a module.
    #[error("the entrypoint \"-m {0}\" does not name a module: write its dotted name, as in `-m pkg.cli`")]
    NotAModule(String),
    /// The module is not in the archive.
    #[error(
        "the module {module:?} is not in the archive: there is neither {file}.py nor {file}/__main__.py at its root, in src or in \
         import_paths"
    )]
    NoModule {
        /// The module.
        module: String,
        /// Its file, without the ending.
        file: String,
    },
    /// The schema is not JSON.
    #[error("params_schema_json is not JSON: {0}")]
    SchemaNotJson(#[source] NotJson),
    /// The schema would cost too much.
    #[error("params_schema_json asks for too much: it {0}")]
    SchemaTooMuch(#[source] SchemaTooMuch),
    /// The schema is no JSON Schema; the text says why.
    #[error("params_schema_json is not a valid JSON Schema: {0}")]
    SchemaInvalid(String),
}

impl Error {
    pub(crate) const fn field(name: &'static str, problem: Field) -> Self {
        Self::Field { name, problem }
    }
}
