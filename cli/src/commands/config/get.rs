//! `minitower config get`; `--profile` names another than the active one.

use serde_json::json;

use super::as_json;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<Exit, Failure> {
    let profiles = context.profiles()?;
    let active = profiles.active().map(|(name, _)| name.to_owned());
    let (name, profile) = match &context.flags.profile {
        Some(name) => profiles.named(name)?,
        None => profiles.active().ok_or_else(|| {
            Failure::new("there is no profile yet")
                .help("`minitower login --server URL --team SLUG` makes one")
        })?,
    };
    let is_active = active.as_deref() == Some(name);
    if context.out.is_json() {
        context.out.json(&json!({
            "profile": name,
            "is_current": is_active,
            "current_profile": active,
            "config": as_json(profile),
        }))?;
        return Ok(Exit::Success);
    }
    let text = |value: &String| Cell::optional((!value.is_empty()).then_some(value));
    context.out.details(&[
        ("profile", Some(Cell::new(name))),
        ("active", Some(Cell::new(if is_active { "yes" } else { "no" }))),
        ("server", Some(text(&profile.server))),
        ("team", Some(text(&profile.team))),
        ("app", Some(text(&profile.app))),
        ("token", Some(Cell::new(if profile.token.is_empty() { "not set" } else { "set" }))),
    ])?;
    Ok(Exit::Success)
}
