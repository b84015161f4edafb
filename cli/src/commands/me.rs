//! `minitower me`

use minitower_client::wire::auth::Role;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::Cell;

/// Asks the server whose token is used.
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    let me = context.team()?.me().await?;
    if context.out.is_json() {
        context.out.json(&me)?;
        return Ok(Exit::Success);
    }
    context.out.details(&[
        ("team", Some(Cell::new(format_args!("{} (id {})", me.team_slug, me.team_id)))),
        ("role", Some(Cell::new(role(me.role)))),
        ("token id", Some(Cell::new(me.token_id))),
    ])?;
    Ok(Exit::Success)
}

pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}
