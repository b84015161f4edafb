//! Python environments: a private one per run, in milliseconds, over a shared one that is prepared once.
//!
//! A run's own environment is a few files that point to the interpreter. What it needs installed lies in a prepared environment below
//! the data directory, which the run may only read: whatever it installs or changes lands in its own, and goes with it.
//!
//! `project` tells which file decides what the project `needs`, `interpreters` which Python, `installer` with what. `prepare` puts
//! them together for one run, `work` finds or makes the environment, and `install` runs the installer. An environment belongs to a team when only wheels of the operator's indexes are in it, and then no
//! code of strangers has run; anything else belongs to one version of one app. What is editable is part of its run.

mod cache;
mod caches;
mod error;
mod fetch;
pub(crate) mod files;
mod install;
mod installer;
mod interpreter;
pub(crate) mod interpreters;
mod key;
mod lock;
mod needs;
mod pool;
mod prepare;
mod project;
mod pyproject;
mod references;
mod requirement;
mod requirements_txt;
mod resolution;
mod script_header;
mod setup;
mod text;
mod tree;
pub(crate) mod variables;
mod venv;
mod work;

pub(crate) use error::EnvironmentError;
pub(crate) use pool::{Environments, Prepared, Request};
pub(crate) use project::has_dependency_file;
