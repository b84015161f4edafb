//! The runner's folder: one process at a time, private to its user.
//!
//! | path | what |
//! |---|---|
//! | `lock` | held as long as the process lives |
//! | `token` | the runner token and nothing else |
//! | `environment`, `pool`, `labels` | what the token was registered for and with |
//! | `scope` | whose runs it takes |
//! | `instance` | ids of this process and of former ones whose attempt may still be open |
//! | `work/` | workspaces |
//! | `spool/` | undelivered log lines |
//! | `envs/` | prepared Python environments |
//! | `cache/` | caches of installers, a folder per team, and of apps |
//! | `tools/` | uv and Pythons that the runner has fetched |
//! | `trash/` | what is to be removed, and what cannot be |
//! | `../t/` | the temporary folders of all runners' jobs: their paths have to be short |
//!
//! All of these are held open. Where nothing confines it, a job of the same user can take their rights away, or replace them:
//! [`DataDir::mend`] puts that right before the next run.

mod dir;
mod mend;
mod places;
mod small;

pub(crate) use dir::DataDir;
pub(crate) use places::{Place, create_private};
pub(crate) use small::Room;
