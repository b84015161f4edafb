//! `minitower secrets`

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Read as _};

use clap::{Args, Subcommand};
use minitower_client::wire::secrets::SetSecret;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::{Cell, clean, time};

/// Most bytes that are read: more than any server takes, so that the server says how many those are.
const MAX_BYTES: u64 = 1 << 20;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Set a secret; the value comes from standard input
    ///
    /// Runs of apps whose Towerfile names the secret get it as a variable of this name, from the next lease on. On a terminal, the
    /// value is asked for and not shown. A newline at the end of the input is not part of the value.
    #[command(
        after_help = "Example: `minitower secrets set WAREHOUSE_PASSWORD --environment production < password.txt`"
    )]
    Set(Named),
    /// List the secrets of an environment, without their values
    List(Within),
    /// Delete a secret
    Delete(Named),
}

/// Which environment is meant.
#[derive(Debug, Args)]
pub struct Within {
    /// The environment
    #[arg(long, value_name = "NAME", default_value = "default")]
    environment: String,
}

/// Which secret is meant.
#[derive(Debug, Args)]
pub struct Named {
    /// The secret's name, which is also that of its variable, for example `WAREHOUSE_PASSWORD`
    name: String,
    #[command(flatten)]
    within: Within,
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
enum ValueError {
    #[error("cannot read the value")]
    Unreadable(#[source] io::Error),
    #[error("the value is not text: it is not valid UTF-8")]
    NotText,
    #[error("the value is longer than {MAX_BYTES} bytes")]
    TooLong,
}

impl Explained for ValueError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NotText => Some("encode it, for example with `base64`, and decode it in the job".into()),
            Self::Unreadable(_) | Self::TooLong => None,
        }
    }
}

impl Secrets {
    /// Carries the subcommand out.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Set(command) => command.set(context).await,
            Self::List(command) => command.list(context).await,
            Self::Delete(command) => command.delete(context).await,
        }
    }
}

impl Within {
    async fn list(self, context: &Context) -> Result<Exit, Failure> {
        let answer = context.team()?.secrets(&self.environment).await?;
        context.out.answer(&answer, |out| {
            let rows = answer
                .secrets
                .iter()
                .map(|secret| vec![Cell::new(&secret.name), Cell::new(time(secret.updated_at))]);
            let empty = format!("There are no secrets in the environment {}.", clean(&self.environment));
            out.table(&["SECRET", "UPDATED"], &rows.collect::<Vec<_>>(), &empty)
        })?;
        Ok(Exit::Success)
    }
}

impl Named {
    async fn set(self, context: &Context) -> Result<Exit, Failure> {
        let (name, environment) = (&self.name, &self.within.environment);
        let team = context.team()?;
        let value = read_value(&format!("Value of {name} in {environment}: "))?;
        team.set_secret(environment, name, &SetSecret { value }).await?;
        self.say(context, "set", "Set")
    }

    async fn delete(self, context: &Context) -> Result<Exit, Failure> {
        context.team()?.delete_secret(&self.within.environment, &self.name).await?;
        self.say(context, "deleted", "Deleted")
    }

    /// Says what was done.
    fn say(&self, context: &Context, done: &str, told: &str) -> Result<Exit, Failure> {
        let (name, environment) = (&self.name, &self.within.environment);
        context.out.answer(&json!({"name": name, "environment": environment, "status": done}), |out| {
            out.line(format_args!("{told} {} in the environment {}.", clean(name), clean(environment)))
        })?;
        Ok(Exit::Success)
    }
}

/// Asks on the terminal without showing what is typed, or reads standard input to its end, without one newline there.
fn read_value(prompt: &str) -> Result<String, ValueError> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt).map_err(ValueError::Unreadable);
    }
    let mut bytes = Vec::new();
    io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(ValueError::Unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ValueError::TooLong);
    }
    let mut value = String::from_utf8(bytes).map_err(|_| ValueError::NotText)?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    Ok(value)
}
