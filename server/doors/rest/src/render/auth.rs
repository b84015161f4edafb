//! Roles and tokens.

use minitower_teams::NewTeam;
use minitower_teams::team;
use minitower_vocabulary::wire::auth::{RegistrationToken, Role, TeamCreated};

use super::moment;

pub(crate) fn role(role: team::Role) -> Role {
    match role {
        team::Role::Admin => Role::Admin,
        team::Role::Member => Role::Member,
    }
}

pub(crate) fn registration_token(token: &team::RegistrationToken) -> RegistrationToken {
    let team::RegistrationToken { id, created_at, last_used_at } = *token;
    RegistrationToken { id: id.0, created_at: moment(created_at), last_used_at: last_used_at.map(moment) }
}

pub(crate) fn team_created(made: NewTeam) -> TeamCreated {
    let NewTeam { team, token, registration_token, created: _ } = made;
    TeamCreated {
        team_id: team.id.0,
        slug: team.slug,
        token,
        role: Role::Admin,
        registration_token: Some(registration_token),
    }
}
