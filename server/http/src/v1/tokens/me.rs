//! `GET /me`.

use crate::domain::team::TeamPrincipal;
use minitower_wire::auth::Me;

use crate::auth::Caller;
use crate::extract::Json;
use crate::render;

/// Says who the caller is.
pub(crate) async fn me(Caller(caller): Caller<TeamPrincipal>) -> Json<Me> {
    let TeamPrincipal { team_id, team_slug, token_id, role } = caller;
    Json(Me { team_id: team_id.0, team_slug, token_id: token_id.0, role: render::role(role) })
}
