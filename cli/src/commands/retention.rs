//! `minitower retention`

use std::time::Duration;

use clap::{Args, Subcommand};
use minitower_client::wire::retention::{Retention as Answer, SetRetention};
use minitower_daemon::duration;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fields::in_flags;
use crate::output::Cell;

/// `retention`, and its subcommands.
#[derive(Debug, Args)]
pub struct Retention {
    #[command(subcommand)]
    command: Option<Subcommands>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Change how long runs are kept (admins only)
    Set(Set),
}

/// Flags of `retention set`.
#[derive(Debug, Args)]
#[command(after_help = "What is left out stays as it is. What goes does not come back.")]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["keep", "keep_last"])))]
struct Set {
    #[command(flatten)]
    kept: Kept,
}

/// How long runs are kept, as flags.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Kept {
    /// How long runs are kept after their end, for example `720h`; `none` leaves it to the team, or to the server
    #[arg(long, value_name = "DURATION|forever|none", value_parser = time)]
    keep: Option<Given>,
    /// How many of the newest runs and versions of an app are kept in any case
    #[arg(long, value_name = "NUMBER|none", value_parser = number)]
    keep_last: Option<Given>,
}

/// What the API calls the flags.
pub(super) const FLAGS: &[(&str, &str)] = &[
    ("retention.keep_seconds", "--keep"),
    ("retention.keep_last", "--keep-last"),
    ("keep_seconds", "--keep"),
    ("keep_last", "--keep-last"),
];

/// A number, or none for `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given(Option<i64>);

impl Kept {
    /// What is to change; none: nothing.
    pub(super) fn change(self) -> Option<SetRetention> {
        let value = |given: Option<Given>| given.map(|Given(value)| value);
        let set = SetRetention { keep_seconds: value(self.keep), keep_last: value(self.keep_last) };
        (set != SetRetention::default()).then_some(set)
    }
}

impl Retention {
    /// Carries the command out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        let answer = match self.command {
            None => team.retention().await?,
            Some(Subcommands::Set(Set { kept })) => {
                let set = kept.change().unwrap_or_default();
                team.set_retention(&set).await.map_err(|error| in_flags(error, FLAGS))?
            }
        };
        tell(context, &answer)
    }
}

fn tell(context: &Context, answer: &Answer) -> Result<Exit, Failure> {
    context.out.answer(answer, |out| {
        let default = |own: i64, of_server: i64| if own == of_server { "" } else { " (the team's own)" };
        let (Answer { keep_seconds, keep_last, .. }, server) = (*answer, answer.default);
        out.details(&[
            (
                "kept for",
                Some(Cell::new(format!(
                    "{}{}",
                    shown(keep_seconds),
                    default(keep_seconds, server.keep_seconds)
                ))),
            ),
            (
                "kept at least",
                Some(Cell::new(format!("{}{}", newest(keep_last), default(keep_last, server.keep_last)))),
            ),
        ])
    })?;
    Ok(Exit::Success)
}

/// How long, for people.
pub(super) fn shown(seconds: i64) -> String {
    match seconds {
        0 => "for ever".to_owned(),
        _ if seconds % 86_400 == 0 => format!("{} days", seconds / 86_400),
        _ if seconds % 3_600 == 0 => format!("{} hours", seconds / 3_600),
        _ => format!("{seconds} seconds"),
    }
}

/// How many, for people.
pub(super) fn newest(last: i64) -> String {
    format!("the newest {last}")
}

fn time(text: &str) -> Result<Given, String> {
    match text {
        "none" => return Ok(Given(None)),
        "forever" => return Ok(Given(Some(0))),
        _ => {}
    }
    // A slip of the hand keeps nothing for ever: whoever means that says so.
    let kept = duration::parse(text).ok().filter(|kept| *kept >= Duration::from_secs(1));
    let seconds = kept.and_then(|kept| i64::try_from(kept.as_secs()).ok());
    let seconds = seconds.ok_or("write a duration such as 720h, forever, or none to clear it")?;
    Ok(Given(Some(seconds)))
}

fn number(text: &str) -> Result<Given, String> {
    if text == "none" {
        return Ok(Given(None));
    }
    text.parse()
        .map(|number| Given(Some(number)))
        .map_err(|_| "write a whole number, or none to clear it".to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("720h", Some(2_592_000))]
    #[case("1h30m", Some(5_400))]
    #[case("forever", Some(0))]
    #[case("none", None)]
    fn a_time_is_a_duration_for_ever_or_nothing(#[case] text: &str, #[case] seconds: Option<i64>) {
        assert_eq!(time(text), Ok(Given(seconds)));
    }

    #[rstest]
    #[case("0")]
    #[case("30d")]
    #[case("720")]
    #[case("-1h")]
    fn what_is_no_time_says_what_would_be(#[case] text: &str) {
        assert!(time(text).unwrap_err().contains("720h"));
    }

    #[rstest]
    #[case(0, "for ever")]
    #[case(7_776_000, "90 days")]
    #[case(5_400, "5400 seconds")]
    #[case(7_200, "2 hours")]
    fn a_time_is_shown_in_the_largest_unit(#[case] seconds: i64, #[case] text: &str) {
        assert_eq!(shown(seconds), text);
    }
}
