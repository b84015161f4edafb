//! `minitower apps list`

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, time};

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let apps = context.team()?.apps().await?;
    if context.out.is_json() {
        context.out.json(&apps)?;
        return Ok(Exit::Success);
    }
    let rows = apps.apps.iter().map(|app| {
        vec![
            Cell::new(&app.slug),
            Cell::new(if app.disabled { "yes" } else { "no" }),
            Cell::new(time(app.updated_at)),
            Cell::optional(app.description.as_ref()),
        ]
    });
    let header = ["APP", "DISABLED", "UPDATED", "DESCRIPTION"];
    context.out.table(
        &header,
        &rows.collect::<Vec<_>>(),
        "There are no apps yet; `minitower deploy` makes one.",
    )?;
    Ok(Exit::Success)
}
