//! Making a team, and logging in to one.

pub(crate) mod bootstrap;
pub(crate) mod login;
pub(crate) mod signup;
