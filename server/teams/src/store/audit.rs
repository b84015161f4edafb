//! The audit log: the triggers that write it, and its reading.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{At, Db, StoreError, Tx, at};
use minitower_vocabulary::ids::{AuditEventId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::audit::{AuditEvent, Audited, Ended, Moves};

/// The tables of this subject whose changes are recorded.
pub(crate) const AUDITED: &[Audited] = &[
    Audited {
        table: "teams",
        noun: "team",
        team: "ROW.id",
        object: "'team'",
        shown: &[("slug", "ROW.slug"), ("name", "ROW.name")],
        only: None,
        moves: Moves { made: true, changed: Some((&["name"], "update")), ended: Ended::Never },
    },
    Audited {
        table: "teams",
        noun: "password",
        team: "ROW.id",
        object: "'team/password'",
        shown: &[("password", "iif(ROW.password_hash IS NULL, 'none', 'set')")],
        only: None,
        moves: Moves { made: false, changed: Some((&["password_hash"], "update")), ended: Ended::Never },
    },
    Audited {
        table: "team_tokens",
        noun: "token",
        team: "ROW.team_id",
        object: "'tokens/' || ROW.id",
        shown: &[("name", "ROW.name"), ("role", "ROW.role"), ("expires_at", "ROW.expires_at")],
        only: None,
        moves: Moves::MADE_AND_REMOVED,
    },
    Audited {
        table: "registration_tokens",
        noun: "registration_token",
        team: "ROW.team_id",
        object: "'registration-tokens/' || ROW.id",
        shown: &[("bootstrap", "json(iif(ROW.bootstrap, 'true', 'false'))")],
        only: None,
        moves: Moves::MADE_AND_REMOVED,
    },
    Audited {
        table: "pool_tokens",
        noun: "pool_token",
        team: "ROW.team_id",
        object: "'pools/' || ROW.pool || '/token'",
        shown: &[("environment", "ROW.environment")],
        only: None,
        moves: Moves::MADE_AND_REMOVED,
    },
    Audited {
        table: "environments",
        noun: "environment",
        team: "ROW.team_id",
        object: "'environments/' || ROW.name",
        shown: &[("name", "ROW.name")],
        only: None,
        moves: Moves::MADE_AND_REMOVED,
    },
    Audited {
        table: "team_secrets",
        noun: "secret",
        team: "(SELECT team_id FROM main.environments WHERE id = ROW.environment_id)",
        object: "'environments/' || (SELECT name FROM main.environments WHERE id = ROW.environment_id) || '/secrets/' || ROW.name",
        // Never the value, not even encrypted.
        shown: &[("name", "ROW.name")],
        only: None,
        moves: Moves { made: true, changed: Some((&["sealed"], "update")), ended: Ended::Removed },
    },
    Audited {
        table: "team_limits",
        noun: "limit",
        team: "ROW.team_id",
        object: "'limits/' || ROW.name",
        shown: &[("allowed", "ROW.allowed"), ("chosen", "ROW.chosen")],
        only: None,
        moves: Moves { made: true, changed: Some((&["allowed", "chosen"], "update")), ended: Ended::Removed },
    },
];

/// Who acts, as a person reads it: the token's name is looked up, since it may be gone when the event is read.
const ACTOR: &str = "iif(acting_token() IS NULL, acting_name(), acting_name() || ' ' || acting_token()
     || coalesce((SELECT ' (' || name || ')' FROM main.team_tokens WHERE id = acting_token()), ''))";

/// The triggers that record the changes of a table.
pub(crate) fn triggers(audited: &Audited) -> Vec<String> {
    let Audited { table, noun, moves, only, .. } = audited;
    let mut all = Vec::new();
    let mut trigger = |verb: &str, on: &str, when: &str, before: bool, after: bool| {
        let event = event(audited, verb, before, after);
        let only = only.map_or_else(String::new, |only| format!("({}) AND ", of_row(only, after)));
        all.push(format!(
            "CREATE TEMP TRIGGER audit_{table}_{noun}_{verb} AFTER {on} ON main.{table}
             WHEN {when}{only}acting_name() IS NOT NULL BEGIN {event}; END"
        ));
    };
    if moves.made {
        trigger("create", "INSERT", "", false, true);
    }
    if let Some((columns, verb)) = moves.changed {
        let differ: Vec<_> = columns.iter().map(|name| format!("NEW.{name} IS NOT OLD.{name}")).collect();
        let on = format!("UPDATE OF {}", columns.join(", "));
        trigger(verb, &on, &format!("({}) AND ", differ.join(" OR ")), true, true);
    }
    match moves.ended {
        Ended::Never => {}
        Ended::Removed => trigger("delete", "DELETE", "", true, false),
        Ended::Marked(column) => {
            let when = format!("OLD.{column} IS NULL AND NEW.{column} IS NOT NULL AND ");
            trigger("delete", &format!("UPDATE OF {column}"), &when, true, false);
        }
    }
    all
}

