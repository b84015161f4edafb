//! Domain types as they travel. One file per resource; nothing but renaming and formatting.

mod admin;
mod apps;
mod ascii_json;
mod attempts;
mod auth;
mod environments;
mod runs;
mod time;

pub(crate) use admin::{drained, runner};
pub(crate) use apps::{app, version};
pub(crate) use ascii_json::ascii_json;
pub(crate) use attempts::{attempt, attempt_state, lease};
pub(crate) use auth::{registration_token, role, team_created};
pub(crate) use environments::environment;
pub(crate) use runs::{artifact, log_line, run, run_status};
pub(crate) use time::{milliseconds, moment};
