//! Which changes of this subject's tables the audit log records. Runs, and what runners do, are their own record.

use minitower_teams::audit::{Audited, Ended, Moves};

/// What is shown of a retention.
const RETENTION: &[(&str, &str)] = &[("keep_seconds", "ROW.keep_seconds"), ("keep_last", "ROW.keep_last")];

/// The tables whose changes are recorded.
pub const AUDITED: &[Audited] = &[
    Audited {
        table: "apps",
        noun: "app",
        team: "ROW.team_id",
        object: "'apps/' || ROW.slug",
        shown: &[
            ("description", "ROW.description"),
            ("disabled", "json(iif(ROW.disabled, 'true', 'false'))"),
        ],
        only: None,
        moves: Moves {
            made: true,
            changed: Some((&["description", "disabled"], "update")),
            ended: Ended::Marked("deleted_at"),
        },
    },
    Audited {
        table: "apps",
        noun: "retention",
        team: "ROW.team_id",
        object: "'apps/' || ROW.slug || '/retention'",
        shown: RETENTION,
        only: None,
        moves: Moves {
            made: false,
            changed: Some((&["keep_seconds", "keep_last"], "update")),
            ended: Ended::Never,
        },
    },
    Audited {
        table: "team_retention",
        noun: "retention",
        team: "ROW.team_id",
        object: "'retention'",
        shown: RETENTION,
        only: None,
        moves: Moves {
            made: true,
            changed: Some((&["keep_seconds", "keep_last"], "update")),
            ended: Ended::Removed,
        },
    },
    Audited {
        table: "app_versions",
        noun: "version",
        team: "(SELECT team_id FROM main.apps WHERE id = ROW.app_id)",
        object: "'apps/' || (SELECT slug FROM main.apps WHERE id = ROW.app_id) || '/versions/' || ROW.version_no",
        shown: &[("entrypoint", "ROW.entrypoint"), ("artifact_sha256", "ROW.artifact_sha256")],
        only: None,
        moves: Moves { made: true, changed: None, ended: Ended::Marked("deleted_at") },
    },
    Audited {
        table: "runs",
        noun: "run",
        team: "ROW.team_id",
        object: "'runs/' || ROW.id",
        shown: &[("status", "ROW.status")],
        only: None,
        moves: Moves {
            made: false,
            changed: Some((&["cancel_requested"], "cancel")),
            ended: Ended::Marked("deleted_at"),
        },
    },
    Audited {
        table: "run_artifacts",
        noun: "artifact",
        team: "(SELECT team_id FROM main.runs WHERE id = ROW.run_id)",
        object: "'runs/' || ROW.run_id || '/artifacts/' || ROW.path",
        shown: &[("bytes", "ROW.bytes"), ("sha256", "ROW.sha256")],
        only: None,
        moves: Moves { made: false, changed: None, ended: Ended::Removed },
    },
    // What the operator does to scale is not recorded: two fences for each pod that goes.
    Audited {
        table: "runner_fences",
        noun: "drain",
        team: "ROW.holder_team_id",
        object: "'runners/' || ROW.runner_name",
        shown: &[("owner", "ROW.owner")],
        only: Some("ROW.holder_team_id <> 0"),
        moves: Moves::MADE_AND_REMOVED,
    },
    Audited {
        table: "runners",
        noun: "runner",
        team: "ROW.team_id",
        object: "'runners/' || ROW.name",
        shown: &[("environment", "ROW.environment"), ("pool", "ROW.pool")],
        only: Some("ROW.team_id IS NOT NULL"),
        moves: Moves { made: false, changed: None, ended: Ended::Removed },
    },
];
