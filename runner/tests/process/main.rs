//! The real `minitower-runner` process with real Python and sh, against the real control plane on a loopback port.
//!
//! `support` holds the proxy's orders and the means to start and watch the runner; each other file holds the tests of
//! one subject. A test is named by what it proves.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod attacks;
mod calls;
mod confinement;
mod daemon;
mod disk;
mod entrypoints;
mod environments;
mod jobs;
mod leases;
mod logs;
mod nasty;
mod registration;
mod runner_secrets;
mod secrets;
mod shutdown;
mod supervisors;
mod support;
mod trust;
mod world;
