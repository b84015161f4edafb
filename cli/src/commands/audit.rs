//! `minitower audit`: who changed what.

use clap::{Args, Subcommand};
use minitower_client::wire::audit::{AuditEvent, AuditEvents};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, time};

/// Events asked for at a time by an export.
const PAGE: i64 = 1000;
/// Characters of the change that a row shows.
const SHOWN: usize = 60;

/// Flags of `audit`, and its subcommands.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Audit {
    #[command(flatten)]
    of: Of,
    /// How many events, newest first
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=PAGE))]
    limit: i64,
    /// Only events that are older than the one with this id
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

/// Whose events.
#[derive(Debug, Args)]
struct Of {
    /// Of all teams and of the platform, with the operator token
    #[arg(long)]
    all_teams: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Print all events, one JSON object per line, newest first
    Export(Of),
}

impl Audit {
    /// Carries the command out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.command {
            Some(Subcommands::Export(of)) => export(&of, context).await,
            None => {
                let answer = page(&self.of, context, self.before, self.limit).await?;
                tell(context, &answer, self.of.all_teams)
            }
        }
    }
}

async fn page(of: &Of, context: &Context, before: Option<i64>, limit: i64) -> Result<AuditEvents, Failure> {
    let team = context.team()?;
    let answer =
        if of.all_teams { team.audit_of_all(before, limit).await } else { team.audit(before, limit).await };
    Ok(answer?)
}

async fn export(of: &Of, context: &Context) -> Result<Exit, Failure> {
    let mut before = None;
    loop {
        let answer = page(of, context, before, PAGE).await?;
        let Some(last) = answer.events.last() else { return Ok(Exit::Success) };
        before = Some(last.id);
        for event in &answer.events {
            context.out.json_line(event)?;
        }
    }
}

fn tell(context: &Context, answer: &AuditEvents, all_teams: bool) -> Result<Exit, Failure> {
    context.out.answer(answer, |out| {
        let rows = answer.events.iter().map(|event| {
            let mut row = vec![Cell::new(event.id), Cell::new(time(event.at))];
            if all_teams {
                row.push(Cell::new(event.team.as_deref().unwrap_or("-")));
            }
            row.extend([
                Cell::new(&event.actor),
                Cell::new(event.address.as_deref().unwrap_or("-")),
                Cell::new(&event.action),
                Cell::new(&event.object),
                Cell::new(change(event)),
            ]);
            row
        });
        let mut columns = vec!["ID", "TIME"];
        if all_teams {
            columns.push("TEAM");
        }
        columns.extend(["ACTOR", "ADDRESS", "ACTION", "OBJECT", "CHANGE"]);
        out.table(&columns, &rows.collect::<Vec<_>>(), "There are no events.")
    })?;
    Ok(Exit::Success)
}

/// What is different after the event, in one short line.
fn change(event: &AuditEvent) -> String {
    let none = Map::new();
    let (before, after) = (event.before.as_ref().unwrap_or(&none), event.after.as_ref().unwrap_or(&none));
    let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(value) && !value.is_null());
    let text = changed.map(|(name, value)| format!("{name}={}", short(value))).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return "-".to_owned();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A value without the quotes of JSON.
fn short(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_what_differs() {
        let event = |before: Value, after: Value| -> AuditEvent {
            serde_json::from_value(json!({
                "id": 1, "at": "2026-01-02T03:04:05.678Z", "actor": "operator", "action": "app.update",
                "object": "apps/a", "before": before, "after": after,
            }))
            .unwrap()
        };
        let shown = |before, after| change(&event(before, after));
        assert_eq!(shown(json!({"a": 1, "b": "x"}), json!({"a": 2, "b": "x"})), "a=2");
        assert_eq!(shown(Value::Null, json!({"a": true, "b": "x y", "c": null})), "a=true b=x y");
        assert_eq!(shown(json!({"a": 1}), Value::Null), "-");
        assert_eq!(shown(Value::Null, json!({"a": "é".repeat(100)})).chars().count(), SHOWN + 1);
    }
}
