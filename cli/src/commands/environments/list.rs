//! `minitower environments list`

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, time};

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let environments = context.team()?.environments().await?;
    if context.out.is_json() {
        context.out.json(&environments)?;
        return Ok(Exit::Success);
    }
    let rows = environments
        .environments
        .iter()
        .map(|environment| vec![Cell::new(&environment.name), Cell::new(time(environment.created_at))]);
    let empty = "There are no environments yet; the first run makes `default`.";
    context.out.table(&["ENVIRONMENT", "CREATED"], &rows.collect::<Vec<_>>(), empty)?;
    Ok(Exit::Success)
}
