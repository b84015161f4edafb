//! The HTTP contract, route by route: success, each documented error, field names, and who may call what.

mod admin;
mod apps;
mod archives;
mod artifacts;
mod conventions;
mod credentials;
mod demand;
mod entrypoints;
mod environments;
mod health;
mod hidden;
mod job_tokens;
mod limits;
mod outputs;
mod pages;
mod pool_tokens;
mod registration_tokens;
mod repeated;
mod run_again;
mod run_lists;
mod run_waits;
mod runner;
mod runs;
mod teams;
mod tokens;
mod versions;
