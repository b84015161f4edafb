//! The only SQL that names teams, their tokens and their environments.

pub(crate) mod audit;
pub(crate) mod environments;
pub(crate) mod limits;
pub(crate) mod people;
pub(crate) mod pool_tokens;
pub(crate) mod registration_tokens;
pub(crate) mod secrets;
pub(crate) mod teams;
pub(crate) mod tokens;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
