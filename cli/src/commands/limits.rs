//! `minitower limits`

use clap::{Args, Subcommand};
use minitower_client::wire::limits::{Limit, LimitName, Limits as Answer, SetLimits};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, Output, OutputError, Tone, bytes};

/// Characters of a bar.
const BAR: u64 = 20;

/// Flags of `limits`, and its subcommands.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Limits {
    #[command(flatten)]
    of: Of,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

/// Whose limits.
#[derive(Debug, Args)]
struct Of {
    /// Another team, with the operator token: what it is allowed instead of what it chose
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Change limits
    Set(Set),
}

/// Flags of `limits set`.
#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    of: Of,
    /// A limit and its value, for example `queued_runs=5000`; `queued_runs=` puts it back
    #[arg(value_name = "NAME=VALUE", required = true, value_parser = change)]
    changes: Vec<(LimitName, Option<u64>)>,
}

impl Limits {
    /// Carries the command out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.command {
            None => {
                let team = context.team()?;
                let answer = match &self.of.team {
                    None => team.limits().await?,
                    Some(slug) => team.team_limits(slug).await?,
                };
                tell(context, &answer)
            }
            Some(Subcommands::Set(command)) => command.run(context).await,
        }
    }
}

impl Set {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let set =
            self.changes.into_iter().fold(SetLimits::default(), |set, (name, value)| set.with(name, value));
        let team = context.team()?;
        let answer = match &self.of.team {
            None => team.set_limits(&set).await?,
            Some(slug) => team.set_team_limits(slug, &set).await?,
        };
        tell(context, &answer)
    }
}

fn tell(context: &Context, answer: &Answer) -> Result<Exit, Failure> {
    context.out.answer(answer, |out| table(out, answer))?;
    Ok(Exit::Success)
}

fn table(out: &Output, answer: &Answer) -> Result<(), OutputError> {
    let bars = out.is_terminal();
    let mut header = vec!["NAME", "USED", "LIMIT", "ALLOWED"];
    if bars {
        header.push("");
    }
    let rows = answer.all().map(|(name, limit)| {
        let number = |n| amount(name, n);
        let mut row = vec![
            Cell::new(name),
            Cell::optional(limit.used.map(number)),
            Cell::new(number(limit.limit)),
            Cell::new(number(limit.allowed)),
        ];
        if bars {
            row.push(bar(limit));
        }
        row
    });
    out.table(&header, &rows.collect::<Vec<_>>(), "There are no limits.")
}

/// A number in the limit's unit.
fn amount(name: LimitName, n: u64) -> String {
    match name {
        LimitName::LogBytesPerRun | LimitName::ArtifactBytes | LimitName::StorageBytes => bytes(n),
        _ => n.to_string(),
    }
}

/// How much of a limit is used.
fn bar(limit: Limit) -> Cell {
    let Some(used) = limit.used else { return Cell::new("") };
    let share = u128::from(used) * u128::from(BAR) / u128::from(limit.limit.max(1));
    let full = usize::try_from(share.min(u128::from(BAR))).unwrap_or_default();
    let empty = usize::try_from(BAR).unwrap_or_default() - full;
    let tone = if used >= limit.limit { Tone::Bad } else { Tone::Good };
    Cell::toned(format!("{}{}", "█".repeat(full), "░".repeat(empty)), tone)
}

/// `NAME=VALUE`.
fn change(text: &str) -> Result<(LimitName, Option<u64>), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    let name = LimitName::parse(name).ok_or_else(|| {
        let names: Vec<_> = LimitName::ALL.iter().map(|name| name.as_str()).collect();
        format!("there is no limit {name:?}: there are {}", names.join(", "))
    })?;
    if value.is_empty() {
        return Ok((name, None));
    }
    let value = value.parse().map_err(|_| format!("{value:?} is not a whole number of at least 0"))?;
    Ok((name, Some(value)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("apps=5", Ok((LimitName::Apps, Some(5))))]
    #[case("apps=", Ok((LimitName::Apps, None)))]
    fn a_change_is_a_name_and_a_number(
        #[case] text: &str,
        #[case] expected: Result<(LimitName, Option<u64>), String>,
    ) {
        assert_eq!(change(text), expected);
    }

    #[rstest]
    #[case("apps", "NAME=VALUE")]
    #[case("app=5", "queued_runs")]
    #[case("apps=-1", "whole number")]
    #[case("apps=5GiB", "whole number")]
    fn a_change_that_makes_no_sense_says_what_would(#[case] text: &str, #[case] says: &str) {
        let error = change(text).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}
