//! `minitower tokens`: a team's tokens.

use std::borrow::Cow;
use std::num::NonZeroU64;

use clap::{Args, Subcommand};
use minitower_client::TeamClient;
use minitower_client::wire::auth::{CreateToken, Role};
use minitower_daemon::duration;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::fields::in_flags;
use crate::output::{Cell, clean, now, time};

/// The subcommands of `tokens`.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// List the team's tokens, without their secrets (admins only)
    List,
    /// Create a team token; it is shown once
    Create(Create),
    /// Revoke tokens: they stop working at once (a member: its own alone)
    Revoke(Revoke),
}

/// Flags of `tokens create`.
#[derive(Debug, Args)]
pub struct Create {
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// admin or member, by default member; a member's token can only create members
    #[arg(long)]
    role: Option<String>,
    /// After how long it expires, for example 720h; it never outlives your own token
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
}

/// Flags of `tokens revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Ids of tokens, as `list` shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<i64>,
}

/// The life of a token is no duration of whole seconds.
#[derive(Debug, thiserror::Error)]
#[error("--expires-in {0} is not a duration of whole seconds")]
struct BadLife(String);

impl Explained for BadLife {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("write it like 720h or 1h30m".into())
    }
}

impl Tokens {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list(context).await,
            Self::Create(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let answer = context.team()?.tokens().await?;
    context.out.answer(&answer, |out| {
        let now = now();
        let rows = answer.tokens.iter().map(|token| {
            let expires = match token.expires_at {
                Some(at) if at <= now => format!("expired {}", time(at)),
                Some(at) => time(at),
                None => "never".to_owned(),
            };
            vec![
                Cell::new(token.token_id),
                Cell::new(token.name.as_deref().unwrap_or("-")),
                Cell::new(role(token.role)),
                Cell::new(time(token.created_at)),
                Cell::new(token.last_used_at.map_or_else(|| "never".to_owned(), time)),
                Cell::new(expires),
            ]
        });
        let columns = ["ID", "NAME", "ROLE", "CREATED", "LAST USED", "EXPIRES"];
        out.table(&columns, &rows.collect::<Vec<_>>(), "There are no tokens.")
    })?;
    Ok(Exit::Success)
}

/// The API's fields of a new token, and the flags that set them.
const FLAGS: &[(&str, &str)] = &[("name", "--name"), ("role", "--role"), ("expires_in", "--expires-in")];

impl Create {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Self { name, role: wished, expires_in } = self;
        let expires_in = expires_in.as_deref().map(seconds).transpose()?;
        let wished = CreateToken { name, role: wished, expires_in };
        let team = context.team()?;
        let created = team.create_token(&wished).await.map_err(|error| in_flags(error, FLAGS))?;
        let shown = context.out.answer(&created, |out| {
            // The token is alone on standard output, so that a script can use it as it is.
            let until = created.expires_at.map_or_else(String::new, |at| format!(", until {}", time(at)));
            let role = role(created.role);
            out.note(format_args!("Token {} ({role}{until}), shown only now:", created.token_id));
            out.line(clean(&created.token))
        });
        match shown {
            Ok(()) => Ok(Exit::Success),
            // Nobody has seen it, and nobody will.
            Err(error) => Err(Failure::from(error).help(forget(&team, created.token_id).await)),
        }
    }
}

/// Revokes a token that could not be shown, and says what became of it.
async fn forget(team: &TeamClient, id: i64) -> String {
    match team.delete_token(id).await {
        Ok(()) => "the new token is revoked again; create another one".to_owned(),
        Err(_) => {
            format!("the new token still works: an admin revokes it with `minitower tokens revoke {id}`")
        }
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let team = context.team()?;
        for id in &self.ids {
            team.delete_token(*id).await.map_err(|error| {
                Failure::from(error).help_not_found("list them with `minitower tokens list`")
            })?;
            context.out.note(format_args!("Token {id} is revoked."));
        }
        context.out.answer(&json!({"revoked": self.ids}), |_| Ok(()))?;
        Ok(Exit::Success)
    }
}

/// A life in seconds.
fn seconds(text: &str) -> Result<i64, BadLife> {
    let bad = || BadLife(text.to_owned());
    let life = duration::parse(text).map_err(|_| bad())?;
    let seconds = NonZeroU64::new(life.as_secs()).filter(|_| life.subsec_nanos() == 0).ok_or_else(bad)?;
    i64::try_from(seconds.get()).map_err(|_| bad())
}

/// The word for a role.
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("720h", Some(2_592_000))]
    #[case("1m30s", Some(90))]
    #[case("0s", None)]
    #[case("1500ms", None)]
    #[case("30d", None)]
    fn a_life_is_a_duration_of_whole_seconds(#[case] text: &str, #[case] found: Option<i64>) {
        assert_eq!(seconds(text).ok(), found);
    }
}
