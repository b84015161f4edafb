//! What the audit log is made of.

use minitower_vocabulary::ids::{AuditEventId, TeamId};
use minitower_vocabulary::time::Timestamp;

/// One change, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its id. A later change has a greater one.
    pub id: AuditEventId,
    /// The team that it concerns; none: the platform.
    pub team: Option<TeamId>,
    /// When.
    pub at: Timestamp,
    /// Who, in words.
    pub actor: String,
    /// The id of the team token that was shown.
    pub token: Option<i64>,
    /// The client's address.
    pub address: Option<String>,
    /// What was done: a noun, a dot, a verb.
    pub action: String,
    /// To what: a path below the team.
    pub object: String,
    /// The object before, a JSON object.
    pub before: Option<String>,
    /// The object after, a JSON object.
    pub after: Option<String>,
}

/// How the changes of a table become audit events.
///
/// All texts but `noun` are SQL over a row of the table, which they call `ROW`.
#[derive(Debug, Clone, Copy)]
pub struct Audited {
    /// The table.
    pub table: &'static str,
    /// What a row is, in actions such as `token.create`.
    pub noun: &'static str,
    /// The id of its team; NULL: the platform's.
    pub team: &'static str,
    /// Its path below the team.
    pub object: &'static str,
    /// What is kept of it before and after: a name, and the SQL of the value. Never a secret.
    pub shown: &'static [(&'static str, &'static str)],
    /// Which rows are recorded; none: all.
    pub only: Option<&'static str>,
    /// Which of its moves are recorded.
    pub moves: Moves,
}

/// Which moves of rows are recorded.
#[derive(Debug, Clone, Copy)]
pub struct Moves {
    /// Whether new rows are.
    pub made: bool,
    /// Columns whose change is, and the verb for it.
    pub changed: Option<(&'static [&'static str], &'static str)>,
    /// How a row ends.
    pub ended: Ended,
}

/// How a row ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It never does, or its end is not recorded.
    Never,
    /// The row is deleted.
    Removed,
    /// This column is set, and the row is removed later.
    Marked(&'static str),
}

impl Moves {
    /// Rows are made and removed, and never change.
    pub const MADE_AND_REMOVED: Self = Self { made: true, changed: None, ended: Ended::Removed };
}
