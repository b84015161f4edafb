//! Environments.

use minitower_teams::team;
use minitower_vocabulary::wire::environments::Environment;

use super::moment;

pub(crate) fn environment(environment: team::Environment) -> Environment {
    let team::Environment { name, created_at } = environment;
    Environment { name, created_at: moment(created_at) }
}
