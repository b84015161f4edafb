//! What `minitower dev` prints first.

use serde_json::json;

use super::folder::Folder;
use super::team::{NAME, RUNNER, Team};
use crate::context::Context;
use crate::kubectl::Called;
use crate::output::OutputError;

/// Prints where it is, and what to type next.
pub(super) fn print(
    context: &Context,
    url: &str,
    folder: &Folder,
    environment: &str,
    team: &Team,
) -> Result<(), OutputError> {
    let out = &context.out;
    if out.is_json() {
        return out.json_line(&json!({
            "server": url,
            "team": NAME,
            "profile": team.profile,
            "profile_active": team.active,
            "runner": RUNNER,
            "environment": environment,
            "data_dir": folder.given().display().to_string(),
        }));
    }
    let style = out.style();
    let (bold, dim) = (|text: &str| style.bold(text), |text: &str| style.dim(text));
    let profile = if team.active { String::new() } else { format!(" --profile {}", team.profile) };
    let runs = if environment == "default" { String::new() } else { format!(" --environment {environment}") };
    out.line(format_args!("{} at {}", bold("MiniTower is running"), bold(url)))?;
    out.line(dim(&format!(
        "team {NAME}, one runner in environment {environment}, data in {}",
        folder.given().display()
    )))?;
    out.line("")?;
    out.line("In another terminal, in a folder with a Python or shell script:")?;
    let typed = Called::from_process().typed();
    let commands = [
        (format!("{typed}{profile} init"), "write a Towerfile"),
        (format!("{typed}{profile} deploy"), "upload the folder"),
        (format!("{typed}{profile} run APP{runs}"), "run it"),
        (format!("{typed}{profile} runs list"), "see what ran"),
    ];
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    for (command, what) in &commands {
        out.line(format_args!("  {}  {}", bold(&format!("{command:<width$}")), dim(what)))?;
    }
    out.line("")?;
    out.line("Ctrl-C stops it. Everything that you have deployed stays.")?;
    if !team.active {
        out.note(format_args!(
            "Profile {} stays active; `minitower config use {}` changes that.",
            team.active_profile, team.profile
        ));
    }
    if context.env.server_url.is_some() || context.env.api_token.is_some() {
        out.warn("MINITOWER_SERVER_URL or MINITOWER_API_TOKEN is set and overrides the profile; unset it");
    }
    Ok(())
}
