//! `minitower config list`

use serde_json::{Value, json};

use super::as_json;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, Tone};

pub(super) fn run(context: &Context) -> Result<Exit, Failure> {
    let profiles = context.profiles()?;
    let active = profiles.active().map(|(name, _)| name);
    if context.out.is_json() {
        let list: Vec<Value> = profiles
            .profiles
            .iter()
            .map(|(name, profile)| {
                json!({"name": name, "is_current": active == Some(name), "config": as_json(profile)})
            })
            .collect();
        context.out.json(&json!({"current_profile": active, "profiles": list}))?;
        return Ok(Exit::Success);
    }
    let text = |value: &String| Cell::optional((!value.is_empty()).then_some(value));
    let rows = profiles.profiles.iter().map(|(name, profile)| {
        vec![
            if active == Some(name) { Cell::toned("*", Tone::Good) } else { Cell::new("") },
            Cell::new(name),
            text(&profile.server),
            text(&profile.team),
            text(&profile.app),
            Cell::new(if profile.token.is_empty() { "not set" } else { "set" }),
        ]
    });
    let empty = "There are no profiles yet; `minitower login --server URL --team SLUG` makes one.";
    context.out.table(
        &["ACTIVE", "PROFILE", "SERVER", "TEAM", "APP", "TOKEN"],
        &rows.collect::<Vec<_>>(),
        empty,
    )?;
    Ok(Exit::Success)
}
