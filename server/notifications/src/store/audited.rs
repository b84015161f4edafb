//! Which changes of this subject's tables the audit log records. Deliveries are their own record.

use minitower_teams::audit::{Audited, Ended, Moves};

/// The tables whose changes are recorded.
pub const AUDITED: &[Audited] = &[Audited {
    table: "notifications",
    noun: "notification",
    team: "ROW.team_id",
    object: "'notifications/' || ROW.id",
    shown: &[
        ("name", "ROW.name"),
        ("on", "ROW.occasions"),
        ("app", "ROW.app"),
        ("environment", "ROW.environment"),
        ("label", "ROW.label"),
        ("kind", "ROW.kind"),
        ("target", "ROW.shown"),
        ("enabled", "json(iif(ROW.enabled, 'true', 'false'))"),
    ],
    only: None,
    moves: Moves {
        made: true,
        changed: Some((
            &["name", "occasions", "app", "environment", "label", "kind", "shown", "secret", "enabled"],
            "update",
        )),
        ended: Ended::Removed,
    },
}];