/// The statement that records one change.
fn event(audited: &Audited, verb: &str, before: bool, after: bool) -> String {
    let Audited { noun, team, object, shown, .. } = audited;
    let pairs: Vec<_> = shown.iter().map(|(name, value)| format!("'{name}', {value}")).collect();
    let state = |there: bool, new: bool| {
        if there { of_row(&format!("json_object({})", pairs.join(", ")), new) } else { "NULL".to_owned() }
    };
    format!(
        "INSERT INTO audit_events (team_id, at, actor, token_id, address, action, object, before, after)
         VALUES ({team}, acting_at(), {ACTOR}, acting_token(), acting_address(), '{noun}.{verb}', {object},
                 {before}, {after})",
        team = of_row(team, after),
        object = of_row(object, after),
        before = state(before, false),
        after = state(after, true),
    )
}

/// SQL over a row, of the row as it is after the change or before it.
fn of_row(sql: &str, after: bool) -> String {
    sql.replace("ROW.", if after { "NEW." } else { "OLD." })
}

/// Bytes of objects, before and after, on one page.
const MOST_BYTES: usize = 1024 * 1024;

/// Whose events are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// One team's.
    Team(TeamId),
    /// All teams' and the platform's.
    Everybody,
}

/// Events, newest first, from before `before` if given: at most `limit`.
pub(crate) fn list(
    db: &Db,
    whose: Whose,
    before: Option<AuditEventId>,
    limit: i64,
) -> Result<Vec<AuditEvent>, StoreError> {
    const COLUMNS: &str =
        "SELECT id, team_id, at, actor, token_id, address, action, object, before, after FROM audit_events";
    let before = before.map_or(i64::MAX, |id| id.0);
    match whose {
        Whose::Team(team) => db.all_within(
            &format!("{COLUMNS} WHERE team_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"),
            params![team.0, before, limit],
            MOST_BYTES,
            sized,
        ),
        Whose::Everybody => db.all_within(
            &format!("{COLUMNS} WHERE id < ?1 ORDER BY id DESC LIMIT ?2"),
            params![before, limit],
            MOST_BYTES,
            sized,
        ),
    }
}

fn sized(row: &Row<'_>) -> Result<(AuditEvent, usize), StoreError> {
    let event = read(row)?;
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let size = event.object.len() + length(&event.before) + length(&event.after);
    Ok((event, size))
}

fn read(row: &Row<'_>) -> Result<AuditEvent, StoreError> {
    Ok(AuditEvent {
        id: AuditEventId(row.get("id")?),
        team: row.get::<_, Option<i64>>("team_id")?.map(TeamId),
        at: at(row, "at")?,
        actor: row.get("actor")?,
        token: row.get("token_id")?,
        address: row.get("address")?,
        action: row.get("action")?,
        object: row.get("object")?,
        before: row.get("before")?,
        after: row.get("after")?,
    })
}

/// Whether there are events from before `end`.
pub(crate) fn any_before(db: &Db, end: Timestamp) -> Result<bool, StoreError> {
    let found = db.one("SELECT 1 FROM audit_events WHERE at < ?1 LIMIT 1", [At(end)], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Deletes the oldest events from before `end`, at most `most`. Answers how many.
pub(crate) fn prune(tx: &Tx<'_>, end: Timestamp, most: i64) -> Result<u64, StoreError> {
    let gone = tx.execute(
        "DELETE FROM audit_events WHERE id IN
             (SELECT id FROM audit_events INDEXED BY audit_events_by_age WHERE at < ?1 ORDER BY at LIMIT ?2)",
        params![At(end), most],
    )?;
    Ok(gone as u64)
}

/// The newest event of a team, or of the platform, that has at least `kept` newer ones; none: there are no more than that.
pub(crate) fn newest_beyond(
    db: &Db,
    whose: Option<TeamId>,
    kept: u32,
) -> Result<Option<AuditEventId>, StoreError> {
    db.one(
        "SELECT id FROM audit_events INDEXED BY audit_events_by_team WHERE team_id IS ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2",
        params![whose.map(|team| team.0), kept],
        |row| Ok(AuditEventId(row.get("id")?)),
    )
}

/// The next team that has events, behind one or behind the platform.
pub(crate) fn next_team(db: &Db, after: Option<TeamId>) -> Result<Option<TeamId>, StoreError> {
    db.one(
        "SELECT team_id FROM audit_events INDEXED BY audit_events_by_team WHERE team_id > ?1 ORDER BY team_id LIMIT 1",
        [after.map_or(0, |team| team.0)],
        |row| Ok(TeamId(row.get("team_id")?)),
    )
}

/// Deletes the oldest events of a team, or of the platform, up to one: at most `most`. Answers how many.
pub(crate) fn prune_up_to(
    tx: &Tx<'_>,
    whose: Option<TeamId>,
    newest: AuditEventId,
    most: i64,
) -> Result<u64, StoreError> {
    let gone = tx.execute(
        "DELETE FROM audit_events WHERE id IN
             (SELECT id FROM audit_events INDEXED BY audit_events_by_team WHERE team_id IS ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        params![whose.map(|team| team.0), newest.0, most],
    )?;
    Ok(gone as u64)
}
